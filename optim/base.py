"""What an optimiser is: a rule that moves all parameters of a network, given all their gradients.

Both are flat arrays. The rule sees them block by block as (R, size), where the runs of a stack are rows: a learning
rate or a decay that differs between runs is a column (R, 1). Weight decay acts on a block or does not (biases and the
gamma and beta of a norm are exempt by default).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from backend import Array, to_host
from layers.store import Store


class Optimizer:
    """Base of the optimisers.

    Parameters
    ----------
    store : Store
        The network's parameters.
    learning_rate : float, or sequence of R floats
        One for each run of a stack if a sequence.
    weight_decay : float, or sequence of R floats

    Attributes
    ----------
    steps : int
        Steps made so far.
    """

    moments: tuple[str, ...] = ()
    """The names of the running averages that the rule keeps, flat arrays laid out like the parameters."""

    def __init__(self, store: Store, learning_rate: float | Sequence[float],
                 weight_decay: float | Sequence[float] = 0.0):
        self.store = store
        self.learning_rate = self._per_run(learning_rate)
        self.weight_decay = self._per_run(weight_decay)
        self.decays = bool(np.any(weight_decay))
        self.steps = 0
        for name in self.moments:
            setattr(self, name, store.like().flat)

    def _per_run(self, value):
        if np.ndim(value) == 0:
            return float(value)
        return self.store.device.xp.asarray(np.asarray(value, dtype=float)[:, None])

    def factor(self, value: float | Array) -> float | Array:
        """A factor for parameters: computed in double, for one run as for many, then rounded to their type.

        Parameters
        ----------
        value : float, or float64 array (R, 1)
        """
        return value if isinstance(value, float) else value.astype(self.store.flat.dtype)

    def step(self, grads: Array | Sequence[Array], rate_factor: float = 1.0) -> None:
        """Move the parameters once.

        Parameters
        ----------
        grads : array (size,), or sequence of them
            The flat gradients, left as they are; or parts of them to be added up, which are set to zero for the next
            step (now, while the processor has them at hand).
        rate_factor : float
            What the schedule makes of the learning rate at this step.
        """
        self.steps += 1
        rate = self.learning_rate * rate_factor
        parts = grads if isinstance(grads, Sequence) else [grads]
        flats = [*parts, self.store.flat, *(getattr(self, name) for name in self.moments)]
        for decayed, arrays in self.store.blocks(*flats):
            (g, *others), (w, *moments) = arrays[:len(parts)], arrays[len(parts):]
            for other in others:
                g += other
                other[...] = 0
            self.update(w, g, *moments, rate=rate, decay=self.weight_decay if decayed and self.decays else None)
            if parts is grads:
                g[...] = 0

    def update(self, w: Array, g: Array, *moments: Array, rate, decay) -> None:
        """Apply the rule to one block.

        Parameters
        ----------
        w, g : array (R, size)
            Parameters (changed in place) and gradients.
        *moments : array (R, size)
            The block of each of the `moments`, changed in place.
        rate : float or float64 array (R, 1)
        decay : float or float64 array (R, 1), or None for a block that does not decay
        """
        raise TypeError(f"{type(self).__name__} has no rule")

    def state(self) -> dict[str, np.ndarray]:
        """The running averages by name ("m.U") as copies on the host."""
        return {f"{moment}.{name}": np.array(to_host(view))
                for moment in self.moments for name, view in self.store.named(getattr(self, moment)).items()}

    def load_state(self, state: Mapping[str, np.ndarray], steps: int) -> None:
        """Set the running averages and the number of steps made; the inverse of `state`.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape differs; nothing is changed then.
        """
        views = {f"{moment}.{name}": view
                 for moment in self.moments for name, view in self.store.named(getattr(self, moment)).items()}
        if set(views) != set(state):
            raise ValueError(f"an optimiser's state must have the arrays {', '.join(sorted(views))}, "
                             f"got {', '.join(sorted(state))}")
        for name, view in views.items():
            if view.shape != np.shape(state[name]):
                raise ValueError(f"an optimiser's {name} must have the shape {view.shape}, got {np.shape(state[name])}")
        for name, view in views.items():
            view[...] = self.store.device.asarray(state[name])
        self.steps = steps
