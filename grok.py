"""Train a network on modular arithmetic and watch it grok: the command.

It reads options, trains one network through `training.train`, and writes a run folder. Everything it does can be done
in Python as well: see `training`.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # before the imports: the summary's `seconds` are those of the whole command

import argparse
import dataclasses
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from backend import BACKENDS, DTYPES, BackendError, open_device
from data.operations import OPERATIONS
from layers.activations import ACTIVATIONS
from optim import OPTIMIZERS
from training import ConfigError, Run, TrainingConfig, train
from training.config import LOSSES, MODELS
from training.figures import describe, draw_figures
from training.loop import DivergenceError

__version__ = "0.1.0"

DESCRIPTION = """\
Train a small network on (m + n) mod p, with a fraction xi of the training labels wrong.

Such a network first memorises its training set, wrong labels and all, and later, suddenly,
generalises: it groks. Under weight decay it then unlearns the wrong labels. The defaults show both
stages in some ten seconds. The run, with its figures, goes into a folder of its own.
"""

EPILOG = """\
defaults that depend on the setting (each holds unless the option is given):
  two-layer network, full batch    --lr 0.01  --weight-decay 15  --steps 500   --loss mse
  a minibatch B, or BatchNorm      --lr 0.01 sqrt(B/256)  --weight-decay 0  --steps 2000*256/B
                                   --batch-norm alone takes --batch-size 64
  --model relu-mlp                 --lr 0.001  --weight-decay 20  --steps 5000  --loss mse
  --model transformer              --lr 0.01  --weight-decay 0.5  --steps 1000 --loss cross-entropy

examples:
  python grok.py                                        full inversion at xi 0.35
  python grok.py --xi 0.2                               the same with a fifth of the labels redrawn
  python grok.py --weight-decay 0 --steps 1000          coexistence: memorises and generalises
  python grok.py --weight-decay 5                       partial inversion
  python grok.py --weight-decay 20 --steps 5000         forgetting: learns, then loses everything
  python grok.py --batch-norm --alpha 0.65 --steps 2000 BatchNorm unlearns without weight decay
  python grok.py --model transformer --xi 0             a one-layer transformer groks
