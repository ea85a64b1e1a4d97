"""Matrix products of stacks: y[r] = a[r] b[r], where either factor may be a transposed view.

NumPy's BLAS takes a transposed view as it is. CuPy does so for two matrices, but copies the transposed factors of a
stack before it multiplies them, and has no TF32 for stacks: so on a GPU cuBLAS is called here, by its own name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from backend import Array, array_module

_tf32 = False


@contextmanager
def tf32_products(on: bool) -> Iterator[None]:
    """While this is open, a GPU's tensor cores may multiply float32 numbers rounded to 10 bits of mantissa (TF32)."""
    global _tf32
    before, _tf32 = _tf32, on
    try:
        yield
    finally:
        _tf32 = before


def matmul(a: Array, b: Array, out: Array) -> Array:
    """The product a b.

    Parameters
    ----------
    a : array (..., M, K)
    b : array (..., K, N)
    out : array (..., M, N), contiguous
        Overwritten. It may not share memory with a or b.
    """
    xp = array_module(out)
    if xp is np:
        return np.matmul(a, b, out=out)
    left, right = _operand(a), _operand(b)
    if left is None or right is None or out.ndim > 3 or not out.size or not a.size:
        return xp.matmul(a, b, out=out)
    # cuBLAS reads columns first, so it sees every matrix transposed: it is asked for out^T = b^T a^T.
    cublas, kind = xp.cuda.cublas, {4: xp.cuda.runtime.CUDA_R_32F, 8: xp.cuda.runtime.CUDA_R_64F}[out.itemsize]
    compute = (cublas.CUBLAS_COMPUTE_64F if out.itemsize == 8 else
               cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if _tf32 else cublas.CUBLAS_COMPUTE_32F)
    (M, N), K = out.shape[-2:], a.shape[-1]
    one, zero = np.ones((), out.dtype), np.zeros((), out.dtype)
    cublas.gemmStridedBatchedEx(
        xp.cuda.device.get_cublas_handle(), right[0], left[0], N, M, K,
        one.ctypes.data, b.data.ptr, kind, *right[1:], a.data.ptr, kind, *left[1:],
        zero.ctypes.data, out.data.ptr, kind, N, M * N, len(out) if out.ndim == 3 else 1, compute,
        cublas.CUBLAS_GEMM_DEFAULT)
    return out


def _operand(x: Array) -> tuple[int, int, int] | None:
    """How cuBLAS is to read a factor: whether transposed (1) or as it lies (0), the numbers from one row to the next,
    and those from one run to the next. None if it cannot.
    """
    if x.ndim > 3 or x.dtype.kind != "f":
        return None
    *stack, row, column = (stride // x.itemsize for stride in x.strides)
    rows, columns = x.shape[-2:]
    run = stack[0] if stack else 0  # a factor without the stack axis is shared by all runs
    if (column == 1 or columns == 1) and row >= columns:
        return 0, row, run
    if (row == 1 or rows == 1) and column >= rows:
        return 1, column, run
    return None


def squared_norms(x: Array) -> Array:
    """The sum of the squares of each row.

    Parameters
    ----------
    x : array (..., N), contiguous

    Returns
    -------
    array (...)
    """
    if array_module(x) is np:
        return np.matmul(x[..., None, :], x[..., :, None])[..., 0, 0]  # BLAS needs no array of squares
    return array_module(x).square(x).sum(axis=-1)
