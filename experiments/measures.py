"""What experiments keep of a run: functions for a sweep to measure with, whose results are plain values."""

from __future__ import annotations

from typing import Any

from analysis.ipr import neuron_ipr
from analysis.mirrors import accuracy_by_mirror
from analysis.progress import progress_measures
from training import COLUMNS, Run
from training.setup import rule_neurons


def observe(run: Run) -> dict[str, Any]:
    """The summary of a run, its curves, and the IPR of each neuron at the end.

    Returns
    -------
    dict
        "summary": see `Run.summary`. "history": for each column of the history the values over the evaluated steps,
        None where undefined. "neuron_ipr": N numbers.
    """
    return {"summary": run.summary(),
            "history": run.history.columns(*COLUMNS),
            "neuron_ipr": neuron_ipr(*rule_neurons(run.network(), run.config)).tolist()}


def observe_mirrors(run: Run) -> dict[str, Any]:
    """The summary of a run, its curves, and its final test accuracy with and without trained mirror images.

    Returns
    -------
    dict
        "summary", "history" as in `observe`; "mirrored_accuracy", "unmirrored_accuracy": see
        `analysis.mirrors.accuracy_by_mirror`.
    """
    mirrored, unmirrored = accuracy_by_mirror(run.network(), run.problem())
    return {"summary": run.summary(),
            "history": run.history.columns(*COLUMNS),
            "mirrored_accuracy": mirrored, "unmirrored_accuracy": unmirrored}


def observe_progress(run: Run) -> dict[str, Any]:
    """The summary of a run, its curves, and the progress measures on its training set at each of its snapshots.

    Returns
    -------
    dict
        "summary", "history" as in `observe`. "progress": for each measure its values over the snapshots (see
        `analysis.progress.progress_measures`), beside the "step" and the columns of the history at these steps.
    """
    network, inputs = run.network(), run.problem().train.inputs
    rows, progress = {row["step"]: row for row in run.history.rows}, []
    for step in sorted(run.snapshots):
        network.load_state(run.snapshots[step])
        progress.append({**{column: rows[step][column] for column in COLUMNS},
                         **progress_measures(network, inputs, run.config.seed)})
    return {"summary": run.summary(),
            "history": run.history.columns(*COLUMNS),
            "progress": {name: [values[name] for values in progress] for name in progress[0]}}
