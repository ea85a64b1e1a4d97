"""The experiment on the model of two circuits, at a very small size."""

import json

import numpy as np
import pytest

from experiments import three_ingredients
from experiments.common import run_experiment, spread

FEWER = {"delay": (500, 1000), "ungrokking": (100, 150, 160, 200, 210, 225, 230, 250, 300),
         "from scratch": (280, *range(296, 313, 2), 480)}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("three_ingredients")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("QUICK_SIZES", FEWER), ("LEARNING_RATE", 1.0), ("CASE_STEPS", 4000),
                            ("DELAY_STEPS", 2000), ("GROK_STEPS", 1600)):
            patch.setattr(three_ingredients, name, value)
        code = run_experiment("three_ingredients", three_ingredients.__doc__, three_ingredients.experiment, 5, 2,
                              ["--quick", "--out", str(out), "--cells", str(out / "cells")])
    return code, out, json.loads((out / "result.json").read_text())


def test_leaves_every_case_with_its_checks_and_a_figure(results):
    code, out, result = results
    assert code == 0
    assert result["seeds"] == [0, 1]
    assert set(three_ingredients.CASES) < set(result["measured"])
    assert len([name for name in result["measured"] if name.startswith("delay")]) == 6
    assert len([name for name in result["measured"] if name.startswith("ungrokking, equal steps")]) == 3
    assert len(result["checks"]) == 15
    assert (out / result["figures"][0]).stat().st_size > 10_000


def test_all_three_ingredients_are_needed(results):
    _, _, result = results
    assert [check["holds"] for check in result["checks"][:4]] == [True] * 4
    assert result["measured"]["no generalising circuit"]["delay"] is None


def test_decay_is_a_clock_and_a_middling_accuracy_goes_by(results):
    _, _, result = results
    assert [number for number, check in enumerate(result["checks"]) if not check["holds"]] == [10, 13]


def test_the_seed_draws_tables_and_start():
    one, same, both = (three_ingredients.Draws(seeds) for seeds in ((1,), (1,), (0, 1)))
    np.testing.assert_array_equal(one.u, same.u)
    np.testing.assert_array_equal(one.start(), both.start()[..., 1:])
    assert not np.array_equal(*both.u)
    start = both.start([0.0, 0.1])
    assert start.shape == (2, 2, 2, 2)
    np.testing.assert_array_equal(start[:, 0, 0], 0)
    np.testing.assert_allclose(start[:, 1], three_ingredients.START_MEM, rtol=0.5)
    assert len(np.unique(start[:, 1, 0])) == 4


def test_the_training_examples_are_no_test_examples():
    draws = three_ingredients.Draws((0,))
    draws.u[0] = np.where(np.arange(three_ingredients.EXAMPLES) < 500, 0.1, 0.9)
    s = np.array([[[[30.0], [30.0], [0.0]], [[60.0], [60.0], [60.0]]]])  # right where u < 0.5, and never
    np.testing.assert_array_equal(draws.test_accuracy(s, [500, 250, 250])[0, :, 0], [0, 250 / 1750, 0])


def test_a_rise_is_the_first_step_above_one_half():
    steps = np.array([1, 10, 100])
    assert three_ingredients.first_step(np.array([0.0, 0.5, 0.6]), steps) == 100
    assert three_ingredients.first_step(np.array([0.0, 0.7, 0.2]), steps) == 10
    assert three_ingredients.first_step(np.array([0.0, 0.5, 0.5]), steps) is None


def test_a_crossing_lies_between_sizes_by_their_logarithms():
    crossing = three_ingredients.crossing
    assert crossing([10, 100, 1000], np.array([0.0, 0.0, 1.0])) == pytest.approx(100 * 10**0.5)
    assert crossing([10, 1000], np.array([0.0, 1.0]), 0.25) == pytest.approx(10 * 10**0.5)
    assert crossing([10, 100], np.array([0.6, 1.0])) is None
    assert crossing([10, 100], np.array([0.0, 0.4])) is None


def case(delay=(20.0, 30.0), train=1.0, test=1.0, highest=1.0):
    return {"train_step": spread([10, 10]), "test_step": spread([200, 300]), "delay": delay and spread(list(delay)),
            "highest_test_accuracy": spread([0.0, highest]), "final_train_accuracy": spread([1.0, train]),
            "final_test_accuracy": spread([1.0, test])}


