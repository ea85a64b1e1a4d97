"""Multi-head self-attention, without a mask and without biases.

For one head of one example, with queries, keys and values of its T tokens in the rows of q, k, v (T, d_head):

    q = x W_Q      k = x W_K      v = x W_V
    S = s q k^T                   s = 1 / sqrt(d_head), or 1 / d_head where parametrised by mu
    A = softmax(S)                A_tu = exp(S_tu) / sum_w exp(S_tw)
    o = A v        y = o W_O      (the heads' o side by side)

Backwards. The products are those of Linear:

    dW_O = o^T dy     do = dy W_O^T     dA = do v^T     dv = A^T do
    dq = s dS k       dk = s dS^T q     dW_Q = x^T dq   (W_K, W_V likewise)
    dx = dq W_Q^T + dk W_K^T + dv W_V^T

and between dA and dS stands the softmax. From dA_tu/dS_tw = A_tu ([u = w] - A_tw):

    dS_tw = sum_u dA_tu A_tu ([u = w] - A_tw) = A_tw (dA_tw - sum_u dA_tu A_tu)

Rows are (example, token) pairs outside; `_unfold` and `_fold` are the only places that know of tokens and heads.

References
----------
Vaswani et al. (arXiv 1706.03762), eq. 1; scale 1/d_head: Yang et al. (arXiv 2203.03466), used in Doshi et al., app. G.
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING, Layer, Parameter
from layers.initial import Initial, normal

SCALES = {"1/sqrt(d_head)": -0.5, "1/d_head": -1.0}


class Attention(Layer):
    """Multi-head self-attention over the T tokens of each example.

    Parameters
    ----------
    width : int
        d, the features of a row.
    heads : int
        H; must divide d. d_head = d / H.
    tokens : int
        T, the rows of an example.
    scale : {"1/sqrt(d_head)", "1/d_head"}
        The factor s of the scores.
    initial : Initial, optional
        Draws the four matrices (d, d), by default from N(0, 1/d).
    """

    def __init__(self, width: int, heads: int, tokens: int, scale: str = "1/sqrt(d_head)",
                 initial: Initial | None = None):
        super().__init__()
        if width % heads:
            raise ValueError(f"the number of heads must divide the width {width}, got {heads}")
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
        self.heads, self.tokens = heads, tokens
        self.s = (width // heads) ** SCALES[scale]
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            self.parameters[name] = Parameter((width, width), initial or normal(width ** -0.5))

    def _unfold(self, rows):
        """(..., D T, d) -> (..., D, H, T, d_head)."""
        split = rows.reshape(*rows.shape[:-2], -1, self.tokens, self.heads, rows.shape[-1] // self.heads)
        return split.swapaxes(-3, -2)

    def _fold(self, split):
        """(..., D, H, T, d_head) -> (..., D T, d)."""
        *stack, D, H, T, d_head = split.shape
        return split.swapaxes(-3, -2).reshape(*stack, D * T, H * d_head)

    def forward(self, x, cache, mode=EVALUATING):
        """x (..., D T, d) -> y of the same shape."""
        xp = array_module(x)
        q, k, v = (self._unfold(x @ W) for W in (self.W_Q, self.W_K, self.W_V))
        S = self.s * (q @ k.mT)
        A = xp.exp(S - S.max(axis=-1, keepdims=True))  # the shift changes nothing but keeps exp from overflowing
        A /= A.sum(axis=-1, keepdims=True)
        o = self._fold(A @ v)
        cache.x, cache.q, cache.k, cache.v, cache.A, cache.o = x, q, k, v, A, o
        return o @ self.W_O

    def backward(self, dy, cache, grads):
        """dy (..., D T, d) -> dx of the same shape; adds to grads.W_Q, W_K, W_V and W_O."""
        x, q, k, v, A = cache.x, cache.q, cache.k, cache.v, cache.A
        grads.W_O += cache.o.mT @ dy
        do = self._unfold(dy @ self.W_O.mT)
        dA, dv = do @ v.mT, A.mT @ do
        dS = A * (dA - (dA * A).sum(axis=-1, keepdims=True))
        dq, dk, dv = (self._fold(part) for part in (self.s * (dS @ k), self.s * (dS.mT @ q), dv))
        grads.W_Q += x.mT @ dq
        grads.W_K += x.mT @ dk
        grads.W_V += x.mT @ dv
        return dq @ self.W_Q.mT + dk @ self.W_K.mT + dv @ self.W_V.mT
