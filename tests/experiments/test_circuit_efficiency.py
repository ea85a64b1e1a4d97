"""The experiment on efficiencies, at a very small size."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import circuit_efficiency, ungrokking
from experiments.circuit_efficiency import Efficiencies, exponent, first_to_grok, moved, observe_circuits, setting
from experiments.common import run_experiment, spread
from layers import Cache
from training import TrainingConfig, train


@pytest.fixture
def tiny(monkeypatch):
    common = dataclasses.replace(ungrokking.COMMON, p=11, learning_rate=0.01, steps=20)
    for module in (ungrokking, circuit_efficiency):
        monkeypatch.setattr(module, "P", 11)
        monkeypatch.setattr(module, "COMMON", common)
    network = ungrokking.Network(dataclasses.replace(common, width=16), (20, 40), (10.0,))
    monkeypatch.setattr(ungrokking, "NETWORKS", {"quadratic": network})
    monkeypatch.setattr(ungrokking, "QUICK", {"quadratic": network})
    monkeypatch.setattr(circuit_efficiency, "SIZES", {"C_mem": (20, 30, 40), "right labels": (40, 80)})
    monkeypatch.setattr(circuit_efficiency, "QUICK_SIZES", {"C_mem": (20, 40), "right labels": (40, 80)})


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("options", "decays", "sizes", "seeds"), [
    ([], (2.0, 4.0), 3, 2), (["--quick"], (4.0,), 2, 1)])
def test_leaves_every_decay_and_size_with_its_checks_and_a_figure(tmp_path, monkeypatch, options, decays, sizes, seeds):
    monkeypatch.setattr(circuit_efficiency, "E_FOLDS", 4)
    monkeypatch.setattr(circuit_efficiency, "EVALUATIONS", 10)
    monkeypatch.setattr(ungrokking, "EVALUATIONS", 10)
    monkeypatch.setattr(circuit_efficiency, "DECAYS", (2.0, 4.0))
    monkeypatch.setattr(circuit_efficiency, "QUICK_DECAYS", (4.0,))
    monkeypatch.setattr(ungrokking, "E_FOLDS", 4)
    code = run_experiment("circuit_efficiency", circuit_efficiency.__doc__, circuit_efficiency.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    names = [name for name in result["settings"] if not name.startswith("ungrokking")]
    assert len(names) == len(decays) * (sizes + 2)
    assert len(result["settings"]) == len(names) + 1 + len(decays)
    assert {result["settings"][name]["weight_decay"] for name in names} == set(decays)
    assert {result["settings"][name]["xi"] for name in names} == {0.0, 1.0}
    for decay in decays:
        assert len(result["measured"][f"decay {decay:g}"]["exponent of C_mem"]["values"]) == seeds
        assert len(result["measured"][f"C_mem, decay {decay:g}, D 20"]["efficiency"]["values"]) == seeds
    assert len(result["checks"]) == 10 * len(decays) + (len(decays) > 1)
    assert (tmp_path / "out" / "circuit_efficiency.png").stat().st_size > 10_000


def test_what_is_observed_is_what_the_snapshots_are():
    run = train(TrainingConfig(p=11, width=16, steps=400, eval_every=2, xi=0.3, loss="cross-entropy", snapshots=201,
                               dtype="float64"))
    observed = json.loads(json.dumps(observe_circuits(run), allow_nan=False))["strengths"]
    steps = [one["step"] for one in observed]
    assert steps[:3] == [0, 2, 4]
    assert 200 in steps
    assert steps[-1] == 400
    assert len(steps) <= 15
    np.testing.assert_allclose(np.diff(np.log([step for step in steps[3:] if step != 200])), np.log(200) / 11, rtol=0.6)
    train_set = run.problem().train
    logits = run.network().forward(train_set.inputs, Cache())
    right = logits[np.arange(len(train_set)), train_set.labels]
    size = np.mean(right - (logits.sum(axis=1) - right) / 10)
    last = observed[-1]
    assert last["size"] == pytest.approx(size, rel=1e-10)
    assert last["generalising"] + last["memorising"] == pytest.approx(size, rel=1e-10)
    assert last["norm"] == pytest.approx(np.linalg.norm(run.network().store.flat), rel=1e-12)
    assert last["efficiency"] == pytest.approx(size / last["norm"] ** 3, rel=1e-10)


@pytest.mark.parametrize("kind", circuit_efficiency.SIZES)
def test_sizes_are_numbers_of_pairs(kind):
    for size in circuit_efficiency.SIZES[kind]:
        config = setting(kind, 0.5, size).resolved()
        assert config.train_examples == size
        assert config.xi == (kind == "C_mem")
        assert config.steps * 0.5 * config.learning_rate == pytest.approx(15)


def run_of(efficiency, share, test=0.0, train=1.0, strengths=()):
    end = {"step": 100, "efficiency": efficiency, "share": share, "memorising": 1.0, "generalising": 9.0}
    middle = {"step": 50, "efficiency": efficiency, "share": share, "memorising": 6.0, "generalising": 1.0}
    return {"summary": {"train_accuracy": train, "test_accuracy": test}, "strengths": [*strengths, middle, end]}


def runs_of(flat=(1e-5, 1e-5), exponent=-0.5, share=0.98, scale=1.0):
    """Two seeds; the efficiency of C_mem is 2e-5 at D = 100, that of C_gen as given at 800 and 1600.

    At 400 one of them knows the rule alone.
    """
    return {"C_mem": {size: [run_of(scale * 2e-5 * (size / 100) ** exponent, 0.03)] * 2 for size in (100, 200, 400)},
            "right labels": {400: [run_of(1e-5, 0.5, 0.3), run_of(1e-5, share, 1.0)]}
            | {size: [run_of(eta, share, 1.0)] * 2 for size, eta in zip((800, 1600), flat, strict=True)}}


def test_curves_cross_where_the_efficiencies_are_equal():
    found = Efficiencies(runs_of())
    assert list(found.generalising) == [800, 1600]
    assert exponent(found.memorising)["values"] == pytest.approx([-0.5, -0.5])
    assert exponent(found.generalising)["values"] == pytest.approx([0, 0])
    assert exponent({800: [1e-5]}) is None
    assert found.crossing()["values"] == pytest.approx([400, 400])
    assert Efficiencies(runs_of(flat=(0.9e-5, 1.1e-5))).crossing()["values"] == pytest.approx([400, 400])
    assert Efficiencies(runs_of(scale=10)).crossing() is None  # beyond the sizes
    assert Efficiencies(runs_of(share=0.9)).crossing() is None


def holding(runs):
    efficiencies = Efficiencies(runs)
    return [check.holds for check in (*circuit_efficiency._pure_checks(1.0, runs, efficiencies),
                                      *circuit_efficiency._curve_checks(1.0, efficiencies))]


def test_checks_hold_and_fail_as_the_runs_say():
    assert holding(runs_of()) == [True] * 5
    assert holding(runs_of(share=0.9)) == [True, False, True, True, False]
    assert holding(runs_of(exponent=0.1)) == [True, True, True, False, True]
    assert holding(runs_of(flat=(1e-5, 1.2e-5))) == [True, True, True, True, False]
    runs = runs_of()
    runs["C_mem"][100] = [run_of(2e-5, 0.03, train=0.99), run_of(2e-5, 0.03)]
    assert not holding(runs)[0]
    runs["C_mem"][100] = [run_of(2e-5, 0.2)] * 2
    assert not holding(runs)[0]
    runs = runs_of()
    runs["C_mem"][200] = [run_of(2.1e-5, 0.03)] * 2  # higher than at 100, and than at 400
    assert holding(runs) == [True, True, True, False, True]
    runs = runs_of()
    runs["right labels"][1600][1] = run_of(1e-5, 0.98, 1.0)
    runs["right labels"][1600][1]["strengths"][0]["efficiency"] = 2e-5  # half way
    assert holding(runs) == [True, True, False, True, True]


def test_curves_are_of_means_over_seeds():
    runs = runs_of()
    runs["C_mem"][200] = [run_of(eta, 0.03) for eta in (2.4e-5, 0.6e-5)]
    runs["right labels"][800] = [run_of(eta, 0.98) for eta in (1.2e-5, 0.8e-5)]
    assert holding(runs) == [True] * 5


def test_what_still_moves_is_told():
    steps = [{"step": 0, "efficiency": 9.0}, {"step": 45, "efficiency": 7.0}, {"step": 50, "efficiency": 1.0},
             {"step": 60, "efficiency": 5.0}, {"step": 100, "efficiency": 1.2}]
    assert moved(steps) == pytest.approx(0.2)


def sizes_hold(crossing, ungrokking, scratch, before=(300, 500)):
    """Whether each check of these sizes holds, which are means of two seeds."""
    def of_two(size, apart):
        return size and spread([size - apart, size + apart])

    found = {"crossing": of_two(crossing, 150)} | {
        name: {"midpoint": of_two(size, apart)}
        for name, size, apart in (("ungrokking", ungrokking, 80), ("ungrokking, half way", before[0], 10),
                                  ("from scratch", scratch, 80), ("from scratch, half way", before[1], 10))}
    return [check.holds for check in circuit_efficiency._size_checks(1.0, found)]


def test_critical_sizes_are_held_against_each_other():
    assert sizes_hold(400, 300, 500) == [True, True, True, True]
    assert sizes_hold(400, 200, 700) == [False, False, True, True]
    assert sizes_hold(400, 500, 300, before=(500, 300)) == [True, True, False, True]
    assert sizes_hold(400, 310, 490) == [True, True, True, False]
    assert sizes_hold(400, 350, 450) == [True, True, False, False]  # smaller on average, not at every seed
    assert sizes_hold(None, 300, None) == [False, False, False, False]
    assert sizes_hold(400, 300, 500, before=(300, None)) == [True, True, True, False]


def test_efficiencies_at_several_decays_are_compared_size_by_size():
    def holds(one, other):
        """Of the two seeds of D = 200 at the second decay, as multiples of the efficiency at the first."""
        runs = runs_of()
        runs["C_mem"][200] = [run_of(times * run["strengths"][-1]["efficiency"], 0.03)
                              for times, run in zip((one, other), runs["C_mem"][200], strict=True)]
        return circuit_efficiency._same_at_decays_check({1.0: Efficiencies(runs_of()), 2.0: Efficiencies(runs)}).holds
    assert holds(1.05, 1.05)
    assert holds(0.7, 1.4)
    assert not holds(1.2, 1.2)


def test_the_strengths_are_those_where_all_seeds_grok():
    by_size = runs_of()["right labels"]
    assert first_to_grok(by_size) == 800
    check = circuit_efficiency._strength_check(1.0, by_size)
    assert check.holds
    assert "D 800" in check.claim
    never = {400: by_size[400]}
    assert first_to_grok(never) is None
    assert not circuit_efficiency._strength_check(1.0, never).holds
    kept = [run | {"strengths": [{**one, "memorising": 6.0} for one in run["strengths"]]} for run in by_size[800]]
    assert not circuit_efficiency._strength_check(1.0, {800: [by_size[800][0], kept[1]]}).holds
