"""BatchNorm unlearns wrong labels and leaves the memorising neurons where they are (Doshi et al., fig. 5 and eq. 5).

What the paper found: with BatchNorm after the activation, f = W BN(phi(U e_m + V e_n)), minibatch training inverts
fully without any weight decay. Weight decay and dropout do so by turning memorising neurons into periodic ones, which
shifts the distribution of the IPR; BatchNorm does not. Neurons of low IPR persist, but its weights gamma grow with the
IPR: the network turns memorising neurons down instead of changing them. Without BatchNorm the same run ends in partial
inversion.

Trained are p 97, N 500, alpha 0.65 in minibatches of 64, learning rate 0.005, no weight decay, with and without
BatchNorm; at the paper's xi 0.2 for 8000 steps, and at xi 0.35 for the 2000 steps of the reference notebook. What
weight decay does to the neurons is seen beside it, at full batch with decay 15. The quick size has one seed and is
otherwise the same.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from analysis import figures
from analysis.correlation import rank_correlation
from analysis.ipr import neuron_ipr
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, spreads, train_settings
from experiments.measures import observe
from training import COLUMNS, Run, TrainingConfig

MEMORISING, PERIODIC = 0.1, 0.9
"""Neurons of an IPR below or above are counted as memorising or as periodic; Gaussian weights have 0.03 to 0.1."""

STRONG = 0.6
"""From here on a rank correlation is usually called strong."""

GAMMAS = {"memorising": (0.01, 0.033), "periodic": (0.04, 0.06)}
"""Where the paper's figure shows |gamma| of memorising and of periodic neurons, at xi 0.2."""

LAST = 0.1
"""The share of the run over which accuracies are averaged, to see past their wavering from step to step."""


def _config(**settings):
    return TrainingConfig(**{"alpha": 0.65, "batch_size": 64, "weight_decay": 0.0, **settings})


SETTINGS = {
    "xi 0.2": _config(xi=0.2, steps=8000, eval_every=80),
    "xi 0.35": _config(xi=0.35, steps=2000, eval_every=20),
}
"""Without BatchNorm."""

WITH, WITHOUT, DECAY = "with BatchNorm", "without", "full batch, weight decay 15"

PAPER = "xi 0.2"
MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "train_loss", "test_loss", "mean_ipr",
            "mean_ipr_without_constant", "weight_norm", "grok_step", "unlearn_step")


def observe_gamma(run: Run) -> dict[str, Any]:
    """The summary of a run, its curves, and of each neuron at the end the IPR and the weight |gamma| of BatchNorm."""
    network = run.network()
    return {"summary": run.summary(),
            "history": run.history.columns(*COLUMNS),
            "neuron_ipr": neuron_ipr(*network.neurons()).tolist(),
            "gamma": np.abs(network.state()["gamma"]).ravel().tolist()}


def experiment(options: Options) -> Outcome:
    """Train with and without BatchNorm, and compare the endings, the weights gamma and the neurons."""
    settings = {
        WITH: {name: dataclasses.replace(config, batch_norm=True) for name, config in SETTINGS.items()},
        WITHOUT: SETTINGS,
        DECAY: {name: dataclasses.replace(config, batch_size=None, weight_decay=15.0, steps=500, eval_every=5)
                for name, config in SETTINGS.items()},
    }
    runs = {which: train_settings(group, observe_gamma if which == WITH else observe, options)
            for which, group in settings.items()}
    measured = {which: {name: _measured(group) for name, group in groups.items()} for which, groups in runs.items()}
    checks = [check for name, config in SETTINGS.items()
              for check in _checks(name, config, *(measured[which][name] for which in (WITH, WITHOUT, DECAY)))]
    config = SETTINGS[PAPER].resolved()
    title = (f"p = {config.p}, N = {config.width}, α = {config.alpha:g}, batch {config.batch_size}, no weight decay "
             f"unless stated, {options.told_seeds}")
    figure = _draw(runs, title, options.out / "batchnorm.png")
    return Outcome(described(_flat(settings)), _flat(measured), checks, [figure])


def _flat(groups):
    return {f"{name}, {which}": value for which, group in groups.items() for name, value in group.items()}


def _measured(runs):
    values = spreads([run["summary"] for run in runs], MEASURED)
    values["phase"] = [run["summary"]["phase"] for run in runs]
    values["last_train_accuracy"] = spread([_last(run["history"]["train_accuracy"]) for run in runs])
    neurons = [np.array(run["neuron_ipr"]) for run in runs]
    kinds = {"memorising": [ipr < MEMORISING for ipr in neurons], "periodic": [ipr > PERIODIC for ipr in neurons]}
    for kind, chosen in kinds.items():
        values[f"{kind}_neurons"] = spread([float(one.mean()) for one in chosen])
    if all("gamma" in run for run in runs):
        gammas = [np.array(run["gamma"]) for run in runs]
        values["correlation"] = spread([rank_correlation(*pair) for pair in zip(gammas, neurons, strict=True)])
        for kind, chosen in kinds.items():
            values[f"{kind}_gamma"] = spread([_mean(gamma[one]) for gamma, one in zip(gammas, chosen, strict=True)])
    return values


