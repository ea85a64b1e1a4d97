"""The experiment on linear students, at a very small size."""

import json

import numpy as np
import pytest

from analysis import linear_estimator as solution
from analysis.marchenko_pastur import quadrature
from experiments import linear_estimator
from experiments.common import run_experiment, spread
from experiments.linear_simulation import (
    DECAYED,
    HALVED,
    LATE,
    LITTLE,
    MAIN,
    MORE_OUTPUTS,
    NEVER,
    SETTINGS,
    SPOILT,
    Setting,
    Simulation,
    simulate,
)

SMALL = {"d_in": 60, "smaller d_in": 30, "fresh inputs": 500, "sweep": (0.1, 0.5, 1.0, 1.5)}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("linear_estimator")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_estimator, "quadrature", lambda ratio: quadrature(ratio, 1000))
        for name, value in (("QUICK_SIZES", SMALL), ("LINE", (0.1, 0.5, 0.9)),
                            ("RECORDS", np.unique(np.geomspace(1, 100_000, 30).round()))):
            patch.setattr(linear_estimator, name, value)
        code = run_experiment("linear_estimator", linear_estimator.__doc__, linear_estimator.experiment, 5, 2,
                              ["--quick", "--out", str(out), "--cells", str(out / "cells")])
    return code, out, json.loads((out / "result.json").read_text())


def test_leaves_every_setting_with_its_checks_and_two_figures(results):
    code, out, result = results
    assert code == 0
    assert result["seeds"] == [0, 1]
    assert {setting.name for setting in SETTINGS} < set(result["measured"])
    assert len([name for name in result["measured"] if name.startswith("sweep")]) == 8
    assert len(result["figures"]) == 2
    for name in result["figures"]:
        assert (out / name).stat().st_size > 10_000


def test_the_solution_stands_beside_what_is_simulated(results):
    measured = results[2]["measured"]
    for name in (LITTLE.name, "sweep, d_in 60, lambda 0.1"):
        one = measured[name]
        assert one["test_step"]["mean"] == pytest.approx(one["solved_test_step"]["mean"], rel=0.3)
        errors = [time / one["solved_time"]["mean"] - 1 for time in one["grokking_time"]["values"]]
        assert one["relative_error"]["values"] == pytest.approx(errors)
    for name in (NEVER.name, HALVED.name, "sweep, d_in 30, lambda 1.5"):
        assert measured[name]["train_step"] is not None
        assert measured[name]["grokking_time"] is measured[name]["solved_time"] is None
    assert measured["walked"]["apart"]["max"] < 1e-9
    assert len(measured["walked"]["apart"]["values"]) == 2 * len(MAIN)


def test_times_are_those_at_which_the_curves_pass():
    simulation, setting = Simulation(40, 0.5, 300, 1), Setting(0.5, outputs=2)
    for column, time in simulation.times(setting).items():
        before, after = simulation.curves([time * 0.999, time * 1.001], setting)[column][1]
        assert before <= solution.LEVEL <= after


