"""Whether a network that groks modular addition knows first that a + b = b + a (Tan, Huang).

What the paper found (arXiv 2311.06597): before it groks, a network hardly knows that addition commutes. When it has
grokked it does, as it must; the paper takes learning this law for a part of what speeds generalisation up.

Knowing the rule is knowing the law, so the law's part is what is known of it beyond the rule
(`analysis.commutativity`). Read at the first snapshots with a train accuracy of 0.9 (learnt) and of 0.99 (memorised),
and where test accuracy first passes 1/2, linear between snapshots. A network that has 0.99 only when it groks has not
memorised before, and says nothing of the time before.

    hardly known   on split couples, of which one pair was trained on, both answers are the same for less than a tenth
    beyond         on unseen couples, of two test pairs, agreement is above that of two networks that are right as often
                   and do not know of each other
    by heart       accuracy is higher on test pairs whose mirror image was trained on than on unseen couples

Trained with cross-entropy, AdamW and full batches, p 53, no wrong labels, is the quadratic network (N 256, learning
rate 0.001, weight decay 1, 0.4 of the pairs, 3000 steps), whose two places have tables of their own, and the
transformer (d 64, learning rate 0.003, weight decay 1, half of the pairs, 2400 steps), whose places share one. That
perturbed training learns the law sooner is not put to the test: the noise is for images.

The quick size has one seed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from analysis import figures
from analysis.commutativity import commutativity
from analysis.phases import LEARNT
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, train_settings
from experiments.readings import first_where
from training import Run, TrainingConfig

COMMON = TrainingConfig(p=53, xi=0.0, loss="cross-entropy", eval_every=20, snapshots=40)
SETTINGS = {
    "quadratic": replace(COMMON, alpha=0.4, width=256, learning_rate=1e-3, weight_decay=1.0, steps=3000),
    "transformer": replace(COMMON, model="transformer", alpha=0.5, width=64, learning_rate=3e-3, weight_decay=1.0,
                           steps=2400)}

TRAIN, HALF = {"learnt": LEARNT, "memorised": 0.99}, 0.5
"""The train accuracies at which a run is read, and the test accuracy."""

HARDLY, CLEARLY = 0.1, 0.05
"""The agreement of a network that hardly knows the law, and by how much a share is to be above another."""

ACCURACIES = {("train_accuracy",): ("train accuracy", figures.BLUE, "-"),
              ("test_accuracy",): ("test accuracy", figures.VERMILLION, "-"),
              ("split", "agreement"): ("split couples: agreement", figures.PURPLE, "--")}
UNSEEN = {("unseen", "agreement"): ("unseen couples: agreement", figures.BLACK, "-"),
          ("unseen", "both_right"): ("both right", figures.GREEN, "-"),
          ("unseen", "independent"): ("agreement if independent", figures.ORANGE, "--"),
          ("unseen", "chance"): ("agreement by chance", figures.SKY, ":")}
"""Where to find a curve in what is kept of a run, and how it is drawn."""


def observe_commutativity(run: Run) -> dict[str, Any]:
    """What a run's network knows of the commutative law at its snapshots.

    Returns
    -------
    dict
        "step", "train_accuracy", "test_accuracy": of the snapshots. "split", "unseen": for each field of
        `analysis.commutativity.Agreement` the values there.
    """
    problem, steps = run.problem(), sorted(run.snapshots)
    found = [commutativity(run.network(step), problem) for step in steps]
    rows = {row["step"]: row for row in run.history.rows}
    return {"step": steps,
            **{name: [rows[step][name] for step in steps] for name in ("train_accuracy", "test_accuracy")},
            **{kind: {name: [asdict(one[kind])[name] for one in found] for name in asdict(found[0][kind])}
               for kind in ("split", "unseen")}}


def experiment(options: Options) -> Outcome:
    """Train both networks, and follow what they know of the law."""
    runs = train_settings(SETTINGS, observe_commutativity, options)
    readings = {name: [read(run) for run in group] for name, group in runs.items()}
    measured = {name: {key: spread([one[key] for one in group]) for key in group[0]}
                for name, group in readings.items()}
    checks = [check for name in SETTINGS for check in _checks(name, measured[name])]
    title = f"Modular addition, p = {COMMON.p}: answers on pairs and their mirror images, {options.told_seeds}"
    return Outcome(described(SETTINGS), measured, checks, [_draw(runs, title, options.out / "commutativity.png")])


def read(run: Mapping[str, Any]) -> dict[str, float | None]:
    """What a run knows of the law when it has learnt its training set, when it has memorised it, and half way.

    Parameters
    ----------
    run : mapping
        As `observe_commutativity` leaves it.

    Returns
    -------
    dict
        "train_accuracy", "test_accuracy": at the end. "learnt", "memorised", "half": the steps. At each of these, as
        "half, ..." and so on: "split agreement"; of unseen couples "agreement", "both wrong", "chance", "independent",
        and "beyond", the agreement less "independent"; and "by heart", the accuracy on mirror images of pairs that were
        trained on less that on unseen couples. None where the moment never came.
    """
    steps, train, test = (np.array(run[name]) for name in ("step", "train_accuracy", "test_accuracy"))
    split, unseen = ({name: np.array(values) for name, values in run[kind].items()} for kind in ("split", "unseen"))
    told = {"split agreement": split["agreement"], "agreement": unseen["agreement"],
            "both wrong": unseen["both_wrong"], "chance": unseen["chance"], "independent": unseen["independent"],
            "beyond": unseen["agreement"] - unseen["independent"],
            "by heart": split["mirror_accuracy"] - (unseen["pair_accuracy"] + unseen["mirror_accuracy"]) / 2}
    places = {moment: _reached(train, level) for moment, level in TRAIN.items()} | {"half": _passing(test, HALF)}
    found = {"train_accuracy": float(train[-1]), "test_accuracy": float(test[-1])}
    for moment, place in places.items():
        found[moment] = _at(place, steps)
        found |= {f"{moment}, {name}": _at(place, values) for name, values in told.items()}
    return found


def _reached(values, level):
    """The place of the first value at a level or above; None if there is none."""
    return first_where(range(len(values)), values >= level)


def _passing(values, level):
    """Where a curve first passes a level, as a place among its values, linear between two; None if it never does."""
    place = _reached(values, level)
    return place and place - (values[place] - level) / (values[place] - values[place - 1])


def _at(place, values):
    return None if place is None else float(np.interp(place, np.arange(len(values)), values))


def _checks(network, law):
    """Whether the law is known when the training set is learnt, and whether it is known beyond the rule."""
    for moment, level in TRAIN.items():
        agreement = law[f"{moment}, split agreement"]
        yield Check(f"{network}: at a train accuracy of {level}, agreement on pairs trained on and their mirror images "
                    f"is below {HARDLY}, every seed", "before it groks, it hardly knows the law",
                    f"{show(agreement)} at step {show(law[moment], 0)}, and {show(law[f'{moment}, agreement'])} on "
                    f"unseen couples, chance {show(law[f'{moment}, chance'])}; test accuracy is {HALF} at step "
                    f"{show(law['half'], 0)}", agreement is not None and agreement["max"] < HARDLY)
    beyond, by_heart = law["half, beyond"], law["half, by heart"]
    yield Check(f"{network}: the law is known beyond the rule: at a test accuracy of {HALF}, agreement on unseen "
                f"couples is by {CLEARLY} above that of independent networks, every seed",
                "implied: learning the law is a part of its own",
                f"{show(law['half, agreement'])}, independent {show(law['half, independent'])}; both wrong "
                f"{show(law['half, both wrong'])}", beyond is not None and beyond["min"] > CLEARLY)
    yield Check(f"{network}: the law lets it be right by heart: at a test accuracy of {HALF}, accuracy is by {CLEARLY} "
                "higher on mirror images of pairs trained on than on unseen couples, every seed", "(not told apart)",
                f"higher by {show(by_heart)}", by_heart is not None and by_heart["min"] > CLEARLY)


def _draw(runs, title, path):
    """A column for each network, accuracies above unseen couples; a line for each seed, at snapshots of its own."""
    figure, axes = figures.new_figure(2, len(runs), (6.2 * len(runs), 7.4), title, sharex="col", sharey=True)
    for (network, group), column in zip(runs.items(), axes.T, strict=True):
        for curves, panel in zip((ACCURACIES, UNSEEN), column, strict=True):
            for (kind, *inner), (label, colour, dashes) in curves.items():
                for number, run in enumerate(group):
                    values = run[kind][inner[0]] if inner else run[kind]
                    panel.plot(run["step"][1:], values[1:], color=colour, linestyle=dashes, linewidth=1.2, alpha=0.8,
                               label=None if number else label)
        column[0].set(title=network, ylim=(-0.03, 1.05))
        column[1].set(xscale="log", xlabel="step")
    axes[0, 0].set_ylabel("accuracy, or share of split couples")
    axes[1, 0].set_ylabel("share of unseen couples")
    figures.draw_legend(figure, *axes[:, 0], columns=4)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("commutativity", __doc__, experiment, seeds=3, quick_seeds=1))
