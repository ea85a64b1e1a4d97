"""Pages: HTML files that hold all that they show, and work without a network.

A page has prose and controls, which are plain HTML, figures, which are Bokeh's, and data. Bokeh's own script lies
inside the file (1.3 MB of it). `page.js` puts the pieces together in the browser: it embeds the figures, hands the
page's script their models and the data, and colours them for a light or a dark screen.

Arrays travel as one block of bytes, compressed and written in base64; the browser takes it apart into typed arrays.
"""

from __future__ import annotations

import base64
import html
import json
import os
import zlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from storage import write_atomically

ALIGNMENT = 8
"""Bytes: where an array begins in the block is a multiple of the largest number's size, as typed arrays ask for."""


class PageError(ImportError):
    """A page cannot be made: what draws it is not installed."""


def load_bokeh():
    """Bokeh, imported when the first page is made.

    Returns
    -------
    module

    Raises
    ------
    PageError
        If it is not installed.
    """
    try:
        import bokeh.embed
        import bokeh.models
        import bokeh.plotting
        import bokeh.resources
    except ImportError:
        raise PageError("a page needs Bokeh: pip install -e '.[explore]' in the program's folder") from None
    return bokeh


def new_figure(x_label: str, y_label: str, height: int = 280, **options):
    """A Bokeh figure as wide as its place, without a toolbar.

    Parameters
    ----------
    x_label, y_label : str
    height : int
        In pixels.
    **options
        Of `bokeh.plotting.figure`.

    Returns
    -------
    figure : bokeh.plotting.figure
    """
    figure = load_bokeh().plotting.figure(
        height=height, toolbar_location=None, x_axis_label=x_label, y_axis_label=y_label, background_fill_color=None,
        border_fill_color=None, outline_line_color=None,
        **{"tools": "", "sizing_mode": "stretch_width", "min_border_right": 12, **options})
    figure.axis.axis_label_text_font_style = "normal"
    return figure


def write_page(path: str | os.PathLike, title: str, content: str, figures: Mapping[str, Any], values: Any = None,
               arrays: Mapping[str, np.ndarray] | None = None, style: str = "",
               script: str = "page.start(() => {});") -> Path:
    """Write a page.

    Parameters
    ----------
    path : path
    title : str
        Of the window.
    content : str
        HTML: what is inside <main>.
    figures : mapping of str to bokeh.plotting.figure
        By the id of the element that each goes into.
    values : any
        What the page's script gets as JSON; a NaN is an error.
    arrays : mapping of str to array, optional
        What it gets as typed arrays.
    style : str
        CSS, after that of all pages.
    script : str
        JavaScript, which calls `page.start` (see page.js).

    Returns
    -------
    path : Path
    """
    bokeh = load_bokeh()
    block, index = _pack(arrays or {})
    own = resources.files("pages")
    page = Template((own / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title), style=(own / "page.css").read_text(encoding="utf-8") + style, content=content,
        bokeh=bokeh.resources.Resources(mode="inline", components=["bokeh"]).render_js(),
        figures=_json({key: bokeh.embed.json_item(figure, key) for key, figure in figures.items()}),
        values=_json(values), index=_json(index), block=block,
        script=(own / "page.js").read_text(encoding="utf-8") + script)
    write_atomically(path, page)
    return Path(path)


def _json(values):
    """JSON that can stand inside a <script>, which would end at the first </script> of a text in it."""
    return json.dumps(values, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _pack(arrays):
    """All arrays as one block in base64, and where each is in it: [name, type, shape, first byte]."""
    block, index = bytearray(), []
    for name, array in arrays.items():
        block.extend(bytes(-len(block) % ALIGNMENT))
        index.append([name, array.dtype.name, list(array.shape), len(block)])
        block.extend(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return base64.b64encode(zlib.compress(bytes(block), 9)).decode(), index
