"""Initial values of parameters: each function returns a rule that draws an array of a given shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Initial = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(std: float) -> Initial:
    """Gaussian with mean 0 and standard deviation `std`."""
    return lambda rng, shape: rng.normal(0.0, std, shape)


def uniform(bound: float) -> Initial:
    """Uniform on (-bound, bound)."""
    return lambda rng, shape: rng.uniform(-bound, bound, shape)


def constant(value: float) -> Initial:
    """Every entry the same."""
    return lambda rng, shape: np.full(shape, float(value))
