"""Grokking on images of digits: the delay between the two accuracies, against initial scale and weight decay.

What the papers found: an MLP whose initial weights are 8 times as large as usual fits 1000 MNIST images early and
generalises late; with the usual ones both come together (Liu et al., "Omnigrok", arXiv 2210.01117; Golechha, arXiv
2405.12755, appendix A, whose table has the MSE and whose text has cross-entropy). Weight decay is what brings the
network, from large weights, to where it generalises: the more of it, the sooner.

The network is the papers': three weight layers, width 200, ReLU, biases, initial weights and biases times a scale;
AdamW with learning rate 0.001. Two data sets:

 - `mnist`: their setting, the first 1000 training images, batches of 200, weight decay 0.01, 100,000 steps; the scales
   1 and 8, with cross-entropy 8 alone. These take some five minutes each on one core: there is one seed. (Omnigrok
   trains in float64, here it is float32.)
 - `digits`: 200 of scikit-learn's 8 x 8 images, the full batch, weight decay 0.1 unless stated, 20,000 steps: ten times
   the decay, so that the same happens within half a minute. Every seed has a split of its own.

With the first evaluated steps T_train and T_test at which an accuracy of 0.8 is reached, the delay is T_test / T_train.
A run *groks* if its test accuracy is below one half when its train accuracy first reaches 0.95, and 0.8 or more at the
end. No delay is one of 3 at most. Where 0.8 is never reached in the test, the delay counts as larger than any.

The quick size has digits alone, for 12,000 steps, one seed, the scales 1 and 8 and the decays 0.1 and 0.3.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np

from analysis import figures
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread_of_known, train_settings
from experiments.delay import moments
from experiments.readings import first_where
from training import TrainingConfig

LEVEL, FITTED, BEFORE = 0.8, 0.95, 0.5
"""The accuracy whose two steps make the delay; when a run counts as having fitted; its test accuracy then, if it groks.
"""

TOGETHER = 3
"""T_test / T_train up to which the two accuracies rise together."""

SCALES, QUICK_SCALES, MNIST_SCALES = (1.0, 2.0, 4.0, 8.0), (1.0, 8.0), (1.0, 8.0)
DECAYS, QUICK_DECAYS = (0.03, 0.1, 0.3, 1.0), (0.1, 0.3)
LOSSES = {"mse": "MSE", "cross-entropy": "cross-entropy"}

QUICK_STEPS = 12_000
DIGITS = TrainingConfig(task="digits", steps=20_000, eval_every=50, weight_decay=0.1, threads=1)
MNIST = TrainingConfig(task="mnist", xi=0.0, train_size=1000, batch_size=200, steps=100_000, eval_every=200,
                       weight_decay=0.01, threads=1)

MARKS = {"T_train": {"color": figures.BLUE, "linestyle": "--", "marker": "o"},
         "T_test": {"color": figures.VERMILLION, "linestyle": "-", "marker": "s"}}


def observe_accuracies(run):
    """The accuracies and the weight norm of a run over its evaluated steps."""
    return run.history.columns("step", "train_accuracy", "test_accuracy", "weight_norm")


def experiment(options: Options) -> Outcome:
    """Train at every scale and decay, and compare when the two accuracies rise."""
    scales, decays = (QUICK_SCALES, QUICK_DECAYS) if options.quick else (SCALES, DECAYS)
    digits = _digits(scales, decays)
    if options.quick:
        digits = {name: replace(config, steps=QUICK_STEPS) for name, config in digits.items()}
    runs = train_settings(digits, observe_accuracies, options)
    mnist = {} if options.quick else _mnist()
    runs |= train_settings(mnist, observe_accuracies, replace(options, seeds=options.seeds[:1]))
    readings = {name: [read(run) for run in group] for name, group in runs.items()}
    measured = {name: {key: spread_of_known(None if reading[key] is None else float(reading[key]) for reading in group)
                       for key in group[0]} for name, group in readings.items()}
    checks = [*_grok_checks(readings, measured), *_order_checks(readings, scales, decays)]
    title = (f"Images of digits: 3 layers, width 200, AdamW; 200 of 8 × 8, {options.told_seeds}"
             f"{'' if options.quick else '; MNIST 1000 images, one seed'}; × scale: of the initial weights")
    return Outcome(described(digits | mnist), measured, checks,
                   [_draw(runs, readings, scales, decays, title, options.out / "real_data.png")])


def _digits(scales, decays):
    settings = {_name("digits", loss, scale): replace(DIGITS, loss=loss, initial_scale=scale)
                for loss in LOSSES for scale in scales}
    return settings | {_name("digits", "mse", max(scales), decay): replace(
        DIGITS, initial_scale=max(scales), weight_decay=decay) for decay in decays if decay != DIGITS.weight_decay}


def _mnist():
    return {_name("mnist", loss, scale): replace(MNIST, loss=loss, initial_scale=scale)
            for loss in LOSSES for scale in MNIST_SCALES if loss == "mse" or scale == max(MNIST_SCALES)}


def _name(task, loss, scale, decay=None):
    return f"{task}, {LOSSES[loss]}, scale {scale:g}" + (
        f", decay {decay:g}" if decay not in (None, DIGITS.weight_decay) else "")


def read(run: dict) -> dict[str, float | bool | None]:
    """When a run's accuracies rose, whether it has grokked, and where it ended.

    Parameters
    ----------
    run : dict
        As `observe_accuracies` returns it.
    """
    train, test = run["train_accuracy"], run["test_accuracy"]
    when_fitted = first_where(test, (accuracy >= FITTED for accuracy in train))
    return {**moments(run, LEVEL), "test_when_fitted": when_fitted, "train_accuracy": train[-1],
            "test_accuracy": test[-1], "norm_start": run["weight_norm"][0], "norm_end": run["weight_norm"][-1],
            "groks": when_fitted is not None and when_fitted < BEFORE and test[-1] >= LEVEL}


def _grok_checks(readings, measured):
    """Large initial weights delay generalisation, the usual ones do not."""
    for name, paper in (("digits, MSE, scale 8", "groks (on MNIST)"), ("digits, cross-entropy, scale 8", "groks"),
                        ("mnist, MSE, scale 8", "groks"), ("mnist, cross-entropy, scale 8", "groks")):
        if group := readings.get(name):
            grokked, values = sum(reading["groks"] for reading in group), measured[name]
            yield Check(f"{name}: groks, every seed", paper,
                        f"{grokked} of {len(group)}; test accuracy {show(values['test_when_fitted'], 2)} when fitted, "
                        f"{show(values['test_accuracy'], 2)} at the end", grokked == len(group))
    for name in ("digits, MSE, scale 1", "digits, cross-entropy, scale 1", "mnist, MSE, scale 1"):
        if group := readings.get(name):
            delays = [reading["delay"] for reading in group]
            yield Check(f"{name}: no delay (at most {TOGETHER}), every seed", "both accuracies rise together",
                        show(measured[name]["delay"], 1), None not in delays and max(delays) <= TOGETHER)


def _order_checks(readings, scales, decays):
    """The larger the scale, the longer the delay; the more decay, the sooner it generalises."""
    for loss in LOSSES:
        yield _order_check(f"digits, {LOSSES[loss]}: the delay grows with the scale, every seed", "it grows",
                           [readings[_name("digits", loss, scale)] for scale in scales], "delay", 1)
    names = [_name("digits", "mse", max(scales), decay) for decay in decays]
    yield _order_check(f"digits, MSE, scale {max(scales):g}: the more decay, the sooner it generalises, every seed",
                       "weight decay drives it", [readings[name] for name in names], "generalised", -1)


def _order_check(claim, paper, groups, key, sign):
    """Whether a value rises (sign 1) or falls (-1) from group to group, in every seed; what never came is infinite."""
    values = np.array([[math.inf if reading[key] is None else reading[key] for reading in group] for group in groups])
    rises = bool(np.all(sign * values[1:] > sign * values[:-1]))
    means = ", ".join(f"{row.mean():.3g}" if np.isfinite(row).all() else "never" for row in values)
    return Check(claim, paper, f"means: {means}", rises)


def _draw(runs, readings, scales, decays, title, path):
    """Accuracies over the steps for both data sets and losses; when they reach the level, against scale and decay."""
    columns = 3 if any(name.startswith("mnist") for name in runs) else 2  # the quick size has no MNIST
    figure, axes = figures.new_figure(2, columns, (4.7 * columns, 8), title)
    colours = dict(zip(scales, figures.sequence(len(scales)), strict=True))
    curves = {"digits, MSE": axes[0, 0], "digits, cross-entropy": axes[0, 1]}
    if columns == 3:
        curves |= {"mnist, MSE": axes[0, 2], "mnist, cross-entropy": axes[1, 2]}
    for name, panel in curves.items():
        for scale, colour in colours.items():
            for column, dashes in (("train_accuracy", "--"), ("test_accuracy", "-")):
                if group := runs.get(f"{name}, scale {scale:g}"):
                    # A logarithmic axis has no step 0.
                    figures.draw_curve(panel, group[0]["step"][1:], [run[column][1:] for run in group], color=colour,
                                       linestyle=dashes, label=f"× {scale:g}, {column.removesuffix('_accuracy')}")
        panel.set(title=name, xscale="log", xlabel="step", ylabel="accuracy", ylim=(-0.03, 1.05))
        panel.axhline(LEVEL, color=figures.GREY, linewidth=0.8, linestyle=":")
    by_scale = [readings[_name("digits", "mse", scale)] for scale in scales]
    by_decay = [readings[_name("digits", "mse", max(scales), decay)] for decay in decays]
    for panel, title_, label, x, groups in (
            (axes[1, 0], "digits, MSE", "scale of the initial weights", scales, by_scale),
            (axes[1, 1], f"digits, MSE, × {max(scales):g}", "weight decay", decays, by_decay)):
        for (mark, style), key in zip(MARKS.items(), ("memorised", "generalised"), strict=True):
            steps = [[math.nan if reading[key] is None else reading[key] for reading in group] for group in groups]
            figures.draw_curve(panel, x, np.transpose(steps), label=mark, **style)
        panel.set(title=f"{title_}: accuracy {LEVEL}", xscale="log", yscale="log", xlabel=label, ylabel="step")
        panel.set_xticks(x, [f"{value:g}" for value in x])
        panel.minorticks_off()
    figures.draw_legend(figure, axes[0, 0], axes[1, 0], columns=5)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("real_data", __doc__, experiment, seeds=3, quick_seeds=1))
