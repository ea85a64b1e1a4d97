"""The page of the gradient check: `python -m layers.gradcheck --html FILE`.

Every derivative is a point, its difference quotient across and what the backward pass says upwards: where the two
agree, all points lie on the diagonal. A wrong backward pass leaves it, each mistake in its own way: with a factor
forgotten the points lie on another line, with a transpose or a mask forgotten they scatter.
"""

from __future__ import annotations

import html
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis.figures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION
from layers.finite_differences import TOLERANCE, Row
from pages import load_bokeh, new_figure, write_page

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
SMALLEST, LARGEST = 1e-17, 10.0
"""The relative errors at the ends of the axis; 0 is shown at one end, a broken rule or a wrong shape at the other."""

STYLE = """
.layers { display: grid; gap: 0 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.layers section { min-width: 0; margin: .8rem 0; }
.wrong { color: var(--ink); font-weight: 600; }
.wrong::before { content: "\\2717\\a0"; }
ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: .9rem;
     font-variant-numeric: tabular-nums; }
h3 { font-size: 1rem; margin: 0; }
i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .35rem; }
"""


def write_gradcheck(rows: Sequence[Row], path: str | os.PathLike, summary: str) -> Path:
    """Write the page of a gradient check.

    Parameters
    ----------
    rows : sequence of Row
    path : path
    summary : str
        The outcome in a sentence.

    Returns
    -------
    path : Path

    Raises
    ------
    pages.PageError
        If Bokeh is not installed.
    """
    by_layer: dict[str, list[Row]] = {}
    for row in rows:
        by_layer.setdefault(row.layer, []).append(row)
    # Those that are wrong come first.
    names = sorted(by_layer, key=lambda name: all(row.passed for row in by_layer[name]))
    figures = {"errors": _errors(by_layer)}
    sections = []
    for number, name in enumerate(names):
        figures[f"layer-{number}"] = _points(by_layer[name])
        sections.append(_section(number, name, by_layer[name]))
    content = f"""
<header><h1>The gradient check</h1><p>{html.escape(summary)}</p></header>
<section>
  <h2>Numeric against analytic</h2>
  <p class="soft">Each point is a derivative of the loss by one number: the difference quotient across, what the
    backward pass says upwards, in float64. Where the two agree, it lies on the line. A hollow point is left out: its
    quotient straddles a kink.</p>
  <div class="layers">{"".join(sections)}</div>
</section>
<section>
  <h2 id="errors-title">Relative errors of all tensors</h2>
  <p class="soft">‖numeric − analytic‖ / max(‖numeric‖, ‖analytic‖); the line is the tolerance, {TOLERANCE:.0e}.</p>
  <div id="errors" role="img" aria-labelledby="errors-title"></div>
</section>"""
    return write_page(path, "The gradient check", content, figures, style=STYLE)


def _tensors(rows):
    """The tensors of a layer, each with its rows (one a stack) and its colour."""
    names = list(dict.fromkeys(row.tensor for row in rows))
    return [(name, [row for row in rows if row.tensor == name], COLOURS[number % len(COLOURS)])
            for number, name in enumerate(names)]


def _worst(rows):
    """The largest error of some rows; infinite if there is none that can be compared."""
    return max(math.inf if row.fault or math.isnan(row.error) else row.error for row in rows)


def _section(number, name, rows):
    """The place of a layer's figure, with what it shows in words."""
    wrong = any(not row.passed for row in rows)
    items = []
    for tensor, same, colour in _tensors(rows):
        faults = [row.fault for row in same if row.fault]
        verdict = html.escape(faults[0]) if faults else f"{_worst(same):.0e}"
        mark = "" if all(row.passed for row in same) else ' class="wrong"'
        items.append(f'<li{mark}><i style="background:{colour}"></i>{html.escape(tensor)} {verdict}</li>')
    return (f'<section><h3 id="name-{number}"{" class=wrong" if wrong else ""}>{html.escape(name)}</h3>'
            f'<ul>{"".join(items)}</ul>'
            f'<div id="layer-{number}" role="img" aria-labelledby="name-{number}"></div></section>')


def _points(rows):
    """Numeric against analytic, a colour for each tensor."""
    models = load_bokeh().models
    figure = new_figure("numeric", "analytic", 240, tools="hover")
    figure.hover.tooltips = [("", "@entry"), ("numeric", "@numeric{0.000000}"), ("analytic", "@analytic{0.000000}"),
                             ("difference", "@difference{0.0e+0}")]
    figure.add_layout(models.Slope(gradient=1, y_intercept=0, tags=["line"], level="underlay", line_width=2))
    for tensor, same, colour in _tensors(rows):
        same = [row for row in same if row.numeric.shape == row.analytic.shape and row.numeric.size]
        if not same:
            continue
        numeric, analytic, kinks = (np.concatenate([getattr(row, name).ravel() for row in same])
                                    for name in ("numeric", "analytic", "kinks"))
        entries = [f"{tensor}[{', '.join(map(str, index))}]" for row in same for index in np.ndindex(row.numeric.shape)]
        source = models.ColumnDataSource(name=f"{same[0].layer} {tensor}", data={
            "numeric": numeric.astype(np.float32), "analytic": analytic.astype(np.float32),
            "difference": (numeric - analytic).astype(np.float32), "entry": entries,
            "filled": np.where(kinks, 0, 0.6).astype(np.float32)})
        figure.scatter("numeric", "analytic", source=source, size=5, color=colour, fill_alpha="filled", line_width=1)
    return figure


def _errors(by_layer):
    """The relative error of every tensor and stack, a line for each layer."""
    bokeh = load_bokeh()
    names = list(by_layer)
    figure = new_figure("relative error", "", 60 + 17 * len(names), x_axis_type="log", tools="hover",
                        x_range=(SMALLEST / 2, LARGEST * 2), y_range=names[::-1])
    figure.hover.tooltips = [("", "@layer @tensor, @stack"), ("error", "@error{0.0e+0}")]
    rows = [row for name in names for row in by_layer[name]]
    errors = [_worst([row]) for row in rows]
    source = bokeh.models.ColumnDataSource(name="errors", data={
        "error": np.clip(errors, SMALLEST, LARGEST), "layer": [row.layer for row in rows],
        "tensor": [row.tensor for row in rows],
        "stack": ["one run" if row.stack is None else f"R = {row.stack}" for row in rows]})
    right = bokeh.models.BooleanFilter([row.passed for row in rows])
    for filter_, colour, marker in ((right, BLUE, "circle"), (~right, VERMILLION, "x")):
        figure.scatter("error", "layer", source=source, view=bokeh.models.CDSView(filter=filter_), size=7,
                       marker=marker, line_color=colour, fill_color=colour, fill_alpha=0.5, line_width=1.5)
    figure.add_layout(bokeh.models.Span(dimension="height", location=TOLERANCE, tags=["ink"], line_dash="dashed"))
    return figure
