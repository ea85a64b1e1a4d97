"""The experiment on perturbed training and the entropies of features, at a very small size."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.features import features
from analysis.matrix_entropy import matrix_entropy
from experiments import robustness
from experiments.common import run_experiment, spread
from experiments.robustness import FLOOR, ORDINARY, TIED, UNDECAYED
from training import train

pytest.importorskip("sklearn", reason="the small digits come with it")

SMALL = replace(robustness.IMAGES, train_size=40, width=8, steps=40, eval_every=10, snapshots=4)


def result_of(tmp_path, monkeypatch, *arguments):
    monkeypatch.setattr(robustness, "IMAGES", SMALL)
    assert run_experiment("robustness", robustness.__doc__, robustness.experiment, 2, 1,
                          [*arguments, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")]) == 0
    return json.loads((tmp_path / "out" / "result.json").read_text())


def test_leaves_every_strength_with_its_checks_and_two_figures(tmp_path, monkeypatch):
    result = result_of(tmp_path, monkeypatch)
    names = [ORDINARY, *robustness.NOISES, UNDECAYED]
    assert list(result["settings"]) == list(result["measured"]) == names
    for measured in result["measured"].values():
        assert len(measured["test_accuracy"]["values"]) == len(measured["perturbed_entropy, order"]) == 2
    assert len(result["checks"]) == len(robustness.NOISES) + 3 + 2 * len(robustness.ENTROPIES) + 2
    assert result["figures"] == ["robustness.png", "robustness_entropies.png"]
    assert all((tmp_path / "out" / figure).stat().st_size > 10_000 for figure in result["figures"])


def test_the_quick_size_has_fewer_strengths(tmp_path, monkeypatch):
    result = result_of(tmp_path, monkeypatch, "--quick")
    assert (result["seeds"], list(result["settings"])) == ([0], [ORDINARY, TIED, FLOOR, UNDECAYED])


def test_its_networks_differ_in_noise_or_decay_alone():
    settings = robustness._settings(robustness.NOISES)
    base = settings[ORDINARY].resolved()
    assert (base.task, base.noise, base.noise_floor, base.weight_decay, base.initial_scale) == ("digits", 0, 0, 0.1, 8)
    differences = {name: {field: there for field, (_, there) in base.differences(config.resolved()).items()}
                   for name, config in settings.items()}
    assert differences.pop(ORDINARY) == {}
    assert differences.pop(UNDECAYED) == {"weight_decay": 0.0}
    for name, found in differences.items():
        assert name == f"l1 {found.get('noise', 0):g}, l2 {found.get('noise_floor', 0):g}"
        assert set(found) <= {"noise", "noise_floor"}
    assert set(settings) == set(robustness.COLOURS)


def test_what_is_observed_is_what_the_networks_at_the_snapshots_have():
    run = train(replace(SMALL, noise=0.3))
    observed = json.loads(json.dumps(robustness.observe_entropies(run), allow_nan=False))
    assert observed["history"]["test_accuracy"] == run.history["test_accuracy"].tolist()
    entropies = {name: np.array(values) for name, values in observed["entropies"].items()}
    assert entropies["step"].tolist() == sorted(run.snapshots)
    for step, entropy in zip(entropies["step"].tolist(), entropies["entropy"], strict=True):
        found = features(run.network(step), run.problem().train.inputs)
        assert entropy == pytest.approx(matrix_entropy(found["hidden_2"]))
    np.testing.assert_allclose(entropies["perturbed_entropy"] - entropies["entropy"], entropies["entropy_difference"])
    assert np.all(entropies["perturbed_entropy"] != entropies["entropy"])
    assert np.all((entropies["shared_information"] > 0) & (entropies["shared_information"] < entropies["entropy"]))


def way(memorised=(100, 100), generalised=(8000, 8000), test=0.9, without=((100, 100), (8000, 8000))):
    """What is measured of one way to train."""
    def logarithm(values, others):
        return spread(np.log(np.divide(values, others)).tolist())

    return {"memorised": spread(memorised), "generalised": spread(generalised), "test_accuracy": spread([test] * 2),
            "delay": spread(np.divide(generalised, memorised).tolist()), "sooner": logarithm(without[1], generalised),
            "later": logarithm(memorised, without[0])}


NEVER = {**way(), "generalised": None, "delay": None, "sooner": None, "later": None}
SOONER, FASTER, MAINLY, ENOUGH = 1, 2, 3, 4


def noise_checks(**changes):
    measured = {ORDINARY: way(), TIED: way(generalised=(1000, 1000)), FLOOR: way(generalised=(800, 800))}
    measured |= {{"tied": TIED, "floor": FLOOR}[name]: one for name, one in changes.items()}
    return [check.holds for check in robustness._noise_checks(measured)]


@pytest.mark.parametrize(("changes", "failing"), [
    ({}, []),
    ({"floor": way(generalised=(800, 9000))}, [SOONER, MAINLY]),
    ({"floor": way(memorised=(100, 120), generalised=(800, 800))}, [FASTER]),
    ({"floor": way(memorised=(100, 500), generalised=(4000, 4000))}, [FASTER, MAINLY]),
    ({"floor": way(generalised=(400, 400))}, [ENOUGH]),
    ({"floor": NEVER}, [SOONER, FASTER, MAINLY, ENOUGH]),
])
def test_noise_is_held_to_what_it_does_to_both_moments(changes, failing):
    assert noise_checks(**changes) == [place not in failing for place in range(5)]


STEPS, RISING = np.array([100, 1000, 3000, 6000, 12000]), np.array([0.1, 0.15, 0.5, 0.85, 0.9])


def curves(test=RISING, **measures):
    """One run since it memorised; measures follow test accuracy unless given."""
    names = (*robustness.ENTROPIES, *robustness.BESIDE)
    return {"step": STEPS, "test_accuracy": test, **{name: np.array(measures.get(name, test)) for name in names}}


def entropy_checks(ordinary=None, control=None, perturbed=None):
    still = curves(**{name: [0.0, 0.1, 0.2, 0.3, 0.35] for name in robustness.ENTROPIES})
    early = [1.0, 0.1, 0.05, 0.01, 0.0]
    return [check.holds for check in robustness._entropy_checks({
        ORDINARY: [curves(weight_norm=early), ordinary or curves(weight_norm=early)],
        UNDECAYED: [still, control or still], FLOOR: [curves(), perturbed or curves()]})]


def test_entropies_that_follow_test_accuracy_and_nothing_else_pass():
    assert entropy_checks() == [True] * 10


@pytest.mark.parametrize(("changes", "failing"), [
    ({"ordinary": curves(weight_norm=[1.0, 0.1, 0.05, 0.01, 0.0], perturbed_entropy=[0, 0, 0, 0, 1])}, [0]),
    ({"ordinary": curves(weight_norm=[1.0, 0.1, 0.05, 0.01, 0.0], entropy_difference=[0, 3, 0, 0, 1])}, [2]),
    ({"ordinary": curves()}, [8]),
    ({"control": curves()}, [1, 3, 5, 7]),
    ({"perturbed": curves(information_difference=[0, 3, 0, 0, 1])}, [9]),
])
def test_an_entropy_that_moves_at_another_time_or_without_generalisation_fails(changes, failing):
    assert entropy_checks(**changes) == [place not in failing for place in range(10)]
