import numpy as np
import pytest

from analysis.ipr import ipr
from analysis.multiplicative import by_logarithm, primitive_root
from backend import open_device, to_host
from layers import TwoLayerNetwork

PRIMES = (2, 3, 5, 7, 13, 23, 41, 97)


def logarithms(p):
    """k for each residue g^k but 0, found by multiplying; for the smallest g that reaches them all."""
    for g in range(1, p):
        found, i = {}, 1
        while i not in found:
            found[i] = len(found)
            i = i * g % p
        if len(found) == p - 1:
            return g, found
    raise AssertionError(f"{p} has no primitive root")


@pytest.mark.parametrize("p", PRIMES)
def test_the_root_is_the_first_residue_that_reaches_all_others(p):
    assert primitive_root(p) == logarithms(p)[0]


def test_known_roots():
    assert [primitive_root(p) for p in (23, 41, 97, 191, 409)] == [5, 6, 5, 19, 21]


@pytest.mark.parametrize("p", [-3, 0, 1, 4, 91])
def test_without_a_prime_there_is_none(p):
    with pytest.raises(ValueError, match=f"p must be prime, got {p}"):
        primitive_root(p)


@pytest.mark.parametrize("p", PRIMES)
def test_the_residue_of_logarithm_k_comes_to_place_k(p):
    residues = by_logarithm(np.arange(p))
    assert {int(i): k for k, i in enumerate(residues)} == logarithms(p)[1]


def test_multiplying_adds_places():
    residues, k = by_logarithm(np.arange(23)), np.arange(22)
    assert (residues[:, None] * residues % 23 == residues[(k[:, None] + k) % 22]).all()


@pytest.mark.parametrize(("frequency", "phase"), [(1, 0.3), (17, 2.0), (48, 0.0)])
def test_a_wave_in_the_logarithm_has_an_ipr_of_1_there_and_little_along_the_residues(frequency, phase):
    x = np.zeros((2, 97))
    x[:, 0] = 5, 0  # what stands at 0 plays no part
    for i, k in logarithms(97)[1].items():
        x[:, i] = np.cos(2 * np.pi * frequency * k / 96 + phase)
    np.testing.assert_allclose(ipr(by_logarithm(x)), 1, atol=1e-12)
    assert ipr(x).max() < 0.25


@pytest.mark.parametrize("p", [5, 7, 13, 23, 97])
def test_the_legendre_symbol_is_spread_evenly_over_all_frequencies(p):
    squares = {i * i % p for i in range(1, p)}
    x = np.array([0, *(1 if i in squares else -1 for i in range(1, p))])
    assert by_logarithm(x).tolist() == [1, -1] * ((p - 1) // 2)
    assert ipr(by_logarithm(x)) == pytest.approx(1, abs=1e-13)
    assert ipr(x) == pytest.approx(2 / (p - 1), abs=1e-13)


def test_on_a_device_it_stays_there(strict_cupy):
    network = TwoLayerNetwork(7, 5).build(open_device("numpy", "float32"))
    on_device = TwoLayerNetwork(7, 5).build(open_device("cupy", "float32"))
    for x, there in zip(network.neurons(), on_device.neurons(), strict=True):
        np.testing.assert_array_equal(to_host(by_logarithm(there)), by_logarithm(x))
