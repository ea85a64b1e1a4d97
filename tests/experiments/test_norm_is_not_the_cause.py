"""The experiment on the weight norm, at a very small size."""

import dataclasses
import json

import pytest

from experiments import norm_is_not_the_cause as experiment
from experiments.common import run_experiment, spread
from training import TrainingConfig, train

pytest.importorskip("sklearn", reason="the small digits come with it")

SMALL = {"width": 12, "train_size": 20, "snapshots": 3}


@pytest.fixture
def small(monkeypatch):
    """The same settings, with few images and few neurons."""
    full = experiment._settings
    monkeypatch.setattr(experiment, "_settings", lambda base, l2: {
        name: dataclasses.replace(config, **SMALL, batch_size=10 if config.batch_size else None,
                                  eval_every=config.steps // 4) for name, config in full(base, l2).items()})
    monkeypatch.setattr(experiment, "STEPS", 8)
    monkeypatch.setattr(experiment, "MNIST_STEPS", 4)


def finished(tmp_path, *options):
    code = run_experiment("norm_is_not_the_cause", experiment.__doc__, experiment.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")],
                          experiment.add_own_options)
    assert code == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.mark.usefixtures("small")
def test_leaves_every_setting_with_its_checks_and_a_figure(tmp_path):
    result = finished(tmp_path, "--mnist")
    assert list(result["settings"]) == list(result["measured"]) == [
        "digits: weight decay", "digits: weight decay, -delta", "digits: -delta alone", "mnist: weight decay",
        "mnist: weight decay, -delta"]
    assert len(result["checks"]) == 7 + 6
    for name, measured in result["measured"].items():
        assert len(measured["test_accuracy"]["values"]) == (1 if name.startswith("mnist") else 2)
        assert measured["never, foretold / end"]["mean"] == pytest.approx(1, abs=0.1)
    growing = result["measured"]["mnist: weight decay, -delta"]
    assert growing["growth_if_small"]["mean"] == pytest.approx(3e-5)
    assert growing["share blank"]["mean"] > 0.1
    assert (tmp_path / "out" / "norm_is_not_the_cause.png").stat().st_size > 10_000


@pytest.mark.usefixtures("small")
def test_without_its_option_there_are_digits_alone(tmp_path):
    result = finished(tmp_path, "--quick")
    assert {setting["task"] for setting in result["settings"].values()} == {"digits"}
    assert result["seeds"] == [0]


def test_its_networks_differ_in_the_term_and_the_decay_alone():
    base = TrainingConfig(task="digits", weight_decay=0.1)
    settings = experiment._settings(base, -2e-9)
    assert {name: {field: there for field, (_, there) in base.differences(config).items()}
            for name, config in settings.items()} == {
        "weight decay": {}, "weight decay, -delta": {"l2": -2e-9}, "-delta alone": {"l2": -2e-9, "weight_decay": 0.0}}


@pytest.fixture(scope="module")
def observed():
    """What is observed of a short run, with the run."""
    run = train(TrainingConfig(task="digits", **SMALL, steps=60, eval_every=10, l2=-2e-9))
    return run, json.loads(json.dumps(experiment.observe_parts(run), allow_nan=False))


def test_the_parts_make_up_the_norm_at_the_kept_moments(observed):
    run, observation = observed
    moments = observation["moments"]
    assert [moment["step"] for moment in moments] == sorted(run.snapshots)
    history = dict(zip(observation["history"]["step"], observation["history"]["weight_norm"], strict=True))
    for moment in moments:
        assert moment["norm"] == pytest.approx(history[moment["step"]], rel=1e-6)
        assert moment["live"] ** 2 + moment["silent"] ** 2 == pytest.approx(moment["norm"] ** 2)
        assert moment["always"] <= moment["live"]
        assert moment["blank"] <= moment["never"] <= moment["silent"]


def test_what_grows_on_blank_pixels_is_foretold_from_the_start(observed):
    moments, config = observed[1]["moments"], observed[0].config
    # The push of each step is at most rate 2 delta / eps, the growth r of a step as well, and wrong by less than 49 r.
    push = config.learning_rate * 2 * 2e-9 / 1e-8
    bound = 49 * push ** 2 * config.steps
    assert moments[0]["blank"] == moments[0]["blank_foretold"] > 0
    assert moments[-1]["blank"] > moments[0]["blank"] * 1.005
    for moment in moments:
        assert moment["blank"] == pytest.approx(moment["blank_foretold"], rel=bound)


def moment(step, train_accuracy, test_accuracy, norm, live):
    return {"step": step, "train_accuracy": train_accuracy, "test_accuracy": test_accuracy, "norm": norm, "live": live,
            "always": live, **dict.fromkeys(("silent", "never", "never_foretold", "blank"), 2.0),
            "blank_foretold": 2.01}


def a_run(*moments, without=0.9):
    return {"moments": list(moments), "shares": {"silent": 0.3}, "without_silent": {"train": 1.0, "test": without}}


GROWS = (moment(0, 0.1, 0.1, 9, 9), moment(5, 0.99, 0.2, 8, 7), moment(9, 1.0, 0.8, 12, 5), moment(10, 1.0, 0.9, 20, 6))
SHRINKS = (moment(0, 0.1, 0.1, 9, 9), moment(5, 1.0, 0.2, 8, 7), moment(9, 1.0, 0.9, 5, 4))
LOST = (moment(0, 0.1, 0.1, 9, 9), moment(5, 1.0, 0.2, 8, 7), moment(9, 1.0, 0.79, 5, 4))


def test_a_run_is_read_at_the_first_moments_that_reach_the_bounds():
    read = experiment._read(a_run(*GROWS))
    assert (read["memorised"], read["generalised"]) == (5, 9)
    norms = {when: read[f"norm, {when}"] for when in ("start", "memorised", "generalised", "end", "least")}
    assert norms == {"start": 9, "memorised": 8, "generalised": 12, "end": 20, "least": 8}
    assert read["live, generalised"] == 5
    assert read["blank, foretold / end"] == pytest.approx(1.005)
    assert read["without silent, test"] == 0.9
    never = experiment._read(a_run(*LOST))
    assert never["generalised"] is never["norm, generalised"] is None


def checks(ordinary, growing, undecayed, without=(0.9, 0.9)):
    measured = {"digits: weight decay": experiment._measured([a_run(*ordinary)] * 2),
                "digits: weight decay, -delta": experiment._measured(
                    [a_run(*moments, without=test) for moments, test in zip(growing, without, strict=True)]),
                "digits: -delta alone": experiment._measured([a_run(*moments) for moments in undecayed])}
    return [check.holds for check in experiment._checks("digits", measured)]


def test_what_the_checks_ask_for_is_asked_of_every_run():
    lost = [LOST, LOST]
    assert checks(SHRINKS, [GROWS, GROWS], lost) == [True] * 7
    assert checks(GROWS, [GROWS, SHRINKS], [LOST, GROWS]) == [False, False, True, True, True, True, False]
    assert checks(LOST, [GROWS, LOST], lost) == [False, False, False, True, True, True, True]
    joined = (*GROWS[:2], GROWS[2] | {"always": 7.5}, GROWS[3])
    assert checks(SHRINKS, [GROWS, joined], lost) == [True, True, False, True, True, True, True]
    late = (*GROWS[:3], moment(10, 1.0, 0.9, 20, 9.5) | {"blank": 3.0})
    assert checks(SHRINKS, [GROWS, late], lost, (0.9, 0.89)) == [True, True, True, False, False, False, True]
    less = (*GROWS[:3], GROWS[3] | {"blank": 1.9})  # foretold is more
    assert checks(SHRINKS, [GROWS, less], lost) == [True, True, True, False, True, True, True]


def test_a_change_is_shown_where_every_run_has_both_moments():
    assert experiment._change(experiment._measured([a_run(*GROWS)]), "live") == "7.0 to 5.0"
    assert "not every run" in experiment._change({"memorised": spread([1]), "generalised": None}, "live")
