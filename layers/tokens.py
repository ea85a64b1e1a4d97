"""LastToken: the prediction is read from an example's last token.

    y_d = x_(d,T)                  dx_(d,T) = dy_d, and 0 for the other tokens
"""

from __future__ import annotations

from layers.base import EVALUATING, Layer


class LastToken(Layer):
    """Keep the last of the T rows of each example."""

    def __init__(self, tokens: int):
        super().__init__()
        self.tokens = tokens

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D T, d) -> y (..., D, d)."""
        cache.shape = x.shape
        return x.reshape(*x.shape[:-2], -1, self.tokens, x.shape[-1])[..., -1, :]

    def backward(self, dy, cache, grads):
        """dy (..., D, d) -> dx (..., D T, d)."""
        dx = cache.empty("dx", cache.shape, like=dy)
        dx[...] = 0
        dx.reshape(*dx.shape[:-2], -1, self.tokens, dx.shape[-1])[..., -1, :] = dy
        return dx
