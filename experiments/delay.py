"""The delay of generalising, and at which of its two ends a change of the training has shortened it.

With the first evaluated steps at which an accuracy of a is reached,

    memorised     T_train        delay    T_test / T_train
    generalised   T_test

a delay can go in two ways: a network generalises sooner, or it memorises later. Their shares in what a change (') takes
off the logarithm of the delay are exact:

    log (T_test / T_train) - log (T_test' / T_train')  =  log (T_test / T_test')  +  log (T_train' / T_train)
                                                           generalises sooner         memorises later
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from experiments.readings import first_where


def moments(history: Mapping[str, Sequence[float | None]], level: float) -> dict[str, float | None]:
    """When a run memorised and generalised.

    Parameters
    ----------
    history : mapping of str to sequence (T,)
        The columns step, train_accuracy and test_accuracy.
    level : float
        a.

    Returns
    -------
    dict
        "memorised", "generalised", "delay": None where a moment never came, or came at step 0.
    """
    memorised, generalised = (first_where(history["step"], (accuracy >= level for accuracy in history[name]))
                              for name in ("train_accuracy", "test_accuracy"))
    return {"memorised": memorised, "generalised": generalised,
            "delay": generalised / memorised if memorised and generalised else None}


def parts(without: Mapping[str, float | None], changed: Mapping[str, float | None]) -> dict[str, float | None]:
    """What a change takes off the logarithm of the delay.

    Parameters
    ----------
    without, changed : mapping
        What `moments` returns of two runs that differ in the change alone.

    Returns
    -------
    dict
        "sooner", "later": both parts, negative where it generalises later, or memorises sooner. None where a run lacks
        a moment.
    """
    if None in (without["delay"], changed["delay"]):
        return {"sooner": None, "later": None}
    return {"sooner": math.log(without["generalised"] / changed["generalised"]),
            "later": math.log(changed["memorised"] / without["memorised"])}
