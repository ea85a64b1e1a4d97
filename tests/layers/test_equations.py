"""What single layers compute, against the equations of their docstrings."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import (
    GELU,
    BatchNorm,
    Cache,
    Chain,
    Dropout,
    LayerNorm,
    Mode,
)
from layers.dropout import LEVELS
from tests.strategies import HEADS, cases


class TestEquations:
    """forward computes the equation of its docstring, here for one run and example by example."""

    @given(case=cases(stacked=False))
    def test_linear(self, case):
        layer, x = case.layer("Linear with bias"), case.inputs("Linear")
        off = abs(layer.forward(x, Cache()) - (np.einsum("di,ij->dj", x, layer.W) + layer.b))
        # Terms may cancel: sums of n terms in two orders differ by up to n eps of what the terms are in size.
        n_in = layer.W.shape[-2]
        assert np.all(off <= (n_in + 1) * np.finfo(float).eps * (abs(x) @ abs(layer.W) + abs(layer.b)))

    def test_gelu(self):
        x = np.linspace(-5, 5, 41)[:, None]
        y = GELU().build().forward(x, Cache())
        np.testing.assert_allclose(y, x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))), atol=1e-14)
        exact = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x[:, 0]]
        np.testing.assert_allclose(y[:, 0], exact, atol=5e-4)  # how far the tanh form is from the integral

    @given(case=cases(stacked=False))
    def test_embeddings(self, case):
        pairs, tokens, rows = (case.inputs(kind) for kind in ("PairEmbedding", "TokenEmbedding", "PositionEmbedding"))
        pair, token, position = (case.layer(kind) for kind in ("PairEmbedding", "TokenEmbedding", "PositionEmbedding"))
        np.testing.assert_array_equal(pair.forward(pairs, Cache()), [pair.U[m] + pair.V[n] for m, n in pairs])
        np.testing.assert_array_equal(token.forward(tokens, Cache()), [token.E[t] for row in tokens for t in row])
        np.testing.assert_array_equal(position.forward(rows, Cache()),
                                      [row + position.P[number % case.tokens] for number, row in enumerate(rows)])

    @given(case=cases(stacked=False))
    def test_last_token(self, case):
        x = case.inputs("LastToken")
        np.testing.assert_array_equal(case.layer("LastToken").forward(x, Cache()), x[case.tokens - 1::case.tokens])

    @pytest.mark.parametrize(("kind", "power"), [("Attention", 0.5), ("Attention, mu scale", 1)])
    @given(case=cases(stacked=False))
    def test_attention(self, kind, power, case):
        layer, x = case.layer(kind), case.inputs(kind)
        y, d_head = layer.forward(x, Cache()), case.width // HEADS
        for d in range(case.examples):
            rows = slice(d * case.tokens, (d + 1) * case.tokens)
            o = []
            for columns in (slice(h * d_head, (h + 1) * d_head) for h in range(HEADS)):
                q, k, v = (x[rows] @ W[:, columns] for W in (layer.W_Q, layer.W_K, layer.W_V))
                A = np.exp(q @ k.T / d_head ** power)
                o.append(A / A.sum(axis=1, keepdims=True) @ v)
            np.testing.assert_allclose(y[rows], np.hstack(o) @ layer.W_O, rtol=1e-9, atol=1e-12)

    @given(case=cases(stacked=False))
    def test_two_layer_network(self, case):
        network, pairs = case.layer("TwoLayerNetwork"), case.inputs("TwoLayerNetwork")
        U, V, W = (network.state()[name] for name in "UVW")
        np.testing.assert_allclose(network.forward(pairs, Cache()), [(U[m] + V[n]) ** 2 @ W for m, n in pairs],
                                   rtol=1e-12, atol=1e-14)


class TestDropout:
    @given(case=cases(), rate=st.floats(0, 0.95))
    def test_has_a_mask_of_mean_one(self, case, rate):
        n = 20_000
        layer, cache = Dropout(rate).build(), Cache()
        layer.forward(np.ones((n // 20, 20)), cache, Mode(training=True, seeds=(case.seed,)))
        mask = 1.0 if cache.mask is None else cache.mask
        # The mean of n independent entries, 1/q with probability q, has the standard deviation sqrt((1/q - 1) / n). Six
        # of them are left in one of 500 million tries. The rate is rounded to 1/LEVELS, which the scaling follows.
        bound = 6 * np.sqrt((1 / (1 - rate) - 1 + 1 / LEVELS) / n)
        assert abs(np.mean(mask) - 1) <= bound

    @given(case=cases())
    def test_does_nothing_in_evaluation(self, case):
        layer, x, cache = case.layer("Dropout"), case.inputs("Dropout"), Cache()
        np.testing.assert_array_equal(layer.forward(x, cache), x)
        np.testing.assert_array_equal(layer.backward(x, cache, layer.gradients()), x)

    @given(seed=st.integers(0, 2 ** 32 - 1))
    def test_has_a_rate_for_each_run(self, seed):
        rates, n = (0.0, 0.2, 0.7), 20_000
        cache = Cache()
        Dropout(rates).build(seed=(seed,) * 3).forward(np.ones((3, n // 20, 20)), cache, Mode(True, (seed,) * 3))
        silent = np.mean(cache.mask == 0, axis=(1, 2))
        np.testing.assert_allclose(silent, rates, atol=6 * np.sqrt(0.25 / n))
        np.testing.assert_array_equal(cache.mask[0], 1)

    @given(case=cases(stacked=False))
    def test_has_the_same_mask_for_the_same_key_alone(self, case):
        layer, x = Dropout(0.5).build(), np.ones((50, 20))

        def mask(**key):
            cache = Cache()
            layer.forward(x, cache, Mode(**{"training": True, "seeds": (case.seed,), "step": 3} | key))
            return cache.mask

        np.testing.assert_array_equal(mask(), mask())
        assert not np.array_equal(mask(), mask(step=4))
        assert not np.array_equal(mask(), mask(seeds=(case.seed + 1,)))

    def test_has_another_mask_in_another_layer(self):
        network = Chain(first=Dropout(0.5), second=Dropout(0.5)).build()
        cache = Cache()
        network.forward(np.ones((50, 20)), cache, Mode(training=True))
        assert not np.array_equal(cache["first"].mask, cache["second"].mask)

    @pytest.mark.parametrize("rate", [1.0, -0.1, (0.5, 1.5), float("nan")])
    def test_refuses_an_impossible_rate(self, rate):
        with pytest.raises(ValueError, match="rate must lie in"):
            Dropout(rate)


class TestNorms:
    @given(case=cases(min_examples=2))
    def test_batch_norm_gives_every_feature_the_mean_beta_and_the_variance_gamma_squared(self, case):
        norm, x = case.layer("BatchNorm"), case.inputs("BatchNorm")
        y = norm.forward(x, Cache(), case.mode(training=True))
        v = x.var(axis=-2, keepdims=True)
        np.testing.assert_allclose(y.mean(axis=-2, keepdims=True), norm.beta, atol=1e-12)
        np.testing.assert_allclose(y.var(axis=-2, keepdims=True), norm.gamma ** 2 * v / (v + norm.eps), rtol=1e-9)

    @given(case=cases(min_examples=2), momentum=st.floats(0, 1))
    def test_batch_norm_follows_mean_and_unbiased_variance(self, case, momentum):
        seed = case.seeds if case.stack else case.seed
        norm, x = BatchNorm(case.width, momentum=momentum).build(seed=seed), case.inputs("BatchNorm")
        mean, var = norm.running_mean.copy(), norm.running_var.copy()
        norm.forward(x, Cache(), case.mode(training=True))
        for running, before, new in ((norm.running_mean, mean, x.mean(axis=-2, keepdims=True)),
                                     (norm.running_var, var, x.var(axis=-2, ddof=1, keepdims=True))):
            np.testing.assert_allclose(running, (1 - momentum) * before + momentum * new, rtol=1e-12, atol=1e-14)

    @given(case=cases(min_examples=2))
    def test_batch_norm_uses_running_statistics_in_evaluation_and_leaves_them(self, case):
        norm, x = case.layer("BatchNorm"), case.inputs("BatchNorm")
        before = norm.state()
        y = norm.forward(x, Cache())
        expected = norm.gamma * (x - before["running_mean"]) / np.sqrt(before["running_var"] + norm.eps) + norm.beta
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
        for name, array in norm.state().items():
            np.testing.assert_array_equal(array, before[name])

    @given(case=cases())
    def test_layer_norm_gives_every_row_mean_zero_and_variance_one(self, case):
        x = case.inputs("LayerNorm")
        norm = LayerNorm(case.width).build(seed=case.seeds if case.stack else case.seed)
        y, v = norm.forward(x, Cache()), x.var(axis=-1)
        np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-10)
        np.testing.assert_allclose(y.var(axis=-1), v / (v + norm.eps), rtol=1e-9)

    def test_one_row_has_no_unbiased_variance_and_does_no_harm(self):
        norm = BatchNorm(3).build()
        y = norm.forward(np.array([[1.0, 2.0, 3.0]]), Cache(), Mode(training=True))
        np.testing.assert_array_equal(y, 0)
        assert np.all(np.isfinite(norm.running_var))
