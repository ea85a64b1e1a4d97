"""Stop runs of the command at random moments, finish them with --resume, and compare what they leave.

    python -m tests.reliability.kills --kills 50 --seed 0                   SIGKILL, which nothing can answer
    python -m tests.reliability.kills --kills 50 --seed 0 --signal SIGTERM  or SIGINT: it saves, says where, and ends

Every chain of interruptions and resumptions must end in the same arrays, bit for bit, and the same history.csv and
snapshots as a run that nobody disturbed. The setting is a small one in which all kinds of state matter: minibatches,
dropout, BatchNorm and the optimiser's averages. A checkpoint is written after every step, so that many kills fall into
the writing of one.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from training import read_checkpoint

ROOT = Path(__file__).parents[2]
STEPS, EVAL_EVERY = 400, 7  # the last step is not a multiple: its measurement exists because the run ends there
OPTIONS = ["--p", "23", "--width", "64", "--steps", str(STEPS), "--batch-size", "32", "--batch-norm",
           "--dropout", "0.1", "--weight-decay", "1", "--checkpoint-every", "1", "--eval-every", str(EVAL_EVERY),
           "--snapshots", "6", "--threads", "1"]
COMMAND = [sys.executable, str(ROOT / "grok.py"), "--no-plot", "--quiet"]
LONGEST = 120  # seconds that any wait may take

BEFORE, WRITING, ELSEWHERE = ("before the first checkpoint", "while a .part file was there", "elsewhere")
FINISHED = "after the run had finished"


def start(*arguments: str | Path) -> subprocess.Popen:
    """Start the command."""
    return subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_of(process: subprocess.Popen) -> tuple[int, str]:
    """Wait for a command; its exit code and what it wrote to stderr."""
    output, errors = process.communicate(timeout=LONGEST)
    assert output == "", output
    return process.returncode, errors


def result(folder: Path) -> tuple:
    """What a finished run leaves that must not depend on interruptions; last, the names of what is superfluous."""
    arrays, meta = read_checkpoint(folder / "checkpoint.npz")
    snapshots = {f"{step:08d}.npz" for step in meta["snapshots"]}
    superfluous = {path.name for path in folder.rglob("*.part")} | {
        path.name for path in (folder / "snapshots").glob("*.npz")} - snapshots
    return ({name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()},
            {name: (folder / "snapshots" / name).read_bytes() for name in snapshots},
            meta["step"], meta["optimizer_steps"], (folder / "history.csv").read_bytes(), sorted(superfluous))


def wait_until(condition, process: subprocess.Popen) -> None:
    """Wait until something holds, or the command has ended."""
    limit = time.monotonic() + LONGEST
    while not condition() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.0005)


class Trial:
    """Interruptions at random moments, with a count of where they fell.

    Parameters
    ----------
    place : path
        An empty folder to work in.
    number : signal.Signals
        What interrupts.
    seed : int
        Of the moments.
    """

    def __init__(self, place: Path, number: signal.Signals, seed: int):
        self.place, self.number, self.random = place, number, random.Random(seed)
        self.where: Counter[str] = Counter()
        self.runs = self.resumed = 0
        began = time.monotonic()
        assert end_of(start("--out", place / "undisturbed", *OPTIONS)) == (0, "")
        self.duration = time.monotonic() - began
        self.expected = result(place / "undisturbed")

    def interrupt(self, count: int) -> None:
        """Interrupt runs until as many interruptions have been made."""
        while sum(self.where.values()) < count:
            self.runs += 1
            self.one_run(self.place / f"run{self.runs}", count)

    def one_run(self, folder: Path, count: int) -> None:
        """Take one run to its end, with one to three interruptions on the way."""
        process = start("--out", folder, *OPTIONS)
        for _ in range(self.random.randint(1, min(3, count - sum(self.where.values())))):
            where = self.disturb(process, folder)
            if where != FINISHED:
                self.where[where] += 1
            if (folder / "summary.json").exists():
                # The interruption came after all was saved; the summary was about to get its last number, the time.
                *others, superfluous = result(folder)
                assert tuple(others) == self.expected[:-1]
                assert all(name == "summary.json.part" or name.endswith(".npz") for name in superfluous)
                return
            if not (folder / "checkpoint.npz").exists():
                assert where == BEFORE
                self.nothing_to_resume(folder)
                return
            self.resumed += 1
            process = start("--resume", folder)
        ended = end_of(process)
        assert ended == (0, ""), ended
        assert result(folder) == self.expected, f"{folder} differs from the undisturbed run"

    def disturb(self, process: subprocess.Popen, folder: Path) -> str:
        """Interrupt a command at a random moment; where that was."""
        first = not (folder / "checkpoint.npz").exists()
        if self.number == signal.SIGKILL:
            early = first and self.random.random() < 0.15  # a few at any moment of the start
            if first and not early:
                wait_until((folder / "checkpoint.npz").exists, process)
        else:
            early = False
            # Before that no handler is there, and a signal ends the program in the default way.
            if first:
                wait_until((folder / "config.json").exists, process)
            else:
                self.wait_for_work(process, folder)
        delay = self.random.uniform(0, 0.7 * self.duration * (0.3 if early else 1))
        moment = time.monotonic() + delay
        wait_until(lambda: time.monotonic() > moment, process)
        process.send_signal(signal.SIGSTOP)  # a moment to look around; it has no effect on the files
        time.sleep(0.005)
        where = (WRITING if list(folder.glob("*.part")) else
                 ELSEWHERE if (folder / "checkpoint.npz").exists() else BEFORE)
        process.send_signal(self.number)
        process.send_signal(signal.SIGCONT)
        code, errors = end_of(process)
        if code == 0:
            return FINISHED
        if self.number == signal.SIGKILL:
            assert (code, errors) == (-signal.SIGKILL, "")
        elif code == -self.number or errors == "grok.py: error: interrupted\n":
            # The handlers are gone once everything is saved, for the few milliseconds until the program ends.
            assert (folder / "checkpoint.npz").exists()
            assert read_checkpoint(folder / "checkpoint.npz")[1]["step"] == STEPS
            return FINISHED
        else:
            assert code == 128 + self.number, (code, errors)
            assert errors.startswith(f"grok.py: {self.number.name}: stopped after ")
            assert str(folder) in errors
            assert errors.count("\n") == 1
        return where

    def wait_for_work(self, process: subprocess.Popen, folder: Path) -> None:
        """Wait until a resumed run has written something, and so has its handlers."""
        def changed():
            return (folder / "checkpoint.npz").stat().st_mtime_ns
        before = changed()
        wait_until(lambda: changed() != before, process)

    def nothing_to_resume(self, folder: Path) -> None:
        """A run that was killed before its first checkpoint says so, and what it left stays as it is."""
        code, errors = end_of(start("--resume", folder))
        assert code == 2, (code, errors)
        assert errors.startswith(f"grok.py: error: {folder}")
        assert errors.count("\n") == 1
        assert "cannot be read (No such file or directory)" in errors

    def report(self) -> str:
        """The counts, as text."""
        interruptions = sum(self.where.values())
        return "\n".join([
            f"{interruptions} times {self.number.name} in {self.runs} runs of {STEPS} steps:",
            *(f"  {self.where[where]:4d} {where}" for where in (BEFORE, WRITING, ELSEWHERE)),
            f"{self.resumed} times resumed; every resumed run ended with the bits of the undisturbed one"])


def main() -> None:
    """Read options, interrupt, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.kills",
                                     description="Interrupt runs and compare their ends.")
    parser.add_argument("--kills", type=int, default=50, help="how many interruptions (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--signal", choices=("SIGKILL", "SIGINT", "SIGTERM"), default="SIGKILL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        trial = Trial(Path(place), signal.Signals[options.signal], options.seed)
        trial.interrupt(options.kills)
        print(trial.report())


if __name__ == "__main__":
    main()
