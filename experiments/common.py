"""What all experiments share: their options, their checks, and the result that they leave.

An experiment writes into its folder a figure and `result.json`:

    experiment, version, quick, seeds, backend, device, seconds
    settings     what was trained, by name
    measured     for each setting and quantity: mean, std (over seeds, of the sample), min, max, values
    checks       claim, what the paper found, what was measured, and whether it holds

A check that does not hold is reported so. It does not make the command fail: it is a finding.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend import BACKENDS, BackendError, open_device
from grok import __version__
from storage import write_json


@dataclass(frozen=True)
class Check:
    """A claim held against a measurement.

    Attributes
    ----------
    claim : str
    paper : str
        What the paper, or its reference code, found.
    measured : str
    holds : bool
    """

    claim: str
    paper: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Options:
    """The options of an experiment.

    Attributes
    ----------
    quick : bool
        A smaller size that still shows the effect, within about two minutes on two cores.
    seeds : tuple of int
    backend : str
    out : Path
    """

    quick: bool
    seeds: tuple[int, ...]
    backend: str
    out: Path


@dataclass(frozen=True)
class Outcome:
    """What an experiment hands back.

    Attributes
    ----------
    settings : dict
        What was trained, by name.
    measured : dict of str to dict of str to dict
        For each setting and quantity a `spread`.
    checks : list of Check
    figures : list of Path
    """

    settings: dict[str, Any]
    measured: dict[str, dict[str, Any]]
    checks: list[Check]
    figures: list[Path]


def spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean, standard deviation (of the sample; None for one value), min, max and all values; None if undefined."""
    if None in values:
        return None
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else None,
            "min": min(values), "max": max(values), "values": list(values)}


def show(values: dict[str, Any] | None, digits: int = 3) -> str:
    """A spread in a few characters: the mean, and the range if there are several values."""
    if values is None:
        return "-"
    mean = f"{values['mean']:.{digits}f}"
    if len(values["values"]) == 1:
        return mean
    return f"{mean} ({values['min']:.{digits}f} to {values['max']:.{digits}f})"


def run_experiment(name: str, description: str, experiment: Callable[[Options], Outcome], seeds: int, quick_seeds: int,
                   arguments: Sequence[str] | None = None) -> int:
    """Read the options, run an experiment, write its result and print its checks.

    Parameters
    ----------
    name : str
        The module's name, which also names the folder.
    description : str
        What it shows.
    experiment : callable (Options) -> Outcome
    seeds, quick_seeds : int
        How many seeds there are by default, in full and quick size.
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    int
        The exit code.
    """
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller size, about two minutes on two cores")
    parser.add_argument("--seeds", type=int, metavar="K",
                        help=f"seeds 0 ... K - 1 (default {seeds}, with --quick {quick_seeds})")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="numpy: CPU, cupy: NVIDIA GPU")
    parser.add_argument("--out", type=Path, default=Path("runs") / "experiments" / name,
                        help="folder of the result (default %(default)s); an older result in it is replaced")
    options = parser.parse_args(arguments)
    count = options.seeds if options.seeds is not None else (quick_seeds if options.quick else seeds)
    if count < 1:
        parser.error(f"--seeds must be at least 1, got {count}")
    try:
        device = open_device(options.backend)
        options.out.mkdir(parents=True, exist_ok=True)
    except (BackendError, OSError) as error:
        parser.error(str(error))

    start = time.perf_counter()
    outcome = experiment(Options(options.quick, tuple(range(count)), options.backend, options.out))
    seconds = time.perf_counter() - start
    write_json(options.out / "result.json", {
        "experiment": name, "version": __version__, "quick": options.quick, "seeds": list(range(count)),
        "backend": options.backend, "device": device.description, "seconds": round(seconds, 1),
        "settings": outcome.settings, "measured": outcome.measured,
        "checks": [asdict(check) for check in outcome.checks],
        "figures": [path.name for path in outcome.figures]})
    print(checks_table(outcome.checks))
    holding = sum(check.holds for check in outcome.checks)
    print(f"\n{holding} of {len(outcome.checks)} checks hold, {count} seed{'s' if count > 1 else ''}, {seconds:.0f} s")
    print(f"{options.out}/")
    return 0


def checks_table(checks: Sequence[Check]) -> str:
    """The checks as a table for a terminal."""
    rows = [("claim", "paper", "measured", ""),
            *((check.claim, check.paper, check.measured, "holds" if check.holds else "DOES NOT HOLD")
              for check in checks)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]])
                     .rstrip() for row in rows)
