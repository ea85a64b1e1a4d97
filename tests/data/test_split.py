import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data import split_indices

totals, seeds = st.integers(1, 500), st.integers(0, 2 ** 64)
alphas = st.floats(0, 1, exclude_min=True)


@given(totals, alphas, seeds)
def test_every_example_is_in_one_of_the_two_sets(total, alpha, seed):
    train, test = split_indices(total, alpha, seed)
    assert sorted([*train, *test]) == list(range(total))


@given(totals, alphas, seeds)
def test_the_training_set_has_the_asked_share_rounded_down(total, alpha, seed):
    train, test = split_indices(total, alpha, seed)
    assert (len(train), len(test)) == (int(alpha * total), total - int(alpha * total))


@given(totals, alphas, alphas, seeds)
def test_a_smaller_training_set_is_part_of_a_larger_one(total, one, other, seed):
    small, large = (set(split_indices(total, alpha, seed)[0]) for alpha in sorted([one, other]))
    assert small <= large


@given(totals, alphas, seeds)
def test_both_sets_are_in_increasing_order(total, alpha, seed):
    for part in split_indices(total, alpha, seed):
        assert np.all(np.diff(part) > 0)


def test_a_seed_gives_one_split():
    for first, second in zip(split_indices(400, 0.5, 3), split_indices(400, 0.5, 3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_seeds_give_different_splits():
    splits = {tuple(split_indices(400, 0.5, seed)[0]) for seed in range(20)}
    assert len(splits) == 20


def test_every_example_is_as_likely_in_the_training_set_as_any_other():
    counts = np.zeros(50)
    for seed in range(2000):
        counts[split_indices(50, 0.3, seed)[0]] += 1
    # Binomial with mean 600 and standard deviation 20.5.
    assert np.all(np.abs(counts - 600) < 4 * 20.5)


def test_alpha_one_leaves_no_test_set():
    train, test = split_indices(30, 1.0, 0)
    assert (len(train), len(test)) == (30, 0)


@given(totals, alphas, alphas, seeds)
def test_a_smaller_training_set_can_keep_the_test_set_of_a_larger_one(total, one, other, seed):
    small, large = sorted([one, other])
    train, test = split_indices(total, small, seed, test_alpha=large)
    np.testing.assert_array_equal(train, split_indices(total, small, seed)[0])
    np.testing.assert_array_equal(test, split_indices(total, large, seed)[1])


def test_alpha_one_leaves_no_test_set_to_a_smaller_training_set_either():
    train, test = split_indices(30, 0.5, 0, test_alpha=1.0)
    assert (len(train), len(test)) == (15, 0)
