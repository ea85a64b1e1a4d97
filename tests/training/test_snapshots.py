import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.settings import SETTINGS, interrupt, outcomes, small
from training import CheckpointError, load_run, resume, train, train_many
from training.snapshots import ACCURACIES, Snapshots, read_snapshots
from training.trainer import split_arrays


def row(step, accuracy):
    """A row of a history in which all accuracies are the same."""
    return {"step": step, **dict.fromkeys(ACCURACIES, accuracy)}


def kept_of(accuracies, limit, every=10, folder=None):
    """The steps that are kept of a run with these accuracies, one every so many steps."""
    snapshots = Snapshots(limit, folder)
    for number, accuracy in enumerate(accuracies):
        snapshots.offer(row(every * number, accuracy), {"U": np.array([number])})
    assert all(state["U"] == [step / every] for step, state in snapshots.kept.items())
    snapshots.tidy()
    return sorted(snapshots.kept)


accuracies = st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=60)


class TestWhatIsKept:
    @given(accuracies, st.integers(2, 20))
    def test_is_as_much_as_is_allowed_and_no_more(self, accuracies, limit):
        assert len(kept_of(accuracies, limit)) == min(limit, len(accuracies))

    @given(accuracies, st.integers(2, 20))
    def test_includes_the_first_and_the_newest(self, accuracies, limit):
        steps = kept_of(accuracies, limit)
        assert (steps[0], steps[-1]) == (0, 10 * (len(accuracies) - 1))

    @given(accuracies)
    def test_is_the_first_alone_where_one_is_asked_for(self, accuracies):
        assert kept_of(accuracies, 1) == [0]

    @pytest.mark.parametrize(("start", "stop"), [(10, 20), (40, 50), (80, 95)])
    def test_is_dense_where_the_accuracies_change(self, start, stop):
        ramp = np.clip((np.arange(100) - start) / (stop - start), 0, 1).tolist()
        inside = [step for step in kept_of(ramp, 12) if 10 * start <= step <= 10 * stop]
        flat = [step for step in kept_of([0.0] * 100, 12) if 10 * start <= step <= 10 * stop]
        assert len(inside) >= 7
        assert len(flat) < len(inside)

    def test_shows_both_sides_of_a_jump(self):
        jump = [0.0] * 50 + [1.0] * 50
        assert {490, 500} <= set(kept_of(jump, 8))

    def test_of_a_run_in_which_nothing_happens_is_spread_over_the_orders_of_magnitude(self):
        steps = kept_of([0.5] * 1001, 8, every=1)
        gaps = np.diff(np.log1p(steps))
        assert gaps.max() < 3 * math.log(1001) / 7


class TestTheFiles:
    @given(accuracies, st.sampled_from([1, 2, 5]))
    def test_are_those_that_are_kept(self, tmp_path_factory, accuracies, limit):
        folder = tmp_path_factory.mktemp("run") / "snapshots"
        steps = kept_of(accuracies, limit, folder=folder)
        assert sorted(path.name for path in folder.iterdir()) == [f"{step:08d}.npz" for step in steps]
        assert {step: state["U"].tolist() for step, state in read_snapshots(folder, steps).items()} == {
            step: [step // 10] for step in steps}

    def test_stay_until_a_checkpoint_no_longer_names_them(self, tmp_path):
        snapshots = Snapshots(2, tmp_path)
        for step in (0, 10, 20, 30):
            snapshots.offer(row(step, 0.0), {"U": np.array([step])})
        assert list(read_snapshots(tmp_path, [0, 10, 20, 30])) == [0, 10, 20, 30]
        snapshots.tidy()
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["00000000.npz", "00000030.npz"]

    def test_are_refused_if_one_is_missing(self, tmp_path):
        kept_of([0.0, 0.5], 2, folder=tmp_path)
        with pytest.raises(CheckpointError, match=r"00000020\.npz: cannot be read"):
            read_snapshots(tmp_path, [0, 10, 20])

    def test_are_refused_under_the_name_of_another_step(self, tmp_path):
        kept_of([0.0, 0.5], 2, folder=tmp_path)
        (tmp_path / "00000010.npz").rename(tmp_path / "00000020.npz")
        with pytest.raises(CheckpointError, match=r"00000020\.npz: is the snapshot of step 10"):
            read_snapshots(tmp_path, [20])

    @pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: b"x" * 500])
    def test_are_refused_if_one_is_damaged(self, tmp_path, damage):
        kept_of([0.0, 0.5], 2, folder=tmp_path)
        path = tmp_path / "00000010.npz"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(CheckpointError, match=r"00000010\.npz: is (damaged|not a checkpoint)"):
            read_snapshots(tmp_path, [0, 10])


