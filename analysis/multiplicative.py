"""Multiplication modulo a prime, seen as addition.

Every residue but 0 is a power of a primitive root g,

    i = g^k mod p        k = 0 ... p - 2,  the discrete logarithm of i

and m n = g^(k + l) for m = g^k and n = g^l: multiplication is addition modulo p - 1 of the logarithms. Zero has none;
it takes part in 2 p - 1 of the p^2 pairs, and all of those have the label 0.

What is periodic for addition, x_i = cos(2 pi s i / p + a), is periodic in the logarithm for multiplication,

    x_(g^k) = cos(2 pi s k / (p - 1) + a)

and along the residues themselves it looks like noise: the transform of x spreads over all frequencies. With
s = (p - 1) / 2 and a = 0, where x is the Legendre symbol, exactly evenly (its Gauss sums are all of size sqrt(p)): an
IPR of 2 / (p - 1), against 1 along the logarithms. So the periodic neurons of a network that multiplies are found by
the IPR of its weights in the order of the logarithms.
"""

from __future__ import annotations

from backend import Array, array_module
from data import is_prime


def has_logarithms(operation: str, p: int) -> bool:
    """Whether an operation modulo p is addition or subtraction of discrete logarithms."""
    return operation in ("multiply", "divide") and is_prime(p)


def primitive_root(p: int) -> int:
    """The smallest residue whose powers are all residues but 0.

    g is one if none of its powers g^((p - 1) / q) is 1, for the primes q that divide p - 1.

    Parameters
    ----------
    p : int
        A prime.

    Returns
    -------
    g : int

    Raises
    ------
    ValueError
        If p is not prime.
    """
    if not is_prime(p):
        raise ValueError(f"p must be prime, got {p}")
    primes = [q for q in range(2, p) if (p - 1) % q == 0 and is_prime(q)]
    return next(g for g in range(1, p) if all(pow(g, (p - 1) // q, p) != 1 for q in primes))


def by_logarithm(x: Array) -> Array:
    """A vector along the residues, in the order of their discrete logarithms.

    Parameters
    ----------
    x : array (..., p)
        p a prime.

    Returns
    -------
    array (..., p - 1)
        x at 1, g, g^2, ..., g^(p - 2), with g the smallest primitive root; its value at 0 is left out.

    Raises
    ------
    ValueError
        If p is not prime.
    """
    p = x.shape[-1]
    g = primitive_root(p)
    return x[..., array_module(x).asarray([pow(g, k, p) for k in range(p - 1)])]
