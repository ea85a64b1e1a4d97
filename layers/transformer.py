"""The one-layer encoder-only transformer of Doshi et al., appendix G.

    x = E[token] + P[position]                    two tokens, m and n; one row each
    x = x + attention(x)
    x = x + W_out relu(W_in x)                    width 4 d
    logits = x_last W_U / d                       read from the last token

No biases. Matrices start from N(0, 1 / fan_in), embeddings from N(0, 1), attention scores are scaled by 1/d_head.
With LayerNorm, attention and MLP each read a normalised x, and so does the output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import Array
from layers.attention import Attention
from layers.chain import Chain, Residual
from layers.dropout import Dropout
from layers.embedding import PositionEmbedding, TokenEmbedding
from layers.layernorm import LayerNorm
from layers.linear import Linear
from layers.relu import ReLU
from layers.scale import Scale
from layers.tokens import LastToken

TOKENS = 2


class Transformer(Chain):
    """Logits of pairs (m, n): pairs (..., D, 2) -> logits (..., D, p).

    Parameters
    ----------
    p : int
        The modulus, and the size of the vocabulary.
    width : int
        d, the features of a token.
    heads : int
        Attention heads; must divide d.
    dropout : float, or sequence of R floats
        On the pre-activation of the MLP.
    layer_norm : bool
    """

    def __init__(self, p: int, width: int = 128, heads: int = 4, dropout: float | Sequence[float] = 0.0,
                 layer_norm: bool = False):
        def block(**inner):
            return Residual(**({"norm": LayerNorm(width)} if layer_norm else {}), **inner)

        drop = {"dropout": Dropout(dropout, rows_per_example=TOKENS)} if np.any(dropout) else {}
        super().__init__(
            tokens=TokenEmbedding(p, width),
            positions=PositionEmbedding(TOKENS, width),
            attention=block(heads=Attention(width, heads, TOKENS, scale="1/d_head")),
            mlp=block(hidden=Linear(width, 4 * width), **drop, activation=ReLU(), output=Linear(4 * width, width)),
            last=LastToken(TOKENS),
            **({"norm": LayerNorm(width)} if layer_norm else {}),
            unembedding=Linear(width, p),
            scale=Scale(1 / width),
        )
        self.row_size = TOKENS * 4 * width

    def neurons(self) -> tuple[Array, ...]:
        """What each feature of the embedding holds along the residues: one array (..., d, p)."""
        return (self.layers["tokens"].E.mT,)
