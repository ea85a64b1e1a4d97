"""Circuit efficiency: the logits that a network gets for the norm of its parameters (Varma et al.).

The size of the logits is how far the right one stands above the others, over D examples with labels y_e and p classes:

    z = 1/D sum_e (z[e, y_e] - 1/(p - 1) sum_(c != y_e) z[e, c])

It is linear in the logits: where the logits of two circuits add up, their sizes do. Cross-entropy asks for a large z,
weight decay for a small norm P = ||theta||. Of two circuits that do equally well on the training set, decay leaves in
the end the more efficient one, which has the larger z for the same P.

A network is homogeneous of degree k if parameters s times as large make its logits s^k times as large:

    two layers, square activation   k = 3   (each weight of an embedding enters squared)
    L layers of ReLU, no biases     k = L

Decay then decides where on the curve z = eta P^k a circuit of one shape comes to stand, but not

    eta = z / P^k

which is the efficiency here: what can be compared between networks that were trained with different decays. That
holds for a given shape of the weights. How far the shape depends on the decay, or is not settled yet, is to be measured
(`experiments.circuit_efficiency` does).

References
----------
Varma et al. (arXiv 2309.02390), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from backend import Array, array_module


def logit_size(logits: Array, labels: Array) -> Array:
    """How far the right logit stands above the mean of the others, on average over the examples.

    Parameters
    ----------
    logits : array (..., D, p)
    labels : integer array (D,)

    Returns
    -------
    z : float array (...)
    """
    xp, p = array_module(logits), logits.shape[-1]
    right = xp.take_along_axis(logits, xp.broadcast_to(xp.asarray(labels)[:, None], (*logits.shape[:-1], 1)), axis=-1)
    # The mean of the others is (sum - right) / (p - 1), and the right one stands p / (p - 1) (right - mean) above it.
    return p / (p - 1) * (right[..., 0].astype(float) - logits.mean(axis=-1, dtype=float)).mean(axis=-1)


def efficiency(size: float, norm: float, degree: float) -> float:
    """eta = z / P^k.

    Parameters
    ----------
    size : float
        z, see `logit_size`.
    norm : float
        P, the Euclidean norm of all parameters; positive.
    degree : float
        k, the degree of homogeneity.

    Raises
    ------
    ValueError
        If the norm is not positive.
    """
    if not norm > 0:
        raise ValueError(f"norm must be positive, got {norm}")
    return size / norm ** degree


def crossing(sizes: Sequence[float], falling: Sequence[float], level: float) -> float | None:
    """The size at which a falling efficiency comes down to a level: between two sizes by a power law through both.

    Parameters
    ----------
    sizes : sequence of float
        D, positive and rising.
    falling : sequence of float
        Efficiencies at those; positive.
    level : float
        The efficiency that does not depend on D; positive.

    Returns
    -------
    D : float, or None
        None if it lies beyond the sizes.
    """
    points = list(zip(np.log(sizes), np.log(falling), strict=True))
    for (D, above), (D_next, below) in pairwise(points):
        if above >= math.log(level) >= below and above > below:
            return math.exp(D + (D_next - D) * (above - math.log(level)) / (above - below))
    return None
