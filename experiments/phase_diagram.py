"""The phase diagrams (Doshi et al., fig. 3): how a network ends at every fraction alpha of training pairs and every
fraction xi of wrong labels.

What the paper found: without regularisation a network with enough data memorises the wrong labels and generalises
(coexistence); with too little data, or too many wrong labels, it only memorises. Weight decay makes room for partial
and full inversion, and too much of it for forgetting and confusion. Dropout and BatchNorm make networks ignore wrong
labels as well; too much dropout confuses.

There is a family of diagrams for each regulariser, with a panel for each of its values; --panels chooses among them:

    decay        weight decay 0, 5, 15, 20
    dropout      dropout 0, 0.3, 0.6, 0.9, without weight decay
    batchnorm    BatchNorm with batches of 8, 32, 64, 256, without weight decay

In full size a panel is the paper's: 17 alphas and 19 xis, p 97, N 500, 2000 steps (2000 * 256 / B with BatchNorm). That
takes hours on two cores; --grid 9x10 takes 9 alphas and 10 xis of the same ranges. What is trained is
stored: the full size then trains only what the coarser grid has not. The quick size has p 47, N 200, four alphas and
four xis, 400 steps, or 1000 with BatchNorm, and no batches of 8, which need most steps.

Besides the figures there is phase_diagram.csv, a row a network.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from analysis import figures
from analysis.phases import (
    COEXISTENCE,
    CONFUSION,
    FORGETTING,
    FULL_INVERSION,
    LEARNT,
    MEMORIZATION,
    PARTIAL_INVERSION,
    PHASES,
)
from experiments.common import Check, Options, Outcome, described, run_experiment, spread, train_all
from experiments.sweep import summary
from storage import write_atomically
from training import TrainingConfig

ALPHAS, XIS = (0.1, 0.9), (0.0, 0.9)
"""The ranges of both axes."""

EVALUATIONS = 50
"""How often a network is measured on its way: forgetting shows only there."""

COLOURS = {COEXISTENCE: figures.SKY, PARTIAL_INVERSION: figures.ORANGE, FULL_INVERSION: figures.GREEN,
           MEMORIZATION: figures.PURPLE, FORGETTING: figures.YELLOW, CONFUSION: figures.BLACK}


@dataclass(frozen=True)
class Size:
    """How large the diagrams are.

    Attributes
    ----------
    p, width, steps : int
    batch_norm_steps : int, optional
        Steps with BatchNorm; by default 2000 * 256 / B.
    alphas, xis : tuple of float
    values : dict of str to tuple
        For each family the values of its regulariser.
    """

    p: int
    width: int
    steps: int
    batch_norm_steps: int | None
    alphas: tuple[float, ...]
    xis: tuple[float, ...]
    values: dict[str, tuple[float, ...]]


def axis(ends: tuple[float, float], count: int) -> tuple[float, ...]:
    """Values at equal distances, both ends included."""
    return tuple(np.linspace(*ends, count).round(4).tolist())


FULL = Size(97, 500, 2000, None, axis(ALPHAS, 17), axis(XIS, 19),
            {"decay": (0.0, 5.0, 15.0, 20.0), "dropout": (0.0, 0.3, 0.6, 0.9), "batchnorm": (8, 32, 64, 256)})
QUICK = Size(47, 200, 400, 1000, (0.3, 0.5, 0.7, 0.9), (0.0, 0.2, 0.4, 0.6),
             {**FULL.values, "batchnorm": (32, 64, 256)})

NAMES = {"decay": "weight decay", "dropout": "dropout", "batchnorm": "BatchNorm, batch size"}


@dataclass(frozen=True)
class Panel:
    """A diagram, the results of S seeds.

    Attributes
    ----------
    alphas : array (A,)
    xis : array (X,)
    phase : array of str (S, X, A)
    train_accuracy, test_accuracy, mean_ipr : array (S, X, A)
    """

    alphas: np.ndarray
    xis: np.ndarray
    phase: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    mean_ipr: np.ndarray

    @classmethod
    def of(cls, alphas: Sequence[float], xis: Sequence[float], summaries: Sequence[dict[str, Any]]) -> Panel:
        """Put the summaries of runs into their places; the seed varies slowest, alpha fastest."""
        shape = (-1, len(xis), len(alphas))
        return cls(np.array(alphas), np.array(xis), *(
            np.array([one[field.name] for one in summaries]).reshape(shape) for field in dataclasses.fields(cls)[2:]))

    def share(self, *phases: str) -> np.ndarray:
        """Of each seed, the part of the diagram that some phases take, array (S,)."""
        return np.isin(self.phase, phases).mean(axis=(1, 2))


def experiment(options: Options) -> Outcome:
    """Train the chosen diagrams and hold them against the paper's."""
    size = QUICK if options.quick else FULL
    if options.given["grid"] is not None:
        alphas, xis = options.given["grid"]
        size = dataclasses.replace(size, alphas=axis(ALPHAS, alphas), xis=axis(XIS, xis))
    chosen = [(family, value) for family in options.given["panels"] for value in size.values[family]]
    points = [(seed, xi, alpha) for seed in options.seeds for xi in size.xis for alpha in size.alphas]
    configs = [config(size, family, value, *point) for family, value in chosen for point in points]
    summaries = train_all(configs, summary, options)
    panels = {(family, value): Panel.of(size.alphas, size.xis, summaries[first:first + len(points)])
              for (family, value), first in zip(chosen, range(0, len(configs), len(points)), strict=True)}
    write_atomically(options.out / "phase_diagram.csv", to_csv(panels, options.seeds))
    families = {family: {value: panels[family, value] for value in size.values[family]}
                for family in options.given["panels"]}
    checks = [check for family, group in families.items() for check in CHECKS[family](group)]
    title = f"p = {size.p}, N = {size.width}, {options.told_seeds}"
    drawn = [draw(family, group, title, options.out / f"{family}.png") for family, group in families.items()]
    settings = described({f"{NAMES[family]} {value:g}": config(size, family, value, 0, 0.0, size.alphas[0])
                          for family, value in chosen})
    return Outcome({name: {**setting, "alpha": list(size.alphas), "xi": list(size.xis)}
                    for name, setting in settings.items()},
                   {f"{NAMES[family]} {value:g}": measured(panel) for (family, value), panel in panels.items()},
                   checks, drawn)


