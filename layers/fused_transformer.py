"""The one-layer transformer for pairs, in one piece: `Transformer` without what nobody reads.

The prediction is read from the last token alone, so only its query, its attention and its MLP matter. And what
attention reads of a token depends on nothing but the token and its position: keys, values and queries are projected
from tables of p rows, one for each position, before examples choose their rows. With the tables (norm is the identity
without LayerNorm)

    X_t = E + P_t        N_t = norm(X_t)        K_t = N_t W_K        V_t = N_t W_V        Q = N_2 W_Q

a pair (m, n) has v_1 = V_1[m], v_2 = V_2[n] and so on. The last token attends to the first and to itself, and the
softmax over two scores is a sigmoid of their difference. As the pairs are few, that difference has a table as well.
For each head

    S[n, m] = q_n (k_1m - k_2n)^T        A = sigmoid(s S[n, m])        o = A (v_1 - v_2)
    x = x_2 + (v_2 + o) W_O = Y[n] + o W_O                             Y = X_2 + V_2 W_O

Backwards, where "by n" is the sum over the examples that chose the row n:

    dY = dx by n            dW_O = o^T dx + V_2^T dY        do = dx W_O^T        dA = do (v_1 - v_2)^T
    dX_2 = dY               dV_1 = A do by m                dV_2 = dY W_O^T - A do by n
    T = s A (1 - A) dA by (n, m), which is dL/dS            t_n = sum over m of T[n, m]
    dQ = T K_1 - t k_2      dK_1 = T^T Q                    dK_2 = -t q

and from there the tables' gradients are those of Linear:

    dN_t = dV_t W_V^T + dK_t W_K^T (+ dQ W_Q^T for t = 2)           dW_V = N_1^T dV_1 + N_2^T dV_2 ...

The MLP's ReLU is written over what it reads, as nothing else does: max(h, 0) over h, dh over da.
"""

from __future__ import annotations

from collections.abc import Sequence

from backend import array_module
from layers.base import EVALUATING
from layers.dropout import Dropout
from layers.transformer import TOKENS, Transformer
from products import matmul
from rows import RowIndex, RowSums


