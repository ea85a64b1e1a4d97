"""What is measured: anything that makes training steps on the same task from the same weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

import streams
from data import Problem
from training import Trainer, TrainingConfig
from training.setup import make_problem


@dataclass(frozen=True)
class Task:
    """Where every contender starts from.

    Attributes
    ----------
    config : TrainingConfig
        Resolved.
    problem : Problem
    weights : dict of str to float32 array
        The network's initial state by name.
    """

    config: TrainingConfig
    problem: Problem
    weights: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, **settings) -> Task:
        """The task of some settings, with the weights that our network of that seed starts from."""
        config = TrainingConfig(**settings).resolved()
        with Trainer([config]) as trainer:
            return cls(config, make_problem(config), trainer.network.state())


    def rows(self, step: int) -> np.ndarray | None:
        """The examples of the batch of a step, in a run of the task's seed; None for a full batch."""
        size, D = self.config.batch_size, len(self.problem.train)
        if size is None:
            return None
        epoch, number = divmod(step, D // size)
        order = streams.generator(self.config.seed, streams.BATCHES, epoch).permutation(D)
        return np.sort(order[number * size:(number + 1) * size])


class Contender(AbstractContextManager):
    """Makes steps of a task; between `with` it has the machine to itself.

    Attributes
    ----------
    name : str
    """

    name = ""

    def __exit__(self, *exception) -> None:
        """Leave nothing running."""

    def step(self) -> None:
        """Make one step, and wait until it is done."""
        raise TypeError(f"{type(self).__name__} makes no steps")

    def loss(self) -> float | None:
        """The loss on the training set as it now is; None for what only multiplies matrices."""
        return None


class Ours(Contender):
    """Our trainer."""

    name = "this program"

    def __init__(self, task: Task, device=None):
        self.trainer = Trainer([task.config], device)

    def __enter__(self):
        self.trainer.__enter__()
        return self

    def __exit__(self, *exception):
        self.trainer.__exit__(*exception)

    def step(self):
        """One step of the trainer."""
        self.trainer.step()
        self.trainer.device.synchronize()

    def loss(self):
        """The loss, from the trainer's measurements."""
        return self.trainer.evaluate()[0]["train_loss"]


class Floor(Contender):
    """The matrix products of the two-layer network's step alone: forward, dW, and back to the hidden layer.

    They go through the same BLAS library on all cores. No program that uses it can be faster, unless it does without
    one of them.
    """

    name = "its matrix products alone"

    def __init__(self, task: Task):
        D, (N, p) = len(task.problem.train), task.weights["W"].shape
        rng = np.random.default_rng(0)
        self.a, self.dz, self.W = (rng.normal(size=shape).astype(np.float32) for shape in ((D, N), (D, p), (N, p)))
        self.z, self.dW, self.da = np.empty_like(self.dz), np.empty_like(self.W), np.empty_like(self.a)

    def step(self):
        """Multiply."""
        np.matmul(self.a, self.W, out=self.z)
        np.matmul(self.a.T, self.dz, out=self.dW)
        np.matmul(self.dz, self.W.T, out=self.da)


def seconds(contender: Contender) -> float:
    """How long one step takes."""
    start = time.perf_counter()
    contender.step()
    return time.perf_counter() - start
