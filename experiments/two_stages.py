"""First grokking, then unlearning: the two stages of regularised training (Doshi et al., abstract and section 4).

What the paper found: with regularisation, training goes through two stages. First the network groks: train and test
accuracy are both high, the wrong labels are memorised. Then it unlearns them: train accuracy falls from 100% to
100(1 - xi)%, and test accuracy stays high. To be exact, a network that knows the rule and nothing else has the train
accuracy

    1 - xi + xi / p

since of the redrawn labels a share 1/p is right by chance.

A network has grokked at the first evaluated step with a test accuracy of 0.95. It has unlearned at the first one from
which the accuracy on the corrupted examples, once above 0.5, stays below. That accuracy tells what the phase alone does
not: at xi = 0.1 a network that has unlearned everything still has a train accuracy of 0.90, which appendix C calls
coexistence. A stage does not happen in every run, in particular where xi is large: its step is that of the runs in
which it does, and the share of these is told beside it.

Trained are the networks of the reference code (p 97, N 500, alpha 0.5, full batch) for the 2000 steps of the paper's
phase diagrams, at weight decays of which the paper shows 5 and 15. The quick size has one seed, the three smallest
corruptions and 500 steps.
"""

from __future__ import annotations

import sys

import numpy as np

from analysis import figures
from analysis.phases import COEXISTENCE, INVERSION_MARGIN, LEARNT
from experiments.common import (
    Check,
    Options,
    Outcome,
    described,
    run_experiment,
    show,
    spread,
    spread_of_known,
    spreads,
    train_settings,
)
from experiments.measures import observe
from training import TrainingConfig
from training.history import UNLEARNED

DECAYS = (5.0, 10.0, 15.0)
CORRUPTIONS, STEPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 2000
QUICK_CORRUPTIONS, QUICK_STEPS = (0.1, 0.2, 0.3), 500

STAGES = {
    "grok_step": {"color": figures.VERMILLION, "marker": "o", "label": "groks: test accuracy reaches 0.95"},
    "unlearn_step": {"color": figures.PURPLE, "marker": "s", "linestyle": "--",
                     "label": "unlearns: corrupted accuracy falls below 0.5 for good"},
}
"""When a stage happened, as `Run.summary` names it, and how it is drawn."""


def experiment(options: Options) -> Outcome:
    """Train at every decay and corruption, and hold the order of the stages and where they end against the paper."""
    corruptions, steps = (QUICK_CORRUPTIONS, QUICK_STEPS) if options.quick else (CORRUPTIONS, STEPS)
    settings = {_name(decay, xi): TrainingConfig(weight_decay=decay, xi=xi, steps=steps)
                for decay in DECAYS for xi in corruptions}
    runs = train_settings(settings, observe, options)
    measured = {name: _measured(group) for name, group in runs.items()}
    checks = [check for decay in DECAYS
              for check in _stage_checks(decay, [run for xi in corruptions for run in runs[_name(decay, xi)]])]
    checks += [check for decay in (10.0, 15.0) for check in _inversion_checks(decay, settings, measured)]
    checks += [_partial_check(corruptions, measured), _threshold_check(measured[_name(15.0, 0.1)])]
    title = f"p = 97, N = 500, α = 0.5, full batch, {steps} steps, {options.told_seeds}"
    return Outcome(described(settings), measured, checks,
                   [_draw(corruptions, runs, title, options.out / "two_stages.png")])


def _name(decay, xi):
    return f"decay {decay:g}, xi {xi:g}"


def _measured(runs):
    summaries = [run["summary"] for run in runs]
    values = spreads(summaries, ("train_accuracy", "test_accuracy", "corrupted_accuracy"))
    for column in ("train", "corrupted"):
        values[f"highest_test_and_{column}_accuracy"] = spread([_highest_with_test(run, column) for run in runs])
    for stage in STAGES:
        values[stage] = spread_of_known(summary[stage] for summary in summaries)
        values[f"{stage}_happened"] = spread([float(summary[stage] is not None) for summary in summaries])
    values["phase"] = [summary["phase"] for summary in summaries]
    return values


def _highest_with_test(run, column):
    """The highest accuracy that test examples and those of another set have at the same step, both of them."""
    history = run["history"]
    return max(map(min, history["test_accuracy"], history[f"{column}_accuracy"]))


def rule_accuracy(config: TrainingConfig) -> float:
    """The train accuracy, on average over seeds, of a network that knows the rule and nothing else."""
    return 1 - config.xi + config.xi / config.p


def _stage_checks(decay, runs):
    """Both stages, over all runs of a decay: that there is a first one, and that the second does not precede it."""
    grokking = [run for run in runs if run["summary"]["grok_step"] is not None]
    for column, paper in (("train", "first, train and test accuracy are high"),
                          ("corrupted", "first, the wrong labels are memorised")):
        highest = [_highest_with_test(run, column) for run in grokking]
        high = sum(value >= LEARNT for value in highest)
        yield Check(f"decay {decay:g}: what groks has test and {column} accuracy of at least {LEARNT} at one step",
                    paper, f"{high} of the {len(grokking)} runs that grok; {show(spread_of_known(highest))}",
                    0 < high == len(grokking))
    steps = [[run["summary"][stage] for stage in STAGES] for run in runs]
    unlearning = [(grok, unlearn) for grok, unlearn in steps if unlearn is not None]
    lags = [unlearn - grok for grok, unlearn in unlearning if grok is not None]
    in_order = sum(lag >= 0 for lag in lags)
    later = f", by {min(lags)} to {max(lags)} steps" if lags else ""
    yield Check(f"decay {decay:g}: what unlearns has grokked by then", "then it unlearns them",
                f"{in_order} of the {len(unlearning)} runs that unlearn{later}", 0 < in_order == len(unlearning))


