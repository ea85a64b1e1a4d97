"""The experiment on texts, at a very small size."""

import dataclasses
import json

import pytest

from analysis.features import features
from experiments import lstm
from experiments.common import run_experiment
from experiments.progress_measures import MEASURES
from training import TrainingConfig, train

REVIEWS = ["reviews, initial scale 1", "reviews, initial scale 6"]
IMDB = ["IMDb, initial scale 1", "IMDb, initial scale 6"]


@pytest.fixture
def small(monkeypatch):
    """The same settings, with few texts and few features."""
    full = lstm._texts
    monkeypatch.setattr(lstm, "_texts", lambda options: {
        text: dataclasses.replace(config, train_size=20, batch_size=10, width=4, eval_every=config.steps // 2,
                                  snapshots=3)
        for text, config in full(options).items()})
    monkeypatch.setattr(lstm, "STEPS", 8)
    monkeypatch.setattr(lstm, "QUICK_STEPS", 4)


@pytest.fixture
def folder(tmp_path):
    """A folder laid out as IMDb's archive, of reviews of three words."""
    for part in ("train", "test"):
        for kind, word in (("pos", "good"), ("neg", "bad")):
            where = tmp_path / "aclImdb" / part / kind
            where.mkdir(parents=True)
            for number in range(125):
                (where / f"{number}_5.txt").write_text(f"It was {word}.", encoding="utf-8")
    return tmp_path / "aclImdb"


def code_of(tmp_path, *options):
    return run_experiment("lstm", lstm.__doc__, lstm.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")],
                          lstm.add_own_options)


def finished(tmp_path, *options):
    assert code_of(tmp_path, *options) == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.mark.usefixtures("small")
def test_leaves_both_scales_with_their_checks_and_a_figure_and_says_that_imdb_was_not_run(tmp_path):
    result = finished(tmp_path)
    assert list(result["settings"]) == REVIEWS
    assert {(setting["task"], setting["model"], setting["steps"]) for setting in result["settings"].values()} == {
        ("reviews", "lstm", 8)}
    assert list(result["measured"]) == [*REVIEWS, "IMDb"]
    assert result["measured"]["IMDb"] == {"run": False}
    for name in REVIEWS:
        assert len(result["measured"][name]["test_accuracy"]["values"]) == 2
        assert all(len(result["measured"][name][f"{measure}, order"]) == 2 for measure in MEASURES)
    assert len(result["checks"]) == 4 + len(MEASURES)
    assert all(check["claim"].startswith("reviews: ") for check in result["checks"])
    assert (tmp_path / "out" / "lstm.png").stat().st_size > 10_000


@pytest.mark.usefixtures("small")
def test_imdb_is_run_as_well_where_its_folder_is_given(tmp_path, folder):
    result = finished(tmp_path, "--quick", "--imdb", str(folder))
    assert list(result["settings"]) == [*REVIEWS, *IMDB]
    assert result["measured"]["IMDb"] == {"run": True}
    assert {setting["task"] for setting in result["settings"].values()} == {"reviews", "imdb"}
    assert result["settings"][IMDB[0]]["tokens"] == 100
    assert sum(check["claim"].startswith("IMDb: ") for check in result["checks"]) == 4 + len(MEASURES)


