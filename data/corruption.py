"""Corruption of labels.

A fraction xi of the training labels is replaced by labels drawn uniformly from all p (Doshi et al., section 2). A draw
may come out right: on average 1/p of the corrupted labels still are the true ones.

Each example of the task has its own score and its own redrawn label, whatever the training set; the int(xi D) training
examples of lowest score are corrupted. So a larger xi corrupts the same examples and more.
"""

from __future__ import annotations

import numpy as np

import streams


def corrupt(labels: np.ndarray, train: np.ndarray, xi: float, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels given to the training set.

    Parameters
    ----------
    labels : integer array (total,)
        The true labels of all examples of the task.
    train : integer array (D,)
        The examples of the training set.
    xi : float
        The fraction of training labels to redraw, in [0, 1].
    classes : int
        Labels are drawn from 0 ... classes - 1.
    seed : int

    Returns
    -------
    given : integer array (D,)
        The labels of the training set, some of them redrawn.
    corrupted : bool array (D,)
        Which ones were redrawn (whether or not they came out right).
    """
    rng = streams.generator(seed, streams.CORRUPTION)
    scores = rng.random(len(labels))[train]
    redrawn = rng.integers(classes, size=len(labels))[train]
    corrupted = np.zeros(len(train), dtype=bool)
    corrupted[np.argsort(scores, kind="stable")[:int(xi * len(train))]] = True
    return np.where(corrupted, redrawn, labels[train]), corrupted
