"""Dropout makes a network unlearn wrong labels, as weight decay does (Doshi et al., fig. 3 and 4).

What the paper found: without weight decay a network memorises the wrong labels and generalises at once. Dropout makes
it ignore the wrong labels, in that neurons which had memorised become periodic: the distribution of their IPR moves up,
as it does with weight decay. At a rate of 0.9 the network learns nothing well (confusion).

Dropout is applied, as in the reference code, to the pre-activations: each of them is multiplied by a mask that is 1/q
with probability q = 1 - rate, otherwise 0. Behind a square the mean of the outputs over masks is

    E f = sum_k W_k E[mask_k^2] x_k^2 = 1/q sum_k W_k x_k^2

so that in evaluation, where there is no mask, outputs are q times the mean of those that were trained. All logits of an
example shrink alike and accuracy does not change, but the loss does. The test loss is therefore given twice: of the
outputs as they are, and of the outputs divided by q.

Trained is the network of the reference code (p 97, N 500, alpha 0.5, xi 0.35, full batch) without weight decay. The
quick size has one seed and 1000 steps instead of 2000.
"""

from __future__ import annotations

import dataclasses
import sys
from itertools import pairwise
from typing import Any

import numpy as np

from analysis import figures
from analysis.ipr import neuron_ipr
from analysis.phases import COEXISTENCE, CONFUSION, FULL_INVERSION, PARTIAL_INVERSION
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, spreads, train_settings
from experiments.phases import MEMORISING
from layers import Cache
from training import COLUMNS, Run, TrainingConfig
from training.setup import make_loss

RATES = {
    0.0: ({COEXISTENCE}, "coexistence (fig. 3)"),
    0.3: ({PARTIAL_INVERSION, FULL_INVERSION}, "wrong labels are ignored"),
    0.6: ({PARTIAL_INVERSION, FULL_INVERSION}, "wrong labels are ignored"),
    0.9: ({CONFUSION}, "confusion (fig. 3)"),
}
"""The rates; for each what the paper says of it, and the phases which that can mean."""

LEARNING = (0.0, 0.3, 0.6)
"""The rates at which the network learns."""

SETTINGS = {f"dropout {rate:g}": TrainingConfig(xi=0.35, weight_decay=0.0, dropout=rate, steps=2000)
            for rate in RATES}
QUICK_STEPS = 1000
MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy", "train_loss", "test_loss",
            "mean_ipr", "weight_norm", "grok_step", "unlearn_step")


def observe_dropout(run: Run) -> dict[str, Any]:
    """What `experiments.measures.observe` keeps of a run, and the loss of outputs of the size that was trained.

    Returns
    -------
    dict
        "summary", "history", "neuron_ipr"; "rescaled_test_loss": of the outputs divided by 1 - rate.
    """
    network, test = run.network(), run.problem().test
    logits = network.forward(test.inputs, Cache()) / (1 - run.config.dropout)
    return {"summary": run.summary(),
            "history": run.history.columns(*COLUMNS),
            "neuron_ipr": neuron_ipr(*network.neurons()).tolist(),
            "rescaled_test_loss": float(make_loss(run.config).forward(logits, test.labels, Cache()))}


def experiment(options: Options) -> Outcome:
    """Train every rate at every seed and hold it against the paper."""
    settings = SETTINGS
    if options.quick:
        settings = {name: dataclasses.replace(config, steps=QUICK_STEPS) for name, config in settings.items()}
    runs = train_settings(settings, observe_dropout, options)
    measured = {name: _measured(group) for name, group in runs.items()}
    checks = [*_phase_checks(measured), *_trend_checks(measured), *_loss_checks(measured)]
    steps = next(iter(settings.values())).steps
    title = f"p = 97, N = 500, α = 0.5, ξ = 0.35, no weight decay, full batch, {steps} steps, {options.told_seeds}"
    return Outcome(described(settings), measured, checks, [_draw(runs, title, options.out / "dropout.png")])


