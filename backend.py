"""NumPy on a CPU, CuPy on a GPU, from one source.

A function takes its array module from its arrays (`array_module(x)`), so there is no global switch: whatever is handed
in decides where the work is done. What must be *created* is created through one `Device`, which also fixes the
floating-point type. This is the only file that imports cupy. For a few operations the two libraries need different
words, to be right or to be fast: products of stacks (`products`), reading and adding up rows of tables (`rows`), an
optimiser's rule and dropout's masks; there a GPU is given a `Kernel`. A CPU is given a `Loop` where that spares it
several passes over large arrays. This is the only file that imports numba, too.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, update_wrapper
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
        return Device("numpy", np, np.dtype(dtype), f"{platform.machine()} CPU, {available_cores()} cores"
                                                        f"{'' if import_numba() else ', without Numba'}")
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


class Kernel:
    """A function of numbers in CUDA C, applied to every element of arrays in one pass: for a GPU alone.

    What on a CPU is a sequence of operations on whole arrays, in the processor's cache, would on a GPU be as many
    launches and as many passes over its memory. Compiled at its first call.

    Parameters
    ----------
    name : str
    inputs, outputs : str
        The types and names of the arguments, in the notation of `cupy.ElementwiseKernel`: arrays that are broadcast
        together, or numbers; after "raw", arrays that the body indexes itself.
    body : str
        What is done for one element. Outputs may be read as well.
    """

    def __init__(self, name: str, inputs: str, outputs: str, body: str):
        self.name, self.inputs, self.outputs, self.body = name, inputs, outputs, body
        self._compiled: dict[Any, Any] = {}

    def __call__(self, *arguments) -> None:
        """Apply it to the inputs, then the outputs, which are changed in place."""
        xp = array_module(arguments[-1])
        if xp not in self._compiled:
            self._compiled[xp] = xp.ElementwiseKernel(self.inputs, self.outputs, self.body, self.name)
        self._compiled[xp](*arguments)


class Loop:
    """A function that goes through the numbers of arrays one by one, in Python that Numba compiles: for a CPU alone.

    What takes NumPy several passes over memory takes one here, and threads do it side by side. Compiled at its first
    call, and kept on disk for the next process. Where it does not run (`runs_on`), operations on whole arrays do the
    same.

    Parameters
    ----------
    function : callable
        It changes the arrays that it is given.
    axes : str
        The axes of each of its arguments: "p N, D 2, " for two matrices and a number. An argument with more axes in
        front is a stack, for each run of which the function is called; one without serves all runs. A Python float
        takes the type of the first argument's numbers.
    """

    def __init__(self, function: Callable[..., None], axes: str):
        update_wrapper(self, function)
        self._axes = [len(names.split()) for names in axes.split(",")]

    def runs_on(self, x: Array) -> bool:
        """Whether it can be called for arrays like x: on a CPU, if there is Numba."""
        return array_module(x) is np and import_numba() is not None

    def __call__(self, *arguments: Array | float) -> None:
        """Call the function for every run of a stack."""
        number = arguments[0].dtype.type
        arguments = [number(x) if isinstance(x, float) else x for x in arguments]
        stacks = [np.ndim(x) - axes for x, axes in zip(arguments, self._axes, strict=True)]
        if not any(stacks):  # the general case would do, and take longer than a short loop
            self._run(*arguments)
            return
        shape = max((np.shape(x)[:axes] for x, axes in zip(arguments, stacks, strict=True)), key=len)
        for run in np.ndindex(shape):
            self._run(*(x[run] if axes else x for x, axes in zip(arguments, stacks, strict=True)))

    def _run(self, *arguments):
        try:
            self._compiled(*arguments)
        except OSError:  # before it ran: the folder where it is kept has no room
            self._compiled = self._compile()
            self._compiled(*arguments)

    @cached_property
    def _compiled(self):
        try:
            return self._compile(cache=True)
        except RuntimeError:  # there is no folder where it could be kept
            return self._compile()

    def _compile(self, **options):
        # Sums may be reordered and products fused, for the processor's wide registers: the same at every call. What is
        # not a number stays so.
        return import_numba().njit(self.__wrapped__, nogil=True, error_model="numpy",
                                   fastmath={"reassoc", "contract"}, **options)


def loop(axes: str) -> Callable[[Callable[..., None]], Loop]:
    """A decorator that makes a function a `Loop`; axes as there."""
    return lambda function: Loop(function, axes)


@lru_cache(maxsize=1)
def import_numba() -> ModuleType | None:
    """Numba; None where it is missing, does not know this NumPy, or is told not to compile (NUMBA_DISABLE_JIT)."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return None
    try:
        import numba
    except ImportError:
        return None
    return numba
