"""Scale: a fixed factor, such as the 1/d on the output of a mu-parametrised network.

    y = s x                        dx = s dy
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING, Layer


class Scale(Layer):
    """y = s x for a fixed number s."""

    def __init__(self, s: float):
        super().__init__()
        self.s = s

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, N) -> y of the same shape."""
        return array_module(x).multiply(x, self.s, out=cache.empty("y", x.shape, like=x))

    def backward(self, dy, cache, grads):
        """dy (..., D, N) -> dx of the same shape."""
        return array_module(dy).multiply(dy, self.s, out=cache.empty("dx", dy.shape, like=dy))
