"""The command of a sweep: settings as words on the command line, a table as the result.

It writes into its folder

    results.csv    a row a network: the settings that were given, what a run's summary says, and what failed
    sweep.json     the command, the version of the program, the settings that all networks share
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import itertools
import math
import sys
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from experiments.cells import UNIMPORTANT, program_version
from experiments.common import commit, plural
from experiments.executors import SchedulerError, add_options, chosen, prepare
from experiments.sweep import Cell, summary, sweep
from grok import __version__
from options import tolerant_output
from storage import write_atomically, write_json
from training import ConfigError, TrainingConfig

DESCRIPTION = """\
Train a network at every point of a grid, and write a table with a row a network.

The grid is given as settings, each with its values: numbers or words with commas between them, or a range
first:last:step, both ends included. What is not given has the default of python grok.py; lr is learning_rate,
none the default of a setting.

Every network is stored as soon as it is finished. Whatever stops the command, the same command goes on from there; a
network that another sweep has trained with the same settings is not trained again.
"""

EPILOG = """\
examples:
  python -m experiments.sweep xi=0,0.2,0.35                          three networks
  python -m experiments.sweep weight_decay=0,5,15 xi=0:0.9:0.1       30: every decay with every xi
  python -m experiments.sweep weight_decay=5 seed=0:4:1 --workers 2  five seeds, two at a time
  python -m experiments.sweep p=31 width=128 alpha=0.2:0.8:0.2 steps=1000
  python -m experiments.sweep model=relu-mlp activation=relu,gelu lr=0.001,0.01 weight_decay=0
  python -m experiments.sweep batch_norm=true,false batch_size=64 alpha=0.65
  python -m experiments.sweep seed=0:99:1 --scheduler tcp://HOST:8786

a Dask cluster (pip install -e '.[cluster]'):
  dask scheduler                                                     says its address
  dask worker ADDRESS --nthreads 1 --nworkers 8                      on every machine that has this program

exit codes: 0 done; 1 a network failed, the table says why, or no table could be written; 2 an option or a setting is
not in order, and nothing has been done; 130 stopped by Ctrl-C.
"""

GIVEN_OTHERWISE = {"backend": "is given as --backend", "threads": "follows from --workers",
                   "checkpoint_every": "has no meaning here: a network is stored when it is finished"}
"""Settings that are no axes of a grid."""

MOST = 100_000
"""So many networks are surely not meant."""

SHOWN = 24
"""Up to so many rows are printed."""

ERRORS = 5
"""Up to so many failures."""

FIELDS = {field.name: field.type for field in dataclasses.fields(TrainingConfig)}
SHORT = {"lr": "learning_rate"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    int
        The exit code; `--help` lists them.
    """
    tolerant_output()
    parser = argparse.ArgumentParser(prog="python -m experiments.sweep", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("settings", nargs="+", metavar="SETTING=VALUES", help="an axis of the grid, or a single value")
    add_options(parser, Path("runs") / "sweep")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_intermixed_args(arguments)

    def say(kind, *lines):
        for line in lines:
            print(f"{parser.prog}: {kind}: {line}", file=sys.stderr)

    try:
        axes = read_axes(options.settings)
        executors, threads = chosen(options.workers, options.scheduler)
        configs = grid(axes, TrainingConfig(backend=options.backend, threads=threads))
    except GridError as error:
        say("error", *error.args)
        return 2
    prepare(parser, options)
    say("warning", *dict.fromkeys(caveat for config in configs if (caveat := config.caveat())))
    try:
        cells = sweep(configs, summary, options.cells, executors, progress=True)
        write_atomically(options.out / "results.csv", to_csv(cells, axes))
        write_json(options.out / "sweep.json", {
            "command": " ".join([parser.prog, *arguments]), "version": __version__, "sources": program_version(),
            "commit": commit(), "settings": shared(configs)})
    except (SchedulerError, OSError) as error:
        say("error", error)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; what is finished is stored in {options.cells}/, and the same command goes on from there",
              file=sys.stderr)
        return 130
    failed = [f"{point(cell.config, axes) or 'the network'}: {cell.error}" for cell in cells if cell.error is not None]
    say("failed", *failed[:ERRORS])
    print(report(cells, axes))
    print(options.out / "results.csv")
    return 1 if failed else 0


class GridError(Exception):
    """Settings that cannot be swept; each of `args` is a line that says why."""


def read_axes(words: Sequence[str]) -> dict[str, list[Any]]:
    """Each setting with its values, of words SETTING=VALUES.

    Raises
    ------
    GridError
        If there is no such setting, values are not of its kind, or a setting comes twice.
    """
    axes, problems = {}, []
    for word in words:
        try:
            name, values = read_axis(word)
            if name in axes:
                raise GridError(f"{name} is given twice")
            axes[name] = values
        except GridError as error:
            problems += error.args
    if problems:
        raise GridError(*problems)
    return axes


