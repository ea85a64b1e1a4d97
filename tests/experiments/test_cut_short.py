"""A sweep that is killed or interrupted goes on with what is missing."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments.cells import ROOT
from tests.experiments.observed import LONGEST, alive, descendants, stored, wait_until


@contextmanager
def command(tmp_path, *arguments):
    """A sweep of ten networks, no two of a shape, as a process with a group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.sweep", "p=11", "width=60:69:1", "steps=800", "--cells",
         tmp_path / "cells", "--out", tmp_path / "out", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "two workers"])
class TestASweepThatIsCutShort:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    def test_goes_on_with_what_is_missing(self, number, workers, tmp_path):
        with command(tmp_path, *workers) as process:
            wait_until(lambda: stored(tmp_path) or process.poll() is not None)
            workers_alive = descendants(process.pid)
            assert len(workers_alive) >= len(workers)
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            output, errors = process.communicate(timeout=LONGEST)
            wait_until(lambda: not any(map(alive, workers_alive)))
        assert output == ""
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert errors == (f"\nstopped; what is finished is stored in {tmp_path / 'cells'}/, and the same command "
                              "goes on from there\n")
        else:
            assert process.returncode == -number
            assert "Traceback" not in errors  # of Python's own, a word about semaphores that it cleans up
        before = {path: path.stat().st_mtime_ns for path in stored(tmp_path)}
        assert 1 <= len(before) < 10

        with command(tmp_path, *workers) as process:
            output, errors = process.communicate(timeout=LONGEST)
        assert (process.returncode, errors) == (0, "")
        assert "10 networks: " in output
        after = {path: path.stat().st_mtime_ns for path in stored(tmp_path)}
        assert len(after) == 10
        assert before.items() <= after.items()
        widths = Counter(json.loads(path.read_text())["config"]["width"] for path in after)
        assert widths == {width: 1 for width in range(60, 70)}
