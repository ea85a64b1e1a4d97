
import numpy as np
import pytest

from tests.training.settings import Outcome, assert_same, outcomes, small
from training import DivergenceError, TrainingConfig, read_checkpoint, train, train_many

TOO_FAST = {"optimizer": "sgd", "learning_rate": 1e8, "weight_decay": 0.0}
SAYS_SO = r"the train loss of seed {} is (inf|nan) at step \d+: .*diverged; a smaller learning rate may help"


class TestARunThatDiverges:
    def test_says_so(self):
        with pytest.raises(DivergenceError, match=SAYS_SO.format(0)):
            train(small(**TOO_FAST))

    def test_leaves_its_last_good_checkpoint_and_no_summary(self, tmp_path):
        config = small(optimizer="sgd", learning_rate=1000.0, weight_decay=0.0, eval_every=5, steps=1000,
                       checkpoint_every=1)
        with pytest.raises(DivergenceError):
            train(config, tmp_path)
        arrays, meta = read_checkpoint(tmp_path / "checkpoint.npz")
        assert meta["step"] >= 1
        assert all(np.isfinite(array).all() for array in arrays.values())
        assert not (tmp_path / "summary.json").exists()
        assert_same(Outcome(arrays, {}), Outcome(outcomes([config], meta["step"])[0].arrays, {}))

    def test_is_stopped_by_a_checkpoint_between_two_measurements(self, tmp_path):
        config = small(**TOO_FAST, eval_every=1000, steps=1000, checkpoint_every=1)
        with pytest.raises(DivergenceError, match=r"a weight of seed 0 is no longer finite at step \d\b"):
            train(config, tmp_path)

    def test_that_is_asked_to_stop_says_that_it_diverged(self, tmp_path):
        asked = iter([False] * 9)
        with pytest.raises(DivergenceError):
            train(small(**TOO_FAST, eval_every=1000, steps=1000), tmp_path, stop=lambda: next(asked, True))
        assert [path.name for path in tmp_path.iterdir()] == ["config.json"]

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_ends_alone_in_a_stack(self, dtype):
        bearable = {**TOO_FAST, "learning_rate": 0.1}
        configs = [small(**settings, eval_every=2, dtype=dtype, seed=seed)
                   for seed, settings in enumerate([bearable, TOO_FAST, bearable, TOO_FAST])]
        runs = train_many(configs)
        assert [run.diverged is None for run in runs] == [True, False, True, False]
        for run, config in zip(runs, configs, strict=True):
            if run.diverged is None:
                alone = train(config)
                assert_same(Outcome(run.arrays, run.history.rows), Outcome(alone.arrays, alone.history.rows))
            else:
                with pytest.raises(DivergenceError, match=SAYS_SO.format(config.seed)) as alone:
                    train(config)
                assert run.diverged == str(alone.value)
                assert 1 <= len(run.history) <= 4
                assert all(np.isfinite(run.history["train_loss"]))

    def test_ends_the_stack_with_the_last_of_it(self):
        runs = train_many([small(**TOO_FAST, eval_every=2, steps=10 ** 6, seed=seed) for seed in range(2)])
        assert all(run.diverged for run in runs)
        assert max(run.step for run in runs) <= 10

    @pytest.mark.parametrize("settings", [{"learning_rate": 1e38}, {"task": "mnist", "train_size": 20,
                                                                    "initial_scale": 1e38}], ids=str)
    def test_has_no_outcome(self, settings, tmp_path):
        if "task" not in settings:
            settings = {"p": 11, **settings}
        run = train_many([TrainingConfig(width=8, steps=9, eval_every=3, **settings)])[0]
        assert run.step == (run.history.last["step"] if run.history else 0)
        for ask in (run.summary, lambda: run.save(tmp_path)):
            with pytest.raises(DivergenceError, match="has diverged"):
                ask()
        assert not list(tmp_path.iterdir())
