"""The cells of a sweep on the disk: one JSON file for each finished cell, found again by what it was computed from.

A cell's name is the hash of its settings, of the text of the function that measured it, and of the program's sources.
Whoever changes a layer therefore gets new cells, never old numbers; whoever repeats a sweep, or shares settings with
another one, gets the old ones at once.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import uuid
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage import write_json
from training import Run, TrainingConfig

ROOT = Path(__file__).resolve().parents[1]

SOURCES = ("backend.py", "products.py", "rows.py", "streams.py", "storage.py", "analysis", "data", "layers", "optim",
           "training")
"""What a measurement can depend on."""

UNIMPORTANT = ("threads", "checkpoint_every")
"""Settings on which nothing that is measured depends."""

Measure = Callable[[Run], dict[str, Any]]


@lru_cache(maxsize=1)
def program_version() -> str:
    """The SHA-256 of the program's sources and of the data that comes with them, in hexadecimal."""
    digest = hashlib.sha256()
    for name in SOURCES:
        place = ROOT / name
        for path in sorted([*place.rglob("*.py"), *place.rglob("*.npz")]) if place.is_dir() else [place]:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def made_by(measure: Measure) -> tuple[str, str]:
    """All that a measurement follows from besides the settings: the program's version, and the measure's own text.

    Parameters
    ----------
    measure : callable (Run) -> dict
        A function at the top level of a module. Besides its own lines it should call nothing but the packages in
        `SOURCES`.
    """
    return program_version(), inspect.getsource(measure)


def still_made_by(measure: Measure, version: tuple[str, str]) -> bool:
    """Whether a measurement follows from the same here, in a worker, as where `made_by` returned this version."""
    program, text = version
    # Of a function of the main module Dask sends the code itself, which has no text here.
    return program == program_version() and (measure.__module__ == "__main__" or text == inspect.getsource(measure))


def cell_path(folder: Path, config: TrainingConfig, measure: Measure) -> Path:
    """Where a cell is stored.

    Parameters
    ----------
    folder : path
    config : TrainingConfig
        Resolved. Of a run that continues from another one, that one's checkpoint is part of the name.
    measure : callable (Run) -> dict
        See `made_by`.

    Raises
    ------
    OSError
        If the checkpoint to continue from cannot be read.
    """
    settings = _important(config)
    if config.continue_from is not None:
        checkpoint = Path(config.continue_from) / "checkpoint.npz"
        settings["continue_from"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    name = _digest([*made_by(measure), settings])[:32]
    return Path(folder) / name[:2] / f"{name}.json"


def run_folder(folder: Path, config: TrainingConfig) -> Path:
    """Where a whole run is stored, weights and all, for others to continue from.

    Parameters
    ----------
    folder : path
        That of the cells.
    config : TrainingConfig
        Resolved, not itself continuing another run.
    """
    return Path(folder) / "runs" / _digest([program_version(), _important(config)])[:32]


def plain(measured: dict[str, Any]) -> dict[str, Any]:
    """A measurement as it is after it has been stored and read again: a tuple is a list, the key 1 is "1".

    Raises
    ------
    TypeError, ValueError
        If it cannot be stored: it is no dict, holds an array, a NaN, an infinity.
    """
    if not isinstance(measured, dict):
        raise TypeError(f"a measure must return a dict, got {type(measured).__name__}")
    return json.loads(json.dumps(measured, allow_nan=False))


def read_cell(path: Path) -> dict[str, Any] | None:
    """What was measured in a finished cell, or None. A damaged file counts as none: the cell is computed again."""
    try:
        cell = json.loads(path.read_text())
        digest = cell.pop("digest")
        return cell["measured"] if digest == _digest([path.name, cell]) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write_cell(path: Path, config: TrainingConfig, measured: dict[str, Any]) -> None:
    """Store a finished cell.

    Parameters
    ----------
    path : path
        As `cell_path` says.
    config : TrainingConfig
    measured : dict
        Plain values, as `plain` returns them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = {"config": config.to_dict(), "measured": measured}
    # Two sweeps may store the same cell at once: each writes a file of its own, and the last one stays.
    own = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    write_json(own, {**cell, "digest": _digest([path.name, cell])})
    os.replace(own, path)


def _important(config):
    return {name: value for name, value in config.to_dict().items() if name not in UNIMPORTANT}


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
