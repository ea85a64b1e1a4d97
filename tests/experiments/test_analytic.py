import json

import numpy as np
import pytest

from analysis.analytic import analytic_weights
from backend import open_device
from experiments import analytic
from experiments.common import run_experiment
from layers import TwoLayerNetwork
from training import TrainingConfig


def test_the_closed_form_is_evaluated_as_eq_1_says():
    p, width = 7, 9
    U, V, W = analytic_weights(p, width, seed=3).values()
    hits, losses, errors = [], [], []
    for m in range(p):
        for n in range(p):
            f = [sum(W[k, q] * (U[m, k] + V[n, k]) ** 2 for k in range(width)) for q in range(p)]
            right = (m + n) % p
            hits.append(np.argmax(f) == right)
            losses += [(f[q] - (q == right)) ** 2 for q in range(p)]
            errors += [(f[q] - (1 if q == right else -1 / 6)) ** 2 for q in range(p)]
    expected = {"accuracy": np.mean(hits), "loss": np.mean(losses), "error": np.sqrt(np.mean(errors))}
    assert 0 < expected["accuracy"] < 1
    assert analytic.evaluate(p, width, seed=3) == pytest.approx(expected, rel=1e-12)


def test_the_error_over_many_phases_is_two_over_the_root_of_the_width():
    # Its square is 4/N on average: the sum of the squares of all terms but the one that survives.
    squares = [analytic.evaluate(13, 60, seed)["error"] ** 2 for seed in range(40)]
    assert np.mean(squares) == pytest.approx(4 / 60, rel=0.1)


def test_the_exponent_is_that_of_a_power_law_among_the_widths_that_hold_every_frequency():
    widths = (5, 10, 20, 40, 80)
    errors = [100.0] + [3 * width**-0.7 for width in widths[1:]]  # 5 neurons do not hold the 10 frequencies of p 21
    assert analytic._exponent(21, widths, errors) == pytest.approx(-0.7)


def test_angles_are_wrapped():
    np.testing.assert_allclose(analytic.wrapped(np.array([0.1, 2 * np.pi - 0.1, -2 * np.pi, 4.0])),
                               [0.1, -0.1, 0, 4.0 - 2 * np.pi], atol=1e-12)


def test_the_spread_of_uniform_angles():
    angles = np.linspace(-np.pi, np.pi, 100_001)
    assert np.sqrt(np.mean(angles**2)) == pytest.approx(analytic.UNIFORM, rel=1e-4)


class Stand:
    """In the place of a run: a network with given weights."""

    def __init__(self, U, V, W):
        self.state = {"U": U, "V": V, "W": W}

    def network(self):
        network = TwoLayerNetwork(*self.state["U"].shape).build(open_device("numpy", "float64"))
        network.load_state(self.state)
        return network

    def summary(self):
        return {}


def waves(**changes):
    return analytic.Waves(analytic.observe_waves(Stand(**analytic_weights(23, 44, seed=1) | changes)))


def test_the_closed_form_itself_has_one_frequency_a_neuron_and_no_residual():
    found = waves()
    assert found.periodic.all()
    assert found.agree.all()
    assert found.frequencies == 11
    np.testing.assert_allclose(found.residual, np.zeros(44), atol=1e-12)


def test_a_shift_along_the_residues_is_seen_as_a_phase():
    shifted = waves(W=np.roll(analytic_weights(23, 44, seed=1)["W"], 1, axis=1))
    # W_kq becomes cos(2 pi s (q - 1) / p + a + b): the phases are -2 pi s / p, each of 11 frequencies four times.
    expected = -2 * np.pi * np.repeat(np.arange(1, 12), 4) / 23
    np.testing.assert_allclose(np.sort(shifted.residual), np.sort(expected), atol=1e-12)


