"""The gradient check passes what is right, and sees what is wrong."""

import numpy as np
import pytest

import layers
from backend import open_device
from layers import Attention, BatchNorm, Chain, Dropout, Layer, Linear, MeanSquaredError, Mode, ReLU, Square
from layers.cases import CASES, EXAMPLES, STACKS, check
from layers.checking import check_layer, check_loss, check_network
from layers.finite_differences import STEP, TOLERANCE
from layers.gradcheck import side_by_side, table
from layers.mistakes import MISTAKES, BatchNormConstantVariance
from tests.layers.checked import TRAINING, by_tensor, draw, failed


# Seeds other than the command's own.
@pytest.mark.parametrize(("stack", "seed"), [(None, 1), (None, 2), (None, 3), (3, 4), (EXAMPLES, 5)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_backward_pass_agrees_with_difference_quotients(case, stack, seed):
    rows = check(case, seed, stack)
    assert rows
    for row in rows:
        assert row.passed, side_by_side(row)
        assert not row.zero, f"{row.tensor}: nothing but zeros were compared"
        assert row.left_out < row.kinks.size / 2


def test_the_stacks_of_a_default_run_include_none_and_as_many_runs_as_examples():
    assert None in STACKS
    assert EXAMPLES in STACKS
    assert len(STACKS) > 2


def test_every_layer_loss_and_network_is_a_case():
    kinds = {case.kind for case in CASES.values()} | {case.loss for case in CASES.values() if case.loss}
    exported = {value for value in vars(layers).values() if isinstance(value, type)
                and (issubclass(value, Layer) or hasattr(value, "backward"))}
    assert exported - kinds == {Layer, Chain}


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_every_planted_mistake_is_caught(mistake, stack):
    case = CASES[mistake.case]
    assert issubclass(mistake.kind, case.kind)
    assert not failed(check(case, 1, stack))
    assert failed(check(case, 1, stack, kind=mistake.kind))


@pytest.mark.parametrize(("name", "tensors"), [
    ("linear-weights-transposed", {"W"}), ("linear-bias-forgotten", {"b"}), ("layer-norm-gamma-late", {"x"}),
    ("attention-keys-not-transposed", {"W_K", "x"}), ("relu-in-place", {"dy, as given"}),
    ("linear-state-on-self", {"W"}), ("square-in-float32", {"dx, its type"})])
def test_a_mistake_shows_in_the_tensors_it_spoils_and_in_no_other(name, tensors):
    assert failed(check(CASES[MISTAKES[name].case], kind=MISTAKES[name].kind)) == tensors


# What a layer does wrong, on purpose.


def test_what_has_no_name_has_no_column_for_it_and_is_told_by_its_stack():
    for x, words in ((np.ones((5, 4)), "one run"), (np.ones((3, 5, 4)), "R = 3")):
        rows = check_layer(Linear(4, 2), x + np.arange(4))
        assert table(rows).splitlines()[0].split("  ")[0] == "tensor"
        assert f"error, {words}" in table(rows).splitlines()[0]
        assert side_by_side(rows[0]).startswith(f"W, {words}: ")


def test_a_gradient_of_ones_cannot_see_a_wrong_batch_norm():
    """With dy = 1 the true dx is 0, and so is what the mistake forgets; with a random dy it is seen."""
    x, wrong = draw(5, 4), BatchNormConstantVariance(4)
    with_ones = by_tensor(check_layer(wrong, x, TRAINING, dy=np.ones((5, 4))))
    assert with_ones["x"].passed
    assert with_ones["x"].zero
    assert "all zero" in table(with_ones.values())
    assert failed(check_layer(wrong, x, TRAINING)) == {"x"}
    assert not failed(check_layer(BatchNorm(4), x, TRAINING))


def test_a_kink_between_the_two_points_is_found_left_out_and_counted():
    x = draw(5, 4)
    x[1, 2], x[3, 0], x[4, 1] = STEP / 3, -STEP / 3, 3 * STEP
    (row,) = check_layer(ReLU(), x)
    assert row.passed
    assert list(zip(*np.nonzero(row.kinks), strict=True)) == [(1, 2), (3, 0)]
    assert row.left_out == 2
    assert abs(row.numeric - row.analytic)[row.kinks].min() > 1e-3  # left in, they would have failed
    assert "left out, at a kink" in side_by_side(row, row.kinks.size)
    assert check_layer(Square(), x)[0].left_out == 0


def test_a_kink_deep_inside_a_network_is_found():
    network = Chain(first=Linear(4, 6), inner=Chain(relu=ReLU()), last=Linear(6, 3)).build(seed=1)
    x = draw(5, 4)
    # The first row's first pre-activation is made to vanish.
    network.layers["first"].W[:, 0] -= x[0] * (x[0] @ network.layers["first"].W[:, 0]) / (x[0] @ x[0])
    rows = by_tensor(check_layer(network, x, noise=0))
    assert not failed(rows.values())
    assert rows["x"].kinks[0].any()
    assert not rows["x"].kinks[1:].any()
    assert rows["first.W"].kinks[:, 0].any()
    assert rows["last.W"].left_out == 0


def test_a_check_that_leaves_everything_out_does_not_pass():
    (row,) = check_layer(ReLU(), np.zeros((5, 4)))
    assert row.left_out == 20
    assert not row.passed


@pytest.mark.parametrize("mode", [Mode(), TRAINING], ids=["evaluating", "training"])
def test_a_check_leaves_the_layer_and_its_input_as_they_were(mode):
    network = Chain(linear=Linear(4, 6), norm=BatchNorm(6), dropout=Dropout(0.4)).build(seed=3)
    x = draw(5, 4)
    state, given, attributes = network.state(), x.copy(), [dict(vars(layer)) for _, layer in network.walk()]
    assert not failed(check_layer(network, x, mode))
    assert np.array_equal(x, given)
    for (_, layer), before in zip(network.walk(), attributes, strict=True):
        assert vars(layer).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(layer).items())
    for name, array in network.state().items():
        assert np.array_equal(array, state[name]), name


def test_training_and_evaluation_are_different_checks():
    def dx(layer, mode):
        return by_tensor(check_layer(layer, draw(5, 4), mode))["x"].numeric

    for layer in (BatchNorm(4), Dropout(0.4)):
        assert not np.allclose(dx(layer, TRAINING), dx(layer, Mode()))


def test_a_network_in_float32_is_refused():
    with pytest.raises(ValueError, match="got float32"):
        check_layer(Linear(4, 3).build(open_device("numpy", "float32")), draw(5, 4))


def test_a_part_of_a_built_network_is_refused_and_kept():
    network = Chain(linear=Linear(4, 3)).build(seed=1)
    W = network.layers["linear"].W
    with pytest.raises(ValueError, match="inside a built network"):
        check_layer(network.layers["linear"], draw(5, 4))
    assert network.layers["linear"].W is W


def test_where_the_curvature_is_large_the_quotient_is_extrapolated():
    # Two rows whose difference is of the order of sqrt(eps), the length on which BatchNorm bends.
    x = np.array([[0.0], [4e-3], [1e-3]])
    worst = max(row.error for row in check_layer(BatchNorm(1), x, TRAINING))
    assert (STEP / 4e-3) ** 2 > 10 * TOLERANCE
    assert worst <= TOLERANCE


def test_losses_and_networks_of_ones_own():
    class SumOfFourthPowers:
        def forward(self, logits, labels, cache, examples=None):
            cache.logits = logits
            return (logits ** 4).sum(axis=(-2, -1))

        def backward(self, cache):
            return 4 * cache.logits ** 3

    class Wrong(SumOfFourthPowers):
        def backward(self, cache):
            return 3 * cache.logits ** 3

    class Rounded(SumOfFourthPowers):
        def backward(self, cache):
            return super().backward(cache).astype(np.float32)

    labels = np.array([0, 1, 2, 0, 1])
    for shape in ((5, 3), (2, 5, 3), (5, 5, 3)):
        assert not failed(check_loss(SumOfFourthPowers(), draw(*shape), labels))
        assert failed(check_loss(Wrong(), draw(*shape), labels)) == {"x"}
        assert failed(check_loss(Rounded(), draw(*shape), labels)) == {"dx, its type"}
    network = Chain(a=Linear(4, 6), phi=Square(), b=Linear(6, 3)).build(seed=2)
    rows = check_network(network, MeanSquaredError(), draw(5, 4), labels)
    assert not failed(rows)
    assert set(by_tensor(rows)) == {"a.W", "b.W", "x"}
    assert failed(check_network(network, Wrong(), draw(5, 4), labels)) == {"a.W", "b.W", "x"}


def test_every_entry_of_every_tensor_is_kept_for_a_picture():
    rows = check_layer(Attention(8, 2, 3), draw(6, 8))
    assert {row.tensor: row.numeric.shape for row in rows} == {
        "W_Q": (8, 8), "W_K": (8, 8), "W_V": (8, 8), "W_O": (8, 8), "x": (6, 8)}
    for row in rows:
        assert row.analytic.shape == row.kinks.shape == row.numeric.shape
