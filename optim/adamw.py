"""AdamW: Adam with the weight decay taken out of the gradient.

    w <- (1 - rate decay) w
    then Adam's step, without decay in the gradient

The decay is not divided by the root of v: all weights shrink by the same factor. A product rate * decay of 1 sets them
to zero at every step.

References
----------
Loshchilov, Hutter (arXiv 1711.05101), algorithm 2.
"""

from __future__ import annotations

from optim.adam import Adam


class AdamW(Adam):
    """Adam with decoupled weight decay; parameters as for `Adam`."""

    def update(self, w, g, m, v, *, rate, decay):
        """w, g, m, v (R, size); see `Optimizer.update`."""
        shrink = 1.0 if decay is None else self.factor(1 - rate * decay)
        self.adapt(w, g, m, v, rate, shrink)
