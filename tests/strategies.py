"""Random layers, networks and inputs for them, for what should hold whatever the shapes, stacks and seeds are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st

from backend import Array, Device, open_device, to_host
from layers import (
    GELU,
    LSTM,
    Attention,
    BatchNorm,
    Cache,
    Chain,
    CrossEntropy,
    DeepMLP,
    Dropout,
    FusedBatchNorm,
    FusedTransformer,
    FusedTwoLayer,
    Gradients,
    LastToken,
    Layer,
    LayerNorm,
    Linear,
    MeanSquaredError,
    Mode,
    PairEmbedding,
    PositionEmbedding,
    ReLU,
    Residual,
    Scale,
    Square,
    TextClassifier,
    TokenEmbedding,
    Transformer,
    TwoLayerNetwork,
)
from layers.mlp import ImageMLP

HEADS = 2


@dataclass(frozen=True)
class Kind:
    """A kind of layer: how one is made for a case, and what its input is.

    Attributes
    ----------
    make : callable (Case) -> Layer
        The layer, not built yet.
    reads : {"rows", "token rows", "tokens", "pairs"}
        Floats (..., D, N) or (..., D T, N), or integers (..., D, T) or (..., D, 2).
    """

    make: Callable[[Case], Layer]
    reads: str = "rows"


# A norm divides by the spread of a handful of numbers, which can be as small as chance will have it. This eps, in place
# of 1e-5, keeps the derivatives moderate, so that difference quotients and float32 can be held to narrow bounds.
EPS = 0.1

LAYERS = {
    "Linear": Kind(lambda c: Linear(c.width, c.p)),
    "Linear with bias": Kind(lambda c: Linear(c.width, c.p, bias=True)),
    "Square": Kind(lambda c: Square()),
    "ReLU": Kind(lambda c: ReLU()),
    "GELU": Kind(lambda c: GELU()),
    "Scale": Kind(lambda c: Scale(0.3)),
    "Dropout": Kind(lambda c: Dropout(c.rate)),
    "BatchNorm": Kind(lambda c: BatchNorm(c.width)),
    "LayerNorm": Kind(lambda c: LayerNorm(c.width)),
    "PairEmbedding": Kind(lambda c: PairEmbedding(c.p, c.width), "pairs"),
    "TokenEmbedding": Kind(lambda c: TokenEmbedding(c.p, c.width), "tokens"),
    "PositionEmbedding": Kind(lambda c: PositionEmbedding(c.tokens, c.width), "token rows"),
    "LastToken": Kind(lambda c: LastToken(c.tokens), "token rows"),
    "Attention": Kind(lambda c: Attention(c.width, HEADS, c.tokens), "token rows"),
    "Attention, mu scale": Kind(lambda c: Attention(c.width, HEADS, c.tokens, scale="1/d_head"), "token rows"),
    "LSTM": Kind(lambda c: LSTM(c.width, c.p, c.tokens), "token rows"),
    "Chain": Kind(lambda c: Chain(first=Linear(c.width, c.p), activation=GELU(), second=Linear(c.p, c.width))),
    "Residual": Kind(lambda c: Residual(first=Linear(c.width, c.p), activation=GELU(), second=Linear(c.p, c.width))),
}

NETWORKS = {
    "TwoLayerNetwork": Kind(lambda c: TwoLayerNetwork(c.p, c.width), "pairs"),
    "FusedTwoLayer": Kind(lambda c: FusedTwoLayer(c.p, c.width), "pairs"),
    "TwoLayerNetwork with dropout and BatchNorm": Kind(
        lambda c: TwoLayerNetwork(c.p, c.width, activation="gelu", dropout=c.rate, batch_norm=True), "pairs"),
    "TwoLayerNetwork with square and dropout": Kind(lambda c: TwoLayerNetwork(c.p, c.width, dropout=c.rate), "pairs"),
    "FusedTwoLayer with square and dropout": Kind(lambda c: FusedTwoLayer(c.p, c.width, dropout=c.rate), "pairs"),
    "TwoLayerNetwork with square and BatchNorm": Kind(
        lambda c: TwoLayerNetwork(c.p, c.width, batch_norm=True), "pairs"),
    "FusedBatchNorm": Kind(lambda c: FusedBatchNorm(c.p, c.width), "pairs"),
    "TwoLayerNetwork with dropout": Kind(
        lambda c: TwoLayerNetwork(c.p, c.width, activation="relu", dropout=c.rate), "pairs"),
    "DeepMLP": Kind(lambda c: DeepMLP(c.p, c.width, depth=4), "pairs"),
    "DeepMLP with dropout and BatchNorm": Kind(
        lambda c: DeepMLP(c.p, c.width, depth=3, activation="gelu", dropout=c.rate, batch_norm=True), "pairs"),
    "ImageMLP": Kind(lambda c: ImageMLP(c.width, c.p, 5, depth=4)),
    "ImageMLP with dropout and BatchNorm": Kind(
        lambda c: ImageMLP(c.width, c.p, 5, depth=3, activation="gelu", dropout=c.rate, batch_norm=True)),
    "Transformer": Kind(lambda c: Transformer(c.p, c.width, HEADS), "pairs"),
    "Transformer with dropout and LayerNorm": Kind(
        lambda c: Transformer(c.p, c.width, HEADS, dropout=c.rate, layer_norm=True), "pairs"),
    "Transformer with LayerNorm": Kind(lambda c: Transformer(c.p, c.width, HEADS, layer_norm=True), "pairs"),
    "FusedTransformer with dropout and LayerNorm": Kind(
        lambda c: FusedTransformer(c.p, c.width, HEADS, dropout=c.rate, layer_norm=True), "pairs"),
    "FusedTransformer": Kind(lambda c: FusedTransformer(c.p, c.width, HEADS), "pairs"),
    "FusedTransformer with LayerNorm": Kind(lambda c: FusedTransformer(c.p, c.width, HEADS, layer_norm=True), "pairs"),
    "TextClassifier": Kind(lambda c: TextClassifier(c.p, c.tokens, c.p, c.width), "tokens"),
    "TextClassifier with dropout": Kind(
        lambda c: TextClassifier(c.p, c.tokens, c.p, c.width, depth=4, dropout=c.rate), "tokens"),
}

KINDS = LAYERS | NETWORKS


@dataclass(frozen=True)
class Case:
    """Sizes and seeds: all that is needed to build a layer of any kind and inputs for it.

    Attributes
    ----------
    examples, width, p, tokens : int
        D, N (even: two heads share it), p and T.
    stack : tuple of int
        () or (R,).
    shared : bool
        Whether integer inputs and labels are one set for all runs of the stack.
    rate : float, or tuple of R floats
        Of dropout.
    seed : int
    """

    examples: int = 5
    width: int = 4
    p: int = 3
    tokens: int = 2
    stack: tuple[int, ...] = ()
    shared: bool = True
    rate: float | tuple[float, ...] = 0.4
    seed: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each run."""
        return tuple(self.seed + run for run in range(*self.stack or (1,)))

    def alone(self, run: int) -> Case:
        """Run number `run` of the stack as a case of its own; inputs and weights have to be taken from the stack."""
        rate = self.rate if np.ndim(self.rate) == 0 else self.rate[run]
        return replace(self, stack=(), seed=self.seeds[run], rate=rate)

    def mode(self, training: bool, first_example: int = 0) -> Mode:
        """A pass with the seeds of this case."""
        return Mode(training, self.seeds, step=7, first_example=first_example)

    def fresh(self, kind: str, device: Device | None = None) -> Layer:
        """A layer as `build` leaves it, but for the eps of its norms."""
        layer = KINDS[kind].make(self).build(device, seed=self.seeds if self.stack else self.seed)
        for _, inner in layer.walk():
            if isinstance(inner, (BatchNorm, LayerNorm)):
                inner.eps = EPS
        return layer

    def layer(self, kind: str, device: Device | None = None) -> Layer:
        """A layer away from its initial values, where a gamma of 1 or a bias of 0 would hide mistakes."""
        layer = self.fresh(kind, device)
        rng = self._rng(1)
        # A variance stays positive.
        layer.load_state({name: value * rng.uniform(0.5, 2, value.shape) if name.endswith("running_var")
                          else value + 0.3 * rng.normal(size=value.shape)
                          for name, value in self.fresh(kind).state().items()})
        return layer

    def inputs(self, kind: str) -> np.ndarray:
        """Random inputs for a layer of this kind, on the host."""
        reads, rng = KINDS[kind].reads, self._rng(2)
        if reads in ("pairs", "tokens"):
            stack = () if self.shared else self.stack
            return rng.integers(self.p, size=(*stack, self.examples, 2 if reads == "pairs" else self.tokens))
        rows = self.examples * (self.tokens if reads == "token rows" else 1)
        return rng.normal(size=(*self.stack, rows, self.width))

    def labels(self) -> np.ndarray:
        """Random labels in [0, p)."""
        return self._rng(3).integers(self.p, size=(*(() if self.shared else self.stack), self.examples))

    def normal(self, shape: tuple[int, ...], number: int = 0) -> np.ndarray:
        """Gaussian numbers, others for each number: an upstream gradient, a direction, logits."""
        return self._rng(4 + number).normal(size=shape)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number])


