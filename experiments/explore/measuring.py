"""What the explorer knows of a run: its history, and at some moments its weights and what they do.

A *moment* is a step whose weights are known: the first, the last, and the run's snapshots. Of each, for every neuron,
there are the IPR and the frequency; and for every order and count of pruning (`analysis.pruning`) the answers to all
p^2 questions, from which the accuracies follow, the numbers of the pruning experiment.

Weights are for looking at: each vector is divided by its largest entry and rounded to 63 levels, which no screen shows
and which halves the page. Accuracies are not rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.figures import LABELS, LOGARITHMS, ORDERS, RESIDUES
from analysis.fourier import power_shares
from analysis.ipr import neuron_ipr
from analysis.multiplicative import has_logarithms
from analysis.pruning import pruned_logits, pruning_orders
from data.operations import all_pairs
from layers import Cache, Layer, TwoLayerNetwork
from training import Run
from training.figures import describe, pruning_sets
from training.setup import rule_neurons
from training.tasks import TASKS

LEVELS = 31
"""Of a weight, on either side of zero."""

POINTS = 20
"""Steps of the pruning slider: a twentieth of the neurons each."""

NEURONS = 500
"""The most neurons whose weights are on a page."""

PRUNED_P = 128
"""The largest modulus at which the answers of pruned networks are on a page; beyond it, those of whole ones."""

BYTES = 4_500_000
"""What the moments of a page may take, before compression: the page is then some four megabytes, Bokeh's script among
them."""

RIGHT, WRONG, MEMORISED, NO_QUESTION = range(4)
"""What an answer is: the true one; neither; the wrong label that the training set gives; and where there is no pair."""


@dataclass(frozen=True)
class Explored:
    """What a page shows.

    Attributes
    ----------
    values : dict
        Plain values, for JSON; `explore.js` reads them.
    arrays : dict of str to array
        With M moments, K neurons shown of N, F = p // 2 + 1 frequencies, O orders and C counts of pruning, S sets of
        examples: ipr (M, N), order (M, O, N), neurons (K,), weights (M, K, vectors, p), scale (M, K, vectors),
        shares (M, K, F), frequency (M, K), pruned_accuracy (M, O, C, S), answers (M, O, C, p, p), given and true
        (p, p), -1 where there is none, tested (p, p), 1 where a pair is in the test set. Without neurons or pruning
        those that need them are left out; without pruning, or with a large p, O and C of the answers are 1.
    """

    values: dict[str, Any]
    arrays: dict[str, np.ndarray]


def explored(run: Run, progress: Callable[[Sequence], Sequence] = iter) -> Explored:
    """Measure all that the page of a run shows.

    Parameters
    ----------
    run : Run
    progress : callable (sequence) -> iterable
        Goes through the moments, and may show how far it is.

    Returns
    -------
    Explored
    """
    config, network = run.config, run.network()
    neurons = rule_neurons(network, config)
    logarithms = has_logarithms(config.operation, config.p)
    pruned = isinstance(network, TwoLayerNetwork)
    modular = TASKS[config.task].modular
    steps = moments(run, _bytes(neurons, config.p if modular else 0, pruned))
    shown = _shown(neurons)
    values = {
        "setting": describe(run),
        "config": config.to_dict(),
        "summary": run.summary(),
        "history": run.history.columns(*run.history.last),
        "moments": steps, "snapshots": len(run.snapshots),
        "vectors": [] if not neurons else ["U", "V", "W"][:len(neurons)] if len(neurons) > 1 else ["embedding"],
        "levels": LEVELS, "noun": "neuron" if len(neurons) > 1 else "feature",
        "places": neurons[0].shape[-1] if neurons else 0,
        "along": LOGARITHMS if logarithms else RESIDUES,
        "waves": "the logarithms of the residues" if logarithms else "the residues",
        "sets": {name: LABELS[name] for name in _sets(run)}, "orders": ORDERS if pruned else {}, "counts": [0],
        "pruned_sets": [], "modular": modular,
    }
    arrays = {"neurons": shown.astype(np.int32)} if neurons else {}
    if modular:
        pairs, labels = all_pairs(config.p, config.operation)
        true, given = np.full((2, config.p, config.p), -1, dtype=np.int16)
        true[tuple(pairs.T)] = labels
        problem = run.problem()
        given[tuple(problem.train.inputs.T)] = problem.train.labels
        tested = np.zeros(true.shape, dtype=np.uint8)  # a continued run can have pairs in neither set
        tested[tuple(problem.test.inputs.T)] = 1
        arrays |= {"true": true, "given": given, "tested": tested}
        place = np.zeros((config.p, config.p), dtype=int)
        place[tuple(pairs.T)] = np.arange(len(pairs))
    if pruned:
        values["counts"] = counts = _counts(config.width)
        sets = {name: (place[tuple(inputs.T)], labels) for name, (inputs, labels) in pruning_sets(run).items()}
        values["pruned_sets"] = list(sets)
    found: dict[str, list[np.ndarray]] = {}

    def add(**parts):
        for name, array in parts.items():
            found.setdefault(name, []).append(array)

    for step in progress(steps):
        network = _network_at(run, step)
        if neurons:
            held = rule_neurons(network, config)
            ipr = neuron_ipr(*held)
            add(ipr=ipr.astype(np.float32), **_weights([vectors[shown] for vectors in held]))
        if pruned:
            orders = pruning_orders(ipr, config.seed)
            predictions = _pruned_predictions(network, pairs, list(orders.values()), counts)
            add(order=np.array(list(orders.values()), dtype=np.int32),
                pruned_accuracy=np.stack([(predictions[..., of] == labels).mean(axis=-1)
                                          for of, labels in sets.values()], axis=-1))
            if config.p > PRUNED_P:
                predictions = predictions[:1, :1]
        elif modular:
            predictions = _predictions(network, pairs)
        if modular:
            add(answers=_answers(predictions, pairs, true, given))
    return Explored(values, arrays | {name: np.stack(parts) for name, parts in found.items()})


def moments(run: Run, size: int) -> list[int]:
    """The steps whose weights the page shows: all that are known, or as many of them as it has room for.

    Parameters
    ----------
    run : Run
    size : int
        Bytes of a moment.

    Returns
    -------
    steps : list of int
        Increasing, with the first and the last.
    """
    known = sorted({0, *run.snapshots, run.step})
    room = max(2, BYTES // max(size, 1))
    if len(known) > room:
        known = [known[number] for number in np.linspace(0, len(known) - 1, room).round().astype(int)]
    return known


def _sets(run):
    """The sets of examples that there are; without corrupted ones, the uncorrupted are the whole training set."""
    last = run.history.last
    return [name for name in LABELS if last[f"{name}_accuracy"] is not None
            and (name != "uncorrupted" or last["corrupted_accuracy"] is not None)]


def _network_at(run: Run, step: int) -> Layer:
    if step in run.snapshots:
        return run.network(step)
    return run.network() if step == run.step else run.initial_network()


def _bytes(neurons, p, pruned):
    """What a moment takes, with the answers packed as compression will pack them, two bits each."""
    size = 0
    if neurons:
        size += min(NEURONS, len(neurons[0])) * (len(neurons) * p + p // 2)
    if p:
        size += (len(ORDERS) * (POINTS + 1) if pruned and p <= PRUNED_P else 1) * p * p // 4
    return size


def _shown(neurons):
    """All neurons, or of many as many as there is room for, taken evenly from the order of IPR at the end."""
    if not neurons:
        return np.zeros(0, dtype=int)
    order = np.argsort(neuron_ipr(*neurons), kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, min(NEURONS, len(order))).round().astype(int)])


def _counts(width):
    """How many neurons are pruned at the points of the slider."""
    return np.unique(np.linspace(0, width, min(POINTS, width) + 1).round().astype(int)).tolist()


def _weights(vectors):
    """Of some neurons the vectors for drawing, and their spectra: the mean of the shares, as in the run's figures."""
    x = np.stack(vectors, axis=1).astype(float)
    scale = abs(x).max(axis=-1)
    shares = np.mean([power_shares(one) for one in vectors], axis=0)
    return {"weights": (x / np.where(scale, scale, 1)[..., None] * LEVELS).round().astype(np.int8),
            "scale": scale.astype(np.float32),
            "shares": (shares * 255).round().astype(np.uint8),
            "frequency": (1 + shares[:, 1:].argmax(axis=-1)).astype(np.int16)}


def _predictions(network, pairs):
    """The answers of a network, array (1, 1, pairs)."""
    cache = Cache()
    return np.concatenate([network.forward(pairs[first:first + 1024], cache).argmax(axis=-1)
                           for first in range(0, len(pairs), 1024)])[None, None]


def _pruned_predictions(network, pairs, orders, counts):
    """The answers of a network with neurons pruned, array (O, C, pairs)."""
    predictions = np.empty((len(orders), len(counts), len(pairs)), dtype=np.int16)
    for rows, which, point, logits in pruned_logits(network, pairs, orders, counts):
        predictions[which, point, rows] = logits.argmax(axis=-1)
    return predictions


def _answers(predictions, pairs, true, given):
    """What each answer is, uint8 array (O, C, p, p)."""
    m, n = pairs.T
    answers = np.full((*predictions.shape[:2], *true.shape), NO_QUESTION, dtype=np.uint8)
    # In this order: a redrawn label can be the true one.
    answers[..., m, n] = np.where(predictions == true[m, n], RIGHT,
                                  np.where(predictions == given[m, n], MEMORISED, WRONG))
    return answers
