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

import numpy as np

from backend import Kernel, array_module, loop
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

    def update(self, w, g, m, v, *, rate, decay):
        """w, g, m, v (R, size); see `Optimizer.update`."""
        if decay is not None:
            g = g + self.factor(decay) * w
        self.adapt(w, g, m, v, rate)

    def adapt(self, w, g, m, v, rate, shrink=1.0):
        """The last three lines of the rule; w is multiplied by shrink first."""
        xp, (b1, b2) = array_module(w), self.betas
        # Both corrections go into the rate: m^ / (sqrt(v^) + eps) = root / (1 - b1^t) m / (sqrt(v) + root eps).
        root = math.sqrt(1 - b2 ** self.steps)
        rate, eps = self.factor(rate * root / (1 - b1 ** self.steps)), root * self.eps
        if xp is not np:
            ADAPT(g, b1, 1 - b1, b2, 1 - b2, rate, eps, shrink, w, m, v)
        elif adapt.runs_on(w):
            adapt(w, g, m, v, b1, 1 - b1, b2, 1 - b2, eps, *(x if np.ndim(x) == 0 else x[:, 0] for x in (rate, shrink)))
        else:
            m *= b1
            m += (1 - b1) * g
            v *= b2
            v += (1 - b2) * g ** 2
            w *= shrink
            w -= rate * (m / (xp.sqrt(v) + eps))


@loop("size, size, size, size, , , , , , ,")
def adapt(w, g, m, v, b1, c1, b2, c2, eps, rate, shrink):
    """All of it for one weight after another; c = 1 - b."""
    for k in range(len(w)):
        m[k] = b1 * m[k] + c1 * g[k]
        v[k] = b2 * v[k] + c2 * g[k] * g[k]
        w[k] = shrink * w[k] - rate * (m[k] / (math.sqrt(v[k]) + eps))


ADAPT = Kernel("adapt", "T g, T b1, T c1, T b2, T c2, T rate, T eps, T shrink", "T w, T m, T v", """
    m = b1 * m + c1 * g;
    v = b2 * v + c2 * g * g;
    w = shrink * w - rate * (m / (sqrt(v) + eps));
""")