@st.composite
def cases(draw, stacked: bool | None = None, min_examples: int = 1) -> Case:
    """Cases of random sizes; with a stack, without (stacked=False), or either (None).

    Half of the stacks have as many runs as there are examples: a broadcast along the wrong axis fits there, and only
    the numbers tell.
    """
    examples = draw(st.integers(min_examples, 6))
    stack = ()
    if draw(st.booleans()) if stacked is None else stacked:
        stack = (examples if draw(st.booleans()) else draw(st.integers(1, 4)),)
    rates = st.sampled_from([0.0, 0.1, 0.5, 0.8])
    return Case(
        examples=examples, width=2 * draw(st.integers(1, 3)), p=draw(st.integers(2, 5)), tokens=draw(st.integers(1, 3)),
        stack=stack, shared=draw(st.booleans()),
        rate=tuple(draw(rates) for _ in range(*stack)) if stack and draw(st.booleans()) else draw(rates),
        seed=draw(st.integers(0, 2 ** 32 - 1)))


def named(grads: Gradients, path: str = "") -> dict[str, Array]:
    """All gradients by the path of their layer and their own name ("output.W")."""
    arrays = {}
    for name, value in vars(grads).items():
        if isinstance(value, Gradients):
            arrays |= named(value, f"{path}{name}.")
        elif name != "flat":
            arrays[path + name] = value
    return arrays


