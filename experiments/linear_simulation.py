"""What the experiment `linear_estimator` simulates: students by gradient descent, with nothing of the solution.

The steps of gradient descent on a squared error are linear, so that the student after any number of them follows at
once from the eigenvectors of the covariance of its training set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import linear_estimator
from analysis.linear_estimator import LATEST
from data.teacher import gaussian_inputs, teacher_and_student
from experiments.bars import bar

LEARNING_RATE, TOLERANCE = 0.01, 1e-3


@dataclass(frozen=True)
class Setting:
    """lambda, d_out and gamma."""

    ratio: float
    outputs: int = 1
    decay: float = 0.0

    @property
    def name(self) -> str:
        """As in `result.json`."""
        return f"lambda {self.ratio:g}, d_out {self.outputs}, decay {self.decay:g}"


LITTLE, LATE, NEVER = MAIN = tuple(Setting(ratio) for ratio in (0.1, 0.9, 1.5))
DECAYED, SPOILT, HALVED = Setting(0.9, decay=0.001), Setting(0.9, decay=0.01), Setting(1.5, decay=0.01)
MORE_OUTPUTS = (Setting(0.9, outputs=4), Setting(0.9, outputs=16))
SETTINGS = (*MAIN, DECAYED, SPOILT, HALVED, *MORE_OUTPUTS)
WALK = 200
"""Steps that are also taken one by one, forward and backward."""


class Simulation:
    """Students of one training set.

    Parameters
    ----------
    d_in : int
    ratio : float
        lambda; N is d_in / lambda, rounded.
    fresh : int
        How many inputs there are to test with.
    seed : int
    """

    def __init__(self, d_in: int, ratio: float, fresh: int, seed: int):
        self.d_in, self.seed = d_in, seed
        self.inputs = {"train": gaussian_inputs(round(d_in / ratio), d_in, seed, "train"),
                       "test": gaussian_inputs(fresh, d_in, seed, "test")}
        self.basis = linear_estimator.eigenbasis(self.inputs["train"])

    def curves(self, records: Sequence[float], setting: Setting) -> dict[str, np.ndarray]:
        """Losses and accuracies after so many steps, of training set and fresh inputs -> arrays (2, T)."""
        D = linear_estimator.differences(self.basis, *teacher_and_student(self.d_in, setting.outputs, self.seed),
                                         LEARNING_RATE, records, setting.decay)
        return {column: np.stack(linear_estimator.measure(X, D, TOLERANCE)) for column, X in self.inputs.items()}

    def times(self, setting: Setting) -> dict[str, float | None]:
        """When the accuracies reach `LEVEL`, None if not before `LATEST`."""
        T, S = teacher_and_student(self.d_in, setting.outputs, self.seed)

        def accuracy_at(X, k):
            D = linear_estimator.differences(self.basis, T, S, LEARNING_RATE, [k], setting.decay)
            return linear_estimator.measure(X, D, TOLERANCE)[1][0]

        return {column: linear_estimator.first_time(lambda k, X=X: accuracy_at(X, k), LATEST / LEARNING_RATE)
                for column, X in self.inputs.items()}

    def walked_apart(self, steps: int, decay: float) -> float:
        """By what share the student of the eigenvectors differs from the one of so many steps taken one by one."""
        T, S = teacher_and_student(self.d_in, 1, self.seed)
        walked = linear_estimator.descend(self.inputs["train"], T, S, LEARNING_RATE, [steps], decay)
        solved = linear_estimator.differences(self.basis, T, S, LEARNING_RATE, [steps], decay)
        return float(np.linalg.norm(solved - walked) / np.linalg.norm(walked))


def simulate(sizes: Mapping[str, Any], seeds: Sequence[int], records: Sequence[float]) -> tuple[
        dict[Setting, dict[str, Any]], dict[int, dict[float, list]], list[float]]:
    """All that is simulated.

    Parameters
    ----------
    sizes : mapping
        "d_in" and a "smaller d_in"; how many "fresh inputs"; the values of lambda of the "sweep".
    seeds : sequence of S ints
    records : sequence of T floats
        The steps after which losses and accuracies are measured.

    Returns
    -------
    curves : dict
        Of each setting "train" and "test" (2, S, T), losses and accuracies; "times", one dict for each seed.
    times : dict
        By d_in and lambda: as "times" above.
    walked : list of float
        What `Simulation.walked_apart` gives, of the first seed.
    """
    gathered = {setting: {"train": [], "test": [], "times": []} for setting in SETTINGS}
    times = {d_in: {ratio: [] for ratio in sizes["sweep"]} for d_in in (sizes["smaller d_in"], sizes["d_in"])}
    walked = []
    settings = {d_in: SETTINGS if d_in == sizes["d_in"] else () for d_in in times}
    sets = [(d_in, ratio, seed) for d_in in times
            for ratio in sorted({*sizes["sweep"], *(setting.ratio for setting in settings[d_in])}) for seed in seeds]
    with bar(sets, "training sets") as shown:
        for d_in, ratio, seed in shown:
            simulation = Simulation(d_in, ratio, sizes["fresh inputs"], seed)
            if ratio in times[d_in]:
                times[d_in][ratio].append(simulation.times(Setting(ratio)))
            for setting in (one for one in settings[d_in] if one.ratio == ratio):
                gathered[setting]["times"].append(simulation.times(setting))
                for column, curves in simulation.curves(records, setting).items():
                    gathered[setting][column].append(curves)
            if settings[d_in] and seed == seeds[0] and ratio in [one.ratio for one in MAIN]:
                walked += [simulation.walked_apart(WALK, decay) for decay in (0.0, HALVED.decay)]
    curves = {setting: {name: one[name] if name == "times" else np.stack(one[name], axis=1) for name in one}
              for setting, one in gathered.items()}
    return curves, times, walked
