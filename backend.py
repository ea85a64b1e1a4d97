"""NumPy on a CPU, CuPy on a GPU, from one source.

A function takes its array module from its arrays (`array_module(x)`), so there is no global switch: whatever is handed
in decides where the work is done. What must be *created* is created through one `Device`, which also fixes the
floating-point type. This is the only file that imports cupy, and the home of the few operations for which the two
libraries need different words: reading rows of a table, and adding rows up by the row they came from (`RowIndex`,
`RowSums`).
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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
    """Reading rows of a table, or of one table per run: with index d -> k(d), out[d] = table[k(d)].

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


PART = 300
"""About how many examples a CPU sums at a time (`RowSums`)."""


class RowSums:
    """The adjoint of reading rows of tables: table i gets, in its row k, the sum of rows[d] over all d with k_i(d) = k.

    The sums are a product with the one-hot matrices of the indices, one above the other. (Adding row by row,
    `numpy.add.at`, is sixty times slower on a CPU, and atomic additions on a GPU do not give the same bits every time.)
    On a CPU some three hundred examples are taken at a time, with a matrix of only the range of k that occurs among
    them: where neighbouring examples have neighbouring k, sums are cheap.

    Parameters
    ----------
    *indices : integer array (D,) or (R, D)
        For each table, the row that each example reads.
    rows : int
        K, the rows of a table.
    """

    def __init__(self, *indices: Array, rows: int):
        xp, D = array_module(indices[0]), indices[0].shape[-1]
        # To know the range, a GPU would have to be waited for; and it is best given everything at once.
        cuts = max(1, round(D / PART)) if xp is np else 1
        self._parts = []
        for cut in range(cuts):
            examples = slice(D * cut // cuts, D * (cut + 1) // cuts)
            ranges, matrices, stop = [], [], 0
            for index in indices:
                of_examples = index[..., None, examples]
                known = xp is np and of_examples.size
                first, last = (int(of_examples.min()), int(of_examples.max())) if known else (0, rows - 1)
                matrices.append(of_examples == xp.arange(first, last + 1)[:, None])
                start, stop = stop, stop + last + 1 - first
                ranges.append((slice(start, stop), slice(first, last + 1)))
            self._parts.append((examples, ranges, xp.concatenate(matrices, axis=-2)))
        self._typed: dict[Any, list[Array]] = {}

    def add(self, rows: Array, *tables: Array, workspace: Array) -> None:
        """Add the sums to the tables.

        Parameters
        ----------
        rows : array (..., D, N)
        *tables : array (..., K, N)
            As many as there are indices.
        workspace : array, contiguous
            Of at least as many numbers as the tables together. Overwritten.
        """
        if rows.dtype not in self._typed:
            self._typed[rows.dtype] = [matrix.astype(rows.dtype) for *_, matrix in self._parts]
        for (examples, ranges, _), matrix in zip(self._parts, self._typed[rows.dtype], strict=True):
            shape = (*rows.shape[:-2], matrix.shape[-2], rows.shape[-1])
            sums = workspace.reshape(-1)[:math.prod(shape)].reshape(shape)
            array_module(rows).matmul(matrix, rows[..., examples, :], out=sums)
            for (here, there), table in zip(ranges, tables, strict=True):
                table[..., there, :] += sums[..., here, :]
