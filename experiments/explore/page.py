"""The explorer's file: what is known of a run, and the figures, put into a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from experiments.explore.charts import STYLE, charts
from experiments.explore.measuring import explored
from pages import load_bokeh, write_page
from training import Run

FILE = "explorer.html"
"""The name of the page in the run's folder."""


def write_explorer(run: Run, path: str | os.PathLike, progress: Callable[[Sequence], Sequence] = iter) -> Path:
    """Write the page of a run.

    Parameters
    ----------
    run : Run
    path : path
    progress : callable (sequence) -> iterable
        Goes through the moments that are measured, and may show how far it is.

    Returns
    -------
    path : Path

    Raises
    ------
    pages.PageError
        If Bokeh is not installed.
    """
    load_bokeh()  # before the work
    found = explored(run, progress)
    content, style, script = ((resources.files("experiments.explore") / f"explore.{kind}").read_text(encoding="utf-8")
                              for kind in ("html", "css", "js"))
    return write_page(path, found.values["setting"], content, charts(found.values), {**found.values, "style": STYLE},
                      found.arrays, style, script)
