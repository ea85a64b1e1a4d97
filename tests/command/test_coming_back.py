"""Runs that exist: gone on with, repeated, looked at and compared."""

import dataclasses
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

import grok
from options import parser
from tests.command.calling import TINY, assert_same_runs, contents, quietly, refused, send_at, unfinished
from training import TrainingConfig, load_run

OTHER_VALUES = [
    "--task mnist", "--examples 300", "--initial-scale 8",
    "--p 13", "--operation multiply", "--alpha 0.7", "--xi 0.1", "--model relu-mlp", "--width 8", "--activation gelu",
    "--depth 4", "--heads 2", "--layer-norm", "--batch-norm", "--dropout 0.1", "--loss cross-entropy",
    "--optimizer sgd", "--lr 0.5", "--weight-decay 1", "--batch-size 20", "--eval-every 7", "--seed 1",
    "--backend cupy", "--dtype float64", "--tf32", "--snapshots 3", "--l2 0.1", "--clip 2", "--noise 0.1",
    "--noise-floor 0.1", "--data-folder aclImdb", "--words 10", "--tokens 20"]


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
        ("", "--steps must be given, to go on beyond the 30 already made: the run has finished"),
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

    def test_of_a_run_with_another_ones_test_set_may_train_on_more(self, run):
        quietly("--continue-from", "run", "--alpha", "0.2", "--out", "next")
        assert load_run(Path("next")).config.test_alpha == 0.5
        quietly("--config", "next/config.json", "--alpha", "0.7", "--out", "more")
        assert load_run(Path("more")).config.test_alpha == 0.7

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
        ('{"alpha": NaN}', "settings.json: alpha must be finite, got nan"),
        ('{"learning_rate": Infinity}', "settings.json: learning_rate must be finite, got inf"),
        ('{"weight_decay": 1' + 400 * "0" + "}", "settings.json: weight_decay must be finite, got 1")])
    def test_with_something_else_than_settings_is_refused(self, text, message, capsys):
        Path("settings.json").write_text(text)
        assert refused(["--config", "settings.json"], capsys).startswith(f"grok.py: error: {message}")


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
    @pytest.mark.parametrize("out", ["run/checkpoint.npz", "both.pdf", "both", "folder.png"])
    def test_draws_into_a_png_file_alone(self, out, capsys):
        Path("folder.png").mkdir()
        assert refused(["--compare", "run", "--out", out], capsys) == (
            f"grok.py: error: --out must be a file *.png with --compare, got {out}\n")

    @pytest.mark.usefixtures("run")
    def test_refuses_one_that_cannot_be_read(self, capsys):
        assert refused(["--compare", "run", "none"], capsys) == (
            "grok.py: error: none/config.json: cannot be read (No such file or directory)\n")
