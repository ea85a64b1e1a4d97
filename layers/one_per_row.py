"""One entry per row: where the losses read and change the logits."""

from __future__ import annotations

from backend import Array, array_module
from layers.base import Cache


def at_labels(logits: Array, labels: Array, cache: Cache) -> Array:
    """The index of each row's labelled entry in logits.reshape(-1).

    Parameters
    ----------
    logits : array (..., D, p)
    labels : integer array (D,) or (..., D)
        Without the stack axis they are shared by all runs.
    cache : Cache
        Keeps the index for the next call with the same labels.

    Returns
    -------
    index : integer array (R D,)
    """
    xp, (*stack_and_rows, p) = array_module(logits), logits.shape

    def make():
        columns = xp.broadcast_to(labels, stack_and_rows).reshape(-1)
        return xp.arange(len(columns)) * p + columns
    return cache.derived(f"at_labels {logits.shape}", labels, make)
