"""BatchNorm: every feature gets mean 0 and variance 1 over the rows of the batch.

    mu = mean_d x_d      v = mean_d (x_d - mu)^2      r = 1 / sqrt(v + eps)
    x^ = (x - mu) r      y = gamma x^ + beta

Through gamma and beta the gradient passes as through any linear map:

    dbeta = sum_d dy_d        dgamma = sum_d dy_d x^_d        dx^ = gamma dy

Every row also moves mu and v. Let s = sum_d. From x^ = (x - mu) r, with dr/dv = -r^3 / 2 and dv/dx_d = 2 (x_d - mu) / D
(the way through mu within v vanishes, since s(x - mu) = 0):

    dL/dmu = -r s(dx^)
    dL/dv  = s(dx^ (x - mu)) (-r^3 / 2) = -r^2 s(dx^ x^) / 2
    dx_d   = dx^_d r + dL/dmu / D + dL/dv 2 (x_d - mu) / D
           = r (dx^_d - mean(dx^) - x^_d mean(dx^ x^))

The two means take out of dx^ its part along the constant and along x^: moving x in these directions changes nothing.
(Of x^, |x^|^2 = D v / (v + eps): a projection where eps is small beside v. At the start of the two-layer network eps is
a fifth of v.) With dx^ = gamma dy, the means are dbeta and dgamma times gamma / D.

In evaluation mu and v are running averages of what training saw (v with D - 1 in place of D), and y is linear in x:
dx = gamma r dy.

References
----------
Ioffe, Szegedy (arXiv 1502.03167), algorithm 1; used after the activation in Doshi et al., eq. 5.
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING, Layer, Parameter
from layers.initial import constant


class BatchNorm(Layer):
    """y = gamma (x - mean) / sqrt(variance + eps) + beta.

    Parameters
    ----------
    width : int
        The number of features N.
    eps : float
        Added to the variance. (It matters here: the variance of the squared pre-activation starts near 5e-5.)
    momentum : float
        The weight of the newest batch in the running statistics.
    """

    couples_rows = True

    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.parameters["gamma"] = Parameter((1, width), constant(1), decay=False)
        self.parameters["beta"] = Parameter((1, width), constant(0), decay=False)
        self.buffers["running_mean"] = Parameter((1, width), constant(0))
        self.buffers["running_var"] = Parameter((1, width), constant(1))

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, N) -> y of the same shape; in training, updates the running statistics."""
        xp = array_module(x)
        cache.training = mode.training
        x_hat = cache.x_hat = cache.empty("x_hat", x.shape, like=x)
        y = cache.empty("y", x.shape, like=x)
        if mode.training:
            mu = x.mean(axis=-2, keepdims=True)
            xp.subtract(x, mu, out=x_hat)
            v = xp.multiply(x_hat, x_hat, out=y).mean(axis=-2, keepdims=True)
            self.follow(mu, v, x.shape[-2])
        else:
            xp.subtract(x, self.running_mean, out=x_hat)
            v = self.running_var
        cache.r = 1 / xp.sqrt(v + self.eps)
        x_hat *= cache.r
        xp.multiply(x_hat, self.gamma, out=y)
        y += self.beta
        return y

    def follow(self, mu, v, D):
        """Move the running statistics towards those of a batch of D rows."""
        for running, new in ((self.running_mean, mu), (self.running_var, v * (D / max(D - 1, 1)))):
            running *= 1 - self.momentum
            running += self.momentum * new

    def backward(self, dy, cache, grads):
        """dy (..., D, N) -> dx of the same shape; adds to grads.gamma and grads.beta."""
        xp, x_hat, D = array_module(dy), cache.x_hat, dy.shape[-2]
        dx = cache.empty("dx", dy.shape, like=dy)
        dbeta = dy.sum(axis=-2, keepdims=True)
        dgamma = xp.multiply(dy, x_hat, out=dx).sum(axis=-2, keepdims=True)
        grads.beta += dbeta
        grads.gamma += dgamma
        if cache.training:
            xp.multiply(x_hat, dgamma / -D, out=dx)
            dx -= dbeta / D
            dx += dy
        else:
            dx[...] = dy
        dx *= self.gamma * cache.r
        return dx
