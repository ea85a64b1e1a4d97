"""The two-layer network with the square, in one piece: what `TwoLayerNetwork` computes, in fewer passes over memory.

With h = U e_m + V e_n, a row for each example d, and a = h^2, the logits are z = a W. Backwards:

    dW = a^T dz
    da = dz W^T                    dh = 2 h * da
    dL/dU_ik = sum over d with m_d = i of dh_dk         (V likewise)

The layers of a chain know nothing of each other, and each leaves its input and its output as they are. Knowing that
this is all there is,

  - da is written over a, once dW has been taken from it;
  - h is read again from U and V, which stay in the processor's cache, instead of from memory, and neither h nor dh is
    ever stored: `square_of_pair` and `square_of_pair_backward` are what happens to one number.

So a is the only array (D, N), but for a mask: with dropout h stands for h * mask, and dh is multiplied by it as well.
On a GPU two kernels do this to each number, but dh is stored, in the place of da, and then summed up (`rows.RowSums`).
On a CPU without Numba these are operations on whole arrays, and h is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import Kernel, array_module, loop
from layers.base import EVALUATING
from layers.two_layer import TwoLayerNetwork
from products import matmul
from rows import RowIndex, RowSums, take_pair


class FusedTwoLayer(TwoLayerNetwork):
    """`TwoLayerNetwork` with the square, without BatchNorm; the same parameters under the same names.

    Parameters
    ----------
    p : int
        The modulus.
    width : int
        N, the number of hidden neurons.
    dropout : float, or sequence of R floats
        The rate; 0 leaves the layer out.
    """

    def __init__(self, p: int, width: int, dropout: float | Sequence[float] = 0.0):
        super().__init__(p, width, dropout=dropout)

    def forward(self, pairs, cache, mode=EVALUATING):
        """pairs (D, 2) or (..., D, 2), integers -> logits (..., D, p)."""
        U, V, W = self._weights()
        a = cache.empty("a", (*U.shape[:-2], pairs.shape[-2], U.shape[-1]), like=U)
        mask = self.layers["dropout"].draw(a, cache["dropout"], mode) if "dropout" in self.layers else None
        if square_of_pair.runs_on(a):
            mask = np.ones((1, a.shape[-1]), a.dtype) if mask is None else mask
            square_of_pair(U, V, pairs, mask, a)
        elif array_module(a) is not np:
            self._of_pairs(SQUARE_OF_PAIR, pairs, mask, a, cache)
        else:
            m, n = self._rows_read(pairs, cache)
            h = cache.h = take_pair(m, U, n, V, out=cache.empty("h", a.shape, like=a), workspace=a)
            if mask is not None:
                h *= mask
            np.multiply(h, h, out=a)
        cache.pairs, cache.a, cache.mask = pairs, a, mask
        return matmul(a, W, out=cache.empty("z", (*a.shape[:-1], W.shape[-1]), like=a))

    def backward(self, dz, cache, grads):
        """dz (..., D, p) -> None; adds to the gradients of U, V and W. Once for each forward pass, whose a it takes."""
        U, V, W = self._weights()
        pairs, a, of_tables = cache.pairs, cache.a, grads["embedding"]
        grads["output"].W += matmul(a.mT, dz, out=cache.empty("dW", W.shape, like=dz))
        da = matmul(dz, W.mT, out=a)
        if square_of_pair_backward.runs_on(da):
            square_of_pair_backward(U, V, pairs, cache.mask, da, of_tables.U, of_tables.V)
            return
        dh = da
        if array_module(dh) is not np:
            self._of_pairs(SQUARE_OF_PAIR_BACKWARD, pairs, cache.mask, dh, cache)
        else:
            dh *= 2
            dh *= cache.h
            if cache.mask is not None:
                dh *= cache.mask
        sums = cache.derived("sums", pairs, lambda: RowSums(pairs[..., 0], pairs[..., 1], rows=U.shape[-2]))
        sums.add(dh, of_tables.U, of_tables.V)

    def _of_pairs(self, kernel, pairs, mask, out, cache):
        """Have a kernel go through out (..., D, N), with the rows of U and V that each example reads."""
        (m, n), (U, V, _), N = self._rows_read(pairs, cache), self._weights(), out.shape[-1]
        mask = 1.0 if mask is None else mask.reshape(-1, N)
        kernel(U.reshape(-1), V.reshape(-1), m.flat[:, None], n.flat[:, None], m.columns, N, mask, out.reshape(-1, N))

    def _rows_read(self, pairs, cache):
        U, V, _ = self._weights()
        return (cache.derived("m", pairs, lambda: RowIndex(pairs[..., 0], U)),
                cache.derived("n", pairs, lambda: RowIndex(pairs[..., 1], V)))

    def _weights(self):
        embedding = self.layers["embedding"]
        return embedding.U, embedding.V, self.layers["output"].W


@loop("p N, p N, D 2, rows N, D N")
def square_of_pair(U, V, pairs, mask, a):
    """a_dk = h_dk^2 with h_dk = (U_mk + V_nk) mask_dk for each example d, a pair (m, n). One row may be all masks."""
    D, N = a.shape
    for d in range(D):
        m, n = pairs[d]
        if not (0 <= m < len(U) and 0 <= n < len(V)):
            raise IndexError("a pair has a number outside of [0, p)")
        row = d % len(mask)
        for k in range(N):
            h = (U[m, k] + V[n, k]) * mask[row, k]
            a[d, k] = h * h


@loop("p N, p N, D 2, rows N, D N, p N, p N")
def square_of_pair_backward(U, V, pairs, mask, da, dU, dV):
    """Add dh_dk = 2 h_dk da_dk mask_dk to dU_mk and to dV_nk."""
    D, N = da.shape
    for d in range(D):
        m, n = pairs[d]
        row = d % len(mask)
        for k in range(N):
            h = (U[m, k] + V[n, k]) * mask[row, k]
            dh = (h + h) * da[d, k] * mask[row, k]  # a 2 would be an integer, and make this float64
            dU[m, k] += dh
            dV[n, k] += dh


_PAIR = "raw T U, raw T V, int64 m_d, int64 n_d, int64 column, int64 width, T mask"

SQUARE_OF_PAIR = Kernel("square_of_pair", _PAIR, "T a", """
    T h = (U[m_d * width + column] + V[n_d * width + column]) * mask;
    a = h * h;
""")

SQUARE_OF_PAIR_BACKWARD = Kernel("square_of_pair_backward", _PAIR, "T dh", """
    T h = (U[m_d * width + column] + V[n_d * width + column]) * mask;
    dh *= 2 * h * mask;  // from da
""")
