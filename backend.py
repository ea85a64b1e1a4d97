"""NumPy on a CPU, CuPy on a GPU, from one source.

A function takes its array module from its arrays (`array_module(x)`), so there is no global switch: whatever is handed
in decides where the work is done. What must be *created* is created through one `Device`, which also fixes the
floating-point type. This is the only file that imports cupy, and the home of the few operations for which the two
libraries need different words: reading rows of a table, and adding rows up by the row they came from (`RowIndex`).
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

BACKENDS = ("numpy", "cupy")
DTYPES = ("float32", "float64")

Array = Any
"""A NumPy or CuPy array."""


class BackendError(RuntimeError):
    """The backend that was asked for cannot be used on this machine."""


@dataclass(frozen=True)
class Device:
    """Where arrays live and what type of float they hold.

    Parameters
    ----------
    name : {"numpy", "cupy"}
        The backend.
    xp : module
        The array module, `numpy` or `cupy`.
    dtype : numpy.dtype
        The type of every floating-point array created here.
    description : str
        The hardware, for people to read.
    """

    name: str
    xp: ModuleType
    dtype: np.dtype
    description: str

    def asarray(self, values) -> Array:
        """Copy values to the device; floats take the device's type, integers and booleans keep theirs."""
        values = np.asarray(values)
        return self.xp.asarray(values, dtype=self.dtype if values.dtype.kind == "f" else values.dtype)

    def zeros(self, shape: Sequence[int]) -> Array:
        """Zeros of the device's floating-point type."""
        return self.xp.zeros(tuple(shape), dtype=self.dtype)

    def synchronize(self) -> None:
        """Wait until the device has done all it was asked to do (a GPU works on while Python goes ahead)."""
        if self.name == "cupy":
            self.xp.cuda.get_current_stream().synchronize()


def open_device(backend: str = "numpy", dtype: str = "float32") -> Device:
    """The device of a backend.

    Parameters
    ----------
    backend : {"numpy", "cupy"}
    dtype : {"float32", "float64"}

    Raises
    ------
    BackendError
        If CuPy is asked for and it, or a GPU, is missing. The message says what to install.
    ValueError
        If the backend or the type has another name.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if backend == "numpy":
        return Device("numpy", np, np.dtype(dtype), f"{platform.machine()} CPU, {available_cores()} cores")
    cupy = _import_cupy()
    try:
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(f"backend cupy needs an NVIDIA GPU and its driver, and none answers ({error}); "
                           "use backend numpy on this machine") from None
    return Device("cupy", cupy, np.dtype(dtype), properties["name"].decode())


def _import_cupy() -> ModuleType:
    try:
        import cupy
    except ImportError as error:
        raise BackendError("backend cupy needs CuPy, which cannot be imported here "
                           f"({str(error).strip().splitlines()[0]}); install it with: pip install -e '.[cuda13]' "
                           "(or '.[cuda12]' for a CUDA 12 driver)") from None
    return cupy


def available_cores() -> int:
    """The processor cores that this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def array_module(x: Array) -> ModuleType:
    """The module (`numpy` or `cupy`) that the array x belongs to."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def to_host(x: Array) -> np.ndarray:
    """The array x as a NumPy array (from a GPU, a copy; this waits for the GPU)."""
    return np.asarray(x) if array_module(x) is np else x.get()


class RowIndex:
    """An index into the rows of a table, or of one table per run: gathering rows, and its adjoint, summing them back.

    With index d -> k(d), `take` writes out[d] = table[k(d)], and `add_up` writes out[k] = sum of rows[d] over all d
    with k(d) = k, which is how the gradient of `take` reaches the table.

    On a CPU rows are added up in the order of the index, where those of one k are a contiguous slice that one call sums
    (adding row by row, `numpy.add.at`, is sixty times slower). On a GPU the sum is a product with the one-hot matrix of
    the index: unlike atomic additions it gives the same bits every time, unlike a loop over k it is a single launch.

    Parameters
    ----------
    index : integer array (D,) or (R, D)
        The row that each example reads, in [0, K). Without the stack axis it is shared by all runs.
    table : array (..., K, N)
        A table of the shape to be read.
    """

    def __init__(self, index: Array, table: Array):
        xp = array_module(index)
        stack, rows = table.shape[:-2], table.shape[-2]
        runs = int(np.prod(stack, dtype=int))
        # The tables of a stack are one table of R K rows, in which run r reads row r K + k.
        flat = (index + rows * xp.arange(runs)[:, None]) if stack else index
        self.flat = flat.reshape(-1)
        self.shape = (*stack, index.shape[-1])
        self._index, self._rows = index, rows

    @cached_property
    def _sorted(self) -> tuple[np.ndarray | None, list[tuple[int, int, int]]]:
        """On a CPU: the order that sorts the examples by k (None if they are), and the slice of each k that occurs."""
        order = None if np.all(self.flat[1:] >= self.flat[:-1]) else np.argsort(self.flat, kind="stable")
        ordered = self.flat if order is None else self.flat[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        stops = np.append(starts[1:], len(ordered))
        return order, list(zip(ordered[starts].tolist(), starts.tolist(), stops.tolist(), strict=True))

    @cached_property
    def _one_hot(self) -> Array:
        """On a GPU: the matrix (..., K, D) that is true where example d reads row k."""
        return self._index[..., None, :] == array_module(self._index).arange(self._rows)[:, None]

    def take(self, table: Array, out: Array) -> Array:
        """Write the rows read by each example into out.

        Parameters
        ----------
        table : array (..., K, N)
        out : array (..., D, N), contiguous
        """
        xp = array_module(table)
        width = table.shape[-1]
        # Mode "clip" spares NumPy the copy that keeps `out` as it was on an error: five times faster.
        mode = {"mode": "clip"} if xp is np else {}
        xp.take(table.reshape(-1, width), self.flat, axis=0, out=out.reshape(-1, width), **mode)
        return out

    def add_up(self, rows: Array, out: Array, workspace: Array | None = None) -> Array:
        """Write into out, for each row of the table, the sum of the rows of the examples that read it.

        Parameters
        ----------
        rows : array (..., D, N)
        out : array (..., K, N), contiguous
            Overwritten; what no example reads becomes zero.
        workspace : array (..., D, N), optional
            Where a CPU may lay the sorted rows.
        """
        xp = array_module(rows)
        if xp is not np:
            return xp.matmul(self._one_hot.astype(rows.dtype), rows, out=out)
        width = rows.shape[-1]
        rows, sums = rows.reshape(-1, width), out.reshape(-1, width)
        order, slices = self._sorted
        if order is not None:
            workspace = np.empty_like(rows) if workspace is None else workspace.reshape(-1, width)
            rows = np.take(rows, order, axis=0, out=workspace, mode="clip")
        sums[...] = 0
        for k, start, stop in slices:
            np.add.reduce(rows[start:stop], axis=0, out=sums[k])
        return out
