"""The experiment on the phases, at a very small size."""

import dataclasses
import json

import numpy as np
import pytest

from analysis.ipr import neuron_ipr
from experiments import phases
from experiments.common import run_experiment
from experiments.measures import observe
from training import TrainingConfig, train


@pytest.fixture
def small(monkeypatch):
    """The same references, with networks that take no time."""
    monkeypatch.setattr(phases, "REFERENCES", {
        name: dataclasses.replace(reference, config=dataclasses.replace(reference.config, p=11, width=16, steps=20))
        for name, reference in phases.REFERENCES.items()})
    monkeypatch.setattr(phases, "QUICK_FORGETTING_STEPS", 10)


@pytest.mark.usefixtures("small")
def test_leaves_every_phase_with_its_checks_and_a_figure(tmp_path, capsys):
    code = run_experiment("phases", phases.__doc__, phases.experiment, 2, 1,
                          ["--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert list(result["settings"]) == list(result["measured"]) == list(phases.REFERENCES)
    for measured in result["measured"].values():
        assert len(measured["phase"]) == len(measured["train_accuracy"]["values"]) == 2
    phase_checks = [check for check in result["checks"] if check["claim"].endswith(": phase")]
    for check, measured in zip(phase_checks, result["measured"].values(), strict=True):
        assert check["holds"] == (set(measured["phase"]) == {check["paper"]})
    assert (tmp_path / "out" / "phases.png").stat().st_size > 10_000
    holding = sum(check["holds"] for check in result["checks"])
    assert f"{holding} of {len(result['checks'])} checks hold, 2 seeds" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_the_quick_size_forgets_for_fewer_steps(tmp_path):
    run_experiment("phases", phases.__doc__, phases.experiment, 2, 1,
                   ["--quick", "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells"), "--seeds", "1"])
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    settings = result["settings"]
    assert result["command"] == "python -m experiments.phases --quick --seeds 1"  # not where it was stored
    assert {name: setting["steps"] for name, setting in settings.items()} == {
        name: 10 if name == "forgetting" else 20 for name in phases.REFERENCES}


@pytest.mark.parametrize(("train_accuracy", "phase", "holding"), [
    ([0.71, 0.86], "partial inversion", [True, True]), ([0.70, 0.72], "partial inversion", [True, False]),
    ([0.78, 0.79], "full inversion", [False, True])])
def test_a_check_holds_where_all_seeds_have_the_phase_and_the_mean_is_near(train_accuracy, phase, holding):
    measured = {"phase": [phase, phase], "train_accuracy": phases.spread(train_accuracy),
                "test_accuracy": phases.spread([1.0, 1.0])}
    config = phases.REFERENCES["partial inversion"].config
    checks = list(phases._checks("partial inversion", config, measured))
    assert [check.holds for check in checks] == [*holding, True]


@pytest.mark.parametrize(("shares", "holds"), [
    ([[0.7, 0.6], [0.5, 0.4], [0.1, 0.2]], True), ([[0.7, 0.45], [0.5, 0.4], [0.1, 0.2]], False)])
def test_memorising_neurons_fall_where_the_seeds_do_not_overlap(shares, holds):
    names = ("coexistence", "partial inversion", "full inversion")
    measured = {name: {"memorising_neurons": phases.spread(share)} for name, share in zip(names, shares, strict=True)}
    assert phases._memorising_neurons_check(measured).holds == holds


def test_what_is_observed_is_what_the_run_holds():
    run = train(TrainingConfig(p=11, width=16, steps=20, xi=0.0))
    observed = json.loads(json.dumps(observe(run), allow_nan=False))
    assert observed["summary"]["train_accuracy"] == run.history.last["train_accuracy"]
    assert observed["history"]["step"] == [0, 5, 10, 15, 20]
    assert observed["history"]["corrupted_accuracy"] == [None] * 5  # nothing is corrupted
    np.testing.assert_array_equal(observed["neuron_ipr"], neuron_ipr(*run.network().neurons()))
