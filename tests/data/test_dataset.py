import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import OPERATIONS, modular_problem

problems = st.builds(modular_problem, st.sampled_from([2, 3, 7, 11]), st.sampled_from(OPERATIONS),
                     st.floats(0.1, 1), st.floats(0, 1), st.integers(0, 2 ** 32))


def rows(dataset):
    """The true label of each pair."""
    pairs = map(tuple, dataset.inputs.tolist())
    return dict(zip(pairs, dataset.true_labels.tolist(), strict=True))


@pytest.mark.parametrize("operation", OPERATIONS)
@given(alpha=st.floats(0.1, 1), xi=st.floats(0, 1), seed=st.integers(0, 2 ** 32))
def test_the_two_sets_hold_each_pair_once_with_its_true_label(operation, alpha, xi, seed):
    problem = modular_problem(7, operation, alpha, xi, seed)
    results = {"add": lambda m, n: m + n, "subtract": lambda m, n: m - n, "multiply": lambda m, n: m * n,
               "divide": lambda m, n: m * pow(n, -1, 7)}
    divisors = range(1 if operation == "divide" else 0, 7)
    expected = {(m, n): results[operation](m, n) % 7 for m in range(7) for n in divisors}
    assert rows(problem.train) | rows(problem.test) == expected
    assert len(problem.train) + len(problem.test) == len(expected)


@given(problems)
def test_the_test_set_is_never_corrupted(problem):
    assert not problem.test.corrupted.any()
    np.testing.assert_array_equal(problem.test.labels, problem.test.true_labels)


@given(problems)
def test_a_wrong_label_belongs_to_a_corrupted_example(problem):
    wrong = problem.train.labels != problem.train.true_labels
    assert np.all(problem.train.corrupted[wrong])


@given(problems)
def test_both_sets_are_in_the_order_of_the_table(problem):
    for dataset in (problem.train, problem.test):
        assert np.all(np.diff(dataset.inputs @ [1000, 1]) > 0)


def test_the_corruption_of_a_seed_is_not_its_split():
    # Streams of their own: were one order used for both, the corrupted examples would follow the order of the split.
    alone = modular_problem(11, alpha=0.5, xi=0.0, seed=4).train
    corrupted = modular_problem(11, alpha=0.5, xi=0.5, seed=4).train
    np.testing.assert_array_equal(alone.inputs, corrupted.inputs)
    quarter = {tuple(pair) for pair in modular_problem(11, alpha=0.25, seed=4).train.inputs.tolist()}
    assert {tuple(pair) for pair in corrupted.inputs[corrupted.corrupted].tolist()} != quarter


def test_a_set_is_as_long_as_it_has_examples():
    problem = modular_problem(5, alpha=0.6)
    assert (len(problem.train), len(problem.test)) == (15, 10)


def test_the_test_set_of_a_larger_training_set_comes_with_its_labels():
    kept = modular_problem(11, "multiply", 0.2, 0.5, 3, test_alpha=0.6)
    original = modular_problem(11, "multiply", 0.6, 0.5, 3)
    assert rows(kept.test) == rows(original.test)
    assert rows(kept.train).items() < rows(original.train).items()