class FusedTransformer(Transformer):
    """`Transformer`; the same parameters under the same names.

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
        super().__init__(p, width, heads, dropout, layer_norm)
        if "dropout" in self.layers["mlp"].layers:
            self.layers["mlp"].layers["dropout"] = Dropout(dropout, rows_per_example=TOKENS, last_alone=True)
        self.row_size = 4 * width
        self._rest = [name for name in ("norm", "unembedding", "scale") if name in self.layers]

    def forward(self, pairs, cache, mode=EVALUATING):
        """pairs (D, 2) or (..., D, 2), integers -> logits (..., D, p)."""
        x = self._attend(pairs, cache, mode)
        x = self._transform(x, cache["mlp"], mode)
        for name in self._rest:
            x = self.layers[name].forward(x, cache[name], mode)
        return x

    def backward(self, dz, cache, grads):
        """dz (..., D, p) -> None; adds to the gradients of all parameters."""
        for name in reversed(self._rest):
            dz = self.layers[name].backward(dz, cache[name], grads[name])
        self._transform_backward(dz, cache["mlp"], grads["mlp"])
        self._attend_backward(dz, cache, grads)

    def _by_head(self, rows):
        """(..., D, d) -> (..., D, H, d_head), a view."""
        heads = self.layers["attention"].layers["heads"].heads
        return rows.reshape(*rows.shape[:-1], heads, -1)

    def _attend(self, pairs, cache, mode):
        """pairs (..., D, 2) -> x (..., D, d), the last token after attention."""
        E, P, block = self.layers["tokens"].E, self.layers["positions"].P, self.layers["attention"]
        heads, norm = block.layers["heads"], block.layers.get("norm")
        xp, (p, d) = array_module(E), E.shape[-2:]
        X = xp.concatenate([E + P[..., t:t + 1, :] for t in range(2)], axis=-2)
        N = X if norm is None else norm.forward(X, cache["attention"]["norm"], mode)
        V, K, Q = N @ heads.W_V, N @ heads.W_K, N[..., p:, :] @ heads.W_Q
        V_1, V_2 = V[..., :p, :], V[..., p:, :]
        Y = V_2 @ heads.W_O
        Y += X[..., p:, :]
        # (..., H, p, d_head)
        k_1, k_2, q = (self._by_head(table).swapaxes(-3, -2) for table in (K[..., :p, :], K[..., p:, :], Q))
        S = q @ k_1.mT
        S -= (q * k_2).sum(axis=-1, keepdims=True)
        S = xp.moveaxis(S, -3, -1).reshape(*S.shape[:-3], p * p, -1)  # (n, m) is row n p + m, a head a column

        m = cache.derived("m", pairs, lambda: RowIndex(pairs[..., 0], V_1))
        n = cache.derived("n", pairs, lambda: RowIndex(pairs[..., 1], V_2))
        of_pair = cache.derived("of pair", pairs, lambda: RowIndex(pairs[..., 1] * p + pairs[..., 0], S))
        A = of_pair.take(S, out=cache.empty("A", (*m.shape, heads.heads), like=E))
        A *= heads.s / 2
        xp.tanh(A, out=A)
        A += 1
        A /= 2  # the sigmoid, without an exponential that could overflow
        shape = (*m.shape, d)
        v = m.take(V_1, out=cache.empty("v", shape, like=E))
        o = n.take(V_2, out=cache.empty("o", shape, like=E))
        v -= o
        xp.multiply(self._by_head(v), A[..., None], out=self._by_head(o))
        x = matmul(o, heads.W_O, out=cache.empty("x", shape, like=E))
        x += n.take(Y, out=cache.empty("Y", shape, like=E))
        cache.pairs, cache.A, cache.v, cache.o, cache.tables = pairs, A, v, o, (N, V_2, k_1, k_2, q)
        return x

    def _attend_backward(self, dx, cache, grads):
        """dx (..., D, d) -> None; adds to the gradients of E, P and the four matrices of attention, and of its norm."""
        block = self.layers["attention"]
        heads, norm, to = block.layers["heads"], block.layers.get("norm"), grads["attention"]["heads"]
        pairs, A, v, o, (N, V_2, k_1, k_2, q) = cache.pairs, cache.A, cache.v, cache.o, cache.tables
        xp, p, d = array_module(dx), N.shape[-2] // 2, N.shape[-1]
        m = cache.derived("sums by m", pairs, lambda: RowSums(pairs[..., 0], rows=p))
        n = cache.derived("sums by n", pairs, lambda: RowSums(pairs[..., 1], rows=p))
        of_pair = cache.derived("sums by pair", pairs, lambda: RowSums(pairs[..., 1] * p + pairs[..., 0], rows=p * p))
        dY, dV, dK, T = (xp.zeros((*dx.shape[:-2], *shape), dx.dtype)
                         for shape in ((p, d), (2 * p, d), (2 * p, d), (p * p, heads.heads)))
        (dV_1, dV_2), (dK_1, dK_2) = ((table[..., :p, :], table[..., p:, :]) for table in (dV, dK))

        n.add(dx, dY)
        to.W_O += o.mT @ dx + V_2.mT @ dY
        do = matmul(dx, heads.W_O.mT, out=cache.empty("do", dx.shape, like=dx))
        dA = xp.einsum("...hj,...hj->...h", self._by_head(do), self._by_head(v))
        dA *= A * (1 - A)
        of_pair.add(dA, T)
        dv_1 = do
        xp.multiply(self._by_head(do), A[..., None], out=self._by_head(dv_1))
        m.add(dv_1, dV_1)
        n.add(dv_1, dV_2)
        xp.subtract(dY @ heads.W_O.mT, dV_2, out=dV_2)

        T = xp.ascontiguousarray(xp.moveaxis(T.reshape(*T.shape[:-2], p, p, -1), -1, -3))  # (..., H, n, m)
        T *= heads.s
        t = T.sum(axis=-1, keepdims=True)
        dQ, dK_1[...], dK_2[...] = (rows.swapaxes(-3, -2).reshape(dY.shape)
                                    for rows in (T @ k_1 - t * k_2, T.mT @ q, -t * q))
        to.W_V += N.mT @ dV
        to.W_K += N.mT @ dK
        to.W_Q += N[..., p:, :].mT @ dQ
        dX = dV @ heads.W_V.mT
        dX += dK @ heads.W_K.mT
        dX[..., p:, :] += dQ @ heads.W_Q.mT
        if norm is not None:
            dX = norm.backward(dX, cache["attention"]["norm"], grads["attention"]["norm"])
        dX[..., p:, :] += dY
        for t in range(2):
            of_t = dX[..., t * p:(t + 1) * p, :]
            grads["tokens"].E += of_t
            grads["positions"].P[..., t:t + 1, :] += of_t.sum(axis=-2, keepdims=True)

    def _mlp(self):
        return (self.layers["mlp"].layers.get(name) for name in ("hidden", "output", "norm", "dropout"))

    def _transform(self, x, cache, mode):
        """x (..., D, d) -> x of the same shape, with what the MLP adds to it."""
        hidden, output, norm, dropout = self._mlp()
        y = cache.y = x if norm is None else norm.forward(x, cache["norm"], mode)
        a = cache.a = matmul(y, hidden.W, out=cache.empty("a", (*x.shape[:-1], hidden.W.shape[-1]), like=x))
        if dropout is not None:
            a = cache.a = dropout.forward(a, cache["dropout"], mode)
        cache.active = a > 0
        array_module(a).maximum(a, 0, out=a)
        added = matmul(a, output.W, out=cache.empty("x", x.shape, like=x))
        added += x
        return added

    def _transform_backward(self, dx, cache, grads):
        """Add to dx (..., D, d) what comes back through the MLP; adds to the gradients of its matrices and its norm."""
        hidden, output, norm, dropout = self._mlp()
        y, a = cache.y, cache.a
        grads["output"].W += matmul(a.mT, dx, out=cache.empty("dW_out", output.W.shape, like=dx))
        da = matmul(dx, output.W.mT, out=cache.empty("da", a.shape, like=dx))
        da *= cache.active
        if dropout is not None:
            da = dropout.backward(da, cache["dropout"], grads["dropout"])
        grads["hidden"].W += matmul(y.mT, da, out=cache.empty("dW_in", hidden.W.shape, like=dx))
        dy = matmul(da, hidden.W.mT, out=cache.empty("dy", dx.shape, like=dx))
        dx += dy if norm is None else norm.backward(dy, cache["norm"], grads["norm"])
