"""Small networks of every kind, and what training them leaves, for the tests of training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from backend import Device
from training import Interrupted, Run, Trainer, TrainingConfig, train

SMALL = {"p": 11, "width": 16, "alpha": 0.6, "xi": 0.3, "steps": 20, "eval_every": 10, "dtype": "float64", "threads": 2}

SETTINGS = {
    "full batch": {},
    "minibatch": {"batch_size": 20, "weight_decay": 1.0},
    "dropout": {"dropout": 0.3, "weight_decay": 0.5},
    "BatchNorm": {"batch_norm": True, "batch_size": 20, "dropout": 0.2},
    "BatchNorm in one piece": {"batch_norm": True, "batch_size": 40, "weight_decay": 1.0},
    "cross-entropy, SGD": {"loss": "cross-entropy", "optimizer": "sgd", "weight_decay": 0.01, "activation": "gelu"},
    "multiplication": {"operation": "multiply", "weight_decay": 5.0},
    "relu-mlp": {"model": "relu-mlp", "depth": 4, "dropout": 0.2, "batch_size": 30, "learning_rate": 0.01},
    "L2, clipped": {"l2": -1e-4, "clip": 0.01, "batch_size": 30},
    "transformer": {"model": "transformer", "width": 8, "heads": 2},
    "transformer, LayerNorm": {"model": "transformer", "width": 8, "heads": 2, "layer_norm": True, "dropout": 0.2,
                               "batch_size": 30},
}

every_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


def small(**changes) -> TrainingConfig:
    """Settings of a small run, resolved."""
    return TrainingConfig(**{**SMALL, **changes}).resolved()


@dataclass
class Outcome:
    """What a run is after some steps: its arrays by name, and its measurements."""

    arrays: dict[str, np.ndarray]
    row: dict[str, float | None]


def outcomes(configs: Sequence[TrainingConfig], steps: int = 12, device: Device | None = None) -> list[Outcome]:
    """Train some runs as one stack."""
    with Trainer(configs, device) as trainer:
        for _ in range(steps):
            trainer.step()
        return [Outcome(trainer.arrays(run), row) for run, row in enumerate(trainer.evaluate())]


def assert_same(one: Outcome, other: Outcome) -> None:
    """Both are the same, bit for bit."""
    assert one.arrays.keys() == other.arrays.keys()
    different = [name for name, array in one.arrays.items() if array.tobytes() != other.arrays[name].tobytes()]
    assert different == []
    assert one.row == other.row


def assert_close(one: Outcome, other: Outcome, tolerance: float) -> None:
    """Both are the same up to rounding: each array relative to its largest entry."""
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        expected = other.arrays[name]
        assert array.shape == expected.shape, name
        assert np.abs(array - expected).max() <= tolerance * np.abs(expected).max(), name
    for name, value in one.row.items():
        expected = other.row[name]
        assert value is expected is None or abs(value - expected) <= tolerance * max(1, abs(expected)), name


def assert_same_run(one: Run, other: Run) -> None:
    """Both runs made the same steps with the same measurements and ended with the same bits."""
    assert (one.step, one.optimizer_steps) == (other.step, other.optimizer_steps)
    assert one.history.rows == other.history.rows
    assert_same(Outcome(one.arrays, one.history.last), Outcome(other.arrays, other.history.last))


def interrupt(config: TrainingConfig, folder: Path, step: int) -> None:
    """Train in a folder until asked to stop after so many steps."""
    asked = itertools.count(1)
    with pytest.raises(Interrupted, match=f"stopped after {step} steps$"):
        train(config, folder, stop=lambda: next(asked) == step)
