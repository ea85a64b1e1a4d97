"""Train a network on modular arithmetic, or on digits, and watch it grok: the command.

It reads options, trains one network through `training.train`, and writes a run folder. Everything it does can be done
in Python as well: see `training`.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # before the imports: the summary's `seconds` are those of the whole command

import argparse
import dataclasses
import datetime
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from backend import BackendError, open_device
from options import option_name, parser, say, tolerant_output, with_values
from pages import PageError, load_bokeh
from storage import InUseError, write_json
from training import (
    CheckpointError,
    ConfigError,
    DivergenceError,
    Interrupted,
    Run,
    TrainingConfig,
    load_run,
    resume,
    train,
)
from training.figures import draw_comparison, draw_figures
from training.run import read_config, read_progress
from training.signals import StopOnSignal
from training.tables import comparison_table, run_table
from training.tasks import TASKS, has_meaning

__version__ = "0.1.0"

# Options that are not settings of a run.
COMMAND_OPTIONS = {"resume": None, "continue_from": None, "config": None, "figures": None, "compare": None,
                   "test_set": None, "out": None, "no_plot": False, "explore": False, "quiet": False}

# The settings that say which pairs come first in the split.
SPLIT_BY = ("p", "operation", "seed")

# What has a meaning only with --continue-from.
OF_CONTINUED = {"test_set", "reset_optimizer"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the command line.

    Returns
    -------
    int
        The exit code; `--help` lists them.
    """
    started = STARTED if arguments is None else time.perf_counter()
    tolerant_output()
    command = parser(__version__)
    given = vars(command.parse_args(with_values(sys.argv[1:] if arguments is None else arguments)))
    settings = dict(given)
    options = argparse.Namespace(**{name: settings.pop(name, default) for name, default in COMMAND_OPTIONS.items()})

    def fail(code, message):
        command.exit(code, f"{command.prog}: error: {message}\n")

    def warn(message, *details):
        print(f"{command.prog}: warning: {message}", file=sys.stderr)

    try:
        if options.explore:
            load_bokeh()  # before any work
        if options.figures is not None:
            only(given, "figures", "quiet")
            return show_figures(options)
        if options.compare is not None:
            only(given, "compare", "out", "no_plot", "quiet")
            return compare(options)
        if options.continue_from is None:
            for name in OF_CONTINUED & given.keys():
                raise ConfigError(name, "has no meaning without --continue-from")
        with StopOnSignal() as stop, warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = warn
            try:
                run, folder = train_or_resume(settings, options, stop)
            except Interrupted as interrupted:
                print(f"{command.prog}: {stop.received.name}: stopped after {interrupted.step} steps, all saved; go on "
                      f"with --resume {options.out}", file=sys.stderr)
                return 128 + stop.received
        if not options.no_plot:
            draw_figures(run, folder / "figures")
        page = explore(run, folder, options.quiet) if options.explore else None
        run = dataclasses.replace(run, seconds=time.perf_counter() - started)
        write_json(folder / "summary.json", run.summary())
    except ConfigError as error:
        fail(2, f"{option_name(error.field)} {error.problem}")
    except (BackendError, CheckpointError, InUseError, PageError) as error:
        fail(2, error)
    except DivergenceError as error:
        fail(3, error)
    except MemoryError as error:
        fail(2, f"there is not enough memory for a run of this size{f': {error}' if str(error) else ''}")
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}" if error.filename else error
        training = options.figures is None and options.compare is None
        fail(1, f"{problem}{'; the last checkpoint, if there is one, is whole' if training else ''}")
    except KeyboardInterrupt:
        fail(128 + signal.SIGINT, "interrupted")
    if not options.quiet:
        say(run_table(run, folder))
        if page is not None:
            say(f"{'page':10}{page}")
    return 0


def only(given: dict, mode: str, *others: str) -> None:
    """Refuse options that have no meaning with the one that says what to do.

    Raises
    ------
    ConfigError
        For the first of them.
    """
    for name in given:
        if name not in (mode, *others):
            raise ConfigError(name, f"has no meaning with {option_name(mode)}")


