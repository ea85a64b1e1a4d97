import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import OPERATIONS, all_pairs, is_prime

PRIMES = [2, 3, 5, 7, 11, 13, 97]
moduli = st.integers(2, 40)


@pytest.mark.parametrize(("operation", "result"), [
    ("add", lambda m, n: m + n), ("subtract", lambda m, n: m - n), ("multiply", lambda m, n: m * n)])
@given(p=moduli)
def test_labels_are_the_operations_results_pair_by_pair(operation, result, p):
    pairs, labels = all_pairs(p, operation)
    assert pairs.tolist() == [[m, n] for m in range(p) for n in range(p)]
    assert labels.tolist() == [result(m, n) % p for m in range(p) for n in range(p)]


@pytest.mark.parametrize("p", PRIMES)
def test_a_quotient_times_the_divisor_is_the_dividend(p):
    pairs, labels = all_pairs(p, "divide")
    assert pairs.tolist() == [[m, n] for m in range(p) for n in range(1, p)]
    m, n = pairs.T
    np.testing.assert_array_equal(labels * n % p, m)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("p", PRIMES)
def test_labels_are_residues(operation, p):
    _, labels = all_pairs(p, operation)
    assert set(labels.tolist()) == set(range(p))


def test_products_of_large_residues_do_not_overflow():
    # Their square would not fit into 16 bits.
    pairs, labels = all_pairs(499, "multiply")
    m, n = pairs[-1].tolist()
    assert labels[-1] == m * n % 499


@pytest.mark.parametrize("p", [1, 0, -5])
def test_a_modulus_below_two_is_refused(p):
    with pytest.raises(ValueError, match=f"p must be at least 2, got {p}"):
        all_pairs(p, "add")


def test_an_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="one of add, subtract, multiply, divide, got 'power'"):
        all_pairs(7, "power")


@pytest.mark.parametrize("p", [4, 9, 91])
def test_division_by_a_composite_modulus_is_refused(p):
    with pytest.raises(ValueError, match=f"p must be prime for operation divide .*, got {p}"):
        all_pairs(p, "divide")


@given(p=st.integers(-3, 3000))
def test_a_prime_has_no_divisor_but_one_and_itself(p):
    assert is_prime(p) == ([d for d in range(1, p + 1) if p % d == 0] == [1, p])
