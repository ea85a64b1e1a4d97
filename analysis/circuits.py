"""How strong the two circuits of a network are: the rule, and what it knows by heart.

What a network says of examples that it was not trained on cannot be known by heart. Their logits, projected on the
trigonometric subspace (`analysis.trigonometric`), are what it has of the rule: one number f_r for each residue r of
y - c. On the training set the same f gives the part of the logits that a circuit for the rule accounts for, the
restricted logits f_(y_e - c); all the rest are the excluded logits. The sizes z of both (`analysis.efficiency`) are the
strengths of the circuits,

    generalising = z of the restricted logits         memorising = z of the excluded logits

and since z is linear, they add up to the size of the network's own logits.

The losses of either part alone are progress measures. The *restricted loss*, the same for every example, since all have
the same f, falls as the rule is learnt. The *excluded loss*, on the training set, rises as what was memorised is given
up. (Nanda et al. take f from all examples and at key frequencies only; memorised right labels then count for the rule.)

References
----------
Nanda et al. (arXiv 2301.05217), section 5; Varma et al. (arXiv 2309.02390), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.efficiency import logit_size
from analysis.trigonometric import by_residue, centred, residue_means, trigonometric_share
from data import Dataset
from data.operations import all_pairs
from layers import Cache, CrossEntropy, Layer


@dataclass(frozen=True)
class CircuitStrengths:
    """The two circuits of a network.

    Attributes
    ----------
    generalising, memorising : float
        Size of the restricted and of the excluded logits, on the training set and for the labels trained on.
    share : float
        ||P z|| / ||z|| over all examples that were not trained on, in [0, 1].
    restricted_loss : float
        Cross-entropy of the restricted logits, with the right label.
    excluded_loss : float
        Cross-entropy of the excluded logits on the training set, with the labels trained on.
    """

    generalising: float
    memorising: float
    share: float
    restricted_loss: float
    excluded_loss: float


def circuit_strengths(network: Layer, train: Dataset, p: int, operation: str = "add") -> CircuitStrengths:
    """Measure both circuits of a network.

    Parameters
    ----------
    network : Layer
        On the CPU.
    train : Dataset
        What it was trained on.
    p : int
        The modulus.
    operation : str

    Returns
    -------
    CircuitStrengths

    Raises
    ------
    ValueError
        If it was trained on all examples.
    """
    pairs, answers = all_pairs(p, operation)
    unseen = ~np.isin(pairs @ [p, 1], train.inputs @ [p, 1])
    logits, answers = network.forward(pairs[unseen], Cache()), answers[unseen]
    f = residue_means(logits, answers)
    restricted = by_residue(f, train.true_labels)
    excluded = centred(network.forward(train.inputs, Cache()).astype(float)) - restricted
    loss = CrossEntropy()
    return CircuitStrengths(
        generalising=float(logit_size(restricted, train.labels)),
        memorising=float(logit_size(excluded, train.labels)),
        share=float(trigonometric_share(logits, answers)),
        restricted_loss=float(loss.forward(f[None], np.array([0]), Cache())),
        excluded_loss=float(loss.forward(excluded, train.labels, Cache())))
