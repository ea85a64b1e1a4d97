"""The model of two circuits, against explicit tables, finite differences and its own solution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import two_circuits
from analysis.two_circuits import cost, crossing_size, crossing_time, descend, equilibrium_logit, gradient, start_ratio

CLASSES = st.integers(2, 20)
SEEDS = st.integers(0, 1000)


def sub_weights(seed, *shape):
    return np.random.default_rng(seed).uniform(-2, 2, (2, 2, *shape))


def probabilities_of_the_right_class(s_gen, s_mem, u, classes, rng):
    """By the tables themselves, whose examples are trained on where u is NaN."""
    labels = rng.integers(classes, size=len(u))
    wrong = (labels + rng.integers(1, classes, size=len(u))) % classes
    one_hot, trained = np.eye(classes), np.isnan(u)[:, None]
    z = s_gen * one_hot[labels] + s_mem * np.where(trained, one_hot[labels], u[:, None] * one_hot[wrong])
    odds = np.exp(z)
    return odds[np.arange(len(u)), labels] / odds.sum(axis=1)


@given(SEEDS, CLASSES)
def test_the_cost_and_the_accuracies_are_those_of_the_tables(seed, classes):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 2.5, (2, 2))
    s, u = a * b, rng.uniform(size=50)
    train = probabilities_of_the_right_class(*s, np.full(7, np.nan), classes, rng)
    assert cost(a, b, np.zeros(2), classes) == pytest.approx(-np.log(train).mean())
    assert two_circuits.missing_probability(s.sum(), classes) == pytest.approx(1 - train.mean())
    assert two_circuits.train_accuracy(s, classes) == (train > 0.5).mean()
    test = probabilities_of_the_right_class(*s, u, classes, rng)
    assert two_circuits.test_accuracy(s, u, classes) == (test > 0.5).mean()


@given(SEEDS, CLASSES)
def test_the_gradient_is_that_of_finite_differences(seed, classes):
    weights, decay, step = sub_weights(seed, 3), np.array([[0.01], [0.3]]), 1e-5
    analytic = np.stack(gradient(*weights, decay, classes))
    for place in np.ndindex(2, 2):
        shifted = np.zeros_like(weights)
        shifted[place] = step
        numeric = (cost(*(weights + shifted), decay, classes) - cost(*(weights - shifted), decay, classes)) / (2 * step)
        np.testing.assert_allclose(analytic[place], numeric, rtol=1e-6, atol=1e-8)


@given(CLASSES, st.floats(0.001, 0.4), st.floats(0.001, 0.4))
def test_a_circuit_rests_at_its_logit_and_lets_the_cheaper_one_grow(classes, decay_gen, decay_mem):
    decay, h_gen = np.array([decay_gen, decay_mem]), 1e-6
    h = np.array([h_gen, np.sqrt(equilibrium_logit(decay_mem, classes))])
    da, db = gradient(h, h, decay, classes)
    np.testing.assert_allclose(da, db)
    assert da[1] == pytest.approx(0, abs=1e-9)
    assert -da[0] / h_gen == pytest.approx(decay_mem - decay_gen, abs=1e-9)


def test_too_much_decay_leaves_nothing():
    assert equilibrium_logit(0.91, 10) == equilibrium_logit(0.95, 10) == 0 < equilibrium_logit(0.89, 10)
    a, b = descend([0.5, 0.5], [0.5, 0.5], np.array([0.95, 1.0]), 10, 0.1, [1000])
    np.testing.assert_allclose(a * b, 0, atol=1e-4)


@given(st.floats(0, 1))
def test_costs_that_tie_leave_every_division_at_rest(share):
    decay = np.array([0.02, 0.02])
    h = np.sqrt(equilibrium_logit(0.02, 10) * np.array([share, 1 - share]))
    np.testing.assert_allclose(gradient(h, h, decay, 10), 0, atol=1e-12)


@given(SEEDS)
def test_the_ratio_of_the_circuits_grows_at_one_rate_whatever_the_loss_does(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.01, 0.3, (2, 2))
    decay, rate, records = rng.uniform(0.01, 0.1, 2), 0.02, np.array([0, 150, 800, 1500])
    a, b = descend(a, b, decay, 5, rate, records)
    np.testing.assert_allclose(start_ratio(a.T, b.T), start_ratio(a[0], b[0])
                               * np.exp(2 * (decay[1] - decay[0]) * rate * records), rtol=0.02)
    s_gen, s_mem = (a * b)[-1]
    assert s_gen / s_mem == pytest.approx(start_ratio(a[-1], b[-1]), rel=0.01)  # the sub-weights have come to balance


def test_c_gen_takes_over_when_predicted():
    decay, rate, steps = np.array([0.005, 0.01]), 0.2, np.arange(0, 10_001, 20)
    h = np.array([1e-3, 0.1])
    s = np.prod(descend(h, h, decay, 10, rate, steps), axis=0).T
    for accuracy in (0.2, 0.5, 0.9):
        time = crossing_time(start_ratio(h, h), decay, accuracy)
        assert np.interp(accuracy, s[0] / s[1], steps * rate) == pytest.approx(time, rel=0.01)
    # What lags behind is the other classes' share, which weighs the less the larger the logits are.
    u = np.linspace(0.0005, 0.9995, 1000)
    measured = [steps[np.argmax(two_circuits.test_accuracy(s, u, classes) > 0.5)] * rate for classes in (2, 10)]
    predicted = crossing_time(start_ratio(h, h), decay)
    assert measured[0] == pytest.approx(predicted, rel=0.01)
    assert predicted < measured[1] < 1.1 * predicted


def test_with_large_logits_the_accuracy_is_the_ratio_of_the_circuits():
    u = np.linspace(0.0005, 0.9995, 1000)
    ratio = np.array([0.01, 0.3, 0.8, 1.0, 5.0])
    accuracy = two_circuits.test_accuracy(np.stack([300 * ratio, np.full(5, 300.0)]), u, 10)
    np.testing.assert_allclose(accuracy, np.minimum(ratio, 1), atol=0.01)


@given(st.floats(1e-8, 1e8), st.floats(0.1, 0.9), st.floats(1, 1000))
def test_the_size_of_a_transition_is_the_one_crossed_at_its_time(ratio, accuracy, time):
    size = crossing_size(ratio, 0.01, time, 250, accuracy)
    assert size > 250 if ratio < accuracy else size <= 250
    if abs(size - 250) > 1e-3:
        assert crossing_time(ratio, np.array([0.01, 0.01 * size / 250]), accuracy) == pytest.approx(time)


def test_runs_beside_each_other_do_not_meet():
    (a, b), decay = np.abs(sub_weights(0, 4)), np.linspace(0.01, 0.2, 8).reshape(2, 4)
    together = descend(a, b, decay, 10, 0.1, [0, 1, 50])
    np.testing.assert_array_equal([kept[0] for kept in together], [a, b])
    for run in range(4):
        alone = descend(a[:, run], b[:, run], decay[:, run], 10, 0.1, [0, 1, 50])
        np.testing.assert_allclose([kept[..., run] for kept in together], alone, rtol=1e-12)
    da, db = gradient(a, b, decay, 10)
    np.testing.assert_allclose([kept[1] for kept in together], [a - 0.1 * da, b - 0.1 * db])


@pytest.mark.parametrize("records", [[], [-1, 2], [3, 3], [5, 2]])
def test_records_must_ascend(records):
    with pytest.raises(ValueError, match="records must be steps in ascending order, from 0 on, got"):
        descend(np.ones(2), np.ones(2), np.ones(2), 10, 0.1, records)
