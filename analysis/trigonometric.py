"""How much of a network's answer is the rule: the trigonometric subspace of its logits.

A network that has learnt to add modulo p does so by waves (Nanda et al.): for some frequencies w its logits are

    z_c(m, n) = sum_w A_w cos(2 pi w (m + n - c) / p)

up to a constant for each example, which no softmax sees. Such logits depend on the residue r = y - c alone, where
y = m + n is the answer. The cosines and sines of 2 pi w (y - c) / p, over all examples e and classes c, span the
*trigonometric subspace*; with all frequencies w = 1 ... p // 2 it holds every function of r whose mean is zero. Of any
set of examples each has every residue once. So the orthogonal projection needs no waves, and not all examples: it is
the mean over all entries that share a residue,

    f_r = 1/D sum_e z[e, y_e - r]           r = 0 ... p - 1, of D examples; z with each example's mean taken off
    P z[e, c] = f_(y_e - c)                 the restricted logits
    z - P z                                 the excluded logits

and with some of the frequencies only, f keeps its Fourier components at those. Since each f_r stands D times in P z,
the share of the norm that lies within the subspace is

    ||P z|| / ||z|| = sqrt(D) ||f|| / ||z||

What should count are examples that the network was not trained on. Right labels that are known by heart look like the
rule: a table with a logit of 1 at the right class of a share alpha of the examples, and 0 elsewhere, has f_0 = alpha up
to a constant and, of all examples, sqrt(alpha) of its norm within the subspace (0.95 at alpha = 0.9). Of examples
outside of the table it has nothing. Random labels leave nothing there but by chance, as f_r is a mean over D logits.

The labels may be those of any operation. But multiplication is addition of discrete logarithms
(`analysis.multiplicative`): its waves are not functions of y - c.

References
----------
Nanda et al. (arXiv 2301.05217), restricted and excluded loss, over all examples; Varma et al. (arXiv 2309.02390), who
call a network purely generalising if the subspace holds more than 95% of the norm of its logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.fourier import power_shares
from backend import Array, array_module


def centred(logits: Array) -> Array:
    """Logits (..., D, p) with each example's mean taken off: the softmax is the same."""
    return logits - logits.mean(axis=-1, keepdims=True)


def residue_means(logits: Array, labels: Array) -> Array:
    """f_r, the mean over the examples of the centred logit at class y - r.

    Parameters
    ----------
    logits : float array (..., D, p)
        Of any examples, at least one.
    labels : integer array (D,)
        Their right answers y.

    Returns
    -------
    f : float64 array (..., p)
        Its mean is zero.

    Raises
    ------
    ValueError
        If there is no example.
    """
    xp, p = array_module(logits), logits.shape[-1]
    if not len(labels):
        raise ValueError("the trigonometric subspace needs at least one example, got none")
    # The class y - r has the residue r, as the class c has the residue y - c.
    classes = xp.broadcast_to(_differences(labels, p, xp), logits.shape)
    return xp.take_along_axis(centred(logits.astype(float)), classes, axis=-1).mean(axis=-2)


def by_residue(f: Array, labels: Array) -> Array:
    """f_(y_e - c): f (..., p) and labels (D,) -> (..., D, p), the logits of any examples that follow f."""
    xp = array_module(f)
    return f[..., _differences(labels, f.shape[-1], xp)]


def at_frequencies(f: Array, frequencies: Sequence[int]) -> Array:
    """The components of f at some frequencies.

    Parameters
    ----------
    f : float array (..., p)
    frequencies : sequence of int
        From 1 to p // 2.

    Returns
    -------
    float64 array (..., p)

    Raises
    ------
    ValueError
        If a frequency is out of range.
    """
    xp, p = array_module(f), f.shape[-1]
    if any(not 1 <= w <= p // 2 for w in frequencies):
        raise ValueError(f"frequencies must lie between 1 and {p // 2}, got {list(frequencies)}")
    kept = np.zeros(p // 2 + 1)
    kept[list(frequencies)] = 1
    return xp.fft.irfft(xp.fft.rfft(f, axis=-1) * xp.asarray(kept), n=p, axis=-1)


def key_frequencies(f: Array, share: float = 0.01) -> list[int]:
    """The frequencies that f (p,) is made of: those with at least this share of its power, the strongest first."""
    shares = power_shares(f, constant=False)
    return [int(w) for w in shares.argsort()[::-1] if shares[w] >= share]


def restricted_logits(logits: Array, labels: Array, frequencies: Sequence[int] | None = None) -> Array:
    """P z, the projection of logits on the trigonometric subspace.

    Parameters
    ----------
    logits, labels
        As for `residue_means`.
    frequencies : sequence of int, optional
        Those of the subspace; by default all.

    Returns
    -------
    float64 array (..., D, p)

    Raises
    ------
    ValueError
        As `residue_means` and `at_frequencies`.
    """
    f = residue_means(logits, labels)
    return by_residue(f if frequencies is None else at_frequencies(f, frequencies), labels)


def excluded_logits(logits: Array, labels: Array, frequencies: Sequence[int] | None = None) -> Array:
    """z - P z; as `restricted_logits`, with which they add up to the centred logits."""
    return centred(logits.astype(float)) - restricted_logits(logits, labels, frequencies)


def trigonometric_share(logits: Array, labels: Array) -> Array:
    """||P z|| / ||z||, the share of the norm of the logits that lies within the trigonometric subspace.

    Parameters
    ----------
    logits, labels
        As for `residue_means`.

    Returns
    -------
    share : float64 array (...)
        In [0, 1]; 0 where all logits of each example are equal.
    """
    xp = array_module(logits)
    inside = xp.square(residue_means(logits, labels)).sum(axis=-1) * logits.shape[-2]
    whole = xp.square(centred(logits.astype(float))).sum(axis=(-2, -1))
    return xp.sqrt(inside / xp.where(whole == 0, 1, whole))


def _differences(labels, p, xp):
    """(y_e - c) mod p for all examples and classes, (D, p)."""
    return (xp.asarray(labels)[:, None] - xp.arange(p)) % p
