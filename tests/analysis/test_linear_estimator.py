"""The linear student, against finite differences, gradient descent step by step, and closed forms of SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from analysis import linear_estimator
from analysis.linear_estimator import (
    accuracy,
    cost,
    descend,
    differences,
    eigenbasis,
    first_time,
    gradient,
    learning_times,
    losses,
    measure,
    predicted_grokking_time,
    what_is_left,
)
from analysis.marchenko_pastur import edges, quadrature
from data.teacher import gaussian_inputs, teacher_and_student

SEEDS, DECAYS = st.integers(0, 1000), st.sampled_from([0.0, 0.3, 2.0])
SIZES = st.tuples(st.integers(1, 8), st.integers(1, 6), st.integers(1, 3))  # examples, inputs, outputs


def task(sizes, seed):
    examples, d_in, d_out = sizes
    return gaussian_inputs(examples, d_in, seed, "train"), *teacher_and_student(d_in, d_out, seed)


@given(SIZES, SEEDS, DECAYS)
def test_the_gradient_is_that_of_finite_differences(sizes, seed, decay):
    X, T, S = task(sizes, seed)
    dS, step = gradient(X, X @ T, S, decay), 1e-4
    for place in np.ndindex(S.shape):
        shift = np.zeros_like(S)
        shift[place] = step
        numeric = (cost(X, T, S + shift, decay) - cost(X, T, S - shift, decay)) / (2 * step)
        assert dS[place] == pytest.approx(numeric, rel=1e-6, abs=1e-9)


@given(SIZES, SEEDS, DECAYS)
def test_the_solution_is_gradient_descent_step_by_step(sizes, seed, decay):
    X, T, S = task(sizes, seed)
    nu, _ = basis = eigenbasis(X)
    learning_rate, records = 0.4 / (2 * nu.max() + decay), [0, 1, 2, 50]
    walked = descend(X, T, S, learning_rate, records, decay)
    np.testing.assert_array_equal(walked[0], S - T)
    np.testing.assert_allclose(walked[1], S - learning_rate * gradient(X, X @ T, S, decay) - T)
    solved = differences(basis, T, S, learning_rate, records, decay)
    np.testing.assert_allclose(solved, walked, rtol=1e-9, atol=1e-12)


@given(st.floats(0, 4), st.floats(0, 2), st.floats(0, 100))
def test_shorter_steps_come_to_gradient_flow(eigenvalue, decay, time):
    nu = np.array([eigenvalue])
    flow = what_is_left(nu, time / 1e-6, 1e-6, decay, flow=True)
    np.testing.assert_allclose(what_is_left(nu, time / 1e-6, 1e-6, decay), flow, rtol=0.01, atol=1e-12)
    rate = 2 * (eigenvalue + decay / 2)
    assert flow[0] == pytest.approx(np.exp(-rate * time), rel=1e-9)
    if rate > 0:  # what the docstring states
        assert flow[1] == pytest.approx((flow[0] * eigenvalue + decay / 2) / (eigenvalue + decay / 2))


def test_a_step_too_long_is_refused():
    with pytest.raises(ValueError, match=r"must be less than one, got 1\.2"):
        what_is_left(np.array([0.1, 2.0]), 10, 0.3)
    what_is_left(np.array([0.1, 2.0]), 10, 0.3, flow=True)


@pytest.mark.parametrize(("ratio", "decay"), [(0.25, 0.0), (0.8, 0.0), (1.6, 0.0), (0.8, 0.1), (1.6, 0.3)])
def test_the_losses_are_those_of_students_of_finite_size(ratio, decay):
    d, learning_rate, steps = 400, 0.05, [0, 1, 10, 40, 80]
    measured = []
    for seed in range(8):
        X, T, S = task((round(d / ratio), d, 3), seed)
        D = differences(eigenbasis(X), T, S, learning_rate, steps, decay)
        measured.append((measure(X, D, 1e-3)[0], np.sum(D**2, axis=(1, 2))))
    expected = losses(steps, quadrature(ratio, 2000), learning_rate, decay, flow=False)
    standard_error = np.std(measured, axis=0, ddof=1) / 8**0.5
    np.testing.assert_array_less(abs(np.mean(measured, axis=0) - expected), 5 * standard_error)
    np.testing.assert_allclose(np.mean(measured, axis=0), expected, rtol=0.1)


def test_the_errors_follow_the_steps_rather_than_the_flow_when_these_differ():
    d, learning_rate, steps = 400, 0.1, [20]
    X, T, S = task((1600, d, 20), 0)
    D = differences(eigenbasis(X), T, S, learning_rate, steps)
    law = quadrature(0.25, 2000)
    by_steps, by_flow = (losses(steps, law, learning_rate, flow=flow)[1][0] for flow in (False, True))
    assert np.sum(D**2) == pytest.approx(by_steps, rel=0.05)
    assert by_flow > 1.14 * by_steps


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_eigenvalues_of_a_training_set_give_the_losses_of_its_students(decay):
    """With many outputs, that is many teachers and students, the size of the training set does not matter."""
    X, T, S = task((12, 10, 5000), 0)
    basis, steps = eigenbasis(X), [0, 1, 10, 100]
    D = differences(basis, T, S, 0.05, steps, decay)
    expected = losses(steps, (basis[0], np.full(10, 0.1)), 0.05, decay, flow=False)
    np.testing.assert_allclose([measure(X, D, 1)[0], np.sum(D**2, axis=(1, 2))], expected, rtol=0.08)


@given(st.floats(0.05, 3).filter(lambda ratio: abs(ratio - 1) > 0.05), st.floats(0, 1))
def test_losses_begin_at_one_and_fall(ratio, decay):
    train, gen = losses([0, 1, 10, 100, 1000], quadrature(ratio, 1000), 0.01, decay)
    assert train[0] == pytest.approx(1)
    assert gen[0] == pytest.approx(1)
    assert np.all(np.diff(gen) < 0)
    assert np.all(np.diff(train) <= 0)


def test_without_examples_enough_a_share_of_the_loss_stays_and_decay_halves_it():
    law = quadrature(1.5, 1000)
    assert losses([1e9], law, 0.01)[1][0] == pytest.approx(1 / 3)
    assert losses([1e9], law, 0.01, 1e-6)[1][0] == pytest.approx(1 / 6, rel=1e-4)


def test_with_decay_the_loss_ends_at_what_the_decay_keeps_from_the_teacher():
    nu, weights = law = quadrature(0.5, 1000)
    kept = weights @ (0.05 / (nu + 0.05)) ** 2 / 2
    assert losses([1e6], law, 0.01, 0.1)[1][0] == pytest.approx(kept)


def test_at_ratio_one_the_loss_is_that_of_bessel_functions():
    steps = np.array([0, 10, 1e3, 1e6])
    a = 4 * 0.01 * steps
    gen = losses(steps, quadrature(1.0), 0.01)[1]
    np.testing.assert_allclose(gen, special.ive(0, 2 * a) + special.ive(1, 2 * a), rtol=1e-9)
    assert gen[-1] == pytest.approx((np.pi * a[-1]) ** -0.5, rel=1e-4)


@given(st.integers(1, 60), st.floats(1e-6, 1e6))
def test_the_accuracy_is_a_chi_square_probability(outputs, L):
    assert accuracy(L, 1e-3, outputs) == pytest.approx(special.chdtr(outputs, outputs * 1e-3 / L), abs=1e-12)


def test_the_accuracy_of_one_output_is_an_error_function():
    L = np.geomspace(1e-6, 1, 20)
    np.testing.assert_allclose(accuracy(L, 1e-3), special.erf(np.sqrt(1e-3 / (2 * L))), rtol=1e-12)
    np.testing.assert_array_equal(accuracy(np.array([0.0, 1e-300, np.inf]), 1e-3, 5), [1, 1, 0])


@pytest.mark.parametrize("outputs", [1, 2, 7])
def test_the_accuracy_is_that_of_examples(outputs):
    d, examples = 2000, 4000
    T, S = teacher_and_student(d, outputs, 0)
    D = (S - T)[None] * np.array([0.02, 0.05, 0.3])[:, None, None]
    L, measured = measure(gaussian_inputs(examples, d, 0, "test"), D, 1e-3)
    np.testing.assert_allclose(L, np.sum(D**2, axis=(1, 2)), rtol=0.1)
    np.testing.assert_allclose(measured, accuracy(L, 1e-3, outputs), atol=4 * 0.5 / examples**0.5)


@given(st.floats(1.01, 9e5), st.floats(0.1, 0.9))
def test_a_first_time_is_found(time, level):
    assert first_time(lambda k: level + 1e-3 * np.log(k / time), 1e6, level) == pytest.approx(time, rel=1e-6)
    assert first_time(lambda k: level + 1e-3 * np.log(k / time), time / 1.01, level) is None


@pytest.mark.parametrize("flow", [True, False])
def test_at_the_learning_times_the_accuracies_are_at_the_level(flow):
    law = quadrature(0.7, 1000)
    times = learning_times(law, 0.01, 1e-3, 3, 1e-3, flow)
    for which, time in enumerate(times):
        L = losses([time], law, 0.01, 1e-3, flow)[which]
        assert accuracy(L, 1e-3, 3)[0] == pytest.approx(linear_estimator.LEVEL, abs=1e-6)


def test_without_examples_enough_only_the_training_set_is_learnt():
    train, gen = learning_times(quadrature(1.2, 2000), 0.01, 1e-3)
    assert train > 0
    assert gen is None


@pytest.mark.parametrize("ratio", [0.3, 0.7, 0.95])
def test_the_formula_is_right_for_a_vanishing_tolerance(ratio):
    """Its error falls as one over the logarithm of eps, which has to be very small."""
    predicted, (nu_min, _) = predicted_grokking_time(ratio, 0.01), edges(ratio)
    errors = []
    for digits in (3, 30, 150, 280):
        train, gen = learning_times(quadrature(ratio, 4000), 0.01, 10.0**-digits)
        errors.append(predicted / (gen - train) - 1)
    assert np.all(np.diff(errors) < 0)
    assert errors[-1] == pytest.approx(1.5 * (1 - 1 / np.log(nu_min)) / (280 * np.log(10)), rel=0.05)


def test_the_formula_is_the_papers_and_diverges_at_one():
    for ratio in (0.1, 0.9, 0.99):
        edge = 1 - ratio**0.5
        assert predicted_grokking_time(ratio, 0.01) == pytest.approx(np.log(1 / edge) / (2 * 0.01 * edge**2))
    assert predicted_grokking_time(1 - 1e-6, 0.01) > 1e14
    with pytest.raises(ValueError, match="ratio must be less than one, got 1"):
        predicted_grokking_time(1.0, 0.01)


def test_the_time_itself_is_finite_at_ratio_one():
    train, gen = learning_times(quadrature(1.0), 0.01, 0.1)
    # erf(sqrt(eps / (2 L))) is 0.95 at L = eps / 1.96^2.
    L = 0.1 / 1.959964**2
    assert gen == pytest.approx(1 / (4 * np.pi * 0.01 * L**2), rel=0.01)
    assert train < gen


@pytest.mark.parametrize("ratio", [0.3, 0.8])
def test_simulated_students_grok_when_the_curves_say(ratio):
    d, seeds, learning_rate, tolerance = 200, 40, 0.01, 1e-3
    measured = np.empty((seeds, 2))
    for seed in range(seeds):
        X, T, S = task((round(d / ratio), d, 1), seed)
        basis = eigenbasis(X)
        for which, examples in enumerate((X, gaussian_inputs(1000, d, seed, "test"))):
            def accuracy_at(k, examples=examples, basis=basis, T=T, S=S):
                return measure(examples, differences(basis, T, S, learning_rate, [k]), tolerance)[1][0]

            measured[seed, which] = first_time(accuracy_at, 1e6)
    expected = learning_times(quadrature(d / round(d / ratio), 2000), learning_rate, tolerance, flow=False)
    standard_error = measured.std(axis=0, ddof=1) / seeds**0.5
    np.testing.assert_array_less(abs(measured.mean(axis=0) - expected), 4 * standard_error)
    np.testing.assert_allclose(measured.mean(axis=0), expected, rtol=0.15)
