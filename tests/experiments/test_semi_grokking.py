"""The experiment on semi-grokking, at a very small size."""

import json
from dataclasses import replace

import pytest

from experiments import semi_grokking
from experiments.common import run_experiment, spread
from experiments.semi_grokking import critical_size, outcome, read


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(semi_grokking, "SETTING", replace(semi_grokking.SETTING, p=11, width=16, eval_every=5))
    monkeypatch.setattr(semi_grokking, "STEPS", 80)
    monkeypatch.setattr(semi_grokking, "QUICK_STEPS", 40)


def result_of(tmp_path, *arguments):
    assert run_experiment("semi_grokking", semi_grokking.__doc__, semi_grokking.experiment, 2, 1,
                          [*arguments, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")]) == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


def history(test, train=None):
    """Evaluations every 100 steps, from 0 on."""
    train = [0.0] + [1.0] * (len(test) - 1) if train is None else train
    return {"step": [100 * k for k in range(len(test))], "train_accuracy": train, "test_accuracy": test}


def read_of(*curves):
    return read({"history": history(*curves), "unmirrored_accuracy": 0.25})


def ending(end, growth=0.0, delay=20.0, train=1.0, spike=0.0, mirrors=0.0):
    """What is read of a run."""
    return {"train_accuracy": train, "test_accuracy": {"T/8": 0.0, "T/4": 0.0, "T/2": end - growth, "T": end},
            "delay": delay, "growth": growth, "unmirrored": end - mirrors, "range": max(abs(growth), spike),
            "at_rest": max(abs(growth), spike) <= 0.04}


GOOD = {"alpha 0.2": [ending(0.02, delay=None)] * 2, "alpha 0.3": [ending(0.5), ending(0.02, delay=None)],
        "alpha 0.45": [ending(1.0)] * 2}


def holding(**changes):
    """Whether each check holds, with the runs of some sizes replaced."""
    readings = GOOD | {name.replace("_", " "): runs for name, runs in changes.items()}
    return [check.holds for check in semi_grokking._checks(readings)]


MEMORISES, CHANCE, GROKS, MIDDLE, LATE, LATE_GROKKED, UNMIRRORED, RESTS, GROWS = range(9)


def test_leaves_every_size_with_its_checks_and_a_figure(tmp_path, tiny):
    result = result_of(tmp_path)
    sizes = semi_grokking.SIZES
    assert [setting["alpha"] for setting in result["settings"].values()] == list(sizes)
    assert next(iter(result["settings"])) == "alpha 0.2, D 24"
    assert list(result["measured"]) == [*result["settings"], "critical size"]
    for name in result["settings"]:
        measured = result["measured"][name]
        assert len(measured["train_accuracy"]["values"]) == len(measured["plateaus"]) == 2
        for time in semi_grokking.TIMES:
            found = [outcome(value) for value in measured[f"test_accuracy, {time}"]["values"]]
            assert measured[f"outcomes, {time}"] == {
                which: found.count(which) / 2 for which in ("chance", "middle", "grokked")}
    assert len(result["checks"]) == 10
    assert (tmp_path / "out" / result["figures"][0]).stat().st_size > 10_000


def test_the_quick_size_has_fewer_sizes_and_steps(tmp_path, tiny):
    result = result_of(tmp_path, "--quick")
    assert result["seeds"] == [0]
    assert [setting["alpha"] for setting in result["settings"].values()] == list(semi_grokking.QUICK_SIZES)
    assert {setting["steps"] for setting in result["settings"].values()} == {40}


def test_runs_can_be_read_at_every_time():
    for steps in (semi_grokking.STEPS, semi_grokking.QUICK_STEPS):
        assert steps % (8 * semi_grokking.SETTING.eval_every) == 0
    assert set(semi_grokking.QUICK_SIZES) <= set(semi_grokking.SIZES)
    for sizes in (semi_grokking.SIZES, semi_grokking.QUICK_SIZES):
        assert sorted(sizes) == list(sizes)


def test_what_is_read_of_a_run_that_comes_to_rest_in_the_middle():
    reading = read_of([0.0, 0.01, 0.1, 0.2, 0.5, 0.51, 0.52, 0.53, 0.54], [0.1, 0.9, 1.0, 1.0, 1.0] + [1.0] * 4)
    assert reading["test_accuracy"] == {"T/8": 0.01, "T/4": 0.1, "T/2": 0.5, "T": 0.54}
    assert (reading["memorised"], reading["half"], reading["rise"], reading["delay"]) == (200, 400, 400, 2.0)
    assert reading["growth"] == reading["range"] == pytest.approx(0.04)


@pytest.mark.parametrize(("late", "growth", "at_rest"), [
    ([0.5, 0.5, 0.51, 0.5, 0.53], 0.03, True), ([0.5, 0.5, 0.6, 0.5, 0.5], 0.0, False),
    ([0.5, 0.51, 0.52, 0.54, 0.55], 0.05, False)])
def test_at_rest_is_a_run_all_of_whose_last_half_is_one_plateau(late, growth, at_rest):
    reading = read_of([0.0, 0.0, 0.1, 0.2, *late])
    assert reading["growth"] == pytest.approx(growth)
    assert reading["range"] == pytest.approx(max(late) - min(late))
    assert reading["at_rest"] == at_rest
    assert read_of([0.5] * 4 + late)["at_rest"] == at_rest  # whatever was before


def test_what_never_happened_has_no_step():
    chance = read_of([0.0, 0.01, 0.02, 0.03, 0.02, 0.02, 0.02, 0.02, 0.02], [0.5] * 9)
    assert [chance[name] for name in ("memorised", "half", "rise", "delay")] == [None] * 4
    low = read_of([0.0] * 5 + [0.1, 0.2, 0.3, 0.4])
    assert [low[name] for name in ("memorised", "half", "rise", "delay")] == [100, None, 600, 6.0]


@pytest.mark.parametrize(("accuracy", "expected"), [
    (0.0, "chance"), (0.099, "chance"), (0.1, "middle"), (0.949, "middle"), (0.95, "grokked"), (1.0, "grokked")])
def test_the_outcomes_and_their_borders(accuracy, expected):
    assert outcome(accuracy) == expected


@pytest.mark.parametrize(("accuracies", "expected"), [
    ([0.0, 0.4, 0.6], 0.35), ([0.0, 0.25, 1.0], 1 / 3), ([0.1, 0.5, 0.9], 0.3), ([0.0, 1.0, 0.2], 0.25),
    ([0.6, 0.7, 0.8], None), ([0.5, 0.4, 0.6], None), ([0.0, 0.1, 0.4], None)])
def test_the_critical_size_is_where_the_accuracy_first_is_one_half(accuracies, expected):
    assert critical_size([0.2, 0.3, 0.4], accuracies) == (expected and pytest.approx(expected))


def test_a_quantity_is_told_of_the_runs_that_have_it():
    group = [read_of(test) for test in ([0.0] * 5 + [0.5] * 4, [0.0] * 9)]
    measured = semi_grokking._measured(group)
    assert measured["half"]["values"] == [500]
    assert measured["outcomes, T"] == {"chance": 0.5, "middle": 0.5, "grokked": 0.0}
    assert measured["outcomes, T/2"] == {"chance": 1.0, "middle": 0.0, "grokked": 0.0}
    assert semi_grokking._measured(group[1:])["half"] is None
    assert measured["at_rest"]["values"] == [0.0, 1.0]
    assert measured["plateaus"][1] == [{"start": 100, "end": 800, "level": 0.0}]
    assert measured["middling_plateaus"]["values"] == [0, 0]  # from 500 to 800 the steps do not double


def test_every_check_but_one_of_the_two_opposite_ones_holds_where_all_is_as_expected():
    assert holding() == [True] * 8 + [False]


@pytest.mark.parametrize(("changes", "failing"), [
    ({"alpha_0.3": [ending(0.5), ending(0.02, delay=None, train=0.99)]}, {MEMORISES}),
    ({"alpha_0.2": [ending(0.02), ending(0.1)]}, {CHANCE}),
    ({"alpha_0.45": [ending(1.0), ending(0.94)]}, {GROKS}),
    ({"alpha_0.3": [ending(0.02)] * 2}, {MIDDLE, LATE, UNMIRRORED, RESTS}),
    ({"alpha_0.3": [ending(0.5), ending(0.5, delay=9.9)]}, {LATE}),
    ({"alpha_0.3": [ending(0.5), ending(0.5, delay=None)]}, {LATE}),
    ({"alpha_0.3": [ending(0.5), ending(0.5, mirrors=0.15)]}, {UNMIRRORED}),
    ({"alpha_0.45": [ending(1.0), ending(1.0, delay=9.9)]}, {LATE_GROKKED}),
    ({"alpha_0.45": [ending(0.09)] * 2}, {GROKS, LATE_GROKKED}),
    ({"alpha_0.3": [ending(0.5), ending(0.5, growth=0.05)]}, {RESTS}),
    ({"alpha_0.3": [ending(0.5), ending(0.5, spike=0.05)]}, {RESTS})])
def test_a_check_fails_where_the_runs_say_so(changes, failing):
    assert {number for number, holds in enumerate(holding(**changes)) if not holds} == failing | {GROWS}


def test_growing_is_what_every_run_in_the_middle_must_be():
    assert holding(**{"alpha_0.3": [ending(0.5, growth=0.05)] * 2})[RESTS:] == [False, True]
    assert holding(**{"alpha_0.3": [ending(0.5, growth=0.05), ending(0.5, growth=0.03)]})[RESTS:] == [False, False]
    assert holding(**{"alpha_0.3": [ending(0.5, growth=-0.05)] * 2})[RESTS:] == [False, False]


@pytest.mark.parametrize(("before", "after", "holds"), [
    ([0.3, 0.35], [0.295, 0.345], True), ([0.3, 0.35], [0.305, 0.355], True), ([0.3, 0.35], [0.3, 0.33], False),
    ([0.3, 0.35], [0.32, 0.33], False), ([None, 0.35], [0.3, 0.35], False), ([0.3, 0.35], [0.3, None], False)])
def test_the_critical_size_stays_where_it_does_so_at_every_seed(before, after, holds):
    critical = {"T/8": None, "T/4": spread([0.4, 0.4]), "T/2": spread(before), "T": spread(after)}
    check = semi_grokking._critical_check(critical)
    assert check.holds is holds
    assert check.measured.startswith("- at T/8, 0.400 (0.400 to 0.400) at T/4, ")


def test_the_critical_size_is_measured_for_each_time_and_seed(tmp_path, tiny, monkeypatch):
    def trained(settings, measure, options):
        # At T the accuracy is 1/2 at size 0.3, before at a larger size; of seed 1 at one that is larger by 0.01.
        late = {1: 0.2, 2: 0.1, 4: 0.05, 8: 0.0}

        def accuracy(config, seed, k):
            return min(1, max(0, 0.5 + 4 * (config.alpha - 0.3 - late.get(k, 1) - 0.01 * seed)))

        return {name: [{"history": history([accuracy(config, seed, k) for k in range(9)]), "unmirrored_accuracy": 0.0}
                       for seed in options.seeds]
                for name, config in settings.items()}

    monkeypatch.setattr(semi_grokking, "train_settings", trained)
    result = result_of(tmp_path)
    critical = {time: values and values["values"] for time, values in result["measured"]["critical size"].items()}
    assert critical == {"T/8": None, "T/4": pytest.approx([0.4, 0.41]), "T/2": pytest.approx([0.35, 0.36]),
                        "T": pytest.approx([0.3, 0.31])}
    assert not result["checks"][-1]["holds"]
