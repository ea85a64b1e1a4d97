"""The two-layer network of Doshi et al., eq. 1 and 5.

    f(m, n) = W phi(U e_m + V e_n)                            phi(x) = x^2, no biases

with dropout on the pre-activation and BatchNorm after the activation where asked for:

    f(m, n) = W BN(phi(dropout(U e_m + V e_n)))

All weights start from N(0, (16 N)^(-2/3)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import Array
from layers.activations import ACTIVATIONS
from layers.base import EVALUATING, Cache
from layers.batchnorm import BatchNorm
from layers.chain import Chain
from layers.dropout import Dropout
from layers.embedding import PairEmbedding
from layers.initial import normal
from layers.linear import Linear


class TwoLayerNetwork(Chain):
    """Logits of pairs (m, n): pairs (..., D, 2) -> logits (..., D, p).

    Parameters
    ----------
    p : int
        The modulus.
    width : int
        N, the number of hidden neurons.
    activation : {"square", "relu", "gelu"}
    dropout : float, or sequence of R floats
        The rate; 0 leaves the layer out.
    batch_norm : bool
    """

    def __init__(self, p: int, width: int, activation: str = "square", dropout: float | Sequence[float] = 0.0,
                 batch_norm: bool = False):
        initial = normal((16 * width) ** (-1 / 3))
        layers = {"embedding": PairEmbedding(p, width, initial)}
        if np.any(dropout):
            layers["dropout"] = Dropout(dropout)
        layers["activation"] = ACTIVATIONS[activation]()
        if batch_norm:
            layers["norm"] = BatchNorm(width)
        layers["output"] = Linear(width, p, initial=initial)
        super().__init__(**layers)
        self.row_size = width

    def neurons(self) -> tuple[Array, ...]:
        """What each neuron holds along the residues: its column of U, of V and its row of W, arrays (..., N, p)."""
        embedding = self.layers["embedding"]
        return embedding.U.mT, embedding.V.mT, self.layers["output"].W

    def hidden(self, pairs: Array, cache: Cache) -> Array:
        """What the output layer reads, in evaluation: pairs (..., D, 2) -> (..., D, N)."""
        x = pairs
        for name, layer in self.layers.items():
            if name != "output":
                x = layer.forward(x, cache[name], EVALUATING)
        return x
