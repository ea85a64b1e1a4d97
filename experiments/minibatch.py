"""Minibatches alone unlearn wrong labels (Doshi et al., fig. 5: its run without BatchNorm).

What the paper found: without BatchNorm, weight decay or dropout, training in minibatches of 64 ends in partial
inversion, where the reference run at full batch ends in coexistence. The paper varies the batch size with BatchNorm
only, over 8, 32, 64 and 256. Here it is varied without, which leaves the noise of the minibatches as the only
regulariser: the smaller the batch, the more should be unlearnt.

Trained are p 97, N 500, alpha 0.65 without weight decay. Minibatches have the learning rate 0.01 sqrt(B / 256) and the
2000 * 256 / B steps of the reference code, so that all see the examples equally often; the full batch has 2000 steps.
A full batch at the learning rate of batch 64 tells the noise from the learning rate. One more run in minibatches has
weight decay 15, with which the full batch inverts fully. Batch 8, with 64000 steps the longest, is trained at xi 0.35
only. The quick size has one seed and leaves out batches 8 and 32, and at xi 0.2 all but the paper's batch.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np

from analysis import figures
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, spreads, train_settings
from experiments.measures import observe
from experiments.phases import MEMORISING
from training import TrainingConfig

FULL = "full"
BATCHES = {0.35: (FULL, 256, 64, 32, 8), 0.2: (FULL, 256, 64, 32)}
QUICK_BATCHES = {0.35: (FULL, 256, 64), 0.2: (64,)}
"""For each xi, from the largest to the smallest."""

FULL_STEPS = 2000
EVALUATIONS = 100  # of each run, whatever its length

MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "train_loss", "test_loss", "mean_ipr",
            "mean_ipr_without_constant", "weight_norm", "grok_step", "unlearn_step")


def _name(xi, batch):
    return f"xi {xi:g}, batch {batch}"


def _config(xi, batch, steps=None, weight_decay=0.0, learning_rate=None):
    steps = steps or (FULL_STEPS if batch == FULL else 2000 * 256 // batch)
    return TrainingConfig(xi=xi, alpha=0.65, batch_size=None if batch == FULL else batch, steps=steps,
                          weight_decay=weight_decay, learning_rate=learning_rate,
                          eval_every=max(1, steps // EVALUATIONS))


NOISY, STILL, DECAYING = _name(0.35, 64), "xi 0.35, batch full, learning rate 0.005", "xi 0.35, batch 64, decay 15"
OTHERS = {STILL: _config(0.35, FULL, learning_rate=0.005),
          DECAYING: _config(0.35, 64, steps=FULL_STEPS, weight_decay=15.0)}


def experiment(options: Options) -> Outcome:
    """Train with every batch size and compare what is left of the wrong labels."""
    batches = QUICK_BATCHES if options.quick else BATCHES
    settings = {_name(xi, batch): _config(xi, batch) for xi, sizes in batches.items() for batch in sizes} | OTHERS
    runs = train_settings(settings, observe, options)
    measured = {name: _measured(group) for name, group in runs.items()}
    config = settings[NOISY].resolved()
    title = (f"p = {config.p}, N = {config.width}, α = {config.alpha:g}, no weight decay unless stated, "
             f"{options.told_seeds}")
    return Outcome(described(settings), measured, list(_checks(batches, runs, measured)),
                   [_draw(batches, runs, measured, title, options.out / "minibatch.png")])


def _measured(runs):
    values = spreads([run["summary"] for run in runs], MEASURED)
    values["memorising_neurons"] = spread([float(np.mean(np.array(run["neuron_ipr"]) < MEMORISING)) for run in runs])
    values["phase"] = [run["summary"]["phase"] for run in runs]
    return values


def _checks(batches, runs, measured):
    """The phases that the paper gives; then whether noise unlearns, compared seed by seed."""
    for xi, batch, phase, where in ((0.2, 64, "partial inversion", ""),
                                    (0.35, FULL, "coexistence", " (alpha 0.5, 1000 steps)")):
        values = measured[_name(xi, batch)]
        yield Check(f"{_name(xi, batch)}: phase", phase + where,
                    f"{', '.join(sorted(set(values['phase'])))}; train {show(values['train_accuracy'])}",
                    set(values["phase"]) == {phase})
    corrupted = [measured[_name(0.35, batch)]["corrupted_accuracy"] for batch in batches[0.35]]
    yield Check(f"xi 0.35: corrupted accuracy, falling with the batch size, {', '.join(map(str, batches[0.35]))}",
                "not given: batches vary with BatchNorm only", ", ".join(show(values, 2) for values in corrupted),
                all(_less(smaller, larger) for larger, smaller in pairwise(corrupted)))
    still = measured[STILL]["corrupted_accuracy"]
    noisy = spread([_at(run, "corrupted_accuracy", FULL_STEPS) for run in runs[NOISY]])
    yield Check(f"xi 0.35, learning rate 0.005, step {FULL_STEPS}: corrupted accuracy, lower with batch 64 than full",
                "not given", f"{show(noisy, 2)} against {show(still, 2)}", _less(noisy, still))


def _less(one, other):
    return bool(np.all(np.less(one["values"], other["values"])))


def _at(run, column, step):
    return run["history"][column][run["history"]["step"].index(step)]


def _draw(batches, runs, measured, title, path):
    """Over each run what is left of the wrong labels; how all runs end; the neurons at the end."""
    figure, axes = figures.new_figure(1, 3, (13.2, 4.4), title)
    curves, endings, histogram = axes[0]
    colours = dict(zip(BATCHES[0.35], (figures.BLACK, figures.BLUE, figures.VERMILLION, figures.GREEN, figures.ORANGE),
                       strict=True))
    for batch in batches[0.35]:
        group = runs[_name(0.35, batch)]
        steps = np.array(group[0]["history"]["step"])
        figures.draw_curve(curves, steps / steps[-1], [run["history"]["corrupted_accuracy"] for run in group],
                           color=colours[batch], label=f"batch {batch}")
        ipr = np.concatenate([run["neuron_ipr"] for run in group])
        histogram.hist(ipr, np.linspace(0, 1, 41), weights=np.full(len(ipr), 1 / len(group)), histtype="step",
                       linewidth=1.4, color=colours[batch])
    curves.set(xlabel="share of the run's steps", ylabel="accuracy on corrupted labels", xlim=(0, 1),
               ylim=(-0.03, 1.05))
    curves.set_title("ξ = 0.35", fontsize=10)

    places = {batch: place for place, batch in enumerate(reversed(BATCHES[0.35]))}
    for (xi, sizes), marker, colour in zip(batches.items(), "os", (figures.PURPLE, figures.SKY), strict=True):
        for batch in sizes:
            accuracies = measured[_name(xi, batch)]["train_accuracy"]["values"]
            endings.plot([places[batch]] * len(accuracies), accuracies, marker, color=colour, markersize=5, alpha=0.7,
                         label=f"ξ = {xi:g}, each seed")
        endings.axhline(1 - xi, color=colour, linewidth=1, linestyle=":", label=f"1 - ξ = {1 - xi:g}")
    for name, place, marker in ((STILL, places[FULL], "x"), (DECAYING, places[64], "+")):
        accuracies = measured[name]["train_accuracy"]["values"]
        endings.plot([place] * len(accuracies), accuracies, marker, color=figures.BLACK, markersize=6,
                     label=name.replace("xi", "ξ ="))
    endings.set(xlabel="batch size", ylabel="train accuracy at the end", ylim=(-0.03, 1.05))
    endings.set_xticks(list(places.values()), list(places))
    histogram.set(xlabel="IPR of a neuron", ylabel="neurons per bin, mean over seeds", xlim=(0, 1))
    histogram.set_title("ξ = 0.35, at the end", fontsize=10)
    figures.draw_legend(figure, curves, endings, columns=6)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("minibatch", __doc__, experiment, seeds=5, quick_seeds=1))
