"""A sweep: a grid of settings in, measurements out, wherever there are processors to do it.

    python -m experiments.sweep weight_decay=0,5,15 xi=0:0.9:0.1 seed=0:4:1 --workers 2

trains a network at every point of the grid and writes a table, a row a network. Networks of equal shape are trained as
one stack where they are small enough for that to pay (`training.train_many`). Every network is stored as soon as it is
finished: a sweep that was interrupted, or killed, goes on where it stopped, and one that is repeated costs nothing. A
network that fails is reported and does not take the others down.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import threading
import traceback
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, as_completed
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from experiments.bars import ticking
from experiments.cells import Measure, cell_path, made_by, plain, read_cell, still_made_by, write_cell
from experiments.executors import Executors, worker_died
from training import TrainingConfig, stack_key, train, train_many

STACKED = 300_000
"""Intermediate numbers (examples x width) of a step of a whole stack, up to which a stack pays on a CPU: it saves about
0.05 ms of Python's own time for each run's step, and loses the cache."""

LARGEST_STACK = 64

EVENLY = 1e-6
"""By how much a bar prefers later networks when it tells the speed: as good as nothing. With 0 it would also count the
time since the last one, and the time left would grow until the next one is finished."""

ATTEMPTS = 3
"""How many worker processes may die over a network."""

_TRAINING = threading.RLock()
"""Training sets the threads of the BLAS library, which belong to the process: one thread of it can train at a time."""


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
        Where the work is done (`experiments.executors`, or any executor of `concurrent.futures`); by default in this
        process. Called again for what was lost with an executor that has broken.
    progress : bool
        Whether to show a progress bar with the time left (only where the output is a terminal), and below it, where the
        work is done in this process, that of the stack that is being trained.

    Returns
    -------
    list of Cell
        In the order of the settings.

    Raises
    ------
    ConfigError
        If a setting is not allowed; before any work.
    OSError
        If a cell cannot be written, or the checkpoint to continue from cannot be read.
    SchedulerError
        If the executors are those of a Dask cluster that does not answer.
    """
    configs = [config.resolved() for config in configs]
    paths = [cell_path(folder, config, measure) for config in configs]
    wanted = dict(zip(paths, configs, strict=True))  # equal settings are one cell
    outcomes = {path: measured for path in wanted if (measured := read_cell(path)) is not None}
    bar = tqdm(total=sum(map(_work, wanted.values())), initial=sum(_work(wanted[path]) for path in outcomes),
               bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", smoothing=EVENLY, mininterval=0,
               miniters=0, dynamic_ncols=True, leave=False, disable=None if progress else True)
    missing = {path: config for path, config in wanted.items() if path not in outcomes}
    with ticking(bar), closing(_outcomes(missing, measure, executors, progress)) as arriving:
        bar.set_description_str(_counts(wanted, outcomes))
        for path, outcome in arriving:
            outcomes[path] = outcome
            if not isinstance(outcome, str):
                write_cell(path, wanted[path], outcome)
            bar.set_description_str(_counts(wanted, outcomes), refresh=False)
            bar.update(_work(wanted[path]))
    return [Cell(config, None, outcomes[path]) if isinstance(outcomes[path], str) else Cell(config, outcomes[path])
            for path, config in zip(paths, configs, strict=True)]


def _work(config):
    """About how much there is to do for a network, to tell the time left, and what to begin with."""
    return config.steps * _numbers(config)


def _numbers(config):
    return (config.batch_size or config.train_examples) * config.width


def _counts(wanted, outcomes):
    failed = sum(isinstance(outcome, str) for outcome in outcomes.values())
    return f"{len(outcomes)} of {len(wanted)} networks" + (f", {failed} failed" if failed else "")


