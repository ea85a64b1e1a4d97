"""The trigonometric subspace: against waves written out, and against a basis of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.trigonometric import (
    at_frequencies,
    by_residue,
    centred,
    excluded_logits,
    key_frequencies,
    residue_means,
    restricted_logits,
    trigonometric_share,
)
from data.operations import all_pairs


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def basis(p, labels):
    """Orthonormal cosines and sines of 2 pi w (y - c) / p, as columns (D p, p - 1)."""
    angle = 2 * np.pi * (labels[:, None] - np.arange(p)) / p
    waves = [wave(w * angle).ravel() for w in range(1, p // 2 + 1) for wave in (np.cos, np.sin)]
    waves = [wave for wave in waves if np.linalg.norm(wave) > 1e-6]  # sin(pi r), where p is even, is none
    return np.stack([wave / np.linalg.norm(wave) for wave in waves], axis=1)


@given(p=st.integers(2, 9), seed=st.integers(0, 99), data=st.data())
def test_is_the_orthogonal_projection_on_all_waves_whatever_the_examples(p, seed, data):
    labels = np.array(data.draw(st.lists(st.integers(0, p - 1), min_size=1, max_size=20)))
    logits, waves = drawn(seed, len(labels), p), basis(p, labels)
    assert waves.shape[1] == p - 1
    np.testing.assert_allclose(waves.T @ waves, np.eye(p - 1), atol=1e-12)
    expected = (waves @ (waves.T @ logits.ravel())).reshape(logits.shape)
    np.testing.assert_allclose(restricted_logits(logits, labels), expected, atol=1e-12)
    share = np.linalg.norm(expected) / np.linalg.norm(centred(logits))
    assert trigonometric_share(logits, labels) == pytest.approx(share, rel=1e-10)


@given(p=st.integers(3, 11), seed=st.integers(0, 99))
def test_restricted_and_excluded_logits_are_orthogonal_and_add_up(p, seed):
    labels = all_pairs(p, "add")[1]
    logits = drawn(seed, len(labels), p) + drawn(seed + 1, len(labels), 1)
    restricted, excluded = restricted_logits(logits, labels), excluded_logits(logits, labels)
    np.testing.assert_allclose(restricted + excluded, logits - logits.mean(-1, keepdims=True), atol=1e-12)
    assert abs((restricted * excluded).sum()) < 1e-9
    np.testing.assert_allclose(restricted_logits(restricted, labels), restricted, atol=1e-12)
    np.testing.assert_allclose(restricted_logits(excluded, labels), 0, atol=1e-12)


@given(p=st.integers(3, 13), data=st.data())
def test_a_network_of_waves_lies_within_wholly_and_its_frequencies_are_found(p, data):
    w = data.draw(st.integers(1, p // 2))
    labels = all_pairs(p, "add")[1]
    angle = 2 * np.pi * w * (labels[:, None] - np.arange(p)) / p
    logits = 3 * np.cos(angle) + drawn(0, len(labels), 1)
    assert trigonometric_share(logits, labels) == pytest.approx(1, abs=1e-12)
    f = residue_means(logits, labels)
    assert key_frequencies(f) == [w]
    np.testing.assert_allclose(f, 3 * np.cos(2 * np.pi * w * np.arange(p) / p), atol=1e-12)
    np.testing.assert_allclose(restricted_logits(logits, labels, [w]), restricted_logits(logits, labels), atol=1e-12)
    others = [j for j in range(1, p // 2 + 1) if j != w]
    np.testing.assert_allclose(restricted_logits(logits, labels, others), 0, atol=1e-12)
    np.testing.assert_allclose(excluded_logits(logits, labels, others), centred(logits), atol=1e-12)


def test_frequencies_split_what_all_of_them_hold():
    p, labels = 11, all_pairs(11, "add")[1]
    logits = drawn(5, len(labels), p)
    parts = [restricted_logits(logits, labels, [w]) for w in range(1, p // 2 + 1)]
    np.testing.assert_allclose(sum(parts), restricted_logits(logits, labels), atol=1e-12)


def test_right_labels_known_by_heart_look_like_the_rule_where_they_were_trained_on():
    p, alpha = 7, 3 / 7
    pairs, labels = all_pairs(p, "add")
    known = pairs[:, 0] < 3  # three rows of seven, in which every answer is as frequent as any other
    logits = np.where(known[:, None], np.eye(p)[labels], 0.0)
    expected = alpha * (np.eye(p)[0] - 1 / p)
    np.testing.assert_allclose(residue_means(logits, labels), expected, atol=1e-12)
    assert trigonometric_share(logits, labels) == pytest.approx(alpha ** 0.5, rel=1e-12)
    assert trigonometric_share(logits[~known], labels[~known]) == 0


def test_a_stack_is_projected_network_by_network():
    labels = all_pairs(5, "subtract")[1]
    logits = drawn(3, 4, len(labels), 5)
    alone = np.stack([restricted_logits(one, labels) for one in logits])
    np.testing.assert_allclose(restricted_logits(logits, labels), alone, atol=1e-14)
    assert trigonometric_share(logits, labels).shape == (4,)


def test_constant_logits_have_no_share():
    labels = all_pairs(5, "add")[1]
    assert trigonometric_share(np.ones((25, 5)), labels) == 0


def test_float32_logits_are_projected_in_float64():
    labels = all_pairs(5, "add")[1]
    logits = drawn(1, 25, 5).astype(np.float32)
    assert restricted_logits(logits, labels).dtype == np.float64
    np.testing.assert_array_equal(restricted_logits(logits, labels), restricted_logits(logits.astype(float), labels))


def test_no_example_and_unknown_frequencies_are_refused():
    with pytest.raises(ValueError, match="at least one example"):
        restricted_logits(np.zeros((0, 5)), np.zeros(0, dtype=int))
    for frequency in (0, 3, -1):
        with pytest.raises(ValueError, match="between 1 and 2"):
            at_frequencies(np.zeros(5), [frequency])


def test_by_residue_gives_any_examples_their_logits():
    f = np.array([10.0, 1.0, 2.0])
    np.testing.assert_array_equal(by_residue(f, np.array([0, 2])), [[10, 2, 1], [2, 1, 10]])
