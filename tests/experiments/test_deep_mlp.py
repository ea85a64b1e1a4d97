"""The experiment on the deeper network, at a very small size."""

import dataclasses
import json

import pytest

from analysis import figures
from experiments import deep_mlp
from experiments.common import run_experiment

C, P, F, M, N = "coexistence", "partial inversion", "full inversion", "memorization", "confusion"


@pytest.fixture
def small(monkeypatch):
    """The same settings, with networks that take no time."""
    monkeypatch.setattr(deep_mlp, "SETTINGS", {
        name: dataclasses.replace(config, p=11, width=16, steps=20, eval_every=10)
        for name, config in deep_mlp.SETTINGS.items()})
    monkeypatch.setattr(deep_mlp, "QUICK_STEPS", 10)
    monkeypatch.setattr(figures, "DPI", 40)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("quick", [False, True])
def test_leaves_every_setting_with_its_checks_and_two_figures(tmp_path, quick):
    assert run_experiment("deep_mlp", deep_mlp.__doc__, deep_mlp.experiment, 2, 2,
                          [*(["--quick"] if quick else []), "--out", str(tmp_path / "out"),
                           "--cells", str(tmp_path / "cells")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    names = list(deep_mlp.QUICK if quick else deep_mlp.SETTINGS)
    assert list(result["settings"]) == list(result["measured"]) == names
    for name, setting in result["settings"].items():
        assert (setting["model"], setting["depth"], setting["learning_rate"]) == ("relu-mlp", 3, 0.001)
        assert setting["steps"] == (10 if quick and setting["batch_size"] is None else 20)
        assert setting["batch_norm"] == (name.endswith("BatchNorm") and "no " not in name)
        assert (setting["weight_decay"] > 0) == (name.startswith("decay") and name != "decay 0")
        assert (setting["dropout"] > 0) == name.startswith("dropout")
    for measured in result["measured"].values():
        assert len(measured["phase"]) == len(measured["corrupted_accuracy"]["values"]) == 2
    decays = [name for name in names if name.startswith("decay")]
    inverting = any(set(result["measured"][name]["phase"]) == {F} for name in decays)
    assert result["checks"][0]["holds"] == inverting
    assert len(result["checks"]) == 4
    for figure in ("deep_mlp.png", "deep_mlp_runs.png"):
        assert figure in result["figures"]
        assert (tmp_path / "out" / figure).stat().st_size > 5_000


@pytest.mark.parametrize(("phases", "measured"), [
    ({"decay 5": [M, M], "decay 20": [F, F]}, "decay 20"), ({"decay 5": [M, F], "decay 20": [F, P]}, "none")])
def test_full_inversion_is_wanted_of_every_seed_of_a_decay(phases, measured):
    check = deep_mlp._decay_check(phases)
    assert (check.measured, check.holds) == (measured, measured != "none")


@pytest.mark.parametrize(("phase", "test", "corrupted", "unlearns"), [
    (F, 0.95, 0.6, True),   # at xi 0.5 train accuracy can be low with many corrupted labels known
    (C, 0.95, 0.05, True),  # at xi 0.1 what has unlearned everything counts as coexistence
    (C, 0.95, 0.95, False), (M, 0.2, 0.05, False), (N, 0.89, 0.05, False)])
def test_unlearning_is_told_by_the_phase_or_by_the_corrupted_accuracy(phase, test, corrupted, unlearns):
    summary = {"phase": phase, "test_accuracy": test, "corrupted_accuracy": corrupted}
    assert deep_mlp.unlearns(summary) == unlearns
    memorising = {"phase": M, "test_accuracy": 0.1, "corrupted_accuracy": 1.0}
    runs = {"decay 0": [{"summary": memorising}], "dropout 0.3": [{"summary": memorising}, {"summary": summary}]}
    check = deep_mlp._need_check(runs)
    assert check.holds != unlearns
    assert check.measured == ("1 of 3 runs, dropout 0.3" if unlearns else "0 of 3 runs")


@pytest.mark.parametrize(("last", "holds", "told"), [
    ([N, N], True, "3 of 4, 1 in memorization"), ([M, F], False, "1 of 4, 1 in full inversion, 2 in memorization"),
    ([N, M], False, "2 of 4, 2 in memorization")])
def test_dropout_mostly_confuses_if_more_than_half_of_the_runs_are_confused(last, holds, told):
    check = deep_mlp._dropout_check({"dropout 0.1": [N, M], "dropout 0.3": last})
    assert (check.holds, check.measured) == (holds, told)


@pytest.mark.parametrize(("with_it", "without", "holds"), [
    ([C, C], [M, N], True), ([C, M], [M, N], False), ([C, C], [M, C], False), ([F, F], [M, M], False)])
def test_batchnorm_helps_if_it_alone_coexists(with_it, without, holds):
    assert deep_mlp._batchnorm_check(with_it, without).holds == holds
