"""Settings of very small networks, and functions that measure them, some of which fail; for worker processes as well.

What a measure is to do besides is told by the environment, which worker processes inherit.
"""

import os
import signal
from pathlib import Path

from threadpoolctl import threadpool_info

from training import TrainingConfig


def tiny(**changes):
    """Settings of a network that trains in a moment."""
    return TrainingConfig(**{"p": 11, "width": 16, "steps": 20, "eval_every": 10, "threads": 1, **changes})


def of_widths(count, **changes):
    """Settings of networks of which no two can be trained as one stack."""
    return [tiny(width=16 + number, **changes) for number in range(count)]


def weights(run):
    return {"U": run.arrays["U"].ravel().tolist(), "history": run.history.rows}


def accuracy(run):
    return {"test_accuracy": run.history.last["test_accuracy"]}


def fails_at_seed_1(run):
    if run.config.seed == 1:
        raise KeyError("no such thing")
    return {"seed": run.config.seed}


def kills_its_worker_once(run):
    flag = Path(os.environ["FLAG"])
    if run.config.seed == 1 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"seed": run.config.seed}


def kills_its_worker(run):
    if run.config.seed == 1:
        with open(os.environ["FLAG"], "a") as deaths:
            deaths.write("dead\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return {"seed": run.config.seed}


def blas_threads(run):
    return {"threads": max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")}


def worker(run):
    return {"pid": os.getpid(), "seed": run.config.seed}
