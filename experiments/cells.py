"""The cells of a sweep on the disk: one JSON file for each finished cell, found again by what it was computed from.

A cell's name is the hash of its settings, of the text of the function that measured it, and of the program's sources.
Whoever changes a layer therefore gets new cells, never old numbers; whoever repeats a sweep, or shares settings with
another one, gets the old ones at once.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage import write_json
from training import Run, TrainingConfig

ROOT = Path(__file__).resolve().parents[1]

SOURCES = ("backend.py", "streams.py", "storage.py", "analysis", "data", "layers", "optim", "training")
"""What a measurement can depend on."""

UNIMPORTANT = ("threads", "checkpoint_every")
"""Settings on which nothing that is measured depends."""

Measure = Callable[[Run], dict[str, Any]]


@lru_cache(maxsize=1)
def program_version() -> str:
    """The SHA-256 of the program's sources, in hexadecimal."""
    digest = hashlib.sha256()
    for name in SOURCES:
        place = ROOT / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def cell_path(folder: Path, config: TrainingConfig, measure: Measure) -> Path:
    """Where a cell is stored.

    Parameters
    ----------
    folder : path
    config : TrainingConfig
        Resolved. Of a run that continues from another one, that one's checkpoint is part of the name.
    measure : callable (Run) -> dict
        A function at the top level of a module. Its own text is part of the name, so besides its own lines it should
        call nothing but the packages in `SOURCES`.
    """
    settings = {name: value for name, value in config.to_dict().items() if name not in UNIMPORTANT}
    if config.continue_from is not None:
        checkpoint = Path(config.continue_from) / "checkpoint.npz"
        settings["continue_from"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    key = json.dumps([program_version(), inspect.getsource(measure), settings], sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return Path(folder) / name[:2] / f"{name}.json"


def read_cell(path: Path) -> dict[str, Any] | None:
    """What was measured in a finished cell, or None. A damaged file counts as none: the cell is computed again."""
    try:
        cell = json.loads(path.read_text())
        return cell["measured"] if isinstance(cell["measured"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_cell(path: Path, config: TrainingConfig, measured: dict[str, Any]) -> None:
    """Store a finished cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"config": config.to_dict(), "measured": measured})
