"""Runs on a GPU beside the same runs on a CPU. What differs is rounding, which training amplifies: so the first steps
are compared closely, and the end by its phase."""

from dataclasses import replace

import numpy as np
import pytest

from training import TrainingConfig, train, train_many

pytestmark = pytest.mark.gpu

PHASES = {0.0: 1000, 5.0: 500, 15.0: 500}  # steps for each weight decay, at xi 0.35


@pytest.mark.parametrize("setting", [{}, {"model": "transformer", "width": 32}, {"batch_norm": True, "batch_size": 64},
                                     {"dropout": 0.3}], ids=["default", "transformer", "BatchNorm", "dropout"])
def test_the_first_steps_have_the_same_losses(setting):
    config = TrainingConfig(p=31, steps=20, eval_every=1, **setting)
    here, there = (train(replace(config, backend=backend)).history["train_loss"] for backend in ("numpy", "cupy"))
    np.testing.assert_allclose(there, here, rtol=1e-4)


@pytest.mark.parametrize("tf32", [False, True], ids=["float32", "tf32"])
def test_the_phases_are_the_same(tf32):
    configs = [TrainingConfig(weight_decay=decay, steps=steps) for decay, steps in PHASES.items()]
    here = train_many(configs)
    there = train_many([replace(config, backend="cupy", tf32=tf32) for config in configs])
    assert [run.summary()["phase"] for run in there] == [run.summary()["phase"] for run in here]


def test_a_run_repeats_bit_for_bit():
    config = TrainingConfig(p=31, steps=50, backend="cupy")
    first, second = (train(config).arrays for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)
