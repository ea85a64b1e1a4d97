"""Rounding denormal numbers to zero, on processors that are slow with them.

Under strong weight decay weights shrink geometrically, through 1e-38, the smallest normal number of float32. Below it a
processor goes on with fewer and fewer digits, at a cost: a multiplication with a denormal result takes it some fifteen
times as long, and a training step in which neurons die out took thirty times as long as any other. Such numbers play no
part in what a network does. So they are rounded to zero, by the processor's own switch for this ("flush to zero", and
"denormals are zero" for operands), which belongs to each thread's floating-point environment.

The switch is reached through the C library, on x86-64 and on 64-bit ARM under Linux. Elsewhere nothing is changed, and
only the speed differs.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The control word among the 32-bit words of glibc's fenv_t, and the bits to set in it.
_SWITCHES = {"x86_64": (7, 1 << 15 | 1 << 6), "aarch64": (0, 1 << 24)}


def _environment():
    """The C library, this thread's floating-point environment, and where the switch is; None where it is not known."""
    switch = _SWITCHES.get(platform.machine()) if sys.platform == "linux" else None
    if switch is None:
        return None
    try:
        library = ctypes.CDLL("libm.so.6")
    except OSError:  # another C library, with an environment of another layout
        return None
    words = (ctypes.c_uint32 * 8)()
    library.fegetenv(words)
    return library, words, *switch


def flush_denormals() -> None:
    """Round denormals to zero in this thread, for as long as it lives."""
    environment = _environment()
    if environment is not None:
        library, words, position, bits = environment
        words[position] |= bits
        library.fesetenv(words)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Round denormals to zero in this thread while the context lasts."""
    before = _environment()
    flush_denormals()
    try:
        yield
    finally:
        if before is not None:
            library, words, *_ = before
            library.fesetenv(words)
