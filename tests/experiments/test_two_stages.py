"""The experiment on grokking and unlearning, at a very small size."""

import json
from functools import partial

import numpy as np
import pytest

from data import modular_problem
from experiments import two_stages
from experiments.common import run_experiment, spread
from training import TrainingConfig


def run_of(test, corrupted, grok, unlearn):
    return {"history": {"test_accuracy": test, "train_accuracy": [1.0] * len(test), "corrupted_accuracy": corrupted},
            "summary": {"grok_step": grok, "unlearn_step": unlearn}}


def test_leaves_every_decay_and_corruption_with_its_checks_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(two_stages, "TrainingConfig", partial(TrainingConfig, p=11, width=16))
    monkeypatch.setattr(two_stages, "STEPS", 20)
    code = run_experiment("two_stages", two_stages.__doc__, two_stages.experiment, 2, 1,
                          ["--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert list(result["settings"]) == list(result["measured"])
    assert {(setting["weight_decay"], setting["xi"]) for setting in result["settings"].values()} == {
        (decay, xi) for decay in (5, 10, 15) for xi in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    for measured in result["measured"].values():
        assert len(measured["train_accuracy"]["values"]) == len(measured["phase"]) == 2
        for stage in ("grok_step", "unlearn_step"):
            happened = sum(measured[f"{stage}_happened"]["values"])
            assert len(measured[stage]["values"]) == happened if happened else measured[stage] is None
    assert len(result["checks"]) == 15
    corrupted = result["measured"]["decay 15, xi 0.1"]["corrupted_accuracy"]["max"]
    phases = set(result["measured"]["decay 15, xi 0.1"]["phase"])
    assert result["checks"][-1]["holds"] == (corrupted < 0.5 and phases == {"coexistence"})
    assert (tmp_path / "out" / result["figures"][0]).stat().st_size > 10_000


def test_the_quick_size_has_fewer_corruptions_and_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(two_stages, "TrainingConfig", partial(TrainingConfig, p=11, width=16))
    monkeypatch.setattr(two_stages, "QUICK_STEPS", 10)
    run_experiment("two_stages", two_stages.__doc__, two_stages.experiment, 2, 1,
                   ["--quick", "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["seeds"] == [0]
    assert {(setting["xi"], setting["steps"]) for setting in result["settings"].values()} == {
        (0.1, 10), (0.2, 10), (0.3, 10)}


def test_the_accuracy_of_the_rule_is_that_of_true_labels_among_the_given_ones():
    config = TrainingConfig(p=5, alpha=1.0, xi=0.6)
    right = [np.mean(train.labels == train.true_labels) for train in
             (modular_problem(config.p, alpha=config.alpha, xi=config.xi, seed=seed).train for seed in range(1000))]
    assert two_stages.rule_accuracy(config) == pytest.approx(np.mean(right), abs=3 * np.std(right) / 1000 ** 0.5)
    assert abs(two_stages.rule_accuracy(config) - (1 - config.xi)) > 10 * np.std(right) / 1000 ** 0.5


def test_what_is_learnt_together_is_learnt_at_one_step():
    run = run_of([0.1, 0.6, 1.0], [1.0, 0.7, 0.2], 10, 10)
    assert two_stages._highest_with_test(run, "corrupted") == 0.6
    assert two_stages._highest_with_test(run, "train") == 1.0


@pytest.mark.parametrize(("runs", "holding"), [
    ([run_of([0.0, 0.9, 1.0], [1.0, 0.95, 0.0], 5, 10)], [True, True, True]),
    ([run_of([0.0, 0.9, 1.0], [1.0, 0.89, 0.0], 5, 5)], [True, False, True]),
    ([run_of([0.0, 0.9, 1.0], [1.0, 0.95, 0.0], 10, 5)], [True, True, False]),
    ([run_of([0.0, 0.9, 0.9], [1.0, 0.95, 0.0], None, 10)], [False, False, False]),
    ([run_of([0.0, 0.9, 1.0], [1.0, 0.95, 0.9], 10, None)], [True, True, False]),
    ([run_of([0.0, 0.9, 1.0], [1.0, 0.95, 0.9], 10, None), run_of([0.0, 1.0], [1.0, 0.9], 5, 5)], [True, True, True]),
    ([run_of([0.0, 0.9, 1.0], [1.0, 0.95, 0.0], 5, 10), run_of([0.0, 0.1], [1.0, 1.0], None, None)], [True] * 3),
    ([run_of([0.0, 0.9, 1.0], [1.0, 0.95, 0.0], 5, 10), run_of([0.0, 0.8, 1.0], [1.0, 0.95, 0.0], 10, 5)],
     [True, False, False]),
    ([run_of([0.0, 0.8, 0.8], [1.0, 0.95, 0.0], 10, 10)], [False, False, True])])
def test_stages_are_both_there_and_in_order(runs, holding):
    assert [check.holds for check in two_stages._stage_checks(5.0, runs)] == holding


def test_what_is_told_of_stages_is_told_of_the_runs_that_have_them():
    runs = [run_of([1.0], [1.0 - number / 10], *steps)
            for number, steps in enumerate(((10, 35), (None, None), (20, 25), (None, 40)))]
    assert [check.measured for check in two_stages._stage_checks(5.0, runs)] == [
        "2 of the 2 runs that grok; 1.000 (1.000 to 1.000)", "1 of the 2 runs that grok; 0.900 (0.800 to 1.000)",
        "2 of the 3 runs that unlearn, by 5 to 25 steps"]


@pytest.mark.parametrize(("ends", "unlearning", "holding"), [
    ([0.9, 0.96], [1.0, 1.0], [True, True]), ([0.9, 0.97], [1.0, 1.0], [False, False]),
    ([0.85, 0.92], [1.0, 1.0], [False, False]), ([0.9, 0.99], [1.0, 0.0], [True, False]),
    ([0.91, 0.91], [0.0, 0.0], [False, True])])
def test_every_seed_must_end_at_the_accuracy_of_the_rule(ends, unlearning, holding):
    settings = {"a": TrainingConfig(weight_decay=15.0, xi=0.1, p=10),  # the rule has 0.91
                "b": TrainingConfig(weight_decay=5.0, xi=0.5)}  # another decay does not count
    measured = {"a": {"train_accuracy": spread(ends), "unlearn_step_happened": spread(unlearning)}}
    measured["b"] = {"train_accuracy": spread([1.0]), "unlearn_step_happened": spread([1.0])}
    assert [check.holds for check in two_stages._inversion_checks(15.0, settings, measured)] == holding


@pytest.mark.parametrize(("kept", "holds"), [([[0.4, 0.5], [0.6]], True), ([[0.4, 0.25], [0.6]], False)])
def test_more_is_kept_where_no_seed_keeps_less(kept, holds):
    measured = {f"decay 5, xi {xi:g}": {"corrupted_accuracy": spread(values)}
                for xi, values in zip((0.1, 0.3), kept, strict=True)}
    measured |= {f"decay 15, xi {xi:g}": {"corrupted_accuracy": spread([0.2, 0.3])} for xi in (0.1, 0.3)}
    assert two_stages._partial_check((0.1, 0.3), measured).holds == holds


@pytest.mark.parametrize(("phases", "corrupted", "holds"), [
    (["coexistence"], [0.01], True), (["coexistence"] * 2, [0.01, 0.9], False),
    (["coexistence", "full inversion"], [0.01, 0.01], False)])
def test_the_phase_hides_what_the_corrupted_accuracy_tells(phases, corrupted, holds):
    measured = {"phase": phases, "corrupted_accuracy": spread(corrupted)}
    assert two_stages._threshold_check(measured).holds == holds
