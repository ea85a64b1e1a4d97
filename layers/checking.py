"""The gradient check of any layer, loss or network: values, and the contract of the two passes.

The values are compared with difference quotients (`layers.finite_differences`). The contract (`layers.base`) says that
backward *adds* to the gradients, that a cache can be used again, that what backward needs lies there and not in the
layer, and that neither pass writes into x, dy or the parameters; and all floats should be of one type. A network trains
on with a layer that breaks it, and a check of values alone would see nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

import streams
from backend import Array, array_module, open_device, to_host
from layers.base import EVALUATING, Cache, Layer, Mode
from layers.finite_differences import STEP, TOLERANCE, Row, difference_quotients


class UnknownMemory(Cache):
    """A cache whose workspaces hold NaN: a pass that takes them for zeros, which they often are, is found out."""

    def empty(self, name: str, shape: Sequence[int], like: Array) -> Array:
        """As `Cache.empty`; of integers and truth values, the largest there are."""
        array = super().empty(name, shape, like)
        kind = array.dtype.kind
        array[...] = np.nan if kind == "f" else True if kind == "b" else np.iinfo(array.dtype).max
        return array

    def kept(self) -> Iterator[tuple[str, Any]]:
        """What forward passes have left for backward passes, each with its name ("cache.first.x")."""
        for part in self.parts():
            for name, value in vars(part).items():
                if not name.startswith("_"):
                    for one in value if isinstance(value, tuple | list) else (value,):
                        yield ".".join(("cache", *part._path, name)), one


def check_layer(layer: Layer, x: Array, mode: Mode = EVALUATING, seed: int = 0, dy: Array | None = None,
                noise: float = 0.3) -> list[Row]:
    """Check the backward pass of any layer, or of a network of them, at the point x.

    Parameters
    ----------
    layer : Layer
        Built in float64; one that is not built yet is built here. It is left as it was.
    x : array (..., D, in)
        Of floats, whose derivatives are checked too, or of integers, which have none.
    mode : Mode
        Dropout and BatchNorm differ between training and evaluation: check both.
    seed : int
        Of dy, and of the noise.
    dy : array (..., D, out), optional
        The gradient from above, by default drawn from N(0, 1).
    noise : float
        The standard deviation of what is added to every parameter while it is checked. At initial values such as
        gamma = 1 and beta = 0, a backward pass that forgets gamma or doubles beta would look right.

    Returns
    -------
    rows : list of Row
        One for each parameter and, if x is of floats, one for x. What a pass wrote to and should not have has a row
        of its own, and so has what is of another type than x.

    Raises
    ------
    ValueError
        If the layer was built in float32, or is part of a network that was built.
    """
    return _check(layer, layer.forward, layer.backward, x, mode, seed, dy, noise)


def check_network(network: Layer, loss: Any, x: Array, labels: Array, mode: Mode = EVALUATING, seed: int = 0,
                  noise: float = 0.3) -> list[Row]:
    """Check the derivatives of a loss by all parameters of a network: what training steps along.

    Parameters
    ----------
    network : Layer
    loss : MeanSquaredError, CrossEntropy, or another with their two passes
    x : array (..., D, in)
    labels : integer array (D,) or (..., D)
    mode, seed, noise
        As for `check_layer`. In a stack L is a sum of the runs' losses with random weights.

    Returns
    -------
    rows : list of Row
    """
    def forward(x, cache, mode):
        return loss.forward(network.forward(x, cache["network"], mode), labels, cache["loss"])

    def backward(dy, cache, grads):
        return network.backward(_times(loss.backward(cache["loss"]), dy), cache["network"], grads)

    return _check(network, forward, backward, x, mode, seed, noise=noise)


def check_loss(loss: Any, logits: Array, labels: Array, seed: int = 0) -> list[Row]:
    """Check the derivatives of a loss by its logits.

    Parameters
    ----------
    loss : MeanSquaredError, CrossEntropy, or another with their two passes
    logits : array (..., D, p)
    labels : integer array (D,) or (..., D)
    seed : int

    Returns
    -------
    rows : list of one Row, for the logits ("x")
    """
    def forward(x, cache, mode):
        return loss.forward(x, labels, cache)

    def backward(dy, cache, grads):
        return _times(loss.backward(cache), dy)

    return _check(Layer(), forward, backward, logits, EVALUATING, seed)


def _times(dz: Array, dy: Array) -> Array:
    """The gradient of each run's loss times its own number; of dz's type, so that it shows if that is another."""
    return dz * dy[..., None, None].astype(dz.dtype if dz.dtype.kind == "f" else dy.dtype)


def _check(layer: Layer, forward: Callable, backward: Callable, x: Array, mode: Mode, seed: int,
           dy: Array | None = None, noise: float = 0.0) -> list[Row]:
    """Check a pair of passes that work on the layer's parameters."""
    xp, rng = array_module(x), streams.generator(seed, streams.ANALYSIS, streams.number_of("gradient check"))
    if not hasattr(layer, "store"):
        if any(hasattr(owner, own) for owner, own in layer.names().values()):
            raise ValueError("a layer inside a built network cannot be checked alone, since building it would replace "
                             "the network's parameters: check the network, or another layer of that kind")
        layer.build(open_device("numpy" if xp is np else "cupy", "float64"),
                    seed if x.ndim == 2 else range(seed, seed + len(x)))
    if layer.store.flat.dtype != np.float64:
        raise ValueError(f"a layer must be built in float64 to be checked, got {layer.store.flat.dtype}")
    x = xp.array(x, dtype=np.float64 if x.dtype.kind == "f" else x.dtype)  # a copy: it will be written to
    others = xp.repeat(x, 2, axis=-2)[..., -x.shape[-2]:, :]  # the last rows, each of them twice
    # Another step, so that masks are others too. To evaluate takes no seeds, so the mode may lack those of a stack.
    elsewhere = replace(mode, seeds=tuple(range(*layer.stack or (1,))), step=mode.step + 1)
    before = layer.state()
    try:
        layer.store.flat += noise * xp.asarray(rng.normal(size=layer.store.flat.shape))
        if layer.names("buffers"):  # running statistics of 0 and 1 are special values too
            forward(x.copy(), UnknownMemory(), replace(elsewhere, training=True))
        buffers = [(array, array.copy()) for array in _arrays(layer, "buffers").values()]

        def pass_forward(x, cache, mode=mode):
            y = forward(x, cache, mode)
            for array, kept in buffers:
                array[...] = kept
            return y

        def pass_others():
            # In both modes, since a layer may keep its mode, or keep something in one of them alone.
            for training in (mode.training, not mode.training):
                pass_forward(others.copy(), UnknownMemory(), replace(elsewhere, training=training))

        def evaluate():
            # A fresh cache, since a workspace may be what an earlier call returned; and y may be x itself.
            cache = UnknownMemory()
            y = xp.array(pass_forward(x.copy(), cache))
            return y, [part.active for part in cache.parts() if hasattr(part, "active")]

        if dy is None:
            dy = xp.asarray(rng.normal(size=evaluate()[0].shape))
        tensors = _arrays(layer)
        if x.dtype.kind == "f":
            tensors["x"] = x
        analytic, faults, broken = _backward_passes(layer, pass_forward, pass_others, backward, x, dy, rng)
        broken += _other_types(layer, lambda x, cache: forward(x, cache, mode), backward, x, dy)
        rows = []
        for name, array in tensors.items():
            numeric, kinks, rounding = difference_quotients(array, evaluate, dy)
            fault = faults.get(name, "")
            if kinks.all():
                fault = fault or "every entry lies at a kink: nothing is left to compare"
            row = Row(name, numeric, analytic[name], kinks, rounding, fault)
            if row.error > TOLERANCE / 10 and row.numeric.shape == row.analytic.shape:
                closer, *_ = difference_quotients(array, evaluate, dy, STEP / 4)
                row = replace(row, numeric=(16 * closer - numeric) / 15)
            rows.append(row)
        return [replace(row, stack=layer.stack[0] if layer.stack else None) for row in rows + broken]
    finally:
        layer.load_state(before)


