"""Pruning: what neurons are for, seen from what is lost without them.

The logits of the two-layer network are a sum over its neurons,

    z(m, n) = sum_k h_k(m, n) W_k                 W_k the k-th row of W (a column in the paper)

so taking a neuron away (its columns of U and V and its row of W set to zero) takes its term away and leaves the others
as they are; with BatchNorm as well, which in evaluation treats every neuron alone. Hence a curve over many counts of
pruned neurons costs no more products than a single forward pass. Let the neurons be pruned in the order k_1, k_2, ...,
k_N. With the first c gone,

    z_c = sum over i > c of h_(k_i) W_(k_i)

and it is computed from the far end: z_N = 0, and going from one count to the next lower one adds the block of neurons
between them. Adding up what is left, rather than subtracting what is gone, keeps the rounding error in proportion to
z_c: it is that of a forward pass, and none at all when every neuron is pruned.

References
----------
Doshi et al. (arXiv 2310.13061), section 3 and figures 6, 17.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import streams
from backend import Array, array_module, to_host
from layers import Cache, MeanSquaredError, TwoLayerNetwork

STEPS = 50  # of a curve, unless counts are given
ROWS = 1024  # examples taken at a time: their logits stay in a processor's cache while blocks are added


@dataclass(frozen=True)
class PruningCurve:
    """What a network does with more and more of its neurons pruned.

    Attributes
    ----------
    counts : integer array (C,)
        Neurons pruned.
    fractions : array (C,)
        The same as a fraction of all neurons.
    accuracy, loss : dict of str to array (C,)
        For each set of examples; NaN for a set without any.
    """

    counts: np.ndarray
    fractions: np.ndarray
    accuracy: dict[str, np.ndarray]
    loss: dict[str, np.ndarray]


def pruning_orders(scores: Array, seed: int = 0) -> dict[str, np.ndarray]:
    """Orders in which to prune.

    Parameters
    ----------
    scores : array (N,)
        One number for each neuron: its IPR (`neuron_ipr`).
    seed : int
        Of the random order.

    Returns
    -------
    orders : dict with integer arrays (N,)
        "low" (lowest score first), "high" (its reverse) and "random".
    """
    low = np.argsort(to_host(scores), kind="stable")
    rng = streams.generator(seed, streams.ANALYSIS, streams.number_of("pruning order"))
    return {"low": low, "high": low[::-1], "random": rng.permutation(len(low))}


def pruning_curves(network: TwoLayerNetwork, sets: Mapping[str, tuple[Array, Array]],
                   orders: Mapping[str, Sequence[int]], counts: Sequence[int] | None = None,
                   loss=None) -> dict[str, PruningCurve]:
    """Prune a network in several orders, without retraining. The network itself is not changed.

    Parameters
    ----------
    network : TwoLayerNetwork
        A single run (of a stack, `network.member(run)`).
    sets : mapping of str to (pairs, labels)
        The examples to evaluate on, integer arrays (D, 2) and (D,) on the network's device.
    orders : mapping of str to integer array (N,)
        Each a permutation of the neurons (`pruning_orders`).
    counts : sequence of int, optional
        How many neurons are pruned at the points of the curves, increasing, from 0 to N at most. By default about 50
        evenly spaced ones, both ends included; `range(N + 1)` for every neuron.
    loss : loss, optional
        By default `MeanSquaredError`.

    Returns
    -------
    curves : dict of str to PruningCurve
        For each order.

    Raises
    ------
    ValueError
        If the network is a stack, an order is not a permutation of its neurons, or counts do not increase in [0, N].
    """
    W = network.layers["output"].W
    if W.ndim != 2:
        raise ValueError(f"network must be a single run, got a stack of {len(W)}; take network.member(run)")
    width = len(W)
    counts = _checked_counts(counts, width)
    for name, order in orders.items():
        if not np.array_equal(np.sort(order), np.arange(width)):
            raise ValueError(f"orders: {name} must be a permutation of {width} neurons, got {order}")
    loss, cache = loss or MeanSquaredError(), Cache()
    curves = {name: PruningCurve(counts, counts / width, {}, {}) for name in orders}
    for set_name, (pairs, labels) in sets.items():
        accuracies, losses = _evaluate(network, pairs, labels, list(orders.values()), counts, loss, cache)
        for curve, accuracy, value in zip(curves.values(), accuracies, losses, strict=True):
            curve.accuracy[set_name], curve.loss[set_name] = accuracy, value
    return curves


def pruned_logits(network: TwoLayerNetwork, pairs: Array, orders: Sequence[Sequence[int]], counts: Sequence[int],
                  cache: Cache | None = None) -> Iterator[tuple[slice, int, int, Array]]:
    """The logits z_c of a network with more and more of its neurons pruned, some rows at a time.

    Parameters
    ----------
    network : TwoLayerNetwork
        A single run.
    pairs : integer array (D, 2)
    orders : sequence of integer arrays (N,)
        Each a permutation of the neurons.
    counts : sequence of int
        As for `pruning_curves`.
    cache : Cache, optional
        Whose memory to work in.

    Yields
    ------
    rows : slice
        Which of the pairs.
    which : int
        The number of the order.
    point : int
        The number of the count.
    logits : array (rows, p)
        Overwritten by what comes next.
    """
    cache, W, counts = cache or Cache(), network.layers["output"].W, np.asarray(counts)
    xp, stops = array_module(W), [*counts[1:].tolist(), len(W)]
    blocks = list(zip(range(len(counts)), counts.tolist(), stops, strict=True))
    orders = [xp.asarray(order) for order in orders]
    for first in range(0, len(pairs), ROWS):
        rows = slice(first, min(first + ROWS, len(pairs)))
        h = network.hidden(pairs[rows], cache["network"])
        h_of = xp.ascontiguousarray(h.T)  # one row a neuron: what an order picks is contiguous
        for which, order in enumerate(orders):
            h_ordered, W_ordered = h_of[order], W[order]
            logits = cache.empty("logits", (len(h), W.shape[1]), like=W)
            logits[...] = 0
            terms = cache.empty("terms", logits.shape, like=W)
            for point, start, stop in reversed(blocks):
                if start < stop:
                    logits += xp.matmul(h_ordered[start:stop].T, W_ordered[start:stop], out=terms)
                yield rows, which, point, logits


def _checked_counts(counts, width):
    if counts is None:
        return np.unique(np.linspace(0, width, min(STEPS, width) + 1).round().astype(int))
    counts = np.asarray(counts)
    if not (counts.size and counts.dtype.kind in "iu" and np.all(np.diff(counts) > 0)
            and counts[0] >= 0 and counts[-1] <= width):
        raise ValueError(f"counts must be integers increasing within [0, {width}], got {counts.tolist()}")
    return counts


def _evaluate(network, pairs, labels, orders, counts, loss, cache):
    """Accuracy and loss on one set, two arrays (orders, C)."""
    examples, xp = len(pairs), array_module(network.layers["output"].W)
    hits, losses = xp.zeros((2, len(orders), len(counts)))
    for rows, which, point, logits in pruned_logits(network, pairs, orders, counts, cache):
        hits[which, point] += (logits.argmax(axis=-1) == labels[rows]).sum()
        losses[which, point] += loss.forward(logits, labels[rows], cache["loss"], examples=examples)
    if not examples:
        losses[...] = np.nan
    return to_host(hits) / (examples or np.nan), to_host(losses)
