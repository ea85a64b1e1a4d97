"""Progress bars of work in large parts. They are shown on a terminal only."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tqdm import tqdm

TICK = 1.0
"""Seconds after which the time on a bar goes on, whether anything is finished or not."""


def bar(parts: Iterable, name: str, total: int | None = None) -> AbstractContextManager[tqdm]:
    """The parts of some work, to go through while a bar shows how many are done.

    Parameters
    ----------
    parts : iterable
    name : str
        What the parts are.
    total : int, optional
        How many there are, if the parts do not say so.
    """
    return ticking(tqdm(parts, name, total, dynamic_ncols=True, leave=False, disable=None))


@contextmanager
def ticking(bar: tqdm) -> Iterator[tqdm]:
    """A bar whose clock does not stand still between two parts, until the block is left."""
    with bar:
        if bar.disable:
            yield bar
            return
        over = threading.Event()

        def tick():
            while not over.wait(TICK):
                bar.refresh()

        clock = threading.Thread(target=tick, daemon=True)
        clock.start()
        try:
            yield bar
        finally:
            over.set()
            clock.join()
