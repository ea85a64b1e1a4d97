"""Embeddings: rows of tables, chosen by integers.

A pair (m, n) of residues enters the two-layer network as (Doshi et al., eq. 1)

    h = U e_m + V e_n              h_dk = U[m_d, k] + V[n_d, k]

with e_m the m-th unit vector: a product with a one-hot vector is a choice of a row. The example d touches row m_d of U
and no other, so the gradient of a row is the sum over the examples that chose it:

    dL/dU_ik = sum over d with m_d = i of dL/dh_dk         (and V likewise, with n_d)

The tables hold the paper's matrices transposed: a row is a residue, a column a neuron. Integers have no gradient.

In the transformer the tokens t = 1..T of an example become T rows, to which each position adds a vector of its own:

    y_(d,t) = E[x_dt]              z_(d,t) = y_(d,t) + P[t]

Since every example has every position, dL/dP_t is the sum of dL/dz_(d,t) over all examples d.
"""

from __future__ import annotations

from backend import array_module
from layers.base import EVALUATING, Layer, Parameter
from layers.initial import Initial, normal
from rows import RowIndex, RowSums, take_pair


class PairEmbedding(Layer):
    """h = U e_m + V e_n.

    Parameters
    ----------
    p : int
        The number of residues: the rows of each table.
    width : int
        N, the number of neurons: the columns.
    initial : Initial, optional
        Draws both tables, by default from N(0, 1/p).
    """

    def __init__(self, p: int, width: int, initial: Initial | None = None):
        super().__init__()
        for name in ("U", "V"):
            self.parameters[name] = Parameter((p, width), initial or normal(p ** -0.5))

    def forward(self, pairs, cache, mode=EVALUATING):
        """pairs (D, 2) or (..., D, 2), integers -> h (..., D, N)."""
        m = cache.derived("m", pairs, lambda: RowIndex(pairs[..., 0], self.U))
        n = cache.derived("n", pairs, lambda: RowIndex(pairs[..., 1], self.V))
        cache.pairs = pairs
        shape = (*m.shape, self.U.shape[-1])
        return take_pair(m, self.U, n, self.V, out=cache.empty("h", shape, like=self.U),
                         workspace=cache.empty("V e_n", shape, like=self.V))

    def backward(self, dh, cache, grads):
        """dh (..., D, N) -> None; adds to grads.U and grads.V."""
        pairs, p = cache.pairs, self.U.shape[-2]
        sums = cache.derived("sums", pairs, lambda: RowSums(pairs[..., 0], pairs[..., 1], rows=p))
        sums.add(dh, grads.U, grads.V)


class TokenEmbedding(Layer):
    """y_(d,t) = E[x_dt]: T tokens an example become T rows.

    Parameters
    ----------
    tokens : int
        The size of the vocabulary.
    width : int
        d, the features of a row.
    initial : Initial, optional
        Draws E, by default from N(0, 1).
    """

    def __init__(self, tokens: int, width: int, initial: Initial | None = None):
        super().__init__()
        self.parameters["E"] = Parameter((tokens, width), initial or normal(1))

    def forward(self, x, cache, mode=EVALUATING):
        """x (D, T) or (..., D, T), integers -> y (..., D T, d)."""
        cache.x = x
        index = cache.derived("index", x, lambda: RowIndex(x.reshape(*x.shape[:-2], -1), self.E))
        return index.take(self.E, out=cache.empty("y", (*index.shape, self.E.shape[-1]), like=self.E))

    def backward(self, dy, cache, grads):
        """dy (..., D T, d) -> None; adds to grads.E."""
        x, tokens = cache.x, self.E.shape[-2]
        sums = cache.derived("sums", x, lambda: RowSums(x.reshape(*x.shape[:-2], -1), rows=tokens))
        sums.add(dy, grads.E)


class PositionEmbedding(Layer):
    """z_(d,t) = y_(d,t) + P[t].

    Parameters
    ----------
    positions : int
        T, the tokens of an example.
    width : int
        d, the features of a row.
    initial : Initial, optional
        Draws P, by default from N(0, 1).
    """

    def __init__(self, positions: int, width: int, initial: Initial | None = None):
        super().__init__()
        self.parameters["P"] = Parameter((positions, width), initial or normal(1))

    def _unfold(self, rows):
        """(..., D T, d) -> (..., D, T, d), a view."""
        positions, width = self.P.shape[-2:]
        return rows.reshape(*rows.shape[:-2], -1, positions, width)

    def forward(self, y, cache, mode=EVALUATING):
        """y (..., D T, d) -> z of the same shape."""
        z = cache.empty("z", y.shape, like=y)
        array_module(y).add(self._unfold(y), self.P[..., None, :, :], out=self._unfold(z))
        return z

    def backward(self, dz, cache, grads):
        """dz (..., D T, d) -> dy of the same shape; adds to grads.P."""
        grads.P += self._unfold(dz).sum(axis=-3)
        return dz
