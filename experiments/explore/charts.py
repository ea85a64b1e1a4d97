"""The explorer's figures, empty: `explore.js` fills the sources, which it finds by the names given here."""

from __future__ import annotations

from typing import Any

from analysis.figures import BLUE, GREEN, GREY, SETS, SKY, VERMILLION
from pages import load_bokeh, new_figure

DASHES = {"-": "solid", "--": "dashed", ":": "dotted"}
STYLE = {
    "sets": {name: {"colour": style["color"], "dash": DASHES[style["linestyle"]]} for name, style in SETS.items()},
    "vectors": {"U": BLUE, "V": VERMILLION, "W": GREEN, "embedding": BLUE},
    "bins": 50,
}
"""What the figures look like, and the page's script draws likewise; `bins` are those of the histogram, as in the run's
own figure."""


def charts(values: dict[str, Any]) -> dict[str, Any]:
    """The figures of a page.

    Parameters
    ----------
    values : dict
        Those of `measuring.Explored`: what there is of a run decides which figures there are.

    Returns
    -------
    figures : dict of str to bokeh.plotting.figure
        By the id of the element that each goes into.
    """
    figures = {"accuracy-chart": _accuracy(values)}
    if values["vectors"]:
        figures |= {"ipr-chart": _histogram(values), **_neuron(values)}
    if values["orders"]:
        figures["pruning-chart"] = _pruning(values)
    if values["modular"]:
        figures["answers-chart"] = _answers(values)
    return figures


def _source(name, *columns):
    return load_bokeh().models.ColumnDataSource({column: [] for column in columns}, name=name)


def _marker(name, dimension, style, **options):
    """A line across the figure, which the page's script moves; "ink" and "line" are the page's colours."""
    return load_bokeh().models.Span(name=name, dimension=dimension, location=None, tags=[style], level="underlay",
                                    **options)


def _draw_sets(figure, source, names):
    for name in names:
        style = STYLE["sets"][name]
        figure.line("x", name, source=source, color=style["colour"], line_dash=style["dash"], line_width=2.5)


def _accuracy(values):
    """Accuracies against the step, on a scale of log(1 + step): it has room for step 0."""
    models = load_bokeh().models
    figure = new_figure("step", "accuracy", 300, y_range=(-0.03, 1.05), name="accuracy")
    source = _source("history", "x", *values["sets"])
    _draw_sets(figure, source, values["sets"])
    figure.xaxis.formatter = models.CustomJSTickFormatter(code="return Math.round(10 ** tick - 1).toString()")
    figure.xaxis.ticker = models.FixedTicker(name="steps", ticks=[])
    figure.xgrid.ticker = figure.xaxis.ticker
    figure.add_layout(_marker("rule", "width", "line", line_dash="dashed", line_width=2))
    for stage, side, gap in (("groks", "right", -4), ("unlearns", "left", 4)):
        figure.add_layout(_marker(stage, "height", "line", line_width=2))
        figure.add_layout(models.Label(name=f"{stage}-label", x=0, y=0, text="", text_font_size="12px",
                                       text_align=side, x_offset=gap, y_offset=4))
    figure.add_layout(_marker("cursor", "height", "ink", line_width=2))
    return figure


def _histogram(values):
    """How many neurons have which IPR; logarithmic, since most of them share two bins at the start."""
    figure = new_figure(f"IPR of a {values['noun']}", f"{values['noun']}s per bin", 260, y_axis_type="log",
                        x_range=(0, 1), y_range=(0.7, 10), name="ipr")
    source = _source("bins", "x", "all", "kept")
    options = {"x": "x", "width": 0.9 / STYLE["bins"], "bottom": 0.7, "source": source}
    figure.vbar(top="all", fill_color=None, line_color=GREY, **options)
    figure.vbar(top="kept", fill_color=SKY, line_color=None, **options)
    models = load_bokeh().models
    figure.yaxis.ticker = figure.ygrid.ticker = models.FixedTicker(ticks=[1, 3, 10, 30, 100, 300, 1000, 3000])
    figure.yaxis.formatter = models.CustomJSTickFormatter(code="return tick.toString()")
    return figure


def _pruning(values):
    """The accuracies against the fraction of neurons pruned."""
    figure = new_figure("fraction of neurons pruned", "accuracy", 260, x_range=(0, 1), y_range=(-0.03, 1.05),
                        name="pruning")
    source = _source("pruned", "x", *values["pruned_sets"])
    _draw_sets(figure, source, values["pruned_sets"])
    figure.add_layout(_marker("pruned-cursor", "height", "ink", line_width=2))
    return figure


def _answers(values):
    """The table of answers, m across and n upwards; the script sets the palette, which the screen decides."""
    models, p = load_bokeh().models, values["config"]["p"]
    figure = new_figure("m", "n", 380, x_range=(-0.5, p - 0.5), y_range=(-0.5, p - 0.5), name="answers",
                        sizing_mode="scale_width", width=380, tools="hover", active_inspect=None)
    source = _source("answers-source", "image")
    mapper = models.LinearColorMapper(palette=["white"] * 4, low=-0.5, high=3.5, name="answers-palette")
    figure.image("image", x=-0.5, y=-0.5, dw=p, dh=p, source=source, color_mapper=mapper)
    figure.grid.visible = False
    # What stands at a place is looked up by the page's script, which knows the questions.
    figure.hover.tooltips = [("", "$x{custom}")]
    figure.hover.formatters = {"$x": models.CustomJSHover(
        code="return window.explorer.question(Math.round(special_vars.x), Math.round(special_vars.y))")}
    return figure


def _neuron(values):
    """One neuron: its vectors against the residue or its logarithm, and along its wave, and the spectrum."""
    models, vectors, p, along = load_bokeh().models, values["vectors"], values["places"], values["along"]
    source = _source("neuron", "i", "angle", *vectors)
    unwound = _source("neuron-unwound", "angle", *vectors)
    plain = new_figure(along[0], "weight", 220, name="neuron-plain", x_range=(0, p - 1))
    wound = new_figure(along[1], "weight", 220, name="neuron-wound", x_range=(0, p - 1))
    for vector in vectors:
        plain.line("i", vector, source=source, color=STYLE["vectors"][vector], line_width=1.5)
        wound.line("angle", vector, source=unwound, color=STYLE["vectors"][vector], line_width=1.5)
        wound.scatter("angle", vector, source=unwound, color=STYLE["vectors"][vector], size=4)
    spectrum = new_figure("frequency", "share of power", 220, name="neuron-spectrum", x_range=(-0.5, p // 2 + 0.5),
                          y_range=models.Range1d(0, 1))
    spectrum.vbar(x="frequency", top="share", width=0.8, source=_source("spectrum", "frequency", "share"),
                  fill_color=SKY, line_color=None)
    return {"neuron-chart": plain, "unwound-chart": wound, "spectrum-chart": spectrum}
