import json
import math

import numpy as np
import pytest

from experiments import minibatch
from experiments.common import run_experiment
from training import TrainingConfig


@pytest.mark.parametrize("batch", [8, 32, 64, 256])
def test_settings_are_the_reference_codes(batch):
    config = minibatch._config(0.35, batch).resolved()
    assert config.learning_rate == pytest.approx(0.01 * math.sqrt(batch / 256))
    assert config.steps * batch == 2000 * 256
    assert config.weight_decay == 0
    assert config.steps / config.eval_every == 100


def test_the_control_differs_from_batch_64_in_nothing_but_the_batch_and_the_steps():
    control, noisy = minibatch.OTHERS[minibatch.STILL].resolved(), minibatch._config(0.35, 64).resolved()
    assert set(control.differences(noisy)) == {"batch_size", "eval_every"}
    assert control.batch_size is None
    # Both are evaluated at the step at which they are compared.
    assert control.steps == minibatch.FULL_STEPS
    assert minibatch.FULL_STEPS % noisy.eval_every == 0


def run(corrupted, phase="partial inversion", earlier=0.0):
    """A run whose corrupted accuracy at step 2000 is `earlier`, and at the end `corrupted`."""
    return {"summary": dict.fromkeys(minibatch.MEASURED, 0.8) | {"corrupted_accuracy": corrupted, "phase": phase},
            "history": {"step": [0, 2000, 8000], "corrupted_accuracy": [0.0, earlier, corrupted]}, "neuron_ipr": [0.5]}


def held(**changes):
    name = minibatch._name
    runs = {name(0.35, "full"): [run(0.7, "coexistence"), run(0.8, "coexistence")],
            name(0.35, 256): [run(0.5), run(0.6)],
            name(0.35, 64): [run(0.4, earlier=0.3), run(0.5, earlier=0.3)],
            name(0.2, 64): [run(0.2), run(0.2)],
            minibatch.STILL: [run(0.7), run(0.7)], **changes}
    measured = {setting: minibatch._measured(group) for setting, group in runs.items()}
    return [check.holds for check in minibatch._checks(minibatch.QUICK_BATCHES, runs, measured)]


def test_checks():
    name = minibatch._name
    assert held() == [True, True, True, True]
    assert held(**{name(0.2, 64): [run(0.2), run(0.2, "full inversion")]}) == [False, True, True, True]
    assert held(**{name(0.35, "full"): [run(0.7), run(0.8)]}) == [True, False, True, True]
    # At the second seed batch 256 unlearns no more than the full batch, though it does on average.
    assert held(**{name(0.35, 256): [run(0.5), run(0.8)]}) == [True, True, False, True]
    assert held(**{minibatch.STILL: [run(0.7), run(0.2)]}) == [True, True, True, False]


def test_a_whole_experiment(monkeypatch, tmp_path):
    def tiny(xi, batch, weight_decay=0.0):
        return TrainingConfig(p=11, width=16, xi=xi, alpha=0.65, weight_decay=weight_decay, steps=40, eval_every=4,
                              batch_size=None if batch == "full" else batch // 8)

    monkeypatch.setattr(minibatch, "_config", tiny)
    monkeypatch.setattr(minibatch, "OTHERS", {minibatch.STILL: tiny(0.35, "full"),
                                              minibatch.DECAYING: tiny(0.35, 64, 15.0)})
    monkeypatch.setattr(minibatch, "FULL_STEPS", 20)
    arguments = ["--out", str(tmp_path / "out"), "--cells", str(tmp_path / "cells"), "--seeds", "2"]
    assert run_experiment("minibatch", "", minibatch.experiment, 5, 1, arguments) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (tmp_path / "out" / "minibatch.png").stat().st_size > 10_000
    measured = result["measured"]
    assert list(measured) == list(result["settings"])
    assert [result["settings"][name]["batch_size"] for name in measured] == [None, 32, 8, 4, 1, None, 32, 8, 4, None, 8]
    assert measured[minibatch.DECAYING]["weight_norm"]["max"] < measured[minibatch.NOISY]["weight_norm"]["min"]
    corrupted = np.array([measured[f"xi 0.35, batch {batch}"]["corrupted_accuracy"]["values"]
                          for batch in ("full", 256, 64, 32, 8)])
    assert result["checks"][2]["holds"] == bool(np.all(np.diff(corrupted, axis=0) < 0))
    assert len(result["checks"]) == 4
