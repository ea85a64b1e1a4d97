"""Whether dropout removes the delay of generalising, and at which end (Golechha).

What the paper found: with dropout of 0.3 on each linear layer, test accuracy rises with train accuracy, not long after
it: the delay is gone (appendix C).

A delay can go in two ways: a network generalises sooner, or it memorises later. Which of the two it is, and in which
shares, is told by the first evaluated steps with an accuracy of 0.8 (`experiments.delay`).

All accuracies are those in evaluation, without dropout. Steps are known up to those between evaluations: 20 in the
runs of 14,000 steps, 5 in the others, which memorise sooner.

Setting. 200 of scikit-learn's 8 x 8 digits, three weight layers, width 200, full batch, AdamW (learning rate 0.001,
weight decay 0.1): MSE with initial weights times 8 (14,000 steps) and times 4 (4000 steps), and cross-entropy with
initial weights times 8 (4000 steps), beside them because most of its test accuracy is not late. Dropout silences units
behind the two hidden linear layers (before the ReLU, which is the same as behind it), not the logits: if "each linear
layer" means the output as well, the paper's differs. Its own data are MNIST, with a tenth of the decay. The quick size
has one seed.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from analysis import figures
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spreads, train_settings
from experiments.delay import moments, parts
from experiments.readings import first_where
from training import TrainingConfig

LEVEL = 0.8
"""The accuracy that is to be reached, in training and in test."""

LEVELS, FITTED = (0.5, 0.6, 0.7, LEVEL, 0.85, 0.9), 0.99
"""Levels at which the shares are told, and the train accuracy at which test accuracy is."""

LATE, TOGETHER = 10, 1.5
"""T_test / T_train from which on generalising is late, and up to which both come together."""

RATE = 0.3
BASES = {"MSE, scale 8": TrainingConfig(task="digits", loss="mse", initial_scale=8.0, steps=14_000, eval_every=20),
         "MSE, scale 4": TrainingConfig(task="digits", loss="mse", initial_scale=4.0, steps=4000, eval_every=5),
         "cross-entropy, scale 8": TrainingConfig(task="digits", loss="cross-entropy", initial_scale=8.0, steps=4000,
                                                  eval_every=5)}
DELAYED = ("MSE, scale 8", "MSE, scale 4")
"""Where the claim is put to the test."""

PARTS = ("sooner", "later", "share sooner")
"""What dropout takes off the logarithm of the delay, and the share of the first in it."""

WITHOUT, WITH = "dropout 0", f"dropout {RATE:g}"
STYLES = {WITHOUT: figures.BLUE, WITH: figures.VERMILLION}


def observe_accuracies(run):
    """The accuracies of a run."""
    return run.history.columns("step", "train_accuracy", "test_accuracy")


def experiment(options: Options) -> Outcome:
    """Train with and without dropout, and see which of the two moments has moved."""
    settings = {f"{base}: {name}": config for base in BASES for name, config in _settings(BASES[base]).items()}
    runs = train_settings(settings, observe_accuracies, options)
    times = {name: [_times(run) for run in group] for name, group in runs.items()}
    measured = {name: spreads(group, list(group[0])) for name, group in times.items()}
    for base in BASES:
        measured[base] = {}
        for level in LEVELS:
            pairs = [_parts(*(_times(run, level) for run in pair))
                     for pair in zip(*(runs[f"{base}: {name}"] for name in (WITHOUT, WITH)), strict=True)]
            measured[base] |= {f"{name}, level {level:g}": values for name, values in spreads(pairs, PARTS).items()}
    title = (f"Digits, 200 images, AdamW, weight decay 0.1, {options.told_seeds}; dashed: "
             f"accuracy {LEVEL}")
    return Outcome(described(settings), measured, list(_checks(measured)),
                   [_draw(runs, title, options.out / "dropout_removes_the_delay.png")])


def _settings(base):
    return {WITHOUT: base, WITH: replace(base, dropout=RATE)}


def _times(run, level=LEVEL):
    """When a run memorised and generalised, None if never; the delay; its test accuracy when it had fitted its training
    set; its accuracies at the end.
    """
    train, test = run["train_accuracy"], run["test_accuracy"]
    fitted = first_where(test, (accuracy >= FITTED for accuracy in train))
    return {**moments(run, level), "test_accuracy, fitted": fitted, "train_accuracy": train[-1],
            "test_accuracy": test[-1]}


def _parts(without, dropped):
    """What dropout takes off the logarithm of the delay, of two runs of one seed: `PARTS`, None where a run lacks a
    moment.
    """
    sooner, later = parts(without, dropped).values()
    share = None if sooner is None or not sooner + later else sooner / (sooner + later)
    return dict(zip(PARTS, (sooner, later, share), strict=True))


def _checks(measured):
    """Whether there is a delay, whether it goes, and at which end."""
    for base, late in {"MSE, scale 8": True, "cross-entropy, scale 8": False}.items():
        delay, fitted = (measured[f"{base}: {WITHOUT}"][name] for name in ("delay", "test_accuracy, fitted"))
        yield Check(f"{base}: without dropout generalising {'takes' if late else 'never takes'} {LATE} times the steps "
                    "of memorising or more, every seed", "grokking" if late else "(not told apart)",
                    f"{show(delay, 1)} times; test accuracy {show(fitted)} when train accuracy is first {FITTED}",
                    delay is not None and (delay["min"] >= LATE if late else delay["max"] < LATE))
    for base in DELAYED:
        without, dropped = measured[f"{base}: {WITHOUT}"], measured[f"{base}: {WITH}"]
        sooner, share = (measured[base][f"{name}, level {LEVEL:g}"] for name in ("sooner", "share sooner"))
        yield Check(f"{base}: with dropout both come together, within {TOGETHER} times the steps, every seed",
                    "the delay is gone", f"{show(dropped['delay'], 2)} times; without {show(without['delay'], 1)}",
                    dropped["delay"] is not None and dropped["delay"]["max"] <= TOGETHER)
        yield Check(f"{base}: with dropout it generalises sooner, every seed", "implied",
                    f"step {show(dropped['generalised'], 0)}; without {show(without['generalised'], 0)}",
                    sooner is not None and sooner["min"] > 0)
        yield Check(f"{base}: at least half of what goes of the delay goes because it generalises sooner, not because "
                    "it memorises later, every seed", "implied",
                    f"{show(share, 2)} of it; memorised at step {show(dropped['memorised'], 0)}, without "
                    f"{show(without['memorised'], 0)}",
                    share is not None and share["min"] >= 0.5 and sooner["min"] > 0)


def _draw(runs, title, path):
    """Accuracies over the steps, a panel for each loss and scale."""
    figure, axes = figures.new_figure(1, len(BASES), (4.8 * len(BASES), 4.6), title, sharey=True)
    for base, panel in zip(BASES, axes[0], strict=True):
        for name, colour in STYLES.items():
            group = runs[f"{base}: {name}"]
            for column, dashes in (("train_accuracy", ":"), ("test_accuracy", "-")):
                # A logarithmic axis has no step 0.
                figures.draw_curve(panel, group[0]["step"][1:], [run[column][1:] for run in group], color=colour,
                                   linestyle=dashes, label=f"{column.split('_')[0]}, {name}")
        panel.axhline(LEVEL, color=figures.GREY, linewidth=1, linestyle="--", zorder=1)
        panel.set(title=base, xlabel="step", xscale="log", ylim=(-0.03, 1.05))
    axes[0, 0].set_ylabel("accuracy")
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("dropout_removes_the_delay", __doc__, experiment, seeds=5, quick_seeds=1))
