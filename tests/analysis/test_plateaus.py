"""Plateaus of curves: what they are by definition, found as a slow search through all stretches finds them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.plateaus import MIDDLING, Plateau, middling, plateaus

# Values and tolerances are multiples of 1/64, so that differences are exact and a value on the border is on it.
UNIT = 1 / 64


@st.composite
def curves(draw, first=0):
    """Steps, unequally spaced, and values that wander; a tolerance of some of their moves."""
    steps = sorted(draw(st.sets(st.integers(first, 400), max_size=40)))
    moves = draw(st.lists(st.sampled_from([0, 0, 0, 1, -1, 2, -2, 5]), min_size=len(steps), max_size=len(steps)))
    return steps, (UNIT * np.cumsum(moves)).tolist(), draw(st.sampled_from([0, 0.5, 1, 2])) * UNIT


def by_definition(steps, values, tolerance, ratio):
    """First and last step of each plateau, from all pairs of evaluations."""
    places = [k for k, step in enumerate(steps) if step > 0]
    flat = [(a, b) for a in places for b in places if a <= b
            and max(values[a:b + 1]) - min(values[a:b + 1]) <= 2 * tolerance]
    maximal = [(a, b) for a, b in flat if not any(c <= a and b <= d and (c, d) != (a, b) for c, d in flat)]
    long = [(a, b) for a, b in maximal if steps[b] >= ratio * steps[a]]
    kept = []
    while long:
        best = max(long, key=lambda stretch: (steps[stretch[1]] / steps[stretch[0]], -stretch[0]))
        kept.append((steps[best[0]], steps[best[1]]))
        long = [(a, b) for a, b in long if b < best[0] or best[1] < a]
    return sorted(kept)


def ends(found):
    return [(plateau.start, plateau.end) for plateau in found]


@given(curve=curves(), ratio=st.sampled_from([1.5, 2.0, 4.0]))
def test_against_a_search_through_all_stretches(curve, ratio):
    steps, values, tolerance = curve
    assert ends(plateaus(steps, values, tolerance, ratio)) == by_definition(steps, values, tolerance, ratio)


@given(curve=curves(), ratio=st.sampled_from([1.5, 2.0, 4.0]))
def test_every_plateau_is_long_and_flat_and_cannot_be_extended(curve, ratio):
    steps, values, tolerance = curve
    found = plateaus(steps, values, tolerance, ratio)
    for plateau in found:
        first, last = steps.index(plateau.start), steps.index(plateau.end)
        inside = values[first:last + 1]
        assert steps[first] > 0
        assert steps[last] >= ratio * steps[first]
        assert max(inside) - min(inside) <= 2 * tolerance
        assert min(inside) - 1e-12 <= plateau.level <= max(inside) + 1e-12
        for place in (first - 1, last + 1):
            if 0 <= place < len(steps) and steps[place] > 0:
                assert max(*inside, values[place]) - min(*inside, values[place]) > 2 * tolerance
    assert all(one.end < other.start for one, other in pairwise(found))


@given(curve=curves(), factor=st.integers(2, 1000), shift=st.integers(-100, 100))
def test_neither_the_unit_of_steps_nor_the_height_of_the_curve_matters(curve, factor, shift):
    steps, values, tolerance = curve
    found = plateaus(steps, values, tolerance)
    moved = plateaus([factor * step for step in steps], [value + UNIT * shift for value in values], tolerance)
    assert ends(moved) == [(factor * start, factor * end) for start, end in ends(found)]
    for one, other in zip(found, moved, strict=True):
        assert other.level == pytest.approx(one.level + UNIT * shift, abs=1e-12)


@given(curve=curves(), step=st.integers(0, 400), value=st.integers(0, 64))
def test_a_constant_curve_is_one_plateau(curve, step, value):
    steps = sorted({*curve[0], step, 2 * step + 2})
    found = plateaus(steps, [UNIT * value] * len(steps))
    positive = [step for step in steps if step > 0]
    if positive[-1] < 2 * positive[0]:
        assert found == []
    else:
        assert ends(found) == [(positive[0], positive[-1])]
        assert found[0].level == pytest.approx(UNIT * value, abs=1e-14)


@pytest.mark.parametrize("direction", [1, -1])
def test_a_steady_rise_has_none_if_it_is_fast_enough(direction):
    steps = np.arange(1, 3000)
    # While the steps double it moves by 0.041, against the 0.04 of a plateau; or by 0.039.
    assert plateaus(steps, direction * 0.041 * np.log2(steps)) == []
    assert plateaus(steps, direction * 0.039 * np.log2(steps)) != []


def test_two_levels_with_a_rise_between():
    steps = np.arange(0, 32_100, 100)
    values = 0.02 + 0.5 / (1 + (3000 / np.maximum(steps, 1)) ** 6)
    chance, half = plateaus(steps, values)
    assert chance.start == 100
    assert chance.end < 3000 < half.start
    assert half.end == 32_000
    assert chance.level == pytest.approx(0.02, abs=0.01)
    assert half.level == pytest.approx(0.52, abs=0.01)
    assert [plateau.middling for plateau in (chance, half)] == [False, True]


def test_the_longest_in_the_logarithm_comes_first_and_what_overlaps_it_is_dropped():
    # 1 ... 8 and 4 ... 20 are both flat and long. 9 ... 20 would be long as well, but is only a rest of the second.
    values = [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
    assert ends(plateaus([1, 2, 4, 8, 9, 20], values, tolerance=0.5)) == [(1, 8)]
    assert ends(plateaus([2, 3, 4, 8, 9, 20], values, tolerance=0.5)) == [(4, 20)]


def test_of_equally_long_ones_the_earlier_is_kept():
    assert ends(plateaus([1, 2, 4], [0.0, 1.0, 2.0], tolerance=0.5)) == [(1, 2)]


def test_step_0_is_not_part_of_any():
    assert ends(plateaus([0, 1, 2], [0.5] * 3)) == [(1, 2)]
    assert plateaus([0, 5], [0.5] * 2) == []
    assert plateaus([], []) == plateaus([0], [0.5]) == plateaus([7], [0.5]) == []


def test_the_level_is_the_mean_over_the_logarithm_of_the_steps():
    # From 10 to 20 it is 0, from 20 to 40, which is as long, 0.015 on average: however often it is evaluated before 20.
    assert plateaus([10, 20, 40], [0.0, 0.0, 0.03])[0].level == pytest.approx(0.0075)
    assert plateaus([10, 12, 15, 20, 40], [0.0, 0.0, 0.0, 0.0, 0.03])[0].level == pytest.approx(0.0075)


def test_middling_is_what_is_neither_near_chance_nor_learnt():
    assert [middling(value) for value in (0.02, 0.0999, 0.1, 0.5, 0.9499, 0.95, 1.0)] == [
        False, False, True, True, True, False, False]
    assert Plateau(1, 2, MIDDLING[0]).middling
    assert not Plateau(1, 2, MIDDLING[1]).middling


@pytest.mark.parametrize(("steps", "values", "options", "problem"), [
    ([1, 2], [0.0], {}, "one length"), ([[1, 2]], [[0.0, 0.0]], {}, "one length"),
    ([2, 1], [0.0, 0.0], {}, "increase"), ([1, 1], [0.0, 0.0], {}, "increase"), ([-1, 1], [0.0, 0.0], {}, "negative"),
    ([1, 2], [0.0, np.nan], {}, "finite"), ([1, 2], [0.0, 0.0], {"tolerance": -0.1}, "got -0.1"),
    ([1, 2], [0.0, 0.0], {"ratio": 1.0}, "got 1.0")])
def test_what_is_no_curve_is_refused(steps, values, options, problem):
    with pytest.raises(ValueError, match=problem):
        plateaus(steps, values, **options)
