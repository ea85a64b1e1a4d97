"""The comparisons of steps as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TITLES = {"step": "two-layer network, p 97, N 500", "transformer": "one-layer transformer, p 97, d 128"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Milliseconds a step of each contender, the fastest on top, with their range."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sections = [name for name in TITLES if name in results["sections"]]
    entries = [results["sections"][name]["milliseconds"] for name in sections]
    figure = Figure(figsize=(8, 0.8 + 0.34 * sum(map(len, entries)) + 0.5 * len(entries)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(sections), 1, squeeze=False, height_ratios=[len(one) for one in entries])[:, 0]
    for ax, name, one in zip(axes, sections, entries, strict=True):
        ordered = sorted(one.items(), key=lambda item: -item[1]["median"])
        medians = [entry["median"] for _, entry in ordered]
        spread = [[entry["median"] - entry["lowest"] for _, entry in ordered],
                  [entry["highest"] - entry["median"] for _, entry in ordered]]
        colours = ["#d55e00" if key == "this program" else "#999999" if "alone" in key else "#0072b2"
                   for key, _ in ordered]
        bars = ax.barh([key for key, _ in ordered], medians, xerr=spread, color=colours, ecolor="#444444")
        ax.bar_label(bars, [f"{value:.1f}" for value in medians], padding=8)
        ax.set_title(TITLES[name], loc="left")
        ax.set_xlabel("milliseconds a step")
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.12)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
