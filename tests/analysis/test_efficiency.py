"""Logit sizes and efficiencies, against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.efficiency import crossing, efficiency, logit_size
from backend import open_device
from layers import Cache
from training import TrainingConfig
from training.setup import make_network


@given(D=st.integers(1, 6), p=st.integers(2, 7), seed=st.integers(0, 99))
def test_is_the_right_logit_less_the_mean_of_the_others(D, p, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.standard_normal((3, D, p)), rng.integers(0, p, D)
    expected = [np.mean([one[e, y] - np.mean(np.delete(one[e], y)) for e, y in enumerate(labels)]) for one in logits]
    np.testing.assert_allclose(logit_size(logits, labels), expected, rtol=1e-12, atol=1e-12)
    shifted = logits + rng.standard_normal((3, D, 1))
    np.testing.assert_allclose(logit_size(shifted, labels), expected, rtol=1e-10, atol=1e-12)
    both = logit_size(logits[0], labels) + logit_size(logits[1], labels)
    assert logit_size(logits[0] + logits[1], labels) == pytest.approx(both, abs=1e-12)


@pytest.mark.parametrize(("settings", "degree"), [
    ({}, 3), ({"activation": "relu"}, 2), ({"model": "relu-mlp", "depth": 3}, 3),
    ({"model": "relu-mlp", "depth": 4}, 4)])
def test_does_not_depend_on_the_scale_of_a_homogeneous_network(settings, degree):
    config = TrainingConfig(p=7, width=12, dtype="float64", **settings).resolved()
    pairs, labels = np.array([[1, 2], [3, 6], [0, 0]]), np.array([3, 2, 0])
    etas = []
    for scale in (0.5, 1.0, 3.0):
        network = make_network([config], open_device("numpy", "float64"))
        network.load_state({name: scale * array for name, array in network.state().items()})
        norm = np.linalg.norm(network.store.flat)
        etas.append(efficiency(logit_size(network.forward(pairs, Cache()), labels), norm, degree))
    np.testing.assert_allclose(etas, etas[0], rtol=1e-10)


def test_a_norm_of_zero_has_no_efficiency():
    with pytest.raises(ValueError, match="positive, got 0"):
        efficiency(1.0, 0.0, 3)


@given(exponent=st.floats(0.1, 2), at=st.floats(101, 799), factor=st.floats(0.5, 2))
def test_curves_cross_where_a_power_law_meets_the_level(exponent, at, factor):
    sizes = np.array([100.0, 200.0, 400.0, 800.0])
    assert crossing(sizes, factor * (sizes / at) ** -exponent, factor) == pytest.approx(at, rel=1e-6)


def test_a_curve_is_followed_from_size_to_size():
    assert crossing([100, 200, 400], [8.0, 4.0, 1.0], 2.0) == pytest.approx(200 * 2 ** 0.5)
    for size, level in ((100, 8.0), (200, 4.0), (400, 1.0)):
        assert crossing([100, 200, 400], [8.0, 4.0, 1.0], level) == pytest.approx(size)


@pytest.mark.parametrize("falling", [[1.0, 2.0, 3.0], [5.0, 4.0, 3.0], [1.4, 1.0, 0.5], [1.0, 1.0, 1.0]])
def test_beyond_the_sizes_there_is_no_crossing(falling):
    assert crossing([100, 200, 400], falling, 1.5) is None
