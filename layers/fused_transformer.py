"""The one-layer transformer for pairs, up to its MLP in one piece: `Transformer` without what nobody reads.

The prediction is read from the last token alone, so only its query, its attention and its MLP matter. And what
attention reads of a token depends on nothing but the token and its position: keys, values and queries are projected
from tables of p rows, one for each position, before examples choose their rows. With the tables (norm is the identity
without LayerNorm)

    X_t = E + P_t        N_t = norm(X_t)        K_t = N_t W_K        V_t = N_t W_V        Q = N_2 W_Q

a pair (m, n) has k_1 = K_1[m], k_2 = K_2[n] and so on, and the softmax over two scores is a sigmoid of their
difference: the last token attends to the first with the weight

    A = sigmoid(s q (k_1 - k_2)^T)                     for each head
    o = v_2 + A (v_1 - v_2)
    x = x_2 + o W_O

Backwards, with dA/d(score) = A (1 - A) and all products with an A or a delta for each head:

    dW_O = o^T dx                   do = dx W_O^T                   dA = do (v_1 - v_2)^T
    delta = s A (1 - A) dA
    dv_1 = A do                     dv_2 = do - dv_1
    dk_1 = delta q                  dk_2 = -dk_1                    dq = delta (k_1 - k_2)          dx_2 = dx

These are summed over the examples that chose a row, and from there the tables' gradients are those of Linear:

    dN_t = dV_t W_V^T + dK_t W_K^T (+ dQ W_Q^T for t = 2)           dW_V = N_1^T dV_1 + N_2^T dV_2 ...
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING
from layers.transformer import Transformer
from products import matmul
from rows import RowIndex, RowSums


class FusedTransformer(Transformer):
    """`Transformer` without dropout; the same parameters under the same names.

    Parameters
    ----------
    p : int
        The modulus, and the size of the vocabulary.
    width : int
        d, the features of a token.
    heads : int
        Attention heads; must divide d.
    layer_norm : bool
    """

    def __init__(self, p: int, width: int = 128, heads: int = 4, layer_norm: bool = False):
        super().__init__(p, width, heads, layer_norm=layer_norm)
        self.row_size = 4 * width
        self._rest = [name for name in self.layers if name not in ("tokens", "positions", "attention", "last")]

    def forward(self, pairs, cache, mode=EVALUATING):
        """pairs (D, 2) or (..., D, 2), integers -> logits (..., D, p)."""
        x = self._attend(pairs, cache, mode)
        for name in self._rest:
            x = self.layers[name].forward(x, cache[name], mode)
        return x

    def backward(self, dz, cache, grads):
        """dz (..., D, p) -> None; adds to the gradients of all parameters."""
        for name in reversed(self._rest):
            dz = self.layers[name].backward(dz, cache[name], grads[name])
        self._attend_backward(dz, cache, grads)

    def _by_head(self, rows):
        """(..., D, d) -> (..., D, H, d_head), a view."""
        heads = self.layers["attention"].layers["heads"].heads
        return rows.reshape(*rows.shape[:-1], heads, -1)

    def _dot(self, x, y):
        """The products of two (..., D, d) for each head: (..., D, H, 1)."""
        return array_module(x).einsum("...hj,...hj->...h", self._by_head(x), self._by_head(y))[..., None]

    def _attend(self, pairs, cache, mode):
        """pairs (..., D, 2) -> x (..., D, d), the last token after attention."""
        E, P, block = self.layers["tokens"].E, self.layers["positions"].P, self.layers["attention"]
        heads, norm = block.layers["heads"], block.layers.get("norm")
        xp, (p, d) = array_module(E), E.shape[-2:]
        X = xp.concatenate([E + P[..., t:t + 1, :] for t in range(2)], axis=-2)
        N = cache.N = X if norm is None else norm.forward(X, cache["attention"]["norm"], mode)
        N_1, N_2 = N[..., :p, :], N[..., p:, :]
        first = xp.concatenate([N_1 @ heads.W_V, N_1 @ heads.W_K], axis=-1)
        last = xp.concatenate([X[..., p:, :], N_2 @ heads.W_V, N_2 @ heads.W_K, N_2 @ heads.W_Q], axis=-1)

        m = cache.derived("m", pairs, lambda: RowIndex(pairs[..., 0], E))
        n = cache.derived("n", pairs, lambda: RowIndex(pairs[..., 1], E))
        of_m = m.take(first, out=cache.empty("of m", (*m.shape, 2 * d), like=E))
        of_n = n.take(last, out=cache.empty("of n", (*n.shape, 4 * d), like=E))
        of_m -= of_n[..., d:3 * d]
        v, k = of_m[..., :d], of_m[..., d:]  # v_1 - v_2 and k_1 - k_2
        x_2, v_2, q = of_n[..., :d], of_n[..., d:2 * d], of_n[..., 3 * d:]
        scores = self._dot(q, k)
        A = (1 + xp.tanh(heads.s / 2 * scores)) / 2  # the sigmoid, without an exponential that could overflow
        o = cache.empty("o", v.shape, like=E)
        xp.multiply(self._by_head(v), A, out=self._by_head(o))
        o += v_2
        cache.pairs, cache.A, cache.v, cache.k, cache.q, cache.o = pairs, A, v, k, q, o
        x = matmul(o, heads.W_O, out=cache.empty("x", o.shape, like=E))
        x += x_2
        return x

    def _attend_backward(self, dx, cache, grads):
        """dx (..., D, d) -> None; adds to the gradients of E, P and the four matrices of attention, and of its norm."""
        block = self.layers["attention"]
        heads, norm, to = block.layers["heads"], block.layers.get("norm"), grads["attention"]["heads"]
        pairs, A, v, k, q, N = cache.pairs, cache.A, cache.v, cache.k, cache.q, cache.N
        xp, d, p = array_module(dx), dx.shape[-1], N.shape[-2] // 2

        to.W_O += cache.o.mT @ dx
        do = matmul(dx, heads.W_O.mT, out=cache.empty("do", dx.shape, like=dx))
        delta = heads.s * A * (1 - A) * self._dot(do, v)
        of_m = cache.empty("of m, back", (*dx.shape[:-1], 2 * d), like=dx)
        of_n = cache.empty("of n, back", (*dx.shape[:-1], 4 * d), like=dx)
        dv_1, dk_1 = of_m[..., :d], of_m[..., d:]
        xp.multiply(A, self._by_head(do), out=self._by_head(dv_1))
        xp.multiply(delta, self._by_head(q), out=self._by_head(dk_1))
        of_n[..., :d] = dx
        xp.subtract(do, dv_1, out=of_n[..., d:2 * d])
        xp.negative(dk_1, out=of_n[..., 2 * d:3 * d])
        xp.multiply(delta, self._by_head(k), out=self._by_head(of_n[..., 3 * d:]))

        stack = dx.shape[:-2]
        first, last = (xp.zeros((*stack, p, parts * d), dtype=dx.dtype) for parts in (2, 4))
        for column, (rows, table) in enumerate(((of_m, first), (of_n, last))):
            sums = cache.derived(f"sums {column}", pairs, lambda c=column: RowSums(pairs[..., c], rows=p))
            sums.add(rows, table)

        dV_1, dK_1 = first[..., :d], first[..., d:]
        dX_2, dV_2, dK_2, dQ = (last[..., part * d:(part + 1) * d] for part in range(4))
        N_1, N_2 = N[..., :p, :], N[..., p:, :]
        to.W_V += N_1.mT @ dV_1 + N_2.mT @ dV_2
        to.W_K += N_1.mT @ dK_1 + N_2.mT @ dK_2
        to.W_Q += N_2.mT @ dQ
        dX = xp.concatenate([dV_1 @ heads.W_V.mT + dK_1 @ heads.W_K.mT,
                             dV_2 @ heads.W_V.mT + dK_2 @ heads.W_K.mT + dQ @ heads.W_Q.mT], axis=-2)
        if norm is not None:
            dX = norm.backward(dX, cache["attention"]["norm"], grads["attention"]["norm"])
        dX[..., p:, :] += dX_2
        for t in range(2):
            of_t = dX[..., t * p:(t + 1) * p, :]
            grads["tokens"].E += of_t
            grads["positions"].P[..., t:t + 1, :] += of_t.sum(axis=-2, keepdims=True)
