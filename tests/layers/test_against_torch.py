"""An outside judge: the same computation in PyTorch, differentiated by its autograd, in float64."""

import numpy as np
import pytest

from layers import BatchNorm, Cache, CrossEntropy, LayerNorm, MeanSquaredError, Transformer, TwoLayerNetwork
from tests.strategies import HEADS, KINDS, NETWORKS, Case, named, training_or_not

torch = pytest.importorskip("torch")
F = torch.nn.functional
TOLERANCE = 1e-10

every_kind = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NETWORKS])
sizes = pytest.mark.parametrize("case", [
    Case(examples=7, width=6, p=5, tokens=3, seed=1), Case(examples=2, width=4, p=4, tokens=2, seed=2),
    Case(examples=4, width=4, p=4, tokens=4, rate=0.7, seed=3), Case(examples=30, width=8, p=11, tokens=1, seed=4)],
    ids=lambda case: f"D={case.examples}")


class Judge:
    """A layer in PyTorch.

    Parameters
    ----------
    layer : Layer
        Whose parameters and buffers are copied, by their full path.
    cache : Cache
        Of the layer's own forward pass: its dropout masks are used again, since PyTorch would draw others.
    """

    def __init__(self, layer, cache):
        self.layers, self.caches = dict(layer.walk()), {}
        self.w, self.buffers = {}, {}
        for path, inner in self.layers.items():
            self.caches[path] = cache
            for name in path.split(".") if path else ():
                self.caches[path] = self.caches[path][name]
            for names, arrays in ((inner.parameters, self.w), (inner.buffers, self.buffers)):
                arrays |= {f"{path}.{name}" if path else name: torch.tensor(getattr(inner, name)) for name in names}
        for tensor in self.w.values():
            tensor.requires_grad_()

    def apply(self, path, x, training):
        """The layer at this path."""
        layer = self.layers[path]
        return getattr(self, type(layer).__name__)(layer, f"{path}." if path else "", x, training)

    def Linear(self, layer, at, x, training):
        bias = self.w[f"{at}b"].reshape(-1) if f"{at}b" in self.w else None
        return F.linear(x, self.w[f"{at}W"].mT, bias)

    def Square(self, layer, at, x, training):
        return x.square()

    def ReLU(self, layer, at, x, training):
        return F.relu(x)

    def GELU(self, layer, at, x, training):
        return F.gelu(x, approximate="tanh")

    def Scale(self, layer, at, x, training):
        return layer.s * x

    def Dropout(self, layer, at, x, training):
        mask = self.caches[at[:-1]].mask
        assert (mask is None) == (not training)
        if mask is None:
            return x
        # Nobody reads the rows of the other tokens, so they may have any mask.
        return x * torch.tensor(mask).repeat_interleave(len(x) // len(mask), dim=0)

    def BatchNorm(self, layer, at, x, training):
        mean, var = (self.buffers[f"{at}running_{name}"].reshape(-1) for name in ("mean", "var"))
        gamma, beta = (self.w[f"{at}{name}"].reshape(-1) for name in ("gamma", "beta"))
        return F.batch_norm(x, mean, var, gamma, beta, training, layer.momentum, layer.eps)

    def LayerNorm(self, layer, at, x, training):
        gamma, beta = (self.w[f"{at}{name}"].reshape(-1) for name in ("gamma", "beta"))
        return F.layer_norm(x, x.shape[-1:], gamma, beta, layer.eps)

    def PairEmbedding(self, layer, at, x, training):
        return F.embedding(x[:, 0], self.w[f"{at}U"]) + F.embedding(x[:, 1], self.w[f"{at}V"])

    def TokenEmbedding(self, layer, at, x, training):
        return F.embedding(x, self.w[f"{at}E"]).flatten(0, 1)

    def PositionEmbedding(self, layer, at, x, training):
        P = self.w[f"{at}P"]
        return (x.unflatten(0, (-1, len(P))) + P).flatten(0, 1)

    def LastToken(self, layer, at, x, training):
        return x[layer.tokens - 1::layer.tokens]

    def Attention(self, layer, at, x, training):
        d_head = x.shape[-1] // layer.heads
        q, k, v = ((x @ self.w[f"{at}W_{name}"]).reshape(-1, layer.tokens, layer.heads, d_head).transpose(1, 2)
                   for name in "QKV")
        o = F.scaled_dot_product_attention(q, k, v, scale=layer.s)
        return o.transpose(1, 2).reshape(x.shape) @ self.w[f"{at}W_O"]

    def LSTM(self, layer, at, x, training):
        W_x, W_h, b = (self.w[f"{at}{name}"] for name in ("W_x", "W_h", "b"))
        start = x.new_zeros((1, len(x) // layer.tokens, layer.width))
        h, _, _ = torch.lstm(x.unflatten(0, (-1, layer.tokens)), (start, start),
                             (W_x.mT, W_h.mT, b.reshape(-1), torch.zeros_like(b).reshape(-1)),
                             True, 1, 0.0, training, False, True)  # biases, layers, dropout, two ways, batch first
        return h.flatten(0, 1)

    def Chain(self, layer, at, x, training):
        for name in layer.layers:
            x = self.apply(f"{at}{name}", x, training)
        return x

    def Residual(self, layer, at, x, training):
        return x + self.Chain(layer, at, x, training)

    TwoLayerNetwork = FusedTwoLayer = FusedBatchNorm = DeepMLP = ImageMLP = Chain
    Transformer = FusedTransformer = TextClassifier = Chain


def close(ours, theirs):
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * max(1, np.abs(theirs).max(initial=0)))


def compare(layer, x, training, mode, loss):
    """Make both passes on both sides and compare all that comes out.

    Parameters
    ----------
    loss : callable (y, theirs) -> (dy, scalar tensor)
        From the outputs of both sides: our dL/dy, and their L.
    """
    cache, grads = Cache(), layer.gradients()
    before = {f"{path}.{name}" if path else name: getattr(inner, name).copy()
              for path, inner in layer.walk() for name in inner.buffers}
    y = layer.forward(x, cache, mode)
    judge = Judge(layer, cache)
    for name, tensor in judge.buffers.items():
        tensor[...] = torch.tensor(before[name])
    x_theirs = torch.tensor(x, requires_grad=x.dtype.kind == "f")
    y_theirs = judge.apply("", x_theirs, training)
    close(y, y_theirs)
    dy, theirs = loss(np.array(y), y_theirs)
    theirs.backward()
    dx = layer.backward(dy, cache, grads)
    assert (dx is None) == (x_theirs.grad is None)
    if dx is not None:
        close(dx, x_theirs.grad)
    for name, grad in named(grads).items():
        close(grad, judge.w[name].grad)
    for path, inner in layer.walk():
        for name in inner.buffers:
            close(getattr(inner, name), judge.buffers[f"{path}.{name}" if path else name])


@every_kind
@training_or_not
@sizes
def test_a_layer_agrees(kind, training, case):
    def project(y, theirs):
        dy = case.normal(y.shape)
        return dy, (theirs * torch.tensor(dy)).sum()

    compare(case.layer(kind), case.inputs(kind), training, case.mode(training), project)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
@training_or_not
@sizes
def test_a_network_with_its_loss_agrees(kind, loss, training, case):
    compare(case.layer(kind), case.inputs(kind), training, case.mode(training),
            lambda y, theirs: losses_on(loss, y, theirs, case.labels()))


def losses_on(loss, y, theirs, labels):
    """dL/dy of ours, and the scalar of theirs; the values of both are compared on the way."""
    cache, target = Cache(), torch.tensor(labels)
    ours = MeanSquaredError() if loss == "mse" else CrossEntropy()
    value = ours.forward(y, labels, cache)
    judge = (F.mse_loss(theirs, F.one_hot(target, y.shape[-1]).double()) if loss == "mse"
             else F.cross_entropy(theirs, target))
    close(value, judge)
    return ours.backward(cache), judge


@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
@pytest.mark.parametrize("size", [1, 30, 1000])
def test_a_loss_agrees_also_on_large_logits(loss, size):
    case = Case(examples=20, p=7, seed=5)
    logits = size * case.normal((20, 7))
    theirs = torch.tensor(logits, requires_grad=True)
    dz, value = losses_on(loss, logits, theirs, case.labels())
    value.backward()
    close(dz, theirs.grad)


def test_norms_have_torchs_default_constants():
    ours, theirs = BatchNorm(3), torch.nn.BatchNorm1d(3)
    assert (ours.eps, ours.momentum) == (theirs.eps, theirs.momentum)
    assert LayerNorm(3).eps == torch.nn.LayerNorm(3).eps


@training_or_not
def test_the_default_eps_agrees_too(training):
    case = Case(examples=30, width=6, p=11)
    network = TwoLayerNetwork(case.p, case.width, batch_norm=True).build()
    compare(network, case.inputs("TwoLayerNetwork"), training, case.mode(training),
            lambda y, theirs: losses_on("mse", y, theirs, case.labels()))


def test_the_transformer_scales_scores_and_logits_by_mu_parametrisation():
    layers = Transformer(5, width=8, heads=HEADS).layers
    assert layers["attention"].layers["heads"].s == HEADS / 8
    assert layers["scale"].s == 1 / 8
