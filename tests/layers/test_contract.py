"""Layers of one's own that break the contract of the two passes: the gradient check says how."""

import numpy as np
import pytest

from layers import BatchNorm, Chain, Dropout, Layer, Linear, Mode
from layers.base import Parameter
from layers.checking import check_layer
from layers.gradcheck import side_by_side, table
from layers.initial import normal
from tests.layers.checked import TRAINING, by_tensor, draw, failed


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
