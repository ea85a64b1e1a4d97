"""Kills and signals at any moment."""

import dataclasses
import itertools
import signal

import pytest

from tests.reliability.kills import Trial, result
from tests.reliability.runs import CONFIG, SMALL, contents, run
from training import resume, train


@pytest.mark.parametrize(("name", "count"), [("SIGKILL", 6), ("SIGINT", 3), ("SIGTERM", 3)])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, name, count):
    trial = Trial(tmp_path, signal.Signals[name], seed=1)
    trial.interrupt(count)
    assert sum(trial.where.values()) == count


def test_a_run_killed_between_its_last_checkpoint_and_its_summary_ends_with_the_same_bits(tmp_path):
    assert run(*SMALL, "--out", tmp_path / "run") == 0
    expected = result(tmp_path / "run")
    (tmp_path / "run/summary.json").unlink()
    assert run("--resume", tmp_path / "run") == 0
    assert result(tmp_path / "run") == expected


class Killed(BaseException):
    """Ends a run as a kill does: without another word."""


def test_a_killed_run_ends_with_the_same_snapshots(tmp_path):
    config = dataclasses.replace(CONFIG, steps=120, eval_every=5, snapshots=5, checkpoint_every=40)
    calls = itertools.count(1)

    def kill():
        if next(calls) == 71:
            raise Killed
        return False

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    train(config, tmp_path / "whole")
    with pytest.raises(Killed):
        train(config, tmp_path / "killed", stop=kill)
    resume(tmp_path / "killed")
    names = [[path.name for path in contents(tmp_path / name / "snapshots")] for name in ("whole", "killed")]
    assert names[0] == names[1]
