"""The experiment on progress measures, at a very small size."""

import json

import numpy as np
import pytest

from analysis.progress import progress_measures
from experiments import progress_measures as module
from experiments.common import run_experiment
from experiments.measures import observe_progress
from training import TrainingConfig, train

pytest.importorskip("sklearn")

SMALL = {"digits": {"train_size": 40, "width": 8, "eval_every": 10, "learning_rate": 0.01},
         "mnist": {"train_size": 40, "width": 8, "eval_every": 10, "batch_size": 20},
         "modular": {"p": 11, "width": 16, "eval_every": 2}}
STEPS = {"digits": 200, "growing norm": 200, "MNIST": 40, "modular addition": 20}
SETTINGS = list(STEPS)


@pytest.fixture
def small(monkeypatch):
    """The same settings with few examples, neurons and steps."""
    def config(task="modular", **settings):
        return TrainingConfig(task=task, **{**settings, **SMALL[task]})

    monkeypatch.setattr(module, "TrainingConfig", config)
    monkeypatch.setattr(module, "STEPS", STEPS)
    monkeypatch.setattr(module, "QUICK_STEPS", {name: steps // 2 for name, steps in STEPS.items()})


def finished(tmp_path, *options):
    code = run_experiment("progress_measures", module.__doc__, module.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.mark.usefixtures("small")
def test_leaves_every_measure_with_its_checks_and_figures(tmp_path):
    result = finished(tmp_path)
    assert list(result["settings"]) == list(result["measured"]) == SETTINGS
    assert {name: setting["steps"] for name, setting in result["settings"].items()} == STEPS
    for setting, measured in result["measured"].items():
        for name in (*module.MEASURES, "weight_norm", "log_circuit_complexity"):
            assert len(measured[f"{name}, order"]) == 2
            assert len(measured[f"{name}, straightness"]["values"]) == 2
        for name in ("mean_ipr", "corrupted_accuracy"):
            assert (f"{name}, order" in measured) == (setting == "modular addition")
    assert [check["paper"].split()[0] for check in result["checks"]] == (
        ["moves", "a"] * 9 + ["moves", "a", "moves"] * 3)
    for figure in ("progress_measures.png", "progress_order.png"):
        assert (tmp_path / "out" / figure).stat().st_size > 10_000


@pytest.mark.usefixtures("small")
def test_the_quick_size_has_one_seed_and_fewer_steps(tmp_path):
    result = finished(tmp_path, "--quick")
    assert result["seeds"] == [0]
    assert [setting["steps"] for setting in result["settings"].values()] == [100, 100, 20, 10]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("settings", [{"task": "digits", "steps": 30}, {"steps": 6}])
def test_what_is_observed_is_what_the_snapshots_are(settings):
    run = train(module.TrainingConfig(**settings, snapshots=3, seed=4))
    progress = json.loads(json.dumps(observe_progress(run), allow_nan=False))["progress"]
    assert progress["step"] == sorted(run.snapshots)
    assert len(progress["step"]) == 3
    rows = {row["step"]: row for row in run.history.rows}
    for place, step in enumerate(progress["step"]):
        expected = progress_measures(run.network(step), run.problem().train.inputs, seed=4)
        assert {name: values[place] for name, values in progress.items()} == {**rows[step], **expected}
    assert len(set(progress["weight_entropy"])) == 3


def progress(train=(0.1, 0.95, 1.0, 1.0), **others):
    steps = np.arange(len(train)) * 10
    return {"step": steps.tolist(), "train_accuracy": list(train), "test_accuracy": [0.1, 0.2, 0.5, 1.0],
            "corrupted_accuracy": [None] * 4, "circuit_complexity": [9.0, 4.0, 2.0, 1.0],
            "activation_sparsity": [0.1, 0.2, 0.3, 0.5], "weight_entropy": [5.0, 4.0, 3.0, 2.0],
            "weight_norm": [3.0, 2.0, 4.0, 1.0], "mean_ipr": [None] * 4, **others}


def test_what_was_before_memorising_is_left_out():
    curves = module.followed(progress())
    assert curves["step"].tolist() == [10, 20, 30]
    assert curves["log_circuit_complexity"].tolist() == pytest.approx(np.log([4, 2, 1]))
    assert not {"corrupted_accuracy", "mean_ipr"} & set(curves)
    # A training set that is unlearnt later was learnt all the same.
    assert module.followed(progress(train=(0.1, 0.9, 0.6, 0.5)))["step"].tolist() == [10, 20, 30]


def test_where_nothing_is_memorised_nothing_moves():
    moves = module.movements(module.followed(progress(train=(0.1, 0.5, 0.89, 0.8))))
    for one in moves.values():
        assert [one[name] for name in ("halfway", "order", "lag", "rank_correlation", "correlation")] == [None] * 5
    assert not any(check.holds for check in module._checks("digits", [moves]))
    assert module._checks("digits", [moves])[0].measured == "1 turning; lag - steps"


def test_movements_are_told_against_both_accuracies():
    corrupted = progress(corrupted_accuracy=[0.1, 0.9, 0.8, 0.0])
    moves = module.movements(module.followed(corrupted))
    assert moves["test_accuracy"]["lag"] == moves["corrupted_accuracy"]["corrupted_lag"] == 0
    norm = moves.pop("weight_norm")
    assert norm["lag"] is None  # it turns
    assert norm["norm_rank_correlation"] == pytest.approx(1)
    for name, one in moves.items():
        assert one["lag"] == pytest.approx(one["halfway"] - moves["test_accuracy"]["halfway"]), name
        assert one["corrupted_lag"] == pytest.approx(one["halfway"] - moves["corrupted_accuracy"]["halfway"]), name
    assert moves["activation_sparsity"]["norm_rank_correlation"] == pytest.approx(-0.5)
    assert moves["activation_sparsity"]["rank_correlation"] == pytest.approx(1)
    assert moves["weight_entropy"]["rank_correlation"] == pytest.approx(-1)
    assert moves["weight_entropy"]["correlation"] == pytest.approx(np.corrcoef([4, 3, 2], [0.2, 0.5, 1])[0, 1])
    assert "corrupted_accuracy" not in module.movements(module.followed(progress()))


def moved(**changes):
    """The movements of a run, of whose every measure this is told."""
    told = {"order": "with", "lag": 10.0, "corrupted_lag": -20.0, "rank_correlation": -0.9, "correlation": 0.8,
            "norm_rank_correlation": 0.5}
    told |= changes
    norm = {**told, "rank_correlation": 0.7, "correlation": 0.6}
    return {**{name: told for name in module.MEASURES}, "weight_norm": norm}


HOLDING = {"moves with": 0, "a stronger correlation": 1, "nearer": 2}


@pytest.mark.parametrize(("which", "changes", "holds"), [
    ("moves with", {}, True), ("moves with", {"order": "before"}, False), ("moves with", {"order": None}, False),
    ("a stronger correlation", {}, True), ("a stronger correlation", {"rank_correlation": 0.7}, False),
    ("a stronger correlation", {"rank_correlation": -0.71}, True),
    ("a stronger correlation", {"rank_correlation": None}, False),
    ("nearer", {}, True), ("nearer", {"lag": 20.0}, False), ("nearer", {"lag": -19.0}, True),
    ("nearer", {"lag": None}, False)])
def test_a_claim_holds_where_it_does_so_at_every_seed(which, changes, holds):
    checks = module._checks("modular addition", [moved(), moved(**changes)])
    assert [check.holds for check in checks] == [
        holds if place % 3 == HOLDING[which] else True for place in range(9)]


def test_orders_are_counted():
    assert module._counted(["before", None, "with", "before"]) == "2 before, 1 with, 1 turning"


def test_the_settings_are_those_of_the_paper_but_for_what_is_said():
    digits, growing, mnist, modular = (config.resolved() for config in module._settings(module.STEPS).values())
    for images, train_size in ((digits, 200), (mnist, 1000)):
        assert (images.train_size, images.initial_scale, images.weight_decay, images.learning_rate, images.loss,
                images.xi, images.depth, images.width) == (train_size, 8.0, 0.1, 0.001, "mse", 0.0, 3, 200)
    assert digits.differences(growing) == {"l2": (0.0, -2e-9)}
    assert set(TrainingConfig().resolved().differences(modular)) <= {"snapshots"}
    assert all(config.snapshots == module.SNAPSHOTS for config in (digits, growing, mnist, modular))
