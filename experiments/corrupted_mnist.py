"""Real images with wrong labels: what is memorised, and what regularisation keeps out (Doshi et al., appendix H).

What the paper found: MNIST with corrupted labels behaves much as modular arithmetic does. Without regularisation the
network memorises the wrong labels as well, and its test accuracy suffers. With weight decay or dropout it does not fit
them, and its test accuracy is higher. Its neurons have no frequencies to be told apart by, so there is no IPR.

The claims are held here against a setting of this project's own, since the paper's exact one is not known: a ReLU
network of three weight layers, width 200, with biases, on the first 4000 training images and 2000 test images; MSE,
AdamW with learning rate 0.001, batches of 250, 2000 steps. Corruption (xi = 0.35) and the strengths of weight decay and
dropout are those of the paper's modular arithmetic (fig. 3). BatchNorm, of which nothing is claimed, and the same
network on true labels stand beside them. What counts as fitted is told as in appendix C: a network that fits its
training labels has a train accuracy of at least 0.9, one that has none of the wrong ones less than 1.05 - xi.

The quick size has one seed and 1000 steps.
"""

from __future__ import annotations

import sys

from analysis import figures
from analysis.phases import INVERSION_MARGIN, LEARNT
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, spreads, train_settings
from training import COLUMNS, TrainingConfig

XI = 0.35
STEPS, QUICK_STEPS = 2000, 1000
DECAYS = {5.0: figures.SKY, 15.0: figures.BLUE, 20.0: figures.GREEN}
DROPOUTS = {0.3: figures.ORANGE, 0.6: figures.VERMILLION, 0.9: figures.PURPLE}
"""Strengths, with their colours."""

NONE, BATCH_NORM, TRUE_LABELS = "no regularisation", "BatchNorm", "true labels"
REGULARISERS = {"weight decay": {f"weight decay {decay:g}": {"color": colour} for decay, colour in DECAYS.items()},
                "dropout": {f"dropout {rate:g}": {"color": colour} for rate, colour in DROPOUTS.items()},
                "BatchNorm": {BATCH_NORM: {"color": figures.BLUE, "linestyle": "--"}}}
"""By the kind of regularisation the settings with it, and how each is drawn."""

MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy", "train_loss", "test_loss",
            "weight_norm")


def observe_curves(run):
    """The summary of a run and its curves."""
    return {"summary": run.summary(),
            "history": run.history.columns(*COLUMNS)}


def experiment(options: Options) -> Outcome:
    """Train with every regulariser and compare what is memorised, and the test accuracy."""
    settings = _settings(QUICK_STEPS if options.quick else STEPS)
    runs = train_settings(settings, observe_curves, options)
    measured = {name: _measured(group) for name, group in runs.items()}
    checks = [_memorised_check(measured), _suffers_check(measured)]
    for kind in ("weight decay", "dropout"):
        checks += [_kept_out_check(measured, kind, "some", LEARNT, "it does not fit them"),
                   _kept_out_check(measured, kind, "all", 1 + INVERSION_MARGIN - XI, "full inversion")]
    first = settings[NONE]
    title = (f"MNIST, {first.train_size} images, ξ = {XI:g}, N = {first.resolved().width}, batches of "
             f"{first.batch_size}, {options.told_seeds}")
    return Outcome(described(settings), measured, checks, [_draw(runs, title, options.out / "corrupted_mnist.png")])


def _settings(steps):
    def config(**changes):
        return TrainingConfig(**{"task": "mnist", "train_size": 4000, "batch_size": 250, "xi": XI, "weight_decay": 0.0,
                                 "steps": steps, "eval_every": 50, **changes})

    return {TRUE_LABELS: config(xi=0.0), NONE: config(),
            **{f"weight decay {decay:g}": config(weight_decay=decay) for decay in DECAYS},
            **{f"dropout {rate:g}": config(dropout=rate) for rate in DROPOUTS},
            BATCH_NORM: config(batch_norm=True)}


def _measured(runs):
    """What the runs end with, and what they reached on the way: the best test accuracy and its first step, and the
    highest accuracy on the wrong labels, which tells labels that were unlearnt from labels that were never learnt.
    """
    tests, corrupted = ([run["history"][f"{name}_accuracy"] for run in runs] for name in ("test", "corrupted"))
    return {**spreads([run["summary"] for run in runs], MEASURED),
            "best_test_accuracy": spread([max(test) for test in tests]),
            "best_test_step": spread([run["history"]["step"][test.index(max(test))]
                                      for run, test in zip(runs, tests, strict=True)]),
            "highest_corrupted_accuracy": None if None in corrupted[0] else spread([max(one) for one in corrupted])}


def _memorised_check(measured):
    corrupted = measured[NONE]["corrupted_accuracy"]
    return Check(f"without regularisation every seed ends with an accuracy of {LEARNT} or more on the wrong labels",
                 "memorises them", show(corrupted), corrupted["min"] >= LEARNT)


def _suffers_check(measured):
    wrong, true = (measured[name]["test_accuracy"] for name in (NONE, TRUE_LABELS))
    return Check("its test accuracy is below that on true labels, every seed below every", "suffers",
                 f"{show(wrong)}, {show(true)} on true labels", wrong["max"] < true["min"])


def _kept_out_check(measured, kind, share, bound, paper):
    """Whether some strength keeps the train accuracy of every seed below a bound, and the test accuracy above."""
    without, found = measured[NONE]["test_accuracy"], []
    for name in REGULARISERS[kind]:
        train, test = measured[name]["train_accuracy"], measured[name]["test_accuracy"]
        if train["max"] < bound and test["min"] > without["max"]:
            found.append(f"{name.removeprefix(kind).strip()}: train {show(train)}, test {show(test)}")
    return Check(f"some {kind} keeps {share} of the wrong labels out (train accuracy below {bound:.2f}), "
                 "with a higher test accuracy, every seed", f"{paper}; test accuracy is higher",
                 "; ".join(found) or "none does", bool(found))


def _draw(runs, title, path):
    """The test accuracy above, the accuracy on the wrong labels below; a column for each kind of regularisation."""
    figure, axes = figures.new_figure(2, len(REGULARISERS), (4.2 * len(REGULARISERS), 6.4), title, sharex=True,
                                      sharey="row")
    for (kind, styles), (test, corrupted) in zip(REGULARISERS.items(), axes.T, strict=True):
        for panel, column in ((test, "test_accuracy"), (corrupted, "corrupted_accuracy")):
            _draw_curves(panel, runs, column, {TRUE_LABELS: {"color": figures.GREY, "linestyle": ":"},
                                               NONE: {"color": figures.BLACK}, **styles})
            panel.set_ylim(-0.03, 1.05)
        test.set_title(kind)
        corrupted.set_xlabel("step")
    axes[0, 0].set_ylabel("test accuracy")
    axes[1, 0].set_ylabel("accuracy on wrong labels")
    figures.draw_legend(figure, *axes[0], columns=5)
    return figures.save(figure, path)


def _draw_curves(panel, runs, column, styles):
    for name, style in styles.items():
        histories = [run["history"] for run in runs[name]]
        values = [[float("nan") if value is None else value for value in history[column]] for history in histories]
        figures.draw_curve(panel, histories[0]["step"], values, label=name, **style)


if __name__ == "__main__":
    sys.exit(run_experiment("corrupted_mnist", __doc__, experiment, seeds=5, quick_seeds=1))
