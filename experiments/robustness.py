"""A robustness viewpoint: training on perturbed images, and the entropies of features (Tan, Huang).

What the paper found (arXiv 2311.06597): Gaussian noise on the inputs, of strength sigma = max(l1 (1 - train accuracy),
l2), speeds generalisation up. The weight norm moves with generalisation, but not in time; entropies of the matrix of
features on perturbed inputs, and the mutual information built from them, do better, and may predict it. (Its third
finding, on modular addition, is that of `experiments.commutativity`.)

Setting. 200 of scikit-learn's digits, three weight layers, width 200, initial weights times 8, MSE, AdamW (learning
rate 0.001, weight decay 0.1), full batch, 12000 steps. The noise is on pixels from 0 to 1, and its strength follows the
train accuracy without noise, as of the last evaluation, every 20 steps. Its strengths are this project's.

Perturbed training. The delay, and at which end noise shortens it, is that of `experiments.delay`, with accuracies of
0.8, told without noise. Which part of the noise does it is told by each alone: tied to the train accuracy it goes as
the training set is fitted (l2 = 0), as a floor it stays (l1 = 0).

Entropies (`analysis.matrix_entropy`) of the last hidden layer's features on the training set, clean (Z) and with noise
of 0.1 on the pixels (Z~). The paper takes the entropy and the mutual information on perturbed inputs, and their
differences to what they are on clean ones. This leaves several readings; here

    perturbed entropy    H(Z~)            entropy difference        H(Z~) - H(Z)
    shared information   I(Z; Z~)         information difference    I(Z; Z) - I(Z; Z~)

from the first snapshot with a train accuracy of 0.9 on. A curve moves with test accuracy if it is halfway while that
goes from a tenth to nine tenths of its way (`analysis.lead_lag`). A measure of generalisation should also stand still
where nothing generalises: without weight decay the same network stays near chance.

The quick size has one seed, and two of the five strengths of noise.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

import streams
from analysis import figures
from analysis.correlation import rank_correlation
from analysis.features import features
from analysis.lead_lag import END, START, order, step_at
from analysis.matrix_entropy import matrix_entropy, mutual_information
from analysis.phases import LEARNT
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, train_settings
from experiments.delay import moments, parts
from experiments.readings import since_memorised
from training import Run, TrainingConfig

IMAGES = TrainingConfig(task="digits", steps=12_000, eval_every=20, snapshots=30)
ORDINARY, UNDECAYED = "ordinary", "no weight decay"
TIED, FLOOR = "l1 0.3, l2 0", "l1 0, l2 0.1"
NOISES = {TIED: (0.3, 0.0), "l1 0, l2 0.03": (0.0, 0.03), FLOOR: (0.0, 0.1), "l1 0, l2 0.3": (0.0, 0.3),
          "l1 0.3, l2 0.1": (0.3, 0.1)}
"""l1 and l2 of perturbed training."""

COLOURS = {ORDINARY: figures.BLACK, TIED: figures.SKY, "l1 0, l2 0.03": figures.GREEN, FLOOR: figures.VERMILLION,
           "l1 0, l2 0.3": figures.PURPLE, "l1 0.3, l2 0.1": figures.ORANGE, UNDECAYED: figures.GREY}

LEVEL = 0.8
"""The accuracy that is to be reached, in training and in test."""

ENTROPIES = {"perturbed_entropy": "perturbed entropy", "entropy_difference": "entropy difference",
             "shared_information": "shared information", "information_difference": "information difference"}
BESIDE = {"entropy": "entropy", "weight_norm": "weight norm"}
"""The measures, and what is told beside them."""


def observe_entropies(run: Run) -> dict[str, Any]:
    """The curves of a run, and entropies of its last hidden layer's features over the snapshots.

    Returns
    -------
    dict
        "history": the columns step, train_accuracy and test_accuracy. "entropies": the columns step, train_accuracy,
        test_accuracy and weight_norm at the snapshots, and what the module's text defines of these.
    """
    sigma, inputs = 0.1, run.problem().train.inputs
    noise = streams.generator(run.config.seed, streams.ANALYSIS, streams.number_of("perturbed inputs"))
    noisy = inputs + sigma * noise.standard_normal(inputs.shape)
    rows, found = {row["step"]: row for row in run.history.rows}, []
    for step in sorted(run.snapshots):
        network = run.network(step)
        clean, perturbed = (list(features(network, x).values())[-1] for x in (inputs, noisy))
        entropy, perturbed_entropy = matrix_entropy(clean), matrix_entropy(perturbed)
        information, shared = mutual_information(clean, clean), mutual_information(clean, perturbed)
        found.append({**{name: rows[step][name] for name in ("step", "train_accuracy", "test_accuracy", "weight_norm")},
                      "entropy": entropy, "perturbed_entropy": perturbed_entropy,
                      "entropy_difference": perturbed_entropy - entropy, "shared_information": shared,
                      "information_difference": information - shared})
    return {"history": run.history.columns("step", "train_accuracy", "test_accuracy"),
            "entropies": {name: [one[name] for one in found] for name in found[0]}}


def experiment(options: Options) -> Outcome:
    """Train with and without noise, and follow the entropies of features."""
    settings = _settings([TIED, FLOOR] if options.quick else NOISES)
    runs = train_settings(settings, observe_entropies, options)
    times = {name: [moments(run["history"], LEVEL) for run in group] for name, group in runs.items()}
    curves = {name: [since_memorised(run["entropies"]) for run in group] for name, group in runs.items()}
    measured = {name: _measured(runs[name], times[name], curves[name], times[ORDINARY]) for name in runs}
    checks = [*_noise_checks(measured), *_entropy_checks(curves)]
    seeds = options.told_seeds
    return Outcome(described(settings), measured, checks,
                   [_draw(runs, times, f"200 digits, trained with noise on the pixels, {seeds}; dashed: {LEVEL}",
                          options.out / "robustness.png"),
                    _draw_entropies(runs, f"Entropies of features on the training set, clean and with noise, {seeds}",
                                    options.out / "robustness_entropies.png")])


def _settings(noises):
    return {ORDINARY: IMAGES,
            **{name: replace(IMAGES, noise=NOISES[name][0], noise_floor=NOISES[name][1]) for name in noises},
            UNDECAYED: replace(IMAGES, weight_decay=0.0)}


# ---- reading the runs ----

def _measured(runs, times, curves, ordinary):
    """Of one way to train images: the delay, what it takes off that of ordinary training, and how each curve moves."""
    shares = [parts(*pair) for pair in zip(ordinary, times, strict=True)]
    values = {**{name: spread([one[name] for one in times]) for name in times[0]},
              **{name: spread([one[name] for one in shares]) for name in shares[0]},
              **{name: spread([run["history"][name][-1] for run in runs]) for name in ("train_accuracy",
                                                                                       "test_accuracy")}}
    for name in (*ENTROPIES, *BESIDE):
        values[f"{name}, order"] = [order(one["step"], one[name], one["test_accuracy"]) for one in curves]
        values[f"{name}, halfway"] = spread([step_at(one["step"], one[name]) for one in curves])
        values[f"{name}, change"] = spread([_change(one, name) for one in curves])
        values[f"{name}, rank correlation"] = spread([rank_correlation(one[name], one["test_accuracy"])
                                                      for one in curves])
    return values


def _change(curves, name):
    """By how much a curve has changed since the training set was learnt."""
    return float(curves[name][-1] - curves[name][0])


# ---- checks ----

def _noise_checks(measured):
    """Whether noise shortens the delay, at which end, and which part of it does so."""
    without = measured[ORDINARY]
    found = {name: measured[name] for name in NOISES if name in measured}
    for name, one in found.items():
        yield Check(f"{name}: a test accuracy of {LEVEL} comes sooner than in ordinary training, every seed",
                    "perturbed training speeds generalisation up",
                    f"step {show(one['generalised'], 0)}, without noise {show(without['generalised'], 0)}; at the end "
                    f"{show(one['test_accuracy'])}, without {show(without['test_accuracy'])}",
                    one["sooner"] is not None and one["sooner"]["min"] > 0)
    yield Check(f"noise does not slow memorising: a train accuracy of {LEVEL} comes at most 1.1 times as late, of all "
                "strengths and seeds", "(not told apart)",
                "; ".join(f"{name}: step {show(one['memorised'], 0)}" for name, one in found.items())
                + f"; without {show(without['memorised'], 0)}",
                all(one["later"] is not None and one["later"]["max"] <= np.log(1.1) for one in found.values()))
    yield Check("more of the delay goes because the network generalises sooner than because it memorises later, of all "
                "strengths and seeds", "implied",
                "; ".join(f"{name}: delay {show(one['delay'], 1)} times, its logarithm less by "
                          f"{show(one['sooner'], 2)} and {show(one['later'], 2)}" for name, one in found.items())
                + f"; without noise {show(without['delay'], 1)} times",
                all(_every(one["sooner"], one["later"], lambda sooner, later: sooner > later)
                    for one in found.values()))
    tied, floor = found[TIED], found[FLOOR]
    yield Check(f"noise that goes when the training set is fitted ({TIED}) does as well as noise that stays ({FLOOR}): "
                f"a test accuracy of {LEVEL} within twice the steps, every seed", "(not told apart)",
                f"step {show(tied['generalised'], 0)}, {show(floor['generalised'], 0)}",
                _every(tied["generalised"], floor["generalised"], lambda one, other: one <= 2 * other))


def _every(first, second, holds):
    return None not in (first, second) and all(map(holds, first["values"], second["values"]))


def _entropy_checks(curves):
    """Whether entropies move when test accuracy does, and stand still when it does."""
    ordinary, control = curves[ORDINARY], curves[UNDECAYED]
    for name, label in ENTROPIES.items():
        orders = _orders(ordinary, name)
        yield Check(f"{label} moves with test accuracy (it is halfway between its {START:.0%} and {END:.0%}), every "
                    "seed", "correlates well with grokking", _told(orders), set(orders) == {"with"})
        yield Check(f"{label} tells generalising from not generalising: without weight decay it changes by less than "
                    "half as much, every seed", "implied",
                    f"by {show(spread([_change(one, name) for one in control]))}, in ordinary training by "
                    f"{show(spread([_change(one, name) for one in ordinary]))}; test accuracy without weight decay "
                    f"{show(spread([one['test_accuracy'][-1] for one in control]))}",
                    all(abs(_change(still, name)) < abs(_change(moving, name)) / 2
                        for still, moving in zip(control, ordinary, strict=True)))
    orders = _orders(ordinary, "weight_norm")
    yield Check("the weight norm does not move with test accuracy, every seed", "not in a timely way", _told(orders),
                "with" not in orders)
    orders = {label: _orders(curves[FLOOR], name) for name, label in ENTROPIES.items()}
    yield Check(f"in perturbed training ({FLOOR}) all four move with test accuracy, every seed",
                "correlates well with grokking",
                "; ".join(f"{label} {_told(found)}" for label, found in orders.items()),
                all(set(found) == {"with"} for found in orders.values()))


def _orders(curves, name):
    return [order(one["step"], one[name], one["test_accuracy"]) for one in curves]


def _told(orders):
    """How many seeds have each order: "3 before, 2 with"."""
    return ", ".join(f"{orders.count(one)} {one or 'turning'}" for one in ("before", "with", "after", None)
                     if one in orders)


# ---- figures ----

def _draw(runs, times, title, path):
    """Accuracies over the steps, and when each way to train memorises and generalises."""
    figure, axes = figures.new_figure(1, 2, (13, 5.2), title)
    curves, moved = axes[0]
    for name, group in runs.items():
        for column, style in {"train_accuracy": {"linestyle": ":", "linewidth": 1}, "test_accuracy": {}}.items():
            # A logarithmic axis has no step 0.
            figures.draw_curve(curves, group[0]["history"]["step"][1:], [run["history"][column][1:] for run in group],
                               color=COLOURS[name], label=name if column == "test_accuracy" else None, **style)
    curves.axhline(LEVEL, color=figures.GREY, linewidth=1, linestyle="--", zorder=1)
    curves.set(xscale="log", xlabel="step", ylabel="accuracy (dotted: train, solid: test)", ylim=(-0.03, 1.05))
    for place, (name, group) in enumerate(times.items()):
        for moment, filling in {"memorised": "none", "generalised": COLOURS[name]}.items():
            found = [one[moment] for one in group if one[moment] is not None]
            moved.plot(found, [place] * len(found), "o", color=COLOURS[name], markerfacecolor=filling)
    moved.set(xscale="log", xlabel=f"step with an accuracy of {LEVEL} (open: train, filled: test)",
              ylim=(len(times) - 0.5, -0.5))
    moved.set_yticks(range(len(times)), list(times))
    figures.draw_legend(figure, curves)
    return figures.save(figure, path)


def _draw_entropies(runs, title, path):
    """A column for each of three ways to train: accuracies, the four measures, the norm; a line for each seed."""
    rows = {"accuracy": ("train_accuracy", "test_accuracy"), **{label: (name,) for name, label in ENTROPIES.items()},
            "weight norm": ("weight_norm",)}
    shown = (ORDINARY, FLOOR, UNDECAYED)
    figure, axes = figures.new_figure(len(rows), len(shown), (4.2 * len(shown), 2 * len(rows)), title, sharex=True,
                                      sharey="row")
    colours = {"train_accuracy": figures.BLUE, "test_accuracy": figures.VERMILLION}
    for setting, column in zip(shown, axes.T, strict=True):
        for (label, names), panel in zip(rows.items(), column, strict=True):
            for number, run in enumerate(runs[setting]):
                for name in names:
                    panel.plot(run["entropies"]["step"][1:], run["entropies"][name][1:], linewidth=1.1, alpha=0.8,
                               color=colours.get(name, figures.BLACK),
                               label=None if number else name.split("_")[0])
            learnt = [since_memorised(run["entropies"])["step"][0] for run in runs[setting]]
            panel.axvline(max(learnt), color=figures.GREY, linewidth=1, linestyle="--", zorder=1,
                          label=f"train accuracy {LEARNT}, every seed")
            if setting == ORDINARY:
                panel.set_ylabel(label)
        column[0].set_title(setting)
        column[-1].set(xscale="log", xlabel="step")
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("robustness", __doc__, experiment, seeds=3, quick_seeds=1))
