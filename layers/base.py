"""What a layer is.

A layer owns parameters and nothing else. Its two passes are

    y  = layer.forward(x, cache, mode)        y = f(x; W)
    dx = layer.backward(dy, cache, grads)     dx = (df/dx)^T dy,  grads.W += (df/dW)^T dy

where dy means dL/dy, the gradient of a scalar loss L. What the backward pass needs of the forward pass lies in the
`cache`, which the caller hands in: a layer can run in several threads, and be evaluated in the middle of a step. All
floats are of one type, that of the parameters.

Shapes: the last two axes are (rows, features), and a layer sees nothing else. An axis in front is a stack of
independent runs, carried by the parameters as well: x (R, D, in), W (R, in, out). In docstrings "..." stands for that
axis or none.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import streams
from backend import Array, Device, array_module, open_device, to_host
from layers.store import Store


class Parameter(NamedTuple):
    """The declaration of one parameter.

    Attributes
    ----------
    shape : tuple of int
        Without the stack axis. Vectors are (1, N), so that they broadcast over rows with and without a stack.
    initial : callable (rng, shape) -> array
        Draws the initial value (see `layers.initial`).
    decay : bool
        Whether weight decay acts on it. By default not on biases, nor on a norm's gamma and beta.
    """

    shape: tuple[int, ...]
    initial: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    decay: bool = True


@dataclass(frozen=True)
class Mode:
    """How a pass is made: training or evaluating, and the key of its random draws.

    Attributes
    ----------
    training : bool
        Dropout drops and BatchNorm uses the batch's own statistics only when training.
    seeds : tuple of int
        The seed of each run of the stack (one seed without a stack).
    step : int
        The training step.
    first_example : int
        Where a chunk stands in its batch: how many examples come before it.
    """

    training: bool = False
    seeds: tuple[int, ...] = (0,)
    step: int = 0
    first_example: int = 0


EVALUATING = Mode(training=False)


class Cache:
    """What a forward pass leaves for the backward pass of the same rows, and the memory that both work in.

    A layer keeps a value by setting an attribute (`cache.x = x`). A layer made of layers hands each its own part,
    `cache["name"]`. Workspaces are kept from call to call: what a pass returns is overwritten by the next pass that is
    given the same cache.
    """

    prepared = None
    """What `Layer.prepare` gave, where several caches share it."""

    def __init__(self):
        self._path: tuple[str, ...] = ()
        self._parts: dict[str, Cache] = {}
        self._derived: dict[str, tuple[Any, Any]] = {}
        # The same for all parts. Not the outermost cache, which would keep itself alive.
        self._workspaces = SimpleNamespace(memory={})

    def __getitem__(self, name: str) -> Cache:
        """The part of the cache that belongs to the inner layer of this name."""
        if name not in self._parts:
            part = self._parts[name] = type(self)()
            part._workspaces, part._path = self._workspaces, (*self._path, name)
        return self._parts[name]

    def parts(self) -> Iterator[Cache]:
        """This cache and all those inside it."""
        yield self
        for part in self._parts.values():
            yield from part.parts()

    def empty(self, name: str, shape: Sequence[int], like: Array) -> Array:
        """Uninitialised memory of the given shape, of `like`'s type and on its device, reused from call to call."""
        memory, key, size = self._workspaces.memory, (self._path, name, like.dtype), math.prod(shape)
        array = memory.get(key)
        if array is None or array.size < size:
            array = memory[key] = array_module(like).empty(size, dtype=like.dtype)
        return array[:size].reshape(shape)

    def work_in(self, memory: dict[Any, Array]) -> None:
        """Take workspaces from this memory, which other caches use at other times (a thread has one for its work)."""
        self._workspaces.memory = memory

    def forget(self) -> None:
        """Let go of what forward passes have left for backward passes; workspaces and derived values stay."""
        for part in self.parts():
            for name in [name for name in vars(part) if not name.startswith("_")]:
                delattr(part, name)

    def derived(self, name: str, source: Array, make: Callable[[], Any]) -> Any:
        """A value made from the array `source`: made anew only when another array object is handed in."""
        kept = self._derived.get(name)
        if kept is None or kept[0] is not source:
            kept = self._derived[name] = (source, make())
        return kept[1]


