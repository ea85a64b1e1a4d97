"""Where a network turns from knowing by heart to knowing the rule: a fitted critical size.

Test accuracy against the size D of the training set goes from chance to one. What is fitted, by least squares, is

    A(D) = a + (1 - a) / (1 + (D_mid / D)^k)

a logistic curve on the axis log D, with the chance a = 1/p given. D_mid is the *midpoint*, half way between chance and
one; k says how sharp the transition is: from 10% to 90% of the way it takes a factor 81^(1/k) in D.

Each of n seeds is fitted alone. The mean of D_mid has the interval mean -+ t s / sqrt(n), with s the standard deviation
over seeds and t Student's for 95%. A curve that goes from under 10% to over 90% of the way between two neighbouring
sizes does not say where between them: the interval then holds both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import curve_fit

STEEPEST = 60.0
"""The largest k: a curve that goes from 10% to 90% within 8%, less than sizes usually lie apart."""


@dataclass(frozen=True)
class Transition:
    """A fitted transition.

    Attributes
    ----------
    midpoint : float
        D_mid, in examples.
    steepness : float
        k.
    between : (float, float), optional
        Of a transition between two neighbouring sizes: these, between which the midpoint could be anywhere.
    """

    midpoint: float
    steepness: float
    between: tuple[float, float] | None = None

    @property
    def factor(self) -> float:
        """How many times as large D is at 90% of the way as at 10%."""
        return 81 ** (1 / self.steepness)

    def accuracy(self, D: np.ndarray, chance: float) -> np.ndarray:
        """A(D)."""
        # As 1 / (1 + exp(-x)), written so that no size overflows.
        return chance + (1 - chance) * (1 + np.tanh(self.steepness / 2 * np.log(D / self.midpoint))) / 2


def fit_transition(sizes: Sequence[float], accuracies: Sequence[float], chance: float) -> Transition | None:
    """Fit the transition of one seed.

    Parameters
    ----------
    sizes : sequence of float
        D, positive, rising; at least three.
    accuracies : sequence of float
        At these sizes.
    chance : float
        a, in [0, 1).

    Returns
    -------
    Transition or None
        None if the accuracies do not begin less than half way and end more than half way: the midpoint then lies
        beyond the sizes.
    """
    D, A = np.asarray(sizes, dtype=float), np.asarray(accuracies, dtype=float)
    half = (1 + chance) / 2
    if not A[0] < half < A[-1]:
        return None
    begin = np.log(D[int(np.argmax(half < A))])
    (log_midpoint, steepness), _ = curve_fit(
        lambda D, log_midpoint, k: Transition(math.exp(log_midpoint), k).accuracy(D, chance), D, A,
        p0=(begin, 5.0), bounds=((np.log(D[0]), 0.1), (np.log(D[-1]), STEEPEST)))
    way = (A - chance) / (1 - chance)
    after = int(np.argmax(half < A))
    sudden = not np.any((way > 0.1) & (way < 0.9))
    return Transition(float(np.exp(log_midpoint)), float(steepness),
                      (float(D[after - 1]), float(D[after])) if sudden else None)


def interval(transitions: Sequence[Transition]) -> tuple[float, float] | None:
    """The 95% interval of the mean midpoint of transitions, one for each seed; None of a single one."""
    if len(transitions) < 2:
        return None
    midpoints = np.array([one.midpoint for one in transitions])
    reach = stats.t.ppf(0.975, len(midpoints) - 1) * midpoints.std(ddof=1) / math.sqrt(len(midpoints))
    bounds = [bound for one in transitions if one.between is not None for bound in one.between]
    return float(min([midpoints.mean() - reach, *bounds])), float(max([midpoints.mean() + reach, *bounds]))
