"""The experiment on images with wrong labels, at a very small size."""

import dataclasses
import json

import pytest

from experiments import corrupted_mnist
from experiments.common import run_experiment, spread
from training import TrainingConfig, train

SETTINGS = ["true labels", "no regularisation", "weight decay 5", "weight decay 15", "weight decay 20", "dropout 0.3",
            "dropout 0.6", "dropout 0.9", "BatchNorm"]


@pytest.fixture
def small(monkeypatch):
    """The same settings, with few images and few neurons."""
    full = corrupted_mnist._settings
    monkeypatch.setattr(corrupted_mnist, "_settings", lambda steps: {
        name: dataclasses.replace(config, train_size=60, batch_size=20, width=8, eval_every=steps // 2)
        for name, config in full(steps).items()})
    monkeypatch.setattr(corrupted_mnist, "STEPS", 12)
    monkeypatch.setattr(corrupted_mnist, "QUICK_STEPS", 6)


def finished(tmp_path, *options):
    code = run_experiment("corrupted_mnist", corrupted_mnist.__doc__, corrupted_mnist.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.mark.usefixtures("small")
def test_leaves_every_setting_with_its_checks_and_a_figure(tmp_path):
    result = finished(tmp_path)
    assert list(result["settings"]) == list(result["measured"]) == SETTINGS
    assert {setting["task"] for setting in result["settings"].values()} == {"mnist"}
    assert {setting["steps"] for setting in result["settings"].values()} == {12}
    assert not any(name in setting for setting in result["settings"].values() for name in ("p", "operation", "alpha"))
    for name, measured in result["measured"].items():
        assert len(measured["test_accuracy"]["values"]) == 2
        assert (measured["corrupted_accuracy"] is None) == (name == "true labels")
        assert set(measured["best_test_step"]["values"]) <= {0, 6, 12}
    assert [check["paper"].split("; ")[0] for check in result["checks"]] == [
        "memorises them", "suffers", "it does not fit them", "full inversion", "it does not fit them", "full inversion"]
    assert (tmp_path / "out" / "corrupted_mnist.png").stat().st_size > 10_000


@pytest.mark.usefixtures("small")
def test_the_quick_size_has_fewer_steps(tmp_path):
    assert {setting["steps"] for setting in finished(tmp_path, "--quick")["settings"].values()} == {6}


def test_its_networks_differ_in_regularisation_and_labels_alone():
    settings = corrupted_mnist._settings(100)
    base = settings["no regularisation"].resolved()
    assert (base.weight_decay, base.dropout, base.batch_norm, base.xi) == (0, 0, False, 0.35)
    differences = {name: {field: there for field, (_, there) in base.differences(config.resolved()).items()}
                   for name, config in settings.items()}
    assert differences == {
        "true labels": {"xi": 0.0}, "no regularisation": {}, "weight decay 5": {"weight_decay": 5.0},
        "weight decay 15": {"weight_decay": 15.0}, "weight decay 20": {"weight_decay": 20.0},
        "dropout 0.3": {"dropout": 0.3}, "dropout 0.6": {"dropout": 0.6}, "dropout 0.9": {"dropout": 0.9},
        "BatchNorm": {"batch_norm": True}}


def test_what_is_reached_on_the_way_is_told_of_every_seed():
    def run(test, corrupted):
        return {"summary": dict.fromkeys(corrupted_mnist.MEASURED, 0.5),
                "history": {"step": [0, 50, 100], "test_accuracy": test, "corrupted_accuracy": corrupted}}

    runs = [run([0.1, 0.9, 0.7], [0.1, 0.2, 0.95]), run([0.2, 0.8, 0.8], [0.1, 0.6, 0.3])]
    measured = corrupted_mnist._measured(runs)
    assert measured["best_test_accuracy"]["values"] == [0.9, 0.8]
    assert measured["best_test_step"]["values"] == [50, 50]
    assert measured["highest_corrupted_accuracy"]["values"] == [0.95, 0.6]
    undefined = corrupted_mnist._measured([run([0.1, 0.9, 0.7], [None] * 3)] * 2)
    assert undefined["highest_corrupted_accuracy"] is None


@pytest.mark.parametrize(("accuracies", "holds"), [([0.9, 1.0], True), ([0.89, 1.0], False)])
def test_wrong_labels_are_memorised_where_every_seed_has_nine_in_ten(accuracies, holds):
    check = corrupted_mnist._memorised_check({"no regularisation": {"corrupted_accuracy": spread(accuracies)}})
    assert check.holds == holds


@pytest.mark.parametrize(("true", "holds"), [([0.92, 0.93], True), ([0.7, 0.93], False)])
def test_accuracy_suffers_where_no_seed_on_wrong_labels_comes_near(true, holds):
    measured = {"no regularisation": {"test_accuracy": spread([0.6, 0.7])},
                "true labels": {"test_accuracy": spread(true)}}
    assert corrupted_mnist._suffers_check(measured).holds == holds


@pytest.mark.parametrize(("train_accuracy", "test_accuracy", "holds"), [
    ([0.68, 0.69], [0.8, 0.9], True),
    ([0.68, 0.71], [0.8, 0.9], False),  # one seed still fits some
    ([0.68, 0.69], [0.65, 0.9], False),  # one seed is no better than without
])
def test_labels_are_kept_out_where_a_strength_does_so_at_every_seed(train_accuracy, test_accuracy, holds):
    fitting = {"train_accuracy": spread([1.0, 1.0]), "test_accuracy": spread([0.6, 0.7])}
    measured = {"no regularisation": fitting, "dropout 0.3": fitting, "dropout 0.9": fitting,
                "dropout 0.6": {"train_accuracy": spread(train_accuracy), "test_accuracy": spread(test_accuracy)}}
    check = corrupted_mnist._kept_out_check(measured, "dropout", "all", 0.7, "full inversion")
    assert check.holds == holds
    assert check.measured.startswith("0.6: train 0.685 (0.680 to 0.690), test 0.850") if holds else (
        check.measured == "none does")


def test_what_is_observed_is_what_the_run_holds():
    run = train(TrainingConfig(task="mnist", train_size=30, width=8, steps=4, eval_every=2))
    observed = json.loads(json.dumps(corrupted_mnist.observe_curves(run), allow_nan=False))
    assert observed["summary"]["test_accuracy"] == run.history.last["test_accuracy"]
    assert observed["history"]["test_accuracy"] == run.history["test_accuracy"].tolist()
    assert observed["history"]["mean_ipr"] == [None] * 3
