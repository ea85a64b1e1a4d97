"""Figures of runs and networks, as PNG files.

Figures are drawn on `matplotlib.figure.Figure` objects, without pyplot: there is no global state, and no display is
needed. Colours are those of Okabe and Ito, which people with any colour vision can tell apart; where lines overlap they
differ in dashes as well. matplotlib is imported when the first figure is made, not before.

References
----------
Okabe and Ito, "Color universal design", 2008 (jfly.uni-koeln.de/color).
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.fourier import power_shares
from analysis.ipr import neuron_ipr
from analysis.pruning import PruningCurve
from storage import write_atomically

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
GREY = "#707070"

# What each set of examples is drawn with, in every figure.
SETS = {
    "train": {"color": BLUE, "linestyle": "-"},
    "test": {"color": VERMILLION, "linestyle": "-"},
    "corrupted": {"color": PURPLE, "linestyle": "--"},
    "uncorrupted": {"color": GREEN, "linestyle": ":", "linewidth": 2.2},
}
LABELS = {"train": "train", "test": "test", "corrupted": "train, corrupted", "uncorrupted": "train, uncorrupted"}
# What the weights of neurons are drawn against: their order, and the place on a wave of frequency s.
RESIDUES = ("residue i", "s i mod p")
LOGARITHMS = ("logarithm k of the residue", "s k mod (p − 1)")
ORDERS = {"low": "lowest IPR first", "high": "highest IPR first", "random": "random order"}
DPI = 150


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.0, 4.0), title: str = "", **subplots):
    """A figure with a grid of axes.

    Parameters
    ----------
    rows, columns : int
    size : (width, height)
        In inches.
    title : str
        Over the whole figure.
    **subplots
        Further options of `Figure.subplots` (sharex, sharey).

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : object array (rows, columns) of Axes
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="0.9", linewidth=0.6)
        one.set_axisbelow(True)
        one.tick_params(labelsize=9)
    figure.suptitle(title, fontsize=11, wrap=True)
    figure.get_layout_engine().set(wspace=0.04)
    return figure, axes


def sequence(count: int) -> np.ndarray:
    """Colours for as many steps of a quantity, dark to light, all of them legible on white; float array (count, 4)."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 0.88, count))


def save(figure, path: str | os.PathLike) -> Path:
    """Write a figure as PNG; a file of this name is at any moment whole."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=DPI)
    write_atomically(path, image.getvalue())
    return Path(path)


def training_curves(history: Mapping[str, Sequence[float]], path: str | os.PathLike, title: str,
                    grok_step: int | None = None, unlearn_step: int | None = None, xi: float | None = None) -> Path:
    """Accuracies, losses, mean IPR and weight norm against the step.

    Parameters
    ----------
    history : mapping of str to sequence (T,)
        The columns step, train_loss, test_loss, train_accuracy, test_accuracy, corrupted_accuracy,
        uncorrupted_accuracy, mean_ipr, weight_norm. Columns that are missing or NaN throughout are left out; without
        mean_ipr (of images) there is no panel for it.
    path : path
    title : str
    grok_step, unlearn_step : int, optional
        Where the two stages set in: each is marked by a vertical line.
    xi : float, optional
        The share of corrupted labels: 1 - xi, where unlearning ends, is marked by a horizontal line.

    Returns
    -------
    path : Path
    """
    periodic = np.any(np.isfinite(np.asarray(history.get("mean_ipr", []), dtype=float)))
    rows, columns, size = (2, 2, (10, 6.8)) if periodic else (1, 3, (13, 3.8))
    figure, axes = new_figure(rows, columns, size, title, sharex=True)
    accuracy, loss, *ipr, norm = axes.flat
    steps = np.asarray(history["step"], dtype=float)
    corrupted = history.get("corrupted_accuracy")
    for name, style in SETS.items():
        if name == "uncorrupted" and (corrupted is None or np.all(np.isnan(np.asarray(corrupted, dtype=float)))):
            continue  # that is the whole training set
        draw_curve(accuracy, steps, history.get(f"{name}_accuracy"), label=LABELS[name], **style)
        draw_curve(loss, steps, history.get(f"{name}_loss"), label=LABELS[name], **style)
    for panel in ipr:
        draw_curve(panel, steps, history["mean_ipr"], color=BLACK)
        panel.set(ylabel="mean IPR of neurons", ylim=(0, 1.05))
    draw_curve(norm, steps, history.get("weight_norm"), color=BLACK)
    if xi:
        accuracy.axhline(1 - xi, color=GREY, linewidth=1, linestyle=(0, (6, 3)), zorder=1, label=f"1 - ξ = {1 - xi:g}")
    accuracy.set(ylabel="accuracy", ylim=(-0.03, 1.05))
    loss.set(ylabel="loss")
    _scale_losses([loss])
    norm.set(ylabel="weight norm")
    norm.set_ylim(bottom=0)
    for panel in axes[-1]:
        panel.set_xlabel("step")
    if len(steps) > 1:
        # Logarithmic, but with room for step 0, which is where every run starts.
        first, last = steps[steps > 0][0], steps[-1]
        norm.set_xscale("symlog", linthresh=first, linscale=0.3, subs=range(2, 10))
        decades = [10.0 ** k for k in range(12) if first <= 10.0 ** k <= last / 2]
        norm.set_xticks([0, *decades, last])
        norm.xaxis.set_major_formatter("{x:g}")
        norm.set_xlim(steps[0], last)
    _mark_stages(axes, grok_step, unlearn_step)
    draw_legend(figure, accuracy)
    return save(figure, path)


