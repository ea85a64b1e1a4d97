"""Parameters: saved, loaded, laid out in one array; and wrong options, which are named."""

import numpy as np
import pytest
from hypothesis import given

from layers import (
    Cache,
    DeepMLP,
    Layer,
    Transformer,
)
from layers.base import Parameter
from layers.initial import constant
from tests.strategies import KINDS, Case, cases, every_kind, every_network, named


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

    @pytest.mark.parametrize("kind", ["parameters", "buffers"])
    def test_of_a_vector_that_would_broadcast_along_the_runs(self, kind):
        layer = Layer()
        getattr(layer, kind)["gamma"] = Parameter((4,), constant(1))
        with pytest.raises(ValueError, match=r"gamma must be declared with two axes or more, got the shape \(4,\)"):
            layer.build()

    def test_a_plain_layer_without_passes_says_so(self):
        with pytest.raises(TypeError, match="Layer has no forward pass"):
            Layer().forward(np.ones((1, 1)), Cache())
