"""The two-layer network with the square, in one piece: what `TwoLayerNetwork` computes, in fewer passes over memory.

With h = U e_m + V e_n, a row for each example d, and a = h^2, the logits are z = a W. Backwards:

    dW = a^T dz
    da = dz W^T                    dh = 2 h * da = h * (2 dz) W^T
    dL/dU_ik = sum over d with m_d = i of dh_dk         (V likewise)

The layers of a chain know nothing of each other, and each leaves its input and its output as they are. Knowing that
this is all there is,

  - da is written over a, once dW has been taken from it;
  - the factor 2 goes to dz, an array (D, p), instead of dh;
  - h is read again from U and V, which stay in the processor's cache, instead of from memory, and neither h nor dh is
    ever stored: `square_of_pair` and `square_of_pair_backward` are what happens to one number.

So a is the only array (D, N), but for a mask: with dropout h stands for h * mask, and dh is multiplied by it as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend import array_module, loop
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
        else:
            m = cache.derived("m", pairs, lambda: RowIndex(pairs[..., 0], U))
            n = cache.derived("n", pairs, lambda: RowIndex(pairs[..., 1], V))
            h = cache.h = take_pair(m, U, n, V, out=cache.empty("h", a.shape, like=a), workspace=a)
            if mask is not None:
                h *= mask
            array_module(h).multiply(h, h, out=a)
        cache.pairs, cache.a, cache.mask = pairs, a, mask
        return matmul(a, W, out=cache.empty("z", (*a.shape[:-1], W.shape[-1]), like=a))

    def backward(self, dz, cache, grads):
        """dz (..., D, p) -> None; adds to the gradients of U, V and W. Once for each forward pass, whose a it takes."""
        U, V, W = self._weights()
        xp, pairs, a, of_tables = array_module(dz), cache.pairs, cache.a, grads["embedding"]
        grads["output"].W += matmul(a.mT, dz, out=cache.empty("dW", W.shape, like=dz))
        dz = xp.multiply(dz, 2, out=cache.empty("2 dz", dz.shape, like=dz))
        twice_da = matmul(dz, W.mT, out=a)
        if square_of_pair_backward.runs_on(twice_da):
            square_of_pair_backward(U, V, pairs, cache.mask, twice_da, of_tables.U, of_tables.V)
        else:
            dh = xp.multiply(twice_da, cache.h, out=twice_da)
            if cache.mask is not None:
                dh *= cache.mask
            sums = cache.derived("sums", pairs, lambda: RowSums(pairs[..., 0], pairs[..., 1], rows=U.shape[-2]))
            sums.add(dh, of_tables.U, of_tables.V)

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
def square_of_pair_backward(U, V, pairs, mask, twice_da, dU, dV):
    """Add h_dk 2 da_dk mask_dk to dU_mk and to dV_nk."""
    D, N = twice_da.shape
    for d in range(D):
        m, n = pairs[d]
        row = d % len(mask)
        for k in range(N):
            h = (U[m, k] + V[n, k]) * mask[row, k]
            dh = h * twice_da[d, k] * mask[row, k]
            dU[m, k] += dh
            dV[n, k] += dh
