"""What single neurons are for: networks with more and more neurons taken away (Doshi et al., fig. 6, 17 and 18).

What the paper found: in a network that has both memorised and generalised, the neurons of low IPR hold the wrong
labels, those of high IPR the rule. Without the former, and without training again, the network forgets the wrong labels
and gets the right ones better; without the latter it keeps the wrong labels and loses the rule. The loss on the
training set rises either way.

Trained are the networks of the reference code (p 97, N 500, alpha 0.5, xi 0.35, full batch) that end in coexistence, in
partial and in full inversion. Their neurons are pruned one after another: lowest IPR first, highest IPR first and, as
the paper does not, in random order, which shows what just any neuron is worth. Bands are over seeds. The quick size has
two seeds.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from analysis import figures
from analysis.ipr import neuron_ipr
from analysis.pruning import pruning_curves, pruning_orders
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, train_settings
from training import Run, TrainingConfig
from training.figures import pruning_sets
from training.setup import make_loss

SETTINGS = {
    "coexistence": TrainingConfig(xi=0.35, weight_decay=0.0, steps=1000),
    "partial inversion": TrainingConfig(xi=0.35, weight_decay=5.0, steps=500),
    "full inversion": TrainingConfig(xi=0.35, weight_decay=15.0, steps=500),
}

LOW, HIGH = 0.6, 0.3
"""The fractions pruned at which the paper's figure is read, lowest and highest IPR first."""

FIGURE = (("low", 0.0, "corrupted", 0.94), ("low", LOW, "corrupted", 0.0), ("low", LOW, "train", 0.65),
          ("high", 0.0, "test", 0.97), ("high", HIGH, "test", 0.0), ("high", HIGH, "corrupted", 0.97))
"""What is read off it, of coexistence: order, fraction pruned, set of examples, accuracy."""

NEAR = 0.05
"""How close to what was read off a mean accuracy must come."""

KEPT = 0.97
"""What test and uncorrupted accuracy keep in it, lowest IPR first."""


def observe_pruning(run: Run) -> dict[str, Any]:
    """The curves of a run, at every hundredth of its neurons.

    Returns
    -------
    dict
        "phase". "fractions": of neurons pruned, C numbers. "accuracy" and "loss": by order and set of examples, C
        numbers.
    """
    network, width = run.network(), run.config.width
    curves = pruning_curves(network, pruning_sets(run), pruning_orders(neuron_ipr(*network.neurons()), run.config.seed),
                            np.unique(np.linspace(0, width, 101).round().astype(int)), make_loss(run.config))
    return {"phase": run.summary()["phase"], "fractions": curves["low"].fractions.tolist(),
            **{quantity: {order: {name: values.tolist() for name, values in getattr(curve, quantity).items()}
                          for order, curve in curves.items()} for quantity in ("accuracy", "loss")}}


def experiment(options: Options) -> Outcome:
    """Train and prune the three phases, and hold the first against the paper's figure."""
    runs = train_settings(SETTINGS, observe_pruning, options)
    checks = [*_figure_checks(runs["coexistence"]),
              *(check for phase in ("coexistence", "partial inversion") for check in _order_checks(phase, runs[phase]))]
    title = f"p = 97, N = 500, α = 0.5, ξ = 0.35, full batch, {options.told_seeds}"
    return Outcome(described(SETTINGS), {name: _measured(group) for name, group in runs.items()}, checks,
                   [_draw(quantity, runs, title, options.out / f"pruning_{quantity}.png")
                    for quantity in ("accuracy", "loss")])


def _measured(runs):
    points = [("low", 0.0), *((order, fraction) for order in figures.ORDERS for fraction in (HIGH, LOW))]
    return {"phase": [run["phase"] for run in runs],
            **{f"{_point(order, fraction)}: {name} {quantity}": spread(_at(runs, quantity, order, name, fraction))
               for order, fraction in points for quantity in ("accuracy", "loss") for name in figures.SETS}}


def _curves(runs, quantity, order, name):
    """Of S runs the accuracies or losses on a set of examples, array (S, C)."""
    return np.array([run[quantity][order][name] for run in runs])


