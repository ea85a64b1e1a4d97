"""The command, as a user calls it, and the paper's results that it is there to show."""

import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import grok
from analysis import figures
from options import parser
from training import Trainer, TrainingConfig, load_run, read_checkpoint, train
from training.config import MODELS

ROOT = Path(__file__).parents[1]
OPTIONS = ["--p", "--width", "--alpha", "--xi", "--operation", "--model", "--activation", "--loss", "--optimizer",
           "--lr", "--weight-decay", "--dropout", "--batch-norm", "--batch-size", "--steps", "--eval-every", "--seed",
           "--backend", "--dtype", "--threads", "--out", "--no-plot", "--quiet", "--version", "--resume",
           "--continue-from", "--config", "--figures", "--compare", "--test-set", "--reset-optimizer",
           "--checkpoint-every", "--snapshots"]
TINY = ["--p", "11", "--width", "24", "--steps", "30"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


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


class TestARun:
    def test_writes_its_folder_prints_a_table_and_succeeds(self, capsys):
        assert grok.main([*TINY, "--out", "run"]) == 0
        assert {path.relative_to("run").as_posix() for path in Path("run").rglob("*") if path.is_file()} == {
            "config.json", "history.csv", "summary.json", "checkpoint.npz", "figures/training_curves.png",
            "figures/ipr_histogram.png", "figures/neurons.png", "figures/pruning_curves.png"}
        output = capsys.readouterr()
        assert output.err == ""
        words = output.out.split()
        assert "(m + n) mod 11" in output.out
        for word in ("train", "test", "corrupted", "uncorrupted", "phase", "groks", "unlearns", "time", "run/"):
            assert word in words

    def test_prints_the_numbers_of_its_summary(self, capsys):
        grok.main([*TINY, "--no-plot", "--out", "run"])
        summary = json.loads(Path("run/summary.json").read_text())
        lines = {line.split()[-2]: line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:6]}
        assert lines == {name: f"{summary[f'{name}_accuracy']:.4f}"
                         for name in ("train", "test", "corrupted", "uncorrupted")}

    def test_prints_a_dash_for_what_is_not_defined(self, capsys):
        grok.main([*TINY, "--no-plot", "--alpha", "1", "--xi", "0", "--out", "run"])
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["test", "-"] in lines
        assert ["corrupted", "-"] in lines
        assert ["phase", "-"] in lines
        assert ["groks", "-"] in lines

    def test_with_quiet_prints_nothing(self, capsys):
        assert grok.main([*TINY, "--quiet", "--no-plot"]) == 0
        assert capsys.readouterr() == ("", "")

    def test_without_plot_draws_nothing_and_never_loads_matplotlib(self):
        script = ("import sys, grok; code = grok.main(sys.argv[1:]); "
                  "sys.exit(code or ('matplotlib' in sys.modules) or ('cupy' in sys.modules))")
        subprocess.run([sys.executable, "-c", script, *TINY, "--no-plot", "--out", "run"], check=True,
                       env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
        assert Path("run/summary.json").exists()
        assert not Path("run/figures").exists()

    def test_starts_as_a_script(self):
        result = subprocess.run([sys.executable, ROOT / "grok.py", *TINY, "--no-plot", "--quiet"],
                                capture_output=True, text=True, check=True)
        assert (result.stdout, result.stderr) == ("", "")
        assert len(list(Path("runs").iterdir())) == 1

    def test_counts_the_time_of_the_whole_command(self):
        grok.main([*TINY, "--quiet", "--out", "drawn"])
        run = load_run(Path("drawn"))
        summary = json.loads(Path("drawn/summary.json").read_text())
        # The figures alone take longer than thirty such steps.
        assert summary["seconds"] == pytest.approx(run.seconds)
        assert summary["seconds"] > 0.2 > 30 * summary["ms_per_step"] / 1000

    def test_gives_the_numbers_that_python_gives(self):
        options = ["--operation", "divide", "--alpha", "0.6", "--xi", "0.2", "--optimizer", "adam", "--lr", "0.02",
                   "--weight-decay", "0.01", "--dropout", "0.1", "--batch-norm", "--batch-size", "20", "--activation",
                   "gelu", "--loss", "cross-entropy", "--dtype", "float64", "--eval-every", "10", "--seed", "3",
                   "--threads", "1"]
        grok.main([*TINY, *options, "--quiet", "--no-plot", "--out", "run"])
        config = TrainingConfig(
            p=11, width=24, steps=30, operation="divide", alpha=0.6, xi=0.2, optimizer="adam", learning_rate=0.02,
            weight_decay=0.01, dropout=0.1, batch_norm=True, batch_size=20, activation="gelu", loss="cross-entropy",
            dtype="float64", eval_every=10, seed=3, threads=1)
        command, python = load_run(Path("run")), train(config)
        assert command.config == config
        assert command.history.rows == python.history.rows
        for name, array in python.arrays.items():
            np.testing.assert_array_equal(command.arrays[name], array)

    @pytest.mark.parametrize("model", MODELS)
    def test_trains_every_model(self, model):
        assert grok.main([*TINY, "--model", model, "--quiet", "--no-plot"]) == 0

    def test_that_diverges_ends_with_an_error(self, capsys):
        with pytest.raises(SystemExit) as exit_:
            grok.main([*TINY, "--optimizer", "sgd", "--lr", "1e9", "--weight-decay", "0"])
        assert exit_.value.code == 3
        assert "the run has diverged" in capsys.readouterr().err


class TestHelp:
    def text(self, capsys):
        with pytest.raises(SystemExit) as exit_:
            grok.main(["--help"])
        assert exit_.value.code == 0
        return capsys.readouterr().out

    @pytest.mark.parametrize("option", OPTIONS)
    def test_mentions_every_option(self, option, capsys):
        assert option in self.text(capsys).replace("[", " ").split()

    @pytest.mark.parametrize(("option", "default"), [
        ("--p", "97"), ("--width", "500"), ("--alpha", "0.5"), ("--xi", "0.35"), ("--operation", "add"),
        ("--model", "mlp"), ("--activation", "square"), ("--optimizer", "adamw"), ("--dropout", "0"),
        ("--eval-every", "5"), ("--seed", "0"), ("--backend", "numpy"), ("--dtype", "float32"), ("--out", "runs/")])
    def test_names_the_default(self, option, default, capsys):
        entries = " ".join(self.text(capsys).split("\noutput:")[0 if option != "--out" else 1].split())
        entry = entries.rpartition(f" {option} ")[2] if option != "--out" else entries
        assert f"(default {default}" in entry.split(" --")[0]

    @pytest.mark.parametrize(("line", "settings"), [
        ("two-layer network, full batch", {}),
        ("--model relu-mlp", {"model": "relu-mlp"}),
        ("--model transformer", {"model": "transformer"})])
    def test_has_the_defaults_of_each_setting_as_they_are(self, line, settings, capsys):
        config = TrainingConfig(**settings).resolved()
        words = next(row for row in self.text(capsys).splitlines() if row.strip().startswith(line)).split()
        for option, value in (("--lr", config.learning_rate), ("--weight-decay", config.weight_decay),
                              ("--steps", config.steps), ("--loss", config.loss)):
            given = words[words.index(option) + 1]
            assert given == (value if isinstance(value, str) else f"{value:g}")

    def test_comes_with_examples_that_the_command_accepts(self, capsys):
        lines = [line for line in self.text(capsys).splitlines() if line.startswith("  python grok.py")]
        explained = lines[0].index("full inversion")  # the column where the explanations begin
        examples = [line[:explained].split()[2:] for line in lines]
        new = [example for example in examples if "DIR" not in example]
        assert (len(examples), len(new)) == (11, 7)
        for example in new:
            TrainingConfig(**vars(parser("").parse_args(example))).resolved()

    def test_comes_with_examples_on_runs_that_exist_which_the_command_carries_out(self, capsys):
        lines = [line for line in self.text(capsys).splitlines() if line.startswith("  python grok.py")]
        explained = lines[0].index("full inversion")
        examples = [line[:explained].split()[2:] for line in lines if "DIR" in line]
        grok.main([*TINY, "--quiet", "--no-plot", "--out", "source"])
        for number, example in enumerate(examples):
            folder = f"run{number}"
            shutil.copytree("source", folder)
            if example == ["--resume", "DIR"]:
                unfinished(folder, steps=40)
            assert grok.main([folder if word == "DIR" else word for word in example] + ["--no-plot"]) == 0


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as exit_:
        grok.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"grok {grok.__version__}\n"


BAD = [
    ("--p 1", "--p", "1"), ("--p 0", "--p", "0"), ("--p -97", "--p", "-97"), ("--p 9.5", "--p", "9.5"),
    ("--p many", "--p", "many"), ("--p 91 --operation divide", "--p", "91"),
    ("--operation power", "--operation", "power"),
    ("--alpha 0", "--alpha", "0"), ("--alpha 1.5", "--alpha", "1.5"), ("--alpha nan", "--alpha", "nan"),
    ("--alpha -0.5", "--alpha", "-0.5"), ("--alpha 0.00001", "--alpha", "1e-05"),
    ("--xi 1.4", "--xi", "1.4"), ("--xi -0.2", "--xi", "-0.2"), ("--xi nan", "--xi", "nan"),
    ("--model cnn", "--model", "cnn"), ("--width 0", "--width", "0"), ("--activation tanh", "--activation", "tanh"),
    ("--depth 1 --model relu-mlp", "--depth", "1"), ("--model transformer --heads 3", "--heads", "3"),
    ("--model transformer --batch-norm", "--batch-norm", "True"),
    ("--model transformer --activation gelu", "--activation", "gelu"), ("--layer-norm", "--layer-norm", "True"),
    ("--dropout 1", "--dropout", "1.0"), ("--dropout -0.1", "--dropout", "-0.1"), ("--dropout nan", "--dropout", "nan"),
    ("--loss hinge", "--loss", "hinge"), ("--optimizer lion", "--optimizer", "lion"),
    ("--lr 0", "--lr", "0"), ("--lr -1", "--lr", "-1"), ("--lr nan", "--lr", "nan"), ("--lr inf", "--lr", "inf"),
    ("--weight-decay -5", "--weight-decay", "-5"), ("--weight-decay nan", "--weight-decay", "nan"),
    ("--weight-decay inf", "--weight-decay", "inf"),
    ("--batch-size 0", "--batch-size", "0"), ("--batch-size 4705", "--batch-size", "4705"),
    ("--steps 0", "--steps", "0"), ("--steps -5", "--steps", "-5"), ("--steps 1e3", "--steps", "1e3"),
    ("--checkpoint-every 0", "--checkpoint-every", "0"), ("--checkpoint-every 1.5", "--checkpoint-every", "1.5"),
    ("--snapshots 1", "--snapshots", "1"), ("--snapshots -1", "--snapshots", "-1"),
    ("--test-set half", "--test-set", "half"),
    ("--eval-every 0", "--eval-every", "0"), ("--seed -1", "--seed", "-1"), ("--seed 0.5", "--seed", "0.5"),
    ("--backend jax", "--backend", "jax"), ("--dtype float16", "--dtype", "float16"), ("--threads 0", "--threads", "0"),
]


class TestBadInput:
    @pytest.mark.parametrize(("arguments", "option", "value"), BAD, ids=[case[0] for case in BAD])
    def test_is_refused_by_the_options_name_and_value(self, arguments, option, value, capsys):
        message = refused(arguments.split(), capsys).splitlines()[-1]
        assert message.startswith("grok.py: error: ")
        assert option in message.replace(":", "").split()
        assert value in message

    @pytest.mark.parametrize("arguments", ["--momentum 0.9", "--weight 5", "extra", "--p"])
    def test_includes_options_that_are_none(self, arguments, capsys):
        assert arguments.split()[0] in refused(arguments.split(), capsys)

    def test_includes_a_folder_that_exists(self, capsys):
        Path("mine").mkdir()
        Path("mine/notes.txt").write_text("keep")
        assert refused([*TINY, "--out", "mine"], capsys) == (
            "grok.py: error: --out must be a new folder in a place that can be written to, got mine (File exists)\n")
        assert Path("mine/notes.txt").read_text() == "keep"

    def test_includes_a_folder_that_cannot_be(self, capsys):
        Path("file").write_text("no folder")
        assert refused([*TINY, "--out", "file/run"], capsys).endswith("written to, got file/run (Not a directory)\n")

    def test_includes_a_file_in_the_place_of_the_folder(self, capsys):
        Path("file").write_text("no folder")
        assert refused([*TINY, "--out", "file"], capsys).endswith("written to, got file (File exists)\n")

    @pytest.mark.parametrize("arguments", [
        "--resume none", "--continue-from none", "--figures none", "--compare none", "--config none/config.json"])
    def test_includes_a_run_that_does_not_exist(self, arguments, capsys):
        message = refused(arguments.split(), capsys)
        assert message == "grok.py: error: none/config.json: cannot be read (No such file or directory)\n"


class TestTheFolder:
    def test_is_created_with_those_above_it(self):
        grok.main([*TINY, "--quiet", "--no-plot", "--out", "a/b/c"])
        assert Path("a/b/c/summary.json").exists()

    def test_is_named_after_the_time_and_the_setting(self):
        grok.main([*TINY, "--quiet", "--no-plot", "--xi", "0.2", "--seed", "7"])
        name = next(Path("runs").iterdir()).name
        datetime.datetime.strptime(name[:17], "%Y-%m-%d-%H%M%S")
        assert name[17:] == "-mlp-p11-xi0.2-wd15-seed7"

    def test_is_another_one_for_a_second_run_within_the_same_second(self, monkeypatch):
        moment = datetime.datetime(2030, 1, 2, 3, 4, 5)
        monkeypatch.setattr(grok, "datetime", SimpleNamespace(datetime=SimpleNamespace(now=lambda: moment)))
        contents = []
        for _ in range(3):
            grok.main([*TINY, "--quiet", "--no-plot"])
            contents.append({path: path.read_bytes() for path in Path("runs").rglob("*.json")})
        name = "2030-01-02-030405-mlp-p11-xi0.35-wd15-seed0"
        assert sorted(path.name for path in Path("runs").iterdir()) == [name, f"{name}-2", f"{name}-3"]
        assert contents[0].items() <= contents[1].items() <= contents[2].items()


class TestTheBackendCuPy:
    def test_without_cupy_says_what_to_install_in_one_line(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)  # what Python takes for a module that cannot be imported
        message = refused([*TINY, "--backend", "cupy"], capsys)
        assert message.count("\n") == 1
        assert message.startswith("grok.py: error: backend cupy needs CuPy")
        assert "pip install -e '.[cuda13]'" in message

    def test_without_a_gpu_says_so_in_one_line(self, capsys, strict_cupy, monkeypatch):
        def no_gpu(number):
            raise strict_cupy.cuda.runtime.CUDARuntimeError("cudaErrorNoDevice")

        monkeypatch.setattr(strict_cupy.cuda.runtime, "getDeviceProperties", no_gpu)
        message = refused([*TINY, "--backend", "cupy"], capsys)
        assert message.count("\n") == 1
        assert "needs an NVIDIA GPU and its driver" in message


def unfinished(folder, steps):
    """Make a finished run one that was interrupted on its way to more steps."""
    folder = Path(folder)
    (folder / "summary.json").unlink()
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "steps": steps}))