@pytest.mark.usefixtures("small")
def test_a_folder_without_reviews_is_named_before_anything_is_trained(tmp_path, capsys):
    assert code_of(tmp_path, "--quick", "--imdb", str(tmp_path / "nowhere")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m experiments.lstm: error: data_folder must be ")
    assert "nowhere" in line
    assert not any((tmp_path / "cells").iterdir())


@pytest.mark.usefixtures("small")
def test_the_quick_size_has_fewer_steps(tmp_path):
    assert {setting["steps"] for setting in finished(tmp_path, "--quick")["settings"].values()} == {4}


def history(train, test, norm=(9.0, 8.0, 7.0, 6.0)):
    return {"step": [0, 50, 100, 150], "train_accuracy": train, "test_accuracy": test, "weight_norm": list(norm)}


def reading_of(train, test, level=0.9):
    curves = history(train, test)
    progress = {**curves, **{measure: [4.0, 3.0, 2.0, 1.0] for measure in MEASURES}}
    return lstm._reading({"history": curves, "progress": progress,
                          "summary": {name: curves[name][-1] for name in lstm.MEASURED}}, level)


def test_memorising_and_generalising_are_the_first_steps_at_their_levels():
    reading = reading_of([0.5, 0.95, 0.8, 1.0], [0.5, 0.5, 0.75, 0.95])
    assert (reading["memorised"], reading["generalised"], reading["delay"]) == (50, 150, 3)
    assert (reading["norm_memorised"], reading["norm_generalised"]) == (8, 6)
    assert reading_of([0.5, 0.95, 0.8, 1.0], [0.5, 0.5, 0.75, 0.95], level=0.7)["generalised"] == 100


def test_what_never_comes_has_no_step_and_no_delay():
    never = reading_of([0.5, 0.95, 1.0, 1.0], [0.5, 0.5, 0.6, 0.7])
    assert (never["memorised"], never["generalised"], never["delay"], never["norm_generalised"]) == (50, None, None,
                                                                                                     None)
    assert reading_of([0.5] * 4, [0.5] * 4)["memorised"] is None


def reading(delay, norms=(50.0, 20.0), order="with"):
    moves = {measure: {"order": order, "lag": 0.0, "rank_correlation": 0.5} for measure in (*MEASURES, "weight_norm")}
    return {"memorised": 100, "generalised": None if delay is None else 100 * delay, "delay": delay,
            "norm_memorised": norms[0], "norm_generalised": norms[1], "train_accuracy": 1.0, "test_accuracy": 0.95,
            "weight_norm": 10.0, "moves": moves}


@pytest.mark.parametrize(("usual", "large", "holding"), [
    ([reading(1.5), reading(2.0)], [reading(11.0), reading(12.0)], [True] * 7),
    ([reading(1.5), reading(2.0)], [reading(11.0), reading(9.9)], [False, True, True, True, True, True, True]),
    ([reading(1.5), reading(3.1)], [reading(11.0), reading(12.0)], [True, False, True, True, True, True, True]),
    ([reading(1.5), reading(2.0)], [reading(11.0), reading(1.9)], [False, True, False, True, True, True, True]),
    ([reading(1.5), reading(2.0)], [reading(11.0), reading(None, (50.0, None))],
     [False, True, False, False, True, True, True]),
    ([reading(1.5)] * 2, [reading(11.0), reading(11.0, (20.0, 20.0))], [True, True, True, False, True, True, True]),
    ([reading(1.5)] * 2, [reading(11.0), reading(11.0, order="before")],
     [True, True, True, True, False, False, False]),
    ([reading(1.5)], [reading(11.0, order=None)], [True, True, True, True, False, False, False]),
])
def test_a_check_holds_where_every_seed_does(usual, large, holding):
    checks = list(lstm._checks("reviews", dict(zip(REVIEWS, (usual, large), strict=True))))
    assert [check.holds for check in checks] == holding


def test_both_scales_differ_in_nothing_else():
    options = type("Options", (), {"quick": False, "given": {}})
    (config,) = lstm._texts(options).values()
    first, second = (dataclasses.replace(config, initial_scale=scale).resolved() for scale in lstm.SCALES)
    assert first.differences(second) == {"initial_scale": (1.0, 6.0)}


def test_what_is_observed_of_an_lstm_is_measured_on_its_last_hidden_state():
    run = train(TrainingConfig(task="reviews", train_size=20, batch_size=10, width=4, steps=4, eval_every=2,
                               snapshots=3))
    observed = lstm.observe_progress(run)
    assert observed["progress"]["step"] == [0, 2, 4]
    network, inputs = run.network(), run.problem().train.inputs
    assert list(network.layers) == ["words", "lstm_1", "last", "output"]
    assert {name: array.shape for name, array in features(network, inputs).items()} == {"lstm_1": (20, 4)}
