"""What all experiments share: their options, their checks, and the result that they leave.

An experiment writes into its folder a figure and `result.json`:

    experiment, command, version, sources, commit, quick, seeds, backend, device, seconds
    settings     what was trained, by name
    measured     for each setting and quantity: mean, std (over seeds, of the sample), min, max, values
    checks       claim, what the paper found, what was measured, and whether it holds

A check that does not hold is reported so. It does not make the command fail: it is a finding.

Networks are trained by a sweep (`experiments.sweep`): what is finished is stored, and an experiment that is run again,
after an interruption or a change of its figure, trains only what is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from experiments.bars import bar
from experiments.cells import ROOT, Measure, program_version, run_folder
from experiments.executors import SchedulerError, add_options, chosen, prepare, worker_died
from experiments.sweep import sweep, train_and_keep
from grok import __version__
from options import tolerant_output
from storage import write_json
from training import ConfigError, DivergenceError, TrainingConfig
from training.tasks import has_meaning


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
    cells : Path
        Where the sweep stores what is finished.
    workers : int
        Processes that train; with one it is this process.
    scheduler : str, optional
        The address of a Dask scheduler, whose workers train instead.
    given : mapping of str to value
        All options of the command by name, an experiment's own among them.
    """

    quick: bool
    seeds: tuple[int, ...]
    backend: str
    out: Path
    cells: Path = Path("runs") / "cells"
    workers: int = 1
    scheduler: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told_seeds(self) -> str:
        """How many seeds there are, as titles say it."""
        return plural(len(self.seeds), "seed")


class CellsFailed(RuntimeError):
    """Networks of an experiment could not be trained or measured."""


def train_all(configs: Sequence[TrainingConfig], measure: Measure, options: Options) -> list[dict[str, Any]]:
    """Train and measure networks where the options say.

    Parameters
    ----------
    configs : sequence of TrainingConfig
        Their backend is the options'.
    measure : callable (Run) -> dict
        What to keep of a run, as plain values; see `experiments.cells.cell_path`.
    options : Options

    Returns
    -------
    list of dict
        What was measured, in the order of the settings.

    Raises
    ------
    CellsFailed
        If any failed; the others are stored all the same.
    """
    executors, threads = chosen(options.workers, options.scheduler)
    configs = [dataclasses.replace(config, backend=options.backend, threads=threads) for config in configs]
    cells = sweep(configs, measure, options.cells, executors, progress=True)
    if failed := [cell for cell in cells if cell.error is not None]:
        raise CellsFailed(f"{len(failed)} of {len(cells)} networks failed; the first: {failed[0].error}")
    return [cell.measured for cell in cells]


def train_settings(settings: Mapping[str, TrainingConfig], measure: Measure,
                   options: Options) -> dict[str, list[dict[str, Any]]]:
    """Train each setting at each seed.

    Parameters
    ----------
    settings : mapping of str to TrainingConfig
        By name; the seed is replaced.
    measure, options
        As for `train_all`.

    Returns
    -------
    dict of str to list of dict
        For each name what was measured at each seed.
    """
    measured = iter(train_all([dataclasses.replace(config, seed=seed)
                               for config in settings.values() for seed in options.seeds], measure, options))
    return {name: [next(measured) for _ in options.seeds] for name in settings}


def train_whole(configs: Sequence[TrainingConfig], options: Options) -> list[Path]:
    """Train networks of which everything is kept, for others to continue from.

    What is finished is stored, as of a sweep, beside its cells. Workers must see the folder of the cells.

    Parameters
    ----------
    configs : sequence of TrainingConfig
        Their backend is the options'.
    options : Options

    Returns
    -------
    list of Path
        The folder of each run.

    Raises
    ------
    CellsFailed
        If one diverges, or its worker dies.
    """
    executors, threads = chosen(options.workers, options.scheduler)
    configs = [dataclasses.replace(config, backend=options.backend, threads=threads).resolved() for config in configs]
    folders = [run_folder(options.cells, config).resolve() for config in configs]
    missing = {folder: config for folder, config in zip(folders, configs, strict=True) if not folder.exists()}
    try:
        with executors() as executor:
            finished = (map if executor is None else executor.map)(
                train_and_keep, missing.values(), missing, [executor is None] * len(missing))
            with bar(finished, "first networks", len(missing)) as shown:
                for _ in shown:
                    pass
    except Exception as error:
        if not (isinstance(error, DivergenceError) or worker_died(error)):
            raise
        raise CellsFailed(f"a network to continue from failed: {error}") from None
    return folders


