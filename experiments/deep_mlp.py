"""What makes a deeper ReLU network unlearn corrupted labels (Doshi et al., fig. 7b and appendix G).

What the paper found, for three weight layers: full inversion needs weight decay. Dropout, which inverts the two-layer
network, mostly confuses this one. BatchNorm only helps coexistence.

The paper's network has N 500 and p 97 and is trained for 5000 steps with full batches at learning rate 0.001, some
eight minutes a network on two cores. Two smaller pieces of this are trained here, both on 80% of the pairs:

    p 47, N 256, xi 0.2, 3000 steps    decay and dropout with full batches; BatchNorm with batches of 64, 8000 steps
    p 97, N 500, xi 0.1, 8000 steps    batches of 64 without weight decay, with and without BatchNorm

Batches of 64 and their number of steps are those that the paper has for BatchNorm in the two-layer network. At p 47 a
network without weight decay never generalises, so what helps coexistence cannot be seen there; at p 97 it can. xi is
0.1 there, where a network that has unlearned all wrong labels would count as coexisting by its train accuracy: of
networks without weight decay the claim is therefore also held against the accuracy on the corrupted labels.

The quick size has one seed, fewer decays and rates, 1200 steps with full batches, and no BatchNorm at p 47.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np

from analysis import figures
from analysis.phases import COEXISTENCE, CONFUSION, FULL_INVERSION, LEARNT
from experiments.common import Check, Options, Outcome, described, run_experiment, spreads, train_settings
from experiments.measures import observe
from experiments.panels import draw_runs
from training import TrainingConfig
from training.history import UNLEARNED


def _config(**settings):
    return TrainingConfig(**{"model": "relu-mlp", "depth": 3, "p": 47, "width": 256, "alpha": 0.8, "xi": 0.2,
                             "learning_rate": 0.001, "weight_decay": 0.0, "steps": 3000, **settings})


BATCHES = {"batch_size": 64, "steps": 8000, "eval_every": 100}
LARGE = {"p": 97, "width": 500, "xi": 0.1, **BATCHES}

DECAYS = {f"decay {decay:g}": _config(weight_decay=decay) for decay in (0.0, 5.0, 10.0, 20.0, 30.0)}
RATES = {f"dropout {rate:g}": _config(dropout=rate) for rate in (0.1, 0.3, 0.6, 0.9)}
WITH, WITHOUT = "p 97, BatchNorm", "p 97, no BatchNorm"
BATCHED = {"BatchNorm": _config(batch_norm=True, **BATCHES), WITH: _config(batch_norm=True, **LARGE),
           WITHOUT: _config(**LARGE)}
SETTINGS = {**DECAYS, **RATES, **BATCHED}
QUICK = ("decay 0", "decay 10", "decay 20", "dropout 0.3", WITH, WITHOUT)
QUICK_STEPS = 1200
MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "train_loss", "test_loss", "mean_ipr",
            "mean_ipr_without_constant", "weight_norm", "grok_step", "unlearn_step")


def experiment(options: Options) -> Outcome:
    """Train with each kind of regularisation and hold the phases against the paper."""
    settings = SETTINGS
    if options.quick:
        settings = {name: SETTINGS[name] if SETTINGS[name].batch_size
                    else dataclasses.replace(SETTINGS[name], steps=QUICK_STEPS) for name in QUICK}
    runs = train_settings(settings, observe, options)
    measured = {name: _measured(group) for name, group in runs.items()}
    phases = {name: values["phase"] for name, values in measured.items()}
    checks = [_decay_check({name: phases[name] for name in DECAYS if name in phases}),
              _need_check({name: group for name, group in runs.items() if settings[name].weight_decay == 0}),
              _dropout_check({name: phases[name] for name in RATES if name in phases}),
              _batchnorm_check(phases[WITH], phases[WITHOUT])]
    title = (f"ReLU network of three weight layers, α = 0.8; p = 47, N = 256, ξ = 0.2, or where said p = 97, N = 500, "
             f"ξ = 0.1; {options.told_seeds}")
    return Outcome(described(settings), measured, checks,
                   [_draw_ends(settings, runs, title, options.out / "deep_mlp.png"),
                    draw_runs(settings, runs, _draw_ipr, "share of neurons", title, options.out / "deep_mlp_runs.png",
                              columns=4, size=(3.2, 5.2))])


def _measured(runs):
    values = spreads([run["summary"] for run in runs], MEASURED)
    values["phase"] = [run["summary"]["phase"] for run in runs]
    return values


def _decay_check(phases):
    inverting = [name for name, found in phases.items() if set(found) == {FULL_INVERSION}]
    return Check(f"at some decay every seed inverts fully, of {', '.join(phases)}", "weight decay gives full inversion",
                 ", ".join(inverting) or "none", bool(inverting))


def unlearns(summary: dict) -> bool:
    """Whether a network generalises and has unlearned corrupted labels: by its phase, or by its accuracy on them."""
    return summary["phase"] == FULL_INVERSION or (summary["test_accuracy"] >= LEARNT
                                                  and summary["corrupted_accuracy"] < UNLEARNED)


def _need_check(runs):
    """Of the networks without weight decay, whatever else they have."""
    inverting = [name for name, group in runs.items() for run in group if unlearns(run["summary"])]
    count = sum(len(group) for group in runs.values())
    return Check("without weight decay nothing inverts fully, nor generalises with a corrupted accuracy below "
                 f"{UNLEARNED}", "weight decay is needed for full inversion",
                 f"{len(inverting)} of {count} runs" + "".join(f", {name}" for name in inverting), not inverting)


def _dropout_check(phases):
    found = [phase for group in phases.values() for phase in group]
    confused = found.count(CONFUSION)
    return Check(f"of runs with dropout alone, {', '.join(phases)}, more than half end in confusion",
                 "dropout mostly confuses",
                 f"{confused} of {len(found)}" + "".join(f", {found.count(phase)} in {phase}"
                                                         for phase in sorted(set(found) - {CONFUSION})),
                 confused > len(found) / 2)


def _batchnorm_check(with_it, without):
    return Check("p 97: with BatchNorm every seed coexists, without it none", "BatchNorm helps coexistence",
                 f"with: {', '.join(sorted(set(with_it)))}; without: {', '.join(sorted(set(without)))}",
                 set(with_it) == {COEXISTENCE} and COEXISTENCE not in without)


def _draw_ends(settings, runs, title, path):
    """Final accuracies of every seed, with the phases below them; a panel for each kind of regularisation."""
    groups = {"weight decay": (DECAYS, "weight_decay"), "dropout, no weight decay": (RATES, "dropout"),
              "batches of 64, no weight decay": (BATCHED, None)}
    groups = {kind: ({name: runs[name] for name in names if name in runs}, setting)
              for kind, (names, setting) in groups.items()}
    figure, axes = figures.new_figure(1, len(groups), (4 + 1.0 * len(runs), 4.6), title, sharey=True,
                                      width_ratios=[0.8 + len(group) for group, _ in groups.values()])
    for panel, (kind, (group, setting)) in zip(axes[0], groups.items(), strict=True):
        places = np.arange(len(group))
        for column, shift in (("train", -0.15), ("test", 0.0), ("corrupted", 0.15)):
            points = [(place + shift, run["summary"][f"{column}_accuracy"])
                      for place, found in zip(places, group.values(), strict=True) for run in found]
            panel.plot(*zip(*points, strict=True), "o", markersize=5, alpha=0.7, label=figures.LABELS[column],
                       color=figures.SETS[column]["color"])
        for place, name in zip(places, group, strict=True):
            xi = settings[name].xi
            panel.plot([place - 0.3, place + 0.3], [1 - xi, 1 - xi], color=figures.GREY, linewidth=1,
                       label="1 − ξ", zorder=1)
        labels = ["\n".join([f"{getattr(settings[name], setting):g}" if setting else name.replace(", ", "\n"),
                             "\nor ".join(sorted({run["summary"]["phase"].replace(" ", "\n") for run in found}))])
                  for name, found in group.items()]
        panel.set_xticks(places, labels, fontsize=8)
        panel.set_title(kind, fontsize=10)
        panel.set(ylim=(-0.03, 1.05), xlim=(-0.6, len(group) - 0.4))
    axes[0, 0].set_ylabel("accuracy at the end")
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


def _draw_ipr(histogram, group):
    values = np.concatenate([run["neuron_ipr"] for run in group])
    histogram.hist(np.minimum(values, 1), bins=np.linspace(0, 1, 41), weights=np.full(len(values), 1 / len(values)),
                   color=figures.BLUE)
    histogram.set(xlabel="IPR of a first-layer neuron", xlim=(0, 1))


if __name__ == "__main__":
    sys.exit(run_experiment("deep_mlp", __doc__, experiment, seeds=3, quick_seeds=1))