@pytest.mark.parametrize(("changed", "holding"), [
    ({}, [True] * 4),
    ({"all three ingredients": case((9.0, 30.0))}, [False, True, True, True]),
    ({"all three ingredients": case(None)}, [False, True, True, True]),
    ({"all three ingredients": case(test=0.8)}, [False, True, True, True]),
    ({"no generalising circuit": case(None, highest=0.2)}, [True, False, True, True]),
    ({"not more efficient": case(None, train=0.0, highest=0.0)}, [True, True, False, True]),
    ({"not slower": case((1.0, 3.1))}, [True, True, True, False]),
    ({"not slower": case(None)}, [True, True, True, False])])
def test_a_case_that_goes_otherwise_does_not_hold(changed, holding):
    measured = dict(zip(three_ingredients.CASES, (case(), case(None, highest=0.05), case(None, highest=0.1),
                                                  case((1.0, 2.0))), strict=True))
    assert [check.holds for check in three_ingredients._case_checks(measured | changed)] == holding


@pytest.mark.parametrize(("ratios", "holds"), [
    ([[1.05, 0.95], [1.09]], True), ([[1.05], [1.11]], False), ([[0.89], [1.0]], False), ([[1.0], None], False)])
def test_every_delay_must_be_the_predicted_one(ratios, holds):
    measured = {str(number): {"ratio": values and spread(values)} for number, values in enumerate(ratios)}
    assert three_ingredients._delay_check(measured).holds == holds


def ungrokking(transition=(226, 227), at_equal_steps=(150, 227), width=1.02, **changed):
    """What was measured of two seeds, of which what is changed is the second's."""
    values = {"test_accuracy_before": 1.0, "lowest_train_accuracy": 1.0, "highest_test_accuracy_far_below": 0.0,
              "lowest_test_accuracy_above": 1.0, "predicted_transition": 226.0}
    measured = {"ungrokking": {name: spread([value, changed.get(name, value)]) for name, value in values.items()}}
    for equal, sizes in (("decay x steps", transition), ("steps", at_equal_steps)):
        for decay, size in zip(three_ingredients.DECAYS, (*sizes, sizes[-1]), strict=True):
            measured[f"ungrokking, equal {equal}, decay {decay:g}"] = {
                "transition": size and spread([size]), "width": width and spread([1.02, width])}
    return measured


@pytest.mark.parametrize(("changed", "failing"), [
    ({}, [5]), ({"at_equal_steps": (225, 230)}, []), ({"at_equal_steps": (None, 230)}, [5]),
    ({"test_accuracy_before": 0.8}, [0, 5]), ({"highest_test_accuracy_far_below": 0.2}, [0, 5]),
    ({"lowest_test_accuracy_above": 0.5}, [1, 5]), ({"lowest_train_accuracy": 0.0}, [2, 5]), ({"width": 1.3}, [3, 5]),
    ({"width": None}, [3, 5]), ({"transition": (200, 227)}, [4, 5])])
def test_ungrokking_that_goes_otherwise_does_not_hold(changed, failing):
    checks = three_ingredients._ungrokking_checks(ungrokking(**changed))
    assert [number for number, check in enumerate(checks) if not check.holds] == failing


@pytest.mark.parametrize(("ungrokked", "scratch", "holds"), [
    (226, [300, 310], True), (251, [300], False), (226, [249, 300], False), (None, [300], False), (226, None, False)])
def test_the_transitions_lie_on_either_side_of_the_critical_size(ungrokked, scratch, holds):
    measured = ungrokking(transition=(226, ungrokked))
    measured["from scratch"] = {"transition": scratch and spread(scratch), "predicted_transition": spread([302.0])}
    assert three_ingredients._hysteresis_check(measured).holds == holds


@pytest.mark.parametrize(("middling", "tied", "size", "holding"), [
    ((0.4, 1.0), (0.6, 0.6), 300, [True, False, True]), ((0.4, 0.42), (0.6, 0.7), 300, [True, True, False]),
    ((0.05, 1.0), (0.95, 0.95), 300, [False, False, False]), ((0.4, 1.0), (0.6, 0.6), 240, [False, False, True])])
def test_a_middling_accuracy_that_moves_does_not_stay(middling, tied, size, holding):
    measured = {name: {f"test_accuracy_at_{time}": spread([0.5, value])
                       for time, value in zip(three_ingredients.SCRATCH_TIMES, (0.0, *values), strict=True)}
                for name, values in (("from scratch, most middling", middling), ("tied costs, like starts", tied))}
    measured["from scratch"] = {"middling_size": spread([310, size])}
    assert [check.holds for check in three_ingredients._semi_grokking_checks(measured)] == holding
