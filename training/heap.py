"""Keeping the memory that arrays let go of.

A layer that writes `x > 0` or `a * b` makes a new array, and lets go of it in the next step. The C library gives large
pieces of memory back to the system at once, which has to clear every page of them when they are asked for again. On two
threads, which wait for each other there, that was a quarter of a step with GELU. So it is told to keep what is let go
of. It then goes to the next array of that kind, as NumPy's small arrays do, and the process never has more than it once
needed.

This is for the whole process, and for as long as it lives: the library does not say what was set before. It is glibc's
(`mallopt`, under Linux). Elsewhere nothing is changed, and only the speed differs.
"""

from __future__ import annotations

import ctypes
import sys

# The names are glibc's, of malloc.h. Pieces above the first are mapped and given back one by one (32 MB is the most it
# takes), and what is free at the end of the heap is given back when it exceeds the second.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
MAPPED_ALONE, KEPT = 32 * 2 ** 20, 256 * 2 ** 20


def keep_freed_memory() -> None:
    """Let the C library keep up to 256 MB that is free, for arrays to come."""
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, MAPPED_ALONE)
    mallopt(M_TRIM_THRESHOLD, KEPT)
