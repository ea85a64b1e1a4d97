"""Wrong backward passes, planted on purpose: would the gradient check see them?

Each class is a layer with one mistake in its backward pass, of the kind that one makes when deriving or typing it; its
docstring says which, and what would be right. Read it beside the right one; the forward pass is inherited and right (of
all but one, whose mistake is what the two passes share). `python -m layers.gradcheck --plant NAME` puts it in the place
of the right one.

Many of them would train: the loss goes down all the same, only slower or to somewhere else. That is why one checks.
"""

# What is wrong stands in the class's docstring.
# ruff: noqa: D102

from __future__ import annotations

from copy import copy
from types import SimpleNamespace
from typing import NamedTuple

from backend import array_module
from layers.attention import Attention
from layers.base import EVALUATING
from layers.batchnorm import BatchNorm
from layers.chain import Chain, Residual
from layers.cross_entropy import CrossEntropy
from layers.dropout import Dropout
from layers.embedding import PairEmbedding, PositionEmbedding, TokenEmbedding
from layers.gelu import GELU, A, C
from layers.layernorm import LayerNorm
from layers.linear import Linear
from layers.lstm import LSTM
from layers.mean_squared_error import MeanSquaredError
from layers.relu import ReLU
from layers.scale import Scale
from layers.square import Square
from layers.tokens import LastToken
from rows import RowIndex


class LinearWeightsTransposed(Linear):
    """The product is the wrong way round: dW = dy^T x instead of x^T dy. It runs where n_in = n_out."""

    def backward(self, dy, cache, grads):
        grads.W += dy.mT @ cache.x
        return dy @ self.W.mT


class LinearInputNotTransposed(Linear):
    """The transpose is forgotten: dx = dy W instead of dy W^T. It runs where n_in = n_out."""

    def backward(self, dy, cache, grads):
        grads.W += cache.x.mT @ dy
        return dy @ self.W


class LinearBiasForgotten(Linear):
    """The bias gets no gradient: db = 0 instead of the sum of dy over rows."""

    def backward(self, dy, cache, grads):
        grads.W += cache.x.mT @ dy
        return dy @ self.W.mT


class LinearStateOnSelf(Linear):
    """x is kept in the layer instead of the cache: right, unless other rows come by before the backward pass."""

    def forward(self, x, cache, mode=EVALUATING):
        self.x = x
        return super().forward(x, cache, mode)

    def backward(self, dy, cache, grads):
        grads.W += self.x.mT @ dy
        return dy @ self.W.mT


class SquareFactorForgotten(Square):
    """The exponent is not brought down: dx = x dy instead of 2 x dy."""

    def backward(self, dy, cache, grads):
        return dy * cache.x


class SquareInFloat32(Square):
    """dx is rounded to float32 on the way. It is off by 2e-8, and so are all gradients before it: too little to see."""

    def backward(self, dy, cache, grads):
        return super().backward(dy, cache, grads).astype("float32")


class ReLUMaskForgotten(ReLU):
    """The gradient passes everywhere: dx = dy instead of dy where x > 0."""

    def backward(self, dy, cache, grads):
        return dy.copy()


class ReLUMaskOfGradient(ReLU):
    """The wrong sign is asked: dx = dy where dy > 0 instead of where x > 0."""

    def backward(self, dy, cache, grads):
        return dy * (dy > 0)


class ReLUInPlace(ReLU):
    """dx is written over dy, which belongs to the caller: a Residual around it still needs its dy."""

    def backward(self, dy, cache, grads):
        dy *= cache.active
        return dy


class GELUProductRule(GELU):
    """Half of the product rule: dy/dx = (1 + t) / 2, without x t' / 2."""

    def backward(self, dy, cache, grads):
        return dy * 0.5 * (1 + cache.t)


class GELUChainRule(GELU):
    """The inner derivative is forgotten: t' = 1 - t^2 instead of (1 - t^2) du/dx, du/dx = c (1 + 3 a x^2)."""

    def backward(self, dy, cache, grads):
        x, t = cache.x, cache.t
        return dy * 0.5 * (1 + t + x * (1 - t * t))


class GELUInnerFactor(GELU):
    """The cube's exponent is not brought down: du/dx = c (1 + a x^2) instead of c (1 + 3 a x^2)."""

    def backward(self, dy, cache, grads):
        x, t = cache.x, cache.t
        return dy * 0.5 * (1 + t + x * (1 - t * t) * C * (1 + A * x * x))


