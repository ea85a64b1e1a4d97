"""How strong the two circuits of a network are: the rule, and what it knows by heart.

The logits of a network for modular arithmetic have two parts (`analysis.trigonometric`): the restricted logits, within
the trigonometric subspace, where a circuit that generalises puts its answer; and the excluded logits, all the rest. How
large each is on the training set, in the size z of `analysis.efficiency`, is the strength of a circuit:

    generalising = z of the restricted logits         memorising = z of the excluded logits

z is linear: the strengths add up to the size of the network's own logits. Of what was memorised of right labels the
projection takes a share alpha for the rule, as said there; what is left is 1 - alpha of it.

The losses of either part alone are progress measures: the *restricted loss*, on all examples, falls as the rule is
learnt; the *excluded loss*, on the training set, rises as what was memorised is given up.

References
----------
Nanda et al. (arXiv 2301.05217), section 5; Varma et al. (arXiv 2309.02390), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        ||P z|| / ||z|| over all examples, in [0, 1].
    restricted_loss : float
        Cross-entropy of the restricted logits on all examples, with their right labels.
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
        One whose answers are equally frequent.

    Returns
    -------
    CircuitStrengths

    Raises
    ------
    ValueError
        If the answers of the operation are not equally frequent.
    """
    pairs, answers = all_pairs(p, operation)
    logits = network.forward(pairs, Cache())
    f = residue_means(logits, answers)
    restricted = by_residue(f, train.true_labels)
    excluded = centred(network.forward(train.inputs, Cache()).astype(float)) - restricted
    loss = CrossEntropy()
    return CircuitStrengths(
        generalising=float(logit_size(restricted, train.labels)),
        memorising=float(logit_size(excluded, train.labels)),
        share=float(trigonometric_share(logits, answers)),
        restricted_loss=float(loss.forward(by_residue(f, answers), answers, Cache())),
        excluded_loss=float(loss.forward(excluded, train.labels, Cache())))
