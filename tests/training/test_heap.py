"""Memory that arrays let go of is there for the next ones, without asking the system for it."""

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the C library is told so on Linux alone")

FAULTS = """
import resource
import numpy as np
from tests.training.settings import small
from training import Trainer

SIZES = [50_000, 300_000, 2_000_000, 7_000_000]  # of four bytes

def new_arrays():
    for size in SIZES:
        np.full(size, 1, np.float32)

def faults():
    new_arrays()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    new_arrays()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

def in_all_threads():
    with Trainer([small(threads=2)]) as trainer:
        return max(trainer.workers.run(lambda chunk: faults(), trainer.train_chunks * 2))

print(in_all_threads() if {trained} else faults())
"""


def faults(trained):
    # In a process of its own: what the C library is told holds for all of it.
    result = subprocess.run([sys.executable, "-c", FAULTS.format(trained=trained)], capture_output=True, text=True,
                            check=True)
    return int(result.stdout)


def test_new_arrays_take_pages_that_are_there():
    assert faults(trained=True) <= 50 < faults(trained=False)
