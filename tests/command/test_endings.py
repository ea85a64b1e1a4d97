"""How the command ends when it is stopped, when a run diverges, and what it warns about."""

import os
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import grok
from storage import held
from tests.command.calling import TINY, assert_same_runs, quietly, send_at
from training import load_run, read_checkpoint

ROOT = Path(__file__).parents[2]


class TestASignal:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
    def test_saves_what_has_been_done_and_says_how_to_go_on(self, number, code, monkeypatch, capsys):
        before = signal.getsignal(number)
        with monkeypatch.context() as patch:
            send_at(patch, number, 12)
            assert grok.main([*TINY, "--out", "stopped"]) == code
        assert signal.getsignal(number) is before
        output = capsys.readouterr()
        assert (output.out, output.err) == (
            "", f"grok.py: {number.name}: stopped after 12 steps, all saved; go on with --resume stopped\n")
        assert {path.name for path in Path("stopped").iterdir()} == {"config.json", "history.csv", "checkpoint.npz"}
        quietly("--resume", "stopped")
        quietly(*TINY, "--out", "whole")
        assert_same_runs("stopped", "whole")

    def test_stops_a_resumed_run_as_well(self, run, monkeypatch, capsys):
        with monkeypatch.context() as patch:
            send_at(patch, signal.SIGTERM, 33)
            assert grok.main(["--resume", "run", "--steps", "47"]) == 143
        assert "stopped after 33 steps, all saved; go on with --resume run\n" in capsys.readouterr().err
        quietly("--resume", "run")
        quietly(*TINY, "--steps", "47", "--out", "whole")
        assert_same_runs("run", "whole")

    def test_while_figures_are_drawn_ends_in_one_line(self, run, monkeypatch, capsys):
        monkeypatch.setattr(grok, "draw_figures", lambda *arguments: signal.raise_signal(signal.SIGINT))
        with pytest.raises(SystemExit) as ended:
            grok.main(["--figures", "run"])
        assert ended.value.code == 130
        assert capsys.readouterr() == ("", "grok.py: error: interrupted\n")

    def test_names_the_folder_that_the_command_chose(self, monkeypatch, capsys):
        send_at(monkeypatch, signal.SIGINT, 12)
        grok.main([*TINY])
        folder = next(Path("runs").iterdir())
        assert capsys.readouterr().err.endswith(f"go on with --resume {folder}\n")


class TestPrinting:
    """The run is saved by then: what becomes of its table is no failure."""

    def ends(self, tmp_path, command, **environment):
        script = f"{shlex.join([sys.executable, str(ROOT / 'grok.py'), *TINY, '--no-plot'])} {command}"
        return subprocess.run(["bash", "-o", "pipefail", "-c", script], cwd=tmp_path, capture_output=True,
                              env={**os.environ, **environment}, check=False)

    def test_for_nobody_ends_well(self, tmp_path):
        ended = self.ends(tmp_path, "--out run | true")
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert load_run(tmp_path / "run").step == 30

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_where_there_is_no_room_ends_well_and_says_so(self, tmp_path):
        ended = self.ends(tmp_path, "--out run > /dev/full")
        assert (ended.returncode, ended.stderr) == (
            0, b"the results are saved, but cannot be printed: No space left on device\n")

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
    def test_in_an_encoding_without_greek_letters_has_question_marks(self, tmp_path, encoding):
        ended = self.ends(tmp_path, "--out run", PYTHONIOENCODING=encoding)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert b"N = 24, ? = 0.5, ? = 0.35, weight decay 15" in ended.stdout


def test_a_folder_that_another_process_works_in_is_refused(run, capsys):
    with held(run), pytest.raises(SystemExit) as ended:
        grok.main(["--resume", "run", "--steps", "40"])
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "grok.py: error: run: another process is at work in this folder\n")


def test_a_disk_that_is_full_from_the_start_leaves_no_folder(monkeypatch, capsys):
    def full(*arguments):
        raise OSError(28, "No space left on device", "run/config.json")

    monkeypatch.setattr("training.loop.write_config", full)
    with pytest.raises(SystemExit) as ended:
        grok.main([*TINY, "--out", "a/run"])
    assert ended.value.code == 1
    assert "run/config.json: No space left on device" in capsys.readouterr().err
    assert not Path("a").exists()


class TestTooMuchDecay:
    @pytest.mark.parametrize("filter_", ["default", "ignore", "error"])
    def test_is_told_whatever_pythons_own_filters_say(self, filter_, capsys):
        with warnings.catch_warnings():
            warnings.simplefilter(filter_)
            assert quietly(*TINY, "--steps", "2", "--lr", "0.1", "--weight-decay", "10", "--out", "run") == 0
        assert capsys.readouterr().err.startswith("grok.py: warning: ")

    @pytest.mark.parametrize(("rate", "effect"), [
        ("0.1", "sets all decaying weights to zero"), ("0.2", "flips the sign of all decaying weights")])
    def test_draws_a_warning_and_runs_all_the_same(self, rate, effect, capsys):
        assert quietly(*TINY, "--steps", "2", "--lr", rate, "--weight-decay", "10", "--out", "run") == 0
        error = capsys.readouterr().err
        assert error.startswith("grok.py: warning: learning rate x weight decay is ")
        assert effect in error
        assert error.count("\n") == 1
        assert Path("run/summary.json").exists()

    @pytest.mark.parametrize("options", ["--lr 0.1 --weight-decay 9.9", "--lr 1 --weight-decay 1 --optimizer adam"])
    def test_is_not_what_other_settings_have(self, options, capsys):
        quietly(*TINY, "--steps", "2", *options.split())
        assert capsys.readouterr().err == ""


class TestDivergence:
    OPTIONS = [*TINY, "--optimizer", "sgd", "--lr", "1000", "--weight-decay", "0", "--steps", "5000"]

    def test_keeps_the_last_good_checkpoint(self, capsys):
        with pytest.raises(SystemExit) as exit_:
            quietly(*self.OPTIONS, "--checkpoint-every", "1", "--out", "run")
        assert exit_.value.code == 3
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert "the run has diverged; a smaller learning rate may help" in message
        arrays, meta = read_checkpoint(Path("run/checkpoint.npz"))
        assert meta["step"] >= 1
        assert all(np.isfinite(array).all() for array in arrays.values())
        assert not Path("run/summary.json").exists()

    def test_comes_again_when_the_run_is_resumed(self):
        for arguments in ([*self.OPTIONS, "--checkpoint-every", "1", "--out", "run"], ["--resume", "run"]):
            with pytest.raises(SystemExit) as exit_:
                quietly(*arguments)
            assert exit_.value.code == 3
        assert Path("run/checkpoint.npz").exists()
