"""A finished run: its settings, history and weights, in memory and in a folder.

    config.json      the settings, every default filled in
    history.csv      measurements over the steps
    checkpoint.npz   weights and optimiser, see `training.checkpoint`
    summary.json     the last measurements, the phase, when it grokked and unlearned, time, machine
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.ipr import mean_ipr
from analysis.phases import phase
from backend import open_device
from data import Problem
from layers import Layer
from storage import write_atomically, write_json
from training.checkpoint import read_checkpoint, write_checkpoint
from training.config import TrainingConfig
from training.history import History
from training.setup import make_network, make_problem


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
        From the start of the command (or of `train`) to the end.
    device : str
        The hardware, for people to read.
    """

    config: TrainingConfig
    history: History
    arrays: dict[str, np.ndarray]
    step: int
    ms_per_step: float
    seconds: float
    device: str

    def initial_network(self) -> Layer:
        """The network as it was before the first step, on the CPU."""
        return make_network([self.config], open_device("numpy", self.config.dtype))

    def network(self) -> Layer:
        """The network as it is at the end, on the CPU."""
        network = self.initial_network()
        network.load_state({name: array for name, array in self.arrays.items() if not name.startswith("optimizer.")})
        return network

    def problem(self) -> Problem:
        """The training and the test set."""
        return make_problem(self.config)

    def summary(self) -> dict[str, Any]:
        """What summary.json holds: the last measurements under the names of the history's columns, and what follows."""
        last = self.history.last
        network = self.network()
        return {
            **{name: value for name, value in last.items() if name != "step"},
            # A constant counts as periodic in the paper's IPR: of a network that has collapsed this tells the truth.
            "mean_ipr_without_constant": float(mean_ipr(*network.neurons(), constant=False)),
            "phase": phase(last["train_accuracy"], last["test_accuracy"], self.config.xi,
                           self.history.best_test_accuracy),
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
        """Write the run into a folder that exists; each file is replaced as a whole."""
        write_config(self.config, folder)
        write_progress(self.config, self.history, self.arrays, self.step, folder)
        write_json(Path(folder) / "summary.json", self.summary())


def write_config(config: TrainingConfig, folder: Path) -> None:
    """Write config.json."""
    write_json(Path(folder) / "config.json", config.to_dict())


def write_progress(config: TrainingConfig, history: History, arrays: Mapping[str, np.ndarray], step: int,
                   folder: Path) -> None:
    """Write history.csv and checkpoint.npz, at the end of a run or on the way."""
    write_atomically(Path(folder) / "history.csv", history.to_csv())
    write_checkpoint(Path(folder) / "checkpoint.npz", arrays, {"config": config.to_dict(), "step": step})


def load_run(folder: Path) -> Run:
    """Read a finished run from its folder.

    Raises
    ------
    OSError
        If a file is missing.
    ValueError
        If config.json, summary.json or history.csv cannot be understood.
    CheckpointError
        If the checkpoint is damaged.
    """
    folder = Path(folder)
    config = TrainingConfig.from_dict(json.loads((folder / "config.json").read_text()))
    summary = json.loads((folder / "summary.json").read_text())
    arrays, meta = read_checkpoint(folder / "checkpoint.npz")
    return Run(config=config, history=History.from_csv((folder / "history.csv").read_text()), arrays=arrays,
               step=meta["step"], ms_per_step=summary["ms_per_step"], seconds=summary["seconds"],
               device=summary["device"])
