"""Matrix entropies against closed forms, and against the entropies of labels."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import linalg

from analysis.matrix_entropy import directions, matrix_entropy, mutual_information

ORDERS = [0.5, 1.0, 2.0, 5.0]


def drawn(n, N, seed):
    return np.random.default_rng(seed).normal(size=(n, N))


def rotation(N, seed):
    return np.linalg.qr(drawn(N, N, seed))[0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", [5, 9])
def test_orthogonal_rows_of_any_length_have_the_logarithm_of_their_number(order, width):
    h = np.arange(1, 6)[:, None] * rotation(width, 1)[:5]
    assert matrix_entropy(h, order=order) == pytest.approx(np.log(5), abs=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_rows_of_one_direction_have_none(order):
    h = np.array([[1.0], [2.0], [0.5], [3.0]]) * drawn(1, 6, 0)
    assert matrix_entropy(h, order=order) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("angle", [0.3, 1.0, 2.5])
def test_two_rows_at_an_angle(angle):
    """R / 2 has the eigenvalues (1 +- cos) / 2; entry by entry, R * R has cos^2 in the place of cos."""
    def of(cosine, order):
        shares = np.array([1 + cosine, 1 - cosine]) / 2
        return -(shares * np.log(shares)).sum() if order == 1 else np.log((shares**order).sum()) / (1 - order)

    h = np.array([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]])
    for order in ORDERS:
        once, twice = of(np.cos(angle), order), of(np.cos(angle) ** 2, order)
        assert matrix_entropy(h, order=order) == pytest.approx(once)
        assert matrix_entropy(h, h, order=order) == pytest.approx(twice)
        assert mutual_information(h, h, order=order) == pytest.approx(2 * once - twice)


@given(n=st.integers(1, 12), N=st.integers(1, 12), seed=st.integers(0, 50))
def test_depends_neither_on_rotations_nor_on_lengths_nor_on_the_order_of_examples(n, N, seed):
    h, rng = drawn(n, N, seed), np.random.default_rng(seed + 1)
    changed = rng.uniform(0.1, 10, size=(n, 1)) * h @ rotation(N, seed)
    for order in ORDERS:
        entropy = matrix_entropy(h, order=order)
        assert matrix_entropy(changed[rng.permutation(n)], order=order) == pytest.approx(entropy, abs=1e-6)
        assert -1e-9 <= entropy <= np.log(min(n, N)) + 1e-9


@given(n=st.integers(2, 10), N=st.integers(1, 12), seed=st.integers(0, 50))
def test_the_orders_fall_and_meet_shannons(n, N, seed):
    h = drawn(n, N, seed)
    entropies = [matrix_entropy(h, order=order) for order in (0.5, 0.999999, 1.0, 1.000001, 2.0, 5.0)]
    assert np.all(np.diff(entropies) <= 1e-9)
    assert entropies[1] - entropies[3] < 1e-4


def test_the_definition_by_the_logarithm_of_a_matrix():
    h, g = drawn(6, 9, 0), drawn(6, 7, 1)
    z, w = directions(h, g)
    for R, entropy in ((z @ z.T, matrix_entropy(h)), (z @ z.T * (w @ w.T), matrix_entropy(h, g))):
        assert entropy == pytest.approx(-np.trace(R / 6 @ linalg.logm(R / 6)).real)


def one_hot(labels):
    return np.eye(max(labels) + 1)[labels]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_of_labels_it_is_what_it_is_of_labels(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    first, second = (list(labels) for labels in zip(*pairs, strict=True))
    both = [5 * a + b for a, b in pairs]
    shares = np.unique(both, return_counts=True)[1] / len(both)
    assert matrix_entropy(one_hot(first), one_hot(second)) == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-9)
    assert mutual_information(one_hot(first), one_hot(second)) == pytest.approx(
        metrics.mutual_info_score(first, second), abs=1e-9)


@given(n=st.integers(1, 12), N=st.integers(1, 8), M=st.integers(1, 8), seed=st.integers(0, 50))
def test_the_joint_entropy_is_above_both_and_the_information_between_its_bounds(n, N, M, seed):
    h, g = drawn(n, N, seed), drawn(n, M, seed + 100)
    for order in ORDERS:
        single = [matrix_entropy(h, order=order), matrix_entropy(g, order=order)]
        assert matrix_entropy(h, g, order=order) >= max(single) - 1e-6
        assert mutual_information(h, g, order=order) <= min(single) + 1e-6
    assert mutual_information(h, g) >= -1e-9
    assert mutual_information(h, g) == pytest.approx(mutual_information(g, h), abs=1e-9)


def test_features_in_one_direction_share_nothing():
    h, constant = drawn(7, 5, 0), np.ones((7, 3))
    assert matrix_entropy(h, constant) == pytest.approx(matrix_entropy(h))
    assert mutual_information(h, constant) == pytest.approx(0, abs=1e-12)


@given(n=st.integers(2, 10), dead=st.integers(0, 9), seed=st.integers(0, 20))
def test_examples_without_a_direction_are_left_out_of_all_entropies(n, dead, seed):
    assume(dead < n)
    h, g = drawn(n, 4, seed), drawn(n, 6, seed + 100)
    rest = np.arange(n) != dead
    silent = np.where(rest[:, None], h, 0)
    assert matrix_entropy(silent) == pytest.approx(matrix_entropy(h[rest]))
    assert mutual_information(silent, g) == pytest.approx(mutual_information(h[rest], g[rest]))


def test_float32_features_are_measured_in_float64():
    h = drawn(30, 20, 3).astype(np.float32)
    assert directions(h)[0].dtype == np.float64
    assert matrix_entropy(h) == pytest.approx(matrix_entropy(h.astype(float)), abs=1e-12)


@pytest.mark.parametrize(("features", "order", "message"), [
    ([np.zeros((3, 2))], 1, "not zero"),
    ([np.ones((3, 2)), np.ones((4, 2))], 1, r"same examples, got \[3, 4\]"),
    ([np.ones((3, 2))], 0, "order must be positive, got 0"),
])
def test_what_has_no_entropy_is_refused(features, order, message):
    with pytest.raises(ValueError, match=message):
        matrix_entropy(*features, order=order)
