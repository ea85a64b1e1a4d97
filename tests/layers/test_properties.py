"""What holds for every layer, whatever its shapes, its stack and its seeds.

Each property is one sentence of the contract in `layers.base`; Hypothesis looks for sizes and seeds that break it.
"""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend import RowIndex, open_device
from layers import (
    GELU,
    BatchNorm,
    Cache,
    Chain,
    CrossEntropy,
    DeepMLP,
    Dropout,
    Layer,
    LayerNorm,
    Linear,
    MeanSquaredError,
    Mode,
    Transformer,
)
from layers.dropout import LEVELS
from tests.strategies import HEADS, KINDS, LAYERS, NETWORKS, Case, assert_close, both_passes, cases, named

every_kind = pytest.mark.parametrize("kind", KINDS)
every_network = pytest.mark.parametrize("kind", NETWORKS)
every_loss = pytest.mark.parametrize("loss", [MeanSquaredError(), CrossEntropy()], ids=["MSE", "cross-entropy"])
training_or_not = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluating"])


class TestAdjoint:
    """backward multiplies by the transpose of what forward's derivative multiplies by: <J v, u> = <v, J^T u>."""

    STEP = 1e-5

    def quotient(self, f):
        """The slope of f at 0. Where two steps disagree, a kink or a strong curvature lies between: no derivative."""
        slope, shorter = ((f(h) - f(-h)) / (2 * h) for h in (self.STEP, self.STEP / 2))
        assume(np.linalg.norm(slope - shorter) <= 1e-7 * (1 + np.linalg.norm(slope)))
        return shorter

    def assert_adjoint(self, Jv, u, v, JTu):
        size = 1 + np.linalg.norm(Jv) * np.linalg.norm(u)
        assert np.sum(Jv * u) == pytest.approx(np.sum(v * JTu), abs=1e-6 * size)

    @pytest.mark.parametrize("kind", [name for name, kind in LAYERS.items() if "rows" in kind.reads])
    @training_or_not
    @given(case=cases())
    def test_of_the_input(self, kind, training, case):
        layer, x, mode = case.layer(kind), case.inputs(kind), case.mode(training)
        v = case.normal(x.shape, 1)
        result = both_passes(layer, x, case.normal, mode)
        Jv = self.quotient(lambda h: np.array(layer.forward(x + h * v, Cache(), mode)))
        self.assert_adjoint(Jv, case.normal(result.y.shape), v, result.dx)

    @pytest.mark.parametrize("kind", [name for name in KINDS if Case().fresh(name).names()])
    @training_or_not
    @given(case=cases())
    def test_of_the_parameters(self, kind, training, case):
        layer, x, mode = case.layer(kind), case.inputs(kind), case.mode(training)
        weights = layer.store.flat.copy()
        v = case.normal(weights.shape, 1)

        def moved(h):
            layer.store.flat[...] = weights + h * v
            return np.array(layer.forward(x, Cache(), mode))

        Jv = self.quotient(moved)
        layer.store.flat[...] = weights
        cache, grads = Cache(), layer.gradients()
        u = case.normal(layer.forward(x, cache, mode).shape)
        layer.backward(u.copy(), cache, grads)
        self.assert_adjoint(Jv, u, v, grads.flat)


