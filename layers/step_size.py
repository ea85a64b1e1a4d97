"""The error of a difference quotient against its step: `python -m layers.step_size`.

L(v) is taken for one entry v of a layer's input, as in `layers.finite_differences`. By Taylor's theorem

    one-sided        (L(v + h) - L(v)) / h         = L' + h L'' / 2 + O(h^2)
    central          (L(v + h) - L(v - h)) / 2h    = L' + h^2 L''' / 6 + O(h^4)
    extrapolated     (16 q(h/4) - q(h)) / 15       = L' - h^4 L^(5) / 1920 + O(h^6)         q the central one

What follows L' is the truncation error. It grows with h; the rounding error, eps / h in order of magnitude, falls. The
sum of eps / h and h^k is smallest near h = eps^(1 / (k + 1)): a half, a third and a fifth power of eps.

Every quotient is compared with what `backward` returns. The truncation error is also predicted, without a quotient of
L: L'', L''' and L^(5) are differences of what `backward` returns at neighbouring points.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import streams
from backend import Array, open_device
from layers.base import Cache, Mode
from layers.cases import CASES, Case
from layers.finite_differences import STEP, TOLERANCE, difference_quotients
from layers.gradcheck import whole_number

LAYERS = ("LayerNorm", "BatchNorm/training", "GELU", "Square", "Linear/bias")
"""What can be measured: layers without kinks. Of Square L''' is 0, of Linear L'' as well."""

STEPS = np.logspace(-14, 0, 57)

EPS = {"float64": float(np.finfo(np.float64).eps), "float32": float(np.finfo(np.float32).eps)}
ONE_SIDED, CENTRAL, EXTRAPOLATED, SINGLE = "one-sided", "central", "extrapolated", "central, float32"

SPACING = 0.02
"""Of the points at which `backward` is called for the higher derivatives: these are off by something of the order of
SPACING^2, and by the roundings of L', eps, over SPACING^4 at most."""


@dataclass(frozen=True)
class StepSizes:
    """Errors of the quotients of a layer, relative as in `Row.error`.

    Attributes
    ----------
    steps : array (H,)
    errors : dict of str to array (H,)
        Measured, for each quotient.
    truncation, rounding : dict of str to array (H,)
        Predicted, likewise; of rounding the order of magnitude alone.
    """

    steps: np.ndarray
    errors: dict[str, np.ndarray]
    truncation: dict[str, np.ndarray]
    rounding: dict[str, np.ndarray]

    def best(self, quotient: str) -> tuple[float, float]:
        """The step of the least error, and that error.

        Rounding errors jump from step to step, so the median of three neighbours is taken.
        """
        padded = np.pad(self.errors[quotient], 1, mode="edge")
        smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=-1)
        return float(self.steps[smooth.argmin()]), float(smooth.min())

    def predicted_best(self, quotient: str) -> float:
        """The step where truncation and rounding together are predicted to be least."""
        return float(self.steps[(self.truncation[quotient] + self.rounding[quotient]).argmin()])


class _Loss:
    """L = sum(dy f(x)) of a layer at a random point, which is the same in both precisions."""

    def __init__(self, case: Case, seed: int, dtype: str):
        rng = streams.generator(seed, streams.ANALYSIS, streams.number_of(f"step size of {case.name}"))

        def rounded(values):
            return values.astype(np.float32).astype(dtype)

        self.mode = Mode(training=case.training)
        self.layer = case.make(case.kind, 1).build(open_device("numpy", dtype), seed)
        weights = self.layer.store.flat
        weights[...] = rounded(weights + 0.3 * rng.normal(size=weights.shape))
        self.x = rounded(case.draw(rng, ()))
        self.dy = rounded(rng.normal(size=self.evaluate()[0].shape))

    def evaluate(self) -> tuple[Array, list]:
        """The output, and no kinks."""
        return np.array(self.layer.forward(self.x.copy(), Cache(), self.mode)), []

    def derivative(self) -> Array:
        """dL/dx as `backward` has it."""
        cache = Cache()
        self.layer.forward(self.x.copy(), cache, self.mode)
        return np.array(self.layer.backward(self.dy.copy(), cache, self.layer.gradients()))

    def higher_derivatives(self) -> tuple[Array, Array, Array]:
        """L'', L''' and L^(5) by each entry of x on its own."""
        at = np.empty((5, *self.x.shape))
        for index in np.ndindex(self.x.shape):
            value = self.x[index]
            for place in range(5):
                self.x[index] = value + (place - 2) * SPACING
                at[place][index] = self.derivative()[index]
            self.x[index] = value
        a, b, c, d, e = at
        return (d - b) / (2 * SPACING), (d - 2 * c + b) / SPACING ** 2, (e - 4 * d + 6 * c - 4 * b + a) / SPACING ** 4

    def one_sided(self, step: float) -> Array:
        """(L(v + h) - L(v)) / h for each entry v of x; h is relative for entries above 1, as in the check."""
        quotients = np.empty_like(self.x)
        y, _ = self.evaluate()
        for index in np.ndindex(self.x.shape):
            value = self.x[index]
            self.x[index] += step * max(1, abs(value))
            quotients[index] = (self.dy * (self.evaluate()[0] - y)).sum() / (self.x[index] - value)
            self.x[index] = value
        return quotients

    def central(self, step: float) -> Array:
        """(L(v + h) - L(v - h)) / 2h for each entry v of x."""
        return difference_quotients(self.x, self.evaluate, self.dy, step)[0]


def measure(case: Case, seed: int = 0, steps: Sequence[float] = STEPS) -> StepSizes:
    """Measure the error of each quotient at each step.

    Parameters
    ----------
    case : Case
        A layer without a kink, on inputs of floats: one of `LAYERS`.
    seed : int
        Of the parameters, x and dy.
    steps : sequence of H floats

    Returns
    -------
    StepSizes
    """
    steps = np.asarray(steps, dtype=float)
    double, single = (_Loss(case, seed, dtype) for dtype in ("float64", "float32"))
    analytic = double.derivative()
    second, third, fifth = double.higher_derivatives()

    def relative(tensor):
        return float(np.linalg.norm(tensor) / np.linalg.norm(analytic))

    def coefficient(higher, power):
        """Of h^power in the truncation error, but for a constant; 0 where it may as well be a rounding error."""
        size = relative(np.maximum(1, abs(double.x)) ** power * higher)
        return size if size > 100 * EPS["float64"] / SPACING ** power else 0.0

    errors = {name: [] for name in (ONE_SIDED, CENTRAL, EXTRAPOLATED, SINGLE)}
    for step in steps:
        central, closer = double.central(step), double.central(step / 4)
        errors[ONE_SIDED].append(relative(double.one_sided(step) - analytic))
        errors[CENTRAL].append(relative(central - analytic))
        errors[EXTRAPOLATED].append(relative((16 * closer - central) / 15 - analytic))
        errors[SINGLE].append(relative(single.central(step) - analytic))
    truncation = {ONE_SIDED: steps * coefficient(second, 1) / 2, CENTRAL: steps ** 2 * coefficient(third, 2) / 6,
                  EXTRAPOLATED: steps ** 4 * coefficient(fifth, 4) / 1920}
    truncation[SINGLE] = truncation[CENTRAL]
    rounding = {name: EPS["float32" if name == SINGLE else "float64"] / steps for name in errors}
    return StepSizes(steps, {name: np.array(values) for name, values in errors.items()}, truncation, rounding)


def table(result: StepSizes) -> str:
    """The step at which each quotient is most exact, the step predicted, and the errors there and at the check's h."""
    near = int(abs(np.log(result.steps / STEP)).argmin())
    cells = [("quotient", "best h", "predicted", "error there", f"error at h = {result.steps[near]:.0e}")]
    for name, errors in result.errors.items():
        step, error = result.best(name)
        cells.append((name, f"{step:.0e}", f"{result.predicted_best(name):.0e}", f"{error:.0e}", f"{errors[near]:.0e}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(f"{cell:{'>' if place else '<'}{width}}"
                               for place, (cell, width) in enumerate(zip(line, widths, strict=True))) for line in cells)


