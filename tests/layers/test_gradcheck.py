"""The gradient check passes what is right, and sees what is wrong."""

import numpy as np
import pytest

import layers
from backend import BackendError, open_device
from layers import Attention, BatchNorm, Chain, Dropout, Layer, Linear, MeanSquaredError, Mode, ReLU, Square
from layers.base import Parameter
from layers.cases import CASES, EXAMPLES, STACKS, check
from layers.checking import check_layer, check_loss, check_network
from layers.finite_differences import STEP, TOLERANCE
from layers.gradcheck import main, side_by_side, table
from layers.initial import normal
from layers.mistakes import MISTAKES, BatchNormConstantVariance, Mistake

TRAINING = Mode(training=True)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def by_tensor(rows):
    return {row.tensor: row for row in rows}


def failed(rows):
    return {row.tensor for row in rows if not row.passed}


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

class Product(Layer):
    """y = x * w; what is wrong with it comes from subclasses."""

    def __init__(self, width=4):
        super().__init__()
        self.parameters["w"] = Parameter((1, width), normal(1))

    def forward(self, x, cache, mode=None):
        cache.x = x
        return x * self.w

    def backward(self, dy, cache, grads):
        grads.w += (dy * cache.x).sum(axis=-2, keepdims=True)
        return dy * self.w


class Overwrites(Product):
    def backward(self, dy, cache, grads):
        grads.w[...] = (dy * cache.x).sum(axis=-2, keepdims=True)
        return dy * self.w


class Rebinds(Product):
    def backward(self, dy, cache, grads):
        grads.w = (dy * cache.x).sum(axis=-2, keepdims=True)
        return dy * self.w


class WritesIntoDy(Product):
    def backward(self, dy, cache, grads):
        grads.w += (dy * cache.x).sum(axis=-2, keepdims=True)
        dy *= self.w
        return dy


class WritesIntoX(Product):
    def forward(self, x, cache, mode=None):
        cache.x = x.copy()
        x *= self.w
        return x


class WritesIntoParameters(Product):
    def backward(self, dy, cache, grads):
        dx = super().backward(dy, cache, grads)
        self.w *= 0.5
        return dx


class NoInputGradient(Product):
    def backward(self, dy, cache, grads):
        super().backward(dy, cache, grads)


class ZeroInputGradient(Product):
    def backward(self, dy, cache, grads):
        return 0 * super().backward(dy, cache, grads)


class InputGradientThatBroadcasts(Product):
    def backward(self, dy, cache, grads):
        return super().backward(dy, cache, grads).sum(axis=-2, keepdims=True)


class GrowsWithItsCache(Product):
    def backward(self, dy, cache, grads):
        cache.calls = getattr(cache, "calls", 0) + 1
        return super().backward(dy, cache, grads) * cache.calls


class NotFinite(Product):
    def backward(self, dy, cache, grads):
        dx = super().backward(dy, cache, grads)
        dx[..., 0, 0] = np.nan
        return dx


class KeepsX(Product):
    def forward(self, x, cache, mode=None):
        self.x = x
        return x * self.w

    def backward(self, dy, cache, grads):
        cache.x = self.x
        return super().backward(dy, cache, grads)


class RoundsDx(Product):
    def backward(self, dy, cache, grads):
        return super().backward(dy, cache, grads).astype(np.float32)


class KeepsXRounded(Product):
    def forward(self, x, cache, mode=None):
        cache.kept = (None, x.astype(np.float32))
        return x * self.w

    def backward(self, dy, cache, grads):
        cache.x = cache.kept[1].astype(dy.dtype)
        return super().backward(dy, cache, grads)


class DoublesY(Product):
    """NumPy's float64 beside a float32 array makes a float64 array, as a Python float would not."""

    def forward(self, x, cache, mode=None):
        return super().forward(x, cache) * np.sqrt(1.0)


class MixesRuns(Product):
    """Right without a stack."""

    def backward(self, dy, cache, grads):
        super().backward(dy, cache, grads)
        return dy * (self.w if dy.ndim == 2 else self.w[::-1])