class TestStack:
    """A stack of runs is the runs alone, side by side."""

    def run_of(self, result, run):
        """What belongs to one run, of a result of the stack."""
        return type(result)(y=result.y[run], dx=None if result.dx is None else result.dx[run],
                            grads={name: grad[run] for name, grad in result.grads.items()})

    def x_of(self, kind, case, run):
        x = case.inputs(kind)
        return x if case.shared and np.issubdtype(x.dtype, np.integer) else x[run]

    def upstream_of(self, case, run):
        return lambda shape: case.normal((*case.stack, *shape))[run]

    @every_kind
    @training_or_not
    @given(case=cases(stacked=True))
    def test_computes_what_its_runs_compute_alone(self, kind, training, case):
        stack = case.layer(kind)
        state = stack.state()
        together = both_passes(stack, case.inputs(kind), case.normal, case.mode(training))
        for run in range(*case.stack):
            alone = case.alone(run)
            layer = alone.fresh(kind)
            layer.load_state({name: array[run] for name, array in state.items()})
            result = both_passes(layer, self.x_of(kind, case, run), self.upstream_of(case, run), alone.mode(training))
            assert_close(self.run_of(together, run), result, 1e-11)

    @every_kind
    @training_or_not
    @given(case=cases(stacked=True))
    def test_has_members_that_compute_the_same(self, kind, training, case):
        stack, grads = case.layer(kind), case.layer(kind).gradients()
        members, caches = [stack.member(run) for run in range(*case.stack)], [Cache() for _ in range(*case.stack)]
        outputs = [np.array(member.forward(self.x_of(kind, case, run), caches[run], case.alone(run).mode(training)))
                   for run, member in enumerate(members)]
        for run, member in enumerate(members):
            member.backward(self.upstream_of(case, run)(outputs[run].shape), caches[run], grads.member(run))
        together = both_passes(case.layer(kind), case.inputs(kind), case.normal, case.mode(training))
        together.dx = None
        assert_close(type(together)(y=np.stack(outputs), dx=None, grads=named(grads)), together, 1e-11)

    @every_kind
    @given(case=cases(stacked=True))
    def test_has_members_on_its_own_memory(self, kind, case):
        stack = case.layer(kind)
        last = case.stack[0] - 1
        member = stack.member(last)
        stack.store.flat += 1
        for name, array in member.state().items():
            np.testing.assert_array_equal(array, stack.state()[name][last])

    @every_kind
    @given(case=cases(stacked=True))
    def test_starts_where_its_runs_start_alone(self, kind, case):
        state = case.fresh(kind).state()
        for run in range(*case.stack):
            for name, array in case.alone(run).fresh(kind).state().items():
                np.testing.assert_array_equal(state[name][run], array)

    @training_or_not
    @given(case=cases(stacked=True))
    def test_follows_running_statistics_run_by_run(self, training, case):
        stack, x = case.layer("BatchNorm"), case.inputs("BatchNorm")
        members = [case.alone(run).fresh("BatchNorm") for run in range(*case.stack)]
        for run, member in enumerate(members):
            member.load_state({name: array[run] for name, array in stack.state().items()})
            member.forward(x[run], Cache(), case.alone(run).mode(training))
        stack.forward(x, Cache(), case.mode(training))
        for name, array in stack.state().items():
            np.testing.assert_allclose(array, np.stack([member.state()[name] for member in members]), rtol=1e-12)

    @every_loss
    @given(case=cases(stacked=True))
    def test_has_one_loss_per_run(self, loss, case):
        logits, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        cache = Cache()
        values, dz = loss.forward(logits, labels, cache), loss.backward(cache)
        assert values.shape == case.stack
        for run in range(*case.stack):
            cache = Cache()
            alone = loss.forward(logits[run], labels if case.shared else labels[run], cache)
            assert values[run] == pytest.approx(alone, rel=1e-12)
            np.testing.assert_allclose(dz[run], loss.backward(cache), rtol=1e-12, atol=1e-15)


