"""How experiments read the curves of a run: when something first holds, and what comes after memorising."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.phases import LEARNT


def first_where(values: Iterable[Any], condition: Iterable[bool]) -> Any:
    """The first of some values at which a condition holds, such as the step at which an accuracy is reached.

    Parameters
    ----------
    values : iterable (T,)
    condition : iterable (T,)
        For each value whether it holds there.

    Returns
    -------
    value
        Of an array a plain number; None where the condition never holds.
    """
    found = next((value for value, holds in zip(values, condition, strict=True) if holds), None)
    return found.item() if isinstance(found, np.generic) else found


def since_memorised(curves: Mapping[str, Sequence[float | None]]) -> dict[str, np.ndarray]:
    """The curves of a run from the first snapshot on that has learnt its training set; from the last if none has.

    Parameters
    ----------
    curves : mapping of str to sequence (T,)
        Over the snapshots, train_accuracy among them; what is undefined is left out.

    Returns
    -------
    dict of str to array (n,)
    """
    train = np.array(curves["train_accuracy"])
    place = first_where(range(len(train)), train >= LEARNT)
    start = len(train) - 1 if place is None else place
    return {name: np.array(values[start:]) for name, values in curves.items() if None not in values}
