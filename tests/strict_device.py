"""A stand-in for a GPU: NumPy behind a wall.

CuPy refuses to mix its arrays with NumPy's. On a machine without a GPU nothing refuses anything, and a forgotten
transfer is found only later. Here arrays live behind the same wall: a `StrictArray` holds a NumPy array, but does not
turn into one unless asked with `.get()`, takes no part in operations with NumPy's arrays, and has only the methods and
keywords that CuPy has (where CuPy is installed to compare with). `StrictCuPy` is the module that goes with it: put in
the place of `cupy` in `sys.modules`, it is what `backend.array_module` and `open_device("cupy")` find.

It is not a subclass of `numpy.ndarray`: `numpy.asarray` lets those through without asking.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tests.compiled_kernel import CompiledKernel, gemm_strided_batched
from tests.real_cupy import accepts, real_cupy, resolve

# What CuPy waits for the GPU in: the shape of the result, or an error, depends on values.
WAITING = ("bincount", "nonzero", "flatnonzero", "argwhere", "unique", "histogram")


class StrictArray(NDArrayOperatorsMixin):
    """An array on the far side."""

    host_reads: ClassVar[int] = 0
    """How often values crossed to the host, over all arrays: each makes the host wait for a GPU."""

    def __init__(self, values: np.ndarray):
        self._values = values

    def get(self) -> np.ndarray:
        """A copy on the host."""
        return self._read().copy()

    def item(self):
        return self._read().item()

    def tolist(self):
        return self._read().tolist()

    def __float__(self):
        return float(self._read())

    def __int__(self):
        return int(self._read())

    def __index__(self):
        return self._read().__index__()

    def __bool__(self):
        return bool(self._read())

    @property
    def data(self):
        """Where the numbers lie, for cuBLAS."""
        return SimpleNamespace(ptr=self._values.ctypes.data)

    def _read(self):
        StrictArray.host_reads += 1
        return self._values

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion of a device array to a NumPy array: use .get()")

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        path = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return _call(getattr(ufunc, method), _in_cupy(path), inputs, keywords)

    def __array_function__(self, function, types, arguments, keywords):
        return _call(function, _in_cupy(function.__name__), arguments, keywords)

    def __len__(self):
        return len(self._values)

    def __getitem__(self, index):
        StrictArray.host_reads += any(isinstance(one, StrictArray) and one._values.dtype == bool
                                      for one in (index if isinstance(index, tuple) else (index,)))
        return _wrap(self._values[_unwrap(index)])

    def __setitem__(self, index, value):
        self._values[_unwrap(index)] = _unwrap(value)

    def __iter__(self):
        return (self[position] for position in range(len(self)))

    def __repr__(self):
        return f"StrictArray({self._values!r})"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        cupy = real_cupy()
        known = None if cupy is None else resolve(name, cupy.ndarray)
        value = getattr(self._values, name)
        if not callable(value):
            return _wrap(value)
        return lambda *arguments, **keywords: _call(value, known, arguments, keywords)


class StrictName:
    """A function, or a module within the module: `xp.multiply`, `xp.add.reduce`, `xp.fft.rfft`."""

    def __init__(self, in_numpy: Any, path: str):
        self._in_numpy, self._path = in_numpy, path

    def __call__(self, *arguments, **keywords):
        if self._path in WAITING:
            StrictArray.host_reads += 1
        return _call(self._in_numpy, _in_cupy(self._path), arguments, keywords)

    def __getattr__(self, name):
        path = f"{self._path}.{name}"
        _in_cupy(path)
        return _named(getattr(self._in_numpy, name), path)


class StrictCuPy:
    """The module: what both NumPy and CuPy have, and the few things of CuPy's own that `backend` uses."""

    ndarray = StrictArray
    cuda = SimpleNamespace(
        Device=lambda: SimpleNamespace(id=0),
        get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
        device=SimpleNamespace(get_cublas_handle=lambda: 0),
        cublas=SimpleNamespace(gemmStridedBatchedEx=gemm_strided_batched, CUBLAS_GEMM_DEFAULT=-1, CUBLAS_COMPUTE_32F=68,
                               CUBLAS_COMPUTE_64F=70, CUBLAS_COMPUTE_32F_FAST_TF32=77),
        runtime=SimpleNamespace(CUDARuntimeError=RuntimeError, getDeviceProperties=lambda number: {"name": b"strict"},
                                memGetInfo=lambda: (2 ** 30, 2 ** 31), CUDA_R_32F=0, CUDA_R_64F=1))
    get_default_memory_pool = staticmethod(lambda: SimpleNamespace(free_bytes=lambda: 2 ** 20))

    def __init__(self):
        real_cupy()  # is remembered, and has to be found before this module takes its place

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        _in_cupy(name)
        return _named(getattr(np, name), name)

    @staticmethod
    def ElementwiseKernel(*description):
        """A kernel of the same text, for the processor (`tests.compiled_kernel`)."""
        kernel = CompiledKernel(*description)
        return lambda *arguments: kernel(*_unwrap(arguments))

    @staticmethod
    def asarray(values, dtype=None):
        """Copy from the host: with `array`, the only door."""
        return StrictArray(np.array(values._values if isinstance(values, StrictArray) else values, dtype=dtype))

    array = asarray


def _named(value, path):
    plain = isinstance(value, type) or not (callable(value) or isinstance(value, ModuleType))  # float32, pi
    return value if plain else StrictName(value, path)


def _in_cupy(path):
    """What the real CuPy has at this path: AttributeError if nothing, None where CuPy is not installed."""
    return None if real_cupy() is None else resolve(path, real_cupy())


def _call(function, known, arguments, keywords):
    """Call NumPy's function on device arrays, if CuPy's takes these keywords."""
    for keyword in keywords:
        if known is not None and not accepts(known, keyword):
            raise TypeError(f"CuPy's {known!r} has no keyword {keyword!r}")
    out = keywords.get("out")
    result = function(*_unwrap(arguments), **{name: _unwrap(value) for name, value in keywords.items()})
    if out is None:
        return _wrap(result)
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


def _unwrap(value):
    """The NumPy arrays inside; a NumPy array that comes from outside is refused."""
    if isinstance(value, StrictArray):
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array among device arrays: copy it to the device first")
    if isinstance(value, (tuple, list)):
        return type(value)(_unwrap(item) for item in value)
    return value


def _wrap(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return StrictArray(np.asarray(value))  # like CuPy's, a full reduction is an array, without axes
    if isinstance(value, (tuple, list)) and any(isinstance(item, np.ndarray) for item in value):
        return type(value)(_wrap(item) for item in value)
    return value
