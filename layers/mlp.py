"""A deeper network on pairs (Doshi et al., appendix G): an embedding, further hidden layers, an output.

    h_1 = phi(U e_m + V e_n)      h_l = phi(h_(l-1) W_l)      logits = h_(L-1) W_L

without biases, weights from N(0, 2 / fan_in). The embedding's fan-in is 2 p: (e_m, e_n) as one vector.
Dropout acts on every pre-activation, BatchNorm after every activation, as in the two-layer network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import Array
from layers.activations import ACTIVATIONS
from layers.batchnorm import BatchNorm
from layers.chain import Chain
from layers.dropout import Dropout
from layers.embedding import PairEmbedding
from layers.initial import normal
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
        if depth < 2:
            raise ValueError(f"depth must be at least 2, got {depth}")
        layers = {}
        for number in range(1, depth):
            # The layers inside a block carry its number: parameters are told apart by it (hidden_2.W).
            layers[f"hidden_{number}"] = (PairEmbedding(p, width, normal(p ** -0.5)) if number == 1
                                          else Linear(width, width, initial=normal((2 / width) ** 0.5)))
            if np.any(dropout):
                layers[f"dropout_{number}"] = Dropout(dropout)
            layers[f"activation_{number}"] = ACTIVATIONS[activation]()
            if batch_norm:
                layers[f"norm_{number}"] = BatchNorm(width)
        layers["output"] = Linear(width, p, initial=normal((2 / width) ** 0.5))
        super().__init__(**layers)
        self.row_size = width

    def neurons(self) -> tuple[Array, ...]:
        """What each neuron of the first layer holds along the residues: two arrays (..., N, p)."""
        embedding = self.layers["hidden_1"]
        return embedding.U.mT, embedding.V.mT
