import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.training.settings import SETTINGS, assert_same_run, interrupt, small
from training import CheckpointError, Trainer, load_run, resume, train, train_many, write_checkpoint
from training.run import read_config
from training.trainer import split_arrays

every_setting = pytest.mark.parametrize("name", SETTINGS)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Finished runs of every kind, each with the folder it was saved in."""
    runs = {}
    for name, setting in SETTINGS.items():
        folder = tmp_path_factory.mktemp("source")
        runs[name] = train(small(**setting), folder), folder
    return runs


@pytest.fixture
def source(sources):
    return sources["full batch"]


def continued(source, **changes):
    """The settings of a run that goes on from another one's weights."""
    run, folder = source
    return dataclasses.replace(run.config, continue_from=str(folder), **changes).resolved()


def at_start(config):
    """The network's state and the optimiser's at step 0, and the steps that the optimiser counts."""
    with Trainer([config]) as trainer:
        trainer.start()
        return *split_arrays(trainer.arrays()), trainer.optimizer.steps


def pairs(dataset):
    return {tuple(pair) for pair in dataset.inputs.tolist()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


class TestTheWeights:
    @every_setting
    def test_at_step_zero_are_those_of_the_other_run(self, sources, name):
        config = continued(sources[name], xi=0.0, alpha=0.4, seed=5)
        assert_equal(at_start(config)[0], split_arrays(sources[name][0].arrays)[0])

    def test_give_the_other_runs_accuracies_before_the_first_step(self, source):
        first, last = train(continued(source, steps=1)).history.rows[0], source[0].history.last
        assert first == {**last, "step": 0}

    def test_move_from_there(self, source):
        run = train(continued(source, steps=1))
        assert not np.array_equal(run.arrays["U"], source[0].arrays["U"])
        assert np.abs(run.arrays["U"] - source[0].arrays["U"]).max() < 0.2

    @every_setting
    def test_at_the_start_are_known_afterwards_without_the_other_run(self, sources, name, tmp_path):
        run, folder = sources[name]
        copy = run, shutil.copytree(folder, tmp_path / "source")
        (tmp_path / "run").mkdir()
        result = train(continued(copy, steps=3, xi=0.0), tmp_path / "run")
        shutil.rmtree(tmp_path / "source")
        for one in (result, load_run(tmp_path / "run")):
            assert_equal(one.initial_network().state(), run.network().state())

    def test_at_the_start_are_the_only_ones_kept_unless_more_are_asked_for(self, source, tmp_path):
        assert list(train(continued(source), tmp_path).snapshots) == [0]
        assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["00000000.npz"]


class TestTheData:
    def test_with_a_smaller_alpha_is_part_of_the_other_runs(self, source):
        problem = train(continued(source, alpha=0.2, steps=1)).problem()
        assert len(problem.train) == int(0.2 * 121)
        assert pairs(problem.train) < pairs(source[0].problem().train)

    def test_for_tests_can_be_the_other_runs(self, source):
        problem, original = train(continued(source, alpha=0.2, test_alpha=0.6, steps=1)).problem(), source[0].problem()
        np.testing.assert_array_equal(problem.test.inputs, original.test.inputs)
        np.testing.assert_array_equal(problem.test.labels, original.test.labels)
        assert not pairs(problem.train) & pairs(problem.test)

    def test_for_tests_is_all_that_is_not_trained_on_by_default(self, source):
        problem = train(continued(source, alpha=0.2, steps=1)).problem()
        assert len(pairs(problem.train) | pairs(problem.test)) == len(problem.train) + len(problem.test) == 121

    def test_for_tests_is_what_the_test_accuracy_is_of(self, source):
        run = train(continued(source, alpha=0.2, test_alpha=0.6, steps=1))
        assert run.history.rows[0]["test_accuracy"] == source[0].history.last["test_accuracy"]
        assert run.history.rows[0]["test_loss"] == source[0].history.last["test_loss"]


class TestTheOptimizer:
    @every_setting
    def test_starts_anew_by_default(self, sources, name):
        _, moments, steps = at_start(continued(sources[name]))
        assert all(not array.any() for array in moments.values())
        assert steps == 0

    @every_setting
    def test_can_be_that_of_the_other_run(self, sources, name):
        _, moments, steps = at_start(continued(sources[name], reset_optimizer=False))
        assert_equal(moments, split_arrays(sources[name][0].arrays)[1])
        assert steps == 20

    def test_of_the_other_run_goes_on_as_if_there_were_one_run(self, source, tmp_path):
        # Full batches without dropout do not depend on the number of the step, so the bias correction alone could tell.
        whole = resume(shutil.copytree(source[1], tmp_path / "whole"), 29)
        second = train(continued(source, reset_optimizer=False, steps=9))
        assert (second.step, second.optimizer_steps) == (9, 29)
        assert_equal(second.arrays, whole.arrays)

    def test_that_starts_anew_makes_other_steps(self, source):
        kept, new = (train(continued(source, reset_optimizer=reset, steps=2)) for reset in (False, True))
        assert new.optimizer_steps == 2
        assert np.all(new.arrays["U"] != kept.arrays["U"])

    def test_may_be_another_kind_if_it_starts_anew(self, source):
        train(continued(source, optimizer="sgd", steps=1))
        with pytest.raises(CheckpointError, match=r"does not fit this run: an optimiser's state must have"):
            train(continued(source, optimizer="sgd", reset_optimizer=False, steps=1))


class TestAChain:
    @every_setting
    @pytest.mark.parametrize("reset", [True, False], ids=["new optimiser", "kept optimiser"])
    def test_of_a_continued_run_that_is_interrupted_ends_like_one_that_is_not(self, sources, name, reset, tmp_path):
        config = continued(sources[name], alpha=0.4, test_alpha=0.6, reset_optimizer=reset, eval_every=4)
        interrupt(config, tmp_path, 7)
        run, expected = resume(tmp_path), train(config)
        assert_same_run(run, expected)
        assert run.optimizer_steps == (20 if reset else 40)
        assert_equal(run.initial_network().state(), sources[name][0].network().state())

    def test_goes_on_after_the_other_run_is_gone(self, source, tmp_path):
        copy = source[0], shutil.copytree(source[1], tmp_path / "source")
        config = continued(copy)
        (tmp_path / "run").mkdir()
        interrupt(config, tmp_path / "run", 7)
        expected = train(config)
        shutil.rmtree(tmp_path / "source")
        assert_same_run(resume(tmp_path / "run"), expected)

    def test_of_three_runs_starts_each_from_the_one_before(self, source, tmp_path):
        second = train(continued(source, steps=4), tmp_path)
        third = train(continued((second, tmp_path), reset_optimizer=False, steps=4))
        assert_equal(third.initial_network().state(), second.network().state())
        assert third.optimizer_steps == 8

    def test_is_repeated_by_its_settings(self, source, tmp_path):
        run = train(continued(source, xi=0.0, reset_optimizer=False), tmp_path)
        assert_same_run(train(read_config(tmp_path / "config.json")), run)


class TestAStack:
    def test_starts_each_run_from_its_own_weights(self, source, tmp_path):
        other = train(small(seed=4), tmp_path), tmp_path
        configs = [continued(source), continued(other), continued(source, seed=9, xi=0.0), small(seed=3)]
        for run, config in zip(train_many(configs), configs, strict=True):
            assert_same_run(run, train(config))

    def test_knows_the_weights_that_each_run_started_from(self, source, tmp_path):
        other = train(small(seed=4), tmp_path), tmp_path
        runs = train_many([continued(source, steps=2), continued(other, steps=2)])
        for run, (origin, _) in zip(runs, (source, other), strict=True):
            assert_equal(run.initial_network().state(), origin.network().state())

    def test_knows_where_a_run_started_beside_one_that_did_not_continue(self, source):
        _, run = train_many([small(seed=3, steps=2), continued(source, steps=2)])
        assert_equal(run.initial_network().state(), source[0].network().state())

    def test_has_no_optimiser_to_take_over_so_that_who_does_is_alone(self, source):
        configs = [continued(source, reset_optimizer=False, xi=xi, steps=4) for xi in (0.1, 0.2)]
        for run, config in zip(train_many(configs), configs, strict=True):
            assert_same_run(run, train(config))


class TestRefused:
    @pytest.mark.parametrize("changes", [
        {"p": 13}, {"width": 8}, {"batch_norm": True, "batch_size": 20},
        {"model": "relu-mlp", "activation": "relu"}, {"model": "transformer", "activation": "relu"}], ids=str)
    @pytest.mark.parametrize("reset", [True, False])
    def test_is_a_run_of_other_shapes(self, source, tmp_path, changes, reset):
        with pytest.raises(CheckpointError, match=r"checkpoint\.npz: does not fit this run: .*must have"):
            train(continued(source, **changes, reset_optimizer=reset), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_is_a_run_that_does_not_exist(self, source, tmp_path):
        with pytest.raises(CheckpointError, match=r"none.checkpoint\.npz: cannot be read"):
            train(continued((source[0], Path("none"))), tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("reset", [True, False])
    def test_is_a_file_that_is_no_checkpoint_of_a_run(self, source, tmp_path, reset):
        # Such as a snapshot, which is written in the same format and has no optimiser.
        write_checkpoint(tmp_path / "checkpoint.npz", source[0].arrays, {"step": 20})
        with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
            train(continued((source[0], tmp_path), reset_optimizer=reset))

    def test_is_a_continued_run_whose_first_weights_are_gone(self, source, tmp_path):
        train(continued(source), tmp_path)
        (tmp_path / "snapshots/00000000.npz").unlink()
        for read in (load_run, lambda folder: resume(folder, 40)):
            with pytest.raises(CheckpointError, match=r"00000000\.npz"):
                read(tmp_path)

    def test_is_a_damaged_checkpoint(self, source, tmp_path):
        content = (source[1] / "checkpoint.npz").read_bytes()
        (tmp_path / "checkpoint.npz").write_bytes(content[:-1])
        with pytest.raises(CheckpointError, match="is damaged"):
            train(continued((source[0], tmp_path)))
