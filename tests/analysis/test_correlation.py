import numpy as np
import pytest
from scipy import stats

from analysis.correlation import rank_correlation, ranks


def test_ranks_by_hand():
    np.testing.assert_array_equal(ranks(np.array([0.3, -1.0, 7.0, 2.0])), [2, 1, 4, 3])


def test_equal_values_share_the_mean_of_their_ranks():
    # The three fives take the ranks 2, 3, 4; the two nines 5 and 6.
    np.testing.assert_array_equal(ranks(np.array([5, 9, 5, 1, 5, 9])), [3, 5.5, 3, 1, 3, 5.5])


def test_without_ties_it_is_the_textbook_formula():
    rng = np.random.default_rng(0)
    x, y = rng.permutation(40), rng.permutation(40)
    d = np.array([sorted(x).index(value) for value in x]) - np.array([sorted(y).index(value) for value in y])
    assert rank_correlation(x, y) == pytest.approx(1 - 6 * np.sum(d**2) / (40 * (40**2 - 1)), abs=1e-14)


def test_only_the_order_counts():
    x = np.random.default_rng(1).normal(size=30)
    assert rank_correlation(x, np.exp(5 * x)) == pytest.approx(1, abs=1e-14)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1, abs=1e-14)


def test_where_nothing_grows_it_is_not_defined():
    assert rank_correlation(np.ones(5), np.arange(5)) is None
    assert rank_correlation(np.arange(5), np.zeros(5)) is None


@pytest.mark.parametrize("levels", [3, 1000])
def test_against_scipy(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(levels, size=200)  # with 3 levels nearly everything is tied
    y = x + rng.integers(levels, size=200)
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
