"""The command of a sweep."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import grid as command
from experiments import sweep as engine
from experiments.cells import ROOT
from experiments.grid import MOST, SHOWN, GridError, main, read_axes, read_axis
from training import TrainingConfig, train

TINY = ["p=11", "width=16", "steps=20", "eval_every=10"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


def rows(place="runs/sweep"):
    with open(Path(place) / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def refused(arguments, capsys):
    """The lines that the command prints on refusing; it has then written nothing."""
    assert main(arguments) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert list(Path().iterdir()) == []
    lines = errors.splitlines()
    assert all(line.startswith("python -m experiments.sweep: error: ") for line in lines)
    return [line.removeprefix("python -m experiments.sweep: error: ") for line in lines]


class TestAnAxis:
    @pytest.mark.parametrize(("word", "name", "values"), [
        ("xi=0.2", "xi", [0.2]),
        ("weight_decay=0,5,15", "weight_decay", [0.0, 5.0, 15.0]),
        ("weight-decay=1e-3", "weight_decay", [0.001]),
        ("lr=0.01,0.1", "learning_rate", [0.01, 0.1]),
        ("xi=0:0.9:0.1", "xi", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("xi=0.35:0.1:-0.05", "xi", [0.35, 0.3, 0.25, 0.2, 0.15, 0.1]),
        ("seed=0:4:1", "seed", [0, 1, 2, 3, 4]),
        ("seed=7,0:4:2,1", "seed", [7, 0, 2, 4, 1]),
        ("seed=3:3:1", "seed", [3]),
        ("seed=1,1,0:1:1", "seed", [1, 0]),
        ("model=mlp,transformer", "model", ["mlp", "transformer"]),
        ("batch_norm=true,false", "batch_norm", [True, False]),
        ("batch_size=none,64", "batch_size", [None, 64]),
        ("learning_rate=none", "learning_rate", [None]),
        ("continue_from=runs/a", "continue_from", ["runs/a"]),
    ])
    def test_is_a_setting_and_its_values(self, word, name, values):
        assert read_axis(word) == (name, values)
        assert [type(value) for value in read_axis(word)[1]] == list(map(type, values))

    @pytest.mark.parametrize(("word", "problem"), [
        ("xi", "xi is not SETTING=VALUES"), ("", "is not SETTING=VALUES"),
        ("momentum=1", "momentum is not a setting; there are "),
        ("=1", "is not a setting"),
        ("backend=cupy", "backend is given as --backend"), ("threads=2", "threads follows from --workers"),
        ("checkpoint_every=5", "checkpoint_every has no meaning here"),
        ("xi=", "xi must be a number, or a range first:last:step that ends at last, got ''"),
        ("xi=a", "got 'a'"), ("xi=1,,2", "got ''"), ("alpha=none", "got 'none'"), ("xi=0:1", "got '0:1'"),
        ("xi=0:1:0.3", "got '0:1:0.3'"), ("xi=1:0:0.1", "got '1:0:0.1'"), ("xi=0:1:0", "got '0:1:0'"),
        ("xi=0:0:0", "got '0:0:0'"), ("xi=nan:1:1", "got"), ("xi=0:inf:1", "got"), ("xi=0:1:inf", "got"),
        ("xi=0:1:0.1:2", "got"), ("xi=::", "got"),
        ("seed=0.5", "seed must be a whole number, or a range"), ("seed=1e3", "got '1e3'"),
        ("seed=0:1:0.5", "got '0:1:0.5'"), ("seed=inf", "got 'inf'"),
        ("seed=0:1000000000000:1", f"seed=0:1000000000000:1 has more than {MOST:,} values"),
        ("batch_norm=1", "batch_norm must be true or false, got '1'"), ("model=", "model must be a word, got ''"),
    ])
    def test_is_refused_in_one_line(self, word, problem):
        with pytest.raises(GridError) as refusal:
            read_axes([word])
        [line] = refusal.value.args
        assert problem in line


class TestTheCommandRefuses:
    def test_all_that_is_wrong_with_the_words_a_line_each(self, capsys):
        lines = refused(["xi=x", "foo=1", "seed=0", "seed=1", "width=16"], capsys)
        assert [line.split()[0] for line in lines] == ["xi", "foo", "seed"]
        assert lines[2] == "seed is given twice"

    def test_all_that_is_wrong_with_the_settings_and_says_where(self, capsys):
        assert refused([*TINY, "xi=0,2", "batch_size=10,500"], capsys) == [
            "batch_size must be at most the size of the training set, 60, got 500 (at xi=0 batch_size=500)",
            "xi must lie in [0, 1], got 2.0 (at xi=2 batch_size=10)"]
        assert refused([*TINY, "xi=2"], capsys) == ["xi must lie in [0, 1], got 2.0"]

    def test_a_run_to_continue_that_is_not_there(self, capsys):
        assert refused([*TINY, "continue_from=nowhere"], capsys) == [
            "continue_from must be the folder of a run, got nowhere"]

    def test_texts_that_are_not_there(self, capsys):
        [line] = refused(["task=imdb", "data_folder=nowhere", "seed=0,1"], capsys)
        assert line.startswith("data_folder must be ")
        assert "nowhere" in line

    def test_more_networks_than_can_be_meant(self, capsys):
        assert refused(["xi=0:1:0.001", "seed=0:999:1"], capsys) == [
            "this grid has 1,001,000 networks; there may be 100,000"]

    @pytest.mark.parametrize(("arguments", "problem"), [
        ([], "the following arguments are required: SETTING=VALUES"), (["--workers", "2"], "required: SETTING=VALUES"),
        (["xi=0", "--momentum", "1"], "--momentum"),
        (["xi=0", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["xi=0", "--work", "2"], "--work"), (["xi=0", "--backend", "jax"], "--backend"),
        (["xi=0", "--out", "/dev/null/x"], "/dev/null/x"),
    ])
    def test_options_that_are_none(self, arguments, problem, capsys):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        assert problem in capsys.readouterr().err.splitlines()[-1]


class TestTheCommand:
    def test_writes_a_row_for_every_network(self, capsys):
        assert main([*TINY, "xi=0:0.4:0.2", "--out", "here", "seed=0,1", "batch_norm=true,false"]) == 0
        table = rows("here")
        assert [(row["xi"], row["seed"], row["batch_norm"]) for row in table] == [
            (xi, seed, norm) for xi in ("0.0", "0.2", "0.4") for seed in "01" for norm in ("True", "False")]
        assert list(table[0]) == [*(word.split("=")[0] for word in TINY), "xi", "seed", "batch_norm"] + [
            "train_loss", "test_loss", "train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy",
            "mean_ipr", "weight_norm", "mean_ipr_without_constant", "phase", "grok_step", "unlearn_step", "seconds",
            "ms_per_step", "backend", "device", "threads", "parameters", "error"]
        for row, batch_norm in zip(table[:2], (True, False), strict=True):
            expected = train(TrainingConfig(p=11, width=16, steps=20, eval_every=10, xi=0.0, batch_norm=batch_norm))
            for name, value in expected.summary().items():
                if name not in ("seconds", "ms_per_step"):
                    assert row[name] == ("" if value is None else str(value)), name
            assert row["error"] == row["corrupted_accuracy"] == ""
        output, errors = capsys.readouterr()
        assert errors == ""
        assert output.splitlines()[-1] == "here/results.csv"
        assert len([line for line in output.splitlines() if line.startswith("11 ")]) == 12
        assert not list(Path("here").glob("*.part"))

    def test_says_what_all_networks_share(self):
        assert main([*TINY, "xi=0,0.2", "weight_decay=5"]) == 0
        said = json.loads(Path("runs/sweep/sweep.json").read_text())
        assert said["command"] == f"python -m experiments.sweep {' '.join(TINY)} xi=0,0.2 weight_decay=5"
        assert said["settings"]["weight_decay"] == 5
        assert said["settings"]["learning_rate"] == 0.01
        assert not {"xi", "threads"} & said["settings"].keys()
        assert len(said["sources"]) == 64

    def test_prints_only_counts_of_a_long_table(self, capsys):
        assert main([*TINY, f"seed=0:{SHOWN}:1"]) == 0
        counts, place = capsys.readouterr().out.splitlines()
        assert counts.startswith(f"{SHOWN + 1} networks: ")
        assert sum(int(part.split()[0]) for part in counts.split(": ")[1].split(", ")) == SHOWN + 1
        assert place == "runs/sweep/results.csv"

    def test_works_without_a_test_set(self, capsys):
        assert main([*TINY, "alpha=1"]) == 0
        assert "1 network: 1 no test set" in capsys.readouterr().out
        assert rows()[0]["test_accuracy"] == ""

    def test_counts_what_has_no_phase_among_all_alone(self, capsys):
        images = ["task=mnist", "train_size=10", "width=8", "steps=4", "eval_every=2"]
        assert main([*images, "seed=0,1"]) == 0
        assert capsys.readouterr().out.splitlines()[-2] == "2 networks"
        assert main([*images, "optimizer=sgd", "weight_decay=0", "lr=0.1,1e30"]) == 1
        assert capsys.readouterr().out.splitlines()[-2] == "2 networks: 1 failed"

    def test_warns_of_what_is_hardly_meant(self, capsys):
        assert main([*TINY, "lr=0.1", "weight_decay=10,0", "seed=0,1"]) == 0
        assert capsys.readouterr().err.startswith("python -m experiments.sweep: warning: learning rate x weight decay")

    def test_reports_what_fails_and_goes_on_with_the_rest(self, capsys):
        arguments = [*TINY, "optimizer=sgd", "weight_decay=0", "lr=0.1,1e30", "seed=0:3:1"]
        for _ in range(2):
            assert main(arguments) == 1
            output, errors = capsys.readouterr()
            assert errors.splitlines()[0].startswith(
                "python -m experiments.sweep: failed: learning_rate=1e+30 seed=0: the train loss of seed 0 is ")
            assert errors.count("\n") == 4
            assert "8 networks: 4 confusion, 4 failed" in output
            table = rows()
            assert [row["learning_rate"] for row in table if row["error"]] == ["1e+30"] * 4
            assert all((row["phase"] == "") == (row["error"] != "") for row in table)

    def test_has_a_table_even_if_all_fail(self, capsys):
        assert main([*TINY, "optimizer=sgd", "lr=1e30"]) == 1
        assert list(rows()[0]) == ["p", "width", "steps", "eval_every", "optimizer", "learning_rate", "error"]
        assert "the network: the train loss" in capsys.readouterr().err

    def test_trains_what_is_new_and_no_more(self, monkeypatch):
        assert main([*TINY, "seed=0,1"]) == 0
        seeds, train_many = [], engine.train_many
        monkeypatch.setattr(engine, "train_many",
                            lambda configs, *others: (seeds.extend(c.seed for c in configs)
                                                      or train_many(configs, *others)))
        assert main([*TINY, "seed=0:2:1", "--out", "other"]) == 0
        assert seeds == [2]

    def test_says_how_to_go_on_after_ctrl_c(self, monkeypatch, capsys):
        def stopped(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(engine, "train_many", stopped)
        assert main([*TINY, "--cells", "mine"]) == 130
        assert capsys.readouterr().err == (
            "\nstopped; what is finished is stored in mine/, and the same command goes on from there\n")

    def test_says_so_if_the_disk_is_full(self, monkeypatch, capsys):
        def full(*arguments):
            raise OSError(28, "No space left on device", "results.csv")

        monkeypatch.setattr(command, "write_atomically", full)
        assert main(TINY) == 1
        assert capsys.readouterr().err == (
            "python -m experiments.sweep: error: [Errno 28] No space left on device: 'results.csv'\n")

    def test_can_be_called_as_its_help_says(self):
        told = subprocess.run([sys.executable, "-m", "experiments.sweep", *TINY, "seed=0,1", "--workers", "2",
                               "--cells", Path("c").absolute(), "--out", Path("o").absolute()], cwd=ROOT,
                              capture_output=True, text=True, check=False, timeout=60)
        assert (told.returncode, told.stderr) == (0, "")
        assert len(rows("o")) == 2

    def test_prints_what_the_encoding_lacks_as_a_question_mark(self):
        command = [sys.executable, "-m", "experiments.sweep", *TINY, "--cells", Path("α").absolute(), "--out",
                   Path("β").absolute()]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60,
                              env={**os.environ, "PYTHONIOENCODING": "latin-1"})
        assert (told.returncode, told.stderr) == (0, b"")
        assert told.stdout.splitlines()[-1].endswith(b"/?/results.csv")
        assert len(rows("β")) == 1

    def test_has_a_help_whose_examples_are_in_order(self, capsys):
        with pytest.raises(SystemExit):
            main(["--help"])
        examples = [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()
                    if line.startswith("  python -m experiments.sweep ")]
        assert len(examples) > 5
        for example in examples:
            words = [word for word in example.split()[3:] if "=" in word]
            assert words
            command.grid(read_axes(words), TrainingConfig())
