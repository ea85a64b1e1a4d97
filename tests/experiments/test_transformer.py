"""The experiment on the transformer, at a very small size."""

import dataclasses
import json

import numpy as np
import pytest

from analysis import figures
from experiments import transformer
from experiments.common import run_experiment
from training import TrainingConfig, train

C, F, M, N = "coexistence", "full inversion", "memorization", "confusion"


def run_of(phase, corrupted=0.0, start=0.04, end=0.2):
    """What is kept of a run that ended so, whose columns all have the same IPR."""
    return {"summary": {"phase": phase, "corrupted_accuracy": corrupted}, "start_ipr": [start] * 4,
            "end_ipr": [end] * 4, "start_ipr_without_constant": [start] * 4, "end_ipr_without_constant": [end] * 4}


@pytest.fixture
def small(monkeypatch):
    """The same axes, with networks that take no time."""
    tiny = {"p": 11, "width": 16, "steps": 20, "eval_every": 10}
    monkeypatch.setattr(transformer, "AXES", {
        name: dataclasses.replace(axis, config=dataclasses.replace(axis.config, **tiny))
        for name, axis in transformer.AXES.items()})
    monkeypatch.setattr(transformer, "QUICK_STEPS", 10)
    monkeypatch.setattr(figures, "DPI", 40)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("quick", "steps", "checks"), [([], 20, 10), (["--quick"], 10, 6)])
def test_leaves_every_decay_with_its_checks_and_two_figures(tmp_path, quick, steps, checks):
    assert run_experiment("transformer", transformer.__doc__, transformer.experiment, 2, 2,
                          [*quick, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    axes = {name: axis for name, axis in transformer.AXES.items() if axis.quick or not quick}
    names = [f"{name}, decay {decay:g}" for name, axis in axes.items() for decay in axis.decays]
    assert list(result["settings"]) == list(result["measured"]) == names
    for name, setting in result["settings"].items():
        assert (setting["model"], setting["loss"], setting["steps"]) == ("transformer", "mse", steps)
        assert setting["heads"] == (8 if "8 heads" in name else 4)
        assert name.endswith(f"decay {setting['weight_decay']:g}")
    for name, measured in result["measured"].items():
        seeds = 1 if name.startswith("p 97") else 2
        assert len(measured["phase"]) == len(measured["median_end_ipr"]["values"]) == seeds
    assert len(result["checks"]) == checks
    assert result["checks"][0]["claim"] == "p 59, decay 10: phase"
    assert result["checks"][0]["holds"] == (set(result["measured"]["p 59, decay 10"]["phase"]) == {C})
    for figure in ("transformer.png", "transformer_runs.png"):
        assert figure in result["figures"]
        assert (tmp_path / "out" / figure).stat().st_size > 5_000


def test_columns_of_the_embedding_are_measured_before_and_after():
    run = train(TrainingConfig(model="transformer", p=11, width=16, steps=30, loss="mse", weight_decay=1.0, seed=3))
    observed = json.loads(json.dumps(transformer.observe_embedding(run), allow_nan=False))
    for when, network in (("start", run.initial_network()), ("end", run.network())):
        columns = network.layers["tokens"].E.T.astype(float)
        # The IPR in so many words: squares of the powers of cos(2 pi j i / p + phase), j = 0 ... p // 2.
        powers = np.abs([[sum(x[i] * np.exp(-2j * np.pi * j * i / 11) for i in range(11)) for j in range(6)]
                         for x in columns]) ** 2
        for name, kept in (("ipr", powers), ("ipr_without_constant", powers[:, 1:])):
            expected = (kept ** 2).sum(axis=1) / kept.sum(axis=1) ** 2
            assert observed[f"{when}_{name}"] == pytest.approx(expected, rel=1e-10)
    assert observed["start_ipr"] != observed["end_ipr"]
    assert observed["history"]["step"][-1] == 30
    assert observed["summary"]["phase"] == run.summary()["phase"]


@pytest.mark.parametrize(("at_10", "at_50", "holding"), [
    ((C, C), (F, F), [True, True]), ((C, F), (F, F), [False, True]), ((F, F), (N, N), [False, False])])
def test_the_papers_phases_are_wanted_of_every_seed(at_10, at_50, holding):
    along = {5.0: [run_of(M)] * 2, 10.0: [run_of(phase) for phase in at_10], 50.0: [run_of(phase) for phase in at_50]}
    assert [check.holds for check in transformer._paper_checks("p 59", along)] == holding


@pytest.mark.parametrize(("phases", "coexists", "inverts"), [
    ([(C, C), (F, F)], True, True), ([(M, M), (F, F)], False, True), ([(C, M), (F, N)], False, False)])
def test_a_phase_is_on_the_axis_where_all_seeds_have_it(phases, coexists, inverts):
    along = {decay: [run_of(phase) for phase in found] for decay, found in zip((3.0, 7.0), phases, strict=True)}
    assert [check.holds for check in transformer._axis_checks(along)][:2] == [coexists, inverts]


@pytest.mark.parametrize(("seeds", "holds"), [
    ([(0.9, 0.6, 0.1), (1.0, 0.3, 0.02)], True),
    ([(0.9, 0.6, 0.1), (1.0, 0.3, 0.7)], False),   # memorised again
    ([(0.9, 0.6, 0.1), (0.8, 0.9, 0.6)], False),   # never unlearnt
    ([(0.3, 0.2, 0.1), (0.9, 0.2, 0.1)], False)])  # never memorised
def test_labels_once_unlearnt_stay_so_at_larger_decays(seeds, holds):
    along = {decay: [run_of(M, corrupted) for corrupted in values]
             for decay, values in zip((3.0, 7.0, 50.0), zip(*seeds, strict=True), strict=True)}
    assert list(transformer._axis_checks(along))[2].holds == holds


@pytest.mark.parametrize(("at_59", "at_97", "holding"), [
    (run_of(F, end=0.3), [run_of(F, end=0.2)] * 2, [True, True, True]),
    (run_of(F, end=0.03), [run_of(F, end=0.2)] * 2, [False, True, True]),  # not up
    (run_of(F, end=0.3), [run_of(F, end=0.2), run_of(F, end=0.29)], [True, True, False]),  # one up too far
    (run_of(F, end=0.3), [run_of(N, end=0.2)] * 2, [True, True, False]),  # none inverts at p 97
    (run_of(F, 0, 0.08, 0.3), [run_of(F, end=0.2), run_of(F, 0, 0.08, 0.2)], [True, False, True])])
def test_embeddings_are_compared_where_networks_invert(at_59, at_97, holding):
    along = {"p 59": {7.0: [at_59], 50.0: [run_of(N, start=0.5, end=0.1)]}, "p 97": {5.0: at_97}}
    assert [check.holds for check in transformer._ipr_checks(along)] == holding
    assert [check.holds for check in transformer._ipr_checks({"p 59": along["p 59"]})] == holding[:1]


def test_without_a_network_that_inverts_nothing_has_shifted():
    checks = list(transformer._ipr_checks({"p 59": {7.0: [run_of(N)]}}))
    assert [check.holds for check in checks] == [False]
