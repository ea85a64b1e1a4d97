"""Linear: a product with a matrix.

    y = x W + b                    y_dj = sum_i x_di W_ij + b_j

Each of x, W and b enters y linearly, so the derivatives are the other factors:

    dL/dx_di = sum_j dL/dy_dj W_ij          dx = dy W^T
    dL/dW_ij = sum_d x_di dL/dy_dj          dW = x^T dy
    dL/db_j  = sum_d dL/dy_dj               db = sum over rows of dy
"""

from __future__ import annotations

from layers.base import EVALUATING, Layer, Parameter
from layers.initial import Initial, constant, normal
from products import matmul


class Linear(Layer):
    """y = x W + b.

    Parameters
    ----------
    n_in, n_out : int
    bias : bool
        Whether b is added; b starts at zero unless `initial_bias` says otherwise.
    initial, initial_bias : Initial, optional
        Draw W (by default N(0, 1 / n_in)) and b.
    """

    def __init__(self, n_in: int, n_out: int, bias: bool = False, initial: Initial | None = None,
                 initial_bias: Initial | None = None):
        super().__init__()
        self.parameters["W"] = Parameter((n_in, n_out), initial or normal(n_in ** -0.5))
        if bias:
            self.parameters["b"] = Parameter((1, n_out), initial_bias or constant(0), decay=False)

    def forward(self, x, cache, mode=EVALUATING):
        """x (D, n_in) or (..., D, n_in) -> y (..., D, n_out)."""
        cache.x = x
        stack = self.W.shape[:-2]  # x may lack it: then all runs share x
        y = matmul(x, self.W, out=cache.empty("y", (*stack, x.shape[-2], self.W.shape[-1]), like=x))
        if "b" in self.parameters:
            y += self.b
        return y

    def backward(self, dy, cache, grads):
        """dy (..., D, n_out) -> dx (..., D, n_in); adds to grads.W and grads.b."""
        x = cache.x
        grads.W += matmul(x.mT, dy, out=cache.empty("dW", self.W.shape, like=dy))
        if "b" in self.parameters:
            grads.b += dy.sum(axis=-2, keepdims=True)
        return matmul(dy, self.W.mT, out=cache.empty("dx", (*dy.shape[:-1], x.shape[-1]), like=dy))
