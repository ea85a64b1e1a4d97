"""The phases of a network that learns corrupted labels (Doshi et al., fig. 1, 2 and 4).

What the paper found: with xi = 0.35 of the training labels wrong, weight decay decides how a two-layer network ends. It
memorises and generalises at once (coexistence), unlearns some of the wrong labels (partial inversion) or all of them
(full inversion), or loses everything again (forgetting). The more it unlearns, the more neurons become periodic.

The runs are those of the reference code (p 97, N 500, alpha 0.5, full batch), whose final figures, of one seed, stand
in `REFERENCES`. The quick size has one seed and forgets for 3000 steps instead of 5000: by then all weights are zero.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis import figures
from analysis.ipr import neuron_ipr
from experiments.common import Check, Options, Outcome, run_experiment, show, spread
from training import Run, TrainingConfig, train_many

NEAR = 0.03
"""How close a final accuracy must come to the reference run's, of one seed."""

MEMORISING = 0.1
"""Neurons of an IPR below this are counted as memorising; Gaussian weights have 0.03 to 0.1."""


@dataclass(frozen=True)
class Reference:
    """A run of the reference code and how it ended."""

    config: TrainingConfig
    phase: str
    train_accuracy: float
    test_accuracy: float
    train_loss: float
    test_loss: float


def _config(**settings):
    return TrainingConfig(**{"xi": 0.35, "steps": 500, **settings})


REFERENCES = {
    "grokking": Reference(_config(xi=0.0, weight_decay=5.0, steps=100), "coexistence", 1.0, 1.0, 8.1e-4, 1.0e-3),
    "coexistence": Reference(_config(weight_decay=0.0, steps=1000), "coexistence", 0.978, 0.983, 2.80e-3, 8.42e-3),
    "partial inversion": Reference(_config(weight_decay=5.0), "partial inversion", 0.786, 1.0, 4.59e-3, 5.49e-3),
    "full inversion": Reference(_config(weight_decay=15.0), "full inversion", 0.654, 1.0, 8.35e-3, 8.17e-3),
    "forgetting": Reference(_config(weight_decay=20.0, steps=5000, eval_every=20), "forgetting", 0.009, 0.011,
                            1.031e-2, 1.031e-2),
}
QUICK_FORGETTING_STEPS = 3000
MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "train_loss", "test_loss", "mean_ipr",
            "mean_ipr_without_constant", "weight_norm", "grok_step", "unlearn_step")


def experiment(options: Options) -> Outcome:
    """Train every phase at every seed and hold it against the reference."""
    configs = {name: [_sized(name, reference.config, options, seed) for seed in options.seeds]
               for name, reference in REFERENCES.items()}
    trained = iter(train_many([config for group in configs.values() for config in group], progress=True))
    runs = {name: [next(trained) for _ in group] for name, group in configs.items()}
    measured = {name: _measure(group) for name, group in runs.items()}
    checks = [check for name in REFERENCES for check in _checks(name, measured[name], runs[name])]
    checks.append(_memorising_neurons_check(measured))
    title = f"p = 97, N = 500, α = 0.5, full batch, {len(options.seeds)} seed{'s' if len(options.seeds) > 1 else ''}"
    settings = {name: group[0].config.to_dict() for name, group in runs.items()}
    return Outcome(settings, measured, checks, [_draw(runs, title, options.out / "phases.png")])


def _sized(name, config, options, seed):
    steps = QUICK_FORGETTING_STEPS if options.quick and name == "forgetting" else config.steps
    return TrainingConfig(**{**config.to_dict(), "seed": seed, "backend": options.backend, "steps": steps})


def _final_ipr(run: Run) -> np.ndarray:
    return neuron_ipr(*run.network().neurons())


def _measure(runs):
    summaries = [run.summary() for run in runs]
    values = {name: spread([summary[name] for summary in summaries]) for name in MEASURED}
    values["memorising_neurons"] = spread([float(np.mean(_final_ipr(run) < MEMORISING)) for run in runs])
    values["phase"] = [summary["phase"] for summary in summaries]
    return values


def _checks(name, measured, runs):
    """The phase of every seed, and the mean final accuracies, against the reference run."""
    reference = REFERENCES[name]
    config = reference.config
    setting = f"xi {config.xi:g}, decay {config.weight_decay:g}, {runs[0].step} steps"
    phases = measured["phase"]
    yield Check(f"{setting}: phase", reference.phase, ", ".join(sorted(set(phases))), set(phases) == {reference.phase})
    for quantity in ("train_accuracy", "test_accuracy"):
        paper, ours = getattr(reference, quantity), measured[quantity]
        yield Check(f"{setting}: {quantity.replace('_', ' ')}, within {NEAR}", f"{paper:.3f}", show(ours),
                    abs(ours["mean"] - paper) <= NEAR)


def _memorising_neurons_check(measured):
    names = ("coexistence", "partial inversion", "full inversion")
    shares = [measured[name]["memorising_neurons"] for name in names]
    falling = all(after["max"] < before["min"] for before, after in pairwise(shares))
    return Check(f"the share of neurons of IPR below {MEMORISING} falls with weight decay 0, 5, 15",
                 "about 0.65, 0.44, 0.06 (read off fig. 4)", ", ".join(show(share, 2) for share in shares), falling)


def _draw(runs, title, path):
    """Accuracies over the steps above, the IPR of the neurons at the end below; all seeds together."""
    figure, axes = figures.new_figure(2, len(runs), (3.4 * len(runs), 6.2), title, sharey="row")
    for (name, group), curves, histogram in zip(runs.items(), *axes, strict=True):
        config = group[0].config
        for column, style in figures.SETS.items():
            accuracies = np.stack([run.history[f"{column}_accuracy"] for run in group])
            figures.draw_curve(curves, group[0].history["step"], accuracies, label=figures.LABELS[column], **style)
        curves.set_title(f"{name}\nξ = {config.xi:g}, weight decay {config.weight_decay:g}", fontsize=10)
        curves.set(xlabel="step", ylim=(-0.03, 1.05))
        histogram.hist(np.concatenate([_final_ipr(run) for run in group]), bins=np.linspace(0, 1, 41),
                       weights=np.full(len(group) * config.resolved().width, 1 / len(group)), color=figures.BLUE)
        histogram.set(xlabel="IPR at the end", xlim=(0, 1))
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("neurons")
    figures.draw_legend(figure, axes[0, 1])
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("phases", __doc__, experiment, seeds=3, quick_seeds=1))
