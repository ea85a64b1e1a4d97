"""The experiment on variants of the two-layer network, at a very small size."""

import dataclasses
import json

import pytest

from analysis.ipr import mean_ipr
from experiments import variants
from experiments.common import run_experiment, spread
from layers import Cache
from training import TrainingConfig, train

C, P, F, M = "coexistence", "partial inversion", "full inversion", "memorization"


def ends(**phases):
    """What was measured where two seeds end in these phases; a decay of 0.5 is written d0_5."""
    return {float(decay[1:].replace("_", ".")): {"phase": list(pair)} for decay, pair in phases.items()}


@pytest.fixture
def small(monkeypatch):
    """The same variants, with networks that take no time."""
    def tiny(**settings):
        return TrainingConfig(**{"width": 16, **settings, "p": 11, "eval_every": 5})

    monkeypatch.setattr(variants, "TrainingConfig", tiny)
    monkeypatch.setattr(variants, "VARIANTS", {
        name: dataclasses.replace(variant, steps=20, quick_steps=10,
                                  change={**variant.change, **({"width": 24} if "width" in variant.change else {})})
        for name, variant in variants.VARIANTS.items()})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("quick", "decays", "steps"), [([], "decays", 20), (["--quick"], "quick_decays", 10)])
def test_leaves_every_variant_at_every_decay_with_checks_and_a_figure(tmp_path, quick, decays, steps):
    assert run_experiment("variants", variants.__doc__, variants.experiment, 2, 2,
                          [*quick, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    names = [f"{name}, decay {decay:g}" for name, variant in variants.VARIANTS.items()
             for decay in getattr(variant, decays)]
    assert list(result["settings"]) == list(result["measured"]) == names
    assert {setting["steps"] for setting in result["settings"].values()} == {steps}
    for name, variant in variants.VARIANTS.items():
        trained = result["settings"][f"{name}, decay {getattr(variant, decays)[-1]:g}"]
        assert {key: trained[key] for key in variant.change} == variant.change
    for measured in result["measured"].values():
        assert len(measured["phase"]) == len(measured["test_accuracy_with_zero"]["values"]) == 2
    assert len(result["checks"]) == 10
    for check, name in zip(result["checks"], ("default", "multiplication", "subtraction"), strict=False):
        found = [set(result["measured"][f"{name}, decay {decay:g}"]["phase"]) for decay in (0, 5, 15)]
        assert check["holds"] == (found == [{C}, {P}, {F}])
    assert (tmp_path / "out" / "variants.png").stat().st_size > 10_000


def test_of_a_run_the_pairs_with_a_zero_and_the_ipr_along_logarithms_are_measured():
    run = train(TrainingConfig(p=11, width=16, steps=40, operation="multiply", xi=0.0, weight_decay=1.0))
    measured = json.loads(json.dumps(variants.final_state(run), allow_nan=False))
    network, test = run.network(), run.problem().test
    predicted = network.forward(test.inputs, Cache()).argmax(axis=-1)
    with_zero = [label == guess for (m, n), label, guess in zip(test.inputs, test.labels, predicted, strict=True)
                 if m * n == 0]
    assert 0 < sum(with_zero) < len(with_zero) < len(test)
    assert measured["test_accuracy_with_zero"] == pytest.approx(sum(with_zero) / len(with_zero))
    powers = [2 ** k % 11 for k in range(10)]  # 2 is a primitive root of 11
    along = mean_ipr(*(x[:, powers] for x in network.neurons()), constant=False)
    assert measured["mean_ipr_along_logarithms"] == pytest.approx(along, rel=1e-12)
    assert measured["mean_ipr_without_constant"] == pytest.approx(mean_ipr(*network.neurons(), constant=False),
                                                                  rel=1e-12)
    assert measured["phase"] == run.summary()["phase"]


def test_a_phase_is_that_of_a_decay_where_all_seeds_have_it():
    along = ends(d0=(C, C), d5=(C, P), d10=(P, F), d15=(F, F))
    assert variants.decays_with(along, C) == [0]
    assert variants.decays_with(along, P, F) == [10, 15]
    assert variants.decays_with(along, M) == []


@pytest.mark.parametrize(("at_5", "holds"), [((P, P), True), ((P, C), False)])
def test_the_phases_of_the_reference_are_wanted_of_every_seed(at_5, holds):
    along = ends(d0=(C, C), d2=(C, P), d5=at_5, d15=(F, F))
    check = variants._same_phases_check("subtraction", along)
    assert check.holds == holds
    assert check.measured.split(", ")[1] == "/".join(sorted(set(at_5)))


@pytest.mark.parametrize(("residues", "logarithms", "holds"), [
    ((0.1, 0.2), (0.3, 0.4), True), ((0.1, 0.35), (0.3, 0.4), False)])
def test_the_ipr_along_logarithms_is_higher_where_no_seeds_overlap(residues, logarithms, holds):
    along = {decay: {"mean_ipr_without_constant": spread(low), "mean_ipr_along_logarithms": spread(high)}
             for decay, low, high in ((5.0, residues, logarithms), (15.0, (0.1, 0.1), (0.9, 0.9)))}
    assert variants._logarithms_check(along).holds == holds


def relu_networks(test_accuracies, **phases):
    along = ends(**phases)
    for measured, accuracies in zip(along.values(), test_accuracies, strict=True):
        measured["test_accuracy"] = spread(accuracies)
    return along


@pytest.mark.parametrize(("relu_phases", "holding"), [
    (((M, M), (P, P), (F, F)), [True, True, True]), (((M, M), (F, F), (F, F)), [True, False, True]),
    (((M, M), (P, F), ("forgetting", F)), [True, False, False])])
def test_relu_needs_more_decay_where_it_gets_there_later(relu_phases, holding):
    square = relu_networks(((1, 1), (1, 1), (0.5, 0.9)), d0=(C, C), d5=(F, F), d15=("forgetting", C))
    relu = relu_networks(((0, 1), (1, 0.9), (1, 0.9)), **dict(zip(("d0", "d5", "d15"), relu_phases, strict=True)))
    assert [check.holds for check in variants._relu_checks(square, relu)] == holding


@pytest.mark.parametrize(("at_5", "at_15", "holds"), [
    ((P, F), ("confusion", "confusion"), True), ((P, F), (F, F), False), ((M, F), ("confusion", "confusion"), False)])
def test_a_band_is_narrower_where_fewer_of_the_common_decays_invert(at_5, at_15, holds):
    mse = ends(d0=(C, C), d2=(P, P), d5=(P, P), d15=(F, F))
    assert variants._band_check(mse, ends(d0=(M, M), d5=at_5, d15=at_15)).holds == holds


@pytest.mark.parametrize(("at_0", "at_5", "holding"), [
    ((M, M), (C, C), [True, False]), ((M, M), (C, M), [True, True]), ((M, M), (P, C), [False, True]),
    ((C, C), (F, F), [True, False])])
def test_a_wide_network_is_held_against_the_narrow_one_at_common_decays(at_0, at_5, holding):
    narrow = ends(d0=(C, C), d2=(C, C), d5=(P, P))
    assert [check.holds for check in variants._width_checks(narrow, ends(d0=at_0, d5=at_5))] == holding


def test_nothing_is_said_of_partial_inversion_where_the_narrow_network_has_none():
    check, _ = variants._width_checks(ends(d0=(C, C), d5=(F, F)), ends(d0=(M, M), d5=(F, F)))
    assert not check.holds
