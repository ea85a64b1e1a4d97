import numpy as np
import pytest

from analysis.analytic import analytic_weights
from analysis.fourier import dominant_frequency
from analysis.ipr import neuron_ipr
from backend import open_device
from layers import Cache, TwoLayerNetwork


def logits_and_labels(p, width, seed=0, operation="add", scale=None, dtype="float64"):
    network = TwoLayerNetwork(p, width).build(open_device("numpy", dtype))
    network.load_state(analytic_weights(p, width, seed, scale, operation))
    m, n = pairs = np.divmod(np.arange(p * p), p)
    return network.forward(np.stack(pairs, axis=-1), Cache()), (m + n if operation == "add" else m - n) % p


def accuracy(*args, **options):
    logits, labels = logits_and_labels(*args, **options)
    return (logits.argmax(axis=-1) == labels).mean()


@pytest.mark.parametrize("operation", ["add", "subtract"])
def test_the_setting_of_the_paper_is_solved_exactly(operation):
    assert accuracy(97, 500, operation=operation, dtype="float32") == 1.0


@pytest.mark.parametrize("p", [3, 4, 5, 6, 9, 10, 15, 16, 23, 24])
def test_any_modulus_is_solved_prime_or_not(p):
    for seed in range(3):
        assert accuracy(p, 500, seed) == 1.0


def test_the_scale_does_not_change_accuracy():
    assert accuracy(23, 300, scale=1e-3) == accuracy(23, 300, scale=50.0) == 1.0


def test_too_few_neurons_do_not_suffice():
    assert accuracy(97, 24) < 0.7


@pytest.mark.parametrize("p", [97, 98])
def test_every_neuron_is_a_pure_wave_and_frequencies_are_spread_evenly(p):
    state = analytic_weights(p, 500, seed=1)
    neurons = state["U"].T, state["V"].T, state["W"]
    np.testing.assert_allclose(neuron_ipr(*neurons), 1, atol=1e-12)
    np.testing.assert_allclose(neuron_ipr(*neurons, constant=False), 1, atol=1e-12)
    frequencies = [dominant_frequency(x) for x in neurons]
    np.testing.assert_array_equal(frequencies[0], frequencies[1])
    np.testing.assert_array_equal(frequencies[0], frequencies[2])
    counts = np.bincount(frequencies[0], minlength=p // 2 + 1)[1:(p - 1) // 2 + 1]
    assert counts.sum() == 500
    assert counts.max() - counts.min() <= 1


def test_the_logits_tend_to_a_kronecker_delta_as_one_over_the_root_of_the_width():
    p, errors = 11, []
    for width in (500, 50_000):
        logits, labels = logits_and_labels(p, width)
        delta = np.where(np.arange(p) == labels[:, None], 1, -1 / (p - 1))
        errors.append(np.sqrt(np.mean((logits - delta) ** 2)))
        # The terms with phases are waves in m and n: over all pairs they cancel for any width.
        assert logits[np.arange(p * p), labels].mean() == pytest.approx(1, abs=1e-12)
    assert errors[0] == pytest.approx(2 / np.sqrt(500), rel=0.5)
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.4)


def test_the_seed_decides():
    one, same, other = analytic_weights(11, 40, 3), analytic_weights(11, 40, 3), analytic_weights(11, 40, 4)
    assert all(np.array_equal(one[name], same[name]) for name in "UVW")
    assert not any(np.array_equal(one[name], other[name]) for name in "UVW")


def test_what_has_no_solution_is_refused():
    with pytest.raises(ValueError, match="p must be at least 3, got 2"):
        analytic_weights(2, 10)
    with pytest.raises(ValueError, match="operation must be one of add, subtract, got 'multiply'"):
        analytic_weights(7, 10, operation="multiply")
