"""Test pairs and their mirror images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.mirrors import accuracy_by_mirror, mirrored
from data import modular_problem
from data.operations import all_pairs


class KnowsByHeart:
    """Knows the pairs it was trained on and, if told to, their mirror images; says 0 to others."""

    def __init__(self, train, p, both):
        answers = {tuple(pair): label for pair, label in zip(train.inputs.tolist(), train.labels.tolist(), strict=True)}
        if both:
            answers |= {pair[::-1]: label for pair, label in answers.items()}
        self.p, self.answers = p, answers

    def forward(self, pairs, cache):
        return np.eye(self.p)[[self.answers.get(tuple(pair), 0) for pair in pairs.tolist()]]


@given(p=st.integers(2, 9), alpha=st.floats(0.2, 1), seed=st.integers(0, 20))
def test_is_whether_the_pair_with_its_places_exchanged_is_there(p, alpha, seed):
    problem = modular_problem(p, "add", alpha, seed=seed) if int(alpha * p * p) else None
    if problem is None:
        return
    trained = {tuple(pair) for pair in problem.train.inputs.tolist()}
    pairs = all_pairs(p, "add")[0]
    expected = [(n, m) in trained for m, n in pairs.tolist()]
    np.testing.assert_array_equal(mirrored(pairs, problem.train.inputs), expected)


@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_who_knows_mirror_images_by_heart_is_right_on_those_alone(alpha):
    problem = modular_problem(23, "add", alpha, seed=1)
    on_mirrored, elsewhere = accuracy_by_mirror(KnowsByHeart(problem.train, 23, both=True), problem)
    assert on_mirrored == 1
    assert elsewhere < 0.1
    network = KnowsByHeart(problem.train, 23, both=False)
    assert max(accuracy_by_mirror(network, problem)) < 0.1
    share = mirrored(problem.test.inputs, problem.train.inputs).mean()
    assert share == pytest.approx(alpha, abs=0.05)


def test_without_such_pairs_there_is_no_accuracy():
    problem = modular_problem(5, "add", 1.0)
    assert accuracy_by_mirror(KnowsByHeart(problem.train, 5, both=True), problem) == (None, None)
