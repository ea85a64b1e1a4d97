"""GELU in its tanh form: a smooth rectifier.

    y = x (1 + t) / 2,   t = tanh(u),   u = c (x + a x^3),   c = sqrt(2 / pi),  a = 0.044715

With tanh' = 1 - t^2 and du/dx = c (1 + 3 a x^2), the product rule gives

    dy/dx = (1 + t) / 2 + x (1 - t^2) c (1 + 3 a x^2) / 2

References
----------
Hendrycks, Gimpel, "Gaussian Error Linear Units" (arXiv 1606.08415), section 2.
"""

from __future__ import annotations

import math

from backend import array_module
from layers.base import EVALUATING, Layer

C = math.sqrt(2 / math.pi)
A = 0.044715


class GELU(Layer):
    """y = x (1 + tanh(c (x + a x^3))) / 2, elementwise."""

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, N) -> y of the same shape."""
        cache.x = x
        cache.t = array_module(x).tanh(C * (x + A * x * x * x))
        return 0.5 * x * (1 + cache.t)

    def backward(self, dy, cache, grads):
        """dy (..., D, N) -> dx of the same shape."""
        x, t = cache.x, cache.t
        return dy * 0.5 * (1 + t + x * (1 - t * t) * C * (1 + 3 * A * x * x))
