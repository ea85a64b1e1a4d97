"""Weights kept along the way: a bounded number of them, dense where things happen.

Two moments a < b of a run are as far apart as their accuracies and the logarithms of their steps are:

    d(a, b) = sum over accuracies |acc_b - acc_a| + log((b + 1) / (a + 1)) / log(T + 1)

At every evaluation the newest weights are kept; if there are then too many, those go (never the first nor the newest)
that leave the smallest gap, d(before, after). So a few remain from every stretch in which nothing changes, and most are
where the network memorises, groks or unlearns, which nobody can know beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from training.checkpoint import read_checkpoint, write_checkpoint

ACCURACIES = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy")
State = dict[str, np.ndarray]


class Snapshots:
    """The weights that are kept of a run.

    Parameters
    ----------
    limit : int
        How many to keep, at least 2; or 1 for the first alone.
    steps : int
        T, the steps of the whole run.
    folder : path, optional
        Where to keep them as well, a file each.

    Attributes
    ----------
    kept : dict of int to dict of str to array
        The network's state by step.
    """

    def __init__(self, limit: int, steps: int, folder: Path | None = None):
        self.limit, self.steps, self.folder = limit, steps, folder
        self.kept: dict[int, State] = {}
        self._rows: dict[int, Mapping[str, float | None]] = {}

    def offer(self, row: Mapping[str, float | None], state: State) -> None:
        """Keep the state of the newest step, and let another go if there are too many.

        Parameters
        ----------
        row : mapping
            The step's row of the history.
        state : dict of str to array
            The network's state.
        """
        step = row["step"]
        if self.limit == 1 and self.kept:
            return
        self.kept[step], self._rows[step] = state, row
        if self.folder is not None:
            self.folder.mkdir(exist_ok=True)
            write_checkpoint(self._file(step), state, {"step": step})
        if len(self.kept) > self.limit:
            steps = sorted(self.kept)
            gone = min(zip(steps, steps[1:], steps[2:], strict=False),
                       key=lambda three: self._distance(three[0], three[2]))[1]
            self._drop(gone)

    def restore(self, rows: list[Mapping[str, float | None]]) -> None:
        """Take up what the folder holds of the steps of these rows of the history; later ones are removed."""
        by_step = {row["step"]: row for row in rows}
        for step, state in read_snapshots(self.folder).items():
            if step in by_step:
                self.kept[step], self._rows[step] = state, by_step[step]
            else:
                self._file(step).unlink()

    def _distance(self, a: int, b: int) -> float:
        changes = (abs((self._rows[b][name] or 0) - (self._rows[a][name] or 0)) for name in ACCURACIES)
        return sum(changes) + math.log((b + 1) / (a + 1)) / math.log(self.steps + 1)

    def _drop(self, step: int) -> None:
        del self.kept[step], self._rows[step]
        if self.folder is not None:
            self._file(step).unlink(missing_ok=True)

    def _file(self, step: int) -> Path:
        return self.folder / f"{step:08d}.npz"


def read_snapshots(folder: Path) -> dict[int, State]:
    """The snapshots in a folder, by step; none if there is no such folder.

    Raises
    ------
    CheckpointError
        If one is damaged.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.npz")):
        state, meta = read_checkpoint(path)
        found[meta["step"]] = state
    return found
