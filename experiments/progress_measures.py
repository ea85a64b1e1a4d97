"""Do three measures move with generalisation, and which comes first (Golechha, arXiv 2405.12755)?

What the paper found: on real data three measures, activation sparsity, absolute weight entropy and approximate local
circuit complexity (`analysis.progress`), move with generalisation, and correlate with it more strongly than the weight
norm does. They are to be told from the training set, and so they are here.

Measured at some 40 snapshots of each run, from the first with a train accuracy of 0.9 on: most that is left to come is
generalising. What memorising does to the measures is left out, or it would be the largest change of all. Told are

    halfway      the step at which a curve has gone half of its way (`analysis.lead_lag`), and its lag behind that of
                 test accuracy, in steps: negative if the measure leads
    order        a measure moves with test accuracy if it is halfway while test accuracy goes from a tenth to nine
                 tenths of its way, otherwise before or after; a curve that turns has no order
    correlation  with test accuracy over the snapshots, of the ranks (`analysis.correlation`) and of the values

These have their weaknesses. The correlation of ranks is near 1 for any two curves that only rise or fall, and says
nothing then of which moves when; that of the values counts the snapshots, which lie densely where accuracies change.
Halfway depends on the scale: circuit complexity falls by a factor of hundreds, so it is given on a logarithmic scale as
well.

Ranks are also correlated with those of the weight norm, since sparsity and entropy are no ratios and follow the size of
the weights: a measure that goes with the norm throughout says nothing beyond it. In one setting the norm grows.

    digits            scikit-learn's, 8 x 8: 200 training images, full batch, 20000 steps
    growing norm      the same with a term -2e-9 sum w^2 in the loss, as in `norm_is_not_the_cause`
    MNIST             1000 training images as in the paper, batches of 200, 12000 steps
    modular addition  the quadratic network on half of the pairs at p 97, 35% of its labels wrong, weight decay 15, 500
                      steps: it groks, and then unlearns the wrong labels. Each measure is held against the accuracy on
                      wrong labels as well, and the mean IPR of the neurons stands beside them.

Networks on images are those of the paper: ReLU, three weight layers, width 200, with biases, initial weights 8 times
the usual, AdamW with learning rate 0.001. Loss is the squared error. Weight decay is 0.1 instead of 0.01, for which the
paper's 100,000 steps would be needed; these were not run.

The quick size has one seed, and 12000, 12000, 5000 and 300 steps.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis import figures
from analysis.correlation import rank_correlation
from analysis.lead_lag import END, START, lag, order, step_at, straightness
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, train_settings
from experiments.measures import observe_progress
from experiments.readings import since_memorised
from training import TrainingConfig

DIGITS, GROWING, MNIST, MODULAR = SETTINGS = ("digits", "growing norm", "MNIST", "modular addition")
STEPS = dict(zip(SETTINGS, (20_000, 20_000, 12_000, 500), strict=True))
QUICK_STEPS = dict(zip(SETTINGS, (12_000, 12_000, 5000, 300), strict=True))
DELTA = 2e-9
SNAPSHOTS = 40

MEASURES = {"activation_sparsity": "activation sparsity", "weight_entropy": "absolute weight entropy",
            "circuit_complexity": "circuit complexity"}
"""The paper's."""

BESIDE = {"log_circuit_complexity": "log circuit complexity", "weight_norm": "weight norm", "mean_ipr": "mean IPR"}
"""What is told beside them."""

ACCURACIES = {"test_accuracy": "test accuracy", "corrupted_accuracy": "accuracy on wrong labels"}
LABELS = {**ACCURACIES, **MEASURES, **BESIDE}

COLOURS = {"train_accuracy": figures.BLUE, "test_accuracy": figures.VERMILLION, "corrupted_accuracy": figures.PURPLE,
           "mean_ipr": figures.ORANGE}
"""Of curves that share a panel; others are black."""

IN_LEGEND = {**{f"{name}_accuracy": label for name, label in figures.LABELS.items()}, "mean_ipr": BESIDE["mean_ipr"]}


def experiment(options: Options) -> Outcome:
    """Follow the measures over training, and tell when each moves."""
    settings = _settings(QUICK_STEPS if options.quick else STEPS)
    runs = train_settings(settings, observe_progress, options)
    curves = {name: [followed(run["progress"]) for run in group] for name, group in runs.items()}
    moves = {name: [movements(one) for one in group] for name, group in curves.items()}
    checks = [check for name in settings for check in _checks(name, moves[name])]
    seeds = options.told_seeds
    return Outcome(described(settings), {name: _measured(runs[name], moves[name]) for name in settings}, checks,
                   [_draw_curves(runs, curves, f"Progress measures over training, {seeds}",
                                 options.out / "progress_measures.png"),
                    _draw_order(curves, moves, f"When each is halfway, {seeds}", options.out / "progress_order.png")])


