"""The split into training and test set.

The examples are put into one random order; the first int(alpha * total) are the training set, the rest the test set
(as in the reference code of Doshi et al.). With the same seed a smaller alpha gives a part of the same training set.
"""

from __future__ import annotations

import numpy as np

import streams


def split_indices(total: int, alpha: float, seed: int,
                  test_alpha: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The examples of the training and of the test set, each in increasing order.

    Parameters
    ----------
    total : int
        The number of examples.
    alpha : float
        The fraction that is trained on, in (0, 1].
    seed : int
    test_alpha : float, optional
        Where the test set begins, from alpha (the default) to 1: a smaller training set keeps the test set of a larger
        one, and the examples between are in neither.

    Returns
    -------
    train, test : int64 arrays (int(alpha total),) and (total - int(test_alpha total),)
    """
    order = streams.generator(seed, streams.SPLIT).permutation(total)
    test = int((alpha if test_alpha is None else test_alpha) * total)
    return np.sort(order[:int(alpha * total)]), np.sort(order[test:])