class TestChunks:
    """A batch cut into chunks of rows gives what the whole batch gives."""

    @staticmethod
    def cut(data, examples):
        """Neighbouring slices that cover all examples."""
        inner = data.draw(st.sets(st.integers(1, examples - 1))) if examples > 1 else set()
        bounds = [0, *sorted(inner), examples]
        return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]

    @pytest.mark.parametrize("kind", [kind for kind in NETWORKS if not Case().fresh(kind).couples_rows])
    @every_loss
    @given(case=cases(), data=st.data())
    def test_of_a_network_add_up_to_the_batch(self, kind, loss, case, data):
        network, pairs, labels = case.layer(kind), case.inputs(kind), case.labels()

        def step(rows):
            cache, grads, mode = Cache(), network.gradients(), case.mode(training=True, first_example=rows.start)
            logits = network.forward(pairs[..., rows, :], cache, mode)
            value = loss.forward(logits, labels[..., rows], cache["loss"], examples=case.examples)
            network.backward(loss.backward(cache["loss"]), cache, grads)
            return value, grads.flat

        value, grads = step(slice(0, case.examples))
        values, parts = zip(*[step(rows) for rows in self.cut(data, case.examples)], strict=True)
        np.testing.assert_allclose(sum(values), value, rtol=1e-12)
        np.testing.assert_allclose(sum(parts), grads, rtol=1e-9, atol=1e-12)

    @given(case=cases(), data=st.data())
    def test_drop_the_same_units(self, case, data):
        layer, x, cache = case.layer("Dropout"), case.inputs("Dropout"), Cache()

        def dropped(rows):
            return layer.forward(x[..., rows, :], cache, case.mode(training=True, first_example=rows.start)).copy()

        parts = [dropped(rows) for rows in self.cut(data, case.examples)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=-2), dropped(slice(0, case.examples)))

    @given(case=cases(stacked=False))
    def test_drop_units_of_their_own(self, case):
        layer, x = Dropout(0.5).build(), np.ones((64, case.width))
        first, second = (layer.forward(x, Cache(), case.mode(training=True, first_example=start)) for start in (0, 64))
        assert not np.array_equal(first, second)

    @every_kind
    @given(case=cases())
    def test_add_to_the_gradients_that_are_there(self, kind, case):
        layer, x, mode = case.layer(kind), case.inputs(kind), case.mode(training=True)
        cache, grads = Cache(), layer.gradients()
        before = grads.flat[...] = case.normal(grads.flat.shape, 1)
        layer.backward(case.normal(layer.forward(x, cache, mode).shape), cache, grads)
        added = layer.gradients()
        added.flat[...] = grads.flat - before
        expected = both_passes(layer, x, case.normal, mode).grads
        for name, array in named(added).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-9)

    @every_kind
    @training_or_not
    @given(case=cases())
    def test_may_share_workspaces_one_after_another(self, kind, training, case):
        mode, memory = case.mode(training), {}
        larger = replace(case, examples=case.examples + 1)
        for each in (larger, case):
            shared = both_passes(each.layer(kind), each.inputs(kind), each.normal, mode, memory=memory)
        assert_close(shared, both_passes(case.layer(kind), case.inputs(kind), case.normal, mode), 1e-12)


