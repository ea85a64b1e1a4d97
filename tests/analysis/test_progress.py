import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as statistics

from analysis.features import features
from analysis.progress import (
    DRAWS,
    absolute_weight_entropy,
    activation_sparsity,
    circuit_complexity,
    progress_measures,
    weights,
)
from layers import Cache, FusedTwoLayer, TwoLayerNetwork
from layers.chain import Chain
from layers.initial import constant
from layers.linear import Linear
from layers.mlp import ImageMLP

PIXELS = np.random.default_rng(0).random((11, 5))
PAIRS = np.array([(m, n) for m in range(7) for n in range(7)])


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def test_the_sparsity_of_a_rectified_normal_is_known():
    a = np.maximum(np.random.default_rng(0).normal(size=(1000, 1000)), 0)
    for tau in (0.01, 0.5, 2.0):
        expected = statistics.norm.cdf(tau)
        assert activation_sparsity(a, tau) == pytest.approx(expected, abs=5 * (expected * (1 - expected)) ** 0.5 / 1000)


def test_sparsity_counts_what_is_smaller_than_the_threshold_with_either_sign():
    assert activation_sparsity(np.array([[0.0, 0.5, -0.5, 1.0], [-2.0, 0.1, 0.2, 3.0]]), 0.5) == 3 / 8


@pytest.mark.parametrize("a", [0.05, 1 / np.e, 1.0, 3.0])
def test_the_entropy_of_uniform_weights_is_known(a):
    m, n = 700, 900
    found = absolute_weight_entropy([np.random.default_rng(1).uniform(-a, a, (m, n))])
    second = a * a * (np.log(a)**2 / 3 - 2 * np.log(a) / 9 + 2 / 27)  # the mean of (w log w)^2
    spread = (m * n * (second - (a / 4 - a / 2 * np.log(a))**2)) ** 0.5
    assert found == pytest.approx(m * n * (a / 4 - a / 2 * np.log(a)), abs=4 * spread)
    assert 4 * spread < 0.03 * m * n * a


def test_the_entropy_of_zeros_and_ones_is_0_and_arrays_add_up():
    x = np.random.default_rng(2).normal(size=(4, 5))
    assert absolute_weight_entropy([np.array([[0.0, 1.0, -1.0]])]) == 0
    assert absolute_weight_entropy([x, x[:2]]) == pytest.approx(
        absolute_weight_entropy([x]) + absolute_weight_entropy([x[:2]]), rel=1e-14)


entries = st.floats(-3, 3).map(lambda x: 0.0 if abs(x) < 1e-6 else x)


