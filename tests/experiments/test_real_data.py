"""Grokking on images, at a very small size."""

import dataclasses
import json

import pytest

from experiments import real_data
from experiments.common import run_experiment
from experiments.real_data import read
from training import TrainingConfig

pytest.importorskip("sklearn")


def curve(train, test, steps=(0, 10, 20, 40)):
    return {"step": list(steps), "train_accuracy": train, "test_accuracy": test, "weight_norm": [4.0, 3.0, 2.0, 1.0]}


class TestReadingARun:
    def test_of_delayed_generalisation(self):
        read_ = read(curve([0.1, 0.96, 1.0, 1.0], [0.1, 0.2, 0.5, 0.9]))
        assert (read_["memorised"], read_["generalised"], read_["delay"]) == (10, 40, 4)
        assert (read_["test_when_fitted"], read_["groks"]) == (0.2, True)
        assert (read_["norm_start"], read_["norm_end"]) == (4.0, 1.0)

    @pytest.mark.parametrize(("train", "test"), [
        ([0.1, 0.96, 1.0, 1.0], [0.1, 0.6, 0.8, 0.9]),   # it generalises with the training set
        ([0.1, 0.96, 1.0, 1.0], [0.1, 0.2, 0.5, 0.7]),   # it does not generalise
        ([0.1, 0.5, 0.9, 0.94], [0.1, 0.2, 0.5, 0.9]),   # it does not fit
        ([0.1, 0.96, 1.0, 1.0], [0.1, 0.2, 0.9, 0.7]),   # it generalises and loses it
    ])
    def test_that_does_not_grok(self, train, test):
        assert read(curve(train, test))["groks"] is False


@pytest.fixture
def small(monkeypatch):
    """The same settings, with few images, few neurons and few steps."""
    less = {"train_size": 40, "width": 8, "steps": 8, "eval_every": 2}
    monkeypatch.setattr(real_data, "DIGITS", dataclasses.replace(real_data.DIGITS, **less))
    monkeypatch.setattr(real_data, "QUICK_STEPS", 6)
    monkeypatch.setattr(real_data, "MNIST", dataclasses.replace(real_data.MNIST, **less, batch_size=20))


def finished(tmp_path, *options):
    code = run_experiment("real_data", real_data.__doc__, real_data.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.mark.usefixtures("small")
def test_leaves_both_data_sets_with_their_checks_and_a_figure(tmp_path):
    result = finished(tmp_path)
    assert set(result["settings"]) == set(result["measured"])
    for name, measured in result["measured"].items():
        task = name.split(",")[0]
        assert result["settings"][name]["task"] == task
        assert len(measured["test_accuracy"]["values"]) == {"digits": 2, "mnist": 1}[task]
    claims = [check["claim"] for check in result["checks"]]
    assert len(claims) == len(set(claims)) == 4 + 3 + 2 + 1
    assert not any(check["holds"] for check in result["checks"] if "groks" in check["claim"])  # not in 8 steps
    assert (tmp_path / "out" / "real_data.png").stat().st_size > 10_000


@pytest.mark.usefixtures("small")
def test_the_quick_size_has_digits_alone(tmp_path):
    settings = finished(tmp_path, "--quick")["settings"]
    assert {setting["task"] for setting in settings.values()} == {"digits"}
    assert len(settings) == 2 * 2 + 1
    assert {setting["steps"] for setting in settings.values()} == {6}


@pytest.mark.parametrize(("values", "holds"), [([1, 2, 3], True), ([1, 3, 2], False), ([1, 2, None], True),
                                               ([1, None, None], False), ([2, 2, 3], False)])
def test_an_order_must_hold_from_every_setting_to_the_next(values, holds):
    groups = [[{"delay": value}, {"delay": 5 * (number + 1)}] for number, value in enumerate(values)]
    check = real_data._order_check("claim", "paper", groups, "delay", 1)
    assert check.holds is holds
    assert "inf" not in check.measured


@pytest.mark.parametrize(("name", "groks", "delays", "holds"), [
    ("digits, MSE, scale 8", [True, True], [9.0, 9.0], True),
    ("digits, MSE, scale 8", [True, False], [9.0, 9.0], False),
    ("digits, MSE, scale 1", [False, False], [1.0, 3.0], True),
    ("digits, MSE, scale 1", [False, False], [1.0, 3.1], False),
    ("digits, MSE, scale 1", [False, False], [1.0, None], False)])
def test_whether_there_is_a_delay_is_asked_of_every_seed(name, groks, delays, holds):
    readings = [{"groks": one, "delay": delay} for one, delay in zip(groks, delays, strict=True)]
    measured = dict.fromkeys(("test_when_fitted", "test_accuracy", "delay"))
    assert [check.holds for check in real_data._grok_checks({name: readings}, {name: measured})] == [holds]


def test_networks_differ_in_what_is_compared_alone():
    digits = real_data._digits(real_data.SCALES, real_data.DECAYS)
    assert len(digits) == 8 + 3
    base = TrainingConfig(task="digits").resolved()
    for config in map(TrainingConfig.resolved, digits.values()):
        changed = set(base.differences(config))
        assert changed <= {"loss", "initial_scale", "weight_decay", "eval_every"}
        assert config.weight_decay == base.weight_decay or (config.loss, config.initial_scale) == ("mse", 8)
    mnist = map(TrainingConfig.resolved, real_data._mnist().values())
    assert [(config.loss, config.initial_scale) for config in mnist] == [("mse", 1), ("mse", 8), ("cross-entropy", 8)]
