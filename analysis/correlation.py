"""The rank correlation of Spearman: how far one quantity grows with another, in whatever curve.

    rho(x, y) = the correlation of the ranks of x and y

It is 1 where y grows with x throughout, -1 where it falls, and near 0 where they have nothing to do with each other.
Equal values share the mean of their ranks.
"""

from __future__ import annotations

import numpy as np


def ranks(x: np.ndarray) -> np.ndarray:
    """The rank 1 ... n of each of n values, x (n,) -> float64 array (n,); equal values have the mean of their ranks."""
    _, group, sizes = np.unique(x, return_inverse=True, return_counts=True)
    # A group of equal values ends at the rank that counts it and all smaller ones.
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group]


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's rho.

    Parameters
    ----------
    x, y : array (n,)
        Without NaN.

    Returns
    -------
    rho : float in [-1, 1], or None
        None where x or y has a single value only: nothing grows.
    """
    x, y = (rank - rank.mean() for rank in (ranks(x), ranks(y)))
    norm = np.sqrt(x @ x) * np.sqrt(y @ y)
    return float(x @ y / norm) if norm > 0 else None
