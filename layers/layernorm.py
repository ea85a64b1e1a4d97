"""LayerNorm: every row gets mean 0 and variance 1 over its features.

    mu = mean_k x_k      v = mean_k (x_k - mu)^2      r = 1 / sqrt(v + eps)
    x^ = (x - mu) r      y = gamma x^ + beta

The algebra is BatchNorm's with features in place of rows, one row at a time (there the way through mu and v is
derived):

    dbeta = sum_d dy_d       dgamma = sum_d dy_d x^_d       dx^ = gamma dy
    dx = r (dx^ - mean_k(dx^) - x^ mean_k(dx^ x^))

Unlike there, gamma varies along the axis of the means, so dx^ must be formed before they are taken. Rows stay
independent, and training does not differ from evaluation.

References
----------
Ba, Kiros, Hinton (arXiv 1607.06450), section 3.
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING, Layer, Parameter
from layers.initial import constant


class LayerNorm(Layer):
    """y = gamma (x - mean) / sqrt(variance + eps) + beta, over the features of each row.

    Parameters
    ----------
    width : int
        The number of features N.
    eps : float
        Added to the variance.
    """

    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.parameters["gamma"] = Parameter((1, width), constant(1), decay=False)
        self.parameters["beta"] = Parameter((1, width), constant(0), decay=False)

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, N) -> y of the same shape."""
        centred = x - x.mean(axis=-1, keepdims=True)
        v = (centred * centred).mean(axis=-1, keepdims=True)
        cache.r = 1 / array_module(x).sqrt(v + self.eps)
        cache.x_hat = centred * cache.r
        return self.gamma * cache.x_hat + self.beta

    def backward(self, dy, cache, grads):
        """dy (..., D, N) -> dx of the same shape; adds to grads.gamma and grads.beta."""
        x_hat = cache.x_hat
        grads.beta += dy.sum(axis=-2, keepdims=True)
        grads.gamma += (dy * x_hat).sum(axis=-2, keepdims=True)
        dx_hat = self.gamma * dy
        along_one = dx_hat.mean(axis=-1, keepdims=True)
        along_x_hat = (dx_hat * x_hat).mean(axis=-1, keepdims=True)
        return cache.r * (dx_hat - along_one - x_hat * along_x_hat)
