"""Plays what a page shows: its blocks one after another, in a process and a folder of their own.

As a program it reads the pieces of a page (language, source, line) as JSON, plays them and writes what came of each
(status, output, error). All python pieces share one namespace, as in a notebook; after one of them that fails nothing
more is played, since the rest may depend on it.
"""

import difflib
import io
import json
import os
import re
import subprocess
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path

from tests.docs.pages import RUN

TIME = 300
"""Seconds that a page may take before it is given up."""


def code_faults(page, scratch):
    """What is wrong with what a page shows, as played in the folder `scratch`, where the tree is linked."""
    played = [(block, _pieces(block)) for block in page.blocks if block.language in RUN]
    pieces = [(block.language, source, line) for block, parts in played for source, line, _ in parts]
    faults, outcomes = list(page.faults), iter(_play(page.name, pieces, scratch))
    for block, parts in played:
        printed = ""
        for source, line, expected in parts:
            outcome = next(outcomes, None)
            if outcome is None:
                return faults
            status, output, error = outcome
            printed += output
            if status != expected:
                shown = source if block.language == "sh" else "the block"
                faults.append(f"{page.name}:{line}: {shown}\nexits with {status}, not with {expected}:\n"
                              f"{(error or output).strip()}")
        if block.shown and printed != block.shown.source:
            difference = "".join(difflib.ndiff(block.shown.source.splitlines(True), printed.splitlines(True)))
            faults.append(f"{page.name}:{block.shown.line}: the page shows (-) something else than is printed (+):\n"
                          f"{difference}")
    return faults


def _pieces(block):
    """What of a block is played at a time: source, line, and the status expected."""
    return [(block.source, block.line, 0)] if block.language == "python" else list(commands(block))


def commands(block):
    """The commands of a sh block, one a line unless a backslash joins two: source, line, and the status expected."""
    joined = ""
    for number, line in enumerate(block.source.splitlines()):
        joined += line
        if line.endswith("\\"):
            joined += "\n"
            continue
        command, joined = joined.strip(), ""
        if command and not command.startswith("#"):
            expected = re.search(r"#.*\bexits with (\d+)$", command)
            yield command, block.line + number - command.count("\n"), int(expected[1]) if expected else 0


def _play(name, pieces, scratch):
    if not pieces:
        return []
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
    # No windows; and no threads for products as small as a page's, which they make slower.
    environment |= {"MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "tests.docs.play"], input=json.dumps([name, pieces]),
                          capture_output=True, text=True, cwd=scratch, env=environment, timeout=TIME)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main():
    """Play the pieces read from the standard input."""
    name, pieces = json.load(sys.stdin)
    # What processes that a block starts write to the standard output is not to mix with the outcomes.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    namespace, outcomes = {"__name__": "__main__"}, []
    for language, source, line in pieces:
        if language == "python":
            outcomes.append(_play_python(source, line, name, namespace))
            if outcomes[-1][0]:
                break
        else:
            done = subprocess.run(["bash", "-c", source], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            outcomes.append((done.returncode, done.stdout, done.stderr))
    json.dump(outcomes, results)


def _play_python(source, line, name, namespace):
    output, error = io.StringIO(), ""
    try:
        with redirect_stdout(output):
            # Behind as many empty lines as the page has above, so that a traceback names the page's lines.
            exec(compile("\n" * (line - 1) + source, name, "exec"), namespace)
    except BaseException as raised:
        error = "".join(traceback.format_exception(raised.with_traceback(raised.__traceback__.tb_next)))
    return int(bool(error)), output.getvalue(), error


if __name__ == "__main__":
    main()
