"""What is seen of a sweep from outside: its processes, and what it has stored."""

import time
from pathlib import Path

from experiments.cells import read_cell

LONGEST = 60  # seconds that any wait may take


def stored(folder):
    """The cells in a folder."""
    return [path for path in Path(folder).rglob("*.json") if read_cell(path) is not None]


def wait_until(condition):
    limit = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def alive(pid):
    """Whether a process does anything: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def descendants(pid):
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
