import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import DeepMLP, Transformer, TwoLayerNetwork
from optim import OPTIMIZERS, SGD, Adam, AdamW
from tests.optim import rules

every_rule = pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS)
IN_PLAIN_PYTHON = {SGD: rules.sgd, Adam: rules.adam, AdamW: rules.adamw}


def stepped(optimizer, gradients):
    """The parameters after a step with each row of gradients."""
    for row in gradients:
        optimizer.step(row)
    return optimizer.store.flat


class TestTheRule:
    @every_rule
    @given(rate=st.floats(1e-4, 0.3), decay=st.sampled_from([0.0, 0.1, 3.0]), seed=st.integers(0, 100))
    def test_is_the_equations_applied_to_each_number(self, rule, rate, decay, seed):
        store = rules.store(seed=seed)
        gradients = rules.gradients(store, seed=seed + 1)
        decays = np.concatenate([np.full(view.size, decay if name in rules.DECAYED else 0.0)
                                 for name, view in store.named(store.flat).items()])
        expected = [IN_PLAIN_PYTHON[rule](float(w), column.tolist(), rate, own)
                    for w, column, own in zip(store.flat, gradients.T, decays, strict=True)]
        np.testing.assert_allclose(stepped(rule(store, rate, decay), gradients), expected, rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize(("rule", "options"), [
        (SGD, {"momentum": 0.5}),
        (Adam, {"betas": (0.5, 0.7), "eps": 0.1}),
        (AdamW, {"betas": (0.5, 0.7), "eps": 0.1}),
    ])
    def test_takes_its_constants(self, rule, options):
        store = rules.store()
        gradients = rules.gradients(store)
        expected = [IN_PLAIN_PYTHON[rule](float(w), column.tolist(), 0.01, 0.0, **options)
                    for w, column in zip(store.flat, gradients.T, strict=True)]
        np.testing.assert_allclose(stepped(rule(store, 0.01, **options), gradients), expected, rtol=1e-12)

    @every_rule
    def test_leaves_the_gradients_as_they_are(self, rule):
        store = rules.store()
        gradients = rules.gradients(store)
        before = gradients.copy()
        stepped(rule(store, 0.1, 0.5), gradients)
        np.testing.assert_array_equal(gradients, before)

    @every_rule
    @pytest.mark.parametrize("stack", [(), (3,)], ids=str)
    def test_takes_gradients_in_parts_and_leaves_these_zero(self, rule, stack):
        decay = [0.5, 0.0, 2.0] if stack else 0.5
        whole, parted = (rule(rules.store(stack), 0.1, decay) for _ in range(2))
        for gradient in rules.gradients(whole.store):
            whole.step(gradient)
            parts = [0.25 * gradient, 0.5 * gradient, 0.25 * gradient]  # exact in binary
            parted.step(parts)
            assert not np.any(parts)
        np.testing.assert_array_equal(parted.store.flat, whole.store.flat)

    @every_rule
    def test_multiplies_its_rate_with_the_schedules_factor(self, rule):
        scheduled, slow = (rule(rules.store(), rate, 0.5) for rate in (0.1, 0.025))
        gradient = rules.gradients(scheduled.store)[0]
        scheduled.step(gradient, rate_factor=0.25)
        slow.step(gradient)
        np.testing.assert_array_equal(scheduled.store.flat, slow.store.flat)

    @pytest.mark.parametrize("rule", [Adam, AdamW])
    def test_of_adam_moves_every_weight_by_the_rate_at_its_first_step(self, rule):
        store = rules.store()
        before, gradient = store.flat.copy(), rules.gradients(store)[0]
        # Both averages then hold this one gradient: bias correction makes their quotient its sign, but for eps.
        rule(store, 0.01, eps=0.0).step(gradient)
        np.testing.assert_allclose(store.flat, before - 0.01 * np.sign(gradient), rtol=1e-12)

    def test_of_sgd_keeps_rolling_without_a_gradient(self):
        store = rules.store()
        sgd, gradient = SGD(store, 1.0, momentum=0.5), rules.gradients(store)[0]
        sgd.step(gradient)
        before = store.flat.copy()
        sgd.step(np.zeros_like(gradient))
        np.testing.assert_allclose(before - store.flat, 0.5 * gradient, rtol=1e-9, atol=1e-15)


class TestWeightDecay:
    @every_rule
    def test_acts_on_tables_and_matrices_alone(self, rule):
        store = rules.store()
        before = {name: view.copy() for name, view in store.named(store.flat).items()}
        rule(store, 0.1, 0.5).step(np.zeros_like(store.flat))
        moved = {name for name, view in store.named(store.flat).items() if np.any(view != before[name])}
        assert moved == set(rules.DECAYED)

    @pytest.mark.parametrize("stack", [(), (3,)])
    @pytest.mark.parametrize("network", [
        TwoLayerNetwork(5, 4, batch_norm=True), DeepMLP(5, 4, batch_norm=True), Transformer(5, 4, 2, layer_norm=True)],
        ids=["mlp", "relu-mlp", "transformer"])
    def test_of_a_network_spares_gamma_and_beta_and_nothing_else(self, network, stack):
        network.build(seed=range(3) if stack else 0)
        network.store.flat[...] = 1  # away from the zeros that a beta starts from
        AdamW(network.store, 0.1, 5.0).step(np.zeros_like(network.store.flat))
        spared = {name for name, view in network.store.named(network.store.flat).items() if np.all(view == 1)}
        assert spared == {name for name in network.store.shapes if name.split(".")[-1] in ("gamma", "beta")}
        assert spared

    def test_of_adamw_shrinks_all_weights_by_one_factor_whatever_their_gradients(self):
        with_decay, without = (AdamW(rules.store(), 0.1, decay) for decay in (0.5, 0.0))
        before, gradient = with_decay.store.flat.copy(), rules.gradients(with_decay.store)[0]
        with_decay.step(gradient)
        without.step(gradient)
        lost = without.store["W"] - with_decay.store["W"]
        np.testing.assert_allclose(lost, 0.1 * 0.5 * with_decay.store.named(before)["W"], rtol=1e-12)

    def test_of_adamw_comes_before_the_step(self):
        # A product rate * decay of 1 zeroes the weights; what is left is the step, as long as the rate.
        store = rules.store()
        gradient = rules.gradients(store)[0]
        AdamW(store, 0.125, 8.0, eps=0.0).step(gradient)
        np.testing.assert_allclose(store["U"], -0.125 * np.sign(store.named(gradient)["U"]), rtol=1e-15)

    def test_of_adam_is_part_of_the_gradient(self):
        store = rules.store()
        before = store["U"].copy()
        Adam(store, 0.01, 0.5, eps=1e-30).step(np.zeros_like(store.flat))
        np.testing.assert_allclose(store["U"], before - 0.01 * np.sign(before), rtol=1e-12)


class TestAStack:
    # Among these are the sizes of the parameters' axes: a broadcast along the wrong axis fits there.
    @pytest.mark.parametrize("runs", [1, 2, 3, 4, 12])
    @every_rule
    def test_with_rates_and_decays_of_its_own_for_each_run_moves_as_the_runs_do_alone(self, rule, runs):
        rng = np.random.default_rng(0)
        rates, decays = rng.uniform(0.01, 0.1, runs).tolist(), [0.0, *rng.uniform(0, 5, runs - 1).tolist()]
        together = rules.store((runs,))
        alone = [rules.store() for _ in range(runs)]
        gradients = rules.gradients(together)
        initial = {name: view.copy() for name, view in together.named(together.flat).items()}
        stepped(rule(together, rates, decays), gradients)
        for run, store in enumerate(alone):
            for name, view in store.named(store.flat).items():
                view[...] = initial[name][run]
            own = [np.concatenate([view[run].ravel() for view in together.named(row).values()]) for row in gradients]
            stepped(rule(store, rates[run], decays[run]), own)
            for name in rules.SHAPES:
                np.testing.assert_array_equal(together[name][run], store[name])

    @every_rule
    @pytest.mark.parametrize("stack", [(), (3,)])
    def test_of_float32_stays_float32(self, rule, stack):
        store = rules.store(stack, "float32")
        per_run = [0.1, 0.2, 0.3] if stack else 0.1
        optimizer = rule(store, per_run, per_run)
        stepped(optimizer, rules.gradients(store, steps=3))
        arrays = {"w": store.flat, **optimizer.state()}
        assert {name for name, array in arrays.items() if array.dtype != np.float32} == set()

    def test_of_float32_multiplies_by_factors_of_float32(self):
        # In float64 they would turn every product with the weights into float64, copied back at each step.
        optimizer = AdamW(rules.store((3,), "float32"), [0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
        factor = optimizer.factor(1 - optimizer.learning_rate * optimizer.weight_decay)
        assert factor.dtype == np.float32
        # Computed in double and rounded once, as the factor of a single run is.
        np.testing.assert_array_equal(factor, np.float32([[1 - 0.1 * 1.0], [1 - 0.2 * 2.0], [1 - 0.3 * 3.0]]))


class TestState:
    @pytest.mark.parametrize("stack", [(), (2,)])
    @every_rule
    def test_is_all_that_is_needed_to_go_on(self, rule, stack):
        first, second = (rule(rules.store(stack), 0.01, 0.5) for _ in range(2))
        gradients = rules.gradients(first.store)
        stepped(first, gradients[:7])
        second.store.flat[...] = first.store.flat
        second.load_state(first.state(), steps=first.steps)
        np.testing.assert_array_equal(stepped(second, gradients[7:]), stepped(first, gradients[7:]))

    @every_rule
    def test_is_a_copy(self, rule):
        optimizer = rule(rules.store(), 0.01)
        state = optimizer.state()
        stepped(optimizer, rules.gradients(optimizer.store))
        assert all(np.all(array == 0) for array in state.values())

    @pytest.mark.parametrize(("rule", "moments"), [(SGD, "m"), (Adam, "mv"), (AdamW, "mv")])
    def test_names_each_average_of_each_parameter(self, rule, moments):
        shapes = {name: array.shape for name, array in rule(rules.store(), 0.01).state().items()}
        assert shapes == {f"{moment}.{name}": shape for moment in moments for name, shape in rules.SHAPES.items()}