def _inversion_checks(decay, settings, measured):
    """Where the runs of a decay end, against the train accuracy of the rule alone: those that unlearn, and all."""
    ends = {config: measured[name] for name, config in settings.items() if config.weight_decay == decay}
    distances = [(abs(accuracy - rule_accuracy(config)), happened) for config, end in ends.items()
                 for accuracy, happened in zip(end["train_accuracy"]["values"], end["unlearn_step_happened"]["values"],
                                               strict=True)]
    unlearnt = [distance for distance, happened in distances if happened]
    claim = f"final train accuracy is 1 - xi + xi/p within {INVERSION_MARGIN}"
    yield Check(f"decay {decay:g}, what unlearns: {claim}", "it falls to 100(1 - xi)%",
                f"off by {show(spread_of_known(unlearnt))}",
                bool(unlearnt) and max(unlearnt) <= INVERSION_MARGIN)
    yield Check(f"decay {decay:g}, every xi: {claim}", "it falls to 100(1 - xi)%",
                ", ".join(f"{end['train_accuracy']['mean']:.3f} (xi {config.xi:g})" for config, end in ends.items()),
                max(distance for distance, _ in distances) <= INVERSION_MARGIN)


def _partial_check(corruptions, measured):
    kept, lost = ([measured[_name(decay, xi)]["corrupted_accuracy"] for xi in corruptions] for decay in (5.0, 15.0))
    return Check("decay 5 keeps more of the corrupted labels than decay 15, at every xi",
                 "train accuracy 0.786 and 0.654 at xi 0.35 (reference code)",
                 ", ".join(f"{some['mean']:.2f} and {few['mean']:.2f} (xi {xi:g})"
                           for xi, some, few in zip(corruptions, kept, lost, strict=True)),
                 all(some["min"] > few["max"] for some, few in zip(kept, lost, strict=True)))


def _threshold_check(measured):
    """At xi 0.1 the phase cannot tell full inversion from coexistence; the corrupted accuracy can."""
    phases, corrupted = sorted(set(measured["phase"])), measured["corrupted_accuracy"]
    return Check(f"decay 15, xi 0.1: called coexistence, with a corrupted accuracy below {UNLEARNED}",
                 "coexistence: train accuracy at least 90% (appendix C)",
                 f"{', '.join(phases)}; corrupted accuracy {show(corrupted)}",
                 phases == [COEXISTENCE] and corrupted["max"] < UNLEARNED)


def _draw(corruptions, runs, title, path):
    """A column for each decay: the steps of the two stages above, the final accuracies below."""
    figure, axes = figures.new_figure(2, len(DECAYS), (3.6 * len(DECAYS), 6.6), title, sharex=True, sharey="row")
    for decay, (steps, accuracies) in zip(DECAYS, axes.T, strict=True):
        groups = [[run["summary"] for run in runs[_name(decay, xi)]] for xi in corruptions]
        for stage, style in STAGES.items():
            # Each run is a dot; a line joins the means where the stage happened in every run.
            values = np.array([[summary[stage] for summary in group] for group in groups], dtype=float)
            figures.draw_curve(steps, corruptions, values.T, markersize=5, **style)
            steps.plot(corruptions, values, ".", color=style["color"], markersize=4)
        for column in ("test", "train", "corrupted"):
            values = np.array([[summary[f"{column}_accuracy"] for summary in group] for group in groups])
            figures.draw_curve(accuracies, corruptions, values.T, label=figures.LABELS[column],
                               **figures.SETS[column])
        accuracies.plot(corruptions, 1 - np.array(corruptions), color=figures.BLACK, linewidth=1.2,
                        linestyle=(0, (2, 2)), label="1 − ξ")
        steps.axhline(runs[_name(decay, corruptions[0])][0]["history"]["step"][-1], color=figures.GREY, linewidth=1,
                      label="end of training")
        steps.set_title(f"weight decay {decay:g}", fontsize=10)
        accuracies.set(xlabel="corruption ξ", ylim=(-0.03, 1.05), xticks=corruptions)
    for steps in axes[0]:
        steps.set_yscale("log", subs=(2, 5))
        steps.yaxis.set_major_formatter("{x:g}")
        steps.yaxis.set_minor_formatter("{x:g}")
        steps.tick_params(which="minor", labelsize=9)
    axes[0, 0].set_ylabel("step")
    axes[1, 0].set_ylabel("final accuracy")
    figures.draw_legend(figure, *axes.flat, columns=4)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("two_stages", __doc__, experiment, seeds=3, quick_seeds=1))
