import dataclasses
import json

import numpy as np
import pytest

from experiments import batchnorm
from experiments.common import run_experiment, spread
from training import TrainingConfig, train

TINY = TrainingConfig(p=11, width=16, xi=0.35, alpha=0.65, batch_size=16, weight_decay=0.0, steps=40, eval_every=4)


def values(train=0.8, last=0.8, phase="full inversion", memorising=0.5, **others):
    spreads = {"train_accuracy": train, "last_train_accuracy": last, "memorising_neurons": memorising, **others}
    return {name: spread(np.atleast_1d(value).tolist()) for name, value in spreads.items()} | {
        "phase": np.atleast_1d(phase).tolist()}


def held(normed, plain, decayed, name="xi 0.2"):
    return [check.holds for check in batchnorm._checks(name, batchnorm.SETTINGS[name], normed, plain, decayed)]


NORMED = values(correlation=0.8, memorising_gamma=0.02, periodic_gamma=0.05)
PLAIN, DECAYED = values(0.9, 0.9, "partial inversion", 0.52), values(memorising=0.03)


def test_everything_as_in_the_paper_holds():
    assert held(NORMED, PLAIN, DECAYED) == [True] * 7
    assert held(NORMED, PLAIN, DECAYED, "xi 0.35") == [True] * 5  # the paper's figure of gamma is at xi 0.2


@pytest.mark.parametrize(("which", "wrong"), [
    (0, {"phase": ["full inversion", "partial inversion"]}),
    (2, {"last": [0.8, 0.9]}),
    (3, {"correlation": [0.9, 0.5]}),
    (4, {"memorising_gamma": [0.02, 0.035]}),
    (4, {"memorising_gamma": [0.02, 0.005]}),
    (5, {"periodic_gamma": [0.05, 0.07]}),
    (5, {"periodic_gamma": [0.05, 0.03]}),
    (6, {"memorising": [0.5, 0.2]}),
])
def test_each_check_fails_alone_at_one_of_two_seeds(which, wrong):
    normed = values(**{"correlation": 0.8, "memorising_gamma": 0.02, "periodic_gamma": 0.05, **wrong})
    assert held(normed, PLAIN, DECAYED) == [check != which for check in range(7)]


def test_without_neurons_of_a_kind_their_gamma_is_not_within_the_papers():
    assert held({**NORMED, "periodic_gamma": None}, PLAIN, DECAYED)[5] is False


def test_quantities_of_a_network():
    accuracies = [0.0] * 18 + [0.6, 0.8]
    run = {"summary": dict.fromkeys(batchnorm.MEASURED, 0.0) | {"phase": "confusion"},
           "history": {"train_accuracy": accuracies},
           "neuron_ipr": [0.05, 0.02, 0.5, 0.95], "gamma": [2.0, 1.0, 3.0, 7.0]}
    measured = batchnorm._measured([run])
    means = {name: value["mean"] for name, value in measured.items() if name not in ("phase", *batchnorm.MEASURED)}
    assert means == pytest.approx({"last_train_accuracy": 0.7, "memorising_neurons": 0.5, "periodic_neurons": 0.25,
                                   "correlation": 1.0, "memorising_gamma": 1.5, "periodic_gamma": 7.0})


def test_gamma_is_observed_without_its_sign():
    config = dataclasses.replace(TINY, batch_norm=True, learning_rate=0.1, steps=300)
    run = train(config)
    gamma = run.arrays["gamma"].reshape(16)
    assert gamma.min() < 0 < gamma.max()
    np.testing.assert_array_equal(batchnorm.observe_gamma(run)["gamma"], np.abs(gamma))


def test_a_whole_experiment(monkeypatch, tmp_path):
    monkeypatch.setattr(batchnorm, "SETTINGS", {"xi 0.2": dataclasses.replace(TINY, xi=0.2), "xi 0.35": TINY})
    arguments = ["--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells"), "--seeds", "2"]
    assert run_experiment("batchnorm", "", batchnorm.experiment, 5, 1, arguments) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (tmp_path / "out" / "batchnorm.png").stat().st_size > 10_000
    assert len(result["checks"]) == 7 + 5
    names = [f"{xi}, {which}" for which in (batchnorm.WITH, batchnorm.WITHOUT, batchnorm.DECAY)
             for xi in ("xi 0.2", "xi 0.35")]
    assert list(result["measured"]) == list(result["settings"]) == names
    for name, measured in result["measured"].items():
        assert ("correlation" in measured) == result["settings"][name]["batch_norm"] == name.endswith(batchnorm.WITH)
        assert len(measured["train_accuracy"]["values"]) == len(measured["phase"]) == 2
    assert [result["settings"][name]["weight_decay"] for name in names] == [0, 0, 0, 0, 15, 15]
