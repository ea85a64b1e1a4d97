import platform
import sys

import numpy as np
import pytest

from tests.training.settings import small
from training import Trainer

pytestmark = pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
                                reason="the switch is known for Linux on x86-64 and ARM alone")

SMALLEST_NORMAL = np.finfo(np.float32).tiny


def halved():
    return float((np.full(8, SMALLEST_NORMAL) / 2).max())


def test_denormals_are_zero_while_training_and_come_back_after_it():
    assert halved() > 0
    with Trainer([small()]):
        assert halved() == 0
    assert halved() > 0


def test_they_come_back_when_training_fails():
    with pytest.raises(ZeroDivisionError), Trainer([small()]):
        raise ZeroDivisionError
    assert halved() > 0


def test_they_are_zero_in_every_thread():
    with Trainer([small(threads=2)]) as trainer:
        assert set(trainer.workers.run(lambda chunk: halved(), trainer.train_chunks * 40)) == {0.0}


def test_normal_numbers_are_left_alone():
    with Trainer([small()]):
        assert float((np.full(8, SMALLEST_NORMAL) * 1).max()) == SMALLEST_NORMAL
