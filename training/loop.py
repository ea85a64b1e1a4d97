"""Train one run, go on with one, or train many."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from tqdm import tqdm

from backend import open_device
from storage import held
from training.checkpoint import CheckpointError
from training.config import ConfigError, TrainingConfig
from training.history import History
from training.memory import stack_sizes
from training.run import SNAPSHOTS, Progress, Run, read_progress, write_config, write_progress
from training.snapshots import Snapshots
from training.trainer import Trainer

SAVE_EVERY = 30.0
"""Seconds between checkpoints."""


class Interrupted(Exception):
    """Training was asked to stop, and has saved what it had done.

    Attributes
    ----------
    step : int
        Steps made.
    """

    def __init__(self, step: int):
        super().__init__(f"stopped after {step} steps")
        self.step = step


def train(config: TrainingConfig, folder: Path | None = None, progress: bool = False,
          stop: Callable[[], bool] | None = None) -> Run:
    """Train one run.

    Parameters
    ----------
    config : TrainingConfig
    folder : path, optional
        An existing folder to save the run in: every 30 seconds, every `config.checkpoint_every` steps, and at the end.
    progress : bool
        Whether to show a progress bar (only where the output is a terminal).
    stop : callable () -> bool, optional
        Asked after every step whether to stop there.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        If a setting is not allowed.
    CheckpointError
        If the run to continue from cannot be read.
    BackendError
        If the backend cannot be used here.
    DivergenceError
        If a measurement is no longer finite. The last checkpoint is from before.
    Interrupted
        If `stop` said so. The folder then has a checkpoint of that very step.
    OSError
        If the folder can no longer be written to, or another process is at work in it (`storage.InUseError`). The last
        checkpoint is whole.
    """
    start = time.perf_counter()
    config = config.resolved()
    if caveat := config.caveat():
        warnings.warn(caveat, stacklevel=2)
    with nullcontext() if folder is None else held(folder):
        training = _Training([config], progress, folder, stop)
        training.trainer.start()
        if folder is not None:
            _begin(config, folder)
        return _train_and_save(training, start)


def resume(folder: Path, steps: int | None = None, progress: bool = False,
           stop: Callable[[], bool] | None = None, *, threads: int | None = None,
           checkpoint_every: int | None = None) -> Run:
    """Go on with a run in its own folder, as if it had never stopped.

    Parameters
    ----------
    folder : path
        The folder of a run, interrupted or finished.
    steps : int, optional
        The steps of the whole run, those made included; by default what its settings say.
    progress, stop
        As for `train`.
    threads, checkpoint_every : int, optional
        Settings on which the result does not depend; by default those that the run has.

    Returns
    -------
    Run
        The same, bit for bit, as one that made all steps at once on the same backend.

    Raises
    ------
    CheckpointError
        If a file of the run is missing, damaged, or belongs to other settings.
    ConfigError
        If the run cannot go on to that many steps.
    DivergenceError, Interrupted, OSError
        As for `train`.
    """
    start = time.perf_counter()
    with held(folder):
        training = _taken_up(folder, steps, progress, stop, threads, checkpoint_every)
        return _train_and_save(training, start)


def _taken_up(folder, steps, progress, stop, threads, checkpoint_every):
    """The training of a run in its folder, where its last checkpoint stands."""
    saved = read_progress(folder)
    changes = {"steps": steps, "threads": threads, "checkpoint_every": checkpoint_every}
    config = dataclasses.replace(saved.config, **{name: value for name, value in changes.items()
                                                  if value is not None}).resolved()
    if config.steps < saved.step or (config.steps == saved.step and (Path(folder) / "summary.json").exists()):
        raise ConfigError("steps", f"must be more than the {saved.step} already made, got {config.steps}" if steps else
                          f"must be given, to go on beyond the {saved.step} already made: the run has finished")
    if differences := config.differences(saved.config):
        raise ConfigError("steps", f"must stay {differences['steps'][1]}, since the schedule "
                                   f"{config.schedule} depends on it; got {config.steps}")
    training = _Training([config], progress, folder, stop)
    training.take_up(saved)
    _begin(config, folder)
    return training


def _begin(config: TrainingConfig, folder: Path) -> None:
    """Write down that a run is under way in a folder."""
    write_config(config, folder)
    (Path(folder) / "summary.json").unlink(missing_ok=True)  # of a finished run, which this one no longer is


def stack_key(config: TrainingConfig) -> TrainingConfig:
    """What runs have in common that can be trained as one stack: all that shapes, and the path of the steps, depend on.

    Parameters
    ----------
    config : TrainingConfig
        Resolved.
    """
    return dataclasses.replace(config, seed=0, xi=0.0, dropout=0.5 if config.dropout else 0.0, learning_rate=1.0,
                               weight_decay=0.0, continue_from=None if config.continue_from is None else "")


def train_many(configs: Sequence[TrainingConfig], progress: bool = False, memory: int | None = None) -> list[Run]:
    """Train many runs, those that share all shapes as one stack.

    Parameters
    ----------
    configs : sequence of TrainingConfig
    progress : bool
        Whether to show a progress bar for each stack (only where the output is a terminal).
    memory : int, optional
        About how many bytes a stack may take: larger ones are divided. By default half of what is free.

    Returns
    -------
    list of Run
        In the order of the settings. Each draws exactly the random numbers that it would draw alone. A run that
        diverges ends there, with the history that it has, and does not disturb the others: `Run.diverged` says so.

    Raises
    ------
    ConfigError
        If a setting is not allowed, before any run is trained.
    CheckpointError, BackendError
        As for `train`.
    MemoryError
        If there is no room for a single run. A stack that finds none is divided and trained again.
    """
    configs = [config.resolved() for config in configs]
    stacks: dict[tuple[TrainingConfig, int | None], list[int]] = defaultdict(list)
    for number, config in enumerate(configs):
        # Another run's optimiser has made steps of its own: who takes it over is alone.
        alone = config.continue_from is not None and not config.reset_optimizer
        stacks[stack_key(config), number if alone else None].append(number)
    runs: dict[int, Run] = {}
    for together in stacks.values():
        left, config = iter(together), configs[together[0]]
        sizes = stack_sizes(len(together), config, open_device(config.backend, config.dtype), memory)
        waiting = deque(list(itertools.islice(left, size)) for size in sizes)
        while waiting:
            numbers = waiting.popleft()
            try:
                runs.update(zip(numbers, _train_stack([configs[number] for number in numbers], progress), strict=True))
            except MemoryError:
                if len(numbers) == 1:
                    raise
                half = len(numbers) // 2
                waiting.extendleft([numbers[half:], numbers[:half]])
    return [runs[number] for number in range(len(configs))]


def _train_stack(configs: Sequence[TrainingConfig], progress: bool) -> list[Run]:
    start = time.perf_counter()
    training = _Training(configs, progress)
    training.trainer.start()
    return training.finish(start)


def _train_and_save(training: _Training, start: float) -> Run:
    run = training.finish(start)[0]
    run.raise_if_diverged()
    if training.folder is not None:
        run.save(training.folder)
        training.tidy()
    return run


class _Training:
    """The loop over the steps of one run, or of a stack: measuring, saving and stopping along the way."""

    def __init__(self, configs: Sequence[TrainingConfig], progress: bool, folder: Path | None = None,
                 stop: Callable[[], bool] | None = None):
        config = self.config = configs[0]
        self.configs, self.progress, self.stop = configs, progress, stop
        self.folder = None if folder is None else Path(folder)
        self.trainer = Trainer(configs)
        self.histories = [History() for _ in configs]
        self.diverged: list[str | None] = [None for _ in configs]
        # Of a continued run the first weights cannot be drawn again: they are always kept.
        limit = config.snapshots or (1 if config.continue_from else 0)
        keep = None if folder is None else self.folder / SNAPSHOTS
        self.snapshots = [Snapshots(limit, keep) for _ in configs] if limit else []
        self.saved = time.monotonic()

    def take_up(self, saved: Progress) -> None:
        """Go on from a checkpoint. What was measured only because the run ended there is dropped."""
        self.histories = [saved.history.up_to(saved.step, self.config.eval_every)]
        try:
            self.trainer.load(saved.arrays, saved.step, saved.optimizer_steps,
                              self.histories[0].last["train_accuracy"])
        except ValueError as error:
            path = self.folder / "checkpoint.npz"
            raise CheckpointError(f"{path}: does not fit the run's settings: {error}") from None
        for snapshots in self.snapshots:
            snapshots.restore(saved.snapshots, self.histories[0].rows)

    def finish(self, start: float) -> list[Run]:
        """Make all steps that are left."""
        config, trainer = self.config, self.trainer
        intervals = deque(maxlen=10_000)  # bounded: memory must not grow with the number of steps
        bar = tqdm(total=config.steps, initial=trainer.step_count, unit="step", dynamic_ncols=True, leave=False,
                   disable=None if self.progress else True)
        with trainer, bar:
            rows = self.histories[0].rows
            if not rows or rows[-1]["step"] < trainer.step_count == config.steps:
                self._measure()
            since, steps = time.perf_counter(), 0
            while trainer.step_count < config.steps and None in self.diverged:
                trainer.step()
                steps += 1
                if trainer.step_count % config.eval_every == 0 or trainer.step_count == config.steps:
                    trainer.device.synchronize()
                    intervals.append((time.perf_counter() - since) / steps)
                    self._measure()
                    bar.update(steps)
                    bar.set_postfix_str(self._live())
                    since, steps = time.perf_counter(), 0
                if self._save_if_due():
                    since, steps = time.perf_counter(), 0
            ms_per_step = 1000 * statistics.median(intervals or [0.0]) / len(self.configs)
            return [Run(config=one, history=history, arrays=trainer.arrays(run),
                        step=trainer.step_count if diverged is None else history.rows[-1]["step"] if history else 0,
                        ms_per_step=ms_per_step, seconds=time.perf_counter() - start,
                        device=trainer.device.description, optimizer_steps=trainer.optimizer.steps,
                        snapshots=self.snapshots[run].kept if self.snapshots else {}, diverged=diverged)
                    for run, (one, history, diverged)
                    in enumerate(zip(self.configs, self.histories, self.diverged, strict=True))]

    def _measure(self) -> None:
        """Add a row to the history of every run that has not diverged."""
        for run, row in enumerate(self.trainer.evaluate()):
            if self.diverged[run] is not None:
                continue
            wrong = [name for name, value in row.items() if value is not None and not math.isfinite(value)]
            if wrong:
                self.diverged[run] = (f"the {wrong[0].replace('_', ' ')} of seed {self.configs[run].seed} is "
                                      f"{row[wrong[0]]} at step {row['step']}: the run has diverged; a smaller "
                                      "learning rate may help")
                continue
            self.histories[run].append(row)
            if self.snapshots:
                self.snapshots[run].offer(row, self.trainer.member(run).state())

    def _save_if_due(self) -> bool:
        """Save the run if it is time to, or asked to stop; whether it did."""
        step, every = self.trainer.step_count, self.config.checkpoint_every
        stopping = self.stop is not None and self.stop()
        due = stopping or (every and step % every == 0) or time.monotonic() - self.saved > SAVE_EVERY
        saving = bool(due and self.folder is not None and self.diverged[0] is None)
        if saving:
            self._save()
        if stopping and self.diverged[0] is None:
            raise Interrupted(step)
        return saving

    def _save(self) -> None:
        """Write a checkpoint, unless that would replace a good one by one that has diverged."""
        arrays, step = self.trainer.arrays(), self.trainer.step_count
        if all(np.isfinite(array).all() for array in arrays.values()):
            kept = sorted(self.snapshots[0].kept) if self.snapshots else []
            write_progress(Progress(self.config, self.histories[0], arrays, step, self.trainer.optimizer.steps, kept),
                           self.folder)
            self.tidy()
            self.saved = time.monotonic()
        else:
            self.diverged[0] = (f"a weight of seed {self.config.seed} is no longer finite at step {step}: the run has "
                                "diverged; a smaller learning rate may help")

    def tidy(self) -> None:
        """Remove what the checkpoint just written no longer needs."""
        for snapshots in self.snapshots:
            snapshots.tidy()

    def _live(self) -> str:
        """The accuracies for the progress bar: of a stack, the means over its runs."""
        def mean(column):
            values = [history.last[column] for history in self.histories]
            return "-" if None in values else f"{statistics.fmean(values):.3f}"
        return ", ".join(f"{name} {mean(name + '_accuracy')}" for name in ("train", "test", "corrupted"))