class Gradients(SimpleNamespace):
    """The gradients of a layer: `grads.W` for its own parameter W, `grads["name"]` for the layer of that name inside.

    The outermost also has `flat`, the one contiguous array that all of them are views into.
    """

    def __getitem__(self, name: str) -> Gradients:
        return getattr(self, name)

    def member(self, run: int) -> Gradients:
        """The gradients of run number `run` of a stack, on the same memory."""
        return Gradients(**{name: value.member(run) if isinstance(value, Gradients) else value[run]
                            for name, value in vars(self).items() if name != "flat"})


class Layer:
    """A layer, or a network of them.

    A subclass sets `parameters` (name -> Parameter) in its constructor, and `buffers` likewise for state that is not
    trained. `build` then creates the arrays; from there on `layer.W` is the parameter W.
    """

    couples_rows = False
    """Whether a row's output depends on other rows in training (BatchNorm), and not by what is prepared alone: then a
    batch cannot be cut into chunks."""

    row_size = 1
    """Of a network: numbers per example in its widest intermediate result, from which the size of a chunk follows."""

    def __init__(self):
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, Parameter] = {}
        self.layers: dict[str, Layer] = {}
        self.path = ""

    def forward(self, x: Array, cache: Cache, mode: Mode = EVALUATING) -> Array:
        """Compute y from x, leaving in the cache what `backward` needs.

        Parameters
        ----------
        x : array (..., D, in)
        cache : Cache
        mode : Mode

        Returns
        -------
        y : array (..., D, out)
        """
        raise TypeError(f"{type(self).__name__} has no forward pass")

    def prepare(self, x: Array, mode: Mode = EVALUATING) -> Any:
        """What `forward` computes once for a batch x, from all of it or from the parameters alone; None if nothing.

        A forward pass does so by itself, unless it finds it in `cache.prepared`: the chunks of a batch can share it.
        The backward pass then leaves it to `prepare_backward`, and returns the gradients, a tuple of arrays.
        """
        return None

    def prepare_backward(self, prepared: Any, gradients: Sequence[Array], grads: Gradients) -> None:
        """Take the gradients of what `prepare` gave, added up over all chunks, back to the parameters."""
        raise TypeError(f"{type(self).__name__} prepares nothing")

    def backward(self, dy: Array, cache: Cache, grads: Gradients) -> Array | None:
        """Add dL/d(parameter) to the gradients, and return dL/dx.

        Parameters
        ----------
        dy : array (..., D, out)
            dL/dy.
        cache : Cache
            As `forward` left it.
        grads : Gradients
            Added to, not overwritten.

        Returns
        -------
        dx : array (..., D, in), or None if x is an array of integers (see also `prepare`)
        """
        raise TypeError(f"{type(self).__name__} has no backward pass")

    # ---- parameters ----

    def walk(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer and all layers inside it, each with its path ("block.attention")."""
        yield path, self
        for name, layer in self.layers.items():
            yield from layer.walk(f"{path}.{name}" if path else name)

    def names(self, kind: str = "parameters") -> dict[str, tuple[Layer, str]]:
        """Every parameter (or buffer) by its name in this network, with the layer that owns it and its name there.

        The name is the one that the layer uses (W) where no other layer of the network uses it, otherwise it is
        preceded by the layer's path (output.W).
        """
        owned = [(path, layer, name) for path, layer in self.walk() for name in getattr(layer, kind)]
        short = [name for _, _, name in owned]
        return {(f"{path}.{name}" if path and short.count(name) > 1 else name): (layer, name)
                for path, layer, name in owned}

    def build(self, device: Device | None = None, seed: int | Sequence[int] = 0) -> Layer:
        """Create the arrays of all parameters, with their initial values.

        Parameters
        ----------
        device : Device, optional
            NumPy in float64 by default.
        seed : int, or sequence of R ints
            A sequence makes a stack of R runs, each drawn exactly as the run of that seed alone.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or buffer is declared as a plain vector.
        """
        device = device or open_device("numpy", "float64")
        for name, (owner, own) in {**self.names("parameters"), **self.names("buffers")}.items():
            shape = {**owner.parameters, **owner.buffers}[own].shape
            if len(shape) < 2:
                raise ValueError(f"{name} must be declared with two axes or more, got the shape {shape}: a vector is "
                                 "(1, N), or in a stack it would broadcast along the runs")
        seeds, stack = ((seed,), ()) if np.ndim(seed) == 0 else (tuple(seed), (len(seed),))
        for path, layer in self.walk():
            layer.path = path
        for kind in ("parameters", "buffers"):
            declared = {name: getattr(owner, kind)[own] for name, (owner, own) in self.names(kind).items()}
            store = Store({name: p.shape for name, p in declared.items()}, stack, device,
                          decayed=[name for name, p in declared.items() if p.decay])
            for name, (owner, own) in self.names(kind).items():
                key = streams.number_of(f"{owner.path}.{own}")
                drawn = [declared[name].initial(streams.generator(s, streams.WEIGHTS, key), declared[name].shape)
                         for s in seeds]
                store[name][...] = device.asarray(np.asarray(drawn if stack else drawn[0], dtype=float))
                setattr(owner, own, store[name])
            if kind == "parameters":
                self.store = store
        self.stack = stack
        return self

    def gradients(self) -> Gradients:
        """Zero gradients for all parameters, in one contiguous array laid out like the parameters.

        Raises
        ------
        ValueError
            If this is not a layer that `build` was called on: a part of one, or a member of a stack, shares its memory
            with the whole, and its gradients are a part of the whole's.
        """
        if not hasattr(self, "store"):
            raise ValueError(f"gradients must be made by the whole network that was built, got its part "
                             f"{type(self).__name__}; take grads[name] or grads.member(run) from the whole's")
        store = self.store.like()
        grads = self._gradients_in({(id(owner), own): store[name] for name, (owner, own) in self.names().items()})
        grads.flat = store.flat
        return grads

    def _gradients_in(self, views: Mapping[tuple[int, str], Array]) -> Gradients:
        own = {name: views[id(self), name] for name in self.parameters}
        return Gradients(**own, **{name: layer._gradients_in(views) for name, layer in self.layers.items()})

    def member(self, run: int) -> Layer:
        """Run number `run` of a stack as a network without a stack, on the same memory."""
        one = copy.copy(self)
        vars(one).pop("store", None)
        one.stack = ()
        for name in (*self.parameters, *self.buffers):
            setattr(one, name, getattr(self, name)[run])
        one.layers = {name: layer.member(run) for name, layer in self.layers.items()}
        return one

    def state(self) -> dict[str, np.ndarray]:
        """All parameters and buffers by name, as copies on the host."""
        return {name: np.array(to_host(getattr(owner, own)))
                for kind in ("parameters", "buffers") for name, (owner, own) in self.names(kind).items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set all parameters and buffers; the inverse of `state`.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape differs; nothing is changed then.
        """
        arrays = {name: getattr(owner, own)
                  for kind in ("parameters", "buffers") for name, (owner, own) in self.names(kind).items()}
        if set(arrays) != set(state):
            raise ValueError(f"state must have the arrays {', '.join(sorted(arrays))}, got {', '.join(sorted(state))}")
        for name, array in arrays.items():
            if array.shape != np.shape(state[name]):
                raise ValueError(f"state: {name} must have the shape {array.shape}, got {np.shape(state[name])}")
        for name, array in arrays.items():
            array[...] = array_module(array).asarray(state[name], dtype=array.dtype)
