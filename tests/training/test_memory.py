import gc
import tracemalloc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import open_device
from tests.training.settings import every_setting, small
from training import Trainer, loop, train, train_many
from training.memory import bytes_per_run, free_memory, stack_sizes

DEVICE = open_device("numpy", "float32")


class TestStacks:
    @given(runs=st.integers(1, 500), fit=st.floats(0.1, 600))
    def test_hold_every_run_once_and_fit(self, runs, fit):
        config = small()
        sizes = stack_sizes(runs, config, DEVICE, int(fit * bytes_per_run(config, DEVICE)))
        assert sum(sizes) == runs
        assert 1 <= min(sizes) <= max(sizes) <= max(1, fit)
        assert max(sizes) - min(sizes) <= 1

    def test_are_one_where_memory_is_plenty(self):
        assert stack_sizes(40, small(), DEVICE) == [40]

    def test_that_are_divided_give_the_same_runs_in_the_same_order(self):
        configs = [small(steps=4, seed=seed, xi=0.1 * seed) for seed in range(5)]
        for run, config in zip(train_many(configs, memory=1), configs, strict=True):
            assert run.config == config
            assert run.history.rows == train(config).history.rows

    def test_that_find_no_room_are_divided(self, monkeypatch):
        seen = []

        class Crowded(Trainer):
            def __init__(self, configs):
                seen.append([config.seed for config in configs])
                if len(configs) > 2:
                    raise MemoryError
                super().__init__(configs)

        configs = [small(steps=4, seed=seed) for seed in range(5)]
        expected = [run.history.rows for run in train_many(configs)]
        monkeypatch.setattr(loop, "Trainer", Crowded)
        assert [run.history.rows for run in train_many(configs)] == expected
        assert seen == [[0, 1, 2, 3, 4], [0, 1], [2, 3, 4], [2], [3, 4]]

    def test_of_one_run_that_finds_no_room_cannot_be_divided(self, monkeypatch):
        def crowded(configs):
            raise MemoryError
        monkeypatch.setattr(loop, "Trainer", crowded)
        with pytest.raises(MemoryError):
            train_many([small(seed=seed) for seed in range(3)])

    def test_are_let_go_of_when_they_are_trained(self, monkeypatch):
        trainers = []

        class Watched(Trainer):
            def __init__(self, configs):
                assert all(trainer() is None for trainer in trainers)  # before memory is taken once more
                trainers.append(weakref.ref(self))
                super().__init__(configs)

        monkeypatch.setattr(loop, "Trainer", Watched)
        gc.disable()  # references must do
        try:
            train_many([small(steps=1, seed=seed) for seed in range(3)], memory=1)
        finally:
            gc.enable()
        assert len(trainers) == 3

    @pytest.mark.parametrize(("runs_that_fit", "stacks"), [(1, [1, 1, 1, 1, 1]), (3, [2, 3]), (5, [5])])
    def test_are_trained_one_after_another(self, runs_that_fit, stacks, monkeypatch):
        seen = []

        class Watched(Trainer):
            def __init__(self, configs):
                seen.append(len(configs))
                super().__init__(configs)

        monkeypatch.setattr(loop, "Trainer", Watched)
        configs = [small(steps=1, seed=seed) for seed in range(5)]
        train_many(configs, memory=runs_that_fit * bytes_per_run(configs[0], open_device("numpy", "float64")))
        assert seen == stacks


class TestTheEstimate:
    @every_setting
    def test_is_not_less_than_what_a_run_takes_and_not_far_more(self, setting):
        def taken(runs):
            # Wide enough that arrays matter and Python's own objects do not.
            configs = [small(**{**setting, "width": 96}, p=23, seed=seed) for seed in range(runs)]
            tracemalloc.start()
            with Trainer(configs) as trainer:
                trainer.step()
                trainer.evaluate()
                size = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            return size, configs[0]
        (few, config), (many, _) = taken(2), taken(6)
        assert 0.4 < (many - few) / 4 / bytes_per_run(config, open_device("numpy", "float64")) < 1

    @every_setting
    def test_is_not_far_less_than_what_a_run_takes_on_a_gpu(self, setting, strict_cupy):
        def taken(runs):
            configs = [small(**{**setting, "width": 96}, p=23, backend="cupy", seed=seed) for seed in range(runs)]
            tracemalloc.start()
            with Trainer(configs) as trainer:
                trainer.step()
                trainer.evaluate()
                size = tracemalloc.get_traced_memory()[1]  # CuPy keeps what was needed once
            tracemalloc.stop()
            return size, configs[0]
        (few, config), (many, _) = taken(2), taken(6)
        assert 0.1 < (many - few) / 4 / bytes_per_run(config, open_device("cupy", "float64")) < 1.5

    def test_of_free_memory_is_that_of_a_machine(self):
        assert 2 ** 20 < free_memory(DEVICE) < 2 ** 50
