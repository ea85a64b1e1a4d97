"""Random numbers without state.

Every draw is keyed by what it is for: the run's seed, a stream (split, corruption, ...) and where in the stream it
stands. Nothing needs to be saved to continue a run, nothing shifts when another draw is added, and a stack of runs
draws exactly what its runs would draw alone. All draws are made on the host, so one seed starts the same run on every
backend.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

# Each stream's number is part of every result drawn from it: numbers are never reused or changed.
SPLIT, CORRUPTION, WEIGHTS, BATCHES, DROPOUT, ANALYSIS = range(6)

BITS_PER_COUNTER = 4 * 64  # what Philox 4x64 yields for one value of its counter


def generator(seed: int, stream: int, *key: int) -> np.random.Generator:
    """A generator of its own for one stream, and for one place in it."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(stream, *key)))


def number_of(name: str) -> int:
    """A number for a name (of a parameter, of a layer), to key draws with: it stays when other names come or go."""
    return zlib.crc32(name.encode())


def row_bits(seed: int, step: int, layer: int, first_row: int, rows: int, width: int) -> np.ndarray:
    """Uniform 16-bit integers for a block of rows, the same whichever block a row is drawn with.

    The generator is Philox, whose output is a function of a key and a counter: each row owns a fixed range of counters,
    so cutting a batch into other chunks does not change what a row gets.

    Parameters
    ----------
    seed, step, layer : int
        The run's seed, the training step and the layer's number (`number_of`).
    first_row, rows : int
        The block: rows first_row ... first_row + rows - 1 of the batch.
    width : int
        Numbers per row.

    Returns
    -------
    bits : uint16 array (rows, width)
    """
    counters = -(-16 * width // BITS_PER_COUNTER)  # per row, rounded up
    philox = np.random.Philox(key=_dropout_key(seed), counter=[first_row * counters, 0, layer, step])
    words = philox.random_raw(rows * counters * BITS_PER_COUNTER // 64)
    return words.view(np.uint16).reshape(rows, counters * BITS_PER_COUNTER // 16)[:, :width]


@lru_cache(maxsize=1024)
def _dropout_key(seed: int) -> np.ndarray:
    return np.random.SeedSequence(entropy=seed, spawn_key=(DROPOUT,)).generate_state(2, np.uint64)
