"""The experiment on dropout and the delay, at a very small size."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import dropout_removes_the_delay as experiment
from experiments.common import run_experiment, spreads
from training import TrainingConfig, train

pytest.importorskip("sklearn", reason="the small digits come with it")


@pytest.fixture
def small(monkeypatch):
    """The same settings, with few images and few neurons."""
    monkeypatch.setattr(experiment, "BASES", {
        name: dataclasses.replace(config, train_size=20, width=12, steps=8, eval_every=2)
        for name, config in experiment.BASES.items()})


@pytest.mark.usefixtures("small")
def test_leaves_every_setting_with_its_checks_and_a_figure(tmp_path):
    code = run_experiment("dropout_removes_the_delay", experiment.__doc__, experiment.experiment, 2, 1,
                          ["--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert list(result["settings"]) == [f"{base}: {dropout}" for base in experiment.BASES
                                        for dropout in ("dropout 0", "dropout 0.3")]
    assert list(result["measured"]) == [*result["settings"], *experiment.BASES]
    assert {setting["dropout"] for setting in result["settings"].values()} == {0.0, 0.3}
    assert len(result["measured"]["MSE, scale 8: dropout 0.3"]["test_accuracy"]["values"]) == 2
    assert {f"share sooner, level {level:g}" for level in experiment.LEVELS} < set(result["measured"]["MSE, scale 4"])
    assert len(result["checks"]) == 8
    assert (tmp_path / "out" / "dropout_removes_the_delay.png").stat().st_size > 10_000


@pytest.mark.parametrize("base", experiment.BASES.values(), ids=experiment.BASES)
def test_a_pair_differs_in_dropout_alone(base):
    without, dropped = experiment._settings(base).values()
    assert without.resolved().differences(dropped.resolved()) == {"dropout": (0.0, 0.3)}
    assert without.resolved().weight_decay == 0.1


def a_run(train_accuracy, test_accuracy):
    return {"step": [0, 20, 40, 60], "train_accuracy": train_accuracy, "test_accuracy": test_accuracy}


def test_a_moment_is_the_first_evaluation_at_the_level():
    times = experiment._times(a_run([0.1, 0.8, 0.7, 1.0], [0.1, 0.79, 0.9, 0.7]))
    assert times == {"memorised": 20, "generalised": 40, "delay": 2, "test_accuracy, fitted": 0.7,
                     "train_accuracy": 1.0, "test_accuracy": 0.7}
    assert experiment._times(a_run([0.1, 0.8, 0.7, 1.0], [0.1, 0.79, 0.9, 0.7]), 0.79)["generalised"] == 20
    never = experiment._times(a_run([0.1, 0.8, 0.7, 1.0], [0.1, 0.2, 0.3, 0.7]))
    assert never["memorised"] == 20
    assert never["generalised"] is never["delay"] is None


def times(memorised, generalised):
    return {"memorised": memorised, "generalised": generalised, "train_accuracy": 1.0, "test_accuracy": 0.9,
            "test_accuracy, fitted": 0.3, "delay": generalised / memorised if generalised else None}


def test_both_parts_add_up_to_what_goes_of_the_delay():
    parts = experiment._parts(times(100, 2000), times(400, 500))
    assert parts["sooner"] + parts["later"] == pytest.approx(np.log(20 / 1.25))
    assert parts["share sooner"] == pytest.approx(0.5)
    assert set(experiment._parts(times(100, None), times(400, 500)).values()) == {None}


def checks(without, dropped, small_without=((100, 400), (100, 500))):
    measured = {f"{base}: dropout {rate}": spreads(group, list(group[0]))
                for base in experiment.BASES for rate, group in (
                    ("0", [times(*one) for one in (small_without if "cross" in base else without)]),
                    ("0.3", [times(*one) for one in dropped]))}
    for base in experiment.BASES:
        pairs = [experiment._parts(times(*a), times(*b)) for a, b in zip(without, dropped, strict=True)]
        measured[base] = {f"{name}, level 0.8": values for name, values in spreads(pairs, experiment.PARTS).items()}
    return [check.holds for check in experiment._checks(measured)]


def test_what_the_checks_ask_for_is_asked_of_every_seed():
    delayed = [(100, 2000), (100, 1000)]
    assert checks(delayed, [(100, 150), (150, 160)]) == [True] * 8
    assert checks(delayed, [(100, 151), (900, 950)]) == [True, True] + [False, True, False] * 2
    assert checks(delayed, [(100, 150), (1000, 1100)]) == [True, True] + [True, False, False] * 2
    assert checks(delayed, [(100, 150), (90, 2000)]) == [True, True] + [False] * 6
    assert checks([(100, 2000), (100, 900)], [(100, 150)] * 2, ((100, 400), (100, 1000))) == [
        False, False] + [True] * 6
    assert checks(delayed, [(100, 150), (100, None)]) == [True, True] + [False] * 6


def test_what_is_observed_is_what_the_run_holds():
    run = train(TrainingConfig(task="digits", train_size=20, width=12, steps=4, eval_every=2, dropout=0.3))
    observed = json.loads(json.dumps(experiment.observe_accuracies(run), allow_nan=False))
    assert observed["step"] == [0, 2, 4]
    assert observed["test_accuracy"] == run.history["test_accuracy"].tolist()
