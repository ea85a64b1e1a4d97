"""Writing files so that a kill at any moment leaves either the old file or the new one, whole."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_atomically(path: str | os.PathLike, content: bytes | str) -> None:
    """Write a file beside its place, flush it to the disk, and rename it into its place."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    try:
        with open(beside, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_json(path: str | os.PathLike, values: Any) -> None:
    """Write plain values as JSON; a NaN or an infinity is an error, an undefined value is null."""
    write_atomically(path, json.dumps(values, indent=2, allow_nan=False) + "\n")
