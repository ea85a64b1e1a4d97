"""The command: `python -m experiments.explore RUN`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from experiments.explore.page import FILE, write_explorer
from options import tolerant_output
from pages import PageError
from training import CheckpointError, load_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    status : int
        0 if the page is written, 1 if the file cannot be, 2 if the run or an option is not in order.
    """
    tolerant_output()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.explore", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write a run as one page for a browser: a slider over the steps, neurons by IPR, pruning,\n"
                    "and the table of all answers. The file needs nothing beside it, and no network.",
        epilog="examples:\n"
               "  python grok.py --weight-decay 0 --steps 1000 --snapshots 12 --out runs/a\n"
               "  python -m experiments.explore runs/a\n\n"
               "Without snapshots there are the weights of the first and of the last step alone.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the page (default {FILE} in the run's folder)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    options = parser.parse_args(arguments)
    path = options.out or options.run / FILE
    try:
        run = load_run(options.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_explorer(run, path, lambda steps: tqdm(steps, "weights", disable=options.quiet or None, leave=False))
    except (CheckpointError, PageError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{parser.prog}: error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    if not options.quiet:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
