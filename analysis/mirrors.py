"""What a test pair may owe to its mirror image.

Where an operation commutes, the pairs (m, n) and (n, m) have the same answer. Of a test set, a share of about alpha has
its mirror image in the training set. A network that treats both alike (a transformer nearly does; a two-layer network
with tables U and V for the two places may come to) gets these right by heart, without knowing the rule: its test
accuracy is then about alpha rather than near chance. So accuracy is told apart for test pairs whose mirror image was
trained on and for those whose was not.
"""

from __future__ import annotations

import numpy as np

from data import Problem
from layers import Cache, Layer


def mirrored(pairs: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Whose mirror image was trained on.

    Parameters
    ----------
    pairs : integer array (T, 2)
    trained : integer array (D, 2)

    Returns
    -------
    bool array (T,)
    """
    rows = int(max(pairs.max(initial=0), trained.max(initial=0))) + 1
    return np.isin(pairs[:, 1] * rows + pairs[:, 0], trained[:, 0] * rows + trained[:, 1])


def accuracy_by_mirror(network: Layer, problem: Problem) -> tuple[float | None, float | None]:
    """The accuracies on test pairs whose mirror image was trained on, and on those whose was not.

    Parameters
    ----------
    network : Layer
        On the CPU.
    problem : Problem
        Of modular arithmetic.

    Returns
    -------
    mirrored, unmirrored : float or None
        None where there is no such pair.
    """
    test = problem.test
    if not len(test):
        return None, None
    right = network.forward(test.inputs, Cache()).argmax(axis=-1) == test.labels
    mirror = mirrored(test.inputs, problem.train.inputs)
    return tuple(float(right[which].mean()) if which.any() else None for which in (mirror, ~mirror))
