"""The one-layer transformer for pairs, in one piece: `Transformer` without what nobody reads.

The prediction is read from the last token alone, so only its query, its attention and its MLP matter. And what
attention reads of a token depends on nothing but the token and its position: keys, values and queries are projected
from tables of p rows, one for each position, before examples choose their rows. With the tables (norm is the identity
without LayerNorm)

    X_t = E + P_t        N_t = norm(X_t)        K_t = N_t W_K        V_t = N_t W_V        Q = N_2 W_Q

a pair (m, n) has the last token x_2 = X_2[n]. It attends to the first token and to itself, and the softmax over two
scores is a sigmoid of their difference. As the pairs are few, that difference has a table as well; and so has what each
head would write if it attended to one token alone, V W_O with the head's columns of V and rows of W_O. For each head

    S[n, m] = q_n (k_1m - k_2n)^T        A = sigmoid(s S[n, m])        M_t = V_t W_O

and the last token after attention is

    x = X_2[n] + sum over heads of A M_1[m] + (1 - A) M_2[n]

so that W_O multiplies p rows and not D. Backwards, where "by n" is the sum over the examples that chose the row n:

    dX_2 = dx by n           dM_1 = A dx by m           dM_2 = (1 - A) dx by n           dA = dx (M_1[m] - M_2[n])^T
    dV_t = dM_t W_O^T        dW_O = V_1^T dM_1 + V_2^T dM_2
    T = s A (1 - A) dA by (n, m), which is dL/dS        t_n = sum over m of T[n, m]
    dQ = T K_1 - t k_2       dK_1 = T^T Q               dK_2 = -t q

and from there the tables' gradients are those of Linear:

    dN_t = dV_t W_V^T + dK_t W_K^T (+ dQ W_Q^T for t = 2)           dW_V = N_1^T dV_1 + N_2^T dV_2 ...

The MLP's ReLU is written over what it reads, as nothing else does: max(h, 0) over h, dh over da.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from backend import Array, array_module, loop
from layers.base import EVALUATING, Cache
from layers.dropout import Dropout
from layers.transformer import TOKENS, Transformer
from products import matmul
from rows import RowIndex, RowSums, checked


class Tables(NamedTuple):
    """What the network computes from its parameters alone; of two tables X_1 and X_2 the second is below the first.

    Attributes
    ----------
    X : array (..., 2 p, d)
    M : array (..., 2 p, H, d)
    S : array (..., p p, H)
        The pair (m, n) is row n p + m.
    N : array (..., 2 p, d)
    k, v : array (..., H, 2 p, d_head)
    q : array (..., H, p, d_head)
    cache : Cache
        Of the norm.
    """

    X: Array
    M: Array
    S: Array
    N: Array
    k: Array
    v: Array
    q: Array
    cache: Cache


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
        self.row_size = max(4, heads) * width  # of the MLP, or of what the heads write
        self._rest = [name for name in ("norm", "unembedding", "scale") if name in self.layers]

    def prepare(self, pairs=None, mode=EVALUATING):
        """The tables of all pairs; see `Layer.prepare`."""
        E, P, block = self.layers["tokens"].E, self.layers["positions"].P, self.layers["attention"]
        heads, norm = block.layers["heads"], block.layers.get("norm")
        xp, p, cache = array_module(E), E.shape[-2], Cache()
        X = xp.concatenate([E + P[..., t:t + 1, :] for t in range(2)], axis=-2)
        N = X if norm is None else norm.forward(X, cache)
        k, v, q = (self._split(rows @ W) for rows, W in ((N, heads.W_K), (N, heads.W_V), (N[..., p:, :], heads.W_Q)))
        S = q @ k[..., :p, :].mT
        S -= (q * k[..., p:, :]).sum(axis=-1, keepdims=True)
        S = xp.moveaxis(S, -3, -1).reshape(*S.shape[:-3], p * p, -1)
        M = xp.ascontiguousarray((v @ self._by_head(heads.W_O)).swapaxes(-3, -2))
        return Tables(X, M, S, N, k, v, q, cache)

    def prepare_backward(self, prepared, gradients, grads):
        """Take the gradients of X, M and S back to E, P and the four matrices of attention; see `Layer.prepare`."""
        block = self.layers["attention"]
        heads, norm, to = block.layers["heads"], block.layers.get("norm"), grads["attention"]["heads"]
        N, k, v, q = prepared.N, prepared.k, prepared.v, prepared.q
        (dX, dM, T), xp, p = gradients, array_module(N), N.shape[-2] // 2
        dM = dM.swapaxes(-3, -2)  # (..., H, 2 p, d)
        dv = dM @ self._by_head(heads.W_O).mT
        to.W_O += (v.mT @ dM).reshape(to.W_O.shape)
        T = xp.ascontiguousarray(xp.moveaxis(T.reshape(*T.shape[:-2], p, p, -1), -1, -3))  # (..., H, n, m)
        T *= heads.s
        t = T.sum(axis=-1, keepdims=True)
        dq = T @ k[..., :p, :] - t * k[..., p:, :]
        dk = xp.concatenate([T.mT @ q, -t * q], axis=-2)
        dK, dV, dQ = (rows.swapaxes(-3, -2).reshape(*dX.shape[:-2], -1, dX.shape[-1]) for rows in (dk, dv, dq))
        to.W_V += N.mT @ dV
        to.W_K += N.mT @ dK
        to.W_Q += N[..., p:, :].mT @ dQ
        dN = dV @ heads.W_V.mT
        dN += dK @ heads.W_K.mT
        dN[..., p:, :] += dQ @ heads.W_Q.mT
        dX = dX + (dN if norm is None else norm.backward(dN, prepared.cache, grads["attention"]["norm"]))
        for t in range(2):
            of_t = dX[..., t * p:(t + 1) * p, :]
            grads["tokens"].E += of_t
            dP = grads["positions"].P[..., t:t + 1, :]
            dP += of_t.sum(axis=-2, keepdims=True)  # of a slice as it stands, CuPy would make copies

    def forward(self, pairs, cache, mode=EVALUATING):
        """pairs (D, 2) or (..., D, 2), integers -> logits (..., D, p)."""
        cache.tables = cache.prepared or self.prepare()
        x = self._attend(pairs, cache)
        x = self._transform(x, cache["mlp"], mode)
        for name in self._rest:
            x = self.layers[name].forward(x, cache[name], mode)
        return x

    def backward(self, dz, cache, grads):
        """dz (..., D, p) -> None, or the gradients of `cache.prepared`; adds to those of the parameters."""
        for name in reversed(self._rest):
            dz = self.layers[name].backward(dz, cache[name], grads[name])
        self._transform_backward(dz, cache["mlp"], grads["mlp"])
        gradients = self._attend_backward(dz, cache)
        if cache.prepared:
            return gradients
        return self.prepare_backward(cache.tables, gradients, grads)

    def _split(self, rows):
        """(..., D, d) -> (..., H, D, d_head), a view."""
        heads = self.layers["attention"].layers["heads"].heads
        return rows.reshape(*rows.shape[:-1], heads, -1).swapaxes(-3, -2)

    def _by_head(self, W_O):
        """(..., d, d) -> (..., H, d_head, d): the rows that each head's output is multiplied with, a view."""
        return W_O.reshape(*W_O.shape[:-2], self.layers["attention"].layers["heads"].heads, -1, W_O.shape[-1])

    def _attend(self, pairs, cache):
        """pairs (..., D, 2) -> x (..., D, d), the last token after attention."""
        X, M, S = cache.tables[:3]
        A = cache.A = cache.empty("A", (*S.shape[:-2], pairs.shape[-2], S.shape[-1]), like=S)
        x = cache.empty("x", (*A.shape[:-1], X.shape[-1]), like=X)
        cache.pairs = pairs
        if attend.runs_on(x):
            attend(X, M, S, pairs, self.layers["attention"].layers["heads"].s, A, x)
        else:
            self._attend_by_arrays(X, M, S, pairs, A, x, cache)
        return x

    def _attend_by_arrays(self, X, M, S, pairs, A, x, cache):
        """What `attend` does."""
        xp, p, s = array_module(X), X.shape[-2] // 2, self.layers["attention"].layers["heads"].s
        m = cache.derived("m", pairs, lambda: RowIndex(checked(pairs, p)[..., 0], X))
        n = cache.derived("n", pairs, lambda: RowIndex(p + pairs[..., 1], X))
        cache.derived("of pair", pairs, lambda: RowIndex(pairs[..., 1] * p + pairs[..., 0], S)).take(S, out=A)
        A *= s / 2
        xp.tanh(A, out=A)
        A += 1
        A /= 2  # the sigmoid, without an exponential that could overflow
        shape, M_of_row = (*A.shape, X.shape[-1]), M.reshape(*X.shape[:-1], -1)
        M_1, M_2 = (of.take(M_of_row, out=cache.empty(name, shape, like=x)) for name, of in (("M_1", m), ("M_2", n)))
        difference = cache.difference = xp.subtract(M_1, M_2, out=M_1)
        n.take(X, out=x)
        x += M_2.sum(axis=-2)
        x += xp.multiply(difference, A[..., None], out=M_2).sum(axis=-2)

    def _attend_backward(self, dx, cache):
        """dx (..., D, d) -> the gradients of X and M, and A (1 - A) dA by pair."""
        pairs, A, (X, M, S) = cache.pairs, cache.A, cache.tables[:3]
        dX, dM, T = (array_module(dx).zeros_like(table) for table in (X, M, S))
        if attend_backward.runs_on(dx):
            attend_backward(M, pairs, A, dx, dX, dM, T)
        else:
            self._attend_backward_by_arrays(pairs, A, dx, dX, dM, T, cache)
        return dX, dM, T

    def _attend_backward_by_arrays(self, pairs, A, dx, dX, dM, T, cache):
        """What `attend_backward` does."""
        xp, (t, p) = array_module(dx), (dX.shape[-2], dX.shape[-2] // 2)
        m = cache.derived("sums by m", pairs, lambda: RowSums(pairs[..., 0], rows=t))
        n = cache.derived("sums by n", pairs, lambda: RowSums(p + pairs[..., 1], rows=t))
        of_pair = cache.derived("sums by pair", pairs, lambda: RowSums(pairs[..., 1] * p + pairs[..., 0], rows=p * p))
        dA = xp.einsum("...k,...hk->...h", dx, cache.difference)
        dA *= A * (1 - A)
        of_pair.add(dA, T)
        n.add(dx, dX)
        # The rows of all heads, side by side.
        rows, dx = (*dx.shape[:-1], -1), dx[..., None, :]
        to_first = xp.multiply(dx, A[..., None], out=cache.difference)
        dM_of_row = dM.reshape(*dX.shape[:-1], -1)
        m.add(to_first.reshape(rows), dM_of_row)
        n.add(xp.subtract(dx, to_first, out=to_first).reshape(rows), dM_of_row)

    def _mlp(self):
        return (self.layers["mlp"].layers.get(name) for name in ("hidden", "output", "norm", "dropout"))

    def _transform(self, x, cache, mode):
        """x (..., D, d) -> x of the same shape, with what the MLP adds to it."""
        hidden, output, norm, dropout = self._mlp()
        y = cache.y = x if norm is None else norm.forward(x, cache["norm"], mode)
        a = cache.a = matmul(y, hidden.W, out=cache.empty("a", (*x.shape[:-1], hidden.W.shape[-1]), like=x))
        if dropout is not None:
            a = cache.a = dropout.forward(a, cache["dropout"], mode)
        xp = array_module(a)
        if rectify.runs_on(a):
            cache.active = xp.empty(a.shape, bool)
            rectify(a, cache.active)
        else:
            cache.active = a > 0
            xp.maximum(a, 0, out=a)
        added = matmul(a, output.W, out=cache.empty("x", x.shape, like=x))
        added += x
        return added

    def _transform_backward(self, dx, cache, grads):
        """Add to dx (..., D, d) what comes back through the MLP; adds to the gradients of its matrices and its norm."""
        hidden, output, norm, dropout = self._mlp()
        y, a = cache.y, cache.a
        grads["output"].W += matmul(a.mT, dx, out=cache.empty("dW_out", output.W.shape, like=dx))
        da = matmul(dx, output.W.mT, out=cache.empty("da", a.shape, like=dx))
        if silence.runs_on(da):
            silence(cache.active, da)
        else:
            da *= cache.active
        if dropout is not None:
            da = dropout.backward(da, cache["dropout"], grads["dropout"])
        grads["hidden"].W += matmul(y.mT, da, out=cache.empty("dW_in", hidden.W.shape, like=dx))
        dy = matmul(da, hidden.W.mT, out=cache.empty("dy", dx.shape, like=dx))
        dx += dy if norm is None else norm.backward(dy, cache["norm"], grads["norm"])


@loop("t d, t H d, q H, D 2, , D H, D d")
def attend(X, M, S, pairs, s, A, x):
    """x_d = X_2[n] + sum over heads of A M_1[m] + (1 - A) M_2[n] for each example d, a pair (m, n)."""
    p, (D, H) = len(X) // 2, A.shape
    for d in range(D):
        m, n = pairs[d]
        if not (0 <= m < p and 0 <= n < p):
            raise IndexError("a pair has a number outside of [0, p)")
        for k in range(x.shape[1]):
            x[d, k] = X[p + n, k]
        for h in range(H):
            A[d, h] = 1 / (1 + math.exp(-s * S[n * p + m, h]))
            a = A[d, h]  # of the array's type, as all that follows
            for k in range(x.shape[1]):
                x[d, k] += M[p + n, h, k] + a * (M[m, h, k] - M[p + n, h, k])


@loop("t H d, D 2, D H, D d, t d, t H d, q H")
def attend_backward(M, pairs, A, dx, dX, dM, T):
    """Add to dX_2, to dM_1 and dM_2, and A (1 - A) dA to T."""
    p, (D, H) = len(M) // 2, A.shape
    for d in range(D):
        m, n = pairs[d]
        for k in range(dx.shape[1]):
            dX[p + n, k] += dx[d, k]
        for h in range(H):
            a, dA = A[d, h], dx.dtype.type(0)
            for k in range(dx.shape[1]):
                dA += dx[d, k] * (M[m, h, k] - M[p + n, h, k])
            T[n * p + m, h] += a * (1 - a) * dA
            # One row of dM at a time: the compiler cannot know that two of them are not the same.
            for k in range(dx.shape[1]):
                dM[m, h, k] += a * dx[d, k]
            for k in range(dx.shape[1]):
                dM[p + n, h, k] += dx[d, k] - a * dx[d, k]


@loop("D N, D N")
def rectify(a, active):
    """max(a, 0) over a, and whether a > 0."""
    D, N = a.shape
    for d in range(D):
        for k in range(N):
            active[d, k] = a[d, k] > 0
            if a[d, k] < 0:  # what is not a number stays so
                a[d, k] = 0


@loop("D N, D N")
def silence(active, da):
    """0 over da where a is not active."""
    D, N = da.shape
    for d in range(D):
        for k in range(N):
            if not active[d, k]:
                da[d, k] = 0