@given(arrays(np.float64, (3, 4), elements=entries), st.floats(0.1, 10))
def test_entropy_of_scaled_weights(W, c):
    """-sum c |w| log(c |w|) = c H - c log c sum |w|."""
    expected = c * absolute_weight_entropy([W]) - c * np.log(c) * np.abs(W).sum()
    assert absolute_weight_entropy([c * W]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_entropy_is_computed_in_float64_whatever_the_weights_are():
    W = np.full(10**6, 1e-3, np.float32)
    exact = -10**6 * float(W[0]) * np.log(float(W[0]))
    assert absolute_weight_entropy([W]) == pytest.approx(exact, rel=1e-12)


def linear(n_in, n_out, bias=False, seed=1):
    return Chain(output=Linear(n_in, n_out, bias=bias, initial_bias=constant(0.7) if bias else None)).build(seed=seed)


def test_the_complexity_of_no_weights_taken_is_0():
    assert circuit_complexity(ImageMLP(5, 3, 6).build(seed=1), PIXELS, seed=0, share=0) == 0


def test_with_all_weights_taken_the_biases_stay():
    network = linear(5, 3, bias=True)
    network.layers["output"].b[...] = [[0.5, -1.0, 2.0]]
    P, Q = softmax(network.forward(PIXELS, Cache())), softmax(np.array([0.5, -1.0, 2.0]))
    assert circuit_complexity(network, PIXELS, seed=0, share=1) == pytest.approx(
        (P * np.log(P / Q)).sum(axis=1).mean(), rel=1e-12)


def test_the_complexity_is_the_mean_over_all_ways_to_take_weights():
    """Of a network small enough to enumerate them."""
    network, share = linear(2, 3), 0.3
    W, x = network.layers["output"].W, PIXELS[:, :2]
    P, mean, square = softmax(x @ W), 0.0, 0.0
    for taken in itertools.product((0, 1), repeat=6):
        Q = softmax(x @ (W * (1 - np.reshape(taken, W.shape))))
        probability = share ** sum(taken) * (1 - share) ** (6 - sum(taken))
        divergence = (P * np.log(P / Q)).sum(axis=1).mean()
        mean, square = mean + probability * divergence, square + probability * divergence**2
    draws = 20_000
    error = ((square - mean**2) / draws) ** 0.5
    assert circuit_complexity(network, x, seed=3, draws=draws, share=share) == pytest.approx(mean, abs=4 * error)
    assert error < mean / 50


def test_large_logits_have_a_finite_complexity():
    network = linear(5, 3)
    network.layers["output"].W[...] *= 1e4
    z = PIXELS @ network.layers["output"].W
    assert 100 < circuit_complexity(network, PIXELS, seed=0, share=0.5) < np.ptp(z)


@pytest.mark.parametrize("make", [lambda: ImageMLP(5, 3, 6, scale=4), lambda: FusedTwoLayer(7, 6)])
def test_the_network_is_left_as_it_is_and_its_draws_are_its_seeds(make):
    network = make().build(seed=1)
    inputs = PIXELS if isinstance(network, ImageMLP) else PAIRS
    before = network.store.flat.copy()
    found = circuit_complexity(network, inputs, seed=4)
    np.testing.assert_array_equal(network.store.flat, before)
    assert found > 0
    assert found == circuit_complexity(network, inputs, seed=4) != circuit_complexity(network, inputs, seed=5)


def test_each_draw_takes_other_weights():
    network = linear(30, 4)
    x = np.random.default_rng(0).normal(size=(3, 30))
    one, two = (circuit_complexity(network, x, seed=0, draws=draws) for draws in (1, 2))
    assert two != pytest.approx(one, rel=1e-3)


def test_a_fused_network_has_the_measures_of_the_plain_one():
    plain, fused = (kind(7, 6).build(seed=1) for kind in (TwoLayerNetwork, FusedTwoLayer))
    found = progress_measures(plain, PAIRS, seed=0)
    assert found == pytest.approx(progress_measures(fused, PAIRS, seed=0), rel=1e-9)


def test_weights_are_what_decays():
    network = ImageMLP(5, 3, 6, batch_norm=True).build(seed=1)
    assert list(weights(network)) == ["hidden_1.W", "hidden_2.W", "output.W"]
    assert all(np.shares_memory(matrix, network.store.flat) for matrix in weights(network).values())
    assert list(weights(TwoLayerNetwork(7, 6).build())) == ["U", "V", "W"]


def test_the_measures_of_a_network_are_those_of_its_layers_and_weights():
    network = ImageMLP(5, 3, 6, depth=4).build(seed=1)
    network.layers["hidden_1"].b[...] = -9  # every activation of the first layer is off
    found = progress_measures(network, PIXELS, seed=2)
    first, *others = (activation_sparsity(layer) for layer in features(network, PIXELS).values())
    assert first == 1
    assert found["activation_sparsity"] == pytest.approx((first + sum(others)) / 3)
    assert found["weight_entropy"] == absolute_weight_entropy(
        network.layers[name].W for name in ("hidden_1", "hidden_2", "hidden_3", "output"))
    assert found["circuit_complexity"] == circuit_complexity(network, PIXELS, seed=2, draws=DRAWS)
