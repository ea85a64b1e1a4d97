"""Timing contenders against each other, fairly: in turn, round by round, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from tqdm import tqdm

from benchmarks.contenders import Contender, seconds

COMPARED = 50
"""Steps after which losses are compared."""

SAME_LOSS = 1e-4
"""How far two losses may lie apart, relatively, in float32."""

WARM_UP = 3
"""Steps before the first that counts, in each turn: threads wake, caches fill."""

REST = 0.05
"""Seconds between two contenders: threads of the one before fall asleep."""


class DifferentLoss(Exception):
    """A contender does not compute what ours does, so its time says nothing."""


def check_losses(contenders: Sequence[Contender]) -> dict[str, float]:
    """The loss of each contender after `COMPARED` steps.

    Raises
    ------
    DifferentLoss
        If one differs from the first one's.
    """
    losses = {}
    for contender in contenders:
        with contender:
            for _ in range(COMPARED):
                contender.step()
            loss = contender.loss()
        if loss is not None:
            losses[contender.name] = loss
    (name, first), *others = losses.items()
    for other, loss in others:
        if not abs(loss - first) <= SAME_LOSS * abs(first):  # nor if it is no number
            raise DifferentLoss(f"after {COMPARED} steps the loss of {other} is {loss:.7g}, that of {name} {first:.7g}")
    return losses


def interleaved(contenders: Sequence[Contender], rounds: int, steps: int) -> dict[str, list[float]]:
    """Milliseconds a step: for each contender the median of every round."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in tqdm(range(rounds), unit="round", leave=False, disable=None):
        for contender in contenders:
            with contender:
                for _ in range(WARM_UP):
                    contender.step()
                times[contender.name].append(1000 * statistics.median(seconds(contender) for _ in range(steps)))
            time.sleep(REST)
    return times


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
