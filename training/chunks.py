"""Cutting work into chunks of rows, and sharing the chunks among threads.

A full batch of the default network is 4704 rows of 500 neurons, 9 MB for every intermediate result. In chunks these
stay closer to the processor, and several threads share them. The size of a chunk follows from shapes alone, never from
the number of threads, each chunk has its own gradients, and these are added up in order: so the result does not depend
on the threads, not in a single bit.

On a CPU a chunk holds rows of one run, on a GPU rows of a whole stack of runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from backend import Array
from layers import Cache, Gradients, Layer, Mode
from training.denormals import flush_denormals

CHUNK = 600_000
"""About how many numbers the widest intermediate result of a chunk holds (2.4 MB in float32); found fast on CPUs."""

ROWS = 550
"""About how many rows a chunk has at least, unless there is little work: more chunks have more gradients to add up."""

SMALL = CHUNK // 4
"""What little work is cut into, so that there is some for four threads."""


def row_slices(rows: int, row_size: int) -> list[slice]:
    """Cut rows into chunks of about `CHUNK` numbers each, or up to four smaller ones.

    It is one chunk or an even number of them, so that threads share fairly. No rows make no chunk.

    Parameters
    ----------
    rows : int
        The number of examples.
    row_size : int
        Numbers per example in the network's widest intermediate result.
    """
    numbers = rows * row_size
    chunks = max(min(round(numbers / CHUNK), rows // ROWS), min(4, round(numbers / SMALL)))
    chunks = max(1, min(rows, chunks + chunks % 2 if chunks > 1 else 1))
    bounds = [rows * number // chunks for number in range(chunks + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds) if start < stop]


class Chunk:
    """Some rows of some runs, with all that a pass over them needs of its own.

    Parameters
    ----------
    network : Layer
        A stack of runs, or one of its members.
    seeds : tuple of int
        The seeds of the network's runs.
    runs : int or slice
        Which runs of the stack these are: an index into arrays whose first axis is the runs.
    rows : slice
        Which rows of the batch, or of the data set.
    grads : Gradients, optional
        Where the chunk's gradients go. None for evaluation.
    """

    def __init__(self, network: Layer, seeds: tuple[int, ...], runs: int | slice, rows: slice,
                 grads: Gradients | None = None):
        self.network, self.seeds, self.runs, self.rows, self.grads = network, seeds, runs, rows, grads
        self.cache = Cache()

    def load(self, inputs: Array, labels: Array, corrupted: Array | None = None) -> Chunk:
        """Take this chunk's part of arrays whose first two axes are (runs, rows)."""
        self.batch = inputs[self.runs]  # all rows
        self.inputs, self.labels = inputs[self.runs, self.rows], labels[self.runs, self.rows]
        self.corrupted = None if corrupted is None else corrupted[self.runs, self.rows]
        return self


def prepare(chunks: Sequence[Chunk], mode: Mode) -> list[Any]:
    """Compute what the chunks of a run share (`Layer.prepare`), and hand it to them; for each run what it is."""
    prepared = []
    for of_run in _by_run(chunks):
        prepared.append(of_run[0].network.prepare(of_run[0].batch, mode))
        for chunk in of_run:
            chunk.cache.prepared = prepared[-1]
    return prepared


def prepare_backward(chunks: Sequence[Chunk], prepared: Sequence[Any], gradients: Sequence[Any]) -> None:
    """Take back to the parameters what the backward passes of the chunks returned for that."""
    of_chunk = iter(gradients)
    for of_run, one in zip(_by_run(chunks), prepared, strict=True):
        parts = [next(of_chunk) for _ in of_run]
        if one is not None:
            sums = [sum(others, start=first) for first, *others in zip(*parts, strict=True)]
            of_run[0].network.prepare_backward(one, sums, of_run[0].grads)


def _by_run(chunks):
    return [list(of_run) for _, of_run in groupby(chunks, lambda chunk: id(chunk.network))]


# A run that diverges is told so, once (`training.loop`): NumPy need not warn of each overflow on the way.
OVERFLOWING = {"over": "ignore", "invalid": "ignore"}


def _set_up_thread() -> None:
    flush_denormals()
    np.seterr(**OVERFLOWING)


class Workers:
    """Threads that work on chunks, each in memory of its own.

    Parameters
    ----------
    threads : int
    """

    def __init__(self, threads: int):
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, initializer=_set_up_thread) if threads > 1 else None
        self._own = threading.local()

    def run(self, work: Callable[[Chunk], Any], chunks: Sequence[Chunk]) -> list[Any]:
        """The results of work(chunk), in the order of the chunks; each thread does a share of neighbouring chunks."""
        threads = min(self.threads, len(chunks))
        cuts = [len(chunks) * thread // max(1, threads) for thread in range(threads + 1)]
        shares = [chunks[start:stop] for start, stop in pairwise(cuts)]
        # The calling thread takes a share as well: it is awake.
        others = [self._pool.submit(self._do, work, share) for share in shares[1:]]
        results = [self._do(work, share) for share in shares[:1]]
        return [result for share in (*results, *(other.result() for other in others)) for result in share]

    def _do(self, work, share):
        if not hasattr(self._own, "memory"):
            self._own.memory = {}
        results = []
        for chunk in share:
            chunk.cache.work_in(self._own.memory)
            results.append(work(chunk))
            chunk.cache.forget()
        return results

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()