def test_neurons_of_several_frequencies_are_left_out():
    U, V, _ = analytic_weights(23, 44, seed=1).values()
    s = np.abs(np.fft.rfft(U, axis=0)).argmax(axis=0)
    other = np.roll(V, 1, axis=1)  # the frequencies of the neighbours
    same = s == np.roll(s, 1)
    found = waves(V=other)
    assert found.periodic.all()
    np.testing.assert_array_equal(found.agree, same)
    assert len(found.residual) == same.sum() < 10
    noise = np.random.default_rng(0).normal(size=(3, 23, 44))
    assert not waves(U=noise[0], V=noise[1], W=noise[2].T).periodic.any()


def test_checks_of_the_closed_form():
    def held(accuracy=(1.0, 1.0), exponent=(-0.54, -0.46)):
        measured = {"p 5": {"exponent": analytic.spread(exponent)},
                    "p 5, N 20": {"accuracy": analytic.spread(accuracy), "error": analytic.spread([0.1, 0.2])}}
        return [check.holds for check in analytic._closed_checks((5,), (2, 20), measured)]

    assert held() == [True, True]
    assert held(accuracy=(1.0, 0.99)) == [False, True]
    assert held(exponent=(-0.5, -0.56)) == [True, False]


@pytest.mark.parametrize(("last", "holds"), [((0.5, 0.6), True), ((0.5, 0.7), False)])
def test_no_scale_may_change_the_accuracy_of_any_seed(last, holds):
    scaled = {None: analytic.spread((0.5, 0.6)), 0.1: analytic.spread((0.5, 0.6)), 10.0: analytic.spread(last)}
    assert analytic._scale_check(scaled).holds == holds


def test_checks_of_trained_waves():
    def held(**changes):
        measured = {"same_frequency": [1.0, 0.95], "within_quarter_turn": [1.0, 0.9], "residual": [0.1, 0.2],
                    "periodic_neurons": [0.5, 0.6]} | changes
        return [check.holds for check in analytic._wave_checks("", {name: analytic.spread(values)
                                                                    for name, values in measured.items()})]

    assert held() == [True, True]
    assert held(same_frequency=[1.0, 0.85]) == [False, True]
    assert held(within_quarter_turn=[1.0, 0.5]) == [True, False]
    nothing = [None, None]  # no periodic neuron at all
    assert held(same_frequency=nothing, within_quarter_turn=nothing, residual=nothing) == [False, False]


def test_a_whole_experiment(monkeypatch, tmp_path):
    tiny = TrainingConfig(p=11, width=32, alpha=0.8, xi=0.0, steps=150, weight_decay=5.0)
    monkeypatch.setattr(analytic, "SETTINGS", {
        name: tiny if name == "full inversion" else TrainingConfig(**tiny.to_dict() | {"steps": 1})
        for name in analytic.SETTINGS})
    monkeypatch.setattr(analytic, "QUICK_MODULI", (5, 7))
    monkeypatch.setattr(analytic, "QUICK_WIDTHS", (2, 20, 500))
    monkeypatch.setattr(analytic, "SCALED", (7, 9))
    arguments = ["--quick", "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells"), "--seeds", "3"]
    assert run_experiment("analytic", "", analytic.experiment, 5, 1, arguments) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (tmp_path / "out" / "analytic.png").stat().st_size > 10_000
    measured = result["measured"]
    assert measured["p 7, N 500"]["accuracy"]["values"] == [1, 1, 1]
    assert measured["p 7, N 2"]["accuracy"]["max"] < 1
    assert measured["p 7, N 9, scale 1000"]["accuracy"]["max"] < 1
    assert len(measured["p 5"]["exponent"]["values"]) == 3
    assert result["settings"]["closed form"] == {"p": [5, 7], "width": [2, 20, 500]}
    checks = result["checks"]
    assert len(checks) == 2 + 2 + 1 + 2 * 3
    assert all(check["holds"] for check in checks[:2])
    assert checks[4]["holds"]
    # A network that has learnt is made of waves; after one step it is not.
    learnt, begun = (measured[name]["periodic_neurons"] for name in ("full inversion", "coexistence"))
    assert learnt["min"] > 0.5 > begun["max"]
