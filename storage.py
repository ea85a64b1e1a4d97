"""Writing files so that a kill at any moment leaves either the old file or the new one; and one process in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


class InUseError(OSError):
    """Another process holds the folder."""


@contextmanager
def held(folder: str | os.PathLike) -> Iterator[None]:
    """Hold a folder, as long as this is open or the process lives: no other process can hold it at the same time.

    Where the system or its file system has no such locks, nothing is held.

    Raises
    ------
    InUseError
        If another process holds it.
    """
    descriptor = _lock(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder):
    """The descriptor of the folder, locked if there are locks; None if it cannot be opened."""
    try:
        import fcntl  # not under Windows
        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # whoever reads the folder next says what is wrong with it
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUseError(f"{folder}: another process is at work in this folder") from None
    except OSError:  # a file system without locks
        pass
    return descriptor
