"""Softmax cross-entropy.

    P_dq = exp(z_dq) / sum_w exp(z_dw)
    L = -1/D sum_d log P_(d, y_d) = 1/D sum_d (log sum_w exp(z_dw) - z_(d, y_d))
    dz_dq = 1/D (P_dq - [q = y_d])

Since d/dz_q of the log-sum is P_q. Subtracting each row's largest logit from the row leaves P as it is and keeps exp
from overflowing; the log-sum then is the logarithm of a number in [1, p], so nothing is lost for very wrong predictions
either.
"""

from __future__ import annotations

from backend import array_module
from layers.one_per_row import at_labels


class CrossEntropy:
    """L = mean over examples of -log softmax(z)[label]."""

    def forward(self, logits, labels, cache, examples=None, out=None):
        """The loss of some rows of a batch; parameters and result as in `MeanSquaredError.forward`."""
        z_y, total = self._compare(logits, labels, cache, examples, out)
        return (array_module(total).log(total) - z_y).sum(axis=-1) / cache.examples

    def backward(self, cache):
        """dL/dlogits, array (..., D, p); once for each forward pass, whose P it turns into the gradient."""
        dz = cache.P
        dz.reshape(-1)[cache.at] -= 1
        dz /= cache.examples
        return dz

    def gradient(self, logits, labels, cache, examples=None, out=None):
        """dL/dlogits without L; parameters as in `MeanSquaredError.forward`."""
        self._compare(logits, labels, cache, examples, out)
        return self.backward(cache)

    def _compare(self, logits, labels, cache, examples, out):
        """Leave P in the cache; the logit of each label, less its row's largest one, and the sum of each row's exp."""
        xp = array_module(logits)
        cache.examples = examples or logits.shape[-2]
        cache.at = at_labels(logits, labels, cache)
        P = cache.P = cache.empty("P", logits.shape, like=logits) if out is None else out
        xp.subtract(logits, logits.max(axis=-1, keepdims=True), out=P)
        z_y = P.reshape(-1)[cache.at].reshape(P.shape[:-1])
        xp.exp(P, out=P)
        total = P.sum(axis=-1, keepdims=True)
        P /= total
        return z_y, total[..., 0]
