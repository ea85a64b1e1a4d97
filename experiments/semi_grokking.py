"""Semi-grokking: near a critical size of the training set, a late rise to a middling test accuracy (Varma et al.).

What the paper found: memorising costs more the larger the training set is, generalising does not, and at a critical
size D_crit both are equally efficient. Far below it a network stays near chance, far above it groks. Near it, at about
2000 of 12769 pairs, test accuracy rises late, as in grokking, but to a middling value only. The paper warns that this
may be transient: a network that seems to have come to rest may be on its way.

So all runs are read at T/8, T/4, T/2 and at their end T. With a test accuracy below 0.1 a run is near chance (which is
1/p), below 0.95 in the middle, otherwise it has grokked (`analysis.plateaus.MIDDLING`). Besides,

    memorised   the first evaluated step with train accuracy 1
    rise        the first evaluated step with half of the final test accuracy, of runs that do not end near chance
    delay       rise / memorised
    at rest     all evaluations from T/2 to T together are one plateau, within +-0.02 (`analysis.plateaus`)
    growing     test accuracy is by more than 0.04, the height of a plateau, higher at T than at T/2
    unmirrored  the final test accuracy on pairs (m, n) with (n, m) not trained on (`analysis.mirrors`)
    critical    the size, as a share of all p^2 pairs, with test accuracy 1/2: linear between the sizes of one seed

Steps are known up to the 20 between evaluations. What not every run has is told of those that have it.

Trained from scratch is the quadratic network (p 53, N 256, cross-entropy, AdamW, learning rate 0.001, weight decay 5,
full batch, no wrong labels) on 0.2 to 0.45 of the pairs, and tested on the others, for 32000 steps: 160 times the
1 / (learning rate x weight decay) in which decay acts. The quick size has 2 seeds, 5 of the 8 sizes, 12000 steps.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from analysis import figures
from analysis.plateaus import MIDDLING, TOLERANCE, middling, plateaus
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
from experiments.measures import observe_mirrors
from experiments.readings import first_where
from training import TrainingConfig

SETTING = TrainingConfig(p=53, width=256, xi=0.0, loss="cross-entropy", learning_rate=1e-3, weight_decay=5.0,
                         eval_every=20)
SIZES, STEPS = (0.2, 0.24, 0.27, 0.3, 0.33, 0.36, 0.4, 0.45), 32_000
QUICK_SIZES, QUICK_STEPS = (0.2, 0.27, 0.3, 0.33, 0.45), 12_000
"""The training sets as shares of all pairs, in increasing order. Steps are multiples of 8 evaluations."""

TIMES = {"T/8": (8, figures.SKY, ":"), "T/4": (4, figures.BLUE, "-."), "T/2": (2, figures.PURPLE, "--"),
         "T": (1, figures.VERMILLION, "-")}
"""When runs are read: by what T is divided, and how that is drawn."""

OUTCOMES = {"chance": figures.SKY, "middle": figures.ORANGE, "grokked": figures.BLACK}
"""What a run can be at some time, and how that is drawn."""

LATE = 10
"""A rise is late if it comes at this many times the steps to memorise, or later."""

SAME_ACCURACY = 0.1
"""By how much test accuracy may be lower on pairs whose mirror image was not trained on."""

SAME_SIZE = 0.01
"""Critical sizes, as shares of all pairs, that differ by no more count as the same."""


def experiment(options: Options) -> Outcome:
    """Train at every size, read the runs at several times, and hold where and when they end against the paper."""
    sizes, steps = (QUICK_SIZES, QUICK_STEPS) if options.quick else (SIZES, STEPS)
    configs = [replace(SETTING, alpha=size, steps=steps) for size in sizes]
    settings = {f"alpha {config.alpha:g}, D {config.train_examples}": config for config in configs}
    runs = train_settings(settings, observe_mirrors, options)
    readings = {name: [read(run) for run in group] for name, group in runs.items()}
    critical = {time: spread([critical_size(sizes, [reading["test_accuracy"][time] for reading in of_seed])
                              for of_seed in zip(*readings.values(), strict=True)]) for time in TIMES}
    measured = {name: _measured(group) for name, group in readings.items()} | {"critical size": critical}
    title = (f"p = {SETTING.p}, N = {SETTING.width}, {SETTING.loss}, learning rate {SETTING.learning_rate:g}, "
             f"weight decay {SETTING.weight_decay:g}, full batch, T = {steps} steps, {options.told_seeds}")
    return Outcome(described(settings), measured, [*_checks(readings), _critical_check(critical)],
                   [_draw(sizes, runs, readings, title, options.out / "semi_grokking.png")])


def outcome(accuracy: float) -> str:
    """What a run with this test accuracy is: one of `OUTCOMES`."""
    if middling(accuracy):
        return "middle"
    return "chance" if accuracy < MIDDLING[0] else "grokked"


def read(run: Mapping[str, Any]) -> dict[str, Any]:
    """What the module's text defines, of one run.

    Parameters
    ----------
    run : mapping
        What `observe_mirrors` keeps; of the history the columns step, train_accuracy and test_accuracy, at evaluations
        with those at all `TIMES` among them.

    Returns
    -------
    dict
        "train_accuracy": at the end. "test_accuracy": at each of `TIMES`. "memorised", "half" (the first step with a
        test accuracy of 1/2), "rise", "delay": None where there is none. "growth", "range": of the test accuracy from
        T/2 to T, its last value less its first one, its maximum less its minimum. "at_rest". "plateaus": of Plateau.
        "unmirrored": the test accuracy at the end on pairs whose mirror image was not trained on.
    """
    steps, train, test = (np.array(run["history"][name]) for name in ("step", "train_accuracy", "test_accuracy"))
    accuracies = {time: float(test[steps == steps[-1] // divisor].item()) for time, (divisor, *_) in TIMES.items()}
    memorised, half = first_where(steps, train == 1), first_where(steps, test >= 0.5)
    rise = first_where(steps, test >= test[-1] / 2) if test[-1] >= MIDDLING[0] else None
    late = steps >= steps[-1] // 2
    return {"train_accuracy": float(train[-1]), "test_accuracy": accuracies, "memorised": memorised, "half": half,
            "rise": rise, "delay": rise / memorised if rise and memorised else None,
            "growth": accuracies["T"] - accuracies["T/2"], "range": float(np.ptp(test[late])),
            "at_rest": bool(plateaus(steps[late], test[late])), "plateaus": plateaus(steps, test),
            "unmirrored": run["unmirrored_accuracy"]}


def critical_size(sizes: Sequence[float], accuracies: Sequence[float]) -> float | None:
    """The first size, linear between two of them, with test accuracy 1/2; sequences (S,) by increasing size.

    None if all sizes have less, or the smallest one has more.
    """
    above = np.asarray(accuracies) >= 0.5
    if above[0] or not above.any():
        return None
    two = slice(np.argmax(above) - 1, np.argmax(above) + 1)
    return float(np.interp(0.5, accuracies[two], sizes[two]))


def _measured(group):
    values = spreads(group, ("train_accuracy", "growth", "range", "unmirrored"))
    for time in TIMES:
        values[f"test_accuracy, {time}"] = spread([reading["test_accuracy"][time] for reading in group])
        values[f"outcomes, {time}"] = _shares(group, time)
    for name in ("memorised", "half", "rise", "delay"):
        values[name] = spread_of_known(reading[name] for reading in group)
    values["at_rest"] = spread([float(reading["at_rest"]) for reading in group])
    values["plateaus"] = [[asdict(plateau) for plateau in reading["plateaus"]] for reading in group]
    values["middling_plateaus"] = spread([sum(one.middling for one in reading["plateaus"]) for reading in group])
    return values


def _shares(group, time):
    found = [outcome(reading["test_accuracy"][time]) for reading in group]
    return {name: found.count(name) / len(found) for name in OUTCOMES}


def _checks(readings):
    """Where the runs end, when they rise, and whether those that end in the middle are at rest."""
    ends = {name: spread([reading["test_accuracy"]["T"] for reading in group]) for name, group in readings.items()}
    every = [reading for group in readings.values() for reading in group]
    train, (smallest, *_, largest) = spread([reading["train_accuracy"] for reading in every]), ends
    yield Check("train accuracy is 1 at the end of every run", "presupposed", show(train), train["min"] == 1)
    yield Check(f"far below the critical size ({smallest}) test accuracy stays below {MIDDLING[0]}", "near chance",
                show(ends[smallest]), ends[smallest]["max"] < MIDDLING[0])
    yield Check(f"far above it ({largest}) test accuracy reaches {MIDDLING[1]}", "groks",
                show(ends[largest]), ends[largest]["min"] >= MIDDLING[1])
    shares = {name: _shares(group, "T")["middle"] for name, group in readings.items()}
    yield Check("at some size there are runs that end in the middle", "semi-grokking, at about 2000 of 12769 pairs",
                "; ".join(f"{name}: {shares[name]:.0%} of the runs, accuracy {show(ends[name], 2)}"
                          for name in readings if shares[name]) or "none", any(shares.values()))
    middle, grokked = ([reading for reading in every if outcome(reading["test_accuracy"]["T"]) == name]
                       for name in ("middle", "grokked"))
    for claim, paper, group in (("what ends in the middle has risen late", "a delayed transition", middle),
                                ("what has grokked has risen late", "grokking is delayed", grokked)):
        late = sum(reading["delay"] is not None and reading["delay"] >= LATE for reading in group)
        delay = spread_of_known(reading["delay"] for reading in group)
        yield Check(f"{claim}: at {LATE} times the steps to memorise, or later", paper,
                    f"{late} of {len(group)} runs; {show(delay, 1)} times", 0 < late == len(group))
    apart = [reading["test_accuracy"]["T"] - reading["unmirrored"] for reading in middle]
    yield Check(f"what ends in the middle does not know mirror images by heart: without them, within {SAME_ACCURACY}",
                "(not given)", f"lower by {show(spread_of_known(apart))}",
                bool(apart) and max(map(abs, apart)) <= SAME_ACCURACY)
    moved = {name: spread_of_known(reading[name] for reading in middle) for name in ("range", "growth")}
    resting = sum(reading["at_rest"] for reading in middle)
    yield Check(f"what ends in the middle is at rest: a plateau, within ±{TOLERANCE}, from T/2 to T",
                "a final state, if two circuits are equally efficient",
                f"{resting} of {len(middle)} runs; range {show(moved['range'])}",
                0 < resting == len(middle))
    growing = sum(reading["growth"] > 2 * TOLERANCE for reading in middle)
    yield Check(f"what ends in the middle is growing: by more than {2 * TOLERANCE} from T/2 to T", "may be transient",
                f"{growing} of {len(middle)} runs; growth {show(moved['growth'])}",
                0 < growing == len(middle))


def _critical_check(critical):
    """Whether the size at which the accuracy is 1/2 stays where it is when training goes on."""
    before, after = critical["T/2"], critical["T"]
    return Check(f"the critical size is the same at T/2 and T: within {SAME_SIZE} of the pairs at every seed",
                 "a matter of efficiency, not of time",
                 ", ".join(f"{show(values)} at {time}" for time, values in critical.items()),
                 None not in (before, after)
                 and bool(np.all(np.abs(np.subtract(after["values"], before["values"])) <= SAME_SIZE)))


def _draw(sizes, runs, readings, title, path):
    """Test accuracy over the steps; at the several times, against the size; and as shares of the three outcomes."""
    figure, axes = figures.new_figure(1, 3, (15, 5.6), title, width_ratios=(1.5, 1, 1))
    curves, accuracies, shares = axes[0]
    for size, group, colour in zip(sizes, runs, figures.sequence(len(sizes)), strict=True):
        for run, reading in zip(runs[group], readings[group], strict=True):
            steps, test = (np.array(run["history"][name]) for name in ("step", "test_accuracy"))
            curves.plot(steps[1:], test[1:], color=colour, linewidth=1, label=f"D/p² = {size:g}")
            for one in filter(lambda plateau: plateau.middling, reading["plateaus"]):
                on = (steps >= one.start) & (steps <= one.end)
                curves.plot(steps[on], test[on], color=colour, linewidth=4.5, alpha=0.4)
    memorised = [reading["memorised"] for group in readings.values() for reading in group]
    if None not in memorised:
        curves.axvline(max(memorised), color=figures.GREY, linestyle="--", label="all runs have memorised")
    curves.set(xscale="log", xlabel="step (thick: plateaus in the middle)", ylabel="test accuracy", ylim=(-0.03, 1.05))
    for place, (time, (_, colour, dashes)) in enumerate(TIMES.items()):
        values = np.array([[reading["test_accuracy"][time] for reading in group] for group in readings.values()])
        figures.draw_curve(accuracies, sizes, values.T, color=colour, linestyle=dashes, label=f"at {time}")
        bottom = np.zeros(len(sizes))
        for name, of_outcome in OUTCOMES.items():
            heights = np.array([_shares(group, time)[name] for group in readings.values()])
            shares.bar(np.arange(len(sizes)) + 0.2 * (place - 1.5), heights, 0.17, bottom, color=of_outcome, label=name)
            bottom += heights
    accuracies.set(xlabel="D/p²: training examples, of all pairs", ylabel="test accuracy", ylim=(-0.03, 1.05))
    shares.set(xlabel=f"D/p², each at {', '.join(TIMES)} from the left", ylabel="share of runs")
    shares.set_xticks(np.arange(len(sizes)), [f"{size:g}" for size in sizes])
    for panel in (curves, accuracies):
        for bound in MIDDLING:
            panel.axhline(bound, color=figures.GREY, linewidth=0.8, linestyle=":", zorder=1)
    figures.draw_legend(figure, *axes[0], columns=6)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("semi_grokking", __doc__, experiment, seeds=5, quick_seeds=2))
