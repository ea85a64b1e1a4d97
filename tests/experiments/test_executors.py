"""Worker processes of this machine, from their first moment to their last."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.cells import ROOT
from experiments.executors import processes
from tests.experiments.observed import LONGEST, alive, wait_until


def blocked(number):
    """Whether a signal is blocked where this is called."""
    return number in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_workers_start_with_ctrl_c_blocked_and_whoever_starts_them_goes_on_without():
    with processes(2) as pool:
        assert list(pool.map(blocked, [signal.SIGINT] * 4)) == [True] * 4
        assert not any(pool.map(blocked, [signal.SIGTERM] * 4))
    assert not blocked(signal.SIGINT)


def test_workers_are_started_where_signals_cannot_be_blocked(monkeypatch):
    monkeypatch.delattr(signal, "pthread_sigmask")  # as on Windows
    with processes(2) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]


def test_workers_are_ended_when_the_block_is_left_by_an_error():
    running = []

    def stopped():
        with processes(2) as pool:
            running.extend([pool.submit(os.getpid), *(pool.submit(time.sleep, LONGEST) for _ in range(3))])
            assert alive(running[0].result())
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert time.monotonic() - began < LONGEST / 2
    assert not alive(running[0].result())
    assert all(future.done() for future in running)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_worker_ends_in_the_middle_of_its_work_when_its_parent_is_killed():
    work = f"import os, time; print(os.getpid(), flush=True); time.sleep({LONGEST})"
    parent = subprocess.Popen(
        [sys.executable, "-c", "from experiments.executors import processes\n"
         f"with processes(1) as pool: pool.submit(exec, {work!r}).result()"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    began = time.monotonic()
    wait_until(lambda: not alive(pid))
    assert time.monotonic() - began < LONGEST / 2
