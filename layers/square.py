"""Square: the activation of the two-layer network (Doshi et al., eq. 1).

    y = x^2                        dx = 2 x dy
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING, Layer


class Square(Layer):
    """y = x^2, elementwise."""

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, N) -> y of the same shape."""
        cache.x = x
        return array_module(x).multiply(x, x, out=cache.empty("y", x.shape, like=x))

    def backward(self, dy, cache, grads):
        """dy (..., D, N) -> dx of the same shape."""
        dx = array_module(dy).multiply(dy, cache.x, out=cache.empty("dx", dy.shape, like=dy))
        dx *= 2
        return dx
