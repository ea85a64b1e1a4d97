import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from data import modular_problem
from layers import Cache
from tests.training.settings import SETTINGS, assert_close, assert_same, every_setting, outcomes, small
from training import History, Trainer, chunks, train


@pytest.mark.usefixtures("many_chunks")
class TestTheResult:
    @every_setting
    def test_does_not_depend_on_the_threads(self, setting):
        first, *others = (outcomes([small(**setting, threads=threads)])[0] for threads in (1, 2, 3, 8))
        for other in others:
            assert_same(other, first)

    @every_setting
    def test_does_not_depend_on_the_chunks_but_for_rounding(self, setting, monkeypatch):
        cut = outcomes([small(**setting)])[0]
        monkeypatch.setattr(chunks, "CHUNK", 10 ** 9)
        with Trainer([small(**setting)]) as trainer:
            assert len(trainer.batch_chunks) == len(trainer.train_chunks) == len(trainer.test_chunks) == 1
        assert_close(cut, outcomes([small(**setting)])[0], 1e-10)

    def test_is_that_of_many_chunks_here(self):
        # Otherwise this class would show nothing.
        with Trainer([small()]) as trainer:
            assert len(trainer.batch_chunks) == len(trainer.grads) == 12
            assert len(trainer.train_chunks) == 12
            assert len(trainer.test_chunks) == 8

    @every_setting
    def test_does_not_depend_on_measuring_along_the_way(self, setting):
        often, seldom = (train(small(**setting, eval_every=steps)) for steps in (1, 7))
        for name, array in often.arrays.items():
            np.testing.assert_array_equal(array, seldom.arrays[name])
        assert often.history.last == seldom.history.last

    def test_differs_between_seeds(self):
        one, other = (outcomes([small(seed=seed)])[0] for seed in (0, 1))
        assert np.all(one.arrays["U"] != other.arrays["U"])


def one_hot(indices, p):
    return (np.arange(p) == indices[:, None]).astype(float)


def by_hand(train_set, p, weights, steps, rate, decay):
    """The paper's training in its own words: eq. 1 on one-hot vectors, mean squared error, AdamW with (0.9, 0.98)."""
    E_m, E_n, Y = (one_hot(column, p) for column in (*train_set.inputs.T, train_set.labels))
    weights = dict(weights)
    m, v = ({name: np.zeros_like(weights[name]) for name in weights} for _ in range(2))
    for t in range(1, steps + 1):
        U, V, W = (weights[name] for name in "UVW")
        h = E_m @ U + E_n @ V
        dlogits = 2 * (h ** 2 @ W - Y) / Y.size
        dh = dlogits @ W.T * 2 * h
        for name, g in {"U": E_m.T @ dh, "V": E_n.T @ dh, "W": (h ** 2).T @ dlogits}.items():
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.98 * v[name] + 0.02 * g ** 2
            step = rate * (m[name] / (1 - 0.9 ** t)) / (np.sqrt(v[name] / (1 - 0.98 ** t)) + 1e-8)
            weights[name] = weights[name] * (1 - rate * decay) - step
    return weights


class TestAStep:
    @pytest.mark.parametrize("steps", [1, 10])
    def test_is_what_the_equations_say(self, steps):
        config = small(learning_rate=0.01, weight_decay=15.0)
        problem = modular_problem(config.p, "add", config.alpha, config.xi, config.seed)
        initial = outcomes([config], steps=0)[0].arrays
        expected = by_hand(problem.train, config.p, {name: initial[name] for name in "UVW"}, steps, 0.01, 15.0)
        arrays = outcomes([config], steps)[0].arrays
        for name in "UVW":
            np.testing.assert_allclose(arrays[name], expected[name], rtol=1e-9, atol=1e-12)

    def test_of_sgd_follows_the_schedule_of_the_rate(self):
        # Without momentum yet, the first step is the rate times the gradient: a quarter of it in a warm-up of four.
        plain = small(optimizer="sgd", weight_decay=0.0, learning_rate=0.1)
        warming = replace(plain, schedule="warmup-constant", warmup=4)
        initial, plain, warming = (outcomes([config], steps)[0].arrays["W"]
                                   for config, steps in [(plain, 0), (plain, 1), (warming, 1)])
        np.testing.assert_allclose(warming - initial, (plain - initial) / 4, rtol=1e-9, atol=1e-15)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_keeps_the_type_of_every_array(self, dtype):
        configs = [small(dtype=dtype, dropout=0.1, learning_rate=0.01 * (seed + 1), seed=seed) for seed in range(3)]
        for outcome in (*outcomes(configs, 2), *outcomes(configs[:1], 2)):
            assert {array.dtype for array in outcome.arrays.values()} == {np.dtype(dtype)}

    @pytest.mark.usefixtures("many_chunks")
    @pytest.mark.parametrize(("setting", "path"), [
        ({"width": 64}, ["dropout"]),
        ({"model": "transformer", "heads": 2}, ["mlp", "dropout"]),
    ], ids=["mlp", "transformer"])
    def test_silences_other_units_for_every_row_and_at_every_step(self, setting, path, monkeypatch):
        monkeypatch.setattr(Cache, "forget", lambda cache: None)  # to look at the masks afterwards
        rows = []
        with Trainer([small(dropout=0.5, **setting)]) as trainer:
            for _ in range(3):
                trainer.step()
                for chunk in trainer.batch_chunks:
                    cache = chunk.cache
                    for name in path:
                        cache = cache[name]
                    rows += [row.tobytes() for row in cache.mask]
        assert len(set(rows)) == len(rows) == 3 * 72

    def test_keeps_the_optimisers_averages_beside_the_parameters(self):
        arrays = outcomes([small(batch_norm=True, batch_size=20)], 1)[0].arrays
        parameters = ["U", "V", "W", "gamma", "beta"]
        assert set(arrays) == {*parameters, "running_mean", "running_var",
                               *(f"optimizer.{moment}.{name}" for moment in "mv" for name in parameters)}


