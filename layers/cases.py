"""What the gradient check checks: every layer, every loss, and networks of them, at sizes that tell axes apart.

The axes of a case have lengths of their own (but for the transformer's two tokens and d_head = 2), so that a product or
a sum along the wrong one fails or gives other numbers. But a matrix that keeps the width is square: in attention,
around a shortcut, between hidden layers. And the two of an LSTM that reads as many features as it writes have one shape
(in the text classifier). There a forgotten transpose still runs, and its numbers must tell. Two exceptions are made on
purpose: a square Linear, which is that case at its simplest, and a stack of R = D runs, where a vector that broadcasts
along the runs instead of the rows still runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import layers
import streams
from backend import Device, open_device
from layers.base import Layer, Mode
from layers.checking import check_layer, check_loss, check_network
from layers.finite_differences import Row
from layers.mlp import ImageMLP

EXAMPLES, FEATURES, WIDTH, P, TOKENS = 5, 4, 6, 7, 2
STACKS = (None, 3, EXAMPLES)


@dataclass(frozen=True)
class Case:
    """One thing to check.

    Attributes
    ----------
    name : str
        As `--layer` takes it.
    kind : type
        The class that is checked.
    make : callable (kind, R) -> Layer or loss
        Makes one of a class that takes kind's arguments; R is the number of runs, 1 without a stack.
    draw : callable (rng, stack) -> array
        Draws the input (a loss's logits); stack is () or (R,).
    training : bool
        The mode of the pass.
    loss : type, optional
        The loss on top, of a network.
    """

    name: str
    kind: type
    make: Callable[[type, int], Any]
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    training: bool = False
    loss: type | None = None


def check(case: Case, seed: int = 0, stack: int | None = None, device: Device | None = None,
          kind: type | None = None) -> list[Row]:
    """Check one case.

    Parameters
    ----------
    case : Case
    seed : int
        Of parameters, input, labels, masks and upstream gradient.
    stack : int, optional
        R; without it, one run without a stack axis.
    device : Device, optional
        In float64; NumPy by default.
    kind : type, optional
        A class to check in the place of `case.kind` (see `layers.mistakes`).

    Returns
    -------
    rows : list of Row
    """
    device = device or open_device("numpy", "float64")
    rng = streams.generator(seed, streams.ANALYSIS, streams.number_of(case.name))
    runs = stack or 1
    x = case.draw(rng, () if stack is None else (stack,))
    labels = device.asarray(rng.integers(P, size=x.shape[:-1]))
    x = device.asarray(x)
    checked = case.make(kind or case.kind, runs)
    if not isinstance(checked, Layer):
        rows = check_loss(checked, x, labels, seed)
    else:
        seeds = tuple(range(seed, seed + runs))
        checked.build(device, seed if stack is None else seeds)
        mode = Mode(training=case.training, seeds=seeds, step=3)
        rows = (check_network(checked, case.loss(), x, labels, mode, seed) if case.loss
                else check_layer(checked, x, mode, seed))
    return [replace(row, layer=case.name, stack=stack) for row in rows]


def _floats(width, rows=EXAMPLES):
    return lambda rng, stack: rng.normal(size=(*stack, rows, width))


def _integers(rng, stack):
    """Pairs of residues, of which one is sure to be read twice: its gradient is a sum."""
    pairs = rng.integers(P, size=(*stack, EXAMPLES, TOKENS))
    pairs[..., 1, :] = pairs[..., 0, :]
    return pairs


def _shared(rng, stack):
    """The same pairs, and then labels, for all runs."""
    return _integers(rng, ())


def _rates(runs):
    """A dropout rate of its own for each run."""
    return np.linspace(0.3, 0.6, runs).tolist() if runs > 1 else 0.3


def _texts(rng, stack):
    """Numbers of words, other than P of them and more than TOKENS, of which one is sure to be read twice."""
    texts = rng.integers(9, size=(*stack, EXAMPLES, 4))
    texts[..., 1, :] = texts[..., 0, :]
    return texts


_MSE, _CE = layers.MeanSquaredError, layers.CrossEntropy
plain_rows, _token_rows = _floats(FEATURES), _floats(FEATURES, EXAMPLES * TOKENS)
# Attention alone, with more tokens than the transformer has: T = 6, H = 2, d_head = 4.
_attended = _floats(8, EXAMPLES * 6)

CASES = {case.name: case for case in (
    Case("PairEmbedding/per-run", layers.PairEmbedding, lambda kind, R: kind(P, WIDTH), _integers),
    Case("PairEmbedding/shared", layers.PairEmbedding, lambda kind, R: kind(P, WIDTH), _shared),
    Case("TokenEmbedding", layers.TokenEmbedding, lambda kind, R: kind(P, WIDTH), _integers),
    Case("PositionEmbedding", layers.PositionEmbedding, lambda kind, R: kind(TOKENS, FEATURES), _token_rows),
    Case("Linear/bias", layers.Linear, lambda kind, R: kind(FEATURES, WIDTH, bias=True), plain_rows),
    Case("Linear/no-bias", layers.Linear, lambda kind, R: kind(FEATURES, WIDTH), plain_rows),
    Case("Linear/square", layers.Linear, lambda kind, R: kind(FEATURES, FEATURES), plain_rows),
    Case("Square", layers.Square, lambda kind, R: kind(), plain_rows),
    Case("ReLU", layers.ReLU, lambda kind, R: kind(), plain_rows),
    Case("GELU", layers.GELU, lambda kind, R: kind(), plain_rows),
    Case("Scale", layers.Scale, lambda kind, R: kind(0.37), plain_rows),
    Case("LastToken", layers.LastToken, lambda kind, R: kind(TOKENS), _token_rows),
    Case("Dropout/training", layers.Dropout, lambda kind, R: kind(_rates(R)), plain_rows, training=True),
    Case("Dropout/evaluating", layers.Dropout, lambda kind, R: kind(_rates(R)), plain_rows),
    Case("BatchNorm/training", layers.BatchNorm, lambda kind, R: kind(FEATURES), plain_rows, training=True),
    Case("BatchNorm/evaluating", layers.BatchNorm, lambda kind, R: kind(FEATURES), plain_rows),
    Case("LayerNorm", layers.LayerNorm, lambda kind, R: kind(FEATURES), plain_rows),
    Case("Attention/sqrt", layers.Attention, lambda kind, R: kind(8, 2, 6), _attended),
    Case("Attention/mu", layers.Attention, lambda kind, R: kind(8, 2, 6, scale="1/d_head"), _attended),
    # T = 6, d = 4 and H = 2.
    Case("LSTM", layers.LSTM, lambda kind, R: kind(FEATURES, 2, 6), _floats(FEATURES, EXAMPLES * 6)),
    Case("Residual", layers.Residual,
         lambda kind, R: kind(linear=layers.Linear(FEATURES, FEATURES), square=layers.Square()), plain_rows),
    Case("MeanSquaredError", _MSE, lambda kind, R: kind(), _floats(P)),
    Case("CrossEntropy", _CE, lambda kind, R: kind(), _floats(P)),
    Case("TwoLayerNetwork/square", layers.TwoLayerNetwork, lambda kind, R: kind(P, WIDTH), _shared, loss=_MSE),
    Case("FusedTwoLayer/shared", layers.FusedTwoLayer, lambda kind, R: kind(P, WIDTH), _shared, loss=_MSE),
    Case("FusedTwoLayer/per-run", layers.FusedTwoLayer, lambda kind, R: kind(P, WIDTH), _integers, loss=_CE),
    Case("FusedTwoLayer/dropout", layers.FusedTwoLayer, lambda kind, R: kind(P, WIDTH, dropout=_rates(R)), _shared,
         training=True, loss=_MSE),
    Case("FusedBatchNorm/training", layers.FusedBatchNorm, lambda kind, R: kind(P, WIDTH), _integers, training=True,
         loss=_MSE),
    Case("FusedBatchNorm/evaluating", layers.FusedBatchNorm, lambda kind, R: kind(P, WIDTH), _shared, loss=_CE),
    Case("TwoLayerNetwork/relu", layers.TwoLayerNetwork, lambda kind, R: kind(P, WIDTH, "relu"), _integers, loss=_CE),
    Case("TwoLayerNetwork/gelu", layers.TwoLayerNetwork, lambda kind, R: kind(P, WIDTH, "gelu"), _integers, loss=_MSE),
    Case("TwoLayerNetwork/dropout", layers.TwoLayerNetwork, lambda kind, R: kind(P, WIDTH, dropout=_rates(R)),
         _shared, training=True, loss=_CE),
    Case("TwoLayerNetwork/batch-norm", layers.TwoLayerNetwork, lambda kind, R: kind(P, WIDTH, batch_norm=True),
         _integers, training=True, loss=_MSE),
    Case("DeepMLP/plain", layers.DeepMLP, lambda kind, R: kind(P, WIDTH), _shared, loss=_CE),
    Case("DeepMLP/all", layers.DeepMLP,
         lambda kind, R: kind(P, WIDTH, activation="gelu", dropout=_rates(R), batch_norm=True),
         _integers, training=True, loss=_MSE),
    Case("ImageMLP/plain", ImageMLP, lambda kind, R: kind(FEATURES, P, WIDTH, depth=4), plain_rows, loss=_MSE),
    Case("ImageMLP/all", ImageMLP,
         lambda kind, R: kind(FEATURES, P, WIDTH, activation="gelu", dropout=_rates(R), batch_norm=True),
         plain_rows, training=True, loss=_CE),
    Case("Transformer/plain", layers.Transformer, lambda kind, R: kind(P, 8, heads=4), _integers, loss=_CE),
    Case("FusedTransformer/plain", layers.FusedTransformer, lambda kind, R: kind(P, 8, heads=4), _integers, loss=_CE),
    Case("FusedTransformer/layer-norm", layers.FusedTransformer, lambda kind, R: kind(P, 8, heads=2, layer_norm=True),
         _shared, loss=_MSE),
    Case("FusedTransformer/dropout", layers.FusedTransformer, lambda kind, R: kind(P, 8, heads=4, dropout=_rates(R)),
         _integers, training=True, loss=_CE),
    Case("Transformer/layer-norm", layers.Transformer, lambda kind, R: kind(P, 8, heads=4, layer_norm=True),
         _shared, loss=_MSE),
    Case("TextClassifier/plain", layers.TextClassifier, lambda kind, R: kind(9, 4, P, 2), _texts, loss=_CE),
    Case("TextClassifier/all", layers.TextClassifier,
         lambda kind, R: kind(9, 4, P, 2, depth=4, dropout=_rates(R), scale=2.0), _texts, training=True, loss=_MSE),
)}
