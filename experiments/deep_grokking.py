"""Grokking of deep networks: the delay against depth, and how many directions features keep (Fan, Pascanu and Jaggi).

What the paper found: on MNIST, networks of depth 12 grok later and harder than shallower ones. When test accuracy
rises, the numerical rank of the layers' features falls. With more depth and larger training sets test accuracy rises a
second time, and rank, having recovered, falls a second time.

A run is read by

    memorised     the first evaluated step with train accuracy 0.99
    generalised   the first evaluated step with test accuracy 0.8
    delay         generalised - memorised, in steps; ratio = generalised / memorised
    rank          of each hidden layer's features on the training set (`analysis.rank`), numerical as in the paper, and
                  effective; the mean over layers where no layer is named
    probe         test accuracy of a linear probe of each hidden layer's features (`analysis.probes`)
    half rise     the first step at which test accuracy has made half of its way from when memorised to its maximum
    half fall     the first step at which a rank has made half of its way down from its highest value after memorising
                  to its lowest one after that
    rises         of test accuracy: one and one more for each plateau after memorising (`analysis.plateaus`: within
                  +-0.02 while the steps double) that lies above 0.2 and more than 0.04 below the maximum
    falls         of a layer's numerical rank, by a tenth of the most that there can be, min(D - 1, N), and separated by
                  rises by as much

Ranks and probes are known where weights were kept: at the evaluations that `training.snapshots` chooses.

The paper's networks (width 400, D = 2000, 5000 and 7000 images of MNIST, weight decay 0.01, 100000 steps) are built by
`--paper-size`, with batches of 200; that size has not been run: it takes many hours on two cores. Here the images are
scikit-learn's digits, D = 200 with full batches at depth 4, 8 and 12, and as the larger set D = 1000, all that there
are, with batches of 200 at depth 4 and 12; width 100, initial weights times 8, MSE, AdamW with learning rate 0.001.
Weight decay is 0.2, so that in the 25000 steps decay alone would shrink weights by e^5. The quick size has one seed,
depth 4 and 12, no larger set, weight decay 0.3 and 10000 steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from analysis import figures
from analysis.features import features
from analysis.plateaus import TOLERANCE, plateaus
from analysis.probes import probe_accuracy
from analysis.rank import count_falls, effective_rank, numerical_rank
from data.images import DIGITS
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
from experiments.readings import first_where
from training import COLUMNS, Run, TrainingConfig

SETTING = TrainingConfig(task="digits", train_size=200, width=100, initial_scale=8.0, xi=0.0, loss="mse",
                         learning_rate=1e-3, weight_decay=0.2, eval_every=100, snapshots=80)
DEPTHS, STEPS = (4, 8, 12), 25_000
LARGER_DEPTHS, LARGER = (4, 12), {"train_size": 1000, "batch_size": 200}
QUICK_DEPTHS, QUICK_STEPS, QUICK_DECAY = (4, 12), 10_000, 0.3
PAPER = replace(SETTING, task="mnist", train_size=2000, batch_size=200, width=400, weight_decay=0.01, steps=100_000,
                eval_every=500, snapshots=40)
PAPER_LARGER = (5000, 7000)

MEMORISED, GENERALISED = 0.99, 0.8
LATE = 2
"""Test accuracy rises late if `GENERALISED` comes at this many times the steps to memorise, or later."""

TOGETHER = 2
"""Half rise and half fall come together if neither has more than this many times the steps of the other."""

FIRST_RISE = 0.2
"""A plateau of the test accuracy after a first rise lies above this."""

FALL = 0.1
"""What counts as a fall of rank, of the most that there can be."""

RANKS = ("rank", "effective rank")
TIMES = ("start", "memorised", "end")
"""What is told of a layer, and when: at initial weights, when memorised, at the end."""


def observe_layers(run: Run) -> dict[str, Any]:
    """The summary of a run, its curves, and what each hidden layer's features are at each snapshot.

    Returns
    -------
    dict
        "summary", "history" as in `measures.observe`. "layers": "step" (K,), and "rank", "effective rank", "probe"
        (K, L): for each snapshot a number for each hidden layer, first to last.
    """
    network, problem = run.network(), run.problem()
    layers = {"step": sorted(run.snapshots), "rank": [], "effective rank": [], "probe": []}
    for step in layers["step"]:
        network.load_state(run.snapshots[step])
        train, test = (features(network, data.inputs) for data in (problem.train, problem.test))
        layers["rank"].append([numerical_rank(F) for F in train.values()])
        layers["effective rank"].append([effective_rank(F) for F in train.values()])
        layers["probe"].append([probe_accuracy(F, problem.train.labels, test[name], problem.test.labels, DIGITS)
                                for name, F in train.items()])
    return {"summary": run.summary(), "history": run.history.columns(*COLUMNS), "layers": layers}


def experiment(options: Options) -> Outcome:
    """Train at every depth, on the small and the larger set, and follow the layers."""
    settings = _settings(options.quick, options.given["paper_size"])
    runs = train_settings(settings, observe_layers, options)
    readings = {name: [read(run, config) for run in runs[name]] for name, config in settings.items()}
    measured = {name: _measured(group) for name, group in readings.items()}
    of_size = _by_size(settings)
    small, *larger = ({name: readings[name] for name in names} for names in of_size.values())
    first = next(iter(settings.values()))
    title = (f"{first.task}, N = {first.width}, initial weights × {first.initial_scale:g}, weight decay "
             f"{first.weight_decay:g}, {options.told_seeds}")
    return Outcome(described(settings), measured, [*_depth_checks(small), *_rank_checks(readings),
                                                   *_probe_checks(readings), *_larger_checks(larger)],
                   [_draw_depths(settings, runs, readings, title, options.out / "deep_grokking.png"),
                    _draw_layers(runs, readings, f"{title}; the first seed is shown",
                                 options.out / "deep_grokking_layers.png")])


def _settings(quick, paper_size):
    """By name; by size of the training set, then depth."""
    if paper_size:
        configs = [*(replace(PAPER, depth=depth) for depth in DEPTHS),
                   *(replace(PAPER, depth=max(DEPTHS), train_size=size) for size in PAPER_LARGER)]
    elif quick:
        configs = [replace(SETTING, depth=depth, steps=QUICK_STEPS, weight_decay=QUICK_DECAY) for depth in QUICK_DEPTHS]
    else:
        configs = [*(replace(SETTING, depth=depth, steps=STEPS) for depth in DEPTHS),
                   *(replace(SETTING, depth=depth, steps=STEPS, **LARGER) for depth in LARGER_DEPTHS)]
    return {f"depth {config.depth}, D = {config.train_size}": config for config in configs}


def _by_size(settings):
    """The names of the settings by the size of the training set, from the smallest."""
    return {size: [name for name, config in settings.items() if config.train_size == size]
            for size in sorted({config.train_size for config in settings.values()})}


# ---- reading a run ----


def read(run: Mapping[str, Any], config: TrainingConfig) -> dict[str, Any]:
    """What the module's text defines, of one run.

    Parameters
    ----------
    run : mapping
        What `observe_layers` keeps.
    config : TrainingConfig

    Returns
    -------
    dict
        "test_accuracy" at the end and "best_test_accuracy"; "memorised", "generalised", "delay", "ratio", "half_rise",
        "rises", and "half_fall" of each of `RANKS`: None where there is none. "rank", "effective rank" and "probe": at
        each of `TIMES` a list (L,), None if never memorised. "falls": a list (L,).
    """
    steps, train, test = (np.array(run["history"][name]) for name in ("step", "train_accuracy", "test_accuracy"))
    layers = {name: np.array(values) for name, values in run["layers"].items()}
    memorised, generalised = first_where(steps, train >= MEMORISED), first_where(steps, test >= GENERALISED)
    reading = {"test_accuracy": float(test[-1]), "best_test_accuracy": float(test.max()), "memorised": memorised,
               "generalised": generalised, "delay": None, "ratio": None, "half_rise": None, "rises": None,
               "half_fall": dict.fromkeys(RANKS)}
    places = {"start": 0, "memorised": None, "end": -1}
    if memorised is not None:
        late = steps >= memorised
        reading["half_rise"] = first_where(steps[late], test[late] >= (test[late][0] + test[late].max()) / 2)
        reading["rises"] = 1 + sum(FIRST_RISE < one.level < float(test.max()) - 2 * TOLERANCE
                                   for one in plateaus(steps[late].tolist(), test[late].tolist()))
        late = layers["step"] >= memorised
        places["memorised"] = int(np.argmax(late))
        for name in RANKS:
            mean, at = layers[name].mean(axis=1)[late], layers["step"][late]
            highest = int(np.argmax(mean))
            if (lowest := mean[highest:].min()) < mean[highest]:
                reading["half_fall"][name] = first_where(at[highest:], mean[highest:] <= (mean[highest] + lowest) / 2)
        if generalised is not None:
            reading |= {"delay": generalised - memorised, "ratio": generalised / memorised}
    for name in (*RANKS, "probe"):
        reading[name] = {time: None if place is None else layers[name][place].tolist()
                         for time, place in places.items()}
    least = FALL * min(config.train_size - 1, config.width)
    reading["falls"] = [count_falls(layer, least) for layer in layers["rank"].T.tolist()]
    return reading


def _measured(group):
    values = spreads(group, ("test_accuracy", "best_test_accuracy"))
    for name in ("memorised", "generalised", "delay", "ratio", "half_rise", "rises"):
        values[name] = spread_of_known(reading[name] for reading in group)
    for name in RANKS:
        values[f"half_fall, {name}"] = spread_of_known(reading["half_fall"][name] for reading in group)
    for kind in (*RANKS, "probe"):
        for time in TIMES:
            found = [reading[kind][time] for reading in group if reading[kind][time] is not None]
            values[f"{kind}, {time}"] = [spread(layer) for layer in zip(*found, strict=True)]
    values["falls"] = [reading["falls"] for reading in group]
    return values


# ---- checks ----


def _depth_checks(readings):
    """When networks of several depths, on the same images, memorise and generalise."""
    for name, group in readings.items():
        ratio = spread_of_known(reading["ratio"] for reading in group)
        yield Check(f"{name}: test accuracy {GENERALISED} comes at {LATE} times the steps to memorise, or later, every "
                    "seed", "groks", f"{show(ratio, 1)} times",
                    ratio is not None and len(ratio["values"]) == len(group) and ratio["min"] >= LATE)
    for quantity, claim in (("generalised", f"reaches test accuracy {GENERALISED} later"),
                            ("delay", "has a longer delay, in steps, after memorising"),
                            ("ratio", "has a longer delay, in multiples of the steps to memorise")):
        spreads_of = {name: spread_of_known(reading[quantity] for reading in group)
                      for name, group in readings.items()}
        known = all(None not in [reading[quantity] for reading in group] for group in readings.values())
        ordered = known and all(one["max"] < other["min"] for one, other in
                                zip(spreads_of.values(), list(spreads_of.values())[1:], strict=False))
        yield Check(f"the deeper network {claim}, every seed of each depth", "deeper networks grok later and harder",
                    "; ".join(f"{name}: {show(one, 1)}" for name, one in spreads_of.items()), ordered)


def _rank_checks(readings):
    """How far the rank falls, and when it and the effective rank do."""
    for name, group in readings.items():
        when, end = (_means(group, time) for time in ("memorised", "end"))
        last = [spread_of_known(ranks[-1] for ranks in _known(group, time)) for time in ("memorised", "end")]
        yield Check(f"{name}: rank at the end is less than half of that when memorised, every seed", "rank falls",
                    f"{show(spread_of_known(when), 1)} to {show(spread(end), 1)}; last layer "
                    f"{show(last[0], 1)} to {show(last[1], 1)}",
                    len(when) == len(end) and all(after < before / 2 for after, before in zip(end, when, strict=True)))
    for rank, paper in zip(RANKS, ("rank falls when test accuracy rises", "(not given)"), strict=True):
        for name, group in readings.items():
            ratios = [reading["half_fall"][rank] / reading["half_rise"] for reading in group
                      if reading["half_fall"][rank] is not None]
            yield Check(f"{name}: half of the fall of {rank} comes within a factor {TOGETHER} of the steps of half of "
                        "the rise of test accuracy, every seed", paper,
                        f"at {show(spread_of_known(ratios), 1)} times the steps",
                        len(ratios) == len(group) and all(1 / TOGETHER <= ratio <= TOGETHER for ratio in ratios))


def _known(group, time):
    """The ranks of the layers at some time, of the runs that have them."""
    return [reading["rank"][time] for reading in group if reading["rank"][time] is not None]


def _means(group, time):
    return [float(np.mean(ranks)) for ranks in _known(group, time)]


def _probe_checks(readings):
    """What the last hidden layer lets a linear probe read, beside the first."""
    every = [reading["probe"] for group in readings.values() for reading in group]
    for time, claim, holds in (("memorised", "when memorised, a probe of the last hidden layer is worse than one of "
                                "the first, every run", np.less),
                               ("end", "at the end it is at least as good, every run", np.greater_equal)):
        ends = [(probes[time][0], probes[time][-1]) for probes in every if probes[time] is not None]
        first, last = zip(*ends, strict=True) if ends else ((), ())
        yield Check(claim, "(not given)",
                    f"first {show(spread_of_known(first))}, last {show(spread_of_known(last))}",
                    len(ends) == len(every) and bool(np.all(holds(last, first))))


def _larger_checks(of_larger):
    """The second rise and the second fall, in the larger sets if there are any."""
    readings = {name: group for of_size in of_larger for name, group in of_size.items()}
    if not readings:
        return
    every = [reading for group in readings.values() for reading in group]
    twice = sum((reading["rises"] or 0) > 1 for reading in every)
    yield Check("on the larger set test accuracy rises a second time, in some run", "a second rise",
                f"{twice} of {len(every)} runs", twice > 0)
    falls = {name: sum(max(reading["falls"]) > 1 for reading in group) for name, group in readings.items()}
    yield Check("on the larger set the rank of some layer falls a second time, in some run", "a second fall of rank",
                "; ".join(f"{name}: {count} of {len(readings[name])} runs" for name, count in falls.items()),
                any(falls.values()))


# ---- figures ----


def _draw_depths(settings, runs, readings, title, path):
    """Accuracies and mean rank over the steps, and the steps to memorise and generalise against depth, by D."""
    of_size = _by_size(settings)
    depths = sorted({config.depth for config in settings.values()})
    colours = dict(zip(depths, (figures.SKY, figures.BLUE, figures.BLACK), strict=False))
    figure, axes = figures.new_figure(len(of_size), 4, (16.5, 3.7 * len(of_size) + 0.7), title)
    for (size, names), (accuracy, *ranks, delay) in zip(of_size.items(), axes, strict=True):
        for name in names:
            depth, colour = settings[name].depth, colours[settings[name].depth]
            for run in runs[name]:
                steps = np.array(run["history"]["step"])[1:]
                for column, dashes in (("train_accuracy", ":"), ("test_accuracy", "-")):
                    accuracy.plot(steps, run["history"][column][1:], color=colour, linestyle=dashes, linewidth=1,
                                  label=f"depth {depth}, {column.removesuffix('_accuracy')}")
                for panel, kind in zip(ranks, RANKS, strict=True):
                    panel.plot(run["layers"]["step"][1:], np.mean(run["layers"][kind], axis=1)[1:], color=colour,
                               linewidth=1)
        for quantity, colour, marker in (("memorised", figures.BLUE, "o"), ("generalised", figures.VERMILLION, "s")):
            points = [(settings[name].depth, reading[quantity]) for name in names for reading in readings[name]
                      if reading[quantity] is not None]
            delay.plot([depth for depth, _ in points], [step for _, step in points], marker, color=colour,
                       markersize=5, label=quantity)
        accuracy.set(xscale="log", xlabel="step", ylabel=f"accuracy, D = {size}", ylim=(-0.03, 1.05))
        for panel, kind in zip(ranks, RANKS, strict=True):
            panel.set(xscale="log", xlabel="step", ylabel=f"{kind}, mean over hidden layers")
            panel.set_ylim(bottom=0)
        delay.set(xlabel="depth", ylabel="step", xticks=depths, xlim=(min(depths) - 1, max(depths) + 1))
        delay.set_ylim(bottom=0)
    figures.draw_legend(figure, axes[0, 0], axes[0, -1], columns=4)
    return figures.save(figure, path)


def _draw_layers(runs, readings, title, path):
    """The ranks and the probe of each hidden layer over the steps, of the first seed; a row for each setting."""
    kinds = (*RANKS, "probe")
    figure, axes = figures.new_figure(len(runs), len(kinds), (14, 2.6 * len(runs) + 0.8), title, sharex=True,
                                      sharey="col")
    for (name, group), row in zip(runs.items(), axes, strict=True):
        layers, reading = group[0]["layers"], readings[name][0]
        for panel, kind in zip(row, kinds, strict=True):
            values = np.array(layers[kind])[1:].T
            for number, (curve, colour) in enumerate(zip(values, figures.sequence(len(values)), strict=True)):
                label = {0: "first hidden layer", len(values) - 1: "last hidden layer"}.get(number, "_")
                panel.plot(layers["step"][1:], curve, color=colour, linewidth=1.2, label=label)
            for moment, dashes in (("memorised", "--"), ("generalised", "-")):
                if reading[moment] is not None:
                    panel.axvline(reading[moment], color=figures.VERMILLION, linestyle=dashes, linewidth=1,
                                  label=moment)
            panel.set_xscale("log")
        row[0].set_ylabel(name)
    for panel, heading in zip(axes[0], ("rank", "effective rank", "probe: test accuracy"), strict=True):
        panel.set_title(heading, fontsize=11)
        panel.set_ylim(bottom=0)  # once all are drawn: it fixes the top of the axis that they share
    for panel in axes[-1]:
        panel.set_xlabel("step")
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


def add_own_options(parser: argparse.ArgumentParser) -> None:
    """The paper's own size."""
    parser.add_argument("--paper-size", action="store_true",
                        help="the paper's networks and training sets, which take many hours on two cores")


if __name__ == "__main__":
    sys.exit(run_experiment("deep_grokking", __doc__, experiment, seeds=3, quick_seeds=1,
                            add_own_options=add_own_options))