def _at(runs, quantity, order, name, fraction):
    """The same, S numbers, where the fraction pruned is nearest to this one."""
    return _curves(runs, quantity, order, name)[:, _nearest(runs, fraction)].tolist()


def _nearest(runs, fraction):
    return int(np.abs(np.array(runs[0]["fractions"]) - fraction).argmin())


def _point(order, fraction):
    return f"{figures.ORDERS[order]}, {fraction:.0%} pruned" if fraction else "unpruned"


def _figure_checks(runs):
    """The accuracies of coexistence against the paper's figure."""
    for order, fraction, name, paper in FIGURE:
        accuracy = spread(_at(runs, "accuracy", order, name, fraction))
        yield Check(f"coexistence, {_point(order, fraction)}: {name} accuracy, within {NEAR}", f"about {paper:.0%}",
                    show(accuracy), abs(accuracy["mean"] - paper) <= NEAR)
    for name in ("test", "uncorrupted"):
        lowest = spread(_curves(runs, "accuracy", "low", name)[:, :_nearest(runs, LOW) + 1].min(axis=1).tolist())
        yield Check(f"coexistence, lowest IPR first, up to {LOW:.0%} pruned: {name} accuracy is nowhere below {KEPT}",
                    "stays at 97% to 100%", f"at its lowest {show(lowest)}", lowest["min"] >= KEPT)
        yield _rising_check(runs, "accuracy", "low", name, LOW, "rises")
    for order, fraction in (("low", LOW), ("high", HIGH)):
        yield _rising_check(runs, "loss", order, "train", fraction, "rises in both directions")


def _rising_check(runs, quantity, order, name, fraction, paper):
    """Whether an accuracy or a loss of coexistence is higher after pruning than before, in every run."""
    before, after = (_at(runs, quantity, order, name, where) for where in (0.0, fraction))
    return Check(f"coexistence, {_point(order, fraction)}: {name} {quantity} has risen", paper,
                 f"from {show(spread(before), 4)} to {show(spread(after), 4)}",
                 all(later > earlier for earlier, later in zip(before, after, strict=True)))


def _order_checks(phase, runs):
    """Whether in every run the rule suffers most without neurons of high IPR, the wrong labels without those of low."""
    for name, orders, paper in (("test", ("low", "random", "high"), "high IPR: the rule; no random order"),
                                ("corrupted", ("high", "random", "low"), "low IPR: the wrong labels; no random order")):
        kept, random, lost = (_at(runs, "accuracy", order, name, HIGH) for order in orders)
        yield Check(f"{phase}, {HIGH:.0%} pruned: {name} accuracy falls from "
                    f"{' to '.join(figures.ORDERS[order] for order in orders)}", paper,
                    ", ".join(show(spread(values), 2) for values in (kept, random, lost)),
                    all(a > b > c for a, b, c in zip(kept, random, lost, strict=True)))


def _draw(quantity, runs, title, path):
    """A row for each phase, a column for each order of pruning."""
    figure, axes = figures.new_figure(len(runs), len(figures.ORDERS), (10.4, 2.6 * len(runs) + 0.9), title,
                                      sharex=True, sharey=True)
    for (phase, group), row in zip(runs.items(), axes, strict=True):
        for (order, label), panel in zip(figures.ORDERS.items(), row, strict=True):
            for name, style in figures.SETS.items():
                figures.draw_curve(panel, group[0]["fractions"], _curves(group, quantity, order, name),
                                   label=figures.LABELS[name], **style)
            panel.set_title(f"{phase}, {label}", fontsize=10)
        row[0].set_ylabel({"accuracy": "accuracy", "loss": "mean squared error"}[quantity])
    axes[0, 0].set(xlim=(0, 1), ylim={"accuracy": (-0.03, 1.05), "loss": (0, None)}[quantity])
    for panel in axes[-1]:
        panel.set_xlabel("fraction of neurons pruned")
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("pruning", __doc__, experiment, seeds=5, quick_seeds=2))
