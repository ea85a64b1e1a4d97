"""A figure with two panels for each setting: accuracies over the steps, and a histogram below them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import figures
from training import TrainingConfig


def draw_runs(settings: Mapping[str, TrainingConfig], runs: Mapping[str, Sequence[Mapping[str, Any]]],
              draw_histogram: Callable[[Any, Sequence[Mapping[str, Any]]], None], ylabel: str, title: str, path: Path,
              columns: int, size: tuple[float, float]) -> Path:
    """Draw the runs of each setting, all seeds together.

    Parameters
    ----------
    settings : mapping of str to TrainingConfig
    runs : mapping of str to sequence of mapping
        What is kept of the run of each seed, its "history" among it.
    draw_histogram : callable (Axes, sequence of mapping) -> None
        Draws what the lower panel of a setting shows of its runs.
    ylabel : str
        Of the histograms.
    title : str
    path : path
    columns : int
        At most so many settings stand side by side.
    size : (width, height)
        Of the two panels of a setting, in inches.

    Returns
    -------
    path : Path
    """
    columns = min(columns, len(runs))
    bands = math.ceil(len(runs) / columns)
    figure, axes = figures.new_figure(2 * bands, columns, (size[0] * columns, size[1] * bands), title)
    panels = [(axes[2 * band, column], axes[2 * band + 1, column])
              for band in range(bands) for column in range(columns)]
    for (name, group), (curves, histogram) in zip(runs.items(), panels, strict=False):
        for column, style in figures.SETS.items():
            accuracies = [run["history"][f"{column}_accuracy"] for run in group]
            figures.draw_curve(curves, group[0]["history"]["step"], accuracies, label=figures.LABELS[column], **style)
        curves.set_title(name, fontsize=10)
        curves.set(xlabel="step", ylim=(-0.03, 1.05), xlim=(0, settings[name].steps))
        draw_histogram(histogram, group)
    for curves, histogram in panels[::columns]:
        curves.set_ylabel("accuracy")
        histogram.set_ylabel(ylabel)
    for unused in panels[len(runs):]:
        for one in unused:
            one.set_axis_off()
    figures.draw_legend(figure, *panels[0])
    return figures.save(figure, path)