def _arrays(layer: Layer, kind: str = "parameters") -> dict[str, Array]:
    return {name: getattr(owner, own) for name, (owner, own) in layer.names(kind).items()}


def _backward_passes(layer: Layer, forward: Callable, forward_others: Callable, backward: Callable, x: Array, dy: Array,
                     rng) -> tuple:
    """What the backward pass says, and which rules it breaks.

    Returns
    -------
    analytic : dict of str to array
        By the tensors' names.
    faults : dict of str to str
        By the tensors' names.
    broken : list of Row
        What a pass has written to and should only have read.
    """
    flat, cache, broken = layer.store.flat.copy(), UnknownMemory(), {}

    def both_passes(content, between=lambda: None):
        grads = layer.gradients()
        grads.flat[...] = content
        views = {name: getattr(reduce(getattr, filter(None, owner.path.split(".")), grads), own)
                 for name, (owner, own) in layer.names().items()}
        start = {name: np.array(to_host(view)) for name, view in views.items()}
        given_x, given_dy = x.copy(), dy.copy()
        forward(given_x, cache)
        between()
        dx = backward(given_dy, cache, grads)
        for name, was, now in (("x", x, given_x), ("dy", dy, given_dy), ("parameters", flat, layer.store.flat)):
            if bool((was != now).any()):
                broken[name] = Row(f"{name}, as given", np.array(to_host(was)), np.array(to_host(now)),
                                   np.zeros(was.shape, dtype=bool), fault=f"a pass writes into {name}")
        layer.store.flat[...] = flat
        found = {name: np.array(to_host(view)) for name, view in views.items()}
        if x.dtype.kind == "f":
            # A copy, since dx may be a workspace.
            found["x"] = np.full(x.shape, np.nan) if dx is None else np.array(to_host(dx))
        return start, found

    _, analytic = both_passes(0)
    start, again = both_passes(array_module(x).asarray(rng.normal(size=flat.shape)))
    _, interrupted = both_passes(0, forward_others)
    faults = {}
    for name, first in analytic.items():
        second = again[name]
        if name == "x" and first.shape != x.shape:
            faults[name] = f"backward returns dx of shape {first.shape} for x of shape {x.shape}"
        elif name == "x" and np.isnan(first).all():
            faults[name] = "backward returns no dx"
        elif _differ(second, first + start.get(name, 0)):
            faults[name] = ("backward overwrites the gradient, it must add to it"
                            if name != "x" and not _differ(second, first)
                            else "the same passes with the same cache give something else the second time")
        elif _differ(interrupted[name], first):
            faults[name] = "other rows passed in between change it: nothing of a pass may be kept in the layer"
    return analytic, faults, list(broken.values())


