"""What holds for every layer, whatever its shapes, its stack and its seeds.

Each property is one sentence of the contract in `layers.base`; Hypothesis looks for sizes and seeds that break it.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend import open_device
from layers import Cache, Dropout
from tests.strategies import (
    KINDS,
    LAYERS,
    NETWORKS,
    Case,
    assert_close,
    both_passes,
    cases,
    every_kind,
    every_loss,
    flag_of_openblas,
    named,
    training_or_not,
)


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

        def step(rows, grads, prepared=None):
            cache, mode = Cache(), case.mode(training=True, first_example=rows.start)
            cache.prepared = prepared
            logits = network.forward(pairs[..., rows, :], cache, mode)
            value = loss.forward(logits, labels[..., rows], cache["loss"], examples=case.examples)
            return value, network.backward(loss.backward(cache["loss"]), cache, grads)

        grads, of_chunks = network.gradients(), network.gradients()
        value, _ = step(slice(0, case.examples), grads)
        prepared = network.prepare(pairs, case.mode(training=True))
        values, lefts = zip(*[step(rows, of_chunks, prepared) for rows in self.cut(data, case.examples)], strict=True)
        if prepared is not None:
            network.prepare_backward(prepared, [sum(same) for same in zip(*lefts, strict=True)], of_chunks)
        np.testing.assert_allclose(sum(values), value, rtol=1e-12)
        np.testing.assert_allclose(of_chunks.flat, grads.flat, rtol=1e-9, atol=1e-12)

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


@flag_of_openblas
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
        arrays = [array for array in (result.y, result.dx, *result.grads.values()) if array is not None]
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
        assert all(np.isfinite(array).all() for array in arrays)

    @every_loss
    @given(case=cases())
    def test_is_kept_by_the_losses(self, loss, case):
        cache = Cache()
        value = loss.forward(case.normal((*case.stack, case.examples, case.p)).astype(np.float32), case.labels(), cache)
        assert value.dtype == loss.backward(cache).dtype == np.float32


@every_kind
@given(case=cases())
def test_a_layer_can_be_evaluated_in_the_middle_of_a_step(kind, case):
    layer, x, mode = case.layer(kind), case.inputs(kind), case.mode(training=True)
    cache, grads = Cache(), layer.gradients()
    y = np.array(layer.forward(x, cache, mode))
    layer.forward(replace(case, examples=case.examples + 1, seed=case.seed + 1).inputs(kind), Cache())
    dx = layer.backward(case.normal(y.shape), cache, grads)
    expected = both_passes(case.layer(kind), x, case.normal, mode)
    assert_close(type(expected)(y=y, dx=dx, grads=named(grads)), expected, 1e-12)


@every_loss
@given(case=cases())
def test_so_can_a_loss(loss, case):
    def of(case):
        return case.normal((*case.stack, case.examples, case.p)), case.labels()

    cache, alone = Cache(), Cache()
    loss.forward(*of(case), alone)
    expected = loss.backward(alone)
    loss.forward(*of(case), cache)
    loss.forward(*of(replace(case, examples=case.examples + 1, seed=case.seed + 1)), Cache())
    np.testing.assert_array_equal(loss.backward(cache), expected)


@every_kind
@given(case=cases())
def test_a_cache_that_has_forgotten_holds_no_results(kind, case):
    layer, cache = case.layer(kind), Cache()
    layer.forward(case.inputs(kind), cache, case.mode(training=True))
    cache.forget()
    assert not [name for part in cache.parts() for name in vars(part) if not name.startswith("_")]
