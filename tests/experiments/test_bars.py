"""Bars of work in large parts."""

import io
import sys
import threading
import time

import pytest

from experiments import bars
from tests.experiments.observed import wait_until


@pytest.fixture
def terminal(monkeypatch):
    """Has a bar written to a terminal; returns what that shows."""
    def begin():
        written = io.StringIO()
        written.isatty = lambda: True
        monkeypatch.setattr(sys, "stderr", written)
        return written
    return begin


@pytest.mark.parametrize(("parts", "total"), [(["a", "b"], None), (iter("ab"), 2)])
def test_a_bar_goes_through_the_parts_and_counts_them(parts, total, terminal):
    written, seen = terminal(), []
    with bars.bar(parts, "letters", total) as shown:
        for part in shown:
            seen.append(part)
            time.sleep(0.11)  # it is drawn ten times a second
    assert seen == ["a", "b"]
    assert "letters:   0%" in written.getvalue()
    assert "letters:  50%" in written.getvalue()


def test_its_clock_goes_on_while_nothing_is_finished(terminal, monkeypatch):
    monkeypatch.setattr(bars, "TICK", 0.01)
    before, written = threading.active_count(), terminal()
    with bars.bar(["a"], "letters"):
        began = written.getvalue().count("\r")
        wait_until(lambda: written.getvalue().count("\r") > began + 3)
    assert threading.active_count() == before
    ended = written.getvalue()
    time.sleep(0.05)
    assert written.getvalue() == ended


def test_it_stops_where_the_block_is_left_by_an_error(terminal):
    before, written = threading.active_count(), terminal()
    with pytest.raises(KeyboardInterrupt), bars.bar(["a"], "letters"):
        raise KeyboardInterrupt
    assert threading.active_count() == before
    assert written.getvalue().endswith("\r")  # the line is free again


def test_nothing_is_shown_where_there_is_no_terminal(capsys):
    before = threading.active_count()
    with bars.bar(["a"], "letters") as shown:
        assert threading.active_count() == before
        assert list(shown) == ["a"]
    assert capsys.readouterr() == ("", "")