class ScaleForgotten(Scale):
    """A fixed factor is still a factor: dx = dy instead of s dy."""

    def backward(self, dy, cache, grads):
        return dy.copy()


class DropoutNotScaled(Dropout):
    """Only the zeros of the mask are used: dx = dy where kept instead of dy / q where kept."""

    def backward(self, dy, cache, grads):
        return dy * (cache.mask > 0)


class BatchNormConstantMean(BatchNorm):
    """The mean is taken for a constant: the term -mean(dx^) is missing."""

    def backward(self, dy, cache, grads):
        x_hat, D = cache.x_hat, dy.shape[-2]
        dbeta = dy.sum(axis=-2, keepdims=True)
        dgamma = (dy * x_hat).sum(axis=-2, keepdims=True)
        grads.beta += dbeta
        grads.gamma += dgamma
        return self.gamma * cache.r * (dy - x_hat * dgamma / D)


class BatchNormConstantVariance(BatchNorm):
    """The variance is taken for a constant: the term -x^ mean(dx^ x^) is missing."""

    def backward(self, dy, cache, grads):
        x_hat, D = cache.x_hat, dy.shape[-2]
        dbeta = dy.sum(axis=-2, keepdims=True)
        dgamma = (dy * x_hat).sum(axis=-2, keepdims=True)
        grads.beta += dbeta
        grads.gamma += dgamma
        return self.gamma * cache.r * (dy - dbeta / D)


class LayerNormGammaLate(LayerNorm):
    """gamma is put in front of the means, as in BatchNorm; here it varies along them: dx^ = gamma dy comes first."""

    def backward(self, dy, cache, grads):
        x_hat = cache.x_hat
        grads.beta += dy.sum(axis=-2, keepdims=True)
        grads.gamma += (dy * x_hat).sum(axis=-2, keepdims=True)
        along_one = dy.mean(axis=-1, keepdims=True)
        along_x_hat = (dy * x_hat).mean(axis=-1, keepdims=True)
        return self.gamma * cache.r * (dy - along_one - x_hat * along_x_hat)


class LayerNormConstantVariance(LayerNorm):
    """The variance is taken for a constant: the term -x^ mean(dx^ x^) is missing."""

    def backward(self, dy, cache, grads):
        grads.beta += dy.sum(axis=-2, keepdims=True)
        grads.gamma += (dy * cache.x_hat).sum(axis=-2, keepdims=True)
        dx_hat = self.gamma * dy
        return cache.r * (dx_hat - dx_hat.mean(axis=-1, keepdims=True))


class _AttentionInParts(Attention):
    """The right backward pass with its two delicate lines as methods of their own."""

    def backward(self, dy, cache, grads):
        x, q, k, v, A = cache.x, cache.q, cache.k, cache.v, cache.A
        grads.W_O += cache.o.mT @ dy
        do = self._unfold(dy @ self.W_O.mT)
        dA, dv = do @ v.mT, A.mT @ do
        dq, dk = self.through_scores(self.through_softmax(dA, A), q, k)
        dq, dk, dv = (self._fold(part) for part in (dq, dk, dv))
        grads.W_Q += x.mT @ dq
        grads.W_K += x.mT @ dk
        grads.W_V += x.mT @ dv
        return dq @ self.W_Q.mT + dk @ self.W_K.mT + dv @ self.W_V.mT

    def through_softmax(self, dA, A):
        return A * (dA - (dA * A).sum(axis=-1, keepdims=True))

    def through_scores(self, dS, q, k):
        return self.s * (dS @ k), self.s * (dS.mT @ q)


class AttentionSoftmaxDiagonal(_AttentionInParts):
    """The softmax is taken entry by entry: dS = A dA, without the sum, though each score moves its whole row of A."""

    def through_softmax(self, dA, A):
        return A * dA


class AttentionScaleForgotten(_AttentionInParts):
    """The factor s of the scores is forgotten: dq = dS k and dk = dS^T q instead of s times that."""

    def through_scores(self, dS, q, k):
        return dS @ k, dS.mT @ q


class AttentionKeysNotTransposed(_AttentionInParts):
    """Keys are treated like queries: dk = s dS q instead of s dS^T q. It runs, since dS is square."""

    def through_scores(self, dS, q, k):
        return self.s * (dS @ k), self.s * (dS @ q)


