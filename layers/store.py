"""One contiguous array for all parameters of a network.

Zeroing, adding up, decaying and stepping then work on one array, whatever the network looks like. The layout goes
parameter by parameter; in a stack of R runs each parameter's block is (R, ...) and contiguous, so that per-run
hyperparameters broadcast over it as (R, 1), and a stack of tables (R, p, N) flattens to (R p, N) without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from backend import Array, Device


class Store:
    """Named views into one flat array.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shape of each array, without the stack axis, in the order of the layout.
    stack : tuple of int
        () for one run, (R,) for a stack of R.
    device : Device
    decayed : collection of str
        The names of the parameters that weight decay acts on.

    Attributes
    ----------
    flat : array (size,)
        All values, zero at first.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], stack: tuple[int, ...], device: Device,
                 decayed: Collection[str]):
        self.shapes, self.stack, self.device, self.decayed = dict(shapes), stack, device, frozenset(decayed)
        self.flat = device.zeros((sum(self._size(name) for name in shapes),))
        self._views = self.named(self.flat)

    def _size(self, name: str) -> int:
        return math.prod(self.stack) * math.prod(self.shapes[name])

    def __getitem__(self, name: str) -> Array:
        """The array of this name, a view into `flat`."""
        return self._views[name]

    def named(self, flat: Array) -> dict[str, Array]:
        """Views into a flat array of this layout (an optimiser's moments, say), by the parameters' names."""
        views, stop = {}, 0
        for name, shape in self.shapes.items():
            start, stop = stop, stop + self._size(name)
            views[name] = flat[start:stop].reshape(*self.stack, *shape)
        return views

    def like(self) -> Store:
        """A store of zeros with the same layout."""
        return Store(self.shapes, self.stack, self.device, self.decayed)

    def blocks(self, *flats: Array) -> Iterator[tuple[bool, list[Array]]]:
        """Cut flat arrays of this layout into blocks on which the optimiser's rule is the same.

        Parameters
        ----------
        *flats : array (size,)

        Yields
        ------
        decayed : bool
            Whether weight decay acts on the block.
        parts : list of array (R, size)
            The block in each of the arrays; R is 1 without a stack, where neighbouring parameters make one block.
        """
        runs, cuts = math.prod(self.stack), []
        stop = 0
        for name in self.shapes:
            start, stop = stop, stop + self._size(name)
            decayed = name in self.decayed
            if cuts and not self.stack and cuts[-1][0] == decayed:
                start = cuts.pop()[1]
            cuts.append((decayed, start, stop))
        for decayed, start, stop in cuts:
            yield decayed, [flat[start:stop].reshape(runs, -1) for flat in flats]