@pytest.mark.parametrize(("kind", "tensor", "message"), [
    (Overwrites, "w", "overwrites"), (Rebinds, "w", ""), (WritesIntoDy, "dy, as given", "writes into dy"),
    (WritesIntoX, "x, as given", "writes into x"),
    (WritesIntoParameters, "parameters, as given", "writes into parameters"),
    (NoInputGradient, "x", "no dx"), (ZeroInputGradient, "x", ""), (NotFinite, "x", ""),
    (InputGradientThatBroadcasts, "x", "shape"), (GrowsWithItsCache, "x", "second time"),
    (KeepsX, "w", "kept in the layer"),
    (RoundsDx, "dx, its type", "float32 where x, dy and the parameters are float64"),
    (DoublesY, "y, its type", "float64 where x, dy and the parameters are float32")])
@pytest.mark.parametrize("shape", [(5, 4), (3, 5, 4)], ids=["one run", "stack"])
def test_a_layer_that_breaks_the_contract_is_caught(kind, tensor, message, shape):
    rows = check_layer(kind(), draw(*shape))
    assert failed(rows) == {tensor}
    assert message in by_tensor(rows)[tensor].fault
    assert "WRONG" in table(rows)
    assert side_by_side(by_tensor(rows)[tensor])


def test_what_is_rounded_in_the_cache_is_named_though_the_numbers_agree():
    network = Chain(inner=Chain(product=KeepsXRounded()), last=Linear(4, 3))
    assert failed(check_layer(network, draw(5, 4))) == {"cache.inner.product.kept, its type"}


# What a layer that has two modes may keep in itself: its mode, or what it has in training alone.

class KeepsItsMode(BatchNorm):
    def forward(self, x, cache, mode=None):
        self.training = mode.training
        return super().forward(x, cache, mode)

    def backward(self, dy, cache, grads):
        cache.training = self.training
        return super().backward(dy, cache, grads)


class KeepsItsStatistics(BatchNorm):
    def forward(self, x, cache, mode=None):
        y = super().forward(x, cache, mode)
        if mode.training:
            self.r = cache.r
        return y

    def backward(self, dy, cache, grads):
        if cache.training:
            cache.r = self.r
        return super().backward(dy, cache, grads)


class KeepsItsMask(Dropout):
    def forward(self, x, cache, mode=None):
        y = super().forward(x, cache, mode)
        self.mask = cache.mask
        return y

    def backward(self, dy, cache, grads):
        cache.mask = self.mask
        return super().backward(dy, cache, grads)


class KeepsTheMaskOfTraining(Dropout):
    def forward(self, x, cache, mode=None):
        y = super().forward(x, cache, mode)
        if mode.training:
            self.mask = cache.mask
        return y

    def backward(self, dy, cache, grads):
        if cache.mask is not None:
            cache.mask = self.mask
        return super().backward(dy, cache, grads)


@pytest.mark.parametrize(("kind", "mode"), [
    (KeepsItsMode, TRAINING), (KeepsItsMode, Mode()), (KeepsItsStatistics, TRAINING), (KeepsItsMask, TRAINING),
    (KeepsItsMask, Mode()), (KeepsTheMaskOfTraining, TRAINING)])
def test_what_a_layer_keeps_of_its_mode_is_caught(kind, mode):
    rows = check_layer(kind(0.4 if issubclass(kind, Dropout) else 4), draw(5, 4), mode)
    assert failed(rows) == {"x"}
    assert "kept in the layer" in by_tensor(rows)["x"].fault


def test_a_stack_can_be_checked_in_evaluation_without_its_seeds():
    for layer in (Dropout(0.4), Chain(norm=BatchNorm(4), dropout=Dropout((0.1, 0.4, 0.7)))):
        assert not failed(check_layer(layer, draw(3, 5, 4)))


def test_runs_that_are_mixed_up_are_caught():
    assert not failed(check_layer(MixesRuns(), draw(5, 4)))
    assert failed(check_layer(MixesRuns(), draw(4, 5, 4))) == {"x"}


def test_a_layer_of_ones_own_passes_with_and_without_a_stack():
    for x in (draw(5, 4), draw(3, 5, 4), draw(5, 4).astype(np.float32)):
        assert not failed(check_layer(Product(), x))


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