def train_or_resume(settings: dict, options: argparse.Namespace, stop: StopOnSignal) -> tuple[Run, Path]:
    """Do what the options say; the run, and its folder.

    Raises
    ------
    ConfigError
        If a setting is not allowed, or an option has no meaning with the others.
    CheckpointError, BackendError, DivergenceError, Interrupted, OSError
        As for `train` and `resume`.
    """
    if options.resume is not None:
        if options.out is not None:
            raise ConfigError("out", "has no meaning with --resume, which goes on in the run's own folder")
        saved = read_progress(options.resume).config.to_dict()
        free = {name: settings.pop(name) for name in ("threads", "checkpoint_every") if name in settings}
        steps = settings.pop("steps", None)
        for field, value in settings.items():
            if value != saved[field]:
                raise ConfigError(field, f"cannot change when a run is resumed: it has {saved[field]}, got {value} "
                                         "(--continue-from starts another run from its weights)")
        options.out = options.resume
        return resume(options.resume, steps, not options.quiet, stop, **free), options.resume

    config = base_config(options)
    config = dataclasses.replace(config, **settings)
    if config.test_alpha is not None:  # of a file; it is no option
        config = dataclasses.replace(config, test_alpha=max(config.alpha, config.test_alpha))
    for name in settings:
        if not has_meaning(name, config.task):
            raise ConfigError(name, f"has no meaning with --task {config.task}")
    if options.continue_from is not None:
        config = continued(config, options)
    config = config.resolved()
    open_device(config.backend, config.dtype)
    place = options.out or Path("runs")
    new = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        options.out = make_folder(config, options.out)
    except OSError as error:
        raise ConfigError("out", f"must be a new folder in a place that can be written to, got {error.filename} "
                                 f"({error.strerror})") from None
    try:
        return train(config, options.out, not options.quiet, stop), options.out
    except (CheckpointError, ConfigError, MemoryError, OSError):
        with suppress(OSError):  # unless something has been written
            for folder in dict.fromkeys([options.out, *new]):
                folder.rmdir()
        raise


def base_config(options: argparse.Namespace) -> TrainingConfig:
    """The settings that hold where no option is given."""
    if options.config is not None:
        return read_config(options.config)
    if options.continue_from is not None:
        return dataclasses.replace(read_progress(options.continue_from).config, reset_optimizer=True)
    return TrainingConfig()


def continued(config: TrainingConfig, options: argparse.Namespace) -> TrainingConfig:
    """The settings of a run that starts from another one's weights.

    Raises
    ------
    CheckpointError
        If the other run cannot be read.
    ConfigError
        If it has another task, or its test set cannot be kept.
    """
    source = read_progress(options.continue_from).config
    if config.task != source.task:
        raise ConfigError("task", f"must be that of the other run, {source.task}, got {config.task}")
    if not TASKS[config.task].modular:
        if options.test_set is not None:
            raise ConfigError("test_set", f"has no meaning with --task {config.task}, which has one test set")
        return dataclasses.replace(config, continue_from=str(options.continue_from.resolve()))
    same_split = all(getattr(config, name) == getattr(source, name) for name in SPLIT_BY)
    if options.test_set == "original" and not same_split:
        raise ConfigError("test_set", f"original cannot be kept where {', '.join(map(option_name, SPLIT_BY))} are not "
                                      "all those of the other run: the pairs are split otherwise")
    if options.test_set == "complement" or not same_split:
        test_alpha = None
    else:
        test_alpha = max(config.alpha, source.alpha if source.test_alpha is None else source.test_alpha)
    return dataclasses.replace(config, continue_from=str(options.continue_from.resolve()), test_alpha=test_alpha)


def show_figures(options: argparse.Namespace) -> int:
    """Draw the figures of a run that exists."""
    for path in draw_figures(load_run(options.figures), options.figures / "figures"):
        if not options.quiet:
            say(path)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Show runs side by side.

    Raises
    ------
    ConfigError
        If the figure cannot be what --out names.
    """
    if options.out is not None and (options.out.suffix != ".png" or options.out.is_dir()):
        raise ConfigError("out", f"must be a file *.png with --compare, got {options.out}")
    runs = {str(folder): load_run(folder) for folder in options.compare}
    if not options.quiet:
        say(comparison_table(runs))
    if not options.no_plot:
        path = options.out or Path("runs") / f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}-comparison.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_comparison(runs, path)
        if not options.quiet:
            say(f"\n{path}")
    return 0


def explore(run: Run, folder: Path, quiet: bool) -> Path:
    """Write the run's page for a browser."""
    from experiments.explore.page import FILE, write_explorer  # Bokeh is an extra

    return write_explorer(run, folder / FILE, lambda steps: tqdm(steps, "explorer", disable=quiet or None, leave=False))


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
    task = f"p{config.p}" if TASKS[config.task].modular else f"{config.task}{config.train_size}"
    name = f"{date}-{config.model}-{task}-xi{config.xi:g}-wd{config.weight_decay:g}-seed{config.seed}"
    for number in range(1, 1000):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(17, "too many runs of this name", str(folder))


if __name__ == "__main__":
    sys.exit(main())
