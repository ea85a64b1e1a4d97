"""Calling the command in a test: small runs, refusals, and what is in a folder."""

import hashlib
import json
import os
from pathlib import Path

import pytest

import grok
from training import Trainer, load_run

TINY = ["--p", "11", "--width", "24", "--steps", "30"]


def contents(folder="."):
    """All that is in a folder, each file with a digest of its bytes."""
    return {path: path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).rglob("*")}


def refused(arguments, capsys):
    """What the command prints on refusing to start; it has then written nothing at all."""
    before = contents()
    with pytest.raises(SystemExit) as exit_:
        grok.main(arguments)
    assert exit_.value.code == 2
    assert contents() == before
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


def quietly(*arguments):
    """Run the command without figures and output; its exit code."""
    return grok.main([*arguments, "--quiet", "--no-plot"])


def unfinished(folder, steps):
    """Make a finished run one that was interrupted on its way to more steps."""
    folder = Path(folder)
    (folder / "summary.json").unlink()
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "steps": steps}))


def assert_same_runs(one, other):
    """Both folders hold the same run, bit for bit."""
    one, other = load_run(Path(one)), load_run(Path(other))
    assert (one.step, one.optimizer_steps, one.history.rows) == (other.step, other.optimizer_steps, other.history.rows)
    assert one.arrays.keys() == other.arrays.keys()
    assert all(array.tobytes() == other.arrays[name].tobytes() for name, array in one.arrays.items())


def send_at(monkeypatch, number, step):
    """Have a signal sent to this process when that step has been made."""
    make = Trainer.step

    def make_and_send(trainer):
        make(trainer)
        if trainer.step_count == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Trainer, "step", make_and_send)


# An option for every setting that a resumed run must keep, with a value that it does not have.
