"""Dropout: in training, a random part of the units is silenced, and the others speak louder.

    y = x * mask,   mask_dk = 1/q with probability q = 1 - rate, otherwise 0          ("inverted" scaling)
    dx = dy * mask

so that the mean of y over masks is x, and in evaluation y = x. (The mean passes through what is linear behind it, not
through a square: there the mean in training is 1/q times the value in evaluation.)

A mask is drawn from the key (seed, step, layer, row), never stored: the same rows at the same step get the same mask.

References
----------
Srivastava et al., "Dropout", JMLR 15 (2014); on pre-activations as in the reference code of Doshi et al.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

import streams
from backend import array_module
from layers.base import EVALUATING, Layer

LEVELS = 2 ** 16  # masks are drawn from 16-bit integers: the rate is rounded to a multiple of 1/LEVELS


class Dropout(Layer):
    """Silence units at random, in training.

    Parameters
    ----------
    rate : float, or sequence of R floats
        The probability, in [0, 1), that a unit is silenced; one for each run of a stack if a sequence.
    rows_per_example : int
        T where T tokens make an example. Masks are keyed by row, and a chunk only knows which examples it holds.
    last_alone : bool
        Of an example's rows only the last one comes here. It gets the mask that it would get among all of them.
    """

    def __init__(self, rate: float | Sequence[float], rows_per_example: int = 1, last_alone: bool = False):
        super().__init__()
        self.rows_per_example, self.last_alone = rows_per_example, last_alone
        if not all(0 <= r < 1 for r in np.ravel(rate)):
            raise ValueError(f"the dropout rate must lie in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D, N) -> y of the same shape."""
        mask = self.draw(x, cache, mode)
        return x if mask is None else array_module(x).multiply(x, mask, out=cache.empty("y", x.shape, like=x))

    def draw(self, x, cache, mode):
        """The mask for x (..., D, N), an array of its shape; None where no unit is silenced."""
        cache.mask = None
        if not mode.training or not np.any(self.rate):
            return None
        xp, runs, (rows, N) = array_module(x), len(mode.seeds), x.shape[-2:]
        of_each = self.rows_per_example if self.last_alone else 1  # rows that are drawn for each row that is here
        key = (mode.step, streams.number_of(self.path), mode.first_example * self.rows_per_example, rows * of_each, N)
        silent = np.minimum(np.round(np.broadcast_to(self.rate, runs)[:, None, None] * LEVELS), LEVELS - 1)
        bits = streams.row_bits(mode.seeds, *key, xp)[:, of_each - 1::of_each]
        louder = xp.asarray((LEVELS / (LEVELS - silent)).astype(x.dtype))
        mask = (bits >= xp.asarray(silent.astype(bits.dtype))) * louder
        cache.mask = mask.reshape(x.shape)
        return cache.mask

    def backward(self, dy, cache, grads):
        """dy (..., D, N) -> dx of the same shape."""
        if cache.mask is None:
            return dy
        return array_module(dy).multiply(dy, cache.mask, out=cache.empty("dx", dy.shape, like=dy))

    def member(self, run):
        """Run number `run` of a stack; see `Layer.member`."""
        one = copy.copy(super().member(run))
        one.rate = self.rate if np.ndim(self.rate) == 0 else self.rate[run]
        return one