def test_the_blas_library_works_on_one_thread_while_training_alone():
    def blas_threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        with Trainer([small()]):
            assert blas_threads() == {1}
        assert blas_threads() == {2}


class TestEvaluation:
    @pytest.mark.usefixtures("many_chunks")
    def test_is_what_the_definitions_say(self):
        config = small(xi=0.4)
        problem = modular_problem(config.p, "add", config.alpha, 0.4, config.seed)
        outcome = outcomes([config], 15)[0]
        U, V, W = (outcome.arrays[name] for name in "UVW")

        def loss_and_hits(data):
            logits = (U[data.inputs[:, 0]] + V[data.inputs[:, 1]]) ** 2 @ W
            return np.mean((logits - one_hot(data.labels, config.p)) ** 2), logits.argmax(axis=1) == data.labels

        def share(x):
            power = np.abs(np.fft.rfft(x, axis=-1)) ** 2
            return (power ** 2).sum(axis=-1) / power.sum(axis=-1) ** 2

        (train_loss, train_hits), (test_loss, test_hits) = loss_and_hits(problem.train), loss_and_hits(problem.test)
        expected = {
            "step": 15, "train_loss": train_loss, "test_loss": test_loss, "train_accuracy": train_hits.mean(),
            "test_accuracy": test_hits.mean(), "corrupted_accuracy": train_hits[problem.train.corrupted].mean(),
            "uncorrupted_accuracy": train_hits[~problem.train.corrupted].mean(),
            "mean_ipr": np.mean((share(U.T) + share(V.T) + share(W)) / 3),
            "weight_norm": np.sqrt(sum((w ** 2).sum() for w in (U, V, W)))}
        assert outcome.row == pytest.approx(expected, rel=1e-9)
        # All four accuracies differ, so none can stand in for another.
        assert len({outcome.row[name] for name in expected if "accuracy" in name}) == 4

    def test_of_accuracies_counts_the_given_labels_not_the_true_ones(self):
        # Trained long enough without decay, the network knows its wrong labels by heart.
        row = outcomes([small(weight_decay=0.0, width=64)], 300)[0].row
        assert row["train_accuracy"] == row["corrupted_accuracy"] == row["uncorrupted_accuracy"] == 1
        assert row["test_accuracy"] < 0.5

    def test_of_cross_entropy_is_the_mean_of_the_log_likelihoods(self):
        config = small(loss="cross-entropy", weight_decay=0.0)
        problem = modular_problem(config.p, "add", config.alpha, config.xi, config.seed)
        outcome = outcomes([config], 3)[0]
        U, V, W = (outcome.arrays[name] for name in "UVW")
        logits = (U[problem.test.inputs[:, 0]] + V[problem.test.inputs[:, 1]]) ** 2 @ W
        likelihoods = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected = -np.log(likelihoods[range(len(logits)), problem.test.labels]).mean()
        assert outcome.row["test_loss"] == pytest.approx(expected, rel=1e-9)

    def test_silences_no_unit(self):
        config = small(dropout=0.5)
        with Trainer([config]) as trainer:
            trainer.step()
            row = trainer.evaluate()[0]
            weights = trainer.arrays()
        U, V, W = (weights[name] for name in "UVW")
        data = modular_problem(config.p, "add", config.alpha, config.xi, config.seed).test
        logits = (U[data.inputs[:, 0]] + V[data.inputs[:, 1]]) ** 2 @ W
        assert row["test_loss"] == pytest.approx(np.mean((logits - one_hot(data.labels, config.p)) ** 2), rel=1e-9)

    def test_reads_batchnorms_running_statistics_and_leaves_them(self):
        with Trainer([small(batch_norm=True, batch_size=20)]) as trainer:
            trainer.step()
            before = trainer.arrays()
            assert trainer.evaluate() == trainer.evaluate()
            after = trainer.arrays()
        for name, array in before.items():
            np.testing.assert_array_equal(array, after[name])

    @pytest.mark.parametrize(("settings", "undefined"), [
        ({"alpha": 1.0}, ["test_loss", "test_accuracy"]), ({"xi": 0.0}, ["corrupted_accuracy"]),
        ({"xi": 1.0}, ["uncorrupted_accuracy"]), ({"xi": 0.01}, ["corrupted_accuracy"]), ({}, [])], ids=str)
    def test_has_no_value_for_an_empty_set(self, settings, undefined):
        alone, stack = [small(**settings)], [small(**settings, seed=seed) for seed in range(2)]
        for outcome in (*outcomes(alone, 1), *outcomes(stack, 1)):
            assert [name for name, value in outcome.row.items() if value is None] == undefined


