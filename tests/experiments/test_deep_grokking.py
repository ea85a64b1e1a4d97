"""The experiment on deep networks, at a very small size; and what it reads of curves that are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis import figures
from analysis.features import features
from analysis.probes import probe_accuracy
from analysis.rank import effective_rank, numerical_rank
from experiments import deep_grokking
from experiments.common import run_experiment
from experiments.deep_grokking import read
from training import TrainingConfig, train

SMALL = ["depth 4, D = 200", "depth 8, D = 200", "depth 12, D = 200"]
LARGER = ["depth 4, D = 1000", "depth 12, D = 1000"]


def finished(tmp_path, *options):
    code = run_experiment("deep_grokking", deep_grokking.__doc__, deep_grokking.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")],
                          deep_grokking.add_own_options)
    assert code == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.fixture
def small(monkeypatch):
    """The same settings, with few images and few neurons."""
    pytest.importorskip("sklearn")
    full = deep_grokking._settings
    monkeypatch.setattr(deep_grokking, "_settings", lambda *size: {
        name: replace(config, train_size=config.train_size // 10, width=12, steps=6, eval_every=2, snapshots=3,
                      batch_size=config.batch_size and 20)
        for name, config in full(*size).items()})
    monkeypatch.setattr(figures, "DPI", 40)


@pytest.mark.usefixtures("small")
def test_leaves_every_setting_with_its_checks_and_figures(tmp_path):
    result = finished(tmp_path)
    assert list(result["settings"]) == list(result["measured"]) == SMALL + LARGER
    for name, measured in result["measured"].items():
        depth = result["settings"][name]["depth"]
        assert len(measured["rank, start"]) == len(measured["probe, end"]) == depth - 1
        assert len(measured["probe, start"][0]["values"]) == 2
        assert [len(falls) for falls in measured["falls"]] == [depth - 1] * 2
    papers = [check["paper"] for check in result["checks"]]
    assert papers == [*["groks"] * 3, *["deeper networks grok later and harder"] * 3, *["rank falls"] * 5,
                      *["rank falls when test accuracy rises"] * 5, *["(not given)"] * 7, "a second rise",
                      "a second fall of rank"]
    for figure in ("deep_grokking.png", "deep_grokking_layers.png"):
        assert (tmp_path / "out" / figure).stat().st_size > 10_000


@pytest.mark.usefixtures("small")
def test_the_quick_size_has_no_larger_set(tmp_path):
    result = finished(tmp_path, "--quick")
    assert list(result["settings"]) == ["depth 4, D = 200", "depth 12, D = 200"]
    assert not any("larger" in check["claim"] for check in result["checks"])


def test_its_networks_differ_in_depth_and_training_set_alone():
    pytest.importorskip("sklearn", reason="the small digits come with it")
    settings = deep_grokking._settings(False, False)
    assert list(settings) == SMALL + LARGER
    for name, config in settings.items():
        config = config.resolved()
        assert (config.task, config.width, config.initial_scale, config.xi) == ("digits", 100, 8, 0)
        assert config.batch_size == (200 if name in LARGER else None)
        differing = settings[SMALL[0]].resolved().differences(config)
        assert set(differing) <= {"depth", "train_size", "batch_size"}


def test_the_size_of_the_paper_is_there_to_be_asked_for():
    settings = {name: config.resolved() for name, config in deep_grokking._settings(False, True).items()}
    assert list(settings) == ["depth 4, D = 2000", "depth 8, D = 2000", "depth 12, D = 2000", "depth 12, D = 5000",
                              "depth 12, D = 7000"]
    for config in settings.values():
        assert (config.task, config.width, config.initial_scale, config.xi, config.loss) == ("mnist", 400, 8, 0, "mse")
        assert (config.learning_rate, config.weight_decay, config.steps) == (1e-3, 0.01, 100_000)


def test_what_is_observed_is_the_rank_and_the_probe_of_each_layer_at_each_snapshot():
    pytest.importorskip("sklearn")
    run = train(TrainingConfig(task="digits", train_size=40, width=10, depth=4, steps=6, eval_every=2, snapshots=3))
    observed = json.loads(json.dumps(deep_grokking.observe_layers(run), allow_nan=False))
    assert observed["history"]["test_accuracy"] == run.history["test_accuracy"].tolist()
    layers, problem = observed["layers"], run.problem()
    assert layers["step"] == sorted(run.snapshots)
    assert np.shape(layers["rank"]) == np.shape(layers["probe"]) == (3, 3)
    train_features, test_features = (features(run.network(0), data.inputs) for data in (problem.train, problem.test))
    F, G = train_features["hidden_2"], test_features["hidden_2"]
    assert layers["rank"][0][1] == numerical_rank(F)
    assert layers["effective rank"][0][1] == effective_rank(F)
    assert layers["probe"][0][1] == probe_accuracy(F, problem.train.labels, G, problem.test.labels, 10)


def groks(rise=1000, fall=2000, best=0.9, memorised=100, depth=4, **changes):
    """A run with one rise of test accuracy and one fall of rank, each from one evaluation to the next."""
    steps = np.arange(0, 10_001, 100)
    mean = np.where(steps >= fall, 20, 80)
    return {"history": {"step": steps.tolist(), "train_accuracy": np.where(steps >= memorised, 1.0, 0.1).tolist(),
                        "test_accuracy": np.where(steps >= rise, best, 0.1).tolist(), **changes},
            "layers": {"step": steps.tolist(), "rank": np.add.outer(mean, np.arange(depth - 1)).tolist(),
                       "effective rank": np.add.outer(np.where(steps >= rise, 5, 15), np.arange(depth - 1)).tolist(),
                       "probe": np.add.outer(np.where(steps >= rise, 0.7, 0.1), 0.1 * np.arange(depth - 1)).tolist()}}


CONFIG = TrainingConfig(task="digits", train_size=200, width=100)


def readings(**groups):
    return {name: [read(groks(**one), CONFIG) for one in group] for name, group in groups.items()}


def test_a_run_is_read_as_the_definitions_say():
    reading = read(groks(), CONFIG)
    assert (reading["memorised"], reading["generalised"], reading["delay"], reading["ratio"]) == (100, 1000, 900, 10)
    assert (reading["half_rise"], reading["rises"]) == (1000, 1)
    assert reading["half_fall"] == {"rank": 2000, "effective rank": 1000}
    assert reading["effective rank"] == {"start": [15, 16, 17], "memorised": [15, 16, 17], "end": [5, 6, 7]}
    assert reading["rank"] == {"start": [80, 81, 82], "memorised": [80, 81, 82], "end": [20, 21, 22]}
    assert reading["probe"]["end"] == pytest.approx([0.7, 0.8, 0.9])
    assert reading["falls"] == [1, 1, 1]


def test_what_is_read_can_be_stored():
    assert json.loads(json.dumps(read(groks(), CONFIG), allow_nan=False)) == read(groks(), CONFIG)


def test_who_never_memorises_or_generalises_has_no_delay():
    never = read(groks(memorised=20_000), CONFIG)
    assert [never[name] for name in ("memorised", "delay", "half_rise", "rises")] == [None] * 4
    assert never["half_fall"] == {"rank": None, "effective rank": None}
    assert never["rank"]["memorised"] is never["probe"]["memorised"] is None
    assert read(groks(best=0.7), CONFIG)["delay"] is None


def test_the_half_of_a_fall_is_told_from_the_highest_rank_after_memorising():
    run = groks()
    rank = [90, 60, 70, 80, 65, 39, 41, 20, 80]  # memorised at the second: not from the 90 before it, nor from 60
    run["layers"]["rank"] = [[value, value] for value in rank] + [[80, 80]] * 92
    assert read(run, CONFIG)["half_fall"]["rank"] == 500
    run["layers"]["rank"] = [[90, 90]] + [[60, 60]] * 100
    assert read(run, CONFIG)["half_fall"]["rank"] is None


@pytest.mark.parametrize(("middle", "rises"), [
    (0.5, 2), (0.85, 2), (0.87, 1),  # the last within a plateau's height of the maximum
    (0.15, 1)])  # no first rise
def test_a_second_rise_is_one_after_a_plateau_in_between(middle, rises):
    steps = np.arange(0, 10_001, 100)
    test = np.select([steps < 1000, steps < 3000], [0.1, middle], 0.9)
    assert read(groks(test_accuracy=test.tolist()), CONFIG)["rises"] == rises
    short = np.select([steps < 1000, steps < 1500], [0.1, middle], 0.9)
    assert read(groks(test_accuracy=short.tolist()), CONFIG)["rises"] == 1


def test_falls_count_from_a_tenth_of_the_most_that_there_can_be():
    run = groks()
    run["layers"]["rank"] = [[rank, rank] for rank in (90, 70, 80, 69, 95)] + [[95, 95]] * 96
    assert read(run, CONFIG)["falls"] == [2, 2]
    assert read(run, replace(CONFIG, width=110))["falls"] == [1, 1]
    assert read(run, replace(CONFIG, train_size=101, width=400))["falls"] == [2, 2]


@pytest.mark.parametrize(("deeper", "holds"), [
    ([{"rise": 1500}, {"rise": 1600}], [True] * 3), ([{"rise": 1500}, {"rise": 1200}], [False] * 3),
    ([{"rise": 1500}, {"best": 0.7}], [False] * 3),
    ([{"rise": 1500, "memorised": 400}, {"rise": 1600, "memorised": 400}], [True, False, False])])
def test_deeper_is_later_where_every_seed_comes_after_every_seed(deeper, holds):
    groups = readings(four=[{"rise": 1000}, {"rise": 1300}], eight=deeper, twelve=[{"rise": 3000}, {"rise": 3100}])
    checks = list(deep_grokking._depth_checks(groups))
    assert [check.holds for check in checks[-3:]] == holds


@pytest.mark.parametrize(("rise", "holds"), [(200, True), (100, False)])
def test_grokking_is_late(rise, holds):
    checks = list(deep_grokking._depth_checks(readings(four=[{"rise": 1000}, {"rise": rise}])))
    assert checks[0].holds == holds


@pytest.mark.parametrize(("fall", "together"), [(600, True), (1000, True), (2000, True), (2100, False), (400, False)])
def test_rank_falls_with_the_rise_within_a_factor_of_two(fall, together):
    falls, when, effective = deep_grokking._rank_checks(readings(four=[{}, {"fall": fall}]))
    assert falls.holds
    assert when.holds == together
    assert effective.holds
    never = deep_grokking._rank_checks(readings(four=[{}, {"memorised": 20_000}]))
    assert not any(check.holds for check in never)


def test_rank_that_falls_too_little_is_told():
    reading = read(groks(), CONFIG)
    reading["rank"] = {"start": [80], "memorised": [80], "end": [40]}
    check = next(deep_grokking._rank_checks({"four": [reading]}))
    assert (check.holds, check.measured) == (False, "80.0 to 40.0; last layer 80.0 to 40.0")
    assert not next(deep_grokking._rank_checks({"four": [read(groks(), CONFIG), reading]})).holds


@pytest.mark.parametrize(("memorised", "end", "holds"), [
    ([0.8, 0.9, 0.2], [0.8, 0.1, 0.8], [True, True]), ([0.8, 0.1, 0.8], [0.8, 0.9, 0.7], [False, False])])
def test_probes_of_the_last_layer_are_held_against_the_first(memorised, end, holds):
    reading, expected = ({"probe": {"memorised": one, "end": other}}
                         for one, other in ((memorised, end), ([0.8, 0.5, 0.2], [0.8, 0.8, 0.9])))
    assert [check.holds for check in deep_grokking._probe_checks({"four": [expected, reading]})] == holds
    unknown = {"probe": {"memorised": None, "end": end}}
    assert not next(deep_grokking._probe_checks({"four": [reading, unknown]})).holds


def test_second_rises_and_falls_are_looked_for_in_the_larger_sets():
    once, twice = {"rises": 1, "falls": [1, 0]}, {"rises": 2, "falls": [1, 2]}
    for group, found in (([once, twice], True), ([once], False)):
        checks = deep_grokking._larger_checks([{"a": group}, {"b": [once]}])
        assert [check.holds for check in checks] == [found, found]
    assert list(deep_grokking._larger_checks([])) == []
