"""Adam: each weight moves by its mean gradient over the root of its mean squared gradient.

    g <- g + decay w
    m <- b1 m + (1 - b1) g            m^ = m / (1 - b1^t)
    v <- b2 v + (1 - b2) g^2          v^ = v / (1 - b2^t)
    w <- w - rate m^ / (sqrt(v^) + eps)

m and v start at zero, so after t steps they hold only the shares 1 - b1^t and 1 - b2^t of a mean; m^ and v^ make up for
it.

References
----------
Kingma, Ba (arXiv 1412.6980), algorithm 1. Betas (0.9, 0.98) as in Doshi et al.
"""

from __future__ import annotations

import math

from backend import array_module
from optim.base import Optimizer


class Adam(Optimizer):
    """Adam, with weight decay as part of the gradient (so that it is divided by the root as well).

    Parameters
    ----------
    store, learning_rate, weight_decay
        As for `Optimizer`.
    betas : tuple of two floats
        b1 and b2, in [0, 1).
    eps : float
    """

    moments = ("m", "v")

    def __init__(self, store, learning_rate, weight_decay=0.0, betas=(0.9, 0.98), eps=1e-8):
        super().__init__(store, learning_rate, weight_decay)
        self.betas, self.eps = betas, eps

    def update(self, w, g, m, v, work, *, rate, decay):
        """w, g, m, v, work (R, size); see `Optimizer.update`."""
        if decay is not None:
            g = g + self.factor(decay) * w
        self.adapt(w, g, m, v, work, rate)

    def adapt(self, w, g, m, v, work, rate):
        """The last three lines of the rule."""
        xp, (b1, b2) = array_module(w), self.betas
        m *= b1
        m += xp.multiply(g, 1 - b1, out=work)
        v *= b2
        xp.multiply(g, g, out=work)
        work *= 1 - b2
        v += work
        # Both corrections go into the rate: m^ / (sqrt(v^) + eps) = root / (1 - b1^t) m / (sqrt(v) + root eps).
        root = math.sqrt(1 - b2 ** self.steps)
        xp.sqrt(v, out=work)
        work += root * self.eps
        xp.divide(m, work, out=work)
        work *= self.factor(rate * root / (1 - b1 ** self.steps))
        w -= work
