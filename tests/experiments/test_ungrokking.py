"""The experiment on ungrokking, at a very small size."""

import dataclasses
import json

import pytest

from experiments import ungrokking
from experiments.common import run_experiment, spread
from experiments.ungrokking import EVALUATIONS, NETWORKS, P, continued, geometric, transition
from training import TrainingConfig


@pytest.fixture
def tiny(monkeypatch):
    """Networks that take no time, of which the second has one decay."""
    common = TrainingConfig(p=11, alpha=0.9, xi=0.0, width=16, loss="cross-entropy", learning_rate=0.01,
                            weight_decay=0.5, steps=20)
    networks = {"quadratic": ungrokking.Network(common, (20, 40, 80), (10.0, 20.0)),
                "ReLU": ungrokking.Network(dataclasses.replace(common, activation="relu"), (20, 80), (10.0,))}
    monkeypatch.setattr(ungrokking, "NETWORKS", networks)
    monkeypatch.setattr(ungrokking, "QUICK", {"quadratic": networks["quadratic"]})
    monkeypatch.setattr(ungrokking, "P", 11)
    return networks


def result_of(tmp_path, *arguments):
    code = run_experiment("ungrokking", ungrokking.__doc__, ungrokking.experiment, 2, 1,
                          [*arguments, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


def test_leaves_every_network_and_decay_with_its_checks_and_a_figure(tmp_path, tiny):
    result = result_of(tmp_path)
    groups = ["quadratic, decay 10", "quadratic, decay 20", "ReLU, decay 10"]
    assert list(result["settings"]) == ["quadratic, first", "ReLU, first", *groups]
    for name in groups:
        assert result["measured"][name]["fitted"] <= 2
        assert result["settings"][name]["continue_from"] is None  # no place on this machine
        for size in (20, 80):
            measured = result["measured"][f"{name}, D' = {size}"]
            assert len(measured["test_accuracy"]["values"]) == 2
            assert measured["lowest_train_accuracy"]["max"] <= 1
    assert result["settings"]["quadratic, decay 20"]["steps"] == 75
    assert result["settings"]["quadratic, decay 20"]["alpha"] == [20.5 / 121, 40.5 / 121, 80.5 / 121]
    assert len(result["checks"]) == 3 * 7 + 2
    assert (tmp_path / "out" / "ungrokking.png").stat().st_size > 10_000
    # The second training begins where the first one ended, with the same test set.
    first = next(json.loads(path.read_text()) for path in (tmp_path / "cells" / "runs").glob("*/summary.json")
                 if "summary" in path.name and json.loads((path.parent / "config.json").read_text())["seed"] == 0
                 and json.loads((path.parent / "config.json").read_text())["activation"] == "square")
    grokked = result["measured"]["quadratic, decay 10, D' = 40"]["grokked_test_accuracy"]["values"][0]
    assert grokked == first["test_accuracy"]


def test_the_first_networks_are_trained_once(tmp_path, tiny, monkeypatch):
    result_of(tmp_path)
    monkeypatch.setattr("experiments.sweep.train", None)  # cannot be called
    assert result_of(tmp_path, "--quick", "--seeds", "2")["measured"]["quadratic, decay 10"] is not None


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_numbers_of_pairs_and_decay_times_steps_is_the_same(name):
    network = NETWORKS[name]
    for decay in network.decays:
        for size in network.sizes:
            config = continued(network.config, decay, size).resolved()
            assert config.train_examples == size
            assert config.test_alpha == network.config.alpha
            assert config.steps * decay * config.learning_rate == pytest.approx(15, rel=1e-4)
            # The history has a row half way and one at the end.
            assert len(range(0, config.steps, config.eval_every)) >= EVALUATIONS


def test_every_second_size_is_twice_as_large():
    assert geometric(56, 4) == (56, 79, 112, 158)


def run_at(accuracy, half_way=1.0):
    return {"history": {"test_accuracy": [1.0] * 25 + [half_way] + [accuracy] * 25}}


def test_the_transition_of_each_seed_is_fitted_alone_at_the_end_and_half_way():
    # One seed turns between 200 and 400, one between 400 and 800; half way both between 100 and 200.
    by_size = {size: [run_at(float(size > turn), float(size > 150)) for turn in (300, 600)]
               for size in (100, 200, 400, 800)}
    found = transition(by_size)
    assert (found["fitted"], found["seeds"]) == (2, 2)
    first, second = found["midpoint"]["values"]
    assert 200 < first < 400 < second < 800
    assert found["midpoint_interval"][0] <= 200
    assert found["midpoint_interval"][1] >= 800
    assert all(100 < midpoint < 200 for midpoint in transition(by_size, half_way=True)["midpoint"]["values"])


def test_there_is_no_midpoint_unless_all_seeds_turn():
    by_size = {100: [run_at(0.0), run_at(1.0)], 200: [run_at(0.1), run_at(1.0)], 400: [run_at(1.0), run_at(1.0)]}
    assert transition(by_size) == {"fitted": 1, "seeds": 2, "midpoint": None, "midpoint_interval": None, "factor": None}
    assert ungrokking._midpoint(transition(by_size)) == "1 of 2 seeds turn within these D'"


def test_accuracies_are_of_the_beginning_the_middle_and_the_end_of_each_seed():
    runs = [{"history": run_at(end, half_way)["history"] | {"train_accuracy": [1.0, lowest, 1.0]},
             "unmirrored_accuracy": end - 0.1, "summary": {"weight_norm": 10 * end}}
            for end, half_way, lowest in ((0.2, 0.6, 0.99), (0.4, 0.5, 0.98))]
    assert {name: found["values"] for name, found in ungrokking._accuracies(runs).items()} == {
        "grokked_test_accuracy": [1.0, 1.0], "half_way_test_accuracy": [0.6, 0.5], "test_accuracy": [0.2, 0.4],
        "unmirrored_test_accuracy": [pytest.approx(0.1), pytest.approx(0.3)], "lowest_train_accuracy": [0.99, 0.98],
        "weight_norm": [2.0, 4.0]}


def accuracies(*ends, **changes):
    """Of two seeds, which end at these test accuracies; half way and without mirror images they have the same mean."""
    one, other = ends
    return {"grokked_test_accuracy": spread([1.0, 1.0]), "half_way_test_accuracy": spread([one - 0.2, other + 0.2]),
            "test_accuracy": spread(ends), "unmirrored_test_accuracy": spread([one - 0.3, other + 0.3]),
            "lowest_train_accuracy": spread([1.0, 1.0])} | changes


def transition_holds(transition=None, **changes):
    """Whether each check of a network holds, with what is given changed at D' = 200."""
    fitted = {"midpoint": spread([190.0, 210.0]), "midpoint_interval": (150.0, 260.0), "factor": spread([2.0, 3.9])}
    at = {100: accuracies(0.02, 0.09), 200: accuracies(0.3, 0.7, **changes), 400: accuracies(0.96, 1.0)}
    return [check.holds for check in ungrokking._transition_checks("a network", at, transition or fitted)]


def test_checks_hold_and_fail_as_the_accuracies_say():
    assert transition_holds() == [True] * 7
    assert not transition_holds(lowest_train_accuracy=spread([1.0, 0.999]))[3]
    assert not transition_holds(unmirrored_test_accuracy=spread([0.3, 0.4]))[5]
    assert not transition_holds(half_way_test_accuracy=spread([0.6, 0.6]))[6]
    wide = {"midpoint": spread([190.0, 210.0]), "midpoint_interval": None, "factor": spread([3.9, 4.1])}
    assert not transition_holds(transition=wide)[4]
    assert not transition_holds(transition={"midpoint": None, "midpoint_interval": None, "factor": None, "fitted": 1,
                                            "seeds": 2})[4]
    chance, learnt = accuracies(0.02, 0.09), accuracies(0.96, 1.0)
    for changed, at in ((0, {100: chance | {"grokked_test_accuracy": spread([1.0, 0.9])}, 400: learnt}),
                        (1, {100: accuracies(0.02, 0.2), 400: learnt}), (2, {100: chance, 400: accuracies(0.9, 1.0)})):
        checks = list(ungrokking._transition_checks("a network", at, wide))
        assert [check.holds for check in checks[:3]] == [place != changed for place in range(3)]


def decay_holds(midpoints, ends):
    """Whether each check of two decays holds, at which two seeds have these means, further apart at the second."""
    network = ungrokking.Network(TrainingConfig(), (200,), (1.0, 2.0))
    measured = {}
    for decay, midpoint, end in zip(network.decays, midpoints, ends, strict=True):
        measured[f"a network, decay {decay:g}"] = {
            "midpoint": midpoint and spread([midpoint - 20 * decay, midpoint + 20 * decay]), "fitted": 0, "seeds": 2,
            "midpoint_interval": None}
        measured[f"a network, decay {decay:g}, D' = 200"] = accuracies(end - 0.1 * decay, end + 0.1 * decay)
    return [check.holds for check in ungrokking._decay_checks("a network", network, measured)]


def test_decays_are_compared_size_by_size():
    assert decay_holds((200.0, 210.0), (0.5, 0.58)) == [True, True]
    assert decay_holds((200.0, 230.0), (0.5, 0.62)) == [False, False]
    assert decay_holds((200.0, None), (0.5, 0.5)) == [True, False]


def test_p_is_that_of_the_networks():
    assert {network.config.p for network in NETWORKS.values()} == {P}
