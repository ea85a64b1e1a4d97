"""Fitted transitions, on curves of which the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.transition import Transition, fit_transition, interval

SIZES = np.array([100, 141, 200, 283, 400, 566, 800])


def test_goes_from_chance_to_one_with_half_the_way_at_the_midpoint():
    transition = Transition(midpoint=300.0, steepness=4.0)
    assert transition.accuracy(np.array(300.0), 0.02) == pytest.approx(0.51)
    D = np.array([1e-6, 1e9])
    np.testing.assert_allclose(transition.accuracy(D, 0.02), [0.02, 1], atol=1e-9)
    grid = np.array([50.0, 200.0, 700.0])
    np.testing.assert_allclose(transition.accuracy(grid, 0.1), 0.1 + 0.9 / (1 + (300 / grid) ** 4), rtol=1e-12)


def test_the_factor_leads_from_a_tenth_of_the_way_to_nine_tenths():
    transition = Transition(midpoint=300.0, steepness=3.0)
    low = 300 / 9 ** (1 / 3)
    at = transition.accuracy(np.array([low, low * transition.factor]), 0.0)
    np.testing.assert_allclose(at, [0.1, 0.9], rtol=1e-12)


@settings(max_examples=40)
@given(midpoint=st.floats(150, 600), steepness=st.floats(1, 12), chance=st.sampled_from([0.0, 1 / 53, 0.1]))
def test_finds_again_what_a_curve_was_drawn_with(midpoint, steepness, chance):
    accuracies = Transition(midpoint, steepness).accuracy(SIZES, chance)
    half = (1 + chance) / 2
    found = fit_transition(SIZES, accuracies, chance)
    if not accuracies[0] < half < accuracies[-1]:
        assert found is None
        return
    assert found.midpoint == pytest.approx(midpoint, rel=1e-3)
    assert found.steepness == pytest.approx(steepness, rel=1e-2)


def test_a_sudden_step_lies_between_its_sizes():
    found = fit_transition(SIZES, [0, 0, 0, 0, 1, 1, 1], 0.0)
    assert 283 < found.midpoint < 400
    assert found.factor < 400 / 283
    assert found.between == (283, 400)
    assert interval([found, found]) == (283, 400)
    assert fit_transition(SIZES, [0, 0, 0, 0.5, 1, 1, 1], 0.0).between is None


@pytest.mark.parametrize("accuracies", [[0.9] * 7, [0.1] * 7, [1, 0.9, 0.8, 0.6, 0.4, 0.2, 0]])
def test_what_does_not_pass_half_way_has_no_midpoint(accuracies):
    assert fit_transition(SIZES, accuracies, 0.02) is None


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        low, high = interval([Transition(midpoint, 5.0) for midpoint in 300 + 30 * rng.standard_normal(5)])
        hits += low <= 300 <= high
    assert abs(hits / 2000 - 0.95) < 4 * (0.95 * 0.05 / 2000) ** 0.5


def test_a_single_midpoint_has_no_interval():
    assert interval([Transition(300.0, 5.0)]) is None
