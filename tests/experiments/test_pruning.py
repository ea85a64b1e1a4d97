"""The experiment on pruning, at a very small size."""

import dataclasses
import json

import numpy as np
import pytest

from analysis.ipr import neuron_ipr
from experiments import pruning
from experiments.common import run_experiment
from layers import Cache, MeanSquaredError
from training import TrainingConfig, train

SETS = ("train", "test", "corrupted", "uncorrupted")
P, WIDTH = 11, 16


@pytest.fixture
def small(monkeypatch):
    """The same settings, with networks that take no time."""
    monkeypatch.setattr(pruning, "SETTINGS", {name: dataclasses.replace(config, p=P, width=WIDTH, steps=20)
                                              for name, config in pruning.SETTINGS.items()})


@pytest.mark.usefixtures("small")
def test_leaves_every_phase_with_its_checks_and_two_figures(tmp_path):
    code = run_experiment("pruning", pruning.__doc__, pruning.experiment, 2, 1,
                          ["--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert list(result["settings"]) == list(result["measured"]) == ["coexistence", "partial inversion",
                                                                    "full inversion"]
    for measured in result["measured"].values():
        assert len(measured["phase"]) == 2
        for point in ("unpruned", "lowest IPR first, 60% pruned", "highest IPR first, 30% pruned",
                      "random order, 30% pruned"):
            for name in SETS:
                for quantity in ("accuracy", "loss"):
                    assert len(measured[f"{point}: {name} {quantity}"]["values"]) == 2
    measured = result["measured"]["coexistence"]
    assert len(result["checks"]) == 16
    unpruned = next(check for check in result["checks"] if check["claim"].startswith("coexistence, unpruned: test"))
    assert unpruned["holds"] == (abs(measured["unpruned: test accuracy"]["mean"] - 0.97) <= 0.05)
    assert result["figures"] == ["pruning_accuracy.png", "pruning_loss.png"]
    assert all((tmp_path / "out" / name).stat().st_size > 10_000 for name in result["figures"])


def test_curves_are_those_of_networks_whose_neurons_have_zero_weights():
    run = train(TrainingConfig(p=P, width=WIDTH, steps=20))
    observed = json.loads(json.dumps(pruning.observe_pruning(run), allow_nan=False))
    np.testing.assert_allclose(observed["fractions"], np.arange(WIDTH + 1) / WIDTH)
    for order in ("low", "high", "random"):
        for name in SETS:
            assert observed["accuracy"][order][name][0] == pytest.approx(run.history.last[f"{name}_accuracy"])
            assert observed["loss"][order][name][-1] == pytest.approx(1 / P, rel=1e-6)
    train_set = run.problem().train
    by_ipr = np.argsort(neuron_ipr(*run.network().neurons()))
    for order, gone in (("low", by_ipr[:5]), ("high", by_ipr[-5:])):
        network = run.network()
        network.layers["output"].W[gone] = 0
        examples = train_set.corrupted
        logits = network.forward(train_set.inputs[examples], Cache())
        labels = train_set.labels[examples]
        assert observed["accuracy"][order]["corrupted"][5] == np.mean(logits.argmax(axis=-1) == labels)
        assert observed["loss"][order]["corrupted"][5] == pytest.approx(
            float(MeanSquaredError().forward(logits, labels, Cache())), rel=1e-5)


def test_hundredths_are_pruned_where_there_are_more_neurons():
    run = train(TrainingConfig(p=5, width=250, steps=1))
    assert pruning.observe_pruning(run)["fractions"] == pytest.approx(np.arange(101) / 100, abs=0.51 / 250)


def paper_runs(**changed):
    """Two runs whose curves are straight lines through what the paper found, but for what is changed."""
    fractions = [0.0, 0.3, 0.6, 1.0]
    accuracy = {"low": {"train": [0.97, 0.8, 0.65, 0.0], "test": [0.97, 0.98, 1.0, 0.0],
                        "corrupted": [0.94, 0.4, 0.0, 0.0], "uncorrupted": [0.99, 0.99, 1.0, 0.0]},
                "high": {"test": [0.97, 0.0, 0.0, 0.0], "corrupted": [0.94, 0.97, 0.7, 0.0]},
                "random": {"test": [0.97, 0.8, 0.5, 0.0], "corrupted": [0.94, 0.8, 0.5, 0.0]}}
    loss = {order: {"train": [0.003, 0.008, 0.009, 0.01]} for order in accuracy}
    runs = [{"fractions": fractions, "accuracy": json.loads(json.dumps(accuracy)),
             "loss": json.loads(json.dumps(loss))} for _ in range(2)]
    for place, value in changed.items():
        quantity, order, name, point = place.split("_")
        runs[1][quantity][order][name][int(point)] = value
    return runs


@pytest.mark.parametrize(("changed", "failing"), [
    ({}, []),
    ({"accuracy_low_corrupted_2": 0.09}, []),  # the mean is near
    ({"accuracy_low_corrupted_2": 0.12}, ["lowest IPR first, 60% pruned: corrupted accuracy, within 0.05"]),
    ({"accuracy_high_test_1": 0.12}, ["highest IPR first, 30% pruned: test accuracy, within 0.05"]),
    ({"accuracy_low_test_1": 0.96}, ["lowest IPR first, up to 60% pruned: test accuracy is nowhere below 0.97"]),
    ({"accuracy_low_uncorrupted_2": 0.99}, ["lowest IPR first, 60% pruned: uncorrupted accuracy has risen"]),
    ({"loss_high_train_1": 0.002}, ["highest IPR first, 30% pruned: train loss has risen"])])
def test_the_figure_is_checked_point_by_point(changed, failing):
    checks = list(pruning._figure_checks(paper_runs(**changed)))
    assert len(checks) == 12
    assert [check.claim for check in checks if not check.holds] == [f"coexistence, {claim}" for claim in failing]


@pytest.mark.parametrize(("changed", "holding"), [
    ({}, [True, True]), ({"accuracy_random_test_1": 0.99}, [False, True]),
    ({"accuracy_random_corrupted_1": 0.4}, [True, False])])
def test_a_random_order_lies_between_the_two_others_in_every_run(changed, holding):
    assert [check.holds for check in pruning._order_checks("coexistence", paper_runs(**changed))] == holding
