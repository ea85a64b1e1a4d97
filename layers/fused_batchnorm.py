"""The two-layer network with the square and BatchNorm, in one piece: its output layer takes the norm in.

What BatchNorm does to a = h^2, with h = U e_m + V e_n, is linear once the statistics mu and v of the batch are known.
So it can be done to the rows of W, of which there are N, instead of those of a, of which there are D. With
r = 1 / sqrt(v + eps) and g = gamma r,

    y = g (a - mu) + beta        z = y W = a W' + c        W' = g W (row by row)        c = (beta - g mu) W

Two loops over the tables give mu and v, and no array (D, N) is written but a. Backwards, with s = sum_d dz_d,

    dW' = a^T dz                 dW = g dW' + (beta - g mu)^T s                         d(beta - g mu) = s W^T = dbeta
    da  = dz W'^T                dg = sum over the columns of dW' W, less mu dbeta      dgamma = r dg

and, as mu and v depend on all rows,

    dmu = -g dbeta               dv = -r^3/2 gamma dg               da_d <- da_d + dmu / D + 2 dv (a_d - mu) / D

The last line needs dW' and s of the whole batch. But da is read only in sums of dh = 2 h da, and what it adds to them
does not depend on dz: dh_d = h_d (alpha + kappa h_d^2), with two numbers for each neuron, added by a loop of its own.

So a batch may be cut into chunks between the loops (`Layer.prepare`). In evaluation mu and v are the running averages.

References
----------
Ioffe, Szegedy (arXiv 1502.03167), algorithm 1; after the activation as in Doshi et al., eq. 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backend import Array, loop
from layers.base import EVALUATING
from layers.fused_two_layer import square_of_pair, square_of_pair_backward
from layers.two_layer import TwoLayerNetwork
from products import matmul


class Folded(NamedTuple):
    """The statistics of a batch, and the output layer with the norm in it.

    Attributes
    ----------
    pairs : array (..., D, 2), or None in evaluation
    mu, r, g : array (..., 1, N)
    W : array (..., N, p)
        W'.
    c : array (..., 1, p)
    """

    pairs: Array | None
    mu: Array
    r: Array
    g: Array
    W: Array
    c: Array


class FusedBatchNorm(TwoLayerNetwork):
    """`TwoLayerNetwork` with the square and BatchNorm; the same parameters under the same names.

    Where its loops do not run (on a GPU, or without Numba) it is that network.

    Parameters
    ----------
    p : int
        The modulus.
    width : int
        N, the number of hidden neurons.
    """

    def __init__(self, p: int, width: int):
        super().__init__(p, width, batch_norm=True)

    @property
    def couples_rows(self):
        """Whether a batch cannot be cut into chunks: where the loops do not run."""
        return not self._has_loops()

    def prepare(self, pairs, mode=EVALUATING):
        """The statistics of a batch (..., D, 2), or in evaluation the running ones, and what follows from them."""
        if not self._has_loops():
            return None
        embedding, norm, W = self.layers["embedding"], self.layers["norm"], self.layers["output"].W
        mu, v = norm.running_mean, norm.running_var
        if mode.training:
            mu, v = np.empty_like(mu), np.empty_like(v)
            statistics(embedding.U, embedding.V, pairs, mu, v)
            norm.follow(mu, v, pairs.shape[-2])
        r = 1 / np.sqrt(v + norm.eps)
        g = norm.gamma * r
        return Folded(pairs if mode.training else None, mu, r, g, g.mT * W, (norm.beta - g * mu) @ W)

    def prepare_backward(self, prepared, gradients, grads):
        """Take the gradients of W' and c back to W, gamma, beta, and through the statistics to U and V."""
        (dW, s), (pairs, mu, r, g, *_) = gradients, prepared
        embedding, norm, W = self.layers["embedding"], self.layers["norm"], self.layers["output"].W
        grads["output"].W += g.mT * dW + (norm.beta - g * mu).mT @ s
        dbeta = s @ W.mT
        dg = (dW * W).sum(axis=-1, keepdims=True).mT - mu * dbeta
        grads["norm"].beta += dbeta
        grads["norm"].gamma += r * dg
        if pairs is None:
            return
        D, dmu, dv = pairs.shape[-2], -g * dbeta, r ** 2 / -2 * g * dg  # r^3 gamma = r^2 g
        # dh = 2 h (dmu + 2 dv (h^2 - mu)) / D
        statistics_backward(embedding.U, embedding.V, pairs, 2 * (dmu - 2 * mu * dv) / D, 4 * dv / D,
                            grads["embedding"].U, grads["embedding"].V)

    def forward(self, pairs, cache, mode=EVALUATING):
        """pairs (D, 2) or (..., D, 2), integers -> logits (..., D, p)."""
        if not self._has_loops():
            return super().forward(pairs, cache, mode)
        embedding = self.layers["embedding"]
        folded = cache.folded = cache.prepared or self.prepare(pairs, mode)
        a = cache.a = cache.empty("a", (*embedding.U.shape[:-2], pairs.shape[-2], self.row_size), like=embedding.U)
        mask = np.ones((1, a.shape[-1]), a.dtype)
        square_of_pair(embedding.U, embedding.V, pairs, mask, a)
        cache.pairs, cache.mask = pairs, mask
        z = matmul(a, folded.W, out=cache.empty("z", (*a.shape[:-1], folded.W.shape[-1]), like=a))
        z += folded.c
        return z

    def backward(self, dz, cache, grads):
        """dz (..., D, p) -> None, or the gradients of `cache.prepared`. Once for a forward pass, whose a it takes."""
        if not self._has_loops():
            return super().backward(dz, cache, grads)
        embedding, a = self.layers["embedding"], cache.a
        gradients = a.mT @ dz, dz.sum(axis=-2, keepdims=True)
        da = matmul(dz, cache.folded.W.mT, out=a)
        square_of_pair_backward(embedding.U, embedding.V, cache.pairs, cache.mask, da,
                                grads["embedding"].U, grads["embedding"].V)
        if cache.prepared:
            return gradients
        return self.prepare_backward(cache.folded, gradients, grads)

    def _has_loops(self):
        return statistics.runs_on(self.layers["output"].W)


@loop("p N, p N, D 2, one N, one N")
def statistics(U, V, pairs, mu, v):
    """mu_k, the mean of a_dk = (U_mk + V_nk)^2 over the examples d, and v_k, that of (a_dk - mu_k)^2."""
    (D, _), N = pairs.shape, U.shape[1]
    mu[:] = 0
    v[:] = 0
    for d in range(D):
        m, n = pairs[d]
        if not (0 <= m < len(U) and 0 <= n < len(V)):
            raise IndexError("a pair has a number outside of [0, p)")
        for k in range(N):
            h = U[m, k] + V[n, k]
            mu[0, k] += h * h
    mu /= D
    for d in range(D):
        m, n = pairs[d]
        for k in range(N):
            h = U[m, k] + V[n, k]
            v[0, k] += (h * h - mu[0, k]) ** 2
    v /= D


@loop("p N, p N, D 2, one N, one N, p N, p N")
def statistics_backward(U, V, pairs, alpha, kappa, dU, dV):
    """Add dh_dk = h_dk (alpha_k + kappa_k h_dk^2), with h_dk = U_mk + V_nk, to dU_mk and to dV_nk."""
    for d in range(len(pairs)):
        m, n = pairs[d]
        for k in range(U.shape[1]):
            h = U[m, k] + V[n, k]
            dh = h * (alpha[0, k] + kappa[0, k] * h * h)
            dU[m, k] += dh
            dV[n, k] += dh