def draw_curve(axes, x, y, **style):
    """A line, or of several runs the mean with a band from the smallest to the largest values.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    x : array (T,)
    y : array (T,) or (S, T), or None
        Nothing is drawn of what is None or NaN throughout.
    **style
        Options of `Axes.plot`; `color` is needed for a band.
    """
    if y is None or np.all(np.isnan(y := np.asarray(y, dtype=float))):
        return
    if y.ndim == 2:
        axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=style["color"], alpha=0.2, linewidth=0)
        y = y.mean(axis=0)
    axes.plot(x, y, **{"linewidth": 1.6, **style})


def _scale_losses(panels):
    """A logarithmic axis where the losses drawn so far span a decade or more, with plain numbers while they fit."""
    from matplotlib.ticker import LogLocator, NullFormatter

    smallest, largest = min(one.dataLim.minposy for one in panels), max(one.dataLim.y1 for one in panels)
    if not 10 * smallest <= largest < np.inf:
        return
    for one in panels:
        one.set_yscale("log")
        if largest < 1000 * smallest:
            one.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            one.yaxis.set_major_formatter("{x:g}")
            one.yaxis.set_minor_formatter(NullFormatter())


def draw_legend(figure, *panels, columns: int | None = None):
    """One legend below all panels, of what is labelled in the given ones.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    *panels : matplotlib.axes.Axes
    columns : int, optional
        By default all entries stand in one line.
    """
    entries = {label: handle for one in panels
               for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns or len(entries),
                      fontsize=9, frameon=False)


def _mark_stages(axes, grok_step, unlearn_step):
    """Vertical lines in all panels, named over the upper ones: the earlier to its left, the later to its right."""
    stages = [(step, name) for step, name in ((grok_step, "groks"), (unlearn_step, "unlearns")) if step is not None]
    for (step, name), (side, gap) in zip(sorted(stages), (("right", -3), ("left", 3)), strict=False):
        for one in axes.flat:
            one.axvline(step, color=GREY, linewidth=1, zorder=1)
        for one in axes[0]:
            one.annotate(name, (step, 1), xycoords=("data", "axes fraction"), xytext=(gap, 3),
                         textcoords="offset points", ha=side, va="bottom", fontsize=9, color="0.3")


def ipr_histogram(start_ipr: np.ndarray, end_ipr: np.ndarray, path: str | os.PathLike, title: str) -> Path:
    """How the IPR of the neurons is distributed at the start and at the end of training.

    Parameters
    ----------
    start_ipr, end_ipr : array (N,)
        As `neuron_ipr` returns them.
    path : path
    title : str

    Returns
    -------
    path : Path
    """
    figure, axes = new_figure(size=(7, 4.4), title=title)
    axes = axes[0, 0]
    bins = np.linspace(0, 1, 51)
    # A pure wave has 1 up to rounding, and the last bin ends at 1.
    axes.hist(np.minimum(start_ipr, 1), bins, histtype="step", color=BLACK, linewidth=1.4, zorder=3, label="start")
    axes.hist(np.minimum(end_ipr, 1), bins, color=SKY, label="end")
    # On a linear scale the start, with all neurons in two bins, would flatten everything else.
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="IPR of a neuron", ylabel=f"neurons (of {len(end_ipr)}) per bin", xlim=(0, 1))
    axes.set_ylim(bottom=0.7)
    draw_legend(figure, axes)
    return save(figure, path)


def pruning_curves(curves: Mapping[str, PruningCurve], path: str | os.PathLike, title: str) -> Path:
    """Accuracies and losses against the fraction of neurons pruned, one column for each order of pruning.

    Parameters
    ----------
    curves : mapping of str to PruningCurve
        As `pruning.pruning_curves` returns them. With accuracies and losses (S, C) of S networks, lines are means and
        bands reach from the smallest to the largest value.
    path : path
    title : str

    Returns
    -------
    path : Path
    """
    figure, axes = new_figure(2, len(curves), (3.6 * len(curves) + 0.6, 6), title, sharex=True, sharey="row")
    for (order, curve), (accuracy, loss) in zip(curves.items(), axes.T, strict=True):
        for name in curve.accuracy:
            style = {"label": LABELS.get(name, name), **SETS.get(name, {"color": BLACK})}
            draw_curve(accuracy, curve.fractions, curve.accuracy[name], **style)
            draw_curve(loss, curve.fractions, curve.loss[name], **style)
        accuracy.set_title(ORDERS.get(order, order), fontsize=11)
        accuracy.set(ylim=(-0.03, 1.05), xlim=(0, 1))
        loss.set_xlabel("fraction of neurons pruned")
    _scale_losses(axes[1])
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("loss")
    draw_legend(figure, axes[0, 0])
    return save(figure, path)


