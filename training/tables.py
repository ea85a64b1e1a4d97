"""Runs as text: the outcome of one, and several side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.figures import describe
from training.run import Run

SETS = ("train", "test", "corrupted", "uncorrupted")


def accuracy(value: float | None) -> str:
    """An accuracy, or a dash where it is not defined."""
    return "-" if value is None else f"{value:.4f}"


def step(value: int | None) -> str:
    """A step, or a dash for what never happened."""
    return "-" if value is None else f"step {value}"


def run_table(run: Run, folder: Path) -> str:
    """The outcome of a run in a few lines."""
    summary = run.summary()
    accuracies = [("accuracy" if number == 0 else "", name, accuracy(summary[f"{name}_accuracy"]))
                  for number, name in enumerate(SETS)]
    rows = [
        *accuracies,
        ("phase", summary["phase"] or "-", ""),
        ("groks", step(summary["grok_step"]), ""),
        ("unlearns", step(summary["unlearn_step"]), ""),
        ("time", f"{summary['seconds']:.1f} s, {summary['ms_per_step']:.1f} ms a step", ""),
        ("run", f"{folder}/", ""),
    ]
    lines = [f"{name:10}{value:13}{number}".rstrip() for name, value, number in rows]
    return "\n".join([describe(run), "", *lines])


def different_settings(runs: Mapping[str, Run]) -> list[str]:
    """The names of the settings in which some runs differ."""
    settings = [run.config.to_dict() for run in runs.values()]
    return [name for name in settings[0] if any(one[name] != settings[0][name] for one in settings)]


def comparison_table(runs: Mapping[str, Run]) -> str:
    """Runs side by side, one a column: the settings in which they differ, then how each ended.

    Parameters
    ----------
    runs : mapping of str to Run
        By the name to show.
    """
    summaries = [run.summary() for run in runs.values()]
    rows = [("", *runs)]
    rows += [(name, *(str(run.config.to_dict()[name]) for run in runs.values())) for name in different_settings(runs)]
    rows += [(f"{name} accuracy", *(accuracy(one[f"{name}_accuracy"]) for one in summaries)) for name in SETS]
    rows += [(f"{name} loss", *("-" if one[f"{name}_loss"] is None else f"{one[f'{name}_loss']:.3e}"
                                for one in summaries)) for name in ("train", "test")]
    rows += [("phase", *(one["phase"] or "-" for one in summaries)),
             ("groks", *(step(one["grok_step"]) for one in summaries)),
             ("unlearns", *(step(one["unlearn_step"]) for one in summaries)),
             ("mean IPR", *("-" if one["mean_ipr"] is None else f"{one['mean_ipr']:.3f}" for one in summaries)),
             ("weight norm", *(f"{one['weight_norm']:.2f}" for one in summaries)),
             ("steps", *(str(one["steps"]) for one in summaries))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(runs) + 1)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)
