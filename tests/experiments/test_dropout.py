"""The experiment on dropout, at a very small size."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import dropout
from experiments.common import run_experiment, spread
from layers import Cache, Mode
from training import TrainingConfig, train


@pytest.fixture
def small(monkeypatch):
    """The same settings, with networks that take no time."""
    monkeypatch.setattr(dropout, "SETTINGS", {name: dataclasses.replace(config, p=11, width=16, steps=20)
                                              for name, config in dropout.SETTINGS.items()})
    monkeypatch.setattr(dropout, "QUICK_STEPS", 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("options", "steps", "seeds"), [([], 20, 2), (["--quick"], 10, 1)])
def test_leaves_every_rate_with_its_checks_and_a_figure(tmp_path, options, steps, seeds):
    code = run_experiment("dropout", dropout.__doc__, dropout.experiment, 2, 1,
                          [*options, "--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells")])
    assert code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert list(result["settings"]) == list(result["measured"])
    assert {setting["dropout"]: setting["steps"] for setting in result["settings"].values()} == {
        0.0: steps, 0.3: steps, 0.6: steps, 0.9: steps}
    for measured in result["measured"].values():
        assert len(measured["phase"]) == len(measured["rescaled_test_loss"]["values"]) == seeds
    without = result["measured"]["dropout 0"]
    assert without["rescaled_test_loss"]["mean"] == pytest.approx(without["test_loss"]["mean"], rel=1e-5)
    assert len(result["checks"]) == 8
    assert result["checks"][0]["holds"] == (set(without["phase"]) == {"coexistence"})
    assert (tmp_path / "out" / result["figures"][0]).stat().st_size > 10_000


def test_outputs_divided_by_what_is_kept_are_the_mean_of_those_in_training():
    run = train(TrainingConfig(p=7, width=12, steps=20, dropout=0.4, weight_decay=0.0, dtype="float64"))
    network, test = run.network(), run.problem().test
    trained = np.array([network.forward(test.inputs, Cache(), Mode(training=True, step=step))
                        for step in range(3000)])
    mean, error = trained.mean(axis=0), trained.std(axis=0) / 3000 ** 0.5
    evaluated = network.forward(test.inputs, Cache())
    assert np.abs((mean - evaluated / 0.6) / error).max() < 5
    assert np.abs((mean - evaluated) / error).max() > 50
    observed = json.loads(json.dumps(dropout.observe_dropout(run), allow_nan=False))
    targets = np.eye(7)[test.labels]
    assert observed["rescaled_test_loss"] == pytest.approx(np.mean((evaluated / 0.6 - targets) ** 2), rel=1e-12)
    assert observed["summary"]["test_loss"] == pytest.approx(np.mean((evaluated - targets) ** 2), rel=1e-12)


def measured_of(**changed):
    """Two seeds at each rate that are as the paper says, but for what is changed."""
    values = {rate: {"corrupted_accuracy": spread([high, high + 0.02]), "memorising_neurons": spread([high, high]),
                     "test_loss": spread([0.008, 0.009]), "rescaled_test_loss": spread([0.006, 0.007]),
                     "phase": [phase] * 2}
              for rate, high, phase in ((0.0, 0.9, "coexistence"), (0.3, 0.5, "partial inversion"),
                                        (0.6, 0.1, "full inversion"), (0.9, 0.5, "confusion"))}
    values[0.6] |= changed
    return {f"dropout {rate:g}": one for rate, one in values.items()}


@pytest.mark.parametrize(("changed", "failing"), [
    ({}, []),
    ({"phase": ["full inversion", "coexistence"]}, ["dropout 0.6: phase is full inversion or partial inversion"]),
    ({"corrupted_accuracy": spread([0.1, 0.51])}, ["corrupted accuracy falls with dropout 0, 0.3, 0.6"]),
    ({"memorising_neurons": spread([0.1, 0.5])},
     ["the share of neurons of IPR below 0.1 falls with dropout 0, 0.3, 0.6"]),
    ({"rescaled_test_loss": spread([0.007, 0.0091])}, ["dropout 0.6: outputs divided by 0.4 have a lower test loss"])])
def test_every_seed_counts(changed, failing):
    measured = measured_of(**changed)
    checks = [*dropout._phase_checks(measured), *dropout._trend_checks(measured), *dropout._loss_checks(measured)]
    assert len(checks) == 8
    assert [check.claim for check in checks if not check.holds] == failing