def draw(result: StepSizes, path: str | os.PathLike, title: str = "") -> Path:
    """Draw the errors against the step, with what theory predicts.

    Parameters
    ----------
    result : StepSizes
    path : path
        The file to write, PNG.
    title : str

    Returns
    -------
    path : Path
    """
    from analysis import figures  # matplotlib takes half a second to import, which only those who draw should pay

    figure, axes = figures.new_figure(size=(8.6, 6), title=title)
    axes = axes[0, 0]
    axes.set(xscale="log", yscale="log", xlim=(result.steps[0], result.steps[-1]), ylim=(1e-15, 10),
             xlabel="step h", ylabel="relative error of dL/dx")
    styles = {ONE_SIDED: (figures.VERMILLION, "o", "$h\\,L''/2$"), CENTRAL: (figures.BLUE, "s", "$h^2L'''/6$"),
              EXTRAPOLATED: (figures.GREEN, "^", "$h^4L^{(5)}/1920$"), SINGLE: (figures.PURPLE, "x", None)}
    for name, (color, marker, formula) in styles.items():
        axes.plot(result.steps, result.errors[name], color=color, marker=marker, markersize=4, linewidth=0.8,
                  label=name)
        if formula and result.truncation[name].any():
            axes.plot(result.steps, result.truncation[name], color=color, linestyle="--", linewidth=1.4, label=formula)
    for name, dashes, label in ((CENTRAL, ":", "$ε/h$"), (SINGLE, "-.", "$ε/h$, float32")):
        axes.plot(result.steps, result.rounding[name], color=figures.BLACK, linestyle=dashes, linewidth=1.2,
                  label=label)
    for power, label in ((1 / 2, "$ε^{1/2}$"), (1 / 3, "$ε^{1/3}$")):
        step = EPS["float64"] ** power
        axes.axvline(step, color=figures.GREY, linewidth=1, zorder=1)
        axes.annotate(label, (step, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                      ha="center", va="bottom", fontsize=10, color="0.3")
    axes.axhline(TOLERANCE, color=figures.GREY, linewidth=1, zorder=1)
    axes.annotate("tolerance of the check", (0, TOLERANCE), xycoords=("axes fraction", "data"), xytext=(4, 3),
                  textcoords="offset points", ha="left", va="bottom", fontsize=9, color="0.3")
    figures.draw_legend(figure, axes, columns=5)
    return figures.save(figure, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    status : int
        0, or 2 if the figure cannot be written; options that make no sense end the command with 2 as well.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    result = measure(CASES[options.layer], options.seed)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        draw(result, options.out, f"Difference quotients of {options.layer} against its backward pass")
    except OSError as error:
        print(f"step_size: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"Relative error of dL/dx, {options.layer}\n\n{table(result)}\n\n{options.out}")
    return 0


def _png(text: str) -> Path:
    if Path(text).suffix != ".png":
        raise argparse.ArgumentTypeError(f"must be a file name that ends in .png, got {text!r}")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m layers.step_size",
        description="Measure the error of difference quotients against the step h, one-sided, central and "
                    "extrapolated, and draw it beside what theory predicts.",
        epilog="The exit status is 0, or 2 if the options make no sense or the figure cannot be written.")
    parser.add_argument("--layer", choices=LAYERS, default=LAYERS[0], help="(default: %(default)s)")
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N",
                        help="of parameters, input and upstream gradient (default: %(default)s)")
    parser.add_argument("--out", type=_png, default=Path("runs/step_sizes.png"), metavar="FILE.png",
                        help="the figure (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
