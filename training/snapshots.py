"""Weights kept along the way: a bounded number of them, dense where things happen.

Two moments a < b of a run are as far apart as their accuracies and the logarithms of their steps are:

    d(a, b) = sum over accuracies |acc_b - acc_a| + log10((b + 1) / (a + 1)) / 3,

so that a thousand times the steps count as much as an accuracy that goes from 0 to 1. At every evaluation the newest
weights are kept; if there are then too many, those go (never the first nor the newest) that leave the smallest gap,
d(before, after). So a few remain from every stretch in which nothing changes, and most are where the network memorises,
groks or unlearns, which nobody can know beforehand.

The file of weights that go stays until the next checkpoint no longer names it: after a kill, the checkpoint's snapshots
are all there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint

ACCURACIES = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy")
State = dict[str, np.ndarray]


class Snapshots:
    """The weights that are kept of a run.

    Parameters
    ----------
    limit : int
        How many to keep, at least 2; or 1 for the first alone.
    folder : path, optional
        Where to keep them as well, a file each.

    Attributes
    ----------
    kept : dict of int to dict of str to array
        The network's state by step.
    """

    def __init__(self, limit: int, folder: Path | None = None):
        self.limit, self.folder = limit, folder
        self.kept: dict[int, State] = {}
        self._rows: dict[int, Mapping[str, float | None]] = {}
        self._dropped: set[int] = set()

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
            write_checkpoint(_file(self.folder, step), state, {"step": step})
            self._dropped.discard(step)
        if len(self.kept) > self.limit:
            steps = sorted(self.kept)
            gone = min(zip(steps, steps[1:], steps[2:], strict=False),
                       key=lambda three: self._distance(three[0], three[2]))[1]
            del self.kept[gone], self._rows[gone]
            self._dropped.add(gone)

    def tidy(self) -> None:
        """Remove the files of what is no longer kept; to be called when a checkpoint has been written."""
        if self.folder is not None:
            for step in self._dropped:
                _file(self.folder, step).unlink(missing_ok=True)
        self._dropped.clear()

    def restore(self, steps: Iterable[int], rows: Iterable[Mapping[str, float | None]]) -> None:
        """Take up the snapshots that a checkpoint names, where they belong to one of these rows of the history.

        Raises
        ------
        CheckpointError
            If one is missing or damaged.
        """
        by_step = {row["step"]: row for row in rows}
        found = read_snapshots(self.folder, steps)
        self.kept = {step: state for step, state in found.items() if step in by_step}
        self._rows = {step: by_step[step] for step in self.kept}
        there = {int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdigit()}
        self._dropped = there - self.kept.keys()

    def _distance(self, a: int, b: int) -> float:
        changes = (abs((self._rows[b][name] or 0) - (self._rows[a][name] or 0)) for name in ACCURACIES)
        return sum(changes) + math.log10((b + 1) / (a + 1)) / 3


def read_snapshots(folder: Path, steps: Iterable[int]) -> dict[int, State]:
    """The snapshots of these steps in a folder.

    Raises
    ------
    CheckpointError
        If one is missing or damaged, or is that of another step.
    """
    found = {}
    for step in steps:
        path = _file(folder, step)
        found[step], meta = read_checkpoint(path, needed=["step"])
        if meta["step"] != step:
            raise CheckpointError(f"{path}: is the snapshot of step {meta['step']}")
    return found


def _file(folder: Path, step: int) -> Path:
    return Path(folder) / f"{step:08d}.npz"
