"""The phases of a network that learns corrupted labels (Doshi et al., fig. 1, 2, 4 and appendix C).

What the paper found: with xi = 0.35 of the training labels wrong, weight decay decides how a two-layer network ends. It
memorises and generalises at once (coexistence), unlearns some of the wrong labels (partial inversion) or all of them
(full inversion), or loses everything again (forgetting). With too few examples it only memorises (memorization), with
too much dropout it learns nothing well (confusion). The more it unlearns, the more neurons become periodic.

The runs are those of the reference code (p 97, N 500, alpha 0.5, full batch), whose final figures, of one seed, stand
in `REFERENCES`; those of memorization and confusion are points of the phase diagram, fig. 3. The quick size has one
seed and forgets for 3000 steps instead of 5000: by then all weights are zero.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis import figures
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, spreads, train_settings
from experiments.measures import observe
from training import TrainingConfig

NEAR = 0.03
"""How close a final accuracy must come to the reference run's, of one seed."""

MEMORISING = 0.1
"""Neurons of an IPR below this are counted as memorising; Gaussian weights have 0.03 to 0.1."""


@dataclass(frozen=True)
class Reference:
    """A setting, and how it ended in the paper: the phase, and final accuracies where they are known."""

    config: TrainingConfig
    phase: str
    train_accuracy: float | None = None
    test_accuracy: float | None = None


def _config(**settings):
    return TrainingConfig(**{"xi": 0.35, "steps": 500, **settings})


REFERENCES = {
    "grokking": Reference(_config(xi=0.0, weight_decay=5.0, steps=100), "coexistence", 1.0, 1.0),
    "coexistence": Reference(_config(weight_decay=0.0, steps=1000), "coexistence", 0.978, 0.983),
    "partial inversion": Reference(_config(weight_decay=5.0), "partial inversion", 0.786, 1.0),
    "full inversion": Reference(_config(weight_decay=15.0), "full inversion", 0.654, 1.0),
    "memorization": Reference(_config(weight_decay=0.0, alpha=0.2, steps=2000), "memorization"),
    "forgetting": Reference(_config(weight_decay=20.0, steps=5000, eval_every=20), "forgetting", 0.009, 0.011),
    "confusion": Reference(_config(weight_decay=0.0, dropout=0.9, steps=1000), "confusion"),
}
QUICK_FORGETTING_STEPS = 3000
MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "train_loss", "test_loss", "mean_ipr",
            "mean_ipr_without_constant", "weight_norm", "grok_step", "unlearn_step")


def experiment(options: Options) -> Outcome:
    """Train every phase at every seed and hold it against the reference."""
    settings = {name: reference.config for name, reference in REFERENCES.items()}
    if options.quick:
        settings["forgetting"] = dataclasses.replace(settings["forgetting"], steps=QUICK_FORGETTING_STEPS)
    runs = train_settings(settings, observe, options)
    measured = {name: _measured(group) for name, group in runs.items()}
    checks = [check for name, config in settings.items() for check in _checks(name, config, measured[name])]
    checks.append(_memorising_neurons_check(measured))
    title = f"p = 97, N = 500, full batch, {options.told_seeds}"
    return Outcome(described(settings), measured, checks, [_draw(settings, runs, title, options.out / "phases.png")])


def _measured(runs):
    values = spreads([run["summary"] for run in runs], MEASURED)
    values["memorising_neurons"] = spread([float(np.mean(np.array(run["neuron_ipr"]) < MEMORISING)) for run in runs])
    values["phase"] = [run["summary"]["phase"] for run in runs]
    return values


def _checks(name, config, measured):
    """The phase of every seed, and the mean final accuracies, against the reference run."""
    reference = REFERENCES[name]
    dropout = f", dropout {config.dropout:g}" if config.dropout else ""
    setting = f"xi {config.xi:g}, alpha {config.alpha:g}, decay {config.weight_decay:g}{dropout}, {config.steps} steps"
    phases = measured["phase"]
    yield Check(f"{setting}: phase", reference.phase, ", ".join(sorted(set(phases))), set(phases) == {reference.phase})
    for quantity in ("train_accuracy", "test_accuracy"):
        paper, ours = getattr(reference, quantity), measured[quantity]
        if paper is not None:
            yield Check(f"{setting}: {quantity.replace('_', ' ')}, within {NEAR}", f"{paper:.3f}", show(ours),
                        abs(ours["mean"] - paper) <= NEAR)


def _memorising_neurons_check(measured):
    names = ("coexistence", "partial inversion", "full inversion")
    shares = [measured[name]["memorising_neurons"] for name in names]
    falling = all(after["max"] < before["min"] for before, after in pairwise(shares))
    return Check(f"the share of neurons of IPR below {MEMORISING} falls with weight decay 0, 5, 15",
                 "about 0.65, 0.44, 0.06 (read off fig. 4)", ", ".join(show(share, 2) for share in shares), falling)


def _draw(settings, runs, title, path):
    """Accuracies over the steps above, the IPR of the neurons at the end below; all seeds together."""
    figure, axes = figures.new_figure(2, len(runs), (3.2 * len(runs), 6.2), title, sharey="row")
    for (name, group), curves, histogram in zip(runs.items(), *axes, strict=True):
        config = settings[name].resolved()
        for column, style in figures.SETS.items():
            accuracies = [run["history"][f"{column}_accuracy"] for run in group]
            figures.draw_curve(curves, group[0]["history"]["step"], accuracies, label=figures.LABELS[column], **style)
        regulariser = f"dropout {config.dropout:g}" if config.dropout else f"decay {config.weight_decay:g}"
        curves.set_title(f"{name}\nξ = {config.xi:g}, α = {config.alpha:g}, {regulariser}", fontsize=10)
        curves.set(xlabel="step", ylim=(-0.03, 1.05))
        histogram.hist(np.concatenate([run["neuron_ipr"] for run in group]), bins=np.linspace(0, 1, 41),
                       weights=np.full(len(group) * config.width, 1 / len(group)), color=figures.BLUE)
        histogram.set(xlabel="IPR at the end", xlim=(0, 1))
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("neurons")
    figures.draw_legend(figure, axes[0, 1])
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("phases", __doc__, experiment, seeds=5, quick_seeds=1))
