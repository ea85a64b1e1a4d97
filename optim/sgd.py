"""Stochastic gradient descent with momentum.

    g <- g + decay w
    m <- momentum m + g
    w <- w - rate m

References
----------
Sutskever et al., "On the importance of initialization and momentum in deep learning" (ICML 2013), in the form that
leaves the learning rate out of m. Weight decay is the gradient of decay/2 |w|^2.
"""

from __future__ import annotations

from optim.base import Optimizer


class SGD(Optimizer):
    """SGD with momentum.

    Parameters
    ----------
    store, learning_rate, weight_decay
        As for `Optimizer`.
    momentum : float
        In [0, 1).
    """

    moments = ("m",)

    def __init__(self, store, learning_rate, weight_decay=0.0, momentum=0.9):
        super().__init__(store, learning_rate, weight_decay)
        self.momentum = momentum

    def update(self, w, g, m, *, rate, decay):
        """w, g, m (R, size); see `Optimizer.update`."""
        m *= self.momentum
        m += g
        if decay is not None:
            m += self.factor(decay) * w
        w -= self.factor(rate) * m
