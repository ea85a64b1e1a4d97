"""Measure, write JSON, print tables."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from backend import BackendError, available_cores
from benchmarks.chart import draw
from benchmarks.measure import DifferentLoss
from benchmarks.report import report
from benchmarks.sections import SECTIONS
from storage import write_json

LIBRARIES = ("numpy", "scipy", "numba", "torch", "jax", "cupy-cuda13x", "cupy-cuda12x")

DESCRIPTION = """\
Time training steps of this program beside PyTorch, JAX, plain NumPy and the matrix products of a step
alone: in one run, in turn, as medians. Every contender starts from the same weights and must come to
the same loss. What is not installed is left out (pip install -e '.[bench]').
"""


def versions() -> dict[str, str | None]:
    """Of Python and of each library; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = None
    return found


def processor() -> str:
    """The processor's name, for people to read."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, nargs="+", metavar="SECTION",
                        default=[name for name in SECTIONS if name != "gpu"],
                        help=f"of {', '.join(SECTIONS)} (default: all but gpu, which needs one)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender (default %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps in a turn (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks.json"),
                        help="the JSON file to write (default %(default)s)")
    parser.add_argument("--show", type=Path, metavar="FILE",
                        help="print the tables of a JSON file, and measure nothing")
    parser.add_argument("--chart", type=Path, metavar="PNG", help="draw the two comparisons of steps as well")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.steps) < 1:
        parser.error("--rounds and --steps must be at least 1")

    if options.show is not None:
        results = json.loads(options.show.read_text())
    else:
        results = {"versions": versions(), "processor": processor(), "cores": available_cores(), "sections": {}}
        for name in options.only:
            print(f"{name} ...", file=sys.stderr)
            try:
                results["sections"][name] = SECTIONS[name](options.rounds, options.steps)
            except BackendError as error:
                print(f"python -m benchmarks: error: {error}", file=sys.stderr)
                return 2
            except DifferentLoss as error:
                print(f"python -m benchmarks: error: no comparison of {name}: {error}", file=sys.stderr)
                return 1
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, results)
    print(report(results))
    if options.chart is not None:
        draw(results, options.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())
