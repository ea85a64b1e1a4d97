"""The strengths of the two circuits: on networks that are one circuit, the other, or both."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.circuits import circuit_strengths
from analysis.efficiency import logit_size
from data import modular_problem
from data.operations import all_pairs
from layers import Cache

P = 11


class Table:
    """A network that looks its logits up."""

    def __init__(self, logits):
        self.logits = logits

    def forward(self, pairs, cache):
        return self.logits[pairs[:, 0], pairs[:, 1]]


def rule(size, operation="add"):
    """The right logit stands `size` above the others, everywhere."""
    labels = all_pairs(P, operation)[1]
    return size * np.eye(P)[labels].reshape(P, P, P)


def memory(train, size):
    """The labels trained on stand `size` above the others, and nothing else does."""
    logits = np.zeros((P, P, P))
    logits[train.inputs[:, 0], train.inputs[:, 1], train.labels] = size
    return logits


@pytest.mark.parametrize("operation", ["add", "subtract"])
def test_the_rule_alone_is_all_generalising(operation):
    train = modular_problem(P, operation, 0.4).train
    found = circuit_strengths(Table(rule(7.0, operation)), train, P, operation)
    assert found.generalising == pytest.approx(7, rel=1e-12)
    assert found.memorising == pytest.approx(0, abs=1e-12)
    assert found.share == pytest.approx(1, rel=1e-12)
    assert found.restricted_loss == pytest.approx(np.log(1 + (P - 1) * np.exp(-7)), rel=1e-9)
    assert found.excluded_loss == pytest.approx(np.log(P), rel=1e-9)


@pytest.mark.parametrize("xi", [0.0, 1.0])
def test_labels_known_by_heart_are_all_memorising_also_the_right_ones(xi):
    train = modular_problem(P, "add", 0.7, xi=xi, seed=3).train
    found = circuit_strengths(Table(memory(train, 7.0)), train, P)
    assert found.generalising == pytest.approx(0, abs=1e-12)
    assert found.memorising == pytest.approx(7, rel=1e-12)
    assert found.share == 0
    assert found.restricted_loss == pytest.approx(np.log(P), rel=1e-9)
    assert found.excluded_loss == pytest.approx(np.log(1 + (P - 1) * np.exp(-7)), rel=1e-9)


def test_the_rule_speaks_against_wrong_labels_and_knows_nothing_of_them():
    train = modular_problem(P, "add", 0.5, xi=0.4, seed=2).train
    found = circuit_strengths(Table(rule(7.0)), train, P)
    wrong = (train.labels != train.true_labels).mean()
    assert wrong > 0.3
    assert found.generalising == pytest.approx(7 * (1 - wrong) - 7 / (P - 1) * wrong, rel=1e-9)
    assert found.memorising == pytest.approx(0, abs=1e-12)


@given(gen=st.floats(0.1, 9), mem=st.floats(0, 9), alpha=st.floats(0.1, 0.9))
def test_both_circuits_of_one_network_are_found_apart(gen, mem, alpha):
    train = modular_problem(P, "subtract", alpha, seed=1).train
    found = circuit_strengths(Table(rule(gen, "subtract") + memory(train, mem)), train, P, "subtract")
    assert found.generalising == pytest.approx(gen, rel=1e-9)
    assert found.memorising == pytest.approx(mem, rel=1e-9, abs=1e-9)


def test_the_strengths_add_up_to_the_size_of_the_logits():
    train = modular_problem(P, "add", 0.3, xi=0.2, seed=2).train
    logits = rule(3.0) + memory(train, 2.0) + np.random.default_rng(0).standard_normal((P, P, P))
    found = circuit_strengths(Table(logits), train, P)
    size = logit_size(Table(logits).forward(train.inputs, Cache()), train.labels)
    assert found.generalising + found.memorising == pytest.approx(size, rel=1e-12)
    assert all(isinstance(value, float) for value in asdict(found).values())


def test_a_network_without_logits_has_no_share():
    train = modular_problem(P, "add", 0.3).train
    assert circuit_strengths(Table(np.zeros((P, P, P))), train, P).share == 0


def test_who_was_trained_on_all_examples_has_none_to_tell_by():
    train = modular_problem(P, "divide", 1.0).train
    with pytest.raises(ValueError, match="at least one example"):
        circuit_strengths(Table(rule(1.0)), train, P, "divide")