class _LSTMInParts(LSTM):
    """The right backward pass with its two ways from a token to the one before as methods of their own."""

    def through_time(self, dy, cache):
        dz, dh_dc = self.factors(cache)
        f = cache.gates[..., self.width:2 * self.width]
        dh = dc = 0
        for t in reversed(range(self.tokens)):
            if t + 1 < self.tokens:
                dh, dc = self.through_product(dz[..., t + 1, :]), self.through_memory(dc, f, t)
            dh = dh + dy[..., t, :]
            dc = dc + dh * dh_dc[..., t, :]
            for gate, factor in zip(self._by_gate(dz[..., t, :]), (dc, dc, dc, dh), strict=True):
                gate *= factor
        return dz

    def through_product(self, dz_after):
        return dz_after @ self.W_h.mT

    def through_memory(self, dc_after, f, t):
        return dc_after * f[..., t + 1, :]


class LSTMRecurrentTermForgotten(_LSTMInParts):
    """h_t is taken for an output and no more: dh_t = dy_t, without dz_(t+1) W_h^T."""

    def through_product(self, dz_after):
        return 0


class LSTMForgetPathForgotten(_LSTMInParts):
    """c_t is taken to act through h_t alone: dc_t without dc_(t+1) f_(t+1), the way that reaches far back."""

    def through_memory(self, dc_after, f, t):
        return 0


class LSTMForgetGateOfSameToken(_LSTMInParts):
    """c_(t+1) = f_(t+1) c_t + ..., but dc_(t+1) is multiplied by f_t: off by one token."""

    def through_memory(self, dc_after, f, t):
        return dc_after * f[..., t, :]


class LSTMStateOfSameToken(LSTM):
    """h_t is multiplied by dz_t for dW_h, instead of h_(t-1): off by one token."""

    def backward(self, dy, cache, grads):
        shifted = copy(cache)
        shifted.h = array_module(dy).concatenate([cache.h[..., 1:, :], cache.h[..., :1, :]], axis=-2)
        return super().backward(dy, shifted, grads)


class LSTMTanhOfMemoryForgotten(LSTM):
    """h_t = o_t tanh(c_t) is differentiated as o_t c_t: dh/dc = o instead of o (1 - tanh^2 c)."""

    def factors(self, cache):
        dz, _ = super().factors(cache)
        return dz, cache.gates[..., 3 * self.width:]


class LSTMGatesInOtherOrder(LSTM):
    """dz_g and dz_o change places: the blocks of W_x are i, f, g, o in one pass, and i, f, o, g in the other."""

    def through_time(self, dy, cache):
        i, f, g, o = self._by_gate(super().through_time(dy, cache))
        return array_module(dy).concatenate([i, f, o, g], axis=-1)


class LastTokenNotCleared(LastToken):
    """The other tokens get what the memory happens to hold instead of 0: right as long as it is new, and zero."""

    def backward(self, dy, cache, grads):
        dx = cache.empty("dx", cache.shape, like=dy)
        dx.reshape(*dx.shape[:-2], -1, self.tokens, dx.shape[-1])[..., -1, :] = dy
        return dx


class ResidualShortcutForgotten(Residual):
    """Only the way through f is followed: dx = J^T dy instead of dy + J^T dy."""

    def backward(self, dy, cache, grads):
        return Chain.backward(self, dy, cache, grads)


class PairEmbeddingSwapped(PairEmbedding):
    """The tables are swapped: U gets the rows that n chose, V those that m chose."""

    def backward(self, dh, cache, grads):
        super().backward(dh, cache, SimpleNamespace(U=grads.V, V=grads.U))


class PairEmbeddingOverwrites(PairEmbedding):
    """The gradient is set instead of added to: right for a first chunk of rows, which a second one then wipes out."""

    def backward(self, dh, cache, grads):
        grads.U[...] = 0
        grads.V[...] = 0
        super().backward(dh, cache, grads)


class TokenEmbeddingLastWins(TokenEmbedding):
    """dE[index] += dy adds only one row for each token, however many chose it: indexed assignment does not add up."""

    def backward(self, dy, cache, grads):
        width = dy.shape[-1]
        index = RowIndex(cache.x.reshape(*cache.x.shape[:-2], -1), self.E)
        dE = array_module(dy).zeros_like(grads.E)
        dE.reshape(-1, width)[index.flat] += dy.reshape(-1, width)
        grads.E += dE


class PositionEmbeddingFirstExample(PositionEmbedding):
    """P is read once for every example, and summed over none: dP_t = dz_(1,t) instead of the sum over d of dz_(d,t)."""

    def backward(self, dz, cache, grads):
        grads.P += self._unfold(dz)[..., 0, :, :]
        return dz