class TestMinibatches:
    BATCH, EXAMPLES = 20, 72

    def epochs(self, count, **settings):
        """For each epoch its batches, for each batch its pairs, as lists of numbers m p + n."""
        with Trainer([small(batch_size=self.BATCH, **settings)]) as trainer:
            assert trainer.train_set.examples == self.EXAMPLES
            batches = []
            for _ in range(count * (self.EXAMPLES // self.BATCH)):
                trainer.step()
                batches.append(np.concatenate([chunk.inputs for chunk in trainer.batch_chunks]) @ [11, 1])
        size = self.EXAMPLES // self.BATCH
        return [batches[start:start + size] for start in range(0, len(batches), size)]

    @pytest.mark.usefixtures("many_chunks")
    def test_visit_no_example_twice_in_an_epoch(self):
        train = modular_problem(11, "add", 0.6, 0.3, 0).train.inputs @ [11, 1]
        for epoch in self.epochs(4):
            visited = np.concatenate(epoch)
            assert len(visited) == len(set(visited)) == 60  # 12 examples are left over, too few for a batch
            assert set(visited) <= set(train)

    def test_leave_out_other_examples_in_another_epoch(self):
        visited = [set(np.concatenate(epoch)) for epoch in self.epochs(6)]
        assert len({frozenset(epoch) for epoch in visited}) == 6
        assert len(set().union(*visited)) == self.EXAMPLES

    def test_differ_from_epoch_to_epoch_and_from_seed_to_seed(self):
        firsts = [frozenset(epoch[0]) for seed in (0, 1) for epoch in self.epochs(3, seed=seed)]
        assert len(set(firsts)) == 6

    def test_bring_each_pair_with_its_own_label(self):
        data = modular_problem(11, "add", 0.6, 0.3, 0).train
        labels = dict(zip((data.inputs @ [11, 1]).tolist(), data.labels.tolist(), strict=True))
        with Trainer([small(batch_size=self.BATCH)]) as trainer:
            for _ in range(5):
                trainer.step()
                for chunk in trainer.batch_chunks:
                    assert [labels[pair] for pair in (chunk.inputs @ [11, 1]).tolist()] == chunk.labels.tolist()

    def test_are_those_of_their_epoch_after_going_back(self):
        with Trainer([small(batch_size=self.BATCH)]) as trainer:
            for _ in range(4):
                trainer.step()
            before = trainer.arrays(), 4, trainer.optimizer.steps, 0.0
            ends = []
            for _ in range(2):
                for _ in range(5):  # beyond the end of the epoch
                    trainer.step()
                ends.append(trainer.arrays())
                trainer.load(*before)
        assert ends[0].keys() == ends[1].keys()
        for name, array in ends[0].items():
            np.testing.assert_array_equal(ends[1][name], array)

    def test_of_the_whole_training_set_are_full_batches(self):
        settings = {"learning_rate": 0.01, "weight_decay": 1.0}
        whole, full = (outcomes([small(**settings, batch_size=size)])[0] for size in (self.EXAMPLES, None))
        assert_same(whole, full)


@pytest.mark.parametrize("setting", ["full batch", "dropout", "BatchNorm", "transformer"])
def test_memory_does_not_grow_with_the_steps(setting):
    history = History()

    def memory_after(trainer, steps):
        while trainer.step_count < steps:
            trainer.step()
            if trainer.step_count % 50 == 0:
                history.append(trainer.evaluate()[0])
        gc.collect()  # what waits for its collection is no growth
        return tracemalloc.get_traced_memory()[0]

    with Trainer([small(**SETTINGS[setting], threads=1)]) as trainer:
        tracemalloc.start()
        try:
            early = memory_after(trainer, 100)
            late = memory_after(trainer, 1000)
        finally:
            tracemalloc.stop()
    # Twenty rows of a history take some ten thousand bytes; one forgotten array a step would take two million.
    assert late - early < 50_000


class TestHistory:
    @pytest.mark.parametrize(("steps", "every", "evaluated"), [
        (20, 10, [0, 10, 20]), (7, 3, [0, 3, 6, 7]), (5, 100, [0, 5]), (1, 1, [0, 1])])
    def test_has_the_start_every_so_many_steps_and_the_end(self, steps, every, evaluated):
        run = train(small(steps=steps, eval_every=every))
        assert [row["step"] for row in run.history.rows] == evaluated
        assert run.step == steps

    def test_has_plain_numbers(self):
        assert {type(value) for row in train(small(steps=2)).history.rows for value in row.values()} == {int, float}
