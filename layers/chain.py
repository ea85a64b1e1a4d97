"""Networks out of layers: one after another, and around a shortcut.

    Chain:     y = f_n(... f_2(f_1(x)))        dx = J_1^T J_2^T ... J_n^T dy        (the chain rule, from the right)
    Residual:  y = x + f(x)                    dx = dy + J^T dy

J is the matrix of derivatives of a layer's output by its input; no layer ever forms it, `backward` multiplies by J^T.
"""

from __future__ import annotations

from layers.base import EVALUATING, Layer


class Chain(Layer):
    """Layers applied one after another.

    Parameters
    ----------
    **layers : Layer
        In the order of the forward pass, each under the name that its cache, gradients and parameters go by.
    """

    def __init__(self, **layers: Layer):
        super().__init__()
        self.layers = layers

    @property
    def couples_rows(self):
        """Whether one of the layers does."""
        return any(layer.couples_rows for layer in self.layers.values())

    def forward(self, x, cache, mode=EVALUATING):
        """x -> y, through every layer in order."""
        for name, layer in self.layers.items():
            x = layer.forward(x, cache[name], mode)
        return x

    def backward(self, dy, cache, grads):
        """dy -> dx, through every layer in the opposite order."""
        for name, layer in reversed(self.layers.items()):
            dy = layer.backward(dy, cache[name], grads[name])
        return dy


class Residual(Chain):
    """y = x + f(x), where f is the chain of the given layers and keeps the shape."""

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, d) -> y of the same shape."""
        return x + super().forward(x, cache, mode)

    def backward(self, dy, cache, grads):
        """dy (..., D, d) -> dx of the same shape."""
        return dy + super().backward(dy, cache, grads)
