import functools
import json
import shutil
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as search
from hypothesis import strategies as st

from tests.training.settings import SETTINGS, assert_same_run, interrupt, small
from training import (
    CheckpointError,
    ConfigError,
    DivergenceError,
    Interrupted,
    Trainer,
    load_run,
    read_checkpoint,
    resume,
    train,
    write_checkpoint,
)

every_setting = pytest.mark.parametrize("setting", [
    *SETTINGS.values(), {"optimizer": "adam", "weight_decay": 0.1}, {"schedule": "warmup-constant", "warmup": 9},
    {"alpha": 1.0}], ids=[*SETTINGS, "Adam", "warm-up", "no test set"])
dtypes = st.sampled_from(["float32", "float64"])


@functools.cache
def at_once(config):
    """A run that was never stopped."""
    return train(config)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The folder of a finished run of 20 steps."""
    folder = tmp_path_factory.mktemp("source")
    train(small(), folder)
    return folder


@pytest.fixture
def finished(source, tmp_path):
    """A copy of it, to go on with or to be damaged."""
    return shutil.copytree(source, tmp_path / "run")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestARunGoneOnWith:
    @every_setting
    @search(max_examples=12)
    @given(st.lists(st.integers(1, 25), min_size=2, max_size=3, unique=True).map(sorted), st.integers(1, 8), dtypes)
    @example([1, 2], 5, "float64")
    @example([10, 20], 5, "float32")
    @example([7, 14, 17], 3, "float64")
    def test_is_the_run_that_made_all_steps_at_once(self, setting, legs, every, dtype):
        config = small(**{**setting, "eval_every": every, "dtype": dtype})
        with tempfile.TemporaryDirectory() as folder:
            train(replace(config, steps=legs[0]), Path(folder))
            for before, steps in pairwise(legs):
                run = resume(folder, steps)
                assert run.config == replace(config, steps=steps)
                assert (run.step, load_run(folder).step) == (steps, steps), before
            expected = at_once(replace(config, steps=legs[-1]))
            assert_same_run(run, expected)
            assert_same_run(load_run(folder), expected)

    @every_setting
    @search(max_examples=12)
    @given(st.integers(1, 25), st.integers(1, 25), st.integers(1, 8), dtypes)
    @example(20, 7, 5, "float64")
    @example(20, 20, 5, "float32")
    @example(7, 7, 5, "float64")
    def test_after_an_interruption_is_the_one_that_was_never_interrupted(self, setting, total, step, every, dtype):
        config = small(**{**setting, "eval_every": every, "dtype": dtype, "steps": max(total, step)})
        with tempfile.TemporaryDirectory() as folder:
            interrupt(config, Path(folder), step)
            assert_same_run(resume(folder), at_once(config))

    @pytest.mark.parametrize("step", [1, 9, 10, 11, 19])
    def test_after_an_interruption_may_get_other_steps_than_it_was_meant_to_have(self, tmp_path, step):
        interrupt(small(), tmp_path, step)
        assert_same_run(resume(tmp_path, 19), at_once(small(steps=19)))

    def test_may_be_interrupted_at_every_step(self, tmp_path):
        config = small(**SETTINGS["BatchNorm"], eval_every=4)
        interrupt(config, tmp_path, 1)
        for step in range(2, 20):
            with pytest.raises(Interrupted, match=f"stopped after {step} steps"):
                resume(tmp_path, stop=lambda: True)
        assert_same_run(resume(tmp_path), at_once(config))

    def test_goes_on_from_a_checkpoint_made_after_the_last_one_that_was_measured(self, tmp_path, monkeypatch):
        # As after a kill: nobody said when to save.
        step = Trainer.step

        def killed(trainer):
            if trainer.step_count == 17:
                raise KeyboardInterrupt
            step(trainer)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "step", killed)
            with pytest.raises(KeyboardInterrupt):
                train(small(checkpoint_every=3), tmp_path)
        assert read_checkpoint(tmp_path / "checkpoint.npz")[1]["step"] == 15
        assert_same_run(resume(tmp_path), at_once(small(checkpoint_every=3)))

    def test_may_use_other_threads_and_save_at_other_steps(self, finished):
        run = resume(finished, 30, threads=1, checkpoint_every=4)
        assert (run.config.threads, run.config.checkpoint_every) == (1, 4)
        assert_same_run(run, at_once(small(steps=30)))
        assert load_run(finished).config == run.config

    def test_under_a_schedule_that_depends_on_the_length_keeps_its_length(self, tmp_path):
        config = small(schedule="warmup-cosine", warmup=5)
        interrupt(config, tmp_path, 12)
        before = contents(tmp_path)
        for steps in (13, 40):
            with pytest.raises(ConfigError, match=rf"^steps must stay 20, .*warmup-cosine depends on it; got {steps}$"):
                resume(tmp_path, steps)
        assert contents(tmp_path) == before
        assert_same_run(resume(tmp_path, 20), at_once(config))


class TestTheFolder:
    def test_gives_the_whole_run_afterwards(self, finished):
        run = resume(finished, 27)
        loaded = load_run(finished)
        assert_same_run(loaded, run)
        assert loaded.config == small(steps=27)
        assert json.loads((finished / "summary.json").read_text())["steps"] == 27

    def test_has_no_summary_while_the_run_is_under_way(self, finished, monkeypatch):
        step, seen = Trainer.step, []

        def look(trainer):
            seen.append(sorted(path.name for path in finished.iterdir()))
            step(trainer)

        monkeypatch.setattr(Trainer, "step", look)
        resume(finished, 22)
        assert seen == 2 * [["checkpoint.npz", "config.json", "history.csv"]]
        assert (finished / "summary.json").exists()

    def test_has_the_old_checkpoint_until_there_is_a_new_one(self, finished, monkeypatch):
        step, seen = Trainer.step, []

        def look(trainer):
            seen.append(read_checkpoint(finished / "checkpoint.npz")[1]["step"])
            step(trainer)

        monkeypatch.setattr(Trainer, "step", look)
        resume(finished, 30, checkpoint_every=4)
        assert seen == 4 * [20] + 4 * [24] + 2 * [28]

    def test_keeps_the_last_good_checkpoint_of_a_run_that_diverges_later(self, tmp_path):
        config = small(optimizer="sgd", learning_rate=1000.0, weight_decay=0.0, steps=1, eval_every=1)
        train(config, tmp_path)
        before = (tmp_path / "checkpoint.npz").read_bytes()
        with pytest.raises(DivergenceError):
            resume(tmp_path, 10_000)
        assert (tmp_path / "checkpoint.npz").read_bytes() == before


class TestTheHistory:
    def test_that_goes_beyond_the_checkpoint_is_cut_back_to_it(self, finished):
        # As after a kill between the writing of the two files.
        (finished / "history.csv").write_text(at_once(small(steps=40)).history.to_csv())
        assert_same_run(resume(finished, 35), at_once(small(steps=35)))

    def test_that_ended_between_two_measurements_loses_its_last_row(self, tmp_path):
        train(small(steps=13), tmp_path)
        assert [row["step"] for row in load_run(tmp_path).history.rows] == [0, 10, 13]
        assert [row["step"] for row in resume(tmp_path, 27).history.rows] == [0, 10, 20, 27]

    def test_that_does_not_reach_the_checkpoint_is_refused(self, finished):
        lines = (finished / "history.csv").read_text().splitlines(keepends=True)
        for kept in (lines[:-1], [lines[0]], [*lines[:2], *lines[3:]]):
            (finished / "history.csv").write_text("".join(kept))
            before = contents(finished)
            with pytest.raises(CheckpointError, match=r"history\.csv: is damaged \(its rows up to step 20 "):
                resume(finished, 40)
            assert contents(finished) == before


class TestRefused:
    def refused(self, folder, *arguments, error=ConfigError, match, **options):
        before = contents(folder)
        with pytest.raises(error, match=match):
            resume(folder, *arguments, **options)
        assert contents(folder) == before

    @pytest.mark.parametrize("steps", [1, 19, 20])
    def test_is_a_total_that_has_been_made_already(self, finished, steps):
        self.refused(finished, steps, match=f"^steps must be more than the 20 already made, got {steps}$")

    def test_is_a_finished_run_with_nothing_left_to_do(self, finished):
        self.refused(finished, match="^steps must be given, to go on beyond the 20 already made: the run has finished$")

    def test_is_an_interrupted_run_with_fewer_steps_than_it_has_made(self, tmp_path):
        interrupt(small(), tmp_path, 12)
        self.refused(tmp_path, 11, match="^steps must be more than the 12 already made, got 11$")

    @pytest.mark.parametrize("steps", [0, -1])
    def test_is_a_total_below_one(self, tmp_path, steps):
        interrupt(small(), tmp_path, 12)
        self.refused(tmp_path, steps, match=f"^steps must be at least 1, got {steps}$")

    @pytest.mark.parametrize("options", [{"threads": 0}, {"checkpoint_every": 0}], ids=str)
    def test_is_a_free_setting_that_is_not_allowed(self, finished, options):
        self.refused(finished, 30, match="must be at least 1, got 0$", **options)

    @pytest.mark.parametrize(("field", "value"), [
        ("xi", 0.4), ("seed", 1), ("learning_rate", 0.5), ("optimizer", "adam"), ("eval_every", 5), ("alpha", 0.7),
        ("continue_from", "elsewhere"), ("test_alpha", 0.9)])
    def test_is_a_config_that_was_edited(self, finished, field, value):
        edited = {**json.loads((finished / "config.json").read_text()), field: value}
        (finished / "config.json").write_text(json.dumps(edited))
        self.refused(finished, 40, error=CheckpointError, match=rf"config\.json: says {field} {value}, but the check")

    @pytest.mark.parametrize("name", ["config.json", "history.csv", "checkpoint.npz"])
    def test_is_a_folder_without_one_of_its_files(self, finished, name):
        (finished / name).unlink()
        self.refused(finished, 40, error=CheckpointError, match=rf"{name}: cannot be read")

    def test_is_a_damaged_checkpoint(self, finished):
        content = (finished / "checkpoint.npz").read_bytes()
        (finished / "checkpoint.npz").write_bytes(content[:-1])
        self.refused(finished, 40, error=CheckpointError, match=r"checkpoint\.npz: is damaged")

    def test_is_a_file_that_is_no_checkpoint_of_a_run(self, finished):
        # Such as a snapshot, which is written in the same format.
        arrays, _ = read_checkpoint(finished / "checkpoint.npz")
        write_checkpoint(finished / "checkpoint.npz", arrays, {"step": 20})
        self.refused(finished, 40, error=CheckpointError, match=r"checkpoint\.npz")