def neuron_panels(start_neurons: tuple[np.ndarray, ...], end_neurons: tuple[np.ndarray, ...], path: str | os.PathLike,
                  title: str, along: tuple[str, str] = RESIDUES) -> Path:
    """What single neurons hold along the residues, and at which frequencies, before and after training.

    Shown are the two neurons of the highest IPR at the end of training, the median one and the one of the lowest. A
    wave of frequency s, unreadable against the residue i when s is large, becomes a single period against s i mod p:
    the third column has the residues in this order, with s the neuron's strongest frequency.

    Parameters
    ----------
    start_neurons, end_neurons : tuple of 1 to 3 arrays (N, p)
        As `network.neurons()` returns them.
    path : path
    title : str
    along : {RESIDUES, LOGARITHMS}
        The order that the arrays are in.

    Returns
    -------
    path : Path
    """
    count, p = end_neurons[0].shape
    noun = "neuron" if len(end_neurons) > 1 else "feature"
    before, after = neuron_ipr(*start_neurons), neuron_ipr(*end_neurons)
    ranks = [rank for rank in sorted({0, 1, count // 2, count - 1}) if rank < count]
    shown = np.argsort(-after, kind="stable")[ranks]
    figure, axes = new_figure(len(shown), 4, (14, 2.1 * len(shown) + 1), title, sharex="col")
    for neuron, (start, end, unwound, power) in zip(shown, axes, strict=True):
        start_shares, end_shares = (np.mean([power_shares(x[neuron]) for x in arrays], axis=0)
                                    for arrays in (start_neurons, end_neurons))
        s = 1 + end_shares[1:].argmax()
        angle = s * np.arange(p) % p
        order = np.argsort(angle, kind="stable")
        names = ("U", "V", "W") if len(end_neurons) > 1 else ("embedding",)
        for name, x0, x1, color in zip(names, start_neurons, end_neurons, (BLUE, VERMILLION, GREEN), strict=False):
            style = {"color": color, "linewidth": 1, "label": name}
            start.plot(x0[neuron], **style)
            end.plot(x1[neuron], **style)
            unwound.plot(angle[order], x1[neuron][order], marker=".", markersize=3, **style)
        frequencies = np.arange(len(end_shares))
        power.bar(frequencies - 0.2, start_shares, 0.4, color=ORANGE, label="power at the start")
        power.bar(frequencies + 0.2, end_shares, 0.4, color=BLACK, label="power at the end")
        start.set_ylabel(f"{noun} {neuron}, IPR {before[neuron]:.3f}\nweight at the start")
        end.set_ylabel(f"IPR {after[neuron]:.3f}\nweight at the end")
        unwound.set_ylabel(f"s = {s}\nweight at the end")
        power.set_ylabel("share of power")
    for panel, label in zip(axes[-1], (along[0], *along, "frequency"), strict=True):
        panel.set_xlabel(label)
    draw_legend(figure, axes[0, 0], axes[0, 3])
    return save(figure, path)


def comparison(histories: Mapping[str, Mapping[str, Sequence[float]]], path: str | os.PathLike,
               title: str = "") -> Path:
    """Accuracies of several runs over each other, a panel for each set of examples.

    Parameters
    ----------
    histories : mapping of str to history
        By the name in the legend; as for `training_curves`.
    path : path
    title : str

    Returns
    -------
    path : Path
    """
    columns = [name for name in SETS if any(np.any(np.isfinite(np.asarray(history[f"{name}_accuracy"], dtype=float)))
                                            for history in histories.values())]
    figure, axes = new_figure(1, len(columns), (3.6 * len(columns) + 0.6, 3.8), title, sharey=True)
    colours = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
    dashes = ("-", "--", ":", "-.")  # with more runs than colours, colours come again with other dashes
    for panel, name in zip(axes[0], columns, strict=True):
        for number, (label, history) in enumerate(histories.items()):
            turn, colour = divmod(number, len(colours))
            draw_curve(panel, history["step"], history[f"{name}_accuracy"], label=label, color=colours[colour],
                       linestyle=dashes[turn % len(dashes)])
        panel.set_title(LABELS[name], fontsize=11)
        panel.set(xlabel="step", ylim=(-0.03, 1.05))
    axes[0, 0].set_ylabel("accuracy")
    draw_legend(figure, *axes[0], columns=1)
    return save(figure, path)
