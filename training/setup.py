"""From settings to the objects they describe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.multiplicative import by_logarithm, has_logarithms
from backend import Array, Device
from data import Problem, digits_problem, mnist_problem, modular_problem
from data.imdb import imdb_problem
from data.reviews import TOKENS, WORDS, review_problem
from layers import (
    CrossEntropy,
    DeepMLP,
    FusedBatchNorm,
    FusedTransformer,
    FusedTwoLayer,
    Layer,
    MeanSquaredError,
    TextClassifier,
    TwoLayerNetwork,
)
from layers.mlp import ImageMLP
from optim import OPTIMIZERS, Optimizer
from training.config import ConfigError, TrainingConfig
from training.tasks import TASKS


def make_problem(config: TrainingConfig) -> Problem:
    """The training and the test set of a run.

    Raises
    ------
    ConfigError
        If its folder does not hold the data.
    """
    if config.task == "modular":
        return modular_problem(config.p, config.operation, config.alpha, config.xi, config.seed, config.test_alpha)
    size, rest = config.train_examples, {"xi": config.xi, "seed": config.seed}
    if config.task == "imdb":
        try:
            return imdb_problem(config.data_folder, size, TASKS["imdb"].test_size, config.words, config.tokens, **rest)
        except OSError as error:
            raise ConfigError("data_folder", f"must be the folder aclImdb of the data set: {error}") from None
    if config.task == "reviews":
        return review_problem(size, TASKS["reviews"].test_size, **rest)
    return {"mnist": mnist_problem, "digits": digits_problem}[config.task](size, **rest)


def make_network(configs: Sequence[TrainingConfig], device: Device) -> Layer:
    """The network of some runs at its initial weights: a stack, if there are several.

    Parameters
    ----------
    configs : sequence of TrainingConfig
        Resolved; equal in all that shapes the network.
    device : Device
    """
    first = configs[0]
    task, dropout = TASKS[first.task], per_run([config.dropout for config in configs])
    if first.model == "lstm":
        words, tokens = (WORDS, TOKENS) if first.task == "reviews" else (first.words, first.tokens)
        network = TextClassifier(words + 1, tokens, task.classes, first.width, first.depth, dropout,
                                 first.initial_scale)
    elif not task.modular:
        network = ImageMLP(task.features, task.classes, first.width, first.depth, first.activation, dropout,
                           first.batch_norm, first.initial_scale)
    elif first.model == "transformer":
        network = FusedTransformer(first.p, first.width, first.heads, dropout, first.layer_norm)
    elif first.model == "relu-mlp":
        network = DeepMLP(first.p, first.width, first.depth, first.activation, dropout, first.batch_norm)
    elif first.activation == "square" and not first.batch_norm:
        network = FusedTwoLayer(first.p, first.width, dropout)
    elif first.activation == "square" and not np.any(dropout):
        network = FusedBatchNorm(first.p, first.width)
    else:
        network = TwoLayerNetwork(first.p, first.width, first.activation, dropout, first.batch_norm)
    return network.build(device, per_run([config.seed for config in configs], always=True))


def rule_neurons(network: Layer, config: TrainingConfig) -> tuple[Array, ...]:
    """What each neuron holds, in the order of the residues in which the task's rule is periodic.

    Parameters
    ----------
    network : Layer
        That of a run, or of a stack.
    config : TrainingConfig

    Returns
    -------
    tuple of arrays (..., N, p) or (..., N, p - 1)
        As `network.neurons()`; of multiplication and division modulo a prime, along the discrete logarithms
        (`analysis.multiplicative`). Empty where there are no such neurons.
    """
    neurons = network.neurons()
    return tuple(map(by_logarithm, neurons)) if has_logarithms(config.operation, config.p) else neurons


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
