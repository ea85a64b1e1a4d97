"""The command line: what options are called, what `--help` says, and how results are printed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from backend import BACKENDS, DTYPES
from data.operations import OPERATIONS
from layers.activations import ACTIVATIONS
from optim import OPTIMIZERS, SCHEDULES
from training.config import LOSSES, MODELS, TrainingConfig
from training.tasks import TASKS

DESCRIPTION = """\
Train a small network on (m + n) mod p, with a fraction xi of the training labels wrong.

Such a network first memorises its training set, wrong labels and all, and later, suddenly,
generalises: it groks. Under weight decay it then unlearns the wrong labels. The defaults show both
stages in some ten seconds. The run, with its figures, goes into a folder of its own.

With --task mnist the network reads handwritten digits instead, with a fraction xi of their
training labels wrong: there it generalises first and memorises later, unless weight decay or
dropout keeps it from that. With --task digits, small images and large initial weights, it
groks real data. With --task reviews an LSTM reads short texts, praise or not.
"""

EPILOG = """\
defaults that depend on the setting (each holds unless the option is given):
  two-layer network, full batch    --lr 0.01  --weight-decay 15  --steps 500   --loss mse
  a minibatch B, or BatchNorm      --lr 0.01 sqrt(B/256)  --weight-decay 0  --steps 2000*256/B
                                   --batch-norm alone takes --batch-size 64
  --model relu-mlp                 --lr 0.001  --weight-decay 20  --steps 5000  --loss mse
  --model transformer              --lr 0.01  --weight-decay 0.5  --steps 1000 --loss cross-entropy
  --task mnist                     --lr 0.001  --weight-decay 40  --steps 500  --loss mse  --width 200
                                   --model relu-mlp, which has biases there; also with a minibatch
  --task digits                    --lr 0.001  --weight-decay 0.1  --steps 20000  --xi 0  --width 200
                                   --loss mse  --initial-scale 8  --model relu-mlp
  --task reviews                   --lr 0.001  --weight-decay 0.3  --steps 8000  --xi 0  --width 48
                                   --loss cross-entropy  --initial-scale 6  --batch-size 50  --clip 5
  --task imdb                      --lr 0.0003  --weight-decay 1  --steps 10000  --width 256
                                   --depth 4; the rest as for reviews

examples:
  python grok.py                                        full inversion at xi 0.35
  python grok.py --xi 0.2                               the same with a fifth of the labels redrawn
  python grok.py --weight-decay 0 --steps 1000          coexistence: memorises and generalises
  python grok.py --weight-decay 5                       partial inversion
  python grok.py --weight-decay 20 --steps 5000         forgetting: learns, then loses everything
  python grok.py --batch-norm --alpha 0.65 --steps 2000 BatchNorm unlearns without weight decay
  python grok.py --model transformer --xi 0             a one-layer transformer groks
  python grok.py --task mnist                           digits: weight decay keeps wrong labels out
  python grok.py --task mnist --weight-decay 0          they are memorised, test accuracy falls
  python grok.py --task digits                          grokking on real data
  python grok.py --task reviews                         an LSTM on texts
  python grok.py --snapshots 12 --explore               a page to go through the run in a browser

  python grok.py --resume DIR                           finish a run that was interrupted
  python grok.py --resume DIR --steps 2000              go on with a finished one
  python grok.py --continue-from DIR --alpha 0.1 --xi 0 train its network on a fifth of its pairs
  python grok.py --compare DIR DIR                      two runs side by side

exit codes: 0 done; 1 the run's folder can no longer be written to; 2 an option or a file is not in order;
3 the run diverged; 130 and 143 stopped by Ctrl-C and by SIGTERM, after saving a checkpoint.
"""


def tolerant_output() -> None:
    """Have what a terminal or a file's encoding lacks, such as an α in a title, printed as a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def say(text: object) -> None:
    """Print a result that is saved: that nobody reads on (as in `| head`), or has room for it, is no failure."""
    try:
        print(text, flush=True)
    except OSError as error:
        # Python would try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"the results are saved, but cannot be printed: {error.strerror}", file=sys.stderr)


