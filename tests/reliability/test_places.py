"""Disks that are full, folders that are lost, and a run that diverges."""

import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.reliability.kills import COMMAND, end_of, result, wait_until
from tests.reliability.runs import run
from training import read_checkpoint

GROWING = ["--p", "11", "--width", "8", "--batch-size", "20", "--dropout", "0.2", "--batch-norm", "--threads", "1",
           "--steps", "400", "--eval-every", "1", "--checkpoint-every", "1"]
STEADY = [*GROWING[:-3], "50", "--checkpoint-every", "1"]  # the history stays smaller than the checkpoint


# Not preexec_fn, which would run the hooks that libraries have on a fork: JAX's warns, and here warnings are errors.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
"""


def started(options, out, limit=None):
    """The command, with a limit on the size of files."""
    limited = [] if limit is None else [sys.executable, "-c", LIMITED, str(limit)]
    return subprocess.Popen([*limited, *COMMAND, *options, "--out", str(out)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def stopped_by(ended, path, reason):
    """That a command ended with one line that names the file and the reason."""
    code, errors = ended
    assert code == 1, ended
    assert errors.startswith(f"grok.py: error: {path}"), errors
    assert reason in errors
    assert errors.count("\n") == 1


class TestAPlaceThatFails:
    def goes_on(self, folder, options, tmp_path):
        """The checkpoint is whole, and the resumed run ends as one that had room from the start."""
        step = read_checkpoint(folder / "checkpoint.npz")[1]["step"]
        assert 0 < step < 400
        assert run("--resume", folder) == 0
        assert run(*options, "--out", tmp_path / "undisturbed") == 0
        assert result(folder) == result(tmp_path / "undisturbed")

    def test_by_a_limit_that_the_history_outgrows(self, tmp_path):
        stopped_by(end_of(started(GROWING, tmp_path / "run", limit=30_000)), tmp_path / "run/history.csv",
                   "File too large")
        self.goes_on(tmp_path / "run", GROWING, tmp_path)

    @pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process can be set on Linux only")
    def test_by_a_limit_below_the_checkpoint(self, tmp_path):
        folder = tmp_path / "run"
        process = started(STEADY, folder)
        wait_until((folder / "checkpoint.npz").exists, process)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4000, 4000))
        stopped_by(end_of(process), folder / "checkpoint.npz", "File too large")
        self.goes_on(folder, STEADY, tmp_path)

    def test_by_a_file_system_that_is_full(self, tmp_path):
        place = tmp_path / "small"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no file system can be mounted here")
        try:
            stopped_by(end_of(started(GROWING, place / "run")), place / "run", "No space left on device")
            subprocess.run(["mount", "-o", "remount,size=2m", str(place)], check=True, capture_output=True)
            self.goes_on(place / "run", GROWING, tmp_path)
        finally:
            subprocess.run(["umount", str(place)], check=True)

    def test_by_a_folder_that_is_moved_away(self, tmp_path):
        folder = tmp_path / "run"
        process = started(GROWING, folder)
        wait_until((folder / "checkpoint.npz").exists, process)
        folder.rename(tmp_path / "moved")
        stopped_by(end_of(process), folder, "No such file or directory")
        self.goes_on(tmp_path / "moved", GROWING, tmp_path)

    def test_by_a_folder_that_is_removed(self, tmp_path):
        folder = tmp_path / "run"
        process = started(GROWING, folder)
        wait_until((folder / "checkpoint.npz").exists, process)
        shutil.rmtree(folder.rename(tmp_path / "gone"))
        stopped_by(end_of(process), folder, "No such file or directory")
        assert list(tmp_path.iterdir()) == []


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(tmp_path, capsys):
    out = tmp_path / "run"
    assert run("--p", "11", "--width", "8", "--optimizer", "sgd", "--lr", "100", "--weight-decay", "0",
               "--steps", "400", "--eval-every", "1", "--checkpoint-every", "1", "--out", out) == 3
    assert "the run has diverged" in capsys.readouterr().err
    arrays, meta = read_checkpoint(out / "checkpoint.npz")
    assert meta["step"] >= 1
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert not (out / "summary.json").exists()