def quietly(*arguments):
    """Run the command without figures and output; its exit code."""
    return grok.main([*arguments, "--quiet", "--no-plot"])


@pytest.fixture
def run():
    """The folder of a finished run of 30 steps."""
    assert quietly(*TINY, "--out", "run") == 0
    return Path("run")


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
OTHER_VALUES = [
    "--p 13", "--operation multiply", "--alpha 0.7", "--xi 0.1", "--model relu-mlp", "--width 8", "--activation gelu",
    "--depth 4", "--heads 2", "--layer-norm", "--batch-norm", "--dropout 0.1", "--loss cross-entropy",
    "--optimizer sgd", "--lr 0.5", "--weight-decay 1", "--batch-size 20", "--eval-every 7", "--seed 1",
    "--backend cupy", "--dtype float64", "--snapshots 3"]


class TestResume:
    def test_makes_the_run_that_was_never_stopped(self, run, capsys):
        assert grok.main(["--resume", "run", "--steps", "47", "--no-plot"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "run       run/"
        quietly(*TINY, "--steps", "47", "--out", "whole")
        assert_same_runs("run", "whole")
        assert json.loads((run / "summary.json").read_text())["steps"] == 47

    def test_draws_the_whole_run(self, run, coarse):
        grok.main(["--resume", "run", "--steps", "40", "--quiet"])
        assert len(list((run / "figures").iterdir())) == 4

    def test_finishes_what_the_run_was_meant_to_be(self, run):
        unfinished(run, 47)
        assert quietly("--resume", "run") == 0
        assert load_run(run).step == 47

    @pytest.mark.parametrize("option", OTHER_VALUES)
    def test_refuses_options_that_would_change_the_run(self, run, option, capsys):
        message = refused(["--resume", "run", "--steps", "40", *option.split()], capsys)
        assert message.startswith(f"grok.py: error: {option.split()[0]} cannot change when a run is resumed: it has ")
        assert f"got {option.split()[1] if ' ' in option else True}" in message

    def test_refuses_all_options_but_these(self, capsys):
        settings = {field.name for field in dataclasses.fields(TrainingConfig)}
        tried = {name for option in OTHER_VALUES for name in vars(parser("").parse_args(option.split()))}
        # Those of a continued run are refused in their own words; schedule and warmup have no option.
        assert settings - tried == {"steps", "threads", "checkpoint_every", "continue_from", "reset_optimizer",
                                    "test_alpha", "schedule", "warmup"}

    def test_accepts_options_that_say_what_is_so(self, run):
        options = ["--p", "11", "--width", "24", "--xi", "0.35", "--lr", "0.01", "--weight-decay", "15", "--loss",
                   "mse", "--seed", "0", "--backend", "numpy", "--dtype", "float32", "--snapshots", "0"]
        assert quietly("--resume", "run", "--steps", "40", *options) == 0

    def test_accepts_other_threads_and_other_moments_to_save(self, run):
        assert quietly("--resume", "run", "--steps", "40", "--threads", "3", "--checkpoint-every", "7") == 0
        config = load_run(run).config
        assert (config.threads, config.checkpoint_every) == (3, 7)

    @pytest.mark.parametrize(("arguments", "message"), [
        ("", "--steps must be more than the 30 already made, got 30"),
        ("--steps 30", "--steps must be more than the 30 already made, got 30"),
        ("--steps 29", "--steps must be more than the 30 already made, got 29"),
        ("--steps 0", "--steps must be at least 1, got 0"),
        ("--steps -5", "--steps must be at least 1, got -5"),
        ("--steps 40 --threads 0", "--threads must be at least 1, got 0"),
        ("--steps 40 --checkpoint-every 0", "--checkpoint-every must be at least 1, got 0"),
        ("--steps 40 --out other", "--out has no meaning with --resume"),
        ("--steps 40 --test-set original", "--test-set has no meaning without --continue-from"),
        ("--steps 40 --reset-optimizer", "--reset-optimizer has no meaning without --continue-from")])
    def test_refuses_what_makes_no_sense(self, run, arguments, message, capsys):
        assert refused(["--resume", "run", *arguments.split()], capsys).startswith(f"grok.py: error: {message}")

    def test_refuses_a_config_that_was_edited(self, run, capsys):
        settings = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps({**settings, "xi": 0.1}))
        assert refused(["--resume", "run", "--steps", "40"], capsys) == (
            "grok.py: error: run/config.json: says xi 0.1, but the checkpoint beside it was made with 0.35\n")


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


class TestContinueFrom:
    def test_takes_the_settings_and_the_weights_of_the_other_run(self, run, capsys):
        assert grok.main(["--continue-from", "run", "--xi", "0", "--steps", "10", "--no-plot", "--out", "next"]) == 0
        assert capsys.readouterr().err == ""
        first, second = load_run(run), load_run(Path("next"))
        assert second.config == dataclasses.replace(
            first.config, xi=0.0, steps=10, continue_from=str(run.resolve()), test_alpha=0.5)
        np.testing.assert_array_equal(second.initial_network().state()["U"], first.arrays["U"])

    def test_leaves_the_other_run_as_it_is(self, run):
        before = contents(run)
        quietly("--continue-from", "run", "--alpha", "0.2", "--out", "next")
        assert contents(run) == before

    @pytest.mark.parametrize(("options", "test_examples"), [
        ([], 61), (["--test-set", "original"], 61), (["--test-set", "complement"], 97)])
    def test_with_a_smaller_alpha_keeps_the_test_set_unless_told_otherwise(self, run, options, test_examples):
        quietly("--continue-from", "run", "--alpha", "0.2", *options, "--out", "next")
        problem = load_run(Path("next")).problem()
        assert (len(problem.train), len(problem.test)) == (24, test_examples)
        assert {*map(tuple, problem.train.inputs)} < {*map(tuple, load_run(run).problem().train.inputs)}

    def test_with_a_larger_alpha_tests_on_what_is_left(self, run):
        quietly("--continue-from", "run", "--alpha", "0.8", "--out", "next")
        problem = load_run(Path("next")).problem()
        assert len(problem.train) + len(problem.test) == 121

    @pytest.mark.parametrize("option", ["--seed 3", "--p 13 --model mlp", "--operation subtract"])
    def test_with_another_split_cannot_keep_the_test_set(self, run, option, capsys):
        message = refused(["--continue-from", "run", "--test-set", "original", *option.split()], capsys)
        assert message.startswith("grok.py: error: --test-set original cannot be kept where --p, --operation")

    def test_with_another_split_tests_on_what_is_left(self, run):
        quietly("--continue-from", "run", "--seed", "3", "--alpha", "0.2", "--out", "next")
        problem = load_run(Path("next")).problem()
        assert len(problem.train) + len(problem.test) == 121

    def test_twice_keeps_the_test_set_of_the_first_run(self, run):
        quietly("--continue-from", "run", "--alpha", "0.2", "--out", "next")
        quietly("--continue-from", "next", "--alpha", "0.1", "--out", "last")
        np.testing.assert_array_equal(load_run(Path("last")).problem().test.inputs, load_run(run).problem().test.inputs)

    @pytest.mark.parametrize(("options", "steps"), [
        ([], 5), (["--reset-optimizer"], 5), (["--no-reset-optimizer"], 35)])
    def test_starts_with_a_new_optimiser_unless_told_otherwise(self, run, options, steps):
        quietly("--continue-from", "run", "--steps", "5", *options, "--out", "next")
        assert load_run(Path("next")).optimizer_steps == steps

    def test_of_a_run_that_kept_its_optimiser_starts_with_a_new_one_all_the_same(self, run):
        quietly("--continue-from", "run", "--steps", "5", "--no-reset-optimizer", "--out", "next")
        quietly("--continue-from", "next", "--out", "last")
        assert load_run(Path("last")).optimizer_steps == 5

    def test_can_be_repeated_from_its_settings(self, run):
        quietly("--continue-from", "run", "--alpha", "0.2", "--no-reset-optimizer", "--out", "next")
        quietly("--config", "next/config.json", "--out", "again")
        assert_same_runs("next", "again")
        assert Path("next/config.json").read_bytes() == Path("again/config.json").read_bytes()

    def test_can_be_interrupted_and_resumed(self, run, monkeypatch):
        options = ["--continue-from", "run", "--alpha", "0.2", "--no-reset-optimizer"]
        with monkeypatch.context() as patch:
            send_at(patch, signal.SIGTERM, 12)
            assert quietly(*options, "--out", "stopped") == 143
        quietly("--resume", "stopped")
        quietly(*options, "--out", "whole")
        assert_same_runs("stopped", "whole")

    @pytest.mark.parametrize("out", [[], ["--out", "a/b"]])
    def test_refuses_a_network_of_other_shapes_and_leaves_nothing(self, run, out, capsys):
        message = refused(["--continue-from", "run", "--width", "8", *out], capsys)
        assert message.count("\n") == 1
        assert "checkpoint.npz: does not fit this run: " in message


class TestConfig:
    def test_repeats_a_run(self, run):
        assert quietly("--config", "run/config.json", "--out", "again") == 0
        assert_same_runs("run", "again")
        assert Path("again/config.json").read_bytes() == Path("run/config.json").read_bytes()

    def test_gives_way_to_options(self, run):
        quietly("--config", "run/config.json", "--seed", "3", "--xi", "0", "--out", "again")
        assert load_run(Path("again")).config == dataclasses.replace(load_run(run).config, seed=3, xi=0.0)

    def test_needs_no_more_than_a_few_settings(self):
        Path("few.json").write_text('{"p": 11, "width": 24, "steps": 30, "seed": 3}')
        quietly("--config", "few.json", "--out", "few")
        quietly(*TINY, "--seed", "3", "--out", "options")
        assert_same_runs("few", "options")

    @pytest.mark.parametrize(("text", "message"), [
        ("", "settings.json: is not JSON"), ("[1]", "settings.json: must hold settings by name, got list"),
        ('{"momentum": 0.9}', "settings.json: momentum is not a setting; there are activation, "),
        ('{"p": "97"}', "settings.json: p must be a whole number, got '97'"),
        ('{"xi": 1.4}', "settings.json: xi must lie in [0, 1], got 1.4"),
        ('{"alpha": NaN}', "settings.json: alpha must lie in (0, 1], got nan"),
        ('{"learning_rate": Infinity}', "settings.json: learning_rate must be positive and finite, got inf"),
        ('{"weight_decay": 1' + 400 * "0" + "}", "settings.json: weight_decay must be finite and not negative, got 1")])
    def test_with_something_else_than_settings_is_refused(self, text, message, capsys):
        Path("settings.json").write_text(text)
        assert refused(["--config", "settings.json"], capsys).startswith(f"grok.py: error: {message}")


@pytest.fixture
def coarse(monkeypatch):
    """Figures that are drawn faster."""
    monkeypatch.setattr(figures, "DPI", 40)


@pytest.mark.usefixtures("coarse")
class TestFigures:
    NAMES = ["training_curves.png", "ipr_histogram.png", "neurons.png", "pruning_curves.png"]

    def test_are_drawn_of_a_run_that_exists_and_named(self, run, capsys):
        before = contents(run)
        assert grok.main(["--figures", "run"]) == 0
        assert capsys.readouterr() == ("".join(f"run/figures/{name}\n" for name in self.NAMES), "")
        after = contents(run)
        assert {path: after[path] for path in before} == before
        assert {path.name for path in after.keys() - before.keys()} == {"figures", *self.NAMES}

    def test_are_drawn_again(self, run):
        grok.main(["--figures", "run", "--quiet"])
        first = contents(run)
        (run / "figures/neurons.png").write_bytes(b"old")
        grok.main(["--figures", "run", "--quiet"])
        assert contents(run) == first

    def test_of_a_continued_run_need_the_other_run_no_more(self, run):
        quietly("--continue-from", "run", "--out", "next")
        shutil.rmtree(run)
        assert grok.main(["--figures", "next", "--quiet"]) == 0

    def test_of_a_run_that_has_not_finished_are_refused(self, run, capsys):
        unfinished(run, 40)
        assert refused(["--figures", "run"], capsys) == (
            "grok.py: error: run: the run has not finished, it stands at step 30\n")


@pytest.mark.usefixtures("coarse")
class TestCompare:
    @pytest.fixture
    def other(self):
        quietly(*TINY, "--xi", "0.1", "--seed", "4", "--out", "other")

    @pytest.mark.usefixtures("run", "other")
    def test_shows_runs_side_by_side_and_draws_them(self, capsys):
        assert grok.main(["--compare", "run", "other", "--out", "both.png"]) == 0
        output = capsys.readouterr()
        assert output.err == ""
        lines = output.out.splitlines()
        assert lines[0].split() == ["run", "other"]
        assert ["xi", "0.35", "0.1"] in [line.split() for line in lines]
        assert ["seed", "0", "4"] in [line.split() for line in lines]
        assert lines[-1] == "both.png"
        assert Path("both.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")

    @pytest.mark.usefixtures("run", "other")
    def test_leaves_the_runs_as_they_are(self):
        before = contents()
        assert quietly("--compare", "run", "other") == 0
        assert contents() == before

    @pytest.mark.usefixtures("run")
    def test_without_a_name_puts_the_figure_among_the_runs(self, capsys):
        assert grok.main(["--compare", "run"]) == 0
        assert [str(path) for path in Path("runs").iterdir()] == capsys.readouterr().out.splitlines()[-1:]

    @pytest.mark.usefixtures("run")
    def test_says_where_the_figure_cannot_be_written(self, capsys):
        Path("file").touch()
        with pytest.raises(SystemExit) as ended:
            grok.main(["--compare", "run", "--out", "file/both.png"])
        assert ended.value.code == 1
        assert capsys.readouterr().err in ("grok.py: error: file: File exists\n",
                                           "grok.py: error: file: Not a directory\n")

    @pytest.mark.usefixtures("run")
    def test_refuses_one_that_cannot_be_read(self, capsys):
        assert refused(["--compare", "run", "none"], capsys) == (
            "grok.py: error: none/config.json: cannot be read (No such file or directory)\n")


MODES = ["--resume run", "--continue-from run", "--config run/config.json", "--figures run", "--compare run"]


class TestTheModes:
    @pytest.mark.parametrize(("one", "other"), list(itertools.combinations(MODES, 2)))
    def test_exclude_each_other(self, run, one, other, capsys):
        message = refused([*one.split(), *other.split()], capsys)
        assert f"argument {other.split()[0]}: not allowed with argument {one.split()[0]}" in message

    @pytest.mark.parametrize("mode", ["--figures run", "--compare run"])
    @pytest.mark.parametrize("option", ["--steps 5", "--xi 0.35", "--threads 1", "--no-reset-optimizer",
                                        "--test-set original"])
    def test_that_train_nothing_take_no_settings(self, run, mode, option, capsys):
        message = refused([*mode.split(), *option.split()], capsys)
        name = option.split()[0].replace("--no-", "--")
        assert message == f"grok.py: error: {name} has no meaning with {mode.split()[0]}\n"

    @pytest.mark.parametrize("option", ["--out new", "--no-plot"])
    def test_that_draw_in_the_folder_of_a_run_take_no_other(self, run, option, capsys):
        assert refused(["--figures", "run", *option.split()], capsys) == (
            f"grok.py: error: {option.split()[0]} has no meaning with --figures\n")

    @pytest.mark.parametrize("option", ["--test-set original", "--reset-optimizer", "--no-reset-optimizer"])
    @pytest.mark.parametrize("mode", ["", "--config run/config.json"])
    def test_that_start_from_no_weights_take_no_options_on_them(self, run, mode, option, capsys):
        message = refused([*mode.split(), *option.split()], capsys)
        assert "has no meaning without --continue-from" in message


@pytest.mark.filterwarnings("default")
class TestTooMuchDecay:
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


class TestThePaper:
    """At full size: p 97, width 500. A run takes some seconds."""

    def summary(self, *options):
        assert grok.main([*options, "--no-plot", "--quiet", "--out", "run"]) == 0
        return load_run(Path("run")).history, json.loads(Path("run/summary.json").read_text())

    def test_the_network_groks_and_then_unlearns_the_wrong_labels(self):
        history, summary = self.summary("--xi", "0.2")
        assert summary["phase"] == "full inversion"
        assert summary["test_accuracy"] >= 0.99
        assert summary["corrupted_accuracy"] <= 0.05
        assert summary["train_accuracy"] == pytest.approx(0.8, abs=0.03)
        # Both stages: first it memorises wrong labels as well, then they go, and its neurons have become periodic.
        assert history["corrupted_accuracy"].max() > 0.9
        assert history["train_accuracy"].max() > 0.95
        assert summary["grok_step"] < 150
        assert 50 < summary["unlearn_step"] < 250
        assert history["mean_ipr"][0] < 0.06 < 0.4 < summary["mean_ipr"]

    def test_less_weight_decay_unlearns_only_a_part_of_them(self):
        _, summary = self.summary("--weight-decay", "5", "--eval-every", "25")
        assert summary["phase"] == "partial inversion"
        assert summary["test_accuracy"] >= 0.99
        assert summary["train_accuracy"] == pytest.approx(0.786, abs=0.03)  # the reference run's
