"""Plateaus: where a curve over training stays at one level for long.

Of a curve y, evaluated at the steps t_1 < t_2 < ..., the evaluations a ... b are a plateau if

    t_b >= ratio t_a                       it is long on a logarithmic axis, on which training is read
    max y - min y <= 2 tolerance           y is within +-tolerance of its middle, from a to b

and no evaluation before or after can be added without breaking the second line. Such stretches may overlap. From the
longest, by t_b / t_a, to the shortest (of equal ones the earliest first) each is kept that has no evaluation in common
with one kept before.

The level of a plateau is the mean of y over log t, with y linear between evaluations:

    level = 1 / log(t_b / t_a) sum_k (log t_(k+1) - log t_k) (y_k + y_(k+1)) / 2

so that it does not depend on how densely a part of the curve is evaluated. Step 0 is left out: a logarithmic axis does
not reach it, and a stretch from there would be longer than any other.

A curve that rises by no more than 2 tolerance while the steps double has plateaus as well: what counts as standing
still is what tolerance and ratio say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE, RATIO = 0.02, 2.0
"""What a plateau of an accuracy is, unless told otherwise."""

MIDDLING = (0.1, 0.95)
"""The accuracies that are neither near chance nor learnt: from the first up to, but not including, the second."""


@dataclass(frozen=True)
class Plateau:
    """A stretch of training in which a curve stands still.

    Attributes
    ----------
    start, end : int
        The steps of its first and its last evaluation.
    level : float
        The mean of the curve over the logarithm of the steps.
    """

    start: int
    end: int
    level: float

    @property
    def middling(self) -> bool:
        """Whether its level is `middling`."""
        return middling(self.level)


def middling(accuracy: float) -> bool:
    """Whether an accuracy lies well between chance and one: in `MIDDLING`."""
    return MIDDLING[0] <= accuracy < MIDDLING[1]


def plateaus(steps: Sequence[int], values: Sequence[float], tolerance: float = TOLERANCE,
             ratio: float = RATIO) -> list[Plateau]:
    """All plateaus of a curve, in the order of training.

    Parameters
    ----------
    steps : sequence (T,)
        Increasing, not negative; not necessarily equally spaced. Step 0 is left out.
    values : sequence (T,)
        Of the curve at these steps.
    tolerance : float
        How far the values may be from their middle, not negative.
    ratio : float
        How many times the first step the last one must be; above 1.

    Returns
    -------
    list of Plateau

    Raises
    ------
    ValueError
        If the steps do not increase, there are not as many values, a value is not finite, or tolerance or ratio is not
        as above.
    """
    steps, values = np.asarray(steps), np.asarray(values, dtype=float)
    if steps.ndim != 1 or steps.shape != values.shape:
        raise ValueError(f"steps and values must be two sequences of one length, got {steps.shape} and {values.shape}")
    if np.any(steps < 0) or np.any(np.diff(steps) <= 0):
        raise ValueError("steps must increase and not be negative")
    if not np.all(np.isfinite(values)):
        raise ValueError("values must be finite numbers")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    if not ratio > 1:
        raise ValueError(f"ratio must be above 1, got {ratio}")
    steps, values = steps[steps > 0], values[steps > 0]
    long = [(first, last) for first, last in _flat_stretches(values.tolist(), 2 * tolerance)
            if steps[last] >= ratio * steps[first]]
    kept: list[tuple[int, int]] = []
    # Never more than log(t_T / t_1) / log(ratio) are kept, so that few comparisons suffice however many evaluations.
    for first, last in sorted(long, key=lambda stretch: -steps[stretch[1]] / steps[stretch[0]]):
        if all(last < other_first or other_last < first for other_first, other_last in kept):
            kept.append((first, last))
    return [Plateau(steps[first].item(), steps[last].item(), _level(steps[first:last + 1], values[first:last + 1]))
            for first, last in sorted(kept)]


def _flat_stretches(values: list[float], height: float) -> Iterator[tuple[int, int]]:
    """Yield, from left to right, first and last index of all maximal stretches with max - min <= height; linear time.

    Two queues hold the indices of those values of the present stretch that can still become its maximum, or minimum,
    when it is shortened from the left. Their first ones are the maximum and the minimum.
    """
    highest: deque[int] = deque()
    lowest: deque[int] = deque()
    first = 0
    for last, value in enumerate(values):
        while highest and values[highest[-1]] <= value:
            highest.pop()
        while lowest and values[lowest[-1]] >= value:
            lowest.pop()
        highest.append(last)
        lowest.append(last)
        began = first
        while values[highest[0]] - values[lowest[0]] > height:
            # No stretch up to here may contain both: it begins behind the earlier of the two.
            first = 1 + (highest if highest[0] < lowest[0] else lowest).popleft()
        if first > began:
            yield began, last - 1
    if values:
        yield first, len(values) - 1


def _level(steps, values):
    return float(np.trapezoid(values, np.log(steps)) / np.log(steps[-1] / steps[0]))