def _settings(steps):
    digits = TrainingConfig(task="digits", steps=steps[DIGITS], snapshots=SNAPSHOTS)
    return {DIGITS: digits, GROWING: dataclasses.replace(digits, steps=steps[GROWING], l2=-DELTA),
            MNIST: TrainingConfig(task="mnist", train_size=1000, batch_size=200, xi=0.0, initial_scale=8.0,
                                  weight_decay=0.1, steps=steps[MNIST], eval_every=100, snapshots=SNAPSHOTS),
            MODULAR: TrainingConfig(steps=steps[MODULAR], snapshots=SNAPSHOTS)}


def followed(progress: Mapping[str, Sequence[float | None]]) -> dict[str, np.ndarray]:
    """The curves of a run since it has memorised, with the logarithm of circuit complexity.

    Parameters
    ----------
    progress : mapping of str to sequence
        As `observe_progress` leaves it.

    Returns
    -------
    dict of str to array (n,)
        See `readings.since_memorised`.
    """
    curves = since_memorised(progress)
    return curves | {"log_circuit_complexity": np.log(np.maximum(curves["circuit_complexity"], np.finfo(float).tiny))}


def movements(curves: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """When each measure of a run moves.

    Parameters
    ----------
    curves : mapping of str to array (n,)
        As `followed` returns them.

    Returns
    -------
    dict of str to dict
        For each measure, and for the accuracies: "halfway", "straightness", and against test accuracy "order", "lag",
        "rank_correlation" and "correlation"; against others "corrupted_lag" and "norm_rank_correlation". None where
        undefined.
    """
    steps, test, corrupted = curves["step"], curves["test_accuracy"], curves.get("corrupted_accuracy")
    return {name: {"halfway": step_at(steps, curves[name]), "straightness": straightness(curves[name]),
                   "order": order(steps, curves[name], test), "lag": lag(steps, curves[name], test),
                   "corrupted_lag": None if corrupted is None else lag(steps, curves[name], corrupted),
                   "rank_correlation": rank_correlation(curves[name], test),
                   "correlation": _correlation(curves[name], test),
                   "norm_rank_correlation": rank_correlation(curves[name], curves["weight_norm"])}
            for name in (*MEASURES, *BESIDE, *ACCURACIES) if name in curves}


def _correlation(x, y):
    """Pearson's, of the values; None where one of them is constant."""
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) > 0 and np.ptp(y) > 0 else None


def _measured(runs, moves):
    """Spreads over seeds of what was told of each measure, and its orders one by one; and of the runs' ends."""
    ends = {name: spread([run["summary"][name] for run in runs])
            for name in ("train_accuracy", "test_accuracy", "corrupted_accuracy")}
    told = {}
    for name in moves[0]:
        for quantity in moves[0][name]:
            values = [one[name][quantity] for one in moves]
            told[f"{name}, {quantity}"] = values if quantity == "order" else spread(values)
    return {**ends, **told}


def _checks(setting, moves):
    checks = []
    for measure, label in MEASURES.items():
        found = [one[measure] for one in moves]
        checks.append(Check(
            f"{setting}: {label} moves with test accuracy (it is halfway between its {START:.0%} and {END:.0%}), "
            "every seed", "moves with generalisation",
            f"{_counted([one['order'] for one in found])}; lag {show(spread([one['lag'] for one in found]), 0)} steps",
            all(one["order"] == "with" for one in found)))
        checks.append(_correlation_check(setting, measure, label, moves))
        if setting == MODULAR:
            checks.append(_nearer_check(setting, measure, label, moves))
    return checks


def _counted(orders):
    """How many seeds have each order: "3 before, 2 with"."""
    return ", ".join(f"{orders.count(one)} {one or 'turning'}" for one in ("before", "with", "after", None)
                     if one in orders)


