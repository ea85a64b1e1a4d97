"""The experiment on pruning at several widths, at a very small size."""

import json

import numpy as np
import pytest

from analysis.ipr import neuron_ipr
from experiments import prune_width
from experiments.common import run_experiment
from layers import Cache
from training import TrainingConfig, train


@pytest.mark.parametrize(("accuracies", "needed"), [
    ([0.95, 0.985, 1.0, 0.992, 0.98, 0.991, 0.5, 0.1], 3),  # 5 of 8 pruned: 0.991, after less with 4
    ([0.95, 0.96, 0.955], 1), ([1.0, 0.98, 0.97], 3), ([0.1, 0.1, 0.1], 1)])
def test_needed_are_the_fewest_that_come_near_the_highest_accuracy(accuracies, needed):
    assert prune_width.neurons_needed(np.array(accuracies)) == needed


def test_the_tolerance_counts_from_the_highest_accuracy_not_from_the_whole_networks():
    rising = np.array([0.3, 0.3, 0.995, 1.0, 0.98, 0.3])
    assert prune_width.neurons_needed(rising) == 3


@pytest.mark.parametrize(("b", "c"), [(0.4, 7.0), (1.0, 0.25), (1.3, 0.01)])
def test_a_power_law_is_found_again(b, c):
    widths = (500, 1000, 2000, 4000)
    assert prune_width.power_law(widths, c * np.array(widths) ** b) == pytest.approx((b, c), rel=1e-9)


def test_two_points_are_joined():
    b, c = prune_width.power_law((100, 400), np.array([30, 60]))
    assert (b, c) == pytest.approx((0.5, 3.0))


def test_a_pruned_network_is_the_network_without_those_neurons():
    run = train(TrainingConfig(p=11, width=16, steps=40, eval_every=20))
    measured = json.loads(json.dumps(prune_width.pruned(run), allow_nan=False))
    network, test = run.network(), run.problem().test
    order = np.argsort(neuron_ipr(*network.neurons()), kind="stable")
    assert len(measured["pruned_test_accuracy"]) == 16
    for count in range(16):
        weights = {name: x.copy() for name, x in network.state().items()}
        for name, x in weights.items():
            x[(order[:count],) if name.endswith("W") else (slice(None), order[:count])] = 0
        network_left = run.network()
        network_left.load_state(weights)
        right = network_left.forward(test.inputs, Cache()).argmax(axis=-1) == test.labels
        assert measured["pruned_test_accuracy"][count] == pytest.approx(right.mean(), abs=1e-12)
    assert measured["test_accuracy"] == pytest.approx(measured["pruned_test_accuracy"][0], abs=1e-12)


def networks(narrow, wide):
    """What was measured of two seeds, of which every network of width 400 needs 80 neurons or more."""
    return {f"width {width}": {"highest_test_accuracy": prune_width.spread([0.99, 1.0]),
                               "needed": prune_width.spread(counts)} for width, counts in
            zip((100, 200, 400), (narrow, wide, [80, 90]), strict=True)}


@pytest.mark.parametrize(("narrow", "wide", "exponents", "holding"), [
    ([30, 40], [50, 60], [0.58, 0.74], [True, True, True]),
    ([30, 40], [40, 60], [0.42, 0.58], [True, False, True]),
    ([30, 40], [70, 60], [1.22, 0.58], [True, True, False])])
def test_checks_hold_where_every_seed_is_on_the_right_side(narrow, wide, exponents, holding):
    measured = networks(narrow, wide) | {"power law": {"exponent": prune_width.spread(exponents)}}
    assert [check.holds for check in prune_width._checks((100, 200, 400), measured)] == holding


def test_networks_that_do_not_generalise_are_told():
    measured = networks([30, 40], [50, 60]) | {"power law": {"exponent": prune_width.spread([0.6])}}
    measured["width 200"]["highest_test_accuracy"] = prune_width.spread([0.89, 1.0])
    assert [check.holds for check in prune_width._checks((100, 200, 400), measured)] == [False, True, True]


@pytest.mark.parametrize(("quick", "widths", "steps"), [([], (16, 24, 48), 40), (["--quick"], (8, 16), 20)])
def test_leaves_counts_exponents_checks_and_a_figure(tmp_path, monkeypatch, quick, widths, steps):
    def small(**settings):
        return TrainingConfig(p=11, **settings)

    monkeypatch.setattr(prune_width, "TrainingConfig", small)
    for name, value in {"WIDTHS": (16, 24, 48), "STEPS": 40, "QUICK_WIDTHS": (8, 16), "QUICK_STEPS": 20}.items():
        monkeypatch.setattr(prune_width, name, value)
    assert run_experiment("prune_width", prune_width.__doc__, prune_width.experiment, 2, 2,
                          [*quick, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    names = [f"width {width}" for width in widths]
    assert [setting["steps"] for setting in result["settings"].values()] == [steps] * len(widths)
    assert list(result["settings"]) == names
    assert list(result["measured"]) == [*names, "power law"]
    needed = np.array([result["measured"][name]["needed"]["values"] for name in names])
    assert (needed >= 1).all()
    assert (needed <= np.array(widths)[:, None]).all()
    slopes = [np.polyfit(np.log(widths), np.log(counts), 1)[0] for counts in needed.T]
    assert result["measured"]["power law"]["exponent"]["values"] == pytest.approx(slopes)
    assert [check["holds"] for check in result["checks"]][2] == (max(slopes) < 1)
    assert (tmp_path / "out" / "prune_width.png").stat().st_size > 10_000
