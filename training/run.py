"""A run: its settings, history and weights, in memory and in a folder.

    config.json      the settings, every default filled in
    history.csv      measurements over the steps
    checkpoint.npz   weights and optimiser, see `training.checkpoint`
    summary.json     the last measurements, the phase, when it grokked and unlearned, time, machine; of a finished run
    snapshots/       weights along the way, see `training.snapshots`; where asked for
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.ipr import mean_ipr
from analysis.phases import phase
from backend import open_device
from data import Problem
from layers import Layer
from storage import write_atomically, write_json
from training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from training.config import ConfigError, TrainingConfig
from training.history import History
from training.setup import make_network, make_problem, rule_neurons
from training.snapshots import State, read_snapshots
from training.tasks import TASKS
from training.trainer import split_arrays

SNAPSHOTS = "snapshots"
"""The folder of the snapshots, inside the run's."""

RUN_META = ("config", "step", "optimizer_steps", "history", "snapshots")
"""What the checkpoint of a run says besides its arrays: `history` is the digest of its rows so far."""


class DivergenceError(ArithmeticError):
    """A measurement, such as the training loss, or a weight became infinite or not a number."""


@dataclass
class Run:
    """A run.

    Attributes
    ----------
    config : TrainingConfig
        With every default filled in.
    history : History
    arrays : dict of str to array
        The network's parameters and buffers by name, and the optimiser's running averages (optimizer.m.U).
    step : int
        Steps made.
    ms_per_step : float
        Median time of a training step in milliseconds, evaluation and start-up excluded. In a stack, of the step of all
        runs together divided by their number.
    seconds : float
        From the start of the command (or of `train`, or of the last `resume`) to the end.
    device : str
        The hardware, for people to read.
    optimizer_steps : int
        Steps that the optimiser has made: more than `step` if it was taken over from another run.
    snapshots : dict of int to dict of str to array
        The network's state along the way, by step.
    diverged : str, optional
        What happened, to a run that diverged in a stack. It has its history until then, and no outcome: neither a
        summary, nor a folder.
    """

    config: TrainingConfig
    history: History
    arrays: dict[str, np.ndarray]
    step: int
    ms_per_step: float
    seconds: float
    device: str
    optimizer_steps: int
    snapshots: dict[int, State] = field(default_factory=dict)
    diverged: str | None = None

    def initial_network(self) -> Layer:
        """The network as it was before the first step, on the CPU."""
        network = make_network([self.config], open_device("numpy", self.config.dtype))
        if self.config.continue_from is not None:
            network.load_state(self.snapshots[0])
        return network

    def network(self, step: int | None = None) -> Layer:
        """The network as it is at the end, or at one of the steps in `snapshots`, on the CPU."""
        network = make_network([self.config], open_device("numpy", self.config.dtype))
        network.load_state(split_arrays(self.arrays)[0] if step is None else self.snapshots[step])
        return network

    def problem(self) -> Problem:
        """The training and the test set."""
        return make_problem(self.config)

    def raise_if_diverged(self) -> None:
        """Raise a DivergenceError if it has."""
        if self.diverged is not None:
            raise DivergenceError(self.diverged)

    def summary(self) -> dict[str, Any]:
        """What summary.json holds: the last measurements under the names of the history's columns, and what follows.

        Raises
        ------
        DivergenceError
            If the run has diverged.
        """
        self.raise_if_diverged()
        last = self.history.last
        network = self.network()
        neurons = rule_neurons(network, self.config)
        return {
            **{name: value for name, value in last.items() if name != "step"},
            # A constant counts as periodic in the paper's IPR: of a network that has collapsed this tells the truth.
            "mean_ipr_without_constant": float(mean_ipr(*neurons, constant=False)) if neurons else None,
            # What the phases are told by presupposes a rule that can be learnt exactly.
            "phase": phase(last["train_accuracy"], last["test_accuracy"], self.config.xi,
                           self.history.best_test_accuracy) if TASKS[self.config.task].modular else None,
            "grok_step": self.history.grok_step,
            "unlearn_step": self.history.unlearn_step,
            "steps": self.step,
            "seconds": round(self.seconds, 3),
            "ms_per_step": round(self.ms_per_step, 4),
            "backend": self.config.backend,
            "device": self.device,
            "threads": self.config.threads,
            "parameters": network.store.flat.size,
            "seed": self.config.seed,
        }

    def save(self, folder: Path) -> None:
        """Write the run into a folder that exists; each file is replaced as a whole.

        Raises
        ------
        DivergenceError
            If the run has diverged. Nothing is written then.
        OSError
            If the folder cannot be written to.
        """
        summary = self.summary()
        write_config(self.config, folder)
        write_progress(Progress(self.config, self.history, self.arrays, self.step, self.optimizer_steps,
                                sorted(self.snapshots)), folder)
        write_json(Path(folder) / "summary.json", summary)


