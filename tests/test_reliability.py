"""That the command can be trusted: kills, damage, pickles, options of every kind, full disks, lost folders."""

import dataclasses
import itertools
import json
import math
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import warnings
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import grok
from tests.kills import COMMAND, Trial, end_of, result, wait_until
from training import CheckpointError, Interrupted, TrainingConfig, read_checkpoint, resume, train, write_checkpoint

SMALL = ["--p", "11", "--width", "8", "--steps", "40", "--eval-every", "7", "--batch-size", "20", "--dropout", "0.2",
         "--batch-norm", "--threads", "1"]
CONFIG = TrainingConfig(p=11, width=8, steps=40, eval_every=7, batch_size=20, dropout=0.2, batch_norm=True, threads=1)
MANY = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(*arguments):
    """The command in this process: its exit code."""
    plot = [] if "--figures" in arguments else ["--no-plot"]
    try:
        return grok.main([*map(str, arguments), *plot, "--quiet"])
    except SystemExit as exit_:
        return exit_.code


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run's folder that stands at step 20 of 40; to be copied."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    folder.mkdir()
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(CONFIG, folder, stop=lambda: next(calls) == 20)
    return folder


@pytest.fixture
def folder(interrupted, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(interrupted, tmp_path / "run")


# ---- kills and signals ----

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


# ---- damage ----

class TestADamagedCheckpoint:
    @pytest.fixture
    def intact(self, interrupted):
        return (interrupted / "checkpoint.npz").read_bytes()

    def cases(self, content):
        """Positions in every part of the archive: headers, array data, meta, the central directory, the comment."""
        archive = zipfile.ZipFile(BytesIO(content))
        starts = [info.header_offset for info in archive.infolist()]
        parts = [*starts, archive.start_dir, content.rindex(b"PK\x05\x06"), len(content) - 64, len(content)]
        for start, end in itertools.pairwise(parts):
            yield from range(start, end, max(1, (end - start) // 40))
            yield end - 1

    def refused(self, path, content):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as refusal:
            read_checkpoint(path)
        assert str(refusal.value).startswith(f"{path}: ")
        assert path.read_bytes() == content

    def test_by_a_flipped_bit_or_byte_anywhere_is_refused(self, intact, tmp_path):
        positions = sorted(set(self.cases(intact)))
        assert len(positions) > 300
        for position in positions:
            for change in (0x01, 0xFF):
                content = bytearray(intact)
                content[position] ^= change
                self.refused(tmp_path / "checkpoint.npz", bytes(content))

    def test_by_a_cut_anywhere_is_refused(self, intact, tmp_path):
        lengths = sorted({*range(0, len(intact), len(intact) // 200), *range(100), *range(len(intact) - 100,
                                                                                         len(intact))})
        assert len(lengths) > 200
        for length in lengths:
            self.refused(tmp_path / "checkpoint.npz", intact[:length])
            self.refused(tmp_path / "checkpoint.npz", intact[len(intact) - length:] if length else b"")

    @pytest.mark.parametrize("more", [b"\0", b"0", b"PK", b"\n" * 64, bytes(1000)])
    def test_by_something_added_is_refused(self, intact, tmp_path, more):
        for content in (intact + more, more + intact):
            self.refused(tmp_path / "checkpoint.npz", content)


def cut_in_a_line(content):
    return content[:content.rindex(b",") - 3]


def other(name, value):
    """A change of a setting in config.json."""
    return lambda content: json.dumps({**json.loads(content), name: value}).encode()


DAMAGE = [
    ("checkpoint.npz", None, "cannot be read"), ("checkpoint.npz", lambda content: b"", "not a checkpoint"),
    ("checkpoint.npz", lambda content: content[:-7], "damaged"),
    ("checkpoint.npz", lambda content: content[:500] + b"?" + content[501:], "damaged"),
    ("checkpoint.npz", lambda content: b"from elsewhere\n" * 50, "not a checkpoint"),
    ("config.json", None, "cannot be read"), ("config.json", lambda content: content[:-9], "is not JSON"),
    ("config.json", lambda content: b"\xff\x00\x01", "is not JSON"),
    ("config.json", lambda content: b"[1]", "settings"),
    ("config.json", lambda content: b"[" * 100_000, "is not JSON"),
    ("config.json", other("xi", 0.2), "says xi 0.2"), ("config.json", other("seed", 1), "says seed 1"),
    ("history.csv", None, "cannot be read"), ("history.csv", cut_in_a_line, "damaged"),
    ("history.csv", lambda content: bytes(range(256)) * 9, "damaged"), ("history.csv", lambda content: b"", "damaged"),
    ("history.csv", lambda content: b"\n".join(content.split(b"\n")[:-2]) + b"\n", "damaged"),
]


class TestResumingADamagedRun:
    def refused(self, folder, name, reason, capsys, mode="--resume"):
        before = contents(folder)
        assert run(mode, folder) == 2
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1, errors
        assert errors.startswith("grok.py: error: ")
        assert str(folder / name) in errors
        assert reason in errors
        assert contents(folder) == before

    @pytest.mark.parametrize(("name", "damage", "reason"), DAMAGE)
    def test_is_refused_by_the_files_name_and_the_reason(self, folder, name, damage, reason, capsys):
        path = folder / name
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage(path.read_bytes()))
        self.refused(folder, name, reason, capsys)

    @pytest.mark.parametrize(("name", "value"), [("p", "many"), ("momentum", 0.9), ("alpha", True), ("alpha", 7)])
    def test_with_a_setting_that_is_none_names_the_file(self, folder, name, value, capsys):
        path = folder / "config.json"
        path.write_bytes(other(name, value)(path.read_bytes()))
        self.refused(folder, "config.json", name, capsys)

    def test_with_a_snapshot_in_the_checkpoints_place_is_refused(self, folder, capsys):
        arrays, _ = read_checkpoint(folder / "checkpoint.npz")
        write_checkpoint(folder / "checkpoint.npz", arrays, {"step": 20})
        self.refused(folder, "checkpoint.npz", "", capsys)

    def test_with_arrays_of_another_network_is_refused(self, folder, capsys):
        _, meta = read_checkpoint(folder / "checkpoint.npz")
        write_checkpoint(folder / "checkpoint.npz", {"A": np.zeros(3)}, meta)
        self.refused(folder, "checkpoint.npz", "", capsys)

    def test_with_a_history_that_lost_a_few_digits_is_refused(self, folder, capsys):
        path = folder / "history.csv"
        path.write_bytes(path.read_bytes()[:-4])
        self.refused(folder, "history.csv", "", capsys)

    def test_with_a_history_of_one_endless_field_is_refused(self, folder, capsys):
        path = folder / "history.csv"
        path.write_bytes(path.read_bytes() + b"1" * 200_000)
        self.refused(folder, "history.csv", "damaged", capsys)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"{}"])
    def test_shows_a_damaged_summary_by_name(self, folder, capsys, content):
        assert run("--resume", folder) == 0
        (folder / "summary.json").write_bytes(content)
        self.refused(folder, "summary.json", "", capsys, mode="--figures")


