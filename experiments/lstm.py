"""An LSTM that classifies texts: does it grok, and do the same measures move (Liu et al. and Golechha)?

What the papers found: an LSTM on 1000 IMDb reviews (750 to train on, 250 to test on) generalises long after it has
memorised, if it starts from weights 6 times the usual and decays (Omnigrok, arXiv 2210.01117); and there the three
measures of `analysis.progress` move with generalisation as in networks on images (arXiv 2405.12755).

IMDb itself was not run here. The texts are the project's own (`data.reviews`): reviews of two or three clauses whose
label is a sum of products, negation times sentiment times intensity, so that counting words is no better than guessing.
750 to train on, 1000 to test on, 39 words, 23 tokens. Unlike a language's, the rules are few and exact, and can be
learnt to a test accuracy near 1. The same two settings are trained on IMDb as well where the folder of its archive is
given by --imdb; its texts are then cut to 100 words of the 1000 most frequent ones (500 in Omnigrok's code).

The network is an embedding, one LSTM and an output, width 48 (in Omnigrok's code two LSTMs, width 256), trained with
cross-entropy in batches of 50, gradients clipped at a length of 5, by AdamW with learning rate 0.001 and weight decay
0.3: three times the learning rate there (0.0003, and decay 1), but at every step weights shrink by the same factor.
Initial weights are the usual ones, and 6 times that.

    memorised     the first evaluated step with a train accuracy of 0.9
    generalised   that with a test accuracy of 0.9 (0.7 on IMDb)
    delay         generalised / memorised

Activation sparsity is that of h_T, which the output reads. When a measure moves is told as in `progress_measures`, from
the snapshot on at which the run has memorised. The weight norm stands beside each: all weights shrink for thousands of
steps, and a measure that does what the norm does says no more than that.

The quick size has one seed and 6000 steps.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from analysis import figures
from analysis.phases import LEARNT
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, train_settings
from experiments.measures import observe_progress
from experiments.progress_measures import LABELS, MEASURES, followed, movements
from experiments.readings import first_where
from training import TrainingConfig

SCALES = {1.0: figures.BLUE, 6.0: figures.VERMILLION}
"""Factors on the usual initial weights, with their colours."""

LEVELS = {"reviews": LEARNT, "IMDb": 0.7}
"""By the texts, the test accuracy that counts as having generalised."""

LATE, TOGETHER = 10, 3
"""The delay from which on generalising is late, and up to which both come together."""

STEPS, QUICK_STEPS = 8000, 6000
SNAPSHOTS = 30
MEASURED = ("train_accuracy", "test_accuracy", "weight_norm")


def experiment(options: Options) -> Outcome:
    """Train from both scales, and tell when test accuracy and the measures move."""
    texts = _texts(options)
    settings = {_name(text, scale): replace(config, initial_scale=scale)
                for text, config in texts.items() for scale in SCALES}
    runs = train_settings(settings, observe_progress, options)
    readings = {name: [_reading(run, LEVELS[name.split(",")[0]]) for run in group] for name, group in runs.items()}
    measured = {name: _measured(group) for name, group in readings.items()}
    measured["IMDb"] = {"run": "IMDb" in texts}
    seeds = options.told_seeds
    title = f"LSTM on {' and '.join(texts)}{'' if 'IMDb' in texts else ' made here (IMDb was not run)'}, {seeds}"
    return Outcome(described(settings), measured, [check for text in texts for check in _checks(text, readings)],
                   [_draw(texts, runs, title, options.out / "lstm.png")])


def _texts(options):
    """By the name of the texts, the settings but for the initial scale."""
    base = TrainingConfig(task="reviews", train_size=750, width=48, depth=3, learning_rate=0.001, weight_decay=0.3,
                          batch_size=50, clip=5.0, steps=QUICK_STEPS if options.quick else STEPS, eval_every=50,
                          snapshots=SNAPSHOTS)
    folder = options.given.get("imdb")
    return {"reviews": base} | ({"IMDb": replace(base, task="imdb", data_folder=folder, tokens=100)} if folder else {})


def _name(text, scale):
    return f"{text}, initial scale {scale:g}"


def _reading(run, level):
    """When a run memorised and generalised (None if never), how it ends, and when each measure moves."""
    memorised, norm_memorised = _reached(run["history"], "train_accuracy", LEARNT)
    generalised, norm_generalised = _reached(run["history"], "test_accuracy", level)
    return {"memorised": memorised, "generalised": generalised,
            "delay": generalised / memorised if memorised and generalised else None,
            "norm_memorised": norm_memorised, "norm_generalised": norm_generalised,
            **{name: run["summary"][name] for name in MEASURED},
            "moves": movements(followed(run["progress"]))}


def _reached(history, name, level):
    """The first step at which an accuracy is reached, and the weight norm then."""
    reached = [accuracy >= level for accuracy in history[name]]
    return first_where(history["step"], reached), first_where(history["weight_norm"], reached)


def _measured(group):
    """Spreads over the seeds, and of each measure the orders seed by seed."""
    names = [name for name in group[0] if name != "moves"]
    told = {name: spread([reading[name] for reading in group]) for name in names}
    for measure in (*MEASURES, "weight_norm"):
        moves = [reading["moves"][measure] for reading in group]
        told[f"{measure}, order"] = [one["order"] for one in moves]
        told[f"{measure}, lag"] = spread([one["lag"] for one in moves])
        told[f"{measure}, rank_correlation"] = spread([one["rank_correlation"] for one in moves])
    return told


def _checks(text, readings):
    """Whether there is a delay, what the scale does to it, and which measures move with test accuracy."""
    usual, large = (readings[_name(text, scale)] for scale in SCALES)
    delays, large_delays = (spread([reading["delay"] for reading in group]) for group in (usual, large))
    end = spread([reading["test_accuracy"] for reading in large])
    yield Check(f"{text}: initial weights times 6 generalise late, at {LATE} times the steps to memorise or later, "
                "every seed", "grokking", f"{show(large_delays, 1)} times; test accuracy ends at {show(end)}",
                large_delays is not None and large_delays["min"] >= LATE)
    yield Check(f"{text}: from the usual initial weights both come together, within {TOGETHER} times the steps, every "
                "seed", "no grokking", f"{show(delays, 1)} times", delays is not None and delays["max"] <= TOGETHER)
    yield Check(f"{text}: the delay is longer from weights times 6 than from the usual ones, every seed",
                "grokking at 6, none at 1", f"{show(large_delays, 1)} times, {show(delays, 1)} from the usual weights",
                None not in (delays, large_delays)
                and all(one > other for one, other in zip(large_delays["values"], delays["values"], strict=True)))
    norms = [spread([reading[f"norm_{moment}"] for reading in large]) for moment in ("memorised", "generalised")]
    yield Check(f"{text}: from weights times 6 the weight norm is lower when it generalises than when it memorises, "
                "every seed", "the norm falls to where generalising networks are",
                f"{show(norms[0], 0)} when it memorises, {show(norms[1], 0)} when it generalises",
                None not in norms and all(map(float.__gt__, *(norm["values"] for norm in norms))))
    norm = _moves(large, "weight_norm")
    for measure, label in MEASURES.items():
        yield Check(f"{text}: from weights times 6 {label} moves with test accuracy, every seed",
                    "moves with generalisation", f"{_moves(large, measure)}; the weight norm: {norm}",
                    all(reading["moves"][measure]["order"] == "with" for reading in large))


def _moves(group, measure):
    """How many seeds have each order against test accuracy, and the lag and the correlation of ranks."""
    moves = [reading["moves"][measure] for reading in group]
    orders = [one["order"] or "turning" for one in moves]
    lag, correlation = (spread([one[name] for one in moves]) for name in ("lag", "rank_correlation"))
    return (f"{', '.join(f'{orders.count(one)} {one}' for one in sorted(set(orders)))}, lag {show(lag, 0)} steps, "
            f"rank correlation {show(correlation, 2)}")


def _draw(texts, runs, title, path):
    """A column for each kind of texts: accuracies, weight norm and measures, a line for each seed."""
    rows = ("accuracy", "weight_norm", *MEASURES)
    figure, axes = figures.new_figure(len(rows), len(texts), (7 * len(texts), 1.9 * len(rows)), title, sharex="col")
    for text, column in zip(texts, axes.T, strict=True):
        for scale, colour in SCALES.items():
            for name, panel in zip(rows[1:], column[1:], strict=True):
                for run in runs[_name(text, scale)]:
                    _draw_line(panel, run["history" if name in run["history"] else "progress"], name, color=colour)
            for data, dashes in (("train", ":"), ("test", "-")):
                for number, run in enumerate(runs[_name(text, scale)]):
                    _draw_line(column[0], run["history"], f"{data}_accuracy", color=colour, linestyle=dashes,
                               label=None if number else f"{data}, initial weights times {scale:g}")
        column[0].axhline(LEVELS[text], color=figures.GREY, linewidth=1, linestyle="--", zorder=1)
        column[0].set(title=text, ylim=(0.4, 1.03))
        column[-1].set(xscale="log", yscale="log", xlabel="step")
    for name, panel in zip(rows, axes[:, 0], strict=True):
        panel.set_ylabel(LABELS.get(name, name).replace(" ", "\n"))
    figures.draw_legend(figure, axes[0, 0], columns=2)
    return figures.save(figure, path)


def _draw_line(panel, curves, name, **style):
    # A logarithmic axis has no step 0.
    panel.plot(curves["step"][1:], curves[name][1:], linewidth=1, alpha=0.8, **style)


def add_own_options(parser: argparse.ArgumentParser) -> None:
    """The option that this experiment alone has."""
    parser.add_argument("--imdb", metavar="FOLDER", help="train on IMDb as well: the folder aclImdb of its archive")


if __name__ == "__main__":
    sys.exit(run_experiment("lstm", __doc__, experiment, seeds=5, quick_seeds=1, add_own_options=add_own_options))
