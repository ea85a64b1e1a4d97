"""The law of Marchenko and Pastur, against its moments, SciPy's integrals and the eigenvalues of random matrices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from analysis.marchenko_pastur import density, edges, quadrature

RATIOS = st.one_of(st.floats(0.01, 0.95), st.floats(1.05, 5))


def narayana(order, ratio):
    """E[nu^order], by its closed form."""
    return sum(math.comb(order, r) * math.comb(order - 1, r) / (r + 1) * ratio**r for r in range(order))


@given(RATIOS, st.integers(1, 6))
def test_its_moments_are_narayanas_polynomials(ratio, order):
    nu, weights = quadrature(ratio, 1000)
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    assert weights @ nu == pytest.approx(1, rel=1e-12)
    assert weights @ nu**2 == pytest.approx(1 + ratio, rel=1e-12)
    assert weights @ nu**order == pytest.approx(narayana(order, ratio), rel=1e-12)


@given(st.floats(0.01, 0.9))
def test_its_inverse_moments_are_known(ratio):
    nu, weights = quadrature(ratio, 1000)
    assert weights @ (1 / nu) == pytest.approx(1 / (1 - ratio), rel=1e-12)
    assert weights @ (1 / nu**2) == pytest.approx((1 - ratio) ** -3, rel=1e-10)


@given(st.floats(1.01, 10))
def test_what_the_examples_say_nothing_of_has_the_eigenvalue_zero(ratio):
    nu, weights = quadrature(ratio, 1000)
    assert weights[nu == 0].sum() == pytest.approx(1 - 1 / ratio)
    # The other eigenvalues are those of X X^T / N, whose law has the ratio 1 / lambda and the scale lambda.
    other, others = quadrature(1 / ratio, 1000)
    np.testing.assert_allclose(nu[1:], ratio * other, rtol=1e-9)
    np.testing.assert_allclose(weights[1:], others / ratio, rtol=1e-9)


@given(RATIOS)
def test_all_eigenvalues_lie_between_the_edges(ratio):
    low, high = edges(ratio)
    nu, _ = quadrature(ratio, 100)
    nu = nu[nu > 0]
    assert np.all((low <= nu) & (nu <= high))
    assert np.all(density(nu, ratio) > 0)
    np.testing.assert_array_equal(density(np.array([low * 0.99, high * 1.01]), ratio), 0)


@pytest.mark.parametrize("ratio", [0.1, 0.9, 1.0, 1.5])
@pytest.mark.parametrize("f", [lambda nu: np.ones_like(nu), lambda nu: np.exp(-30 * nu), np.cos])
def test_expectations_are_those_that_scipy_integrates(ratio, f):
    low, high = edges(ratio)
    # SciPy takes (nu - low)^a (high - nu)^b as a weight, and the rest of the density as the function.
    root = -0.5 if low == 0 else 0.5
    rest = 0 if low == 0 else -1
    bulk, _ = integrate.quad(lambda nu: f(np.array(nu)) * nu**rest / (2 * np.pi * ratio), low, high, weight="alg",
                             wvar=(root, 0.5), epsabs=1e-12)
    nu, weights = quadrature(ratio, 2000)
    assert weights @ f(nu) == pytest.approx(bulk + max(0, 1 - 1 / ratio) * f(np.array(0.0)), abs=1e-10)


def test_close_to_one_little_is_missed():
    for ratio in (1 - 1e-3, 1 - 1e-4, 1 - 1e-6, 1.0, 1 + 1e-6, 1 + 1e-4):
        assert quadrature(ratio)[1].sum() == pytest.approx(1, abs=8e-6)
    assert quadrature(1 - 1e-3)[1].sum() == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("ratio", [0.25, 0.9, 2.0])
def test_the_eigenvalues_of_random_matrices_follow_it(ratio):
    d = 400
    X = np.random.default_rng(0).standard_normal((round(d / ratio), d))
    measured = np.sort(np.linalg.eigvalsh(X.T @ X / len(X)))
    nu, weights = quadrature(d / len(X), 20_000)
    order = np.argsort(nu)
    share = np.interp(measured, nu[order], np.cumsum(weights[order]))
    # Eigenvalues repel each other: the largest distance of the two distributions is of the order 1 / d.
    place = np.arange(1, d + 1) / d
    above = measured > 1e-9
    assert above.sum() == min(d, len(X))
    assert np.max(np.abs(share - place)[above]) < 5 / d


@pytest.mark.parametrize("ratio", [0, -0.5, float("nan")])
def test_a_ratio_must_be_positive(ratio):
    with pytest.raises(ValueError, match="ratio must be positive, got"):
        quadrature(ratio)
