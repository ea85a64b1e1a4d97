"""The figures of a run, into the folder `figures` inside its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from analysis.ipr import neuron_ipr
from analysis.multiplicative import has_logarithms
from analysis.pruning import pruning_curves, pruning_orders
from layers import TwoLayerNetwork
from training.config import TrainingConfig
from training.run import Run
from training.setup import make_loss, rule_neurons
from training.tasks import TASKS

# What a title says of settings that are not the usual ones: those whose default depends on others, and those that have
# the same in every run.
BY_SETTING = {"activation": "{}", "depth": "depth {}", "initial_scale": "initial scale {:g}", "loss": "{}",
              "learning_rate": "rate {:g}", "clip": "clipped at {:g}"}
OTHERS = {"heads": "{} heads", "layer_norm": "LayerNorm", "optimizer": "{}", "dropout": "dropout {:g}",
          "batch_norm": "BatchNorm", "noise": "noise {:g}", "noise_floor": "at least {:g}", "l2": "L2 {:g}",
          "schedule": "{}", "batch_size": "batch {}", "dtype": "{}", "tf32": "TF32", "continue_from": "continued"}


def describe(run: Run) -> str:
    """The setting of a run in a line, for titles: what most differ in, and what is not as usual."""
    config = run.config
    width = f"{'d' if config.model == 'transformer' else 'N'} = {config.width}"
    task = TASKS[config.task]
    if task.modular:
        sign = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷"}[config.operation]
        parts = [f"{config.model}, (m {sign} n) mod {config.p}", width, f"α = {config.alpha:g}"]
    else:
        parts = [f"{config.model}, {config.train_size} {task.examples} of {config.task}", width]
    parts += [f"ξ = {config.xi:g}", f"weight decay {config.weight_decay:g}"]
    usual = dataclasses.replace(config, **dict.fromkeys(BY_SETTING)).resolved()
    parts += [template.format(getattr(config, name)) for name, template in BY_SETTING.items()
              if getattr(config, name) != getattr(usual, name)]
    parts += [template.format(getattr(config, name)) for name, template in OTHERS.items()
              if getattr(config, name) != getattr(TrainingConfig, name)]
    return ", ".join([*parts, f"seed {config.seed}"])


def draw_figures(run: Run, folder: Path) -> list[Path]:
    """Draw a run: training curves; of modular arithmetic IPR histograms and some neurons as well, and of the two-layer
    network pruning curves.

    Parameters
    ----------
    run : Run
    folder : path
        Created if it does not exist.

    Returns
    -------
    list of Path
        The files, PNG.
    """
    from analysis import figures  # matplotlib takes half a second to import, which only those who draw should pay

    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    title = describe(run)
    history = {column: run.history[column] for column in run.history.last}
    before, after = run.initial_network(), run.network()
    start, end = (rule_neurons(network, run.config) for network in (before, after))
    logarithms = has_logarithms(run.config.operation, run.config.p)
    drawn = [figures.training_curves(history, folder / "training_curves.png", title, run.history.grok_step,
                                     run.history.unlearn_step, run.config.xi)]
    if end:
        drawn += [figures.ipr_histogram(neuron_ipr(*start), neuron_ipr(*end), folder / "ipr_histogram.png", title),
                  figures.neuron_panels(start, end, folder / "neurons.png", title,
                                        figures.LOGARITHMS if logarithms else figures.RESIDUES)]
    if isinstance(after, TwoLayerNetwork):
        curves = pruning_curves(after, pruning_sets(run), pruning_orders(neuron_ipr(*end), run.config.seed),
                                loss=make_loss(run.config))
        drawn.append(figures.pruning_curves(curves, folder / "pruning_curves.png", title))
    return drawn


def pruning_sets(run: Run) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The sets that a pruned network is measured on, as (inputs, labels); empty ones and repetitions are left out."""
    problem = run.problem()
    train, test, corrupted = problem.train, problem.test, problem.train.corrupted
    sets = {"train": (train.inputs, train.labels), "test": (test.inputs, test.labels)}
    if corrupted.any():
        sets |= {"corrupted": (train.inputs[corrupted], train.labels[corrupted]),
                 "uncorrupted": (train.inputs[~corrupted], train.labels[~corrupted])}
    return {name: (inputs, labels) for name, (inputs, labels) in sets.items() if len(labels)}


def draw_comparison(runs: Mapping[str, Run], path: Path) -> Path:
    """Draw the accuracies of several runs over each other, a panel for each set of examples.

    Parameters
    ----------
    runs : mapping of str to Run
        By the name to show.
    path : path
        The file to write, PNG.
    """
    from analysis import figures

    return figures.comparison({name: {column: run.history[column] for column in run.history.last}
                               for name, run in runs.items()}, path)
