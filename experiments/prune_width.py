"""How many neurons a network needs, against how many it has (Doshi et al., fig. 32).

What the paper found: train networks of widths 500 to 10,000, prune them from the lowest IPR up, and count the neurons
that are needed. Their number grows with the width, but sublinearly: a wide network holds more neurons that only
memorise, not as many more that know the rule.

Needed, here: the smallest number of neurons left, lowest IPR pruned first, with which the test accuracy is within
`TOLERANCE` of the highest that any number reaches. (Not of the whole network's: a wide network memorises so much that
it may need pruning to generalise.) Over the widths N this number is fitted by a power law,

    needed = c N^b                    log needed = log c + b log N, least squares

for each seed alone: the spread of the exponents b over seeds tells how sure b is. Sublinear is b < 1.

The settings are the paper's (p 97, alpha 0.5, xi 0.35, learning rate 0.005, weight decay 1.0, 2000 steps). A network of
width 500 has come to rest by step 1000; one of width 4000 still improves slowly at 2000. The paper has widths up to
10,000 and 40 seeds, here there are four widths up to 4000 and 3 seeds. The quick size has two seeds, widths up to 1000
and 1000 steps.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import numpy as np

from analysis import figures
from analysis.ipr import neuron_ipr
from analysis.phases import LEARNT
from analysis.pruning import pruning_curves, pruning_orders
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, spreads, train_settings
from training import Run, TrainingConfig

WIDTHS, STEPS = (500, 1000, 2000, 4000), 2000
QUICK_WIDTHS, QUICK_STEPS = (250, 500, 1000), 1000
COLOURS = (figures.BLUE, figures.VERMILLION, figures.GREEN, figures.PURPLE)

TOLERANCE = 0.01
"""How far from the highest test accuracy is still enough."""


def experiment(options: Options) -> Outcome:
    """Train and prune at every width and seed, and fit the exponent."""
    widths, steps = (QUICK_WIDTHS, QUICK_STEPS) if options.quick else (WIDTHS, STEPS)
    settings = {f"width {width}": TrainingConfig(width=width, learning_rate=0.005, weight_decay=1.0, steps=steps,
                                                 eval_every=100) for width in widths}
    runs = train_settings(settings, pruned, options)
    measured = {name: _measured(group) for name, group in runs.items()}
    needed = np.array([measured[name]["needed"]["values"] for name in settings])
    exponents, factors = zip(*(power_law(widths, of_seed) for of_seed in needed.T), strict=True)
    measured["power law"] = {"exponent": spread(exponents), "factor": spread(factors)}
    title = f"p = 97, α = 0.5, ξ = 0.35, weight decay 1, {steps} steps, {options.told_seeds}"
    return Outcome(described(settings), measured, _checks(widths, measured),
                   [_draw(widths, list(runs.values()), needed, title, options.out / "prune_width.png")])


def pruned(run: Run) -> dict[str, Any]:
    """The final accuracies of a run, its phase, and its test accuracy with 0, 1, ..., N - 1 neurons pruned."""
    network, test = run.network(), run.problem().test
    order = pruning_orders(neuron_ipr(*network.neurons()))["low"]
    curves = pruning_curves(network, {"test": (test.inputs, test.labels)}, {"low": order}, range(len(order)))
    summary = run.summary()
    return {**{name: summary[name] for name in ("train_accuracy", "test_accuracy", "mean_ipr", "phase")},
            "pruned_test_accuracy": curves["low"].accuracy["test"].tolist()}


def neurons_needed(accuracies: np.ndarray) -> int:
    """The smallest number of neurons left with which the accuracy is within `TOLERANCE` of the highest.

    Parameters
    ----------
    accuracies : array (N,)
        With 0, 1, ..., N - 1 neurons pruned.
    """
    enough = np.flatnonzero(accuracies >= accuracies.max() - TOLERANCE)
    return len(accuracies) - int(enough[-1])


def power_law(widths, needed) -> tuple[float, float]:
    """Exponent b and factor c of needed = c N^b, fitted to the logarithms by least squares; arrays (W,) and (W,)."""
    b, log_c = np.polyfit(np.log(widths), np.log(needed), 1)
    return float(b), float(np.exp(log_c))


def _measured(runs):
    curves = np.array([run["pruned_test_accuracy"] for run in runs])
    needed = [neurons_needed(curve) for curve in curves]
    return {**spreads(runs, ("train_accuracy", "test_accuracy", "mean_ipr")),
            "highest_test_accuracy": spread(curves.max(axis=1).tolist()), "needed": spread(needed),
            "needed_share": spread([count / curves.shape[1] for count in needed]),
            "phase": [run["phase"] for run in runs]}


def _checks(widths, measured):
    highest, needed = ([measured[f"width {width}"][name] for width in widths]
                       for name in ("highest_test_accuracy", "needed"))
    exponent = measured["power law"]["exponent"]
    return [
        Check(f"pruned, networks of every width generalise: test accuracy at least {LEARNT}", "presupposed",
              ", ".join(show(values) for values in highest), all(values["min"] >= LEARNT for values in highest)),
        Check("the number of neurons needed grows from each width to the next", "it grows (fig. 32)",
              ", ".join(f"{values['mean']:.0f} of {width}" for values, width in zip(needed, widths, strict=True)),
              all(narrow["max"] < wide["min"] for narrow, wide in pairwise(needed))),
        Check("sublinearly: the exponent of the power law is below 1 at every seed", "sublinearly (fig. 32)",
              show(exponent), exponent["max"] < 1)]


def _draw(widths, groups, needed, title, path):
    """Left, the test accuracy against the neurons left; right, the number needed against the width. All logarithmic."""
    figure, axes = figures.new_figure(1, 2, (10, 4.6), title)
    curves, law = axes[0]
    for width, runs, colour in zip(widths, groups, COLOURS, strict=False):
        accuracies = np.array([run["pruned_test_accuracy"] for run in runs])
        figures.draw_curve(curves, width - np.arange(width), accuracies, color=colour, label=f"N = {width}")
    for width, counts, colour in zip(widths, needed, COLOURS, strict=False):
        law.plot(np.full(len(counts), width), counts, color=colour, marker="o", markersize=5, linestyle="", zorder=3)
    b, c = power_law(np.repeat(widths, needed.shape[1]), needed.ravel())
    law.plot(widths, c * np.array(widths) ** b, color=figures.BLACK, linewidth=1.4,
             label=f"needed ≈ {c:.3g} $N^{{{b:.2f}}}$")
    law.plot(widths, widths, color=figures.GREY, linewidth=1.2, linestyle=(0, (4, 3)), label="all N neurons")
    curves.set(xscale="log", xlabel="neurons left, the lowest IPR pruned first", ylabel="test accuracy",
               ylim=(-0.03, 1.05))
    law.set(xscale="log", yscale="log", xlabel="width N", ylabel="neurons needed")
    law.set_xticks(widths, [f"{width}" for width in widths], minor=False)
    law.set_xticks([], minor=True)
    for axis in (curves.xaxis, law.yaxis):
        axis.set_major_formatter("{x:g}")
    figures.draw_legend(figure, curves, law)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("prune_width", __doc__, experiment, seeds=3, quick_seeds=2))
