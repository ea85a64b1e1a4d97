"""The reproduction report: every result that was really obtained, beside what the paper found.

    python -m experiments.report

gathers the results of experiments from their folders, keeps a copy of each with its figures in docs/reproduction/, and
writes docs/reproduction.md from those copies: for every claim what the paper found, what was measured, and the verdict.
An experiment that has no new result stays in the report with the one it has.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from options import tolerant_output
from storage import write_atomically, write_json

ORDER = ("phases", "two_stages", "pruning", "dropout", "batchnorm", "minibatch", "analytic", "transformer", "deep_mlp",
         "variants", "prune_width", "corrupted_mnist", "phase_diagram", "three_ingredients", "circuit_efficiency",
         "ungrokking", "semi_grokking", "real_data", "norm_is_not_the_cause", "progress_measures",
         "dropout_removes_the_delay", "lstm", "deep_grokking", "linear_estimator", "robustness", "commutativity")
"""The experiments as they follow each other in the papers; others come after them."""

DOCS = Path(__file__).resolve().parents[1] / "docs"
"""Of a checkout; a program that was installed has none."""

NEEDED = ("experiment", "command", "commit", "quick", "seeds", "device", "seconds", "checks", "figures")


class ResultError(ValueError):
    """A result cannot be read, or lacks what the report needs."""


def read_result(path: Path) -> dict[str, Any]:
    """Read what an experiment has left.

    Raises
    ------
    ResultError
    """
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: cannot be read ({error})") from None
    if not isinstance(result, dict):
        raise ResultError(f"{path}: is no result of an experiment")
    if missing := [name for name in NEEDED if name not in result]:
        raise ResultError(f"{path}: lacks {', '.join(missing)}")
    return result


def collect(folders: Sequence[Path], kept: Path) -> list[str]:
    """Copy results and their figures to where the report has them.

    Parameters
    ----------
    folders : sequence of path
        Each of one experiment.
    kept : path

    Returns
    -------
    list of str
        The names of the experiments.

    Raises
    ------
    ResultError
        If a result or a figure of it is missing or damaged; nothing is copied then.
    """
    results = {folder: read_result(folder / "result.json") for folder in folders}
    for folder, result in results.items():
        if missing := [figure for figure in result["figures"] if not (folder / figure).is_file()]:
            raise ResultError(f"{folder}: lacks {', '.join(missing)}, which its result.json names")
    for folder, result in results.items():
        place = kept / result["experiment"]
        place.mkdir(parents=True, exist_ok=True)
        for figure in result["figures"]:
            shutil.copyfile(folder / figure, place / figure)
        write_json(place / "result.json", result)
    return [result["experiment"] for result in results.values()]


def report(results: Sequence[Mapping[str, Any]], figures: str) -> str:
    """The report as Markdown.

    Parameters
    ----------
    results : sequence of mapping
        What `read_result` gives.
    figures : str
        The folder of the figures, from where the report lies.
    """
    results = sorted(results, key=lambda result: (_place(result["experiment"]), result["experiment"]))
    checks = [check for result in results for check in result["checks"]]
    failing = [(result["experiment"], check) for result in results for check in result["checks"] if not check["holds"]]
    lines = [
        "# Reproduction", "",
        "What was found when the experiments of this project were run, beside what the papers say. Every line comes",
        "from a `result.json`, kept in [reproduction/](reproduction), which the command above it wrote;",
        "`python -m experiments.report` makes this page from them. Ranges are from the smallest to the largest value",
        "over the seeds. Sizes: *full* is the size that the experiment's module describes, *quick* a smaller one.", "",
        f"{sum(check['holds'] for check in checks)} of {len(checks)} claims hold.", "",
        _table(("experiment", "claims that hold", "size", "seeds"),
               [(f"[{result['experiment']}](#{result['experiment']})",
                 f"{sum(check['holds'] for check in result['checks'])} of {len(result['checks'])}",
                 "quick" if result["quick"] else "full", str(len(result["seeds"]))) for result in results])]
    if failing:
        lines += ["", "## What does not hold", "",
                  _table(("experiment", "claim", "paper", "measured"),
                         [(name, check["claim"], check["paper"], check["measured"]) for name, check in failing])]
    for result in results:
        lines += ["", *_section(result, figures)]
    return "\n".join(lines) + "\n"


def _section(result, figures):
    name = result["experiment"]
    first, last = result["seeds"][0], result["seeds"][-1]
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    yield f"## {name}"
    yield ""
    yield " ".join(_first_paragraph(name).split())
    yield ""
    yield (f"`{result['command']}`, {'quick' if result['quick'] else 'full'} size, {seeds}, "
           f"commit {result['commit'] or 'unknown'}, {result['device']}")
    yield ""
    yield _table(("claim", "paper", "measured", "verdict"),
                 [(check["claim"], check["paper"], check["measured"],
                   "holds" if check["holds"] else "**does not hold**") for check in result["checks"]])
    for figure in result["figures"]:
        yield ""
        yield f"![{name}]({figures}/{name}/{figure})"


def _place(name):
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _first_paragraph(name):
    return importlib.import_module(f"experiments.{name}").__doc__.strip().partition("\n\n")[0]


def _table(titles, rows):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(titles), line(["---"] * len(titles)), *map(line, rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    tolerant_output()
    parser = argparse.ArgumentParser(prog="python -m experiments.report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*",
                        help="folders of results (default: all in runs/experiments)")
    parser.add_argument("--docs", type=Path, help="where the report goes (default: the project's docs/)")
    options = parser.parse_args(arguments)
    if options.docs is None and not (DOCS / "reproduction").is_dir():
        print(f"{parser.prog}: error: {DOCS} is not the docs/ of a checkout; say with --docs where the report goes",
              file=sys.stderr)
        return 2
    docs = options.docs or DOCS
    folders = options.folders or sorted(path.parent for path in Path("runs/experiments").glob("*/result.json"))
    kept = docs / "reproduction"
    try:
        new = collect(folders, kept)
        results = [read_result(path) for path in sorted(kept.glob("*/result.json"))]
        write_atomically(docs / "reproduction.md", report(results, kept.name))
    except (ResultError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    print(f"{docs / 'reproduction.md'}: {len(results)} experiments" + (f", new: {', '.join(new)}" if new else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