class Trap:
    """What a pickle would do on loading: create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestAPickle:
    def refused(self, folder, trap, capsys):
        with pytest.raises(CheckpointError, match="not a checkpoint"):
            read_checkpoint(folder / "checkpoint.npz")
        assert run("--resume", folder) == 2
        assert "not a checkpoint" in capsys.readouterr().err
        assert not trap.exists()

    def test_in_place_of_a_checkpoint_is_never_loaded(self, folder, tmp_path, capsys):
        trap = tmp_path / "executed"
        (folder / "checkpoint.npz").write_bytes(pickle.dumps(Trap(trap)))
        self.refused(folder, trap, capsys)

    def test_inside_an_archive_with_the_right_digest_is_never_loaded(self, folder, tmp_path, capsys, monkeypatch):
        trap = tmp_path / "executed"
        arrays, meta = read_checkpoint(folder / "checkpoint.npz")
        objects = np.array([Trap(trap)], dtype=object)
        # The writer refuses objects, so a stand-in that passes its test carries them.
        savez = np.savez
        monkeypatch.setattr(np, "savez", lambda file, **given: savez(file, **{**given, "U": objects}))
        write_checkpoint(folder / "checkpoint.npz", arrays, meta)
        monkeypatch.undo()
        self.refused(folder, trap, capsys)

    def test_as_these_tests_make_it_would_have_done_harm(self, tmp_path):
        pickle.loads(pickle.dumps(Trap(tmp_path / "executed")))
        assert (tmp_path / "executed").exists()


# ---- options ----

# What is allowed, said again and independently of the program: the least and the greatest whole number, for p 11 and
# alpha 0.5 (60 training examples); and for real numbers a condition.
WHOLE = {"--p": (2, 46_340), "--width": (1, 10 ** 6), "--depth": (2, 1000), "--heads": (1, math.inf),
         "--batch-size": (1, 60), "--steps": (1, math.inf), "--eval-every": (1, math.inf), "--seed": (0, math.inf),
         "--threads": (1, math.inf), "--checkpoint-every": (1, math.inf), "--snapshots": (2, math.inf)}
REAL = {"--alpha": lambda x: 1 / 121 <= x <= 1, "--xi": lambda x: 0 <= x <= 1, "--dropout": lambda x: 0 <= x < 1,
        "--lr": lambda x: 0 < x < math.inf, "--weight-decay": lambda x: 0 <= x < math.inf}
WORDS = {"--operation": ("add", "subtract", "multiply", "divide"), "--model": ("mlp", "relu-mlp", "transformer"),
         "--activation": ("square", "relu", "gelu"), "--loss": ("mse", "cross-entropy"),
         "--optimizer": ("adamw", "adam", "sgd"), "--backend": ("numpy",), "--dtype": ("float32", "float64")}

no_number = st.sampled_from(["", "many", "1,5", "0x10", "1e", "--", "one two", "1/2", "None", "True", "[1]"])
whole = st.one_of(st.integers(-3, 130), st.integers(-10 ** 18, 10 ** 18), st.sampled_from([0, 1, 2, 60, 61]))
real = st.one_of(st.floats(), st.floats(-0.5, 1.5), st.integers(-2, 3).map(float),
                 st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e308, math.nextafter(1, 2), math.nextafter(1, 0), math.nan,
                                  math.inf, -math.inf]))


@st.composite
def options(draw):
    """An option, the text of its value, the value as the program would show it, and whether it is allowed."""
    option = draw(st.sampled_from([*WHOLE, *REAL, *WORDS]))
    if option in WORDS:
        word = draw(st.sampled_from([*WORDS[option], *WORDS[option], "ADD", "", "lion", "0", "float16"]))
        return option, word, word, word in WORDS[option]
    if draw(st.integers(0, 7)) == 0:
        text = draw(no_number)
        return option, text, text, False
    if option in WHOLE:
        value = draw(whole)
        least, most = WHOLE[option]
        return option, str(value), str(value), (least <= value <= most
                                                  or (option == "--snapshots" and value == 0))
    value = draw(real)
    return option, repr(value), repr(value), REAL[option](value)


class Accepted(Exception):
    """The settings have reached training."""


class TestOptions:
    """Each value is either accepted or refused with its option, itself and exit code 2; nothing is in between."""

    BASE = ["--p=11", "--width=8", "--steps=3", "--heads=1"]

    @MANY
    @given(options())
    def test_of_every_value(self, tmp_path, monkeypatch, capsys, option):
        def accept(*arguments):
            raise Accepted

        name, text, shown, allowed = option
        out = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr(grok, "train", accept)
            try:
                code = run(*self.BASE, f"{name}={text}", "--out", out)
            except Accepted:
                code = 0
        output = capsys.readouterr()
        if allowed:
            assert (code, output.err) == (0, "")
            out.rmdir()
            return
        assert code == 2
        assert output.out == ""
        message = output.err.splitlines()[-1]
        assert message.startswith("grok.py: error: ")
        assert name in message
        assert shown in message
        assert "Traceback" not in output.err
        assert list(tmp_path.iterdir()) == []

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(options().filter(lambda option: option[3]))
    def test_that_are_allowed_train(self, tmp_path, capsys, option):
        name, text, _, _ = option
        if name in ("--p", "--width", "--depth", "--heads", "--steps") and int(text) > 30:
            text = "30"  # allowed as it is, but no machine has the memory or the time for 10^18 of them
        out = tmp_path / "run"
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            code = run(*self.BASE, f"{name}={text}", "--out", out)
        lines = capsys.readouterr().err.splitlines()
        shutil.rmtree(out)
        caveats = [line for line in lines if line.startswith("grok.py: warning: learning rate x weight decay is ")]
        factor = {"--lr": 15, "--weight-decay": 0.01}.get(name, 0)  # the default of the other of the two
        assert len(caveats) == (factor and float(text) * factor >= 1)
        others = [line for line in lines if line not in caveats]
        if code == 3:
            assert name in ("--lr", "--weight-decay")
            assert len(others) == 1
            assert "the run has diverged" in others[0]
        else:
            assert (code, others) == (0, [])

    @pytest.mark.parametrize(("text", "answer"), [
        ("--p=1" + 200 * "0", "--p must be at most 46340, got 1000"), ("--p=46341", "--p must be at most 46340"),
        ("--width=1" + 13 * "0", "--width must be at most 1000000"), ("--depth=1001", "--depth must be at most 1000"),
        ("--width=1000000 --model=relu-mlp", "there is not enough memory for a run of this size: Unable to allocate")])
    def test_that_no_memory_could_hold_get_a_clear_answer(self, tmp_path, capsys, text, answer):
        assert run(*self.BASE, *text.split(), "--out", tmp_path / "runs" / "run") == 2
        message = capsys.readouterr().err
        assert message.startswith(f"grok.py: error: {answer}")
        assert message.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


# ---- places that fail ----

GROWING = ["--p", "11", "--width", "8", "--batch-size", "20", "--dropout", "0.2", "--batch-norm", "--threads", "1",
           "--steps", "400", "--eval-every", "1", "--checkpoint-every", "1"]
STEADY = [*GROWING[:-3], "50", "--checkpoint-every", "1"]  # the history stays smaller than the checkpoint


def started(options, out, limit=None):
    """The command, with a limit on the size of files."""
    def limited():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen([*COMMAND, *options, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, preexec_fn=limited)


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
