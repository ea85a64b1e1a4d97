"""The gradient check: `python -m layers.gradcheck`.

Every layer, loss and network of `layers.cases` is compared with difference quotients (`layers.finite_differences`,
where the mathematics is), without a stack, with a stack of runs, and with one of as many runs as there are examples.

For a layer of your own:

    from layers.gradcheck import check_layer, table
    print(table(check_layer(MyLayer(4), x)))
"""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from backend import BACKENDS, BackendError, open_device
from layers.cases import CASES, STACKS, Case, check
from layers.checking import check_layer, check_loss, check_network
from layers.finite_differences import TOLERANCE, Row
from layers.mistakes import MISTAKES

__all__ = ["CASES", "Case", "Row", "check", "check_layer", "check_loss", "check_network", "main", "side_by_side",
           "table", "whole_number"]

SHOWN = 6


def table(rows: Iterable[Row]) -> str:
    """A table of the checked tensors, one a line, with a column of relative errors for each stack.

    Parameters
    ----------
    rows : iterable of Row
        Of one check or several.

    Returns
    -------
    text : str
    """
    rows = list(rows)
    stacks = list(dict.fromkeys(row.stack for row in rows))
    by_tensor: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_tensor.setdefault((row.layer, row.tensor), []).append(row)
    cells = [("layer", "tensor", *(f"error, {_runs(stack)}" for stack in stacks), "at kinks", "verdict")]
    for (layer, tensor), same in by_tensor.items():
        errors = {row.stack: f"{row.error:.1e}" for row in same}
        cells.append((layer, tensor, *(errors.get(stack, "-") for stack in stacks),
                      str(sum(row.left_out for row in same)), _verdict(same)))
    aligned = ["<", "<", *">" * len(stacks), ">", "<"]
    if not any(row.layer for row in rows):  # of a layer of one's own, which has no name
        cells, aligned = [line[1:] for line in cells], aligned[1:]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, aligned, widths, strict=True))
                     .rstrip() for line in cells)


