"""Every contender makes the same steps."""

import numpy as np
import pytest

from benchmarks.contenders import Contender, Floor, Ours, Task
from benchmarks.measure import COMPARED, DifferentLoss, check_losses, interleaved
from benchmarks.plain_numpy import PlainNumPy

SMALL = {"p": 11, "width": 16, "learning_rate": 0.003, "weight_decay": 1.0}


def agree(task, *peers):
    losses = check_losses([Ours(task), *peers])
    assert len(losses) == 1 + len(peers)


def test_plain_numpy_makes_our_steps():
    task = Task.of(**SMALL)
    agree(task, PlainNumPy(task))


class TestPyTorch:
    @pytest.fixture(autouse=True)
    def peers(self):
        pytest.importorskip("torch")
        from benchmarks import torch_peers
        return torch_peers

    @pytest.mark.parametrize("name", ["ReferenceLayout", "Embedded"])
    def test_makes_our_steps_of_the_two_layer_network(self, peers, name):
        task = Task.of(**SMALL)
        agree(task, getattr(peers, name)(task))

    @pytest.mark.parametrize("batch_size", [16, 60])
    def test_makes_our_steps_with_batch_norm_on_the_same_batches(self, peers, batch_size):
        task = Task.of(**SMALL, batch_norm=True, batch_size=batch_size)
        agree(task, peers.BatchNormed(task))

    def test_makes_our_steps_of_the_transformer(self, peers):
        task = Task.of(p=11, width=8, heads=2, model="transformer", xi=0.0, learning_rate=1e-3)
        agree(task, peers.TorchTransformer(task))


class TestJax:
    @pytest.fixture(autouse=True)
    def peers(self):
        pytest.importorskip("jax")
        from benchmarks import jax_peers
        return jax_peers

    @pytest.mark.parametrize("name", ["Gathers", "OneHot"])
    def test_makes_our_steps_of_the_two_layer_network(self, peers, name):
        task = Task.of(**SMALL)
        agree(task, getattr(peers, name)(task))

    def test_makes_our_steps_of_the_transformer(self, peers):
        task = Task.of(p=11, width=8, heads=2, model="transformer", xi=0.0, learning_rate=1e-3)
        agree(task, peers.JaxTransformer(task))


class Counting(Contender):
    """Counts its steps; its loss is the one that it is given."""

    def __init__(self, name, loss=1.0):
        self.name, self.steps, self.value = name, 0, loss

    def step(self):
        self.steps += 1

    def loss(self):
        return self.value


class TestTheComparison:
    def test_is_refused_if_a_loss_differs(self):
        with pytest.raises(DifferentLoss, match=r"after 50 steps the loss of other is 1\.001, that of one 1$"):
            check_losses([Counting("one"), Counting("other", 1.001)])

    def test_is_refused_if_a_loss_is_no_number(self):
        with pytest.raises(DifferentLoss, match="nan"):
            check_losses([Counting("one"), Counting("other", np.nan)])

    def test_allows_for_the_rounding_of_float32(self):
        assert check_losses([Counting("one"), Counting("other", 1.00009)]) == {"one": 1.0, "other": 1.00009}

    def test_is_of_the_same_step_of_all(self):
        contenders = [Counting("one"), Counting("other")]
        check_losses(contenders)
        assert [contender.steps for contender in contenders] == [COMPARED, COMPARED]

    def test_leaves_out_what_only_multiplies_matrices(self):
        task = Task.of(**SMALL)
        assert list(check_losses([Counting("one"), Floor(task)])) == ["one"]

    def test_takes_the_median_of_every_turn_of_everyone(self):
        times = interleaved([Counting("one"), Counting("other")], rounds=3, steps=4)
        assert {name: len(values) for name, values in times.items()} == {"one": 3, "other": 3}
        assert all(value > 0 for values in times.values() for value in values)