def _differ(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.linalg.norm(a - b) > 1e-9 * np.linalg.norm(b))


def _other_types(layer: Layer, forward: Callable, backward: Callable, x: Array, dy: Array) -> list[Row]:
    """Make both passes in float64 and in float32: a row for each result that is of another type."""
    state, attributes = layer.state(), [(part, dict(vars(part))) for _, part in layer.walk()]
    device, nothing, found = layer.store.device, np.empty(0), {}
    try:
        for dtype in (np.dtype("float64"), np.dtype("float32")):
            # Built anew in its place, since the two passes may know no other layer than this.
            layer.build(replace(device, dtype=dtype), range(*layer.stack) if layer.stack else 0).load_state(state)
            cache = UnknownMemory()
            with np.errstate(all="ignore"):  # types are all that is looked at
                y = forward(x.astype(dtype if x.dtype.kind == "f" else x.dtype), cache)
                dx = backward(dy.astype(dtype), cache, layer.gradients())
            for name, array in (("y", y), ("dx", dx), *cache.kept()):
                if (other := getattr(array, "dtype", dtype)) != dtype and other.kind == "f":
                    found.setdefault(name, Row(f"{name}, its type", nothing, nothing, nothing.astype(bool),
                                               fault=f"{other} where x, dy and the parameters are {dtype}"))
    finally:
        for part, kept in attributes:
            vars(part).clear()
            vars(part).update(kept)
    return list(found.values())
