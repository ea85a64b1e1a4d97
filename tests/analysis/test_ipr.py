import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.fourier import dominant_frequency
from analysis.ipr import ipr, mean_ipr, neuron_ipr
from backend import open_device, to_host
from layers import DeepMLP, Transformer, TwoLayerNetwork

P = 97
entries = st.floats(-1, 1).map(lambda x: 0.0 if abs(x) < 1e-3 else x)
vectors = st.integers(3, 30).flatmap(lambda p: arrays(np.float64, p, elements=entries)).filter(np.any)


def cosine(frequency, phase=0.3):
    return np.cos(2 * np.pi * frequency * np.arange(P) / P + phase)


@pytest.mark.parametrize("constant", [True, False])
def test_a_pure_wave_has_1(constant):
    for frequency in (1, 17, 48):
        assert ipr(cosine(frequency), constant) == pytest.approx(1, abs=1e-13)


def test_two_equal_waves_have_one_half():
    assert ipr(cosine(3) + cosine(8)) == pytest.approx(0.5, abs=1e-13)


def test_a_one_hot_vector_has_all_frequencies_alike():
    assert ipr(np.eye(P)[5]) == pytest.approx(1 / 49, abs=1e-14)
    assert ipr(np.eye(P)[5], constant=False) == pytest.approx(1 / 48, abs=1e-14)


def test_a_constant_vector_has_1_by_its_constant_term_alone():
    assert ipr(np.full(P, 0.1)) == pytest.approx(1, abs=1e-14)
    assert ipr(np.full(P, 0.1), constant=False) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_zero_vector_has_0(dtype):
    zeros = np.zeros((2, P), dtype)
    assert ipr(zeros).tolist() == ipr(zeros, constant=False).tolist() == [0, 0]


def test_gaussian_vectors_have_about_0_04():
    values = ipr(np.random.default_rng(0).normal(size=(20_000, P)))
    assert values.mean() == pytest.approx(0.040, abs=0.0005)
    assert 0.025 < values.min() < values.max() < 0.13


@pytest.mark.parametrize("exponent", [-40, -30, -20, 20, 30, 37])
def test_the_scale_does_not_matter_in_float32(exponent):
    x = np.random.default_rng(1).normal(size=P)
    scaled = (x * 10.0 ** exponent).astype(np.float32)
    # Below 1e-38 a float32 keeps only some of its digits.
    assert ipr(scaled) == pytest.approx(ipr(x), rel=1e-3 if exponent < -38 else 1e-6)


@pytest.mark.parametrize("smallest", [np.float32(1e-45), np.float64(5e-324)])
def test_the_smallest_numbers_there_are_count(smallest):
    x = smallest * np.eye(P, dtype=smallest.dtype)[3]
    assert ipr(x) == pytest.approx(1 / 49, abs=1e-14)


def test_the_largest_numbers_there_are_count():
    assert ipr(np.array([1.7e308, -1.7e308, 1.7e308, -1.7e308]), constant=False) == pytest.approx(1, abs=1e-14)


@given(vectors)
def test_the_ipr_lies_between_one_over_the_number_of_frequencies_and_1(x):
    assert 1 / (len(x) // 2 + 1) - 1e-12 <= ipr(x) <= 1 + 1e-12


@given(vectors, st.integers(0, 30), st.floats(-38, 38))
def test_neither_a_cyclic_shift_nor_a_factor_changes_it(x, shift, exponent):
    for constant in (True, False):
        # Without the constant term, what is left of a nearly constant vector may be its rounding errors.
        if constant or np.ptp(x) > 1e-4:
            assert ipr(-(10.0 ** exponent) * np.roll(x, shift), constant) == pytest.approx(ipr(x, constant), rel=1e-8)


@given(arrays(np.float64, (2, 3, 11), elements=entries))
def test_a_stack_is_its_members(x):
    for constant in (True, False):
        alone = [[ipr(row, constant) for row in member] for member in x]
        np.testing.assert_allclose(ipr(x, constant), alone, atol=1e-14)


def test_a_neuron_has_the_mean_over_its_vectors():
    U, V, W = np.stack([cosine(1), np.eye(P)[0]]), np.stack([cosine(2), cosine(2)]), np.zeros((2, P))
    expected = [2 / 3, (1 + 1 / 49) / 3]
    np.testing.assert_allclose(neuron_ipr(U, V, W), expected, atol=1e-13)
    assert mean_ipr(U, V, W) == pytest.approx(np.mean(expected), abs=1e-13)
    np.testing.assert_array_equal(neuron_ipr(U), ipr(U))


@pytest.mark.parametrize("make", [lambda: TwoLayerNetwork(7, 5), lambda: DeepMLP(7, 5), lambda: Transformer(7, 8, 2)])
def test_a_stack_of_networks_is_measured_at_once(make):
    network = make().build(open_device("numpy", "float32"), seed=(0, 1, 2))
    measured = mean_ipr(*network.neurons(), constant=False)
    assert measured.shape == (3,)
    for run in range(3):
        alone = make().build(open_device("numpy", "float32"), seed=run)
        assert measured[run] == pytest.approx(mean_ipr(*alone.neurons(), constant=False), abs=1e-14)


def test_on_a_device_everything_stays_there(strict_cupy):
    network = TwoLayerNetwork(7, 5).build(open_device("numpy", "float32"), seed=(0, 1))
    on_device = TwoLayerNetwork(7, 5).build(open_device("cupy", "float32"), seed=(0, 1))
    for constant in (True, False):
        measured = neuron_ipr(*on_device.neurons(), constant=constant)
        np.testing.assert_allclose(to_host(measured), neuron_ipr(*network.neurons(), constant=constant), atol=1e-14)
    np.testing.assert_array_equal(to_host(dominant_frequency(on_device.neurons()[0])),
                                  dominant_frequency(network.neurons()[0]))