def config(size: Size, family: str, value: float, seed: int, xi: float, alpha: float) -> TrainingConfig:
    """The settings of one network of a diagram."""
    regulariser = {"decay": {"weight_decay": value}, "dropout": {"weight_decay": 0.0, "dropout": value},
                   "batchnorm": {"batch_norm": True, "batch_size": value}}[family]
    steps = size.batch_norm_steps if family == "batchnorm" else size.steps
    setting = TrainingConfig(p=size.p, width=size.width, alpha=alpha, xi=xi, seed=seed, steps=steps, **regulariser)
    return dataclasses.replace(setting, eval_every=max(1, setting.resolved().steps // EVALUATIONS))


def measured(panel: Panel) -> dict[str, Any]:
    """The part of a diagram that each phase takes, and means over the diagram."""
    return {**{phase: spread(panel.share(phase).tolist()) for phase in PHASES},
            "test_accuracy": spread(panel.test_accuracy.mean(axis=(1, 2)).tolist()),
            "mean_ipr": spread(panel.mean_ipr.mean(axis=(1, 2)).tolist())}


def to_csv(panels: dict[tuple[str, float], Panel], seeds: Sequence[int]) -> str:
    """A row for each network."""
    quantities = [field.name for field in dataclasses.fields(Panel)[2:]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["family", "value", "seed", "xi", "alpha", *quantities])
    for (family, value), panel in panels.items():
        for (seed, row, column) in np.ndindex(panel.phase.shape):
            writer.writerow([family, value, seeds[seed], panel.xis[row], panel.alphas[column],
                             *(getattr(panel, name)[seed, row, column] for name in quantities)])
    return text.getvalue()


# ---- the paper's claims ----


def decay_checks(panels: dict[float, Panel]) -> Iterator[Check]:
    """What the paper says of weight decay."""
    none = panels[0.0]
    wrong = none.xis > 0
    counts = (none.phase[:, wrong] == COEXISTENCE).sum(axis=(1, 2))
    yield Check("without weight decay there is coexistence at xi > 0", "a region of coexistence",
                f"{several(counts)} of {none.phase[0, wrong].size} networks", bool((counts > 0).all()))
    yield memorization_check(none)
    shares = [panels[value].share(FULL_INVERSION) for value in (0.0, 5.0, 15.0)]
    yield Check("full inversion grows with weight decay 0, 5, 15", "weight decay enlarges full inversion",
                " < ".join(map(several, shares)), all((one < other).all() for one, other in pairwise(shares)))
    before, after = (panels[value].share(FORGETTING, CONFUSION) for value in (15.0, 20.0))
    yield Check("forgetting and confusion take more at weight decay 20 than at 15", "forgetting at weight decay 20",
                f"{several(before)} -> {several(after)}", bool((before < after).all()))
    yield ipr_check(none, panels[15.0])


def memorization_check(panel: Panel) -> Check:
    """Memorization lies where alpha is small and xi large: its mean position against that of generalisation."""
    memorized, generalized = panel.phase == MEMORIZATION, panel.test_accuracy >= LEARNT
    alpha, xi = (np.broadcast_to(values, panel.phase.shape)
                 for values in (panel.alphas, panel.xis[:, None]))
    positions = [[values[seed][where[seed]].mean() if where[seed].any() else np.nan for seed in range(len(alpha))]
                 for values in (alpha, xi) for where in (memorized, generalized)]
    alpha_memorized, alpha_generalized, xi_memorized, xi_generalized = map(np.array, positions)
    holds = (alpha_memorized < alpha_generalized) & (xi_memorized > xi_generalized)  # False of NaN
    return Check("without weight decay networks memorise at smaller alpha and larger xi than they generalise",
                 "memorization with little data or many wrong labels",
                 f"mean alpha {several(alpha_memorized)} < {several(alpha_generalized)}, "
                 f"mean xi {several(xi_memorized)} > {several(xi_generalized)}", bool(holds.all()))


def ipr_check(none: Panel, decayed: Panel) -> Check:
    """Where networks with wrong labels generalise with and without weight decay, it makes their neurons periodic."""
    both = (none.test_accuracy >= LEARNT) & (decayed.test_accuracy >= LEARNT) & (none.xis > 0)[:, None]
    found = both.any(axis=(1, 2)).all()
    means = [np.array([panel.mean_ipr[seed][both[seed]].mean() for seed in range(len(both))]) if found else None
             for panel in (none, decayed)]
    return Check("where networks generalise at xi > 0, mean IPR is higher with weight decay 15 than without",
                 "weight decay makes neurons periodic (fig. 4)",
                 f"{several(means[0])} -> {several(means[1])}, {both.sum()} networks" if found else "no such networks",
                 bool(found and (means[0] < means[1]).all()))


def dropout_checks(panels: dict[float, Panel]) -> Iterator[Check]:
    """What the paper says of dropout."""
    shares = {value: panel.share(PARTIAL_INVERSION, FULL_INVERSION) for value, panel in panels.items()}
    yield Check("inversion, partial or full, takes more with dropout 0.3 and 0.6 than without",
                "dropout makes networks ignore wrong labels",
                f"{several(shares[0.0])} -> {several(shares[0.3])} and {several(shares[0.6])}",
                bool((shares[0.0] < np.minimum(shares[0.3], shares[0.6])).all()))
    before, after = (panels[value].share(CONFUSION) for value in (0.6, 0.9))
    yield Check("confusion takes more with dropout 0.9 than with 0.6", "confusion with dropout 0.9",
                f"{several(before)} -> {several(after)}", bool((before < after).all()))


def batch_norm_checks(panels: dict[float, Panel]) -> Iterator[Check]:
    """What the paper says of BatchNorm."""
    shares = [panel.share(PARTIAL_INVERSION, FULL_INVERSION) for panel in panels.values()]
    yield Check(f"with BatchNorm there is inversion, partial or full, for batches of {', '.join(map(str, panels))}",
                "BatchNorm makes networks ignore wrong labels", ", ".join(map(several, shares)),
                all((share > 0).all() for share in shares))
    share = panels[64].share(FULL_INVERSION)
    yield Check("with BatchNorm and batches of 64 there is full inversion", "at alpha 0.65, xi 0.2 (fig. 5)",
                several(share), bool((share > 0).all()))


CHECKS = {"decay": decay_checks, "dropout": dropout_checks, "batchnorm": batch_norm_checks}


def several(values: Sequence[float]) -> str:
    """One value for each seed, in a few characters."""
    return "/".join(f"{value:.3g}" for value in values)


# ---- the figures ----


def draw(family: str, panels: dict[float, Panel], title: str, path: Path) -> Path:
    """A family of diagrams: above the phases, then the test accuracy, then the mean IPR.

    Of several seeds the phase is the most frequent one, and what is measured a mean.
    """
    from matplotlib.colors import ListedColormap

    figure, axes = figures.new_figure(3, len(panels), (2.9 * len(panels) + 0.9, 8.2), title, sharex=True,
                                      sharey=True)
    ranks = np.array(PHASES)
    for (value, panel), column in zip(panels.items(), axes.T, strict=True):
        votes = (panel.phase[..., None] == ranks).sum(axis=0)
        maps = [column[0].pcolormesh(panel.alphas, panel.xis, votes.argmax(axis=-1), vmin=-0.5, vmax=len(PHASES) - 0.5,
                                     cmap=ListedColormap([COLOURS[phase] for phase in PHASES]))]
        maps += [one.pcolormesh(panel.alphas, panel.xis, quantity.mean(axis=0), vmin=0, vmax=1, cmap="cividis")
                 for one, quantity in zip(column[1:], (panel.test_accuracy, panel.mean_ipr), strict=True)]
        column[0].set_title(f"{NAMES[family]} {value:g}", fontsize=10)
        column[-1].set(xlabel="training fraction α", xticks=panel.alphas[::math.ceil(len(panel.alphas) / 5)],
                       yticks=panel.xis[::math.ceil(len(panel.xis) / 10)])
    for phase, colour in COLOURS.items():
        axes[0, 0].scatter([], [], marker="s", s=60, color=colour, label=phase)
    for row, (quantity, shown) in zip(axes, (("phase", None), ("test accuracy", maps[1]), ("mean IPR", maps[2])),
                                      strict=True):
        row[0].set_ylabel(f"{quantity}\nwrong labels ξ")
        for one in row:
            one.grid(False)
        if shown is not None:
            figure.colorbar(shown, ax=row, label=quantity, pad=0.01, aspect=18)
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


# ---- the command's own options ----


def add_own_options(parser: argparse.ArgumentParser) -> None:
    """Which diagrams, and how fine."""
    parser.add_argument("--panels", nargs="+", choices=NAMES, default=list(NAMES), help="which diagrams (default: all)")
    parser.add_argument("--grid", type=read_grid, metavar="AxX",
                        help="A values of alpha and X of xi (default 17x19; 9x10 trains about a quarter)")


def read_grid(text: str) -> tuple[int, int]:
    """How many alphas and xis, of a text such as 9x10."""
    counts = text.split("x")
    if len(counts) != 2 or not all(count.isdecimal() and int(count) >= 2 for count in counts):
        raise argparse.ArgumentTypeError(f"must be two whole numbers of at least 2, such as 9x10, got {text}")
    return int(counts[0]), int(counts[1])


if __name__ == "__main__":
    sys.exit(run_experiment("phase_diagram", __doc__, experiment, seeds=1, quick_seeds=1,
                            add_own_options=add_own_options))
