"""What a vector along the residues is made of: its discrete Fourier transform.

    X_j = sum_i x_i exp(-2 pi sqrt(-1) i j / p)          j = 0 ... p // 2

for a real vector x of length p. The other half of the frequencies says the same again (X_(p-j) is the conjugate of X_j)
and is left out: this is the *one-sided* transform. X_0 is the constant term, the sum of x. The power of frequency j is
|X_j|^2, and its share is

    s_j = |X_j|^2 / sum_l |X_l|^2

A pure cosine of any phase has one share of 1. Shares do not change when x is scaled, nor when it is shifted cyclically
(each X_j then turns by a phase).

Everything is computed in float64, whatever the type of x, and shares after dividing x by its largest entry: weights
under strong decay fall below 1e-40, and powers overflow and underflow long before the numbers themselves do.
"""

from __future__ import annotations

import numpy as np

from backend import Array, array_module


def fourier_transform(x: Array) -> Array:
    """The one-sided transform along the last axis.

    Parameters
    ----------
    x : real array (..., p)

    Returns
    -------
    X : complex128 array (..., p // 2 + 1)
    """
    return array_module(x).fft.rfft(x.astype(np.float64, copy=False), axis=-1)


def power_spectrum(x: Array) -> Array:
    """|X_j|^2 for x (..., p), as a float64 array (..., p // 2 + 1)."""
    X = fourier_transform(x)
    return X.real ** 2 + X.imag ** 2


def power_shares(x: Array, constant: bool = True) -> Array:
    """The share of each frequency in the power of x.

    Parameters
    ----------
    x : real array (..., p)
    constant : bool
        Whether the constant term counts; if not, its share is 0 and the others are shares of the rest.

    Returns
    -------
    shares : float64 array (..., p // 2 + 1)
        They sum to 1, or are all 0 where there is no power at all (x zero, or constant and the constant term left out).
        Where x is not finite they are NaN.
    """
    x = x.astype(np.float64)
    x = _over_positive(x, abs(x).max(axis=-1, keepdims=True))
    if not constant:
        # This changes the constant term only, and makes exact zeros of a constant vector; subtracting the mean would
        # leave rounding errors, whose shares look like a spectrum.
        x = x - x[..., :1]
    power = power_spectrum(x)
    if not constant:
        power[..., 0] = 0
    return _over_positive(power, power.sum(axis=-1, keepdims=True))


def dominant_frequency(x: Array) -> Array:
    """The frequency j >= 1 with the largest share.

    Parameters
    ----------
    x : real array (..., p)

    Returns
    -------
    frequency : integer array (...)
        0 where x is constant and has none.
    """
    return power_shares(x, constant=False).argmax(axis=-1)


def _over_positive(x, positive):
    """Divide x, but leave it as it is where the divisor is 0; infinite x become NaN without a warning."""
    with np.errstate(invalid="ignore"):
        return x / array_module(x).where(positive == 0, 1, positive)