"""

# What options are called where it differs from the setting's name.
OPTION_NAMES = {"learning_rate": "--lr"}


def parser() -> argparse.ArgumentParser:
    """The command's options. An option's destination is the setting of `TrainingConfig` that it gives."""
    parser = argparse.ArgumentParser(prog="grok.py", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     argument_default=argparse.SUPPRESS)
    default = TrainingConfig()

    task = parser.add_argument_group("task")
    task.add_argument("--p", type=int, help=f"the modulus (default {default.p})")
    task.add_argument("--operation", choices=OPERATIONS, help=f"on pairs (m, n), mod p (default {default.operation})")
    task.add_argument("--alpha", type=float, help="fraction of all pairs that is trained on, in (0, 1]; the others are "
                                                  f"the test set (default {default.alpha})")
    task.add_argument("--xi", type=float, help="fraction of training labels that is redrawn at random, in [0, 1] "
                                               f"(default {default.xi})")

    network = parser.add_argument_group("network")
    network.add_argument("--model", choices=MODELS, help="mlp: the two-layer network W phi(U e_m + V e_n); relu-mlp: a "
                                                         "deeper one; transformer: one layer, two tokens (default mlp)")
    network.add_argument("--width", type=int, help="neurons of a hidden layer, N (default 500), or features of a token "
                                                   "in the transformer (default 128)")
    network.add_argument("--activation", choices=ACTIVATIONS, help="phi (default square; relu in relu-mlp)")
    network.add_argument("--depth", type=int, help=f"weight layers of relu-mlp (default {default.depth})")
    network.add_argument("--heads", type=int, help=f"attention heads of the transformer (default {default.heads})")
    network.add_argument("--layer-norm", action="store_true", help="LayerNorm in the transformer")
    network.add_argument("--batch-norm", action="store_true", help="BatchNorm after the activations of an MLP")
    network.add_argument("--dropout", type=float, help="rate of dropout on pre-activations, in [0, 1) (default 0)")

    training = parser.add_argument_group("training")
    training.add_argument("--loss", choices=LOSSES, help="mse on one-hot targets, or softmax cross-entropy "
                                                         "(default: see below)")
    training.add_argument("--optimizer", choices=OPTIMIZERS, help=f"(default {default.optimizer})")
    training.add_argument("--lr", type=float, dest="learning_rate", help="learning rate (default: see below)")
    training.add_argument("--weight-decay", type=float, help="in adamw decoupled: w <- (1 - lr decay) w at every step "
                                                             "(default: see below)")
    training.add_argument("--batch-size", type=int, help="examples of a step (default: the whole training set)")
    training.add_argument("--steps", type=int, help="(default: see below)")
    training.add_argument("--eval-every", type=int, help="steps between measurements (default 5, as memorisation peaks "
                                                         "near step 50; 20 for a minibatch, relu-mlp and transformer)")
    training.add_argument("--seed", type=int, help="of split, corruption, initial weights, batches and dropout "
                                                   f"(default {default.seed})")

    machine = parser.add_argument_group("machine")
    machine.add_argument("--backend", choices=BACKENDS, help="numpy: CPU, cupy: NVIDIA GPU (default numpy)")
    machine.add_argument("--dtype", choices=DTYPES, help=f"(default {default.dtype})")
    machine.add_argument("--threads", type=int, help="(default: all cores; the result does not depend on it)")

    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, help="folder of the run, which must not exist (default "
                                                 "runs/<date>-<setting>)")
    output.add_argument("--no-plot", action="store_true", help="draw no figures")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    output.add_argument("--version", action="version", version=f"grok {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    int
        The exit code: 0, or 2 for an option that is not allowed or a backend that is missing, 3 for a diverged run.
    """
    started = STARTED if arguments is None else time.perf_counter()
    command = parser()
    options = vars(command.parse_args(arguments))
    out, no_plot, quiet = (options.pop(name, default)
                           for name, default in (("out", None), ("no_plot", False), ("quiet", False)))
    try:
        config = TrainingConfig(**options).resolved()
        open_device(config.backend, config.dtype)
        folder = make_folder(config, out)
    except ConfigError as error:
        option = OPTION_NAMES.get(error.field, "--" + error.field.replace("_", "-"))
        command.exit(2, f"{command.prog}: error: {option} {error.problem}\n")
    except BackendError as error:
        command.exit(2, f"{command.prog}: error: {error}\n")
    except OSError as error:
        command.exit(2, f"{command.prog}: error: --out {error.filename}: {error.strerror}\n")

    try:
        run = train(config, folder, progress=not quiet)
    except DivergenceError as error:
        command.exit(3, f"{command.prog}: error: {error}\n")
    if not no_plot:
        draw_figures(run, folder / "figures")
    run = dataclasses.replace(run, seconds=time.perf_counter() - started)
    run.save(folder)
    if not quiet:
        print(table(run, folder))
    return 0


def make_folder(config: TrainingConfig, out: Path | None) -> Path:
    """Create the folder of a run: `out`, or a new one below runs/ that is named after the time and the setting.

    Raises
    ------
    OSError
        If it exists, or cannot be created.
    """
    if out is not None:
        out.mkdir(parents=True)
        return out
    date = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    name = f"{date}-{config.model}-p{config.p}-xi{config.xi:g}-wd{config.weight_decay:g}-seed{config.seed}"
    for number in range(1, 1000):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(17, "too many runs of this name", str(folder))


def table(run: Run, folder: Path) -> str:
    """What the command prints at the end: the outcome of a run in a few lines."""
    summary = run.summary()

    def accuracy(name):
        value = summary[f"{name}_accuracy"]
        return "-" if value is None else f"{value:.4f}"

    def at(step):
        return "-" if step is None else f"step {step}"

    rows = [
        ("accuracy", "train", accuracy("train")),
        ("", "test", accuracy("test")),
        ("", "corrupted", accuracy("corrupted")),
        ("", "uncorrupted", accuracy("uncorrupted")),
        ("phase", summary["phase"] or "-", ""),
        ("groks", at(summary["grok_step"]), ""),
        ("unlearns", at(summary["unlearn_step"]), ""),
        ("time", f"{summary['seconds']:.1f} s, {summary['ms_per_step']:.1f} ms a step", ""),
        ("run", f"{folder}/", ""),
    ]
    lines = [f"{name:10}{value:13}{number}".rstrip() for name, value, number in rows]
    return "\n".join([describe(run), "", *lines])


if __name__ == "__main__":
    sys.exit(main())