class TestTakenUpAgain:
    def test_are_those_that_the_checkpoint_names_and_the_history_has(self, tmp_path):
        assert kept_of([0.0] * 6, 10, folder=tmp_path) == [0, 10, 20, 30, 40, 50]
        snapshots = Snapshots(10, tmp_path)
        snapshots.restore([0, 10, 30, 50], [row(step, 0.0) for step in (0, 10, 20, 30)])
        assert sorted(snapshots.kept) == [0, 10, 30]

    def test_and_the_others_go_with_the_next_checkpoint(self, tmp_path):
        kept_of([0.0] * 6, 10, folder=tmp_path)
        (tmp_path / "mine.npz").touch()
        snapshots = Snapshots(10, tmp_path)
        snapshots.restore([0, 10, 30], [row(step, 0.0) for step in (0, 10, 20)])
        assert len(list(tmp_path.iterdir())) == 7
        snapshots.tidy()
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["00000000.npz", "00000010.npz", "mine.npz"]

    def test_go_on_as_if_nothing_had_happened(self, tmp_path):
        curve = np.clip((np.arange(40) - 20) / 6, 0, 1).tolist()
        whole = kept_of(curve, 6)
        first, second = Snapshots(6, tmp_path / "again"), Snapshots(6, tmp_path / "again")
        rows = [row(10 * number, accuracy) for number, accuracy in enumerate(curve)]
        for one in rows[:23]:
            first.offer(one, {"U": np.array([one["step"]])})
        second.restore(first.kept, rows[:23])
        for one in rows[23:]:
            second.offer(one, {"U": np.array([one["step"]])})
        second.tidy()
        assert sorted(second.kept) == whole == sorted(int(path.stem) for path in (tmp_path / "again").iterdir())


class TestOfARun:
    @pytest.mark.parametrize("setting", ["full batch", "BatchNorm", "transformer, LayerNorm"])
    def test_are_the_weights_that_it_had_then(self, setting, tmp_path):
        config = small(**SETTINGS[setting], eval_every=4, snapshots=10)
        assert list(train(config, tmp_path).snapshots) == [0, 4, 8, 12, 16, 20]
        run = load_run(tmp_path)
        assert list(run.snapshots) == [0, 4, 8, 12, 16, 20]
        for step in run.snapshots:
            expected = split_arrays(outcomes([config], step)[0].arrays)[0]
            state = run.network(step).state()
            assert state.keys() == expected.keys()
            for name, array in state.items():
                np.testing.assert_array_equal(array, expected[name])

    def test_end_with_its_last_weights(self):
        run = train(small(steps=13, eval_every=4, snapshots=3))
        assert len(run.snapshots) == 3
        np.testing.assert_array_equal(run.snapshots[13]["U"], run.arrays["U"])

    def test_are_none_by_default(self, tmp_path):
        assert train(small(), tmp_path).snapshots == load_run(tmp_path).snapshots == {}
        assert not (tmp_path / "snapshots").exists()

    def test_are_not_there_for_other_steps(self):
        with pytest.raises(KeyError):
            train(small(snapshots=2)).network(7)

    def test_change_no_result(self):
        with_, without = (train(small(snapshots=snapshots)) for snapshots in (5, 0))
        assert with_.history.rows == without.history.rows

    @pytest.mark.parametrize("step", [3, 8, 15])
    def test_that_is_interrupted_are_those_of_one_that_is_not(self, tmp_path, step):
        config = small(eval_every=2, snapshots=4)
        interrupt(config, tmp_path, step)
        run, whole = resume(tmp_path), train(config)
        assert sorted(run.snapshots) == sorted(load_run(tmp_path).snapshots) == sorted(whole.snapshots)
        for kept, state in run.snapshots.items():
            np.testing.assert_array_equal(state["U"], whole.snapshots[kept]["U"])

    def test_are_no_more_files_than_asked_for_at_any_checkpoint(self, tmp_path):
        interrupt(small(eval_every=1, snapshots=3), tmp_path, step=12)
        assert len(list((tmp_path / "snapshots").iterdir())) == 3
        resume(tmp_path)
        assert len(list((tmp_path / "snapshots").iterdir())) == 3

    def test_of_a_last_step_that_is_measured_again_are_kept(self, tmp_path):
        # The run was killed when all but its summary was there, and its last step is measured only because it is last.
        train(small(steps=13, eval_every=4, snapshots=3), tmp_path)
        before = sorted(load_run(tmp_path).snapshots)
        (tmp_path / "summary.json").unlink()
        resume(tmp_path)
        assert sorted(load_run(tmp_path).snapshots) == before
        assert before[-1] == 13

    def test_of_a_stack_are_its_own(self):
        configs = [small(snapshots=3, seed=seed) for seed in range(2)]
        for run, config in zip(train_many(configs), configs, strict=True):
            alone = train(config)
            assert sorted(run.snapshots) == sorted(alone.snapshots)
            for step, state in run.snapshots.items():
                np.testing.assert_array_equal(state["U"], alone.snapshots[step]["U"])

    def test_that_are_damaged_are_refused_by_their_name(self, tmp_path):
        train(small(snapshots=2), tmp_path)
        path = tmp_path / "snapshots" / "00000020.npz"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(CheckpointError, match=r"00000020\.npz: is damaged"):
            load_run(tmp_path)
        with pytest.raises(CheckpointError, match=r"00000020\.npz: is damaged"):
            resume(tmp_path, 40)