def _mean(values):
    return float(values.mean()) if len(values) else None


def _last(accuracies):
    return float(np.mean(accuracies[-max(1, round(LAST * len(accuracies))):]))


def _checks(name, config, normed, plain, decayed):
    """The two endings; then what of the neurons changes, and what does not.

    A claim holds if it does at every seed. With and without BatchNorm a seed has the same examples and first weights,
    so the two are compared seed by seed.
    """
    setting = f"{name}, {config.steps} steps"
    elsewhere = "" if name == PAPER else f" (at {PAPER})"
    for which, values, paper in ((WITH, normed, "full inversion"), (WITHOUT, plain, "partial inversion")):
        phases = values["phase"]
        yield Check(f"{setting}, {which}: phase", f"{paper}{elsewhere}",
                    f"{', '.join(sorted(set(phases)))}; train {show(values['train_accuracy'])}", set(phases) == {paper})
    yield Check(f"{setting}: train accuracy over the last tenth, lower with BatchNorm",
                f"full against partial inversion{elsewhere}",
                f"{show(normed['last_train_accuracy'])} against {show(plain['last_train_accuracy'])}",
                bool(np.all(np.less(normed["last_train_accuracy"]["values"], plain["last_train_accuracy"]["values"]))))
    yield Check(f"{setting}: Spearman correlation of |gamma| and IPR, at least {STRONG}",
                f"strong{elsewhere}", show(normed["correlation"], 2),
                normed["correlation"] is not None and normed["correlation"]["min"] >= STRONG)
    for kind, (low, high) in GAMMAS.items() if name == PAPER else ():
        gamma = normed[f"{kind}_gamma"]
        bound = f"below {MEMORISING}" if kind == "memorising" else f"above {PERIODIC}"
        yield Check(f"{setting}: mean |gamma| of neurons of IPR {bound}", f"{low} to {high} (read off fig. 5)",
                    show(gamma), gamma is not None and low <= gamma["min"] and gamma["max"] <= high)
    shares = [values["memorising_neurons"] for values in (normed, plain, decayed)]
    ours, without, inverted = (np.array(share["values"]) for share in shares)
    yield Check(f"{setting}: share of neurons of IPR below {MEMORISING}, nearer to that without than to weight decay's",
                f"neurons of low IPR persist{elsewhere}",
                "{}, without {}, weight decay {}".format(*map(show, shares)),
                bool(np.all(abs(ours - without) < abs(ours - inverted))))


def _draw(runs, title, path):
    """A row for each xi: the two trainings, |gamma| against the IPR, and the IPR of the neurons."""
    figure, axes = figures.new_figure(len(SETTINGS), 3, (12.6, 3.7 * len(SETTINGS) + 0.6), title)
    for (name, config), (curves, scatter, histogram) in zip(SETTINGS.items(), axes, strict=True):
        for which, dashes in ((WITH, "-"), (WITHOUT, "--")):
            group = runs[which][name]
            for column in ("train", "test"):
                figures.draw_curve(curves, group[0]["history"]["step"],
                                   [run["history"][f"{column}_accuracy"] for run in group],
                                   color=figures.SETS[column]["color"], linestyle=dashes, label=f"{column}, {which}")
        threshold = 1.05 - config.xi
        curves.axhline(threshold, color=figures.GREY, linewidth=1, linestyle=":",
                       label="below: full inversion (1.05 - ξ)")
        curves.set(xlabel="step", ylabel="accuracy", ylim=(-0.03, 1.05))
        curves.set_title(f"ξ = {config.xi:g}, {config.steps} steps", fontsize=10)

        for run in runs[WITH][name]:
            scatter.plot(run["neuron_ipr"], run["gamma"], ".", markersize=5, alpha=0.5, color=figures.BLACK,
                         markeredgewidth=0)
        scatter.set(xlabel="IPR of a neuron", ylabel="|γ| of BatchNorm", xlim=(0, 1))
        scatter.set_ylim(bottom=0)

        bins = np.linspace(0, 1, 41)
        styles = {WITHOUT: {"color": figures.SKY}, DECAY: {"color": figures.ORANGE, "histtype": "step"},
                  WITH: {"color": figures.BLACK, "histtype": "step"}}
        for which, style in styles.items():
            group = runs[which][name]
            ipr = np.concatenate([run["neuron_ipr"] for run in group])
            histogram.hist(ipr, bins, weights=np.full(len(ipr), 1 / len(group)), linewidth=1.4, **style,
                           label=f"neurons, {which}")
        histogram.set(xlabel="IPR of a neuron", ylabel="neurons per bin, mean over seeds", xlim=(0, 1))
    figures.draw_legend(figure, axes[0, 0], axes[0, 2], columns=4)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("batchnorm", __doc__, experiment, seeds=5, quick_seeds=1))
