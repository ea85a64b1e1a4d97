"""Stopping in an orderly way when asked to by a signal."""

from __future__ import annotations

import signal
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal:
    """Whether Ctrl-C (SIGINT) or SIGTERM has come, while the context lasts; to be asked after every step.

    The first signal is only noted. It also puts back what was there before, so that a second one ends the program at
    once.

    Attributes
    ----------
    received : signal.Signals or None
    """

    def __init__(self):
        self.received: signal.Signals | None = None

    def __enter__(self) -> StopOnSignal:
        self._before = {number: signal.signal(number, self._note) for number in HANDLED}
        return self

    def __exit__(self, *exception) -> None:
        self._put_back()

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
