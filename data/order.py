"""The order of the examples within a set.

A full batch has no order of its own, so it gets one that is good for its gradients: neighbours should read the same few
rows of the tables U and V (`rows.RowSums`). The table of all pairs (m, n) is cut into strips of neighbouring m, and
each strip is read by n: some three hundred examples in a row then have about as many different m as n.
"""

from __future__ import annotations

import math

import numpy as np

IN_A_SQUARE = 300
"""About how many examples a strip has among as many neighbouring n as it has m."""


def block_order(pairs: np.ndarray) -> np.ndarray:
    """An order of pairs in which neighbours have neighbouring m as well as neighbouring n.

    Parameters
    ----------
    pairs : integer array (D, 2)

    Returns
    -------
    order : integer array (D,)
    """
    strips = max(1, round(math.sqrt(len(pairs) / IN_A_SQUARE)))
    m, n = pairs.T
    by_m = np.lexsort((n, m))
    return np.concatenate([strip[np.lexsort((m[strip], n[strip]))] for strip in np.array_split(by_m, strips)])