def test_the_seed_decides_of_the_inputs_and_of_the_student():
    one, same, other = (Simulation(20, 0.5, 50, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.curves([0, 10], LATE)["test"], same.curves([0, 10], LATE)["test"])
    assert np.all(one.curves([0, 10], LATE)["test"][0] != other.curves([0, 10], LATE)["test"][0])
    curves, times, _ = simulate(SMALL | {"d_in": 20, "fresh inputs": 50}, (0, 1), linear_estimator.RECORDS)
    assert curves[LATE]["train"].shape == (2, 2, len(linear_estimator.RECORDS))
    assert [len(of_ratio) for of_size in times.values() for of_ratio in of_size.values()] == [2] * 8


def setting(train=(100.0, 110.0), test=(900.0, 1000.0), solved=850.0, loss=0.0, final=1 / 3):
    """What is measured of a setting or of a lambda, times None if an accuracy is never reached."""
    simulated = [None if after is None else after - before for before, after in zip(train, test, strict=True)]
    errors = [time / solved - 1 for time in simulated if solved and time]
    return {"train_step": spread(train), "test_step": spread(test), "grokking_time": spread(simulated),
            "groks": spread([float(time is not None) for time in simulated]), "solved_time": spread([solved]),
            "relative_error": spread(errors) if errors else None, "accuracy_apart": spread([0.0, loss / 3]),
            "loss_apart": spread([0.0, loss]), "final_test_loss": spread([0.8 * final, 1.2 * final])}


NONE = (None, None)


def failing(checks):
    return [number for number, check in enumerate(checks) if not check.holds]


@pytest.mark.parametrize(("loss", "numbers"), [(0.099, []), (0.11, [1]), (0.3, [0, 1])])
def test_curves_apart_from_the_solution_do_not_hold(loss, numbers):
    measured = {one.name: setting() for one in MAIN} | {LITTLE.name: setting(loss=loss)}
    assert failing(linear_estimator._curve_checks(measured)) == numbers


@pytest.mark.parametrize(("changed", "numbers"), [
    ({}, []), ({LITTLE: setting((100.0, 100.0), (150.0, 201.0))}, [0]), ({LITTLE: setting(test=NONE)}, [0]),
    ({LATE: setting((100.0, 100.0), (499.0, 900.0))}, [1]), ({LATE: setting(test=NONE)}, [1]),
    ({NEVER: setting()}, [2]), ({NEVER: setting(test=NONE, final=0.2)}, [2])])
def test_students_that_grok_otherwise_do_not_hold(changed, numbers):
    measured = {LITTLE: setting(test=(150.0, 190.0)), LATE: setting(), NEVER: setting(test=NONE)} | changed
    assert failing(linear_estimator._grokking_checks({one.name: values for one, values in measured.items()})) == numbers


@pytest.mark.parametrize(("changed", "errors", "vanishing", "numbers"), [
    ({}, (0.05, 0.6), 0.003, [1, 4]), ({}, (0.05, -0.09), 0.003, [4]), ({}, (0.05, 0.05), 0.02, [2, 4]),
    ({0.5: setting(solved=700.0)}, (0.6, 1.0), 0.003, [0, 1, 4]),
    ({0.9: setting((0.0, 0.0), (600.0, 700.0), 650.0)}, (0.6, 1.0), 0.003, [1, 3, 4]),
    ({0.9: setting(test=(800.0, 1120.0), solved=855.0)}, (0.6, 1.0), 0.003, [1, 4]),
    ({0.9: setting(test=(950.0, 990.0), solved=865.0)}, (0.6, 1.0), 0.003, [1, 4]),
    ({0.9: setting(test=NONE)}, (0.6, 1.0), 0.003, [0, 1, 3, 4]),
    ({1.0: setting(test=NONE, solved=None)}, (0.6, 1.0), 0.003, [1]),
    ({1.5: setting(test=NONE)}, (0.6, 1.0), 0.003, [1, 4, 5]),
    ({1.5: setting(test=(None, 900.0), solved=None)}, (0.6, 1.0), 0.003, [1, 4, 5])])
def test_times_that_go_otherwise_do_not_hold(changed, errors, vanishing, numbers):
    swept = {0.5: setting(), 0.9: setting((100.0, 110.0), (5000.0, 6000.0), 5400.0), 1.0: setting(),
             1.5: setting(test=NONE, solved=None), 2.0: setting(test=NONE, solved=None)} | changed
    formula = {"relative_error": spread(errors),
               **{f"relative_error, eps {eps:g}": spread([vanishing]) for eps in linear_estimator.VANISHING}}
    assert failing(linear_estimator._time_checks(swept, formula)) == numbers


@pytest.mark.parametrize(("changed", "numbers"), [
    ({}, []), ({HALVED: setting(test=NONE, loss=0.2, final=1 / 6)}, [0]), ({MORE_OUTPUTS[1]: setting(
        test=(600.0, 600.0), loss=0.11)}, [1]),
    ({DECAYED: setting(test=(950.0, 999.0))}, [2]), ({DECAYED: setting(test=NONE)}, [2]),
    ({SPOILT: setting()}, [3]), ({HALVED: setting(test=NONE, final=1 / 3)}, [4]),
    ({MORE_OUTPUTS[0]: setting(test=(500.0, 500.0))}, [5]), ({MORE_OUTPUTS[0]: setting(test=(900.0, 1060.0))}, [5]),
    ({MORE_OUTPUTS[0]: setting(test=NONE)}, [5])])
def test_variants_that_go_otherwise_do_not_hold(changed, numbers):
    measured = {LATE: setting(), DECAYED: setting(test=(950.0, 1100.0)), SPOILT: setting(test=NONE),
                HALVED: setting(test=NONE, final=1 / 6), MORE_OUTPUTS[0]: setting(test=(710.0, 1110.0)),
                MORE_OUTPUTS[1]: setting(test=(250.0, 950.0))} | changed
    assert failing(linear_estimator._variant_checks({one.name: values for one, values in measured.items()})) == numbers


def test_walks_must_end_at_the_student_of_the_eigenvectors():
    assert [linear_estimator._walk_check({"apart": spread([1e-14, apart])}).holds for apart in (1e-12, 1e-6)] == [
        True, False]