class TestRows:
    """In evaluation a row knows nothing of the others."""

    @every_kind
    @given(case=cases(), data=st.data())
    def test_permuted_give_permuted_outputs(self, kind, case, data):
        layer, x = case.layer(kind), case.inputs(kind)
        order = np.array(data.draw(st.permutations(range(case.examples))))
        # The unit that is permuted is the example: of token rows, a group of T.
        group = case.tokens if KINDS[kind].reads == "token rows" else 1
        y = np.array(layer.forward(x, Cache()))
        permuted = np.array(layer.forward(x[..., examples_to_rows(order, group), :], Cache()))
        expected = y[..., examples_to_rows(order, y.shape[-2] // case.examples), :]
        np.testing.assert_allclose(permuted, expected, rtol=1e-12, atol=1e-12)


def examples_to_rows(order, rows_per_example):
    """The rows of the given examples, in that order."""
    return (order[:, None] * rows_per_example + np.arange(rows_per_example)).reshape(-1)


class TestPrecision:
    """float32 is float64, rounded."""

    @every_kind
    @given(case=cases())
    def test_of_initial_weights(self, kind, case):
        rough = case.fresh(kind, open_device("numpy", "float32")).state()
        for name, array in case.fresh(kind).state().items():
            assert rough[name].dtype == np.float32
            np.testing.assert_array_equal(rough[name], array.astype(np.float32))

    @every_kind
    @training_or_not
    @given(case=cases())
    def test_of_both_passes(self, kind, training, case):
        single = open_device("numpy", "float32")
        x, mode = case.inputs(kind), case.mode(training)
        exact = both_passes(case.layer(kind), x, case.normal, mode)
        rough = both_passes(case.layer(kind, single), x, case.normal, mode, single)
        assert_close(rough, exact, 1e-4)  # some thousand roundings of 6e-8 each

    @every_kind
    @given(case=cases())
    def test_is_kept_all_the_way(self, kind, case):
        single = open_device("numpy", "float32")
        result = both_passes(case.layer(kind, single), case.inputs(kind), case.normal, case.mode(training=True), single)
        arrays = [result.y, result.dx, *result.grads.values()]
        assert {array.dtype for array in arrays if array is not None} == {np.dtype(np.float32)}

    @every_loss
    @given(case=cases())
    def test_is_kept_by_the_losses(self, loss, case):
        cache = Cache()
        value = loss.forward(case.normal((*case.stack, case.examples, case.p)).astype(np.float32), case.labels(), cache)
        assert value.dtype == loss.backward(cache).dtype == np.float32


class TestState:
    """A network can be saved, loaded, and laid out in one array."""

    @every_kind
    @given(case=cases())
    def test_load_is_the_inverse_of_save(self, kind, case):
        saved, layer = case.layer(kind).state(), case.fresh(kind)
        layer.load_state(saved)
        for name, array in layer.state().items():
            np.testing.assert_array_equal(array, saved[name])

    @given(case=cases())
    def test_a_saved_state_is_a_copy(self, case):
        network = case.layer("TwoLayerNetwork")
        saved = network.state()
        network.store.flat += 1
        assert all(np.any(network.state()[name] != array) for name, array in saved.items())

    @every_network
    @pytest.mark.parametrize("damage", [
        lambda state, last: state.pop(last),
        lambda state, last: state.update(unknown=np.zeros(1)),
        lambda state, last: state.update({last: state[last][..., :-1]}),
        lambda state, last: state.update({last: state[last][None]}),
    ], ids=["a name is missing", "a name is unknown", "too small", "an axis too many"])
    @given(case=cases())
    def test_a_wrong_state_is_refused_and_changes_nothing(self, kind, damage, case):
        network = case.layer(kind)
        before = network.state()
        wrong = {name: array + 1 for name, array in before.items()}
        damage(wrong, list(wrong)[-1])
        with pytest.raises(ValueError, match="state"):
            network.load_state(wrong)
        for name, array in network.state().items():
            np.testing.assert_array_equal(array, before[name])

    @given(case=cases())
    def test_the_two_layer_network_has_the_names_of_the_paper(self, case):
        state = case.fresh("TwoLayerNetwork with dropout and BatchNorm").state()
        assert {name: array.shape[len(case.stack):] for name, array in state.items()} == {
            "U": (case.p, case.width), "V": (case.p, case.width), "W": (case.width, case.p), "gamma": (1, case.width),
            "beta": (1, case.width), "running_mean": (1, case.width), "running_var": (1, case.width)}

    @every_kind
    @given(case=cases())
    def test_blocks_cover_every_entry_once(self, kind, case):
        store = case.layer(kind).store
        hits = np.zeros_like(store.flat)
        for _, (block,) in store.blocks(hits):
            assert block.shape[0] == (case.stack[0] if case.stack else 1)
            block += 1
        np.testing.assert_array_equal(hits, 1)

    @every_kind
    @given(case=cases())
    def test_decay_spares_biases_and_norms_alone(self, kind, case):
        layer = case.layer(kind)
        marks = layer.store.like()
        for decayed, (block,) in layer.store.blocks(marks.flat):
            block[...] = decayed
        for name in layer.names():
            spared = name.rsplit(".", 1)[-1] in ("b", "gamma", "beta")
            np.testing.assert_array_equal(marks[name], not spared, err_msg=name)

    @every_kind
    @given(case=cases())
    def test_named_gradients_are_views_into_one_array(self, kind, case):
        grads = case.layer(kind).gradients()
        for number, array in enumerate(named(grads).values(), start=1):
            assert array.base is not None
            array += number
        sizes = [array.size for array in named(grads).values()]
        np.testing.assert_array_equal(np.bincount(grads.flat.astype(int), minlength=len(sizes) + 1)[1:], sizes)
        assert grads.flat.size == sum(sizes)

    @every_kind
    @given(case=cases())
    def test_gradients_are_laid_out_like_the_parameters(self, kind, case):
        layer = case.layer(kind)
        grads = layer.gradients()
        grads.flat[...] = layer.store.flat
        for path, inner in layer.walk():
            for name in inner.parameters:
                np.testing.assert_array_equal(named(grads)[f"{path}.{name}" if path else name], getattr(inner, name))

    def test_a_parameter_keeps_its_initial_value_when_other_layers_come(self):
        plain, normed = DeepMLP(5, 4).build(seed=3).state(), DeepMLP(5, 4, batch_norm=True).build(seed=3).state()
        for name, array in plain.items():
            np.testing.assert_array_equal(normed[name], array)

    def test_no_two_parameters_start_alike(self):
        state = Transformer(5, 4, 2).build(seed=3).state()
        arrays = list(state.values())
        assert not any(np.allclose(a.flat[:5], b.flat[:5]) for i, a in enumerate(arrays) for b in arrays[:i])


class TestDropout:
    @given(case=cases(), rate=st.floats(0, 0.95))
    def test_has_a_mask_of_mean_one(self, case, rate):
        n = 20_000
        layer, cache = Dropout(rate).build(), Cache()
        layer.forward(np.ones((n // 20, 20)), cache, Mode(training=True, seeds=(case.seed,)))
        mask = 1.0 if cache.mask is None else cache.mask
        # The mean of n independent entries, 1/q with probability q, has the standard deviation sqrt((1/q - 1) / n). Six
        # of them are left in one of 500 million tries. The rate is rounded to 1/LEVELS, which the scaling follows.
        bound = 6 * np.sqrt((1 / (1 - rate) - 1 + 1 / LEVELS) / n)
        assert abs(np.mean(mask) - 1) <= bound

    @given(case=cases())
    def test_does_nothing_in_evaluation(self, case):
        layer, x, cache = case.layer("Dropout"), case.inputs("Dropout"), Cache()
        np.testing.assert_array_equal(layer.forward(x, cache), x)
        np.testing.assert_array_equal(layer.backward(x, cache, layer.gradients()), x)

    @given(seed=st.integers(0, 2 ** 32 - 1))
    def test_has_a_rate_for_each_run(self, seed):
        rates, n = (0.0, 0.2, 0.7), 20_000
        cache = Cache()
        Dropout(rates).build(seed=(seed,) * 3).forward(np.ones((3, n // 20, 20)), cache, Mode(True, (seed,) * 3))
        silent = np.mean(cache.mask == 0, axis=(1, 2))
        np.testing.assert_allclose(silent, rates, atol=6 * np.sqrt(0.25 / n))
        np.testing.assert_array_equal(cache.mask[0], 1)

    @given(case=cases(stacked=False))
    def test_has_the_same_mask_for_the_same_key_alone(self, case):
        layer, x = Dropout(0.5).build(), np.ones((50, 20))

        def mask(**key):
            cache = Cache()
            layer.forward(x, cache, Mode(**{"training": True, "seeds": (case.seed,), "step": 3} | key))
            return cache.mask

        np.testing.assert_array_equal(mask(), mask())
        assert not np.array_equal(mask(), mask(step=4))
        assert not np.array_equal(mask(), mask(seeds=(case.seed + 1,)))

    def test_has_another_mask_in_another_layer(self):
        network = Chain(first=Dropout(0.5), second=Dropout(0.5)).build()
        cache = Cache()
        network.forward(np.ones((50, 20)), cache, Mode(training=True))
        assert not np.array_equal(cache["first"].mask, cache["second"].mask)

    @pytest.mark.parametrize("rate", [1.0, -0.1, (0.5, 1.5), float("nan")])
    def test_refuses_an_impossible_rate(self, rate):
        with pytest.raises(ValueError, match="rate must lie in"):
            Dropout(rate)


class TestNorms:
    @given(case=cases(min_examples=2))
    def test_batch_norm_gives_every_feature_the_mean_beta_and_the_variance_gamma_squared(self, case):
        norm, x = case.layer("BatchNorm"), case.inputs("BatchNorm")
        y = norm.forward(x, Cache(), case.mode(training=True))
        v = x.var(axis=-2, keepdims=True)
        np.testing.assert_allclose(y.mean(axis=-2, keepdims=True), norm.beta, atol=1e-12)
        np.testing.assert_allclose(y.var(axis=-2, keepdims=True), norm.gamma ** 2 * v / (v + norm.eps), rtol=1e-9)

    @given(case=cases(min_examples=2), momentum=st.floats(0, 1))
    def test_batch_norm_follows_mean_and_unbiased_variance(self, case, momentum):
        seed = case.seeds if case.stack else case.seed
        norm, x = BatchNorm(case.width, momentum=momentum).build(seed=seed), case.inputs("BatchNorm")
        mean, var = norm.running_mean.copy(), norm.running_var.copy()
        norm.forward(x, Cache(), case.mode(training=True))
        for running, before, new in ((norm.running_mean, mean, x.mean(axis=-2, keepdims=True)),
                                     (norm.running_var, var, x.var(axis=-2, ddof=1, keepdims=True))):
            np.testing.assert_allclose(running, (1 - momentum) * before + momentum * new, rtol=1e-12, atol=1e-14)

    @given(case=cases(min_examples=2))
    def test_batch_norm_uses_running_statistics_in_evaluation_and_leaves_them(self, case):
        norm, x = case.layer("BatchNorm"), case.inputs("BatchNorm")
        before = norm.state()
        y = norm.forward(x, Cache())
        expected = norm.gamma * (x - before["running_mean"]) / np.sqrt(before["running_var"] + norm.eps) + norm.beta
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
        for name, array in norm.state().items():
            np.testing.assert_array_equal(array, before[name])

    @given(case=cases())
    def test_layer_norm_gives_every_row_mean_zero_and_variance_one(self, case):
        x = case.inputs("LayerNorm")
        norm = LayerNorm(case.width).build(seed=case.seeds if case.stack else case.seed)
        y, v = norm.forward(x, Cache()), x.var(axis=-1)
        np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-10)
        np.testing.assert_allclose(y.var(axis=-1), v / (v + norm.eps), rtol=1e-9)

    def test_one_row_has_no_unbiased_variance_and_does_no_harm(self):
        norm = BatchNorm(3).build()
        y = norm.forward(np.array([[1.0, 2.0, 3.0]]), Cache(), Mode(training=True))
        np.testing.assert_array_equal(y, 0)
        assert np.all(np.isfinite(norm.running_var))


class TestLosses:
    @staticmethod
    def one_hot(labels, shape):
        return np.broadcast_to(np.eye(shape[-1])[labels], shape)

    @given(case=cases())
    def test_mean_squared_error_is_that_to_the_one_hot_targets(self, case):
        z, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        residual, cache = z - self.one_hot(labels, z.shape), Cache()
        np.testing.assert_allclose(MeanSquaredError().forward(z, labels, cache), (residual ** 2).mean(axis=(-2, -1)))
        np.testing.assert_allclose(MeanSquaredError().backward(cache), 2 * residual / (case.examples * case.p))

    @given(case=cases())
    def test_cross_entropy_is_minus_the_mean_log_probability(self, case):
        z, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        P, target, cache = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True), self.one_hot(labels, z.shape), Cache()
        np.testing.assert_allclose(CrossEntropy().forward(z, labels, cache),
                                   -(np.log(P) * target).sum(axis=-1).mean(axis=-1), rtol=1e-10)
        np.testing.assert_allclose(CrossEntropy().backward(cache), (P - target) / case.examples, rtol=1e-10, atol=1e-12)

    @given(case=cases(), shift=st.floats(-100, 100))
    def test_cross_entropy_does_not_see_a_shift_of_all_logits(self, case, shift):
        z, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        np.testing.assert_allclose(CrossEntropy().forward(z + shift, labels, Cache()),
                                   CrossEntropy().forward(z, labels, Cache()), rtol=1e-9, atol=1e-11)

    @given(case=cases(), dtype=st.sampled_from(["float32", "float64"]))
    def test_cross_entropy_stands_huge_logits(self, case, dtype):
        z, labels, cache = np.zeros((*case.stack, case.examples, case.p), dtype), case.labels(), Cache()
        z[..., 0] = 1e4
        loss = CrossEntropy().forward(z, labels, cache)
        wrong = np.broadcast_to(labels != 0, z.shape[:-1])
        np.testing.assert_allclose(loss, 1e4 * wrong.mean(axis=-1), rtol=1e-6)
        expected = (self.one_hot(np.zeros_like(labels), z.shape) - self.one_hot(labels, z.shape)) / case.examples
        np.testing.assert_allclose(CrossEntropy().backward(cache), expected, rtol=1e-6)

    @every_loss
    @given(case=cases())
    def test_a_loss_leaves_the_logits_alone(self, loss, case):
        z, cache = case.normal((*case.stack, case.examples, case.p)), Cache()
        before = z.copy()
        loss.forward(z, case.labels(), cache)
        loss.backward(cache)
        np.testing.assert_array_equal(z, before)

    @every_loss
    @given(case=cases())
    def test_backward_is_the_slope_of_forward(self, loss, case):
        z, labels, cache = case.normal((*case.stack, case.examples, case.p)), case.labels(), Cache()
        v, h = case.normal(z.shape, 1), 1e-5
        loss.forward(z, labels, cache)
        slope = (loss.forward(z + h * v, labels, Cache()) - loss.forward(z - h * v, labels, Cache())) / (2 * h)
        np.testing.assert_allclose((loss.backward(cache) * v).sum(axis=(-2, -1)), slope, rtol=1e-6, atol=1e-8)


class TestEquations:
    """forward computes the equation of its docstring, here for one run and example by example."""

    @given(case=cases(stacked=False))
    def test_linear(self, case):
        layer, x = case.layer("Linear with bias"), case.inputs("Linear")
        np.testing.assert_allclose(layer.forward(x, Cache()), np.einsum("di,ij->dj", x, layer.W) + layer.b, rtol=1e-12)

    def test_gelu(self):
        x = np.linspace(-5, 5, 41)[:, None]
        y = GELU().build().forward(x, Cache())
        np.testing.assert_allclose(y, x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))), atol=1e-14)
        exact = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x[:, 0]]
        np.testing.assert_allclose(y[:, 0], exact, atol=5e-4)  # how far the tanh form is from the integral

    @given(case=cases(stacked=False))
    def test_embeddings(self, case):
        pairs, tokens, rows = (case.inputs(kind) for kind in ("PairEmbedding", "TokenEmbedding", "PositionEmbedding"))
        pair, token, position = (case.layer(kind) for kind in ("PairEmbedding", "TokenEmbedding", "PositionEmbedding"))
        np.testing.assert_array_equal(pair.forward(pairs, Cache()), [pair.U[m] + pair.V[n] for m, n in pairs])
        np.testing.assert_array_equal(token.forward(tokens, Cache()), [token.E[t] for row in tokens for t in row])
        np.testing.assert_array_equal(position.forward(rows, Cache()),
                                      [row + position.P[number % case.tokens] for number, row in enumerate(rows)])

    @given(case=cases(stacked=False))
    def test_last_token(self, case):
        x = case.inputs("LastToken")
        np.testing.assert_array_equal(case.layer("LastToken").forward(x, Cache()), x[case.tokens - 1::case.tokens])

    @pytest.mark.parametrize(("kind", "power"), [("Attention", 0.5), ("Attention, mu scale", 1)])
    @given(case=cases(stacked=False))
    def test_attention(self, kind, power, case):
        layer, x = case.layer(kind), case.inputs(kind)
        y, d_head = layer.forward(x, Cache()), case.width // HEADS
        for d in range(case.examples):
            rows = slice(d * case.tokens, (d + 1) * case.tokens)
            o = []
            for columns in (slice(h * d_head, (h + 1) * d_head) for h in range(HEADS)):
                q, k, v = (x[rows] @ W[:, columns] for W in (layer.W_Q, layer.W_K, layer.W_V))
                A = np.exp(q @ k.T / d_head ** power)
                o.append(A / A.sum(axis=1, keepdims=True) @ v)
            np.testing.assert_allclose(y[rows], np.hstack(o) @ layer.W_O, rtol=1e-9, atol=1e-12)

    @given(case=cases(stacked=False))
    def test_two_layer_network(self, case):
        network, pairs = case.layer("TwoLayerNetwork"), case.inputs("TwoLayerNetwork")
        U, V, W = (network.state()[name] for name in "UVW")
        np.testing.assert_allclose(network.forward(pairs, Cache()), [(U[m] + V[n]) ** 2 @ W for m, n in pairs],
                                   rtol=1e-12, atol=1e-14)


class TestRowIndex:
    """Reading rows of a table, and its adjoint."""

    @staticmethod
    @st.composite
    def indices(draw):
        """A table, and an index into it: sorted or not, with rows that are read often and rows that are not read."""
        case = draw(cases())
        rows = draw(st.integers(1, 8))
        stack = () if case.shared else case.stack
        index = np.random.default_rng(case.seed).integers(draw(st.integers(1, rows)), size=(*stack, case.examples))
        if draw(st.booleans()):
            index = np.sort(index, axis=-1)
        table = case.normal((*case.stack, rows, case.width))
        return index, table, case.normal((*case.stack, case.examples, case.width), 1)

    @staticmethod
    def each_run(index, table):
        """(run, index of the run) as an index into tables and rows, for all runs."""
        if table.ndim == 2:
            return [((), index)]
        return [(run, index if index.ndim == 1 else index[run]) for run in range(len(table))]

    @given(drawn=indices())
    def test_take_reads_rows(self, drawn):
        index, table, rows = drawn
        out = RowIndex(index, table).take(table, np.full_like(rows, np.nan))
        for run, k in self.each_run(index, table):
            np.testing.assert_array_equal(out[run], table[run][k])

    @given(drawn=indices(), workspace=st.booleans())
    def test_add_up_sums_rows_and_overwrites(self, drawn, workspace):
        index, table, rows = drawn
        sums = np.full_like(table, np.nan)
        RowIndex(index, table).add_up(rows, sums, np.empty_like(rows) if workspace else None)
        for run, k in self.each_run(index, table):
            expected = np.zeros_like(table[run])
            np.add.at(expected, k, rows[run])
            np.testing.assert_allclose(sums[run], expected, rtol=1e-12, atol=1e-13)

    @given(drawn=indices())
    def test_add_up_leaves_the_rows_alone(self, drawn):
        index, table, rows = drawn
        before = rows.copy()
        RowIndex(index, table).add_up(rows, np.empty_like(table), np.empty_like(rows))
        np.testing.assert_array_equal(rows, before)

    @given(drawn=indices())
    def test_take_and_add_up_are_adjoint(self, drawn):
        index, table, rows = drawn
        rows_index = RowIndex(index, table)
        left = np.sum(rows_index.take(table, np.empty_like(rows)) * rows)
        assert left == pytest.approx(np.sum(table * rows_index.add_up(rows, np.empty_like(table))), abs=1e-10)


class TestErrors:
    """A wrong option is named, with its value and what is allowed."""

    @pytest.mark.parametrize(("make", "message"), [
        (lambda: DeepMLP(5, 4, depth=1), "depth must be at least 2, got 1"),
        (lambda: Transformer(5, width=6, heads=4), "must divide the width 6, got 4"),
        (lambda: KINDS["Attention"].make(Case(width=3)), "must divide the width 3, got 2"),
    ])
    def test_of_a_constructor(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    def test_a_plain_layer_without_passes_says_so(self):
        with pytest.raises(TypeError, match="Layer has no forward pass"):
            Layer().forward(np.ones((1, 1)), Cache())


def test_a_layer_can_be_evaluated_in_the_middle_of_a_step():
    layer, x, dy = Chain(first=Linear(3, 4), activation=GELU()).build(), np.ones((2, 3)), np.ones((2, 4))
    cache, grads = Cache(), layer.gradients()
    layer.forward(x, cache, Mode(training=True))
    layer.forward(7 * x, Cache())
    dx = layer.backward(dy, cache, grads)
    np.testing.assert_array_equal(dx, both_passes(layer, x, np.ones, Mode(training=True)).dx)