def both_passes(layer: Layer, x: Array, upstream: Callable[[tuple[int, ...]], np.ndarray], mode: Mode,
                device: Device | None = None, memory: dict | None = None) -> SimpleNamespace:
    """What a forward and a backward pass compute, on the host: y, dx (None for integer inputs) and grads by name.

    Parameters
    ----------
    upstream : callable (shape) -> array
        Makes dL/dy.
    memory : dict, optional
        Workspaces left by other passes.
    """
    device = device or open_device("numpy", "float64")
    cache, grads = Cache(), layer.gradients()
    if memory is not None:
        cache.work_in(memory)
    y = layer.forward(device.asarray(x), cache, mode)
    on_host = np.array(to_host(y))
    dx = layer.backward(device.asarray(upstream(y.shape)), cache, grads)
    return SimpleNamespace(y=on_host, dx=None if dx is None else np.array(to_host(dx)),
                           grads={name: np.array(to_host(array)) for name, array in named(grads).items()})


def assert_close(one: SimpleNamespace, other: SimpleNamespace, tolerance: float) -> None:
    """Both results agree, every array up to the tolerance relative to its largest entry."""
    arrays = [{"y": result.y, "dx": result.dx, **result.grads} for result in (one, other)]
    assert arrays[0].keys() == arrays[1].keys()
    for name, array in arrays[0].items():
        expected = arrays[1][name]
        assert (array is None) == (expected is None), name
        if array is not None:
            assert array.shape == expected.shape, name
            error, size = np.abs(array - expected).max(initial=0), np.abs(expected).max(initial=0)
            assert error <= tolerance * max(size, 1), f"{name} is off by {error:.1e} of {size:.1e}"


every_kind = pytest.mark.parametrize("kind", KINDS)
every_network = pytest.mark.parametrize("kind", NETWORKS)
every_loss = pytest.mark.parametrize("loss", [MeanSquaredError(), CrossEntropy()], ids=["MSE", "cross-entropy"])
# In float32 and with AVX-512, OpenBLAS's product of a row of five numbers with a matrix reads what lies on the stack
# behind its copy of the row. That is left out of the result, but where it is a signalling NaN it raises the flag.
flag_of_openblas = pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
training_or_not = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluating"])
