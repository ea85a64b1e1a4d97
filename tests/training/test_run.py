import json
import math
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.phases import PHASES
from data import modular_problem
from layers import Cache
from tests.training.settings import every_setting, outcomes, small
from training import COLUMNS, CheckpointError, Run, Trainer, load_run, loop, train
from training.run import write_progress

SUMMARY = {*COLUMNS[1:], "mean_ipr_without_constant", "phase", "grok_step", "unlearn_step", "steps", "seconds",
           "ms_per_step", "backend", "device", "threads", "parameters", "seed"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run and the folder it was saved in."""
    folder = tmp_path_factory.mktemp("run")
    return train(small(batch_norm=True, batch_size=20), folder), folder


@pytest.fixture
def copy(saved, tmp_path):
    """A copy of the folder, to be damaged."""
    return shutil.copytree(saved[1], tmp_path / "copy")


def strict_json(path):
    def refuse(word):
        raise AssertionError(f"{path.name} has {word}")
    return json.loads(path.read_text(), parse_constant=refuse)


class TestTheFolder:
    def test_has_these_files_and_no_others(self, saved):
        assert {path.name for path in saved[1].iterdir()} == {
            "config.json", "history.csv", "checkpoint.npz", "summary.json"}

    def test_has_every_setting_with_the_value_that_was_used(self, saved):
        run, folder = saved
        assert strict_json(folder / "config.json") == run.config.to_dict()
        assert run.config == run.config.resolved()

    def test_has_a_line_of_history_for_each_evaluated_step(self, saved):
        lines = (saved[1] / "history.csv").read_text().splitlines()
        assert lines[0] == ",".join(COLUMNS)
        assert [line.split(",")[0] for line in lines[1:]] == ["0", "10", "20"]

    @pytest.mark.parametrize(("setting", "undefined"), [
        ({}, []),
        ({"alpha": 1.0}, ["test_loss", "test_accuracy", "phase", "grok_step"]),
        ({"xi": 0.0}, ["corrupted_accuracy", "unlearn_step"]),
        ({"xi": 1.0}, ["uncorrupted_accuracy"]),
    ], ids=str)
    def test_has_json_with_null_for_what_is_not_defined(self, setting, undefined, tmp_path):
        train(small(**setting, steps=3), tmp_path)
        summary = strict_json(tmp_path / "summary.json")
        null = {name for name, value in summary.items() if value is None}
        assert null - {"grok_step", "unlearn_step"} == set(undefined) - {"grok_step", "unlearn_step"}
        assert null.issuperset(undefined)


class TestTheSummary:
    def test_has_these_names_and_no_others(self, saved):
        assert set(strict_json(saved[1] / "summary.json")) == SUMMARY

    def test_ends_where_the_history_ends(self, saved):
        run, folder = saved
        summary = strict_json(folder / "summary.json")
        assert {name: summary[name] for name in COLUMNS[1:]} == {name: run.history.last[name] for name in COLUMNS[1:]}

    def test_tells_a_constant_from_a_periodic_network(self, saved):
        run = load_run(saved[1])
        for name in "UVW":
            run.arrays[name] = np.ones_like(run.arrays[name])
        assert run.summary()["mean_ipr_without_constant"] == 0
        k = np.arange(11)
        for name in "UV":
            run.arrays[name][...] += np.cos(2 * np.pi * 3 * k / 11)[:, None]
        run.arrays["W"][...] += np.cos(2 * np.pi * 3 * k / 11)
        assert run.summary()["mean_ipr_without_constant"] == pytest.approx(1)

    def test_says_what_ran_where_and_how_long(self, saved):
        summary = strict_json(saved[1] / "summary.json")
        assert (summary["steps"], summary["seed"], summary["backend"], summary["threads"]) == (20, 0, "numpy", 2)
        assert summary["parameters"] == 11 * 16 * 3 + 2 * 16
        assert "cores" in summary["device"]
        assert summary["phase"] in PHASES
        assert 0 < summary["ms_per_step"] * 20 / 1000 < summary["seconds"] < 60

    def test_counts_the_steps_alone_in_the_time_of_a_step(self, monkeypatch):
        now, evaluate, step = [0.0], Trainer.evaluate, Trainer.step

        def slow(method, seconds):
            def call(trainer):
                now[0] += seconds
                return method(trainer)
            return call

        monkeypatch.setattr(Trainer, "evaluate", slow(evaluate, 100))
        monkeypatch.setattr(Trainer, "step", slow(step, 0.25))
        monkeypatch.setattr("time.perf_counter", lambda: now[0])
        run = train(small(steps=7, eval_every=2))
        assert run.ms_per_step == 250
        assert run.seconds == 5 * 100 + 7 * 0.25

    @pytest.mark.parametrize(("train_accuracy", "test_accuracy", "phase", "grok_step", "unlearn_step"), [
        ([0.1, 1.0, 0.7], [0.1, 0.5, 0.96], "full inversion", 20, 20),
        ([0.1, 1.0, 0.3], [0.1, 0.95, 0.2], "forgetting", 10, 20),
        ([0.1, 0.4, 0.3], [0.1, 0.8, 0.2], "confusion", None, 20),
    ])
    def test_follows_from_the_history(self, saved, train_accuracy, test_accuracy, phase, grok_step, unlearn_step):
        run = load_run(saved[1])
        columns = zip(run.history.rows, train_accuracy, test_accuracy, [0, 0.9, 0.1], strict=True)
        for row, on_train, on_test, on_corrupted in columns:
            row.update(train_accuracy=on_train, test_accuracy=on_test, corrupted_accuracy=on_corrupted)
        summary = run.summary()
        assert (summary["phase"], summary["grok_step"], summary["unlearn_step"]) == (phase, grok_step, unlearn_step)


class TestLoading:
    def test_gives_the_run_back(self, saved):
        run, folder = saved
        loaded = load_run(folder)
        assert isinstance(loaded, Run)
        assert loaded.config == run.config
        assert loaded.history.rows == run.history.rows
        assert loaded.arrays.keys() == run.arrays.keys()
        for name, array in run.arrays.items():
            assert array.dtype == loaded.arrays[name].dtype
            np.testing.assert_array_equal(loaded.arrays[name], array)
        assert (loaded.step, loaded.optimizer_steps, loaded.device) == (run.step, run.optimizer_steps, run.device)
        assert run.optimizer_steps == 20

    def test_and_saving_again_changes_no_file(self, saved, tmp_path):
        load_run(saved[1]).save(tmp_path)
        for path in saved[1].iterdir():
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name

    def test_takes_a_folder_by_its_name(self, saved):
        assert load_run(str(saved[1])).config == saved[0].config

    @pytest.mark.parametrize("name", ["config.json", "history.csv", "checkpoint.npz"])
    def test_without_a_file_says_which(self, copy, name):
        (copy / name).unlink()
        with pytest.raises(CheckpointError, match=rf"{name}: cannot be read \(No such file"):
            load_run(copy)

    def test_of_a_run_that_has_not_finished_says_where_it_stands(self, copy):
        (copy / "summary.json").unlink()
        with pytest.raises(CheckpointError, match=r"copy: the run has not finished, it stands at step 20$"):
            load_run(copy)

    def test_of_a_folder_that_does_not_exist_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"none.config\.json: cannot be read"):
            load_run(tmp_path / "none")

    def test_of_a_damaged_checkpoint_is_refused(self, copy):
        content = (copy / "checkpoint.npz").read_bytes()
        (copy / "checkpoint.npz").write_bytes(content[:-5])
        with pytest.raises(CheckpointError, match="damaged"):
            load_run(copy)

    def test_of_a_setting_that_is_not_allowed_is_refused(self, copy):
        settings = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**settings, "xi": 1.4}))
        with pytest.raises(CheckpointError, match=r"config\.json: xi must lie in \[0, 1\], got 1\.4"):
            load_run(copy)

    def test_of_half_a_settings_file_is_refused(self, copy):
        (copy / "config.json").write_text((copy / "config.json").read_text()[:100])
        with pytest.raises(CheckpointError, match=r"config\.json: is not JSON \(.*line"):
            load_run(copy)

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"3", b"null", b"[" * 100_000], ids=repr)
    @pytest.mark.parametrize("name", ["config.json", "summary.json"])
    def test_of_a_file_without_settings_is_refused(self, copy, name, content):
        (copy / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{name}: (is not JSON|must hold settings by name)"):
            load_run(copy)

    @pytest.mark.parametrize("damage", [
        lambda text: "", lambda text: text.replace("test_loss", "loss"), lambda text: text[:-40],
        lambda text: text.replace("0.", "O.", 1), lambda text: text.replace("0.", "nan,0.", 1)])
    def test_of_a_damaged_history_is_refused(self, copy, damage):
        (copy / "history.csv").write_text(damage((copy / "history.csv").read_text()))
        with pytest.raises(CheckpointError, match=r"history\.csv: is damaged \("):
            load_run(copy)

    def test_of_a_history_that_ends_before_the_checkpoint_is_refused(self, copy):
        lines = (copy / "history.csv").read_text().splitlines(keepends=True)
        (copy / "history.csv").write_text("".join(lines[:-1]))
        with pytest.raises(CheckpointError, match=r"history\.csv"):
            load_run(copy)

    def test_of_a_history_with_one_digit_changed_is_refused(self, copy):
        text = (copy / "history.csv").read_text()
        place = text.index("0.", text.index("\n")) + 3
        (copy / "history.csv").write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1:])
        with pytest.raises(CheckpointError, match=r"history\.csv: is damaged \(its rows up to step 20 are not"):
            load_run(copy)

    @pytest.mark.parametrize(("name", "value"), [("seconds", None), ("seconds", "long"), ("ms_per_step", [1]),
                                                 ("device", 3)])
    def test_of_a_summary_without_what_it_must_say_is_refused(self, copy, name, value):
        summary = json.loads((copy / "summary.json").read_text())
        (copy / "summary.json").write_text(json.dumps({**summary, name: value}))
        with pytest.raises(CheckpointError, match=rf"summary\.json: is damaged \(it does not give {name}\)"):
            load_run(copy)

    @pytest.mark.parametrize("name", ["test_accuracy", "train_loss", "steps"])
    def test_of_a_summary_that_is_not_the_historys_is_refused(self, copy, name):
        summary = json.loads((copy / "summary.json").read_text())
        (copy / "summary.json").write_text(json.dumps({**summary, name: 7}))
        with pytest.raises(CheckpointError, match=rf"summary\.json: gives {name} 7, but history\.csv beside it ends"):
            load_run(copy)

    def test_of_other_settings_than_the_checkpoints_is_refused_by_their_name(self, copy):
        settings = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**settings, "xi": 0.4}))
        with pytest.raises(CheckpointError, match=r"config\.json: says xi 0\.4, but the checkpoint .* with 0\.3$"):
            load_run(copy)


class TestItsNetworks:
    @every_setting
    def test_at_the_end_has_the_accuracies_that_the_history_ends_with(self, setting):
        run = train(small(**setting))
        network = run.network()
        problem = modular_problem(11, run.config.operation, 0.6, 0.3, 0)
        for name, data in {"train": problem.train, "test": problem.test}.items():
            right = network.forward(data.inputs, Cache()).argmax(axis=-1) == data.labels
            assert right.mean() == run.history.last[f"{name}_accuracy"]

    @every_setting
    def test_at_the_start_is_that_of_step_zero(self, setting):
        config = small(**setting)
        initial = outcomes([config], steps=0)[0]
        state = train(config).initial_network().state()
        assert state.keys() == {name for name in initial.arrays if not name.startswith("optimizer.")}
        for name, array in state.items():
            np.testing.assert_array_equal(array, initial.arrays[name])

    def test_come_from_a_loaded_run_as_well(self, saved):
        run, folder = saved
        for name, array in load_run(folder).network().state().items():
            np.testing.assert_array_equal(array, run.network().state()[name])

    def test_share_no_memory_with_the_run(self, saved):
        run, _ = saved
        before = run.arrays["U"].copy()
        run.network().store.flat[...] = math.pi
        np.testing.assert_array_equal(run.arrays["U"], before)


@pytest.fixture
def saves(monkeypatch):
    """What was saved along the way: the step, the rows of the history and the files in the folder."""
    saves = []

    def watched(progress, folder):
        write_progress(progress, folder)
        assert progress.optimizer_steps == progress.step
        saves.append((progress.step, len(progress.history), sorted(path.name for path in folder.iterdir())))

    monkeypatch.setattr(loop, "write_progress", watched)
    return saves


class TestAlongTheWay:
    FILES = ["checkpoint.npz", "config.json", "history.csv"]

    def test_a_run_is_saved_every_so_many_steps(self, tmp_path, saves):
        train(small(checkpoint_every=6), tmp_path)
        assert saves == [(6, 1, self.FILES), (12, 2, self.FILES), (18, 2, self.FILES)]

    def test_a_run_is_saved_whenever_half_a_minute_has_passed(self, tmp_path, saves, monkeypatch):
        now, step = [0.0], Trainer.step

        def slow(trainer):
            now[0] += 9
            step(trainer)

        monkeypatch.setattr(Trainer, "step", slow)
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0], perf_counter=time.perf_counter))
        train(small(), tmp_path)
        assert [step for step, *_ in saves] == [4, 8, 12, 16, 20]

    def test_a_quick_run_is_saved_at_its_end_alone(self, tmp_path, saves):
        train(small(), tmp_path)
        assert saves == []
        assert sorted(path.name for path in tmp_path.iterdir()) == [*self.FILES, "summary.json"]

    def test_the_settings_are_there_from_the_start(self, tmp_path, monkeypatch):
        def look(trainer):
            raise AssertionError(sorted(path.name for path in tmp_path.iterdir()))

        monkeypatch.setattr(Trainer, "step", look)
        with pytest.raises(AssertionError, match=r"^\['config\.json'\]$"):
            train(small(), tmp_path)


def test_the_problem_of_a_run_is_the_one_it_was_trained_on(saved):
    problem, expected = saved[0].problem(), modular_problem(11, "add", 0.6, 0.3, 0)
    np.testing.assert_array_equal(problem.train.inputs, expected.train.inputs)
    np.testing.assert_array_equal(problem.train.labels, expected.train.labels)
