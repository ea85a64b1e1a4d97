import numpy as np
import pytest

from analysis.fourier import dominant_frequency, fourier_transform, power_shares, power_spectrum


def cosine(p, frequency, phase=0.3):
    return np.cos(2 * np.pi * frequency * np.arange(p) / p + phase)


def test_the_transform_is_the_sum_of_its_definition():
    x = np.random.default_rng(0).normal(size=(2, 3, 11))
    i, j = np.arange(11), np.arange(6)[:, None]
    expected = (x[..., None, :] * np.exp(-2j * np.pi * i * j / 11)).sum(-1)
    np.testing.assert_allclose(fourier_transform(x), expected, atol=1e-13)
    np.testing.assert_allclose(power_spectrum(x), np.abs(expected) ** 2, atol=1e-12)


@pytest.mark.parametrize("p", [7, 12, 97])
def test_a_cosine_has_all_its_power_at_its_frequency(p):
    for frequency in range(1, (p + 1) // 2):
        shares = power_shares(cosine(p, frequency))
        np.testing.assert_allclose(shares, np.eye(p // 2 + 1)[frequency], atol=1e-14)
        assert dominant_frequency(cosine(p, frequency) + 5) == frequency


def test_shares_of_two_waves_are_their_squared_amplitudes():
    shares = power_shares(3 * cosine(13, 2) + 4 * cosine(13, 5, phase=1.0))
    np.testing.assert_allclose(shares[[2, 5]], [9 / 25, 16 / 25], atol=1e-14)


def test_shares_without_the_constant_term_are_those_of_the_rest():
    x = 7 + 3 * cosine(13, 2) + 4 * cosine(13, 5)
    with_constant, without = power_shares(x), power_shares(x, constant=False)
    assert with_constant[0] > 0.5
    assert without[0] == 0
    np.testing.assert_allclose(without[1:], with_constant[1:] / with_constant[1:].sum(), atol=1e-14)


@pytest.mark.parametrize("value", [0.1, 1 / 3, -2e-30, 1e30])
def test_a_constant_vector_is_nothing_but_its_constant_term(value):
    x = np.full((2, 97), value, dtype=np.float32)
    np.testing.assert_allclose(power_shares(x), np.eye(49)[[0, 0]], atol=1e-15)
    assert not power_shares(x, constant=False).any()
    assert dominant_frequency(x).tolist() == [0, 0]


def test_float32_is_computed_in_float64():
    x = np.random.default_rng(0).normal(size=(4, 97)).astype(np.float32)
    assert fourier_transform(x).dtype == np.complex128
    np.testing.assert_array_equal(power_shares(x), power_shares(x.astype(np.float64)))


def test_vectors_that_are_not_finite_give_nan_and_leave_the_others_alone():
    x = np.stack([cosine(7, 1), cosine(7, 1), cosine(7, 2)])
    x[0, 3], x[1, 4] = np.inf, np.nan
    for constant in (True, False):
        shares = power_shares(x, constant)
        assert np.isnan(shares[:2, 1:]).all()
        np.testing.assert_allclose(shares[2], np.eye(4)[2], atol=1e-14)


def test_the_array_handed_in_is_not_changed():
    x = np.random.default_rng(0).normal(size=(2, 9))
    before = x.copy()
    power_shares(x, constant=False)
    np.testing.assert_array_equal(x, before)
