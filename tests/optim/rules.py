"""The optimisers' rules for one number, in plain Python: what the arrays must agree with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from backend import open_device
from layers.store import Store

SHAPES = {"U": (4, 3), "gamma": (1, 3), "beta": (1, 3), "W": (3, 4), "bias": (1, 4)}
DECAYED = ("U", "W")
STEPS = 20


def store(stack: tuple[int, ...] = (), dtype: str = "float64", seed: int = 0) -> Store:
    """Parameters of a small network with everything that decay treats apart, at random values."""
    made = Store(SHAPES, stack, open_device("numpy", dtype), decayed=DECAYED)
    made.flat[...] = np.random.default_rng(seed).normal(size=made.flat.shape)
    return made


def gradients(like: Store, steps: int = STEPS, seed: int = 1) -> np.ndarray:
    """Random gradients for some steps, of very different sizes, as they are in training: array (steps, size)."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-6, 2, size=like.flat.shape)
    return (rng.normal(size=(steps, like.flat.size)) * sizes).astype(like.flat.dtype)


def sgd(w: float, gradients: Sequence[float], rate: float, decay: float, momentum=0.9) -> float:
    m = 0.0
    for g in gradients:
        m = momentum * m + (g + decay * w)
        w -= rate * m
    return w


def adam(w: float, gradients: Sequence[float], rate: float, decay: float, betas=(0.9, 0.98), eps=1e-8) -> float:
    (b1, b2), m, v = betas, 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        g = gradient + decay * w
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        w -= rate * (m / (1 - b1 ** t)) / (math.sqrt(v / (1 - b2 ** t)) + eps)
    return w


def adamw(w: float, gradients: Sequence[float], rate: float, decay: float, betas=(0.9, 0.98), eps=1e-8) -> float:
    (b1, b2), m, v = betas, 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        w *= 1 - rate * decay
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        w -= rate * (m / (1 - b1 ** t)) / (math.sqrt(v / (1 - b2 ** t)) + eps)
    return w
