"""The inverse participation ratio: how few frequencies a neuron uses.

For a vector x along the residues, with one-sided transform X and shares s_j = |X_j|^2 / sum_l |X_l|^2 (`fourier`),

    IPR(x) = sum_j |X_j|^4 / (sum_j |X_j|^2)^2 = sum_j s_j^2

which lies between 1 / (p // 2 + 1), all frequencies alike, and 1, a single frequency: 1/IPR is the number of
frequencies that take part. At p = 97 a cosine has 1, a one-hot vector 1/49, a Gaussian vector about 0.04. An all-zero
vector has 0 by definition.

The paper counts the constant term. So a constant vector has IPR 1 as well, and a network whose weights collapse ends
with an IPR near 1 that is no sign of a periodic solution; the IPR without the constant term tells the two apart. (With
the two-sided transform a cosine would have 1/2.)

References
----------
Doshi et al. (arXiv 2310.13061), eq. 3 and 4.
"""

from __future__ import annotations

from analysis.fourier import power_shares
from backend import Array


def ipr(x: Array, constant: bool = True) -> Array:
    """IPR along the last axis.

    Parameters
    ----------
    x : real array (..., p)
    constant : bool
        Whether the constant term counts, as in the paper.

    Returns
    -------
    ipr : float64 array (...)
        0 where no term that counts has any power.
    """
    return (power_shares(x, constant) ** 2).sum(axis=-1)


def neuron_ipr(*arrays: Array, constant: bool = True) -> Array:
    """The IPR of each neuron: the mean of the IPRs of the vectors that belong to it (eq. 4).

    Parameters
    ----------
    *arrays : real array (..., N, p)
        As `network.neurons()` returns them: columns of U and V and row of W of neuron k in the two-layer network.
    constant : bool
        As in `ipr`.

    Returns
    -------
    ipr : float64 array (..., N)
    """
    return sum(ipr(x, constant) for x in arrays) / len(arrays)


def mean_ipr(*arrays: Array, constant: bool = True) -> Array:
    """The IPR of a network: the mean over its neurons, arrays (..., N, p) -> (...)."""
    return neuron_ipr(*arrays, constant=constant).mean(axis=-1)