def _correlation_check(setting, measure, label, moves):
    """Whether the ranks of a measure go more closely with those of test accuracy than those of the weight norm do."""
    pairs = [(one[measure]["rank_correlation"], one["weight_norm"]["rank_correlation"]) for one in moves]
    told = {LABELS[name]: [show(spread([one[name][quantity] for one in moves]))
                           for quantity in ("rank_correlation", "correlation")]
            for name in (measure, "weight_norm", "mean_ipr") if name in moves[0]}
    with_norm = show(spread([one[measure]["norm_rank_correlation"] for one in moves]))
    return Check(f"{setting}: the rank correlation of {label} with test accuracy is larger in size than the weight "
                 "norm's, every seed", "a stronger correlation than the weight norm's",
                 "; ".join([*(f"{name} {rank}, of the values {value}" for name, (rank, value) in told.items()),
                            f"{label} with weight norm {with_norm}"]),
                 all(None not in pair and abs(pair[0]) > abs(pair[1]) for pair in pairs))


def _nearer_check(setting, measure, label, moves):
    """Whether a measure is halfway nearer to test accuracy than to the accuracy on wrong labels."""
    lags = [(one[measure]["lag"], one[measure]["corrupted_lag"]) for one in moves]
    to_test, to_corrupted = (show(spread(list(values)), 0) for values in zip(*lags, strict=True))
    return Check(f"{setting}: {label} is halfway nearer to test accuracy than to the accuracy on wrong labels, every "
                 "seed", "moves with generalisation", f"lag {to_test} steps; {to_corrupted} to wrong labels",
                 all(None not in pair and abs(pair[0]) < abs(pair[1]) for pair in lags))


def _draw_curves(runs, curves, title, path):
    """A column for each setting: accuracies (and IPR), and the measures below; a line for each seed."""
    rows = (("train_accuracy", "test_accuracy", "corrupted_accuracy", "mean_ipr"), *((name,) for name in MEASURES),
            ("weight_norm",))
    figure, axes = figures.new_figure(len(rows), len(runs), (3.7 * len(runs), 2.1 * len(rows)), title, sharex="col")
    for (setting, group), column in zip(runs.items(), axes.T, strict=True):
        for names, panel in zip(rows, column, strict=True):
            for name in names:
                for number, run in enumerate(group):
                    values = run["progress"][name]
                    if None not in values:
                        panel.plot(run["progress"]["step"], values, color=COLOURS.get(name, figures.BLACK),
                                   linewidth=0.9, alpha=0.8, label=None if number else IN_LEGEND.get(name))
            _shade(panel, curves[setting])
        column[0].set(title=setting, ylim=(-0.03, 1.05))
        column[list(MEASURES).index("circuit_complexity") + 1].set_yscale("log")
        _scale_steps(column[-1], group[0]["progress"]["step"])
    for names, panel in zip(rows, axes[:, 0], strict=True):
        panel.set_ylabel("accuracy, IPR" if len(names) > 1 else LABELS[names[0]])
    figures.draw_legend(figure, *axes[0])
    return figures.save(figure, path)


def _draw_order(curves, moves, title, path):
    """Where each curve is halfway, a dot for each seed; a column for each setting."""
    figure, axes = figures.new_figure(1, len(moves), (3.5 * len(moves), 3.4), title, sharey=True)
    names = (*ACCURACIES, *MEASURES, *BESIDE)
    for (setting, group), panel in zip(moves.items(), axes[0], strict=True):
        for place, name in enumerate(names):
            halves = [one[name]["halfway"] for one in group if name in one and one[name]["halfway"] is not None]
            panel.plot(halves, [place] * len(halves), "o", color=COLOURS.get(name, figures.BLACK), markersize=5,
                       alpha=0.7)
        _shade(panel, curves[setting])
        panel.set_title(setting)
        _scale_steps(panel, np.concatenate([one["step"] for one in curves[setting]]))
    axes[0, 0].set_yticks(range(len(names)), [LABELS[name] for name in names])
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


def _shade(panel, curves):
    """A band over the steps at which test accuracy moves, the mean over the seeds in which it does not turn."""
    bounds = [[step_at(one["step"], one["test_accuracy"], share) for share in (START, END)] for one in curves]
    bounds = [pair for pair in bounds if None not in pair]
    if bounds:
        panel.axvspan(*np.mean(bounds, axis=0), color=figures.YELLOW, alpha=0.3, linewidth=0, zorder=0,
                      label=f"test accuracy goes from {START:.0%} to {END:.0%} of its way")


def _scale_steps(panel, steps):
    """A logarithmic axis from the first step that is not 0, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    steps = np.asarray(steps)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlim(steps[steps > 0].min() * 0.9, steps.max() * 1.1)
    panel.set_xlabel("step")


if __name__ == "__main__":
    sys.exit(run_experiment("progress_measures", __doc__, experiment, seeds=3, quick_seeds=1))