class MeanSquaredErrorFactorForgotten(MeanSquaredError):
    """The exponent is not brought down: dz = residual / (D p) instead of twice that."""

    def backward(self, cache):
        return cache.residual / cache.terms


class CrossEntropyNotAveraged(CrossEntropy):
    """The loss is a mean over the examples, its derivative a sum: dz = P - [q = y_d] instead of 1/D times that."""

    def backward(self, cache):
        return super().backward(cache) * cache.examples


class CrossEntropyLabelForgotten(CrossEntropy):
    """Only the log-sum is differentiated: dz = P / D instead of (P - [q = y_d]) / D."""

    def backward(self, cache):
        return cache.P / cache.examples


class Mistake(NamedTuple):
    """A mistake, and what to check to see it.

    Attributes
    ----------
    case : str
        The name of the case in `layers.cases.CASES`.
    kind : type
        The class with the mistake.
    """

    case: str
    kind: type

    @property
    def explanation(self) -> str:
        """What is wrong, and what would be right."""
        return self.kind.__doc__


MISTAKES = {
    "linear-weights-transposed": Mistake("Linear/square", LinearWeightsTransposed),
    "linear-input-not-transposed": Mistake("Linear/square", LinearInputNotTransposed),
    "linear-bias-forgotten": Mistake("Linear/bias", LinearBiasForgotten),
    "linear-state-on-self": Mistake("Linear/no-bias", LinearStateOnSelf),
    "square-factor-forgotten": Mistake("Square", SquareFactorForgotten),
    "square-in-float32": Mistake("Square", SquareInFloat32),
    "relu-mask-forgotten": Mistake("ReLU", ReLUMaskForgotten),
    "relu-mask-of-gradient": Mistake("ReLU", ReLUMaskOfGradient),
    "relu-in-place": Mistake("ReLU", ReLUInPlace),
    "gelu-product-rule": Mistake("GELU", GELUProductRule),
    "gelu-chain-rule": Mistake("GELU", GELUChainRule),
    "gelu-inner-factor": Mistake("GELU", GELUInnerFactor),
    "scale-forgotten": Mistake("Scale", ScaleForgotten),
    "dropout-not-scaled": Mistake("Dropout/training", DropoutNotScaled),
    "batch-norm-constant-mean": Mistake("BatchNorm/training", BatchNormConstantMean),
    "batch-norm-constant-variance": Mistake("BatchNorm/training", BatchNormConstantVariance),
    "layer-norm-gamma-late": Mistake("LayerNorm", LayerNormGammaLate),
    "layer-norm-constant-variance": Mistake("LayerNorm", LayerNormConstantVariance),
    "attention-softmax-diagonal": Mistake("Attention/sqrt", AttentionSoftmaxDiagonal),
    "attention-scale-forgotten": Mistake("Attention/mu", AttentionScaleForgotten),
    "attention-keys-not-transposed": Mistake("Attention/sqrt", AttentionKeysNotTransposed),
    "lstm-recurrent-term-forgotten": Mistake("LSTM", LSTMRecurrentTermForgotten),
    "lstm-forget-path-forgotten": Mistake("LSTM", LSTMForgetPathForgotten),
    "lstm-forget-gate-of-same-token": Mistake("LSTM", LSTMForgetGateOfSameToken),
    "lstm-state-of-same-token": Mistake("LSTM", LSTMStateOfSameToken),
    "lstm-tanh-of-memory-forgotten": Mistake("LSTM", LSTMTanhOfMemoryForgotten),
    "lstm-gates-in-other-order": Mistake("LSTM", LSTMGatesInOtherOrder),
    "last-token-not-cleared": Mistake("LastToken", LastTokenNotCleared),
    "residual-shortcut-forgotten": Mistake("Residual", ResidualShortcutForgotten),
    "pair-embedding-swapped": Mistake("PairEmbedding/per-run", PairEmbeddingSwapped),
    "pair-embedding-overwrites": Mistake("PairEmbedding/per-run", PairEmbeddingOverwrites),
    "token-embedding-last-wins": Mistake("TokenEmbedding", TokenEmbeddingLastWins),
    "position-embedding-first-example": Mistake("PositionEmbedding", PositionEmbeddingFirstExample),
    "mean-squared-error-factor": Mistake("MeanSquaredError", MeanSquaredErrorFactorForgotten),
    "cross-entropy-not-averaged": Mistake("CrossEntropy", CrossEntropyNotAveraged),
    "cross-entropy-label-forgotten": Mistake("CrossEntropy", CrossEntropyLabelForgotten),
}