def test_the_command_prints_a_table_and_succeeds(capsys):
    assert main(["--layer", "linear/BIAS"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["layer", "tensor"]
    for words in ("one run", "R = 3", "R = 5", "at kinks", "verdict"):
        assert words in header
    assert [line.split()[:2] for line in lines[:3]] == [["Linear/bias", name] for name in ("W", "b", "x")]
    assert all(line.endswith("ok") for line in lines[:3])
    assert len({line.index("ok") for line in lines[:3]}) == 1
    assert "all 9 tensors agree" in lines[-1]
    assert "0 left out at kinks" in lines[-1]


def test_a_prefix_chooses_several_layers_and_stack_chooses_one_stack(capsys):
    assert main(["--layer", "Linear", "--stack", "2"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("Linear/bias", "Linear/no-bias", "Linear/square", "R = 2"))
    assert "one run" not in out.splitlines()[0]
    assert main(["--layer", "Square", "--stack", "0"]) == 0
    assert "one run" in capsys.readouterr().out


def test_seeds_change_the_numbers_and_nothing_else(capsys):
    outs = []
    for seed in ("0", "0", "7"):
        assert main(["--layer", "GELU", "--seed", seed]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] != outs[2]


def test_show_prints_both_derivatives_side_by_side(capsys):
    assert main(["--show", "LayerNorm"]) == 0
    out = capsys.readouterr().out
    assert out.count("numeric") == 3
    assert "LayerNorm gamma, one run" in out
    assert "[0, 3]" in out


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_explained_and_fails_the_command(name, capsys):
    assert main(["--plant", name, "--stack", "0"]) == 1
    out = capsys.readouterr().out
    assert MISTAKES[name].explanation in out
    assert out.index("Right:") < out.index("Planted:") < out.index("WRONG")
    assert "tensors WRONG" in out.splitlines()[-1]


class WrongInParts(Square):
    """Wrong in the last of three methods, of which the right layer has two."""

    def forward(self, x, cache, mode=None):
        return super().forward(x, cache, mode)

    def backward(self, dy, cache, grads):
        return self.factor() * super().backward(dy, cache, grads)

    def factor(self):
        return 0.5


def test_a_mistake_in_several_methods_is_explained_by_all_of_them(monkeypatch, capsys):
    monkeypatch.setitem(MISTAKES, "in-parts", Mistake("Square", WrongInParts))
    assert main(["--plant", "in-parts", "--stack", "0"]) == 1
    right, planted = capsys.readouterr().out.split("Right:")[1].split("Planted:")
    assert [text.count("def ") for text in (right, planted)] == [2, 3]
    assert right.index("def forward") < right.index("def backward")
    assert "0.5" in planted


@pytest.mark.parametrize(("arguments", "message"), [
    (["--layer", "Convolution"], "LayerNorm"), (["--show", "Convolution"], "LayerNorm"),
    (["--plant", "gremlin"], "relu-in-place"), (["--stack", "-1"], "got '-1'"), (["--stack", "two"], "got 'two'"),
    (["--seed", "-3"], "got '-3'"), (["--layer", "ReLU", "--plant", "relu-in-place"], "not allowed with"),
    (["--backend", "abacus"], "numpy")])
def test_options_that_make_no_sense_are_refused_with_the_choices(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_backend_is_one_line_on_stderr(monkeypatch, capsys):
    def missing(*_):
        raise BackendError("backend cupy needs CuPy")

    monkeypatch.setattr("layers.gradcheck.open_device", missing)
    assert main(["--backend", "cupy", "--layer", "Square"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "gradcheck: backend cupy needs CuPy\n"
    assert not captured.out


def test_help_describes_layers_and_mistakes(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "examples:" in out
    assert all(name in out for name in (*CASES, *MISTAKES))


@pytest.mark.usefixtures("strict_cupy")
@pytest.mark.parametrize("stack", ["0", "2"])
def test_the_check_keeps_host_and_device_apart(stack, capsys):
    assert main(["--backend", "cupy", "--layer", "TwoLayerNetwork/batch-norm", "--stack", stack]) == 0
    assert main(["--backend", "cupy", "--layer", "ReLU", "--stack", stack]) == 0
    assert main(["--backend", "cupy", "--layer", "CrossEntropy", "--stack", stack]) == 0
    assert main(["--backend", "cupy", "--plant", "pair-embedding-overwrites", "--stack", stack]) == 1


@pytest.mark.gpu
def test_the_check_passes_on_a_gpu(capsys):
    assert main(["--backend", "cupy", "--stack", "0"]) == 0