def _outcomes(wanted: dict[Path, TrainingConfig], measure: Measure, executors: Executors,
              progress: bool) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """Yield each cell's outcome, a measurement or an error, as soon as it is there."""
    left = stacks(wanted)
    for attempt in range(1, ATTEMPTS + 1):
        batches = [left]
        if attempt == ATTEMPTS:  # each network alone, so that one which no memory can hold takes no other down
            batches = [[[path]] for unit in left for path in unit]
        left = []
        for batch in filter(None, batches):
            with executors() as executor:
                for unit, outcomes in _train_batch(batch, wanted, measure, executor, progress):
                    if outcomes is None:
                        left.append(unit)
                    else:
                        yield from zip(unit, outcomes, strict=True)
    yield from ((path, f"its worker process died, {ATTEMPTS} times") for unit in left for path in unit)


def _train_batch(batch, wanted, measure, executor, progress):
    """Yield each stack with the outcomes of its cells, or with None if its worker has died."""
    if executor is None:
        for unit in batch:
            yield unit, train_and_measure([wanted[path] for path in unit], measure, progress=progress)
        return
    version, futures = made_by(measure), {}
    for unit in batch:
        try:
            work = executor.submit(train_and_measure, [wanted[path] for path in unit], measure, version)
        except BrokenExecutor:
            yield unit, None
        else:
            futures[work] = unit
    for future in as_completed(list(futures)):
        unit = futures.pop(future)
        try:
            yield unit, future.result()
        except Exception as error:  # whatever a worker could not do is said of its cells alone
            yield unit, None if worker_died(error) else [_told(error)] * len(unit)


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
        size = LARGEST_STACK if config.backend == "cupy" else min(LARGEST_STACK, STACKED // _numbers(config)) or 1
        count = math.ceil(len(keys) / size)
        units += [keys[len(keys) * unit // count:len(keys) * (unit + 1) // count] for unit in range(count)]
    # The largest first: where several work, none is left alone with a large one in the end.
    return sorted(units, key=lambda unit: -sum(_work(wanted[key]) for key in unit))


def train_and_measure(configs: Sequence[TrainingConfig], measure: Measure,
                      version: tuple[str, str] | None = None, progress: bool = False) -> list[dict[str, Any] | str]:
    """Train networks as one stack and measure each.

    Parameters
    ----------
    configs : sequence of TrainingConfig
    measure : callable (Run) -> dict
    version : tuple of str, optional
        `made_by` where the work comes from; a worker on another machine may have other sources.
    progress : bool
        As for `train_many`.

    Returns
    -------
    list of dict or str
        What was measured, or what went wrong. If the stack as a whole fails, each network is tried alone.

    Raises
    ------
    RuntimeError
        If it has.
    """
    if version is not None and not still_made_by(measure, version):
        raise RuntimeError("the worker has other sources of this program than whoever started the sweep")
    with _TRAINING:
        try:
            runs = train_many(configs, progress)
        except Exception as error:
            if len(configs) == 1:
                return [_told(error)]
            return [outcome for config in configs
                    for outcome in train_and_measure([config], measure, progress=progress)]
        with threadpool_limits(limits=1, user_api="blas"):  # as in training, for the same bits on every machine
            return [_measured(run, measure) for run in runs]


def train_and_keep(config: TrainingConfig, folder: Path, progress: bool = False) -> None:
    """Train a network and keep all of it in a folder, which is there whole or not at all.

    Parameters
    ----------
    config : TrainingConfig
    folder : path
        If somebody else has made it in the meantime, it stays as it is.
    progress : bool
        As for `train`.

    Raises
    ------
    DivergenceError
        If the run diverges.
    OSError
        If it cannot be written.
    """
    with _TRAINING:
        run = train(config, progress=progress)
    own = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    own.mkdir(parents=True)
    run.save(own)
    try:
        os.rename(own, folder)
    except OSError:
        shutil.rmtree(own)
        if not folder.exists():
            raise


def _measured(run, measure):
    if run.diverged is not None:
        return run.diverged
    try:
        return plain(measure(run))
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{_told(error)} ({Path(frame.filename).name}, line {frame.lineno})"


def _told(error: Exception) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


if __name__ == "__main__":
    from experiments.grid import main

    sys.exit(main())
