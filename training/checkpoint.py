"""Checkpoints: everything that is needed to go on, in one file that shows any damage.

The file is an ordinary .npz archive: the network's arrays by name, the optimiser's as optimizer.m.U, and `meta`, a JSON
text with the format's number, the settings, the step, and what else belongs to it (the digest of the history, the steps
of the snapshots). Random numbers need no saving (see `streams`). The archive's comment holds the SHA-256 of all bytes
before it, so that a change anywhere, or a missing end, is seen before anything is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from storage import write_atomically

FORMAT = 1
DIGEST = 2 * hashlib.sha256().digest_size  # characters of the comment, the digest in hexadecimal


class CheckpointError(Exception):
    """A checkpoint that cannot be read; the message names the file and the reason."""


def write_checkpoint(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint.

    Parameters
    ----------
    path : path
    arrays : mapping of str to array
    meta : mapping
        Plain values, such as the settings and the step; the format's number is added.

    Raises
    ------
    ValueError
        If an array holds Python objects, which would have to be pickled.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"a checkpoint holds plain numbers, got {name} of type {array.dtype}")
    archive = io.BytesIO()
    text = json.dumps({"format": FORMAT, **meta}, allow_nan=False)
    np.savez(archive, meta=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)
    body = archive.getvalue()
    # The last field of a zip file is the length of its comment, two bytes, zero as numpy leaves it.
    body = body[:-2] + struct.pack("<H", DIGEST)
    write_atomically(path, body + hashlib.sha256(body).hexdigest().encode())


def read_checkpoint(path: Path, needed: Iterable[str] = ()) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint.

    Parameters
    ----------
    path : path
    needed : iterable of str
        What `meta` must have: a file of this format can still belong to something else.

    Returns
    -------
    arrays : dict of str to array
    meta : dict

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another format, or of another kind.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    body, digest = content[:-DIGEST], content[-DIGEST:]
    if not content.startswith(b"PK") or len(content) <= DIGEST:
        raise CheckpointError(f"{path}: is not a checkpoint")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise CheckpointError(f"{path}: is damaged (its digest does not match its content)")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop("meta").tobytes())
    except (ValueError, KeyError, zipfile.BadZipFile):
        raise CheckpointError(f"{path}: is not a checkpoint") from None
    if meta.get("format") != FORMAT:
        raise CheckpointError(f"{path}: has format {meta.get('format')}, this program reads format {FORMAT}")
    if missing := sorted(set(needed) - meta.keys()):
        raise CheckpointError(f"{path}: is a checkpoint of another kind (it does not give {', '.join(missing)})")
    return arrays, meta
