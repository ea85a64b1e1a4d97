"""Mean squared error on one-hot targets.

    L = 1/(D p) sum_dq (z_dq - [q = y_d])^2          dz_dq = 2/(D p) (z_dq - [q = y_d])

The one-hot array is never made: the residual z - e_y is the logits with 1 subtracted at the label.
"""

from __future__ import annotations

from backend import array_module
from layers.one_per_row import at_labels
from products import squared_norms


class MeanSquaredError:
    """L = mean over examples and outputs of (z - one-hot target)^2 (Doshi et al., section 2)."""

    def forward(self, logits, labels, cache, examples=None, out=None):
        """The loss of some rows of a batch.

        Parameters
        ----------
        logits : array (..., D, p)
        labels : integer array (D,) or (..., D)
        cache : Cache
        examples : int, optional
            The size of the whole batch, of which these rows may be a chunk: the sum over rows is divided by it. By
            default D.
        out : array (..., D, p), optional
            Where `backward` is to leave the gradient. It may be `logits`, which are lost then.

        Returns
        -------
        loss : array (...)
            One value per run; the values of a batch's chunks add up to the batch's.
        """
        self._compare(logits, labels, cache, examples, out)
        residual = cache.residual
        return squared_norms(residual.reshape(*residual.shape[:-2], -1)) / cache.terms  # one row for each run

    def backward(self, cache):
        """dL/dlogits, array (..., D, p); once for each forward pass, whose residual it turns into the gradient."""
        xp = array_module(cache.residual)
        return xp.multiply(cache.residual, 2 / cache.terms, out=cache.residual)

    def gradient(self, logits, labels, cache, examples=None, out=None):
        """dL/dlogits without L; parameters as in `forward`."""
        self._compare(logits, labels, cache, examples, out)
        return self.backward(cache)

    def _compare(self, logits, labels, cache, examples, out):
        cache.terms = (examples or logits.shape[-2]) * logits.shape[-1]
        residual = cache.residual = cache.empty("residual", logits.shape, like=logits) if out is None else out
        if residual is not logits:
            residual[...] = logits
        residual.reshape(-1)[at_labels(logits, labels, cache)] -= 1
