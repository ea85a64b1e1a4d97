"""What a network is trained and tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.corruption import corrupt
from data.operations import all_pairs
from data.split import split_indices


@dataclass(frozen=True)
class Dataset:
    """Examples with the labels that are given and those that are true.

    Attributes
    ----------
    inputs : array (D, features)
        For modular arithmetic the pairs (m, n), integers; of images a row of pixels each, floats.
    labels : integer array (D,)
        The labels that are trained on, or tested against.
    true_labels : integer array (D,)
    corrupted : bool array (D,)
        Whose label was redrawn; nowhere true in a test set.
    """

    inputs: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray
    corrupted: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, order: np.ndarray) -> Dataset:
        """The examples of these numbers, in this order."""
        return Dataset(self.inputs[order], self.labels[order], self.true_labels[order], self.corrupted[order])


@dataclass(frozen=True)
class Problem:
    """A training set and a test set."""

    train: Dataset
    test: Dataset


def modular_problem(p: int, operation: str = "add", alpha: float = 0.5, xi: float = 0.0, seed: int = 0,
                    test_alpha: float | None = None) -> Problem:
    """Modular arithmetic, split and corrupted.

    Parameters
    ----------
    p : int
        The modulus.
    operation : {"add", "subtract", "multiply", "divide"}
    alpha : float
        The fraction of all pairs in the training set, in (0, 1].
    xi : float
        The fraction of training labels that are redrawn, in [0, 1].
    seed : int
        Of the split and of the corruption.
    test_alpha : float, optional
        Where the test set begins, see `split_indices`.

    Returns
    -------
    Problem
        Both sets in the order of `all_pairs`.
    """
    pairs, labels = all_pairs(p, operation)
    train, test = split_indices(len(pairs), alpha, seed, test_alpha)
    given, corrupted = corrupt(labels, train, xi, p, seed)
    sets = (Dataset(pairs[train], given, labels[train], corrupted),
            Dataset(pairs[test], labels[test], labels[test], np.zeros(len(test), dtype=bool)))
    return Problem(*sets)