# What options are called where it differs from the setting's name.
OPTION_NAMES = {"learning_rate": "--lr", "test_alpha": "--test-set", "train_size": "--examples"}


def option_name(field: str) -> str:
    """What the option of a setting is called."""
    return OPTION_NAMES.get(field, "--" + field.replace("_", "-"))


def with_values(arguments: Sequence[str]) -> list[str]:
    """The arguments, with negative numbers joined to the option before them: --lr -inf becomes --lr=-inf.

    argparse knows -1 for a number, but takes -inf and -1e-3 for options, and would say that --lr lacks its value.
    """
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and _is_negative(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _is_negative(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.startswith("-")


def parser(version: str) -> argparse.ArgumentParser:
    """The command's options. An option's destination is the setting of `TrainingConfig` that it gives."""
    parser = argparse.ArgumentParser(prog="grok.py", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     argument_default=argparse.SUPPRESS)
    default = TrainingConfig()

    task = parser.add_argument_group("task")
    task.add_argument("--task", choices=TASKS, help="modular: an operation on pairs of residues; mnist: images of "
                                                    "digits; digits: smaller ones, of scikit-learn; "
                                                    "reviews, imdb: texts, of a grammar or of the IMDb "
                                                    f"(default {default.task})")
    task.add_argument("--p", type=int, help=f"the modulus (default {default.p})")
    task.add_argument("--operation", choices=OPERATIONS, help=f"on pairs (m, n), mod p (default {default.operation})")
    task.add_argument("--alpha", type=float, help="fraction of all pairs that is trained on, in (0, 1]; the others are "
                                                  f"the test set (default {default.alpha})")
    task.add_argument("--examples", type=int, dest="train_size", metavar="EXAMPLES",
                      help="of images: how many are trained on: of mnist the first of 7000 (default 1000; 2000 others "
                           "are the test set), of digits up to 1000 (default 200; 797 others); of reviews and imdb "
                           "(default 750; 1000 and 250 others)")
    task.add_argument("--data-folder", metavar="DIR", help="of imdb: the folder aclImdb, which does not come with the "
                                                           "program")
    task.add_argument("--words", type=int, help="of imdb: how many words are known (default 1000)")
    task.add_argument("--tokens", type=int, help="of imdb: how many words of a text are read, the first ones "
                                                 "(default 500)")
    task.add_argument("--xi", type=float, help="fraction of training labels that is redrawn at random, in [0, 1] "
                                               "(default 0.35; 0 of digits and texts)")

    network = parser.add_argument_group("network")
    network.add_argument("--model", choices=MODELS, help="mlp: the two-layer network W phi(U e_m + V e_n); relu-mlp: a "
                                                         "deeper one; transformer: one layer, two tokens (default mlp; "
                                                         "of images relu-mlp, of texts lstm, the only ones for them)")
    network.add_argument("--width", type=int, help="neurons of a hidden layer, N (default 500; 200 of images), or "
                                                   "features of a token (default 128 in the transformer; 48 of "
                                                   "reviews, 256 of imdb)")
    network.add_argument("--activation", choices=ACTIVATIONS, help="phi (default square; relu in relu-mlp)")
    network.add_argument("--depth", type=int, help="weight layers of relu-mlp and lstm (default 3; 4 of imdb)")
    network.add_argument("--initial-scale", type=float, help="of images and texts: factor on the usual initial "
                                                             "values (default 1 of mnist, 8 of digits, 6 of texts)")
    network.add_argument("--heads", type=int, help=f"attention heads of the transformer (default {default.heads})")
    network.add_argument("--layer-norm", action="store_true", help="LayerNorm in the transformer")
    network.add_argument("--batch-norm", action="store_true", help="BatchNorm after the activations of an MLP")
    network.add_argument("--dropout", type=float, help="rate of dropout on pre-activations, in [0, 1) (default 0)")

    training = parser.add_argument_group("training")
    training.add_argument("--loss", choices=LOSSES, help="mse on one-hot targets, or softmax cross-entropy "
                                                         "(default: see below)")
    training.add_argument("--optimizer", choices=OPTIMIZERS, help=f"(default {default.optimizer})")
    training.add_argument("--lr", type=float, dest="learning_rate", help="learning rate (default: see below)")
    training.add_argument("--schedule", choices=SCHEDULES, help="of the learning rate: it may rise from 0 for --warmup "
                                                                "steps, and then stay, or fall along a cosine "
                                                                f"(default {default.schedule})")
    training.add_argument("--warmup", type=int, metavar="STEPS", help=f"(default {default.warmup})")
    training.add_argument("--weight-decay", type=float, help="in adamw decoupled: w <- (1 - lr decay) w at every step "
                                                             "(default: see below)")
    training.add_argument("--l2", type=float, metavar="C", help="a term C |w|^2 in the loss, which may be negative: it "
                                                                "goes through the optimiser's rule, as weight decay "
                                                                f"does not (default {default.l2:g})")
    training.add_argument("--clip", type=float, metavar="LENGTH", help="shorten longer gradients to this (default: no)")
    training.add_argument("--noise", type=float, metavar="S", help="of images: in training, Gaussian noise on the "
                                                                   "pixels, of standard deviation S (1 - train "
                                                                   f"accuracy) (default {default.noise:g})")
    training.add_argument("--noise-floor", type=float, metavar="S", help="and at least this (default "
                                                                         f"{default.noise_floor:g})")
    training.add_argument("--batch-size", type=int, help="examples of a step (default: the whole training set)")
    training.add_argument("--steps", type=int, help="(default: see below)")
    training.add_argument("--eval-every", type=int, help="steps between measurements (default 5, as memorisation peaks "
                                                         "near step 50; 20 for a minibatch, relu-mlp and transformer)")
    training.add_argument("--seed", type=int, help="of split, corruption, initial weights, batches and dropout "
                                                   f"(default {default.seed})")

    again = parser.add_argument_group("runs that exist").add_mutually_exclusive_group()
    again.add_argument("--resume", type=Path, metavar="DIR",
                       help="go on with a run in its own folder, bit for bit as if it had never stopped, up to --steps "
                            "(default: the steps it was meant to have)")
    again.add_argument("--continue-from", type=Path, metavar="DIR",
                       help="start a new run from another run's weights; its settings hold where no option is given")
    again.add_argument("--config", type=Path, metavar="FILE",
                       help="take the settings of a config.json, where no option is given")
    again.add_argument("--figures", type=Path, metavar="DIR", help="draw a run's figures again, and do nothing else")
    again.add_argument("--compare", type=Path, metavar="DIR", nargs="+",
                       help="show runs side by side: a table, and their curves in one figure (--out FILE.png)")
    continued = parser.add_argument_group("with --continue-from")
    continued.add_argument("--test-set", choices=("original", "complement"),
                           help="keep the other run's test set (default, where the split is the same), or test on "
                                "all that is not trained on")
    continued.add_argument("--reset-optimizer", action=argparse.BooleanOptionalAction,
                           help="start with a new optimiser (default), or with the other run's")

    machine = parser.add_argument_group("machine")
    machine.add_argument("--backend", choices=BACKENDS, help="numpy: CPU, cupy: NVIDIA GPU (default numpy)")
    machine.add_argument("--dtype", choices=DTYPES, help=f"(default {default.dtype})")
    machine.add_argument("--tf32", action="store_true", help="let a GPU's tensor cores multiply float32 numbers "
                                                             "rounded to 10 bits of mantissa")
    machine.add_argument("--threads", type=int, help="(default: all cores; the result does not depend on it)")

    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, help="folder of the run, which must not exist (default "
                                                 "runs/<date>-<setting>)")
    output.add_argument("--checkpoint-every", type=int, metavar="STEPS",
                        help="save a checkpoint every so many steps (and every 30 seconds, which is the default)")
    output.add_argument("--snapshots", type=int, metavar="K",
                        help="keep the weights of K steps, dense where things happen (default 0)")
    output.add_argument("--explore", action="store_true",
                        help="write explorer.html as well, a page to go through the run in a browser: richest with "
                             "--snapshots 12 (needs the extra `explore`; python -m experiments.explore DIR does it "
                             "later)")
    output.add_argument("--no-plot", action="store_true", help="draw no figures")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    output.add_argument("--version", action="version", version=f"grok {version}")
    return parser
