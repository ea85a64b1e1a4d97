"""Weights in closed form that add modulo p.

The two-layer network f_q(m, n) = sum_k W_kq (U_mk + V_nk)^2 is given, for each neuron k, one frequency s and two phases
a and b, uniform in [0, 2 pi):

    U_mk = c cos A      A = 2 pi s m / p + a
    V_nk = c cos B      B = 2 pi s n / p + b
    W_kq = c cos C      C = 2 pi s q / p + a + b

Why this adds. The square of the hidden unit is

    (cos A + cos B)^2 = 1 + cos(2A)/2 + cos(2B)/2 + cos(A + B) + cos(A - B)

and each term times cos C splits into a sum and a difference of angles, since 2 cos x cos y = cos(x + y) + cos(x - y).
The phases in the resulting angles are

    1            a + b                       cos(A + B)     2a + 2b  and  0
    cos(2A)      3a + b  and  a - b          cos(A - B)     2a       and  2b
    cos(2B)      a + 3b  and  b - a

A cosine of a uniform phase averages to zero. One term has none, cos(A + B - C)/2, and survives the sum over neurons:

    f_q(m, n)  ->  c^3 N/2 mean_s cos(2 pi s (m + n - q) / p)

With every frequency 1 ... (p - 1)/2 used equally often and p odd, the sum of cos(2 pi s x / p) over s is p/2 - 1/2 at
x = 0 and -1/2 at every other residue x. So f_q tends to c^3 N/2 times 1 at q = m + n and -1/(p - 1) elsewhere: a
modular Kronecker delta. The other terms sum to something of order c^3 sqrt(N), smaller by 1/sqrt(N). All of this is
modulo p, and for addition: the angles would not fit together for another operation.

For even p the frequencies are 1 ... p/2 - 1. (The wave of frequency p/2 meets the residues at two of its points only,
so that its phase would change its amplitude.) Their sum is p/2 - 1 at x = 0, and elsewhere -1 for even x and 0 for odd
x: not quite a delta, but the largest logit is still the right one.

For subtraction, B = -2 pi s n / p + b turns m + n into m - n everywhere above.

References
----------
Gromov (arXiv 2301.02679); Doshi et al. (arXiv 2310.13061), eq. 2.
"""

from __future__ import annotations

import numpy as np

import streams

SIGN_OF_N = {"add": 1, "subtract": -1}


def analytic_weights(p: int, width: int, seed: int = 0, scale: float | None = None,
                     operation: str = "add") -> dict[str, np.ndarray]:
    """Weights for a `TwoLayerNetwork` with square activation, to be given to its `load_state`.

    Parameters
    ----------
    p : int
        The modulus, at least 3.
    width : int
        N, the number of neurons. Accuracy is perfect when it is large enough (500 at p = 97).
    seed : int
        Of the phases and of the assignment of frequencies to neurons.
    scale : float, optional
        c. Accuracy does not depend on it; by default (2/N)^(1/3), with which the label's logit is 1 on average.
    operation : {"add", "subtract"}
        What the network computes of m and n, modulo p.

    Returns
    -------
    state : dict with float64 arrays U (p, N), V (p, N), W (N, p)

    Raises
    ------
    ValueError
        If p is too small for a frequency, or the operation has another name.
    """
    if p < 3:
        raise ValueError(f"p must be at least 3, got {p}")
    if operation not in SIGN_OF_N:
        raise ValueError(f"operation must be one of {', '.join(SIGN_OF_N)}, got {operation!r}")
    rng = streams.generator(seed, streams.ANALYSIS, streams.number_of("analytic solution"))
    a, b = rng.uniform(0, 2 * np.pi, (2, width))
    # As even as can be: all frequencies in turn, then shuffled over the neurons.
    s = rng.permutation(1 + np.arange(width) % ((p - 1) // 2))
    # Reduced modulo p while it is an integer: a cosine of a large angle would carry the angle's rounding error.
    angle = 2 * np.pi / p * (np.arange(p)[:, None] * s % p)
    c = (2 / width) ** (1 / 3) if scale is None else scale
    return {"U": c * np.cos(angle + a),
            "V": c * np.cos(SIGN_OF_N[operation] * angle + b),
            "W": c * np.cos(angle + a + b).T}
