"""The tasks: an operation on pairs of residues modulo p.

    add        (m + n) mod p        multiply   (m n) mod p
    subtract   (m - n) mod p        divide     (m n^-1) mod p, for prime p and n != 0

For prime p the inverse is n^-1 = n^(p-2) (Fermat), since n^(p-1) = 1.
"""

from __future__ import annotations

import numpy as np

OPERATIONS = ("add", "subtract", "multiply", "divide")


def is_prime(p: int) -> bool:
    """Whether p is a prime number."""
    return p >= 2 and all(p % d for d in range(2, int(p ** 0.5) + 1))


def all_pairs(p: int, operation: str) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of residues and its label, ordered by m, then n.

    Parameters
    ----------
    p : int
        The modulus, at least 2.
    operation : {"add", "subtract", "multiply", "divide"}

    Returns
    -------
    pairs : int64 array (p^2, 2); for divide (p (p - 1), 2), without n = 0
    labels : int64 array (p^2,)

    Raises
    ------
    ValueError
        If p < 2, the operation is unknown, or p is not prime and the operation is divide.
    """
    if p < 2:
        raise ValueError(f"p must be at least 2, got {p}")
    if operation not in OPERATIONS:
        raise ValueError(f"operation must be one of {', '.join(OPERATIONS)}, got {operation!r}")
    if operation == "divide" and not is_prime(p):
        raise ValueError(f"p must be prime for operation divide (others have residues without an inverse), got {p}")
    first = 1 if operation == "divide" else 0
    m, n = (axis.reshape(-1) for axis in np.meshgrid(np.arange(p), np.arange(first, p), indexing="ij"))
    if operation == "add":
        labels = m + n
    elif operation == "subtract":
        labels = m - n
    elif operation == "multiply":
        labels = m * n
    else:
        inverse = np.array([pow(k, p - 2, p) for k in range(p)])
        labels = m * inverse[n]
    return np.stack([m, n], axis=1), labels % p
