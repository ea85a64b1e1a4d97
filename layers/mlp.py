"""Deeper networks: a first layer that reads the input, further hidden layers, an output.

On pairs (Doshi et al., appendix G) the first layer is an embedding,

    h_1 = phi(U e_m + V e_n)      h_l = phi(h_(l-1) W_l)            logits = h_(L-1) W_L

without biases, weights from N(0, 2 / fan_in). The embedding's fan-in is 2 p: (e_m, e_n) as one vector. On images x
(rows of pixels) it is a Linear layer like the others, and all have biases,

    h_1 = phi(x W_1 + b_1)        h_l = phi(h_(l-1) W_l + b_l)      logits = h_(L-1) W_L + b_L

with weights and biases uniform on (-s / sqrt(fan_in), s / sqrt(fan_in)): s = 1 is what is usual, and a large s makes
memorising easy and generalising late (Liu et al., arXiv 2210.01117, take 8).

Dropout acts on every pre-activation, BatchNorm after every activation, as in the two-layer network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import Array
from layers.activations import ACTIVATIONS
from layers.base import Layer
from layers.batchnorm import BatchNorm
from layers.chain import Chain
from layers.dropout import Dropout
from layers.embedding import PairEmbedding
from layers.initial import normal, uniform
from layers.linear import Linear


class DeepMLP(Chain):
    """Logits of pairs (m, n): pairs (..., D, 2) -> logits (..., D, p).

    Parameters
    ----------
    p : int
        The modulus.
    width : int
        N, the width of every hidden layer.
    depth : int
        L >= 2, the number of weight layers; the embedding is the first, the output the last.
    activation : {"relu", "gelu", "square"}
    dropout : float, or sequence of R floats
    batch_norm : bool
    """

    def __init__(self, p: int, width: int, depth: int = 3, activation: str = "relu",
                 dropout: float | Sequence[float] = 0.0, batch_norm: bool = False):
        def linear(n_out):
            return Linear(width, n_out, initial=normal((2 / width) ** 0.5))

        _check_depth(depth)
        weights = [PairEmbedding(p, width, normal(p ** -0.5)), *(linear(width) for _ in range(depth - 2))]
        super().__init__(**_hidden_layers(weights, width, activation, dropout, batch_norm), output=linear(p))
        self.row_size = width

    def neurons(self) -> tuple[Array, ...]:
        """What each neuron of the first layer holds along the residues: two arrays (..., N, p)."""
        embedding = self.layers["hidden_1"]
        return embedding.U.mT, embedding.V.mT


class ImageMLP(Chain):
    """Logits of images: rows of pixels x (..., D, n_in) -> logits (..., D, n_out).

    Parameters
    ----------
    n_in : int
        The pixels of an image.
    n_out : int
        The number of labels.
    width : int
        N, the width of every hidden layer.
    depth : int
        L >= 2, the number of weight layers.
    activation : {"relu", "gelu", "square"}
    dropout : float, or sequence of R floats
    batch_norm : bool
    scale : float
        s, the factor on the usual initial weights and biases.
    """

    def __init__(self, n_in: int, n_out: int, width: int, depth: int = 3, activation: str = "relu",
                 dropout: float | Sequence[float] = 0.0, batch_norm: bool = False, scale: float = 1.0):
        def linear(fan_in, fan_out):
            initial = uniform(scale * fan_in ** -0.5)
            return Linear(fan_in, fan_out, bias=True, initial=initial, initial_bias=initial)

        _check_depth(depth)
        weights = [linear(n_in, width), *(linear(width, width) for _ in range(depth - 2))]
        super().__init__(**_hidden_layers(weights, width, activation, dropout, batch_norm),
                         output=linear(width, n_out))
        self.row_size = max(n_in, width)

    def neurons(self) -> tuple[Array, ...]:
        """No arrays: pixels are no residues, along which a neuron could be periodic."""
        return ()


def _check_depth(depth: int) -> None:
    if depth < 2:
        raise ValueError(f"depth must be at least 2, got {depth}")


def _hidden_layers(weights: Sequence[Layer], width: int, activation: str, dropout: float | Sequence[float],
                   batch_norm: bool) -> dict[str, Layer]:
    """The weight layers but the output, each with what follows it. Names carry the block's number (hidden_2.W)."""
    layers = {}
    for number, layer in enumerate(weights, start=1):
        layers[f"hidden_{number}"] = layer
        if np.any(dropout):
            layers[f"dropout_{number}"] = Dropout(dropout)
        layers[f"activation_{number}"] = ACTIVATIONS[activation]()
        if batch_norm:
            layers[f"norm_{number}"] = BatchNorm(width)
    return layers
