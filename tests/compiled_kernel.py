"""Kernels for a GPU, compiled for the processor: the same body, looped over the elements by a C++ compiler.

What CuPy makes of a kernel's notation is done here once more: inputs and outputs are broadcast together, a `raw` array
is handed over whole, a type letter such as T stands for the type of the arrays that have it. So a kernel's arithmetic,
its indices and its types can be tested without a GPU. What cannot: that NVIDIA's compiler takes it, and its speed.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

C_TYPES = {"float32": "float", "float64": "double", "int32": "int32_t", "int64": "int64_t", "uint64": "uint64_t",
           "uint16": "uint16_t", "bool": "bool"}

PRELUDE = """
#include <cmath>
#include <cstddef>
#include <cstdint>
using std::sqrt;
static inline uint64_t __umul64hi(uint64_t a, uint64_t b) { return (unsigned __int128) a * b >> 64; }
"""


@dataclass(frozen=True)
class Parameter:
    """One argument of a kernel: "raw T x" or "int64 n"."""

    raw: bool
    kind: str
    name: str

    @classmethod
    def all_of(cls, text: str) -> list[Parameter]:
        """The parameters of a list in CuPy's notation."""
        words = [part.split() for part in text.split(",")]
        return [cls(len(each) == 3, each[-2], each[-1]) for each in words]


class CompiledKernel:
    """What `cupy.ElementwiseKernel` is, on NumPy arrays.

    Parameters
    ----------
    in_params, out_params, operation, name
        As CuPy calls them.
    """

    def __init__(self, in_params: str, out_params: str, operation: str, name: str):
        self.inputs, self.outputs = Parameter.all_of(in_params), Parameter.all_of(out_params)
        self.operation, self.name = operation, name
        for one in (*self.inputs, *self.outputs):
            reserved = one.name in ("i", "n") or one.name.startswith("_")
            assert not reserved, f"{one.name} is a name that CuPy keeps for itself"

    def __call__(self, *arguments) -> None:
        parameters = [*self.inputs, *self.outputs]
        assert len(arguments) == len(parameters), f"{self.name} takes {len(parameters)} arguments"
        types = self._types(parameters, arguments)
        spread = [argument for one, argument in zip(parameters, arguments, strict=True) if not one.raw]
        shape = np.broadcast_shapes(*(np.shape(argument) for argument in spread))
        for one, argument in zip(self.outputs, arguments[len(self.inputs):], strict=True):
            assert one.raw or argument.shape == shape, f"{one.name} must have the shape {shape}, has {argument.shape}"
        held = []
        for one, argument in zip(parameters, arguments, strict=True):
            if one.raw or one in self.outputs:
                held.append(np.ascontiguousarray(argument))
            else:
                held.append(np.ascontiguousarray(np.broadcast_to(np.asarray(argument, types[one.kind]), shape)))
        signature = ", ".join(f"{C_TYPES[types[one.kind]]}* {'' if one.raw else '_'}{one.name}" for one in parameters)
        each = "".join(f"    {C_TYPES[types[one.kind]]}& {one.name} = _{one.name}[i];\n"
                       for one in parameters if not one.raw)
        letters = "".join(f"typedef {C_TYPES[value]} {kind};\n" for kind, value in types.items() if kind != value)
        run = compiled(f'{PRELUDE}{letters}extern "C" void run(ptrdiff_t n, {signature}) {{\n'
                       f"  for (ptrdiff_t i = 0; i < n; ++i) {{\n{each}{self.operation}\n  }}\n}}\n")
        run(ctypes.c_ssize_t(int(np.prod(shape))), *(ctypes.c_void_p(array.ctypes.data) for array in held))
        for argument, array in list(zip(arguments, held, strict=True))[len(self.inputs):]:
            argument[...] = array  # of an output that is not contiguous, a copy was changed

    def _types(self, parameters, arguments):
        """What each type's name stands for; as in CuPy, arrays decide over letters and numbers fit in."""
        types = {one.kind: one.kind for one in parameters if one.kind in C_TYPES}
        for one, argument in zip(parameters, arguments, strict=True):
            if np.ndim(argument) or hasattr(argument, "dtype"):
                found = types.setdefault(one.kind, argument.dtype.name)
                assert found == argument.dtype.name, f"{self.name}: {one.name} is {argument.dtype}, not {found}"
        return types


@lru_cache(maxsize=256)
def compiled(source: str):
    """The function `run` of a C++ source."""
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    folder = Path(tempfile.gettempdir()) / f"compiled-kernels-{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    library = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.so"
    if not library.exists():
        text, beside = library.with_suffix(f".{os.getpid()}.cpp"), library.with_suffix(f".{os.getpid()}.so")
        text.write_text(source)
        told = subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-Wall", "-Wno-unused", "-ffp-contract=off",
                               "-o", str(beside), str(text)], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        text.unlink()
        beside.rename(library)
    return ctypes.CDLL(str(library)).run


def gemm_strided_batched(handle, transposed_a, transposed_b, m, n, k, alpha, a, kind_a, lda, stride_a, b, kind_b, ldb,
                         stride_b, beta, c, kind_c, ldc, stride_c, count, compute, algorithm) -> None:
    """What cuBLAS's function of this name does, in the processor's memory: c = alpha op(a) op(b) + beta c for each of
    `count` matrices stored column by column."""
    assert kind_a == kind_b == kind_c
    number = (ctypes.c_float, ctypes.c_double)[kind_c]

    def matrices(pointer, rows, columns, leading, stride):
        assert leading >= max(1, rows), "the leading dimension is too small"
        size = stride * (count - 1) + leading * (columns - 1) + rows
        flat = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(number)), (size,))
        return np.lib.stride_tricks.as_strided(flat, (count, rows, columns),
                                               [flat.itemsize * step for step in (stride, 1, leading)])

    left = matrices(a, k, m, lda, stride_a).mT if transposed_a else matrices(a, m, k, lda, stride_a)
    right = matrices(b, n, k, ldb, stride_b).mT if transposed_b else matrices(b, k, n, ldb, stride_b)
    one, zero = (ctypes.cast(pointer, ctypes.POINTER(number))[0] for pointer in (alpha, beta))
    assert (one, zero) == (1, 0)
    matrices(c, m, n, ldc, stride_c)[...] = left @ right
