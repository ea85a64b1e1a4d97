from dataclasses import replace

import pytest

from backend import open_device
from tests.training.settings import SETTINGS, Outcome, assert_close, assert_same, every_setting, outcomes, small
from training import Trainer, train, train_many

# What the runs of a stack may differ in.
DIFFERENCES = [{}, {"seed": 1}, {"seed": 2, "xi": 0.0}, {"learning_rate": 0.02}, {"seed": 3, "weight_decay": 0.0}]


def stack_of(setting):
    """Settings of five runs of a stack, in which dropout differs as well where there is any."""
    runs = [small(**{**setting, **difference}) for difference in DIFFERENCES]
    return [replace(run, dropout=min(0.9, run.dropout * (1 + number / 4))) for number, run in enumerate(runs)]


@pytest.mark.usefixtures("many_chunks")
class TestAStack:
    @every_setting
    def test_is_its_runs_alone_bit_for_bit(self, setting):
        configs = stack_of(setting)
        for together, config in zip(outcomes(configs), configs, strict=True):
            assert_same(together, outcomes([config])[0])

    @every_setting
    def test_of_float32_is_its_runs_alone_bit_for_bit(self, setting):
        configs = stack_of({**setting, "dtype": "float32"})
        for together, config in zip(outcomes(configs), configs, strict=True):
            assert_same(together, outcomes([config])[0])

    @every_setting
    def test_on_a_device_is_its_runs_alone_up_to_rounding(self, setting, strict_cupy):
        configs = stack_of(setting)
        with Trainer(configs, open_device("cupy", "float64")) as trainer:
            assert [chunk.runs for chunk in trainer.batch_chunks] == [slice(None)]  # all runs are one network there
        for together, config in zip(outcomes(configs, device=open_device("cupy", "float64")), configs, strict=True):
            assert_close(together, outcomes([config])[0], 1e-9)

    @pytest.mark.parametrize("on", [False, True])
    def test_on_a_device_multiplies_with_tf32_where_asked_to(self, strict_cupy, monkeypatch, on):
        cublas, asked = strict_cupy.cuda.cublas, set()
        monkeypatch.setattr(cublas, "gemmStridedBatchedEx", lambda *arguments: asked.add(arguments[-2]))
        config = replace(small(dtype="float32"), backend="cupy", tf32=on).resolved()
        with Trainer([config, replace(config, seed=1)]) as trainer:
            trainer.step()
        assert asked == {cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if on else cublas.CUBLAS_COMPUTE_32F}

    @every_setting
    def test_on_a_device_reads_nothing_back_within_a_step(self, strict_cupy, setting):
        with Trainer(stack_of(setting), open_device("cupy", "float32")) as trainer:
            before = strict_cupy.ndarray.host_reads
            trainer.step()
            assert strict_cupy.ndarray.host_reads == before

    def test_on_a_device_is_measured_in_one_reading(self, strict_cupy):
        with Trainer(stack_of(SETTINGS["dropout"]), open_device("cupy", "float32")) as trainer:
            trainer.evaluate()  # the first makes indices
            before = strict_cupy.ndarray.host_reads
            trainer.evaluate()
            assert strict_cupy.ndarray.host_reads == before + 1

    def test_of_many_runs_comes_back_in_the_order_of_its_settings(self):
        # Four kinds, interleaved: they train as four stacks.
        configs = [small(steps=4, seed=seed, **kind) for seed in range(2)
                   for kind in ({}, {"width": 8}, {"dropout": 0.5}, {"snapshots": 4})]
        runs = train_many(configs)
        assert [run.config for run in runs] == configs
        for run, config in zip(runs, configs, strict=True):
            alone = train(config)
            assert_same(Outcome(run.arrays, run.history.last), Outcome(alone.arrays, alone.history.last))
            assert list(run.snapshots) == list(alone.snapshots) == ([0, 4] if config.snapshots else [])

    def test_of_no_runs_is_empty(self):
        assert train_many([]) == []
