"""The two-layer network with the square, in one piece: what `TwoLayerNetwork` computes, in fewer passes over memory.

With h = U e_m + V e_n, a row for each example d, and a = h^2, the logits are z = a W. Backwards:

    dW = a^T dz
    da = dz W^T                    dh = 2 h * da = h * (2 dz) W^T
    dL/dU_ik = sum over d with m_d = i of dh_dk         (V likewise)

The layers of a chain know nothing of each other, and each leaves its input and its output as they are. Knowing that
this is all there is,

  - dh is written over a, once dW has been taken from it: two arrays (D, N) stay in the processor's cache, not four;
  - the factor 2 goes to dz, an array (D, p), instead of dh;
  - nothing else touches an array (D, N) but the products, the gathering of rows and their sum.

With dropout h stands for h * mask, and dh is multiplied by the mask at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from backend import array_module
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
        m = cache.derived("m", pairs, lambda: RowIndex(pairs[..., 0], U))
        n = cache.derived("n", pairs, lambda: RowIndex(pairs[..., 1], V))
        shape = (*m.shape, U.shape[-1])
        h, a = (cache.empty(name, shape, like=U) for name in ("h", "a"))
        take_pair(m, U, n, V, out=h, workspace=a)
        if "dropout" in self.layers:
            h = self.layers["dropout"].forward(h, cache["dropout"], mode)
        array_module(h).multiply(h, h, out=a)
        cache.pairs, cache.h, cache.a = pairs, h, a
        return matmul(a, W, out=cache.empty("z", (*h.shape[:-1], W.shape[-1]), like=h))

    def backward(self, dz, cache, grads):
        """dz (..., D, p) -> None; adds to the gradients of U, V and W. Once for each forward pass, whose a it takes."""
        U, _, W = self._weights()
        xp, pairs, h, a = array_module(dz), cache.pairs, cache.h, cache.a
        grads["output"].W += matmul(a.mT, dz, out=cache.empty("dW", W.shape, like=dz))
        dz = xp.multiply(dz, 2, out=cache.empty("2 dz", dz.shape, like=dz))
        dh = matmul(dz, W.mT, out=a)
        dh *= h
        if "dropout" in self.layers:
            dh = self.layers["dropout"].backward(dh, cache["dropout"], grads["dropout"])
        sums = cache.derived("sums", pairs, lambda: RowSums(pairs[..., 0], pairs[..., 1], rows=U.shape[-2]))
        sums.add(dh, grads["embedding"].U, grads["embedding"].V)

    def _weights(self):
        embedding = self.layers["embedding"]
        return embedding.U, embedding.V, self.layers["output"].W
