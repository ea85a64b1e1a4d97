"""A sweep: a grid of settings in, measurements out, wherever there are processors to do it.

    python -m experiments.sweep weight_decay=0,5,15 xi=0:0.9:0.1 seed=0:4:1 --workers 2

trains a network at every point of the grid and writes a table, a row a network. Networks of equal shape are trained as
one stack where they are small enough for that to pay (`training.train_many`). Every network is stored as soon as it is
finished: a sweep that was interrupted, or killed, goes on where it stopped, and one that is repeated costs nothing. A
network that fails is reported and does not take the others down.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.cells import Measure, cell_path, program_version, read_cell, write_cell
from training import TrainingConfig, stack_key, train_many

STACKED = 2_000_000
"""Intermediate numbers (examples x width) of a step, up to which a stack pays on a CPU: there, Python's own time for a
step still counts."""

LARGEST_STACK = 64

Executors = Callable[[], AbstractContextManager[Executor | None]]


@dataclass(frozen=True)
class Cell:
    """A point of a sweep's grid.

    Attributes
    ----------
    config : TrainingConfig
        Resolved.
    measured : dict, optional
        None if the cell has failed.
    error : str, optional
        What went wrong then.
    """

    config: TrainingConfig
    measured: dict[str, Any] | None
    error: str | None = None


def summary(run) -> dict[str, Any]:
    """What a sweep measures unless told otherwise: what summary.json holds."""
    return run.summary()


def sweep(configs: Sequence[TrainingConfig], measure: Measure, folder: Path, executors: Executors = nullcontext,
          progress: bool = False) -> list[Cell]:
    """Train and measure many networks.

    Parameters
    ----------
    configs : sequence of TrainingConfig
    measure : callable (Run) -> dict
        What to keep of a run, as plain values (see `cells.cell_path`).
    folder : path
        Where the cells are stored.
    executors : callable () -> context manager of an executor or None
        Where the work is done (`experiments.executors`); by default in this process. Called again where an executor
        has broken.
    progress : bool
        Whether to show a progress bar with the time left (only where the output is a terminal).

    Returns
    -------
    list of Cell
        In the order of the settings.

    Raises
    ------
    ConfigError
        If a setting is not allowed; before any work.
    OSError
        If the folder cannot be written to.
    """
    configs = [config.resolved() for config in configs]
    paths = [cell_path(folder, config, measure) for config in configs]
    outcomes: dict[Path, dict[str, Any] | str] = {}
    wanted = dict(zip(paths, configs, strict=True))  # equal settings are one cell
    for path in wanted:
        if (measured := read_cell(path)) is not None:
            outcomes[path] = measured
    bar = tqdm(total=len(wanted), initial=len(outcomes), unit="network", dynamic_ncols=True, leave=False,
               disable=None if progress else True)
    with bar:
        for path, outcome in _work({path: wanted[path] for path in wanted if path not in outcomes}, measure, executors):
            outcomes[path] = outcome
            if not isinstance(outcome, str):
                write_cell(path, wanted[path], outcome)
            bar.update()
    return [Cell(config, None, outcomes[path]) if isinstance(outcomes[path], str) else Cell(config, outcomes[path])
            for path, config in zip(paths, configs, strict=True)]


def _work(wanted: dict[Path, TrainingConfig], measure: Measure,
          executors: Executors) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """Yield each cell's outcome as soon as it is there."""
    left = stacks(wanted)
    # A worker process that dies takes with it all that its executor still has to do. Twice that is begun again; then
    # each stack alone, so that one which no memory can hold takes no other down.
    for alone in (False, False, True):
        batches, left = [[unit] for unit in left] if alone else [left], []
        for batch in batches:
            with executors() as executor:
                for unit, outcomes in _train_batch(batch, wanted, measure, executor):
                    if outcomes is None:
                        left.append(unit)
                    else:
                        yield from zip(unit, outcomes, strict=True)
    yield from ((path, "its worker process died, three times") for unit in left for path in unit)


def _train_batch(batch, wanted, measure, executor):
    """Yield each stack with the outcomes of its cells, or with None if its worker has died."""
    if executor is None:
        for unit in batch:
            yield unit, train_and_measure([wanted[path] for path in unit], measure)
        return
    futures = {}
    for unit in batch:
        try:
            work = executor.submit(train_and_measure, [wanted[path] for path in unit], measure, program_version())
        except BrokenExecutor:
            yield unit, None
        else:
            futures[work] = unit
    for future in as_completed(futures):
        unit = futures.pop(future)
        try:
            yield unit, future.result()
        except (BrokenExecutor, CancelledError):
            yield unit, None
        except Exception as error:  # whatever a worker could not do is said of its cells alone
            yield unit, [_told(error)] * len(unit)


def stacks(wanted: dict[Any, TrainingConfig]) -> list[list[Any]]:
    """Which networks to train together: those of equal shapes, on a CPU as long as that pays.

    Parameters
    ----------
    wanted : dict of key to TrainingConfig
        Resolved.

    Returns
    -------
    list of lists of keys
    """
    alike: dict[TrainingConfig, list[Any]] = defaultdict(list)
    for key, config in wanted.items():
        alike[stack_key(config)].append(key)
    units = []
    for config, keys in alike.items():
        numbers = (config.batch_size or config.train_examples) * config.width
        size = LARGEST_STACK if config.backend == "cupy" else max(1, min(LARGEST_STACK, STACKED // numbers))
        count = math.ceil(len(keys) / size)
        units += [keys[len(keys) * unit // count:len(keys) * (unit + 1) // count] for unit in range(count)]
    return units


def train_and_measure(configs: Sequence[TrainingConfig], measure: Measure,
                      version: str | None = None) -> list[dict[str, Any] | str]:
    """Train networks as one stack and measure each.

    Parameters
    ----------
    configs : sequence of TrainingConfig
    measure : callable (Run) -> dict
    version : str, optional
        The `program_version` of whoever asks; a worker on another machine may have another one.

    Returns
    -------
    list of dict or str
        What was measured, or what went wrong. If the stack as a whole fails, each network is tried alone.
    """
    if version not in (None, program_version()):
        raise RuntimeError("the worker has other sources of this program")
    try:
        runs = train_many(configs)
    except Exception as error:
        if len(configs) == 1:
            return [_told(error)]
        return [outcome for config in configs for outcome in train_and_measure([config], measure)]
    return [_measured(run, measure) for run in runs]


def _measured(run, measure):
    if run.diverged is not None:
        return run.diverged
    try:
        return measure(run)
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

