"""Train one run, or many."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from training.config import TrainingConfig
from training.history import History
from training.run import Run, write_config, write_progress
from training.trainer import Trainer

SAVE_EVERY = 30.0
"""Seconds between checkpoints."""


class DivergenceError(ArithmeticError):
    """A measurement, such as the training loss, became infinite or not a number."""


def train(config: TrainingConfig, folder: Path | None = None, progress: bool = False) -> Run:
    """Train one run.

    Parameters
    ----------
    config : TrainingConfig
    folder : path, optional
        An existing folder to save the run in: every 30 seconds and at the end.
    progress : bool
        Whether to show a progress bar (only where the output is a terminal).

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        If a setting is not allowed.
    BackendError
        If the backend cannot be used here.
    DivergenceError
        If a measurement is no longer finite.
    """
    start = time.perf_counter()
    config = config.resolved()
    if folder is not None:
        write_config(config, folder)
    run = _train_stack([config], progress, folder, start)[0]
    if folder is not None:
        run.save(folder)
    return run


def train_many(configs: Sequence[TrainingConfig], progress: bool = False) -> list[Run]:
    """Train many runs, those that share all shapes as one stack.

    Parameters
    ----------
    configs : sequence of TrainingConfig
    progress : bool
        Whether to show a progress bar for each stack (only where the output is a terminal).

    Returns
    -------
    list of Run
        In the order of the settings. Each draws exactly the random numbers that it would draw alone.
    """
    configs = [config.resolved() for config in configs]
    stacks: dict[TrainingConfig, list[int]] = defaultdict(list)
    for number, config in enumerate(configs):
        # Runs that differ in these settings alone share all shapes.
        stacks[dataclasses.replace(config, seed=0, xi=0.0, dropout=float(config.dropout > 0), learning_rate=1.0,
                                   weight_decay=0.0)].append(number)
    runs: dict[int, Run] = {}
    for numbers in stacks.values():
        trained = _train_stack([configs[number] for number in numbers], progress, None, time.perf_counter())
        runs.update(zip(numbers, trained, strict=True))
    return [runs[number] for number in range(len(configs))]


def _train_stack(configs: Sequence[TrainingConfig], progress: bool, folder: Path | None, start: float) -> list[Run]:
    config = configs[0]
    histories = [History() for _ in configs]
    step_times = deque(maxlen=10_000)  # bounded: memory must not grow with the number of steps
    saved = time.monotonic()
    bar = tqdm(total=config.steps, unit="step", disable=None if progress else True, dynamic_ncols=True, leave=False)
    with Trainer(configs) as trainer, bar:
        _record(trainer, histories)
        while trainer.step_count < config.steps:
            until = min(config.steps, (trainer.step_count // config.eval_every + 1) * config.eval_every)
            steps, interval_start = until - trainer.step_count, time.perf_counter()
            for _ in range(steps):
                trainer.step()
            trainer.device.synchronize()
            step_times.append((time.perf_counter() - interval_start) / steps)
            _record(trainer, histories)
            bar.update(steps)
            bar.set_postfix_str(_live(histories))
            if folder is not None and time.monotonic() - saved > SAVE_EVERY:
                write_progress(config, histories[0], trainer.arrays(), trainer.step_count, folder)
                saved = time.monotonic()
        ms_per_step = 1000 * statistics.median(step_times) / len(configs)
        return [Run(config=one, history=history, arrays=trainer.arrays(run), step=trainer.step_count,
                    ms_per_step=ms_per_step, seconds=time.perf_counter() - start, device=trainer.device.description)
                for run, (one, history) in enumerate(zip(configs, histories, strict=True))]


def _record(trainer: Trainer, histories: Sequence[History]) -> None:
    rows = trainer.evaluate()
    for config, history, row in zip(trainer.configs, histories, rows, strict=True):
        for name, value in row.items():
            if value is not None and not math.isfinite(value):
                raise DivergenceError(f"the {name.replace('_', ' ')} of seed {config.seed} is {value} at step "
                                      f"{row['step']}: the run has diverged; a smaller learning rate may help")
        history.append(row)


def _live(histories: Sequence[History]) -> str:
    """The accuracies for the progress bar: of a stack, the means over its runs."""
    def mean(column):
        values = [history.last[column] for history in histories]
        return "-" if None in values else f"{statistics.fmean(values):.3f}"
    return ", ".join(f"{name} {mean(name + '_accuracy')}" for name in ("train", "test", "corrupted"))
