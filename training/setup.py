"""From settings to the objects they describe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import Device
from data import Problem, mnist_problem, modular_problem
from data.images import DIGITS, PIXELS
from layers import (
    CrossEntropy,
    DeepMLP,
    FusedTransformer,
    FusedTwoLayer,
    Layer,
    MeanSquaredError,
    Transformer,
    TwoLayerNetwork,
)
from layers.mlp import ImageMLP
from optim import OPTIMIZERS, Optimizer
from training.config import TrainingConfig


def make_problem(config: TrainingConfig) -> Problem:
    """The training and the test set of a run."""
    if config.task == "mnist":
        return mnist_problem(config.train_examples, config.xi, config.seed)
    return modular_problem(config.p, config.operation, config.alpha, config.xi, config.seed,
                           config.test_alpha)


def make_network(configs: Sequence[TrainingConfig], device: Device) -> Layer:
    """The network of some runs at its initial weights: a stack, if there are several.

    Parameters
    ----------
    configs : sequence of TrainingConfig
        Resolved; equal in all that shapes the network.
    device : Device
    """
    first = configs[0]
    dropout = per_run([config.dropout for config in configs])
    if first.task == "mnist":
        network = ImageMLP(PIXELS, DIGITS, first.width, first.depth, first.activation, dropout, first.batch_norm,
                           first.initial_scale)
    elif first.model == "transformer" and not np.any(dropout):
        network = FusedTransformer(first.p, first.width, first.heads, first.layer_norm)
    elif first.model == "transformer":
        network = Transformer(first.p, first.width, first.heads, dropout, first.layer_norm)
    elif first.model == "relu-mlp":
        network = DeepMLP(first.p, first.width, first.depth, first.activation, dropout, first.batch_norm)
    elif first.activation == "square" and not np.any(dropout) and not first.batch_norm:
        network = FusedTwoLayer(first.p, first.width)
    else:
        network = TwoLayerNetwork(first.p, first.width, first.activation, dropout, first.batch_norm)
    return network.build(device, per_run([config.seed for config in configs], always=True))


def make_loss(config: TrainingConfig) -> MeanSquaredError | CrossEntropy:
    """The loss of a run."""
    return MeanSquaredError() if config.loss == "mse" else CrossEntropy()


def make_optimizer(configs: Sequence[TrainingConfig], network: Layer) -> Optimizer:
    """The optimiser of some runs, for the network of `make_network`."""
    return OPTIMIZERS[configs[0].optimizer](network.store,
                                            per_run([config.learning_rate for config in configs]),
                                            per_run([config.weight_decay for config in configs]))


def per_run(values: Sequence, always: bool = False):
    """One value where the runs agree on it (or there is one run), otherwise all; all of several runs' if `always`."""
    agree = len(values) == 1 or (len(set(values)) == 1 and not always)
    return values[0] if agree else tuple(values)