def side_by_side(row: Row, entries: int = SHOWN) -> str:
    """The numeric and the analytic derivatives of a tensor side by side, at the entries that differ most.

    Parameters
    ----------
    row : Row
    entries : int
        How many to show.

    Returns
    -------
    text : str
    """
    name = f"{row.layer} {row.tensor}".strip()
    title = f"{name}, {_runs(row.stack)}: relative error {row.error:.1e}"
    if row.numeric.shape != row.analytic.shape:
        return f"{title}\n  numeric has the shape {row.numeric.shape}, analytic {row.analytic.shape}"
    difference = row.numeric - row.analytic
    order = np.argsort(-abs(np.where(row.kinks, 0, difference)), axis=None, kind="stable")[:entries]
    lines = [title, f"  {'entry':<16}{'numeric':>20}{'analytic':>20}{'difference':>14}"]
    for index in zip(*np.unravel_index(order, difference.shape), strict=True):
        entry = "[" + ", ".join(map(str, index)) + "]"
        lines.append(f"  {entry:<16}{row.numeric[index]:>20.12f}{row.analytic[index]:>20.12f}"
                     f"{difference[index]:>14.1e}{'  left out, at a kink' if row.kinks[index] else ''}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    status : int
        0 if all derivatives agree, 1 if any does not, 2 if the backend cannot be used or the page not be written.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        device = open_device(options.backend, "float64")
        write_page = None if options.html is None else _page_writer()  # before any work
    except (BackendError, ImportError) as error:
        print(f"gradcheck: {error}", file=sys.stderr)
        return 2
    mistake = MISTAKES.get(options.plant)
    cases = [CASES[mistake.case]] if mistake else _cases(options.layer or options.show or "", parser)
    stacks = STACKS if options.stack is None and not options.show else (options.stack or None,)
    if mistake:
        _explain(mistake)
    rows = [row for case in cases for stack in stacks
            for row in check(case, options.seed, stack, device, mistake.kind if mistake else None)]
    wrong = [row for row in rows if not row.passed]
    # A broken rule needs no numbers, and those of one stack are enough to look at.
    for row in rows if options.show else [row for row in wrong if not row.fault and row.stack == wrong[0].stack]:
        print(side_by_side(row), end="\n\n")
    print(table(rows), end="\n\n")
    print(_summary(rows))
    if write_page is not None:
        try:
            print(write_page(rows, options.html, _summary(rows)))
        except OSError as error:
            print(f"gradcheck: {error.filename}: {error.strerror}", file=sys.stderr)
            return 2
    return 1 if wrong else 0


def _page_writer():
    """What writes the page of a check; it is imported when one is asked for, since it needs an extra."""
    from pages import load_bokeh
    from pages.gradcheck import write_gradcheck

    load_bokeh()
    return write_gradcheck


def _runs(stack: int | None) -> str:
    return "one run" if stack is None else f"R = {stack}"


def _verdict(same: Sequence[Row]) -> str:
    faults = [row.fault for row in same if row.fault]
    if faults:
        return f"WRONG: {faults[0]}"
    if not all(row.passed for row in same):
        return "WRONG"
    return "ok, but all zero" if any(row.zero for row in same) else "ok"


def _summary(rows: Sequence[Row]) -> str:
    worst = max(rows, key=lambda row: np.nan_to_num(row.error, nan=np.inf))
    wrong = sum(not row.passed for row in rows)
    left_out = sum(row.left_out for row in rows)
    compared = sum(row.kinks.size for row in rows) - left_out
    verdict = f"{wrong} of {len(rows)} tensors WRONG" if wrong else f"all {len(rows)} tensors agree"
    return (f"{verdict} (tolerance {TOLERANCE:.0e}): {compared} derivatives compared, {left_out} left out at kinks, "
            f"worst relative error {worst.error:.1e} ({worst.layer} {worst.tensor}, {_runs(worst.stack)})")


def _explain(mistake) -> None:
    print(f"Planted in {mistake.case}: {mistake.explanation}\n")
    names = [name for name, value in vars(mistake.kind).items() if inspect.isfunction(value)]
    for title, kind in (("Right", mistake.kind.__base__), ("Planted", mistake.kind)):
        print(f"{title}:\n")
        for method in (getattr(kind, name) for name in names if hasattr(kind, name)):
            print(textwrap.indent(textwrap.dedent(inspect.getsource(method)), "    "))


def _cases(name: str, parser: argparse.ArgumentParser) -> list[Case]:
    """The cases of this name, or those whose names begin with it."""
    found = [case for case in CASES.values() if case.name.lower().startswith(name.lower())]
    if not found:
        parser.error(f"no layer is called, or begins with, {name!r}; there are: {', '.join(CASES)}")
    return found


def whole_number(text: str) -> int:
    """What an option that counts takes.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is no whole number.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    def paragraph(name, text):
        return f"  {name}\n" + textwrap.indent(textwrap.fill(text, 100), " " * 6)

    parser = argparse.ArgumentParser(
        prog="python -m layers.gradcheck", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=textwrap.dedent(f"""\
            Compare every hand-written derivative with a difference quotient, in float64.

            For every entry v of every parameter and of the input, (L(v + h) - L(v - h)) / 2h is set against what the
            backward pass says. A tensor passes if ||numeric - analytic|| / max(||numeric||, ||analytic||) is at most
            {TOLERANCE:.0e}. Entries whose quotient straddles a kink (ReLU) are left out and counted."""),
        epilog="\n".join((
            "examples:",
            "  python -m layers.gradcheck                           everything, without a stack and with two",
            "  python -m layers.gradcheck --layer BatchNorm         in training and in evaluation",
            "  python -m layers.gradcheck --show Linear/bias        numeric beside analytic derivatives",
            "  python -m layers.gradcheck --plant relu-mask-forgotten",
            "                                                       see a wrong backward pass caught",
            "  python -m layers.gradcheck --html gradcheck.html     and look at it",
            "",
            "layers:", textwrap.fill(", ".join(CASES), 100, initial_indent="  ", subsequent_indent="  "),
            "",
            "mistakes to plant:", *(paragraph(name, mistake.explanation) for name, mistake in MISTAKES.items()),
            "",
            "The exit status is 0 if all derivatives agree, 1 if any does not, 2 if the options make no sense.")))
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--layer", metavar="NAME", help="check only this layer, or all whose names begin so")
    what.add_argument("--show", metavar="NAME",
                      help="check it, and print the derivatives that differ most side by side (one run by default)")
    what.add_argument("--plant", metavar="NAME", choices=MISTAKES,
                      help="check a layer with a mistake in it; the mistakes are listed below")
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N",
                        help="of parameters, inputs, masks and upstream gradients (default: %(default)s)")
    parser.add_argument("--stack", type=whole_number, metavar="R",
                        help="a stack of R runs, 0 for none (default: none, "
                             + " and ".join(str(stack) for stack in STACKS if stack) + ")")
    parser.add_argument("--html", type=Path, metavar="FILE",
                        help="draw the check as well, a page with a point for every derivative (needs the extra "
                             "`explore`)")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
