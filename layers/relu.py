"""ReLU: the rectifier.

    y = max(x, 0)                  dx = dy where x > 0, otherwise 0

At the kink x = 0 there is no derivative; the left one, 0, is taken, as everywhere in the field.
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING, Layer


class ReLU(Layer):
    """y = max(x, 0), elementwise.

    The cache keeps `active` = (x > 0): where it differs between two points, a kink lies between them, and no difference
    quotient over the two is a derivative (the gradient check leaves these out).
    """

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, N) -> y of the same shape."""
        cache.active = x > 0
        return array_module(x).maximum(x, 0, out=cache.empty("y", x.shape, like=x))

    def backward(self, dy, cache, grads):
        """dy (..., D, N) -> dx of the same shape."""
        return array_module(dy).multiply(dy, cache.active, out=cache.empty("dx", dy.shape, like=dy))
