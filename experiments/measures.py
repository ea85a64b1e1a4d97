"""What experiments keep of a run: functions for a sweep to measure with, whose results are plain values."""

from __future__ import annotations

from typing import Any

from analysis.ipr import neuron_ipr
from training import COLUMNS, Run


def observe(run: Run) -> dict[str, Any]:
    """The summary of a run, its curves, and the IPR of each neuron at the end.

    Returns
    -------
    dict
        "summary": see `Run.summary`. "history": for each column of the history the values over the evaluated steps,
        None where undefined. "neuron_ipr": N numbers.
    """
    return {"summary": run.summary(),
            "history": {column: [row[column] for row in run.history.rows] for column in COLUMNS},
            "neuron_ipr": neuron_ipr(*run.network().neurons()).tolist()}
