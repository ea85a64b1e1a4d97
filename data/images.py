"""Real images: handwritten digits, with a fraction of the training labels wrong.

The training set is the first D images of the file, the test set all its test images, which are others. An image is a
row of its pixels, from 0 (paper) to 1 (ink). Labels are corrupted as those of modular arithmetic are (`corruption`),
with the ten digits in the place of the p residues: of the corrupted labels one in ten is right by chance.

References
----------
The MNIST database of handwritten digits, Y. LeCun, C. Cortes and C. J. C. Burges, CC BY-SA 3.0; see README.md here.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from data.corruption import corrupt
from data.dataset import Dataset, Problem

TRAIN_IMAGES, TEST_IMAGES = 7000, 2000
PIXELS = 28 * 28
DIGITS = 10
INK = 255

FILE = Path(__file__).with_name("mnist.npz")


@lru_cache(maxsize=1)
def mnist_arrays() -> dict[str, np.ndarray]:
    """What the file holds, as it stands there.

    Returns
    -------
    dict of str to uint8 array
        "train_images" (7000, 28, 28), "train_labels" (7000,), "test_images" (2000, 28, 28), "test_labels" (2000,).
    """
    with np.load(FILE, allow_pickle=False) as arrays:
        return dict(arrays)


def mnist_problem(examples: int, xi: float = 0.0, seed: int = 0) -> Problem:
    """MNIST digits, the labels of the training set corrupted.

    Parameters
    ----------
    examples : int
        D, the images to train on: the first ones of the file, at most 7000.
    xi : float
        The fraction of training labels that are redrawn, in [0, 1].
    seed : int
        Of the corruption.

    Returns
    -------
    Problem
        Inputs are float64 rows (D, 784), which cannot be written to.
    """
    arrays = mnist_arrays()
    train_labels, test_labels = (arrays[f"{name}_labels"].astype(np.int64) for name in ("train", "test"))
    given, corrupted = corrupt(train_labels, np.arange(examples), xi, DIGITS, seed)
    return Problem(
        Dataset(_rows("train", examples), given, train_labels[:examples], corrupted),
        Dataset(_rows("test", TEST_IMAGES), test_labels, test_labels, np.zeros(TEST_IMAGES, dtype=bool)))


@lru_cache(maxsize=4)
def _rows(name: str, examples: int) -> np.ndarray:
    """The first images, a row each: one array for all who ask, so that the runs of a stack can share it."""
    rows = mnist_arrays()[f"{name}_images"][:examples].reshape(-1, PIXELS) / INK
    rows.flags.writeable = False
    return rows
