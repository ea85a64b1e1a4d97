import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import all_pairs, corrupt, split_indices

seeds = st.integers(0, 2 ** 64)
shares = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.35, 1.0]))


def corrupted(xi, seed=0, p=97, alpha=0.5):
    """The true labels of a training set, those given, and which were redrawn."""
    _, labels = all_pairs(p, "add")
    train, _ = split_indices(len(labels), alpha, seed)
    return labels[train], *corrupt(labels, train, xi, p, seed)


def chi_square(values, classes):
    """How far the frequencies are from equal ones: about classes - 1, and about twice that in variance, if equal."""
    expected = len(values) / classes
    return ((np.bincount(values, minlength=classes) - expected) ** 2).sum() / expected


@given(shares, seeds)
def test_the_asked_share_of_labels_is_redrawn_rounded_down(xi, seed):
    true, _, mask = corrupted(xi, seed, p=7)
    assert mask.sum() == int(xi * len(true))


@given(shares, seeds)
def test_all_other_labels_are_true(xi, seed):
    true, given_, mask = corrupted(xi, seed, p=7)
    np.testing.assert_array_equal(given_[~mask], true[~mask])


@given(shares, shares, seeds)
def test_a_larger_share_corrupts_the_same_examples_in_the_same_way_and_more(one, other, seed):
    (_, few_given, few), (_, more_given, more) = (corrupted(xi, seed, p=7) for xi in sorted([one, other]))
    assert np.all(more[few])
    np.testing.assert_array_equal(more_given[few], few_given[few])


@given(seeds)
def test_an_example_is_corrupted_in_one_way_whatever_the_size_of_the_training_set(seed):
    _, labels = all_pairs(7, "add")
    sets = [split_indices(len(labels), alpha, seed)[0] for alpha in (0.3, 0.8)]
    small, large = (dict(zip(train, corrupt(labels, train, 1.0, 7, seed)[0], strict=True)) for train in sets)
    assert all(large[example] == label for example, label in small.items())


@pytest.mark.parametrize("seed", range(5))
def test_redrawn_labels_are_uniform(seed):
    _, given_, mask = corrupted(1.0, seed)
    # 96 degrees of freedom: larger than 152 once in 5000 seeds.
    assert chi_square(given_[mask], 97) < 152


@pytest.mark.parametrize("seed", range(5))
def test_redrawn_labels_do_not_shun_the_true_one(seed):
    # The share that comes out right is one in p; if right labels were drawn again, the difference 0 would never occur.
    true, given_, mask = corrupted(1.0, seed)
    assert np.any(given_[mask] == true[mask])
    assert chi_square((given_ - true)[mask] % 97, 97) < 152


@pytest.mark.parametrize("seed", range(5))
def test_examples_are_corrupted_whatever_their_label(seed):
    true, _, mask = corrupted(0.5, seed)
    # Half of the about 48 examples of each label, without replacement: the statistic is half as large as of free draws.
    assert chi_square(true[mask], 97) < 152


def test_a_seed_gives_one_corruption_and_seeds_differ():
    (_, first, _), (_, again, _), (_, other, _) = (corrupted(0.5, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_no_corruption_gives_the_true_labels():
    true, given_, mask = corrupted(0.0)
    assert not mask.any()
    np.testing.assert_array_equal(given_, true)


def test_full_corruption_redraws_every_label():
    assert corrupted(1.0)[2].all()