def read_axis(word: str) -> tuple[str, list[Any]]:
    """A setting's name and its values; as `read_axes`."""
    name, equals, values = word.partition("=")
    name = name.replace("-", "_")
    name = SHORT.get(name, name)
    if not equals:
        raise GridError(f"{word} is not SETTING=VALUES")
    if name not in FIELDS:
        settings = ", ".join(field for field in FIELDS if field not in GIVEN_OTHERWISE)
        raise GridError(f"{name} is not a setting; there are {settings}")
    if name in GIVEN_OTHERWISE:
        raise GridError(f"{name} {GIVEN_OTHERWISE[name]}")
    return name, list(dict.fromkeys(value for part in values.split(",") for value in read_values(name, part)))


def read_values(name: str, text: str) -> list[Any]:
    """The values of a setting in what stands between two commas: a single one, or a range."""
    kind, *optional = FIELDS[name].split(" | ")
    if text == "none" and optional:
        return [None]
    if kind == "str" and text:
        return [text]
    if kind == "bool" and text in ("true", "false"):
        return [text == "true"]
    try:
        if kind in ("int", "float"):
            number = int if kind == "int" else float
            return [number(str(value)) for value in read_range(name, text)] if ":" in text else [number(text)]
    except (ValueError, ArithmeticError):
        pass
    what = {"str": "a word", "bool": "true or false", "int": "a whole number", "float": "a number"}[kind]
    ranges = ", or a range first:last:step that ends at last" if kind in ("int", "float") else ""
    raise GridError(f"{name} must be {what}{ranges}, got {text!r}")


def read_range(name: str, text: str) -> list[Decimal]:
    """The numbers first, first + step, ..., last of a setting's range; in decimals, in which 3 x 0.1 is 0.3.

    Raises
    ------
    ValueError, ArithmeticError
        If it is no range, or does not end at its last number.
    """
    first, last, step = map(Decimal, text.split(":"))
    steps = (last - first) / step
    if steps < 0 or steps != int(steps):
        raise ValueError
    if steps >= MOST:
        raise GridError(f"{name}={text} has more than {MOST:,} values")
    return [first + number * step for number in range(int(steps) + 1)]


def grid(axes: dict[str, list[Any]], base: TrainingConfig) -> list[TrainingConfig]:
    """Settings at every point of a grid, every default filled in; the last axis varies fastest.

    Raises
    ------
    GridError
        If there are too many, or some are not allowed.
    """
    if (count := math.prod(map(len, axes.values()))) > MOST:
        raise GridError(f"this grid has {count:,} networks; there may be {MOST:,}")
    configs, problems = [], {}
    for values in itertools.product(*axes.values()):
        config = dataclasses.replace(base, **dict(zip(axes, values, strict=True)))
        try:
            configs.append(config.resolved())
            if config.continue_from is not None and not (Path(config.continue_from) / "checkpoint.npz").is_file():
                raise ConfigError("continue_from", f"must be the folder of a run, got {config.continue_from}")
        except ConfigError as error:
            where = point(config, axes)
            problems.setdefault(str(error), f"{error} (at {where})" if where else str(error))
    if problems:
        raise GridError(*problems.values())
    return configs


def point(config: TrainingConfig, axes: dict[str, list[Any]]) -> str:
    """Where in the grid a network is, in the words of the command."""
    return " ".join(f"{name}={_short(getattr(config, name))}" for name, values in axes.items() if len(values) > 1)


def shared(configs: Sequence[TrainingConfig]) -> dict[str, Any]:
    """The settings that all networks have in common, but for those that no result depends on."""
    first, *others = [config.to_dict() for config in configs]
    return {name: value for name, value in first.items()
            if name not in UNIMPORTANT and all(other[name] == value for other in others)}


def table(cells: Sequence[Cell], axes: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each network: the settings that were given, what was measured, and what failed."""
    return [{**{name: getattr(cell.config, name) for name in axes},
             **{name: value for name, value in (cell.measured or {}).items() if name not in axes},
             "error": cell.error} for cell in cells]


def to_csv(cells: Sequence[Cell], axes: Sequence[str]) -> str:
    """The table as CSV; what is undefined is empty."""
    rows = table(cells, axes)
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "error"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, "error"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def report(cells: Sequence[Cell], axes: Sequence[str]) -> str:
    """What came out, in a few lines: the table if it is short, and how many networks ended in which phase.

    Networks whose task has no phases are counted among all networks alone.
    """
    columns = [*axes, "phase", "train_accuracy", "test_accuracy", "grok_step", "unlearn_step"]
    rows = [columns, *([_short(row.get(column)) for column in columns] for row in table(cells, axes))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    ends = Counter(end for cell in cells if (end := _end(cell)) is not None)
    counts = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    return "\n".join([*(lines if len(cells) <= SHOWN else []),
                      plural(len(cells), "network") + (f": {counts}" if counts else "")])


def _end(cell):
    if cell.error is not None:
        return "failed"
    return "no test set" if cell.measured["test_accuracy"] is None else cell.measured["phase"]


def _short(value):
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
