"""Is a backward pass right? Its derivatives against difference quotients, entry by entry.

A layer y = f(x; W) is turned into a scalar function with a random dy of the shape of y,

    L = sum(dy * f(x; W))          whose derivatives are dx = (df/dx)^T dy and dW = (df/dW)^T dy,

which is what `backward` claims to return and to add. For every entry v of x and of each parameter, on its own,

    dL/dv = (L(v + h) - L(v - h)) / 2h + O(h^2)            (the central difference)

and the two are compared tensor by tensor: ||numeric - analytic|| / max(||numeric||, ||analytic||).

Why dy is random. With ones in place of dy, L is a sum over all entries of y. The sum of a normalised array is a
constant: the derivative by x of BatchNorm would be 0, and whatever factor its backward got wrong would multiply 0.

Why h = 6e-6. The formula is off by h^2 L''' / 6, and L itself carries a rounding error of eps |L| which the division
turns into eps |L| / h. The sum of both is smallest near h = eps^(1/3), 6e-6 in float64; there both are near 4e-11, and
they grow like h^2 on one side and 1 / h on the other. In float32 the best h leaves 2e-5, which would hide mistakes.
Outputs are subtracted before they are summed, sum(dy * (y(v + h) - y(v - h))): those that v does not touch drop out
with their rounding errors.

Where L''' is large (BatchNorm over a few rows that hardly differ), h^2 is not small enough. A tensor that
agrees badly is therefore taken again with h/4, and the two quotients q are extrapolated to h = 0,

    q(h) = L' + c h^2 + O(h^4)          L' = (16 q(h/4) - q(h)) / 15 + O(h^4)

which knows nothing of the backward pass: one that is wrong stays as wrong as it is.

Kinks. Where a ReLU's x changes sign between v - h and v + h, no derivative lies between the two and the quotient means
nothing. A layer with kinks leaves in its cache which side it was on, `cache.active`; an entry for which it is not the
same at v - h, v and v + h is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backend import Array, array_module, to_host

TOLERANCE = 1e-7
STEP = np.finfo(np.float64).eps ** (1 / 3)


@dataclass(frozen=True)
class Row:
    """One tensor of a check: an input or a parameter, with all its derivatives.

    Attributes
    ----------
    tensor : str
        The parameter's name, or "x" for the input.
    numeric, analytic : array, of the tensor's shape
        The difference quotients, and what the backward pass says; on the host.
    kinks : bool array
        The entries that are left out because their quotient straddles a kink.
    rounding : float
        The norm that `numeric` could have from rounding alone.
    fault : str
        Which rule of the contract is broken, whatever the numbers; empty if none.
    layer : str
        The name of what was checked.
    stack : int or None
        R, or None without a stack.
    """

    tensor: str
    numeric: np.ndarray
    analytic: np.ndarray
    kinks: np.ndarray
    rounding: float = 0.0
    fault: str = ""
    layer: str = ""
    stack: int | None = None

    @cached_property
    def zero(self) -> bool:
        """Whether both are zero as far as rounding lets us see: they agree, in the weakest of ways."""
        return self._norm(self.numeric) <= self.rounding and self._norm(self.analytic) <= self.rounding

    @cached_property
    def error(self) -> float:
        """The relative error of the tensor, ||numeric - analytic|| / max(||numeric||, ||analytic||)."""
        if self.numeric.shape != self.analytic.shape:
            return float("inf")
        if self.zero:
            return 0.0
        largest = max(self._norm(self.numeric), self._norm(self.analytic))
        return self._norm(self.numeric - self.analytic) / largest

    @property
    def left_out(self) -> int:
        """How many entries are left out at kinks."""
        return int(self.kinks.sum())

    @property
    def passed(self) -> bool:
        """Whether no rule is broken and the error is within the tolerance (which NaN is not)."""
        return not self.fault and self.error <= TOLERANCE

    def _norm(self, values) -> float:
        return float(np.linalg.norm(values[~self.kinks] if values.shape == self.kinks.shape else values))


def difference_quotients(array: Array, evaluate: Callable[[], tuple[Array, list[Array]]], dy: Array,
                         step: float = STEP) -> tuple[np.ndarray, np.ndarray, float]:
    """dL/dv for each entry v of an array, which is written to and restored.

    Parameters
    ----------
    array : array
        A parameter, or the input.
    evaluate : callable () -> y, active
        Makes a forward pass with the array as it then is; active is what the layers with kinks left.
    dy : array, of y's shape
    step : float
        h; relative for entries above 1.

    Returns
    -------
    numeric : array, of the array's shape
        On the host, as are the others.
    kinks : bool array
        The entries whose quotient straddles a kink.
    rounding : float
        The norm that rounding alone could give to `numeric`: eps |L| / h for each entry.
    """
    xp, values = array_module(array), np.array(to_host(array))
    numeric, kinks = xp.zeros_like(array), xp.zeros(array.shape, dtype=bool)
    y, here = evaluate()
    magnitude = float(abs(dy * y).sum())
    steps = step * np.maximum(1, abs(values))
    for index in np.ndindex(values.shape):
        value, h = values[index].item(), steps[index].item()
        plus, minus = value + h, value - h
        array[index] = plus
        y_plus, above = evaluate()
        array[index] = minus
        y_minus, below = evaluate()
        array[index] = value
        # Of v + h and v - h as they came out after rounding to float64; their difference is exact.
        numeric[index] = (dy * (y_plus - y_minus)).sum() / (plus - minus)
        for at, side, other in zip(here, above, below, strict=True):
            kinks[index] |= ((at != side) | (at != other)).any()
    rounding = np.finfo(np.float64).eps * magnitude * np.linalg.norm(1 / steps)
    return to_host(numeric), to_host(kinks), float(rounding)
