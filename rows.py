"""Rows of tables: reading the row that each example names, and adding up what comes back to it.

A table U (K, N) and an index k(d) give the rows U[k(d)], which is the product of a one-hot matrix with U. Its adjoint
takes rows (D, N) to a table: row k is the sum over all d with k(d) = k. A CPU computes that as the product it is, with
a sparse matrix; a GPU goes through the examples of each k one after another, in their order, all k and all columns at
once. (Atomic additions on a GPU do not give the same bits every time.)
"""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csc_array

from backend import Array, Kernel, array_module


def checked(index: Array, rows: int) -> Array:
    """The index, if all of it lies in [0, rows).

    Raises
    ------
    IndexError
        If not: reading would take another row, and sums of rows would be written outside of the table. (On a GPU, which
        would have to be waited for, nobody looks.)
    """
    if array_module(index) is np and index.size and (index.min() < 0 or index.max() >= rows):
        raise IndexError(f"an index of rows must lie in [0, {rows}), got {index.min()} to {index.max()}")
    return index


class RowIndex:
    """Reading rows of a table, or of one table per run: with index d -> k(d), out[d] = table[k(d)].

    Parameters
    ----------
    index : integer array (D,) or (R, D)
        The row that each example reads, in [0, K). Without the stack axis it is shared by all runs.
    table : array (..., K, N)
        A table of the shape to be read.

    Raises
    ------
    IndexError
        As `checked`.
    """

    def __init__(self, index: Array, table: Array):
        xp = array_module(index)
        stack, rows = table.shape[:-2], table.shape[-2]
        runs = int(np.prod(stack, dtype=int))
        # The tables of a stack are one table of R K rows, in which run r reads row r K + k.
        flat = (checked(index, rows) + rows * xp.arange(runs)[:, None]) if stack else checked(index, rows)
        self.flat = flat.reshape(-1)
        self.columns = xp.arange(table.shape[-1])
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


def take_pair(m: RowIndex, U: Array, n: RowIndex, V: Array, out: Array, workspace: Array) -> Array:
    """out[d] = U[m(d)] + V[n(d)].

    Parameters
    ----------
    m, n : RowIndex
    U, V : array (..., K, N)
    out, workspace : array (..., D, N), contiguous
    """
    if array_module(out) is np:
        m.take(U, out)
        out += n.take(V, workspace)
        return out
    width = out.shape[-1]
    TAKE_PAIR(U.reshape(-1), V.reshape(-1), m.flat[:, None], n.flat[:, None], m.columns, width,
              out.reshape(-1, width))
    return out


TAKE_PAIR = Kernel("take_pair", "raw T U, raw T V, int64 m_d, int64 n_d, int64 column, int64 width", "T h",
                   "h = U[m_d * width + column] + V[n_d * width + column];")


class RowSums:
    """The adjoint of reading rows of tables: table i gets, in its row k, the sum of rows[d] over all d with k_i(d) = k.

    Parameters
    ----------
    *indices : integer array (D,) or (R, D)
        For each table, the row that each example reads.
    rows : int
        K, the rows of a table.
    """

    def __init__(self, *indices: Array, rows: int):
        self._sums = (OneHotSums if array_module(indices[0]) is np else SegmentSums)(indices, rows)

    def add(self, rows: Array, *tables: Array) -> None:
        """Add the sums to the tables.

        Parameters
        ----------
        rows : array (..., D, N)
        *tables : array (..., K, N)
            As many as there are indices.
        """
        self._sums.add(rows, tables)


class OneHotSums:
    """On a CPU: the product with the one-hot matrices of the indices, one above the other, as the sparse matrix it is.

    Column d has a one in row k_i(d) of each table i: SciPy adds the row d of the examples to these rows of the tables,
    and goes on to the next. The examples are read once, in their order, whatever the order of the indices.
    """

    def __init__(self, indices: tuple[Array, ...], rows: int):
        tables, (*stack, D) = len(indices), indices[0].shape
        ones_in = np.stack(indices, axis=-1) + rows * np.arange(tables)  # of column d: the rows with a one
        shape, stops = (tables * rows, D), tables * np.arange(D + 1)
        # Ones of the narrower type serve rows of either.
        self._matrices = [csc_array((np.ones(tables * D, np.float32), of_run, stops), shape)
                          for of_run in ones_in.reshape(math.prod(stack), tables * D)]

    def add(self, rows, tables):
        """See `RowSums.add`."""
        for run, own in enumerate(np.ndindex(rows.shape[:-2])):
            # An index without the stack axis is shared by all runs.
            sums = self._matrices[run % len(self._matrices)] @ rows[own]
            for table, of_table in zip(tables, np.split(sums, len(tables)), strict=True):
                table[own] += of_table


class SegmentSums:
    """On a GPU: the examples are ordered by k, and each number of a table adds up its own segment of them.

    Nothing here asks the GPU for a value, for which it would have to be waited for.
    """

    def __init__(self, indices: tuple[Array, ...], rows: int):
        self._rows, self._segments = rows, {}
        self._indices = indices

    def add(self, rows, tables):
        """See `RowSums.add`."""
        xp, (D, N) = array_module(rows), rows.shape[-2:]
        runs = math.prod(rows.shape[:-2])
        if (runs, N) not in self._segments:
            self._segments[runs, N] = xp.arange(N), [self._ordered(xp, index, runs, D) for index in self._indices]
        column, segments = self._segments[runs, N]
        for (order, start, stop), table in zip(segments, tables, strict=True):
            start, stop = (bounds.reshape(*table.shape[:-1], 1) for bounds in (start, stop))
            ADD_SEGMENTS(rows.reshape(-1), order, start, stop, column, N, table)

    def _ordered(self, xp, index, runs, D):
        """The examples of all runs by k, and where each run's segments start and stop."""
        k = (index + self._rows * xp.arange(runs)[:, None]).reshape(-1)  # the tables of a stack are one, of R K rows
        order = xp.argsort(k * (runs * D) + xp.arange(runs * D))  # by k, then by example: the same order every time
        bounds = xp.searchsorted(k[order], xp.arange(runs * self._rows + 1))  # counting (bincount) waits for the GPU
        return order, bounds[:-1], bounds[1:]


ADD_SEGMENTS = Kernel("add_segments", "raw T rows, raw int64 order, int64 start, int64 stop, int64 column, int64 width",
                      "T table", """
    T sum = 0;
    for (long long j = start; j < stop; ++j) sum += rows[order[j] * width + column];
    table += sum;
""")
