"""A network in one piece is the network that it stands for."""

import numpy as np
import pytest
from hypothesis import given

from layers import Cache, Mode
from tests.strategies import NETWORKS, Case, assert_close, both_passes, cases, training_or_not

PLAIN = {"FusedTwoLayer": "TwoLayerNetwork", "FusedBatchNorm": "TwoLayerNetwork with square and BatchNorm",
         "FusedTransformer": "Transformer"}
PAIRS = {name: name.replace(fused, plain)
         for name in NETWORKS for fused, plain in PLAIN.items() if name.startswith(fused)}
every_pair = pytest.mark.parametrize(("fused", "plain"), PAIRS.items(), ids=PAIRS)


@every_pair
@training_or_not
@given(case=cases())
def test_both_passes_agree(fused, plain, training, case):
    one, other = case.layer(fused), case.layer(plain)
    assert_close(*(both_passes(layer, case.inputs(plain), case.normal, case.mode(training))
                   for layer in (one, other)), 1e-11)


@every_pair
@given(case=cases())
def test_parameters_and_their_initial_values_are_the_same(fused, plain, case):
    one, other = case.fresh(fused).state(), case.fresh(plain).state()
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


@every_pair
@given(case=cases())
def test_neurons_are_the_same(fused, plain, case):
    for one, other in zip(case.layer(fused).neurons(), case.layer(plain).neurons(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["FusedTransformer", "Transformer"])
def test_attention_to_very_different_scores_overflows_nowhere(kind):
    for sign in (1, -1):
        network = Case().layer(kind)
        network.layers["attention"].layers["heads"].W_Q *= sign * 1e6
        assert np.isfinite(network.forward(np.array([[0, 1], [2, 0]]), Cache(), Mode())).all()


def test_at_the_kink_of_the_relu_both_take_the_derivative_of_the_left():
    case, passes = Case(), []
    for kind in ("FusedTransformer", "Transformer"):
        network = case.layer(kind)
        network.layers["mlp"].layers["hidden"].W[...] = 0
        passes.append(both_passes(network, case.inputs(kind), case.normal, case.mode(True)))
    assert_close(*passes, 1e-11)