@dataclass(frozen=True)
class Progress:
    """What a folder holds of a run, finished or not; `Run` says what is what, `snapshots` are their steps."""

    config: TrainingConfig
    history: History
    arrays: dict[str, np.ndarray]
    step: int
    optimizer_steps: int
    snapshots: list[int]


def write_config(config: TrainingConfig, folder: Path) -> None:
    """Write config.json."""
    write_json(Path(folder) / "config.json", config.to_dict())


def write_progress(progress: Progress, folder: Path) -> None:
    """Write history.csv and checkpoint.npz, at the end of a run or on the way.

    In this order: after a kill between the two, the history goes beyond the checkpoint and can be cut back to it.
    """
    so_far = progress.history.up_to(progress.step, progress.config.eval_every)
    write_atomically(Path(folder) / "history.csv", progress.history.to_csv())
    write_checkpoint(Path(folder) / "checkpoint.npz", progress.arrays,
                     {"config": progress.config.to_dict(), "step": progress.step,
                      "optimizer_steps": progress.optimizer_steps, "history": so_far.digest(),
                      "snapshots": progress.snapshots})


def read_config(path: Path) -> TrainingConfig:
    """Read settings from a JSON file.

    Raises
    ------
    CheckpointError
        If the file is missing or is not JSON, or a setting in it is unknown, has the wrong type or is not allowed.
    """
    return _config_of(_read_json(path), path)


def read_progress(folder: Path) -> Progress:
    """Read what a folder holds of a run.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the checkpoint was made with other settings than config.json has, or by
        another history.
    """
    folder = Path(folder)
    config = read_config(folder / "config.json").resolved()
    path = folder / "checkpoint.npz"
    arrays, meta = read_checkpoint(path, needed=RUN_META)
    for name, (here, there) in config.differences(_config_of(meta["config"], path)).items():
        raise CheckpointError(f"{folder / 'config.json'}: says {name} {here}, but the checkpoint beside it was made "
                              f"with {there}")
    path = folder / "history.csv"
    try:
        history = History.from_csv(path.read_text())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: is damaged ({error})") from None
    if history.up_to(meta["step"], config.eval_every).digest() != meta["history"]:
        raise CheckpointError(f"{path}: is damaged (its rows up to step {meta['step']} are not those that the "
                              "checkpoint was written with)")
    return Progress(config, history, arrays, meta["step"], meta["optimizer_steps"], meta["snapshots"])


def load_run(folder: Path) -> Run:
    """Read a finished run from its folder.

    Raises
    ------
    CheckpointError
        As for `read_progress`; or if the run has not finished (`resume` finishes it).
    """
    folder = Path(folder)
    saved = read_progress(folder)
    path = folder / "summary.json"
    if not path.exists():
        raise CheckpointError(f"{folder}: the run has not finished, it stands at step {saved.step}")
    summary = _read_json(path)
    for name, kind in {"ms_per_step": (int, float), "seconds": (int, float), "device": str}.items():
        if not isinstance(summary.get(name), kind):
            raise CheckpointError(f"{path}: is damaged (it does not give {name})")
    last = saved.history.rows[-1]
    for name, value in {**last, "steps": last["step"]}.items():
        if name != "step" and summary.get(name) != value:
            raise CheckpointError(f"{path}: gives {name} {summary.get(name)}, but history.csv beside it ends with "
                                  f"{value}")
    return Run(config=saved.config, history=saved.history, arrays=saved.arrays, step=saved.step,
               ms_per_step=summary["ms_per_step"], seconds=summary["seconds"], device=summary["device"],
               optimizer_steps=saved.optimizer_steps, snapshots=read_snapshots(folder / SNAPSHOTS, saved.snapshots))


def _config_of(settings: dict[str, Any], path: Path) -> TrainingConfig:
    try:
        return TrainingConfig.from_dict(settings)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(Path(path).read_text())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: must hold settings by name, got {type(values).__name__}")
    return values
