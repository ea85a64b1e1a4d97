import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.operations import all_pairs
from data.order import block_order


@given(st.integers(2, 40), st.floats(0.05, 1), st.integers(0, 99))
def test_takes_every_example_once(p, alpha, seed):
    pairs, _ = all_pairs(p, "add")
    pairs = pairs[np.random.default_rng(seed).permutation(len(pairs))[:max(1, int(alpha * len(pairs)))]]
    assert sorted(block_order(pairs).tolist()) == list(range(len(pairs)))


@given(st.integers(2, 40), st.integers(0, 99))
def test_does_not_depend_on_the_order_before(p, seed):
    pairs, _ = all_pairs(p, "add")
    shuffled = pairs[np.random.default_rng(seed).permutation(len(pairs))]
    np.testing.assert_array_equal(pairs[block_order(pairs)], shuffled[block_order(shuffled)])


@pytest.mark.parametrize("p", [53, 97, 151])
def test_gives_neighbours_neighbouring_m_and_n(p):
    pairs, _ = all_pairs(p, "add")
    half = pairs[np.sort(np.random.default_rng(0).permutation(len(pairs))[:len(pairs) // 2])]
    ordered = half[block_order(half)]
    spans = [np.ptp(ordered[start:start + 300], axis=0) + 1 for start in range(0, len(ordered) - 300, 300)]
    # 300 examples of half of all pairs fill a square of side sqrt(600) = 24.5; here and there two strips meet.
    assert np.median(spans) < 35
    assert (np.max(spans, axis=1) < 60).mean() > 0.6


def test_of_few_examples_is_by_n_then_m():
    pairs, _ = all_pairs(7, "add")
    assert pairs[block_order(pairs)][:, ::-1].tolist() == pairs.tolist()


def test_of_no_examples_is_empty():
    assert block_order(np.zeros((0, 2), dtype=int)).tolist() == []