def described(settings: Mapping[str, TrainingConfig]) -> dict[str, dict[str, Any]]:
    """Settings as `result.json` holds them: every default filled in; without those that differ from run to run, or from
    machine to machine, or mean nothing with the task.
    """
    return {name: {key: value for key, value in config.resolved().to_dict().items()
                   if key not in ("seed", "backend", "threads", "data_folder")
                   and has_meaning(key, config.task)}
            for name, config in settings.items()}


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


def spread_of_known(values: Iterable[float | None]) -> dict[str, Any] | None:
    """The `spread` of those values that are there; None if none is."""
    known = [value for value in values if value is not None]
    return spread(known) if known else None


def spreads(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """The `spread` of each of the named quantities over results, one for each seed."""
    return {name: spread([result[name] for result in results]) for name in names}


def show(values: dict[str, Any] | None, digits: int = 3) -> str:
    """A spread in a few characters: the mean, and the range if there are several values."""
    if values is None:
        return "-"
    mean = f"{values['mean']:.{digits}f}"
    if len(values["values"]) == 1:
        return mean
    return f"{mean} ({values['min']:.{digits}f} to {values['max']:.{digits}f})"


def plural(count: int, noun: str) -> str:
    """A count and what is counted: "1 seed", "2 seeds"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def run_experiment(name: str, description: str, experiment: Callable[[Options], Outcome], seeds: int, quick_seeds: int,
                   arguments: Sequence[str] | None = None,
                   add_own_options: Callable[[argparse.ArgumentParser], None] | None = None) -> int:
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
    add_own_options : callable (ArgumentParser), optional
        Adds the options that this experiment alone has; it finds them in `Options.given`.

    Returns
    -------
    int
        The exit code: 0 done; 1 networks or files have failed; 2 an option or a setting is not in order; 130 stopped.
    """
    tolerant_output()
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller size, about two minutes on two cores")
    parser.add_argument("--seeds", type=int, metavar="K",
                        help=f"seeds 0 ... K - 1 (default {seeds}, with --quick {quick_seeds})")
    add_options(parser, Path("runs") / "experiments" / name)
    if add_own_options is not None:
        add_own_options(parser)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(arguments)
    count = options.seeds if options.seeds is not None else (quick_seeds if options.quick else seeds)
    if count < 1:
        parser.error(f"--seeds must be at least 1, got {count}")
    device = prepare(parser, options)

    start = time.perf_counter()
    try:
        outcome = experiment(Options(options.quick, tuple(range(count)), options.backend, options.out, options.cells,
                                     options.workers, options.scheduler, vars(options)))
    except (CellsFailed, ConfigError, SchedulerError, ImportError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print(f"\nstopped; what is finished is stored in {options.cells}/, and the same command goes on from there",
              file=sys.stderr)
        return 130
    seconds = time.perf_counter() - start
    write_json(options.out / "result.json", {
        "experiment": name, "command": " ".join([parser.prog, *_what(arguments)]), "version": __version__,
        "sources": program_version(), "commit": commit(), "quick": options.quick, "seeds": list(range(count)),
        "backend": options.backend, "device": device.description, "seconds": round(seconds, 1),
        "settings": outcome.settings, "measured": outcome.measured,
        "checks": [asdict(check) for check in outcome.checks],
        "figures": [path.name for path in outcome.figures]})
    print(checks_table(outcome.checks))
    holding = sum(check.holds for check in outcome.checks)
    print(f"\n{holding} of {len(outcome.checks)} checks hold, {plural(count, 'seed')}, {seconds:.0f} s")
    print(f"{options.out}/")
    return 0


def _what(arguments: Sequence[str]) -> list[str]:
    """The arguments but for those that say where something is stored or done, on which no result depends."""
    where = argparse.ArgumentParser(add_help=False)
    for option in ("--out", "--cells", "--workers", "--scheduler"):
        where.add_argument(option)
    return where.parse_known_args(arguments)[1]


def commit() -> str | None:
    """The commit that the program is at, "-dirty" if its files have been changed since; None where that is unknown."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return None
    told = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    return told.stdout.strip() or None


def checks_table(checks: Sequence[Check]) -> str:
    """The checks as a table for a terminal."""
    rows = [("claim", "paper", "measured", ""),
            *((check.claim, check.paper, check.measured, "holds" if check.holds else "DOES NOT HOLD")
              for check in checks)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]])
                     .rstrip() for row in rows)
