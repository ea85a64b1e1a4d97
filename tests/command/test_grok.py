"""The command, as a user calls it, and the paper's results that it is there to show."""

import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import grok
from options import parser
from tests.command.calling import TINY, refused, unfinished
from training import TrainingConfig, load_run, train
from training.tasks import TASKS

ROOT = Path(__file__).parents[2]
OPTIONS = ["--p", "--width", "--alpha", "--xi", "--operation", "--model", "--activation", "--loss", "--optimizer",
           "--lr", "--weight-decay", "--dropout", "--batch-norm", "--batch-size", "--steps", "--eval-every", "--seed",
           "--backend", "--dtype", "--threads", "--out", "--no-plot", "--quiet", "--version", "--resume",
           "--continue-from", "--config", "--figures", "--compare", "--test-set", "--reset-optimizer",
           "--checkpoint-every", "--snapshots"]


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
        assert command.config == config.resolved()
        assert command.history.rows == python.history.rows
        for name, array in python.arrays.items():
            np.testing.assert_array_equal(command.arrays[name], array)

    @pytest.mark.parametrize("model", TASKS["modular"].models)
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
        pytest.importorskip("sklearn", reason="the small digits come with it")
        lines = [line for line in self.text(capsys).splitlines() if line.startswith("  python grok.py")]
        explained = lines[0].index("full inversion")  # the column where the explanations begin
        examples = [line[:explained].split()[2:] for line in lines]
        new = [example for example in examples if "DIR" not in example]
        assert (len(examples), len(new)) == (16, 12)
        for example in new:
            given = vars(parser("").parse_args(example))
            TrainingConfig(**{name: given[name] for name in given.keys() - grok.COMMAND_OPTIONS.keys()}).resolved()

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