def _measured(runs):
    values = spreads([run["summary"] for run in runs], MEASURED)
    values["memorising_neurons"] = spread([float(np.mean(np.array(run["neuron_ipr"]) < MEMORISING)) for run in runs])
    values["rescaled_test_loss"] = spread([run["rescaled_test_loss"] for run in runs])
    values["phase"] = [run["summary"]["phase"] for run in runs]
    return values


def _phase_checks(measured):
    for rate, (allowed, paper) in RATES.items():
        found = set(measured[f"dropout {rate:g}"]["phase"])
        yield Check(f"dropout {rate:g}: phase is {' or '.join(sorted(allowed))}", paper,
                    ", ".join(sorted(found)), found <= allowed)


def _trend_checks(measured):
    """What falls with dropout, as far as the network learns: all seeds of a rate below all of the one before."""
    rates = ", ".join(f"{rate:g}" for rate in LEARNING)
    for name, quantity, paper in (
            ("corrupted_accuracy", "corrupted accuracy", "dropout makes the network ignore wrong labels"),
            ("memorising_neurons", f"the share of neurons of IPR below {MEMORISING}",
             "dropout moves the IPR up, as weight decay does (fig. 4)")):
        values = [measured[f"dropout {rate:g}"][name] for rate in LEARNING]
        yield Check(f"{quantity} falls with dropout {rates}", paper, ", ".join(show(value) for value in values),
                    all(after["max"] < before["min"] for before, after in pairwise(values)))


def _loss_checks(measured):
    for rate in LEARNING[1:]:
        one = measured[f"dropout {rate:g}"]
        plain, rescaled = one["test_loss"], one["rescaled_test_loss"]
        yield Check(f"dropout {rate:g}: outputs divided by {1 - rate:g} have a lower test loss",
                    "outputs in evaluation are 1 - rate times the training mean (from the equations)",
                    f"{show(plain, 5)}, divided {show(rescaled, 5)}",
                    all(b < a for a, b in zip(plain["values"], rescaled["values"], strict=True)))


def _draw(runs, title, path):
    """A column for each rate: accuracies and losses over the steps, and the IPR of the neurons at the end."""
    figure, axes = figures.new_figure(3, len(runs), (3.2 * len(runs), 8.4), title, sharey="row")
    for (name, group), (accuracy, loss, histogram) in zip(runs.items(), axes.T, strict=True):
        steps = group[0]["history"]["step"]
        for column, style in figures.SETS.items():
            for panel, quantity in ((accuracy, "accuracy"), (loss, "loss")):
                if f"{column}_{quantity}" in COLUMNS:
                    figures.draw_curve(panel, steps, [run["history"][f"{column}_{quantity}"] for run in group],
                                       label=figures.LABELS[column], **style)
        loss.plot([steps[-1]] * len(group), [run["rescaled_test_loss"] for run in group], "o", color=figures.BLACK,
                  markersize=4, clip_on=False, label="test, outputs divided by 1 − rate")
        accuracy.set_title(name, fontsize=10)
        accuracy.set(xlabel="step", ylim=(-0.03, 1.05))
        loss.set(xlabel="step", ylim=(0, None))
        counts = np.full(sum(len(run["neuron_ipr"]) for run in group), 1 / len(group))
        histogram.hist(np.concatenate([run["neuron_ipr"] for run in group]), bins=np.linspace(0, 1, 41), weights=counts,
                       color=figures.BLUE)
        histogram.set(xlabel="IPR at the end", xlim=(0, 1))
    for panel, label in zip(axes[:, 0], ("accuracy", "mean squared error", "neurons"), strict=True):
        panel.set_ylabel(label)
    figures.draw_legend(figure, axes[0, 0], axes[1, 0])
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("dropout", __doc__, experiment, seeds=5, quick_seeds=1))
