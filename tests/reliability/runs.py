"""A small run in which all kinds of state matter, and the command in this process."""

import grok
from training import TrainingConfig

SMALL = ["--p", "11", "--width", "8", "--steps", "40", "--eval-every", "7", "--batch-size", "20", "--dropout", "0.2",
         "--batch-norm", "--threads", "1"]
CONFIG = TrainingConfig(p=11, width=8, steps=40, eval_every=7, batch_size=20, dropout=0.2, batch_norm=True, threads=1)


def run(*arguments):
    """The command in this process: its exit code."""
    plot = [] if "--figures" in arguments else ["--no-plot"]
    try:
        return grok.main([*map(str, arguments), *plot, "--quiet"])
    except SystemExit as exit_:
        return exit_.code


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}
