"""Where a sweep's work is done: in this process, in processes of this machine, or on a Dask cluster that runs already.

The last two are executors in the sense of `concurrent.futures`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from backend import BACKENDS, BackendError, Device, available_cores, open_device

ANSWERS_WITHIN = 10
"""Seconds in which a Dask scheduler must answer, and have a worker."""

Executors = Callable[[], AbstractContextManager[Executor | None]]


class SchedulerError(RuntimeError):
    """A Dask cluster cannot be used."""


def add_options(parser: argparse.ArgumentParser, out: Path) -> None:
    """Give a command the options that say where its networks are trained, and where what comes of it is stored.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    out : path
        The default folder of the result.
    """
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="numpy: CPU, cupy: NVIDIA GPU")
    parser.add_argument("--workers", type=int, default=1, metavar="N",
                        help="train in N processes (default: in this one, on all cores)")
    parser.add_argument("--scheduler", metavar="ADDRESS",
                        help="train on the workers of a Dask cluster, tcp://HOST:PORT (start them with --nthreads 1)")
    parser.add_argument("--cells", type=Path, default=Path("runs") / "cells", metavar="DIR",
                        help="where finished networks are stored, to go on after an interruption (default %(default)s)")
    parser.add_argument("--out", type=Path, default=out, metavar="DIR",
                        help="folder of the result (default %(default)s); an older result in it is replaced")


def prepare(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Device:
    """Make the folders that the options name, and open the backend; or end the command with a line that says why not.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    options : argparse.Namespace
        Those of `add_options`.
    """
    if options.workers < 1:
        parser.error(f"--workers must be at least 1, got {options.workers}")
    try:
        device = open_device(options.backend)
        for folder in (options.out, options.cells):
            folder.mkdir(parents=True, exist_ok=True)
    except (BackendError, OSError) as error:
        parser.error(str(error))
    return device


def chosen(workers: int, scheduler: str | None) -> tuple[Executors, int | None]:
    """What the options say: the executors, and the threads that each network may then use (None: all).

    Parameters
    ----------
    workers : int
    scheduler : str, optional
        The address of a Dask scheduler; it comes before the number of workers.
    """
    if scheduler is not None:
        return lambda: dask_cluster(scheduler), 1
    if workers > 1:
        return lambda: processes(workers), max(1, available_cores() // workers)
    return nullcontext, None


def worker_died(error: BaseException) -> bool:
    """Whether an executor says that the work itself has not failed, but whoever did it is gone."""
    # Dask has an exception of its own for this, which only whoever has a cluster can import.
    return isinstance(error, (BrokenExecutor, CancelledError)) or type(error).__name__ == "KilledWorker"


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Worker processes of this machine. Where the block is left by an error, they are ended.

    Parameters
    ----------
    workers : int
    """
    others = multiprocessing.active_children()
    # Spawned, not forked: a fork copies the locks of BLAS's threads in whatever state they are in.
    with _Processes(workers, multiprocessing.get_context("spawn"), initializer=_become_worker) as pool:
        try:
            yield pool
        except BaseException:
            for worker in [child for child in multiprocessing.active_children() if child not in others]:
                worker.terminate()
                worker.join()
            raise


class _Processes(ProcessPoolExecutor):
    """Whose workers start with Ctrl-C blocked: it would reach them while they import, before they can ignore it."""

    def submit(self, *arguments, **options):
        """As any executor's; it is here that workers are started, which inherit what is blocked."""
        if not hasattr(signal, "pthread_sigmask"):  # Windows has none
            return super().submit(*arguments, **options)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            return super().submit(*arguments, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_worker():
    # Ctrl-C reaches every process of a terminal. Only the first one answers, and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Of its own accord tqdm makes a lock for all processes, of which the system is told when one is killed.
    tqdm.set_lock(threading.RLock())


def _end_with_parent():
    """A parent that is killed can end no one: its workers see to it themselves."""
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster, which need this program as well; a killed worker's work goes to another one.

    Parameters
    ----------
    address : str
        Of the scheduler: tcp://HOST:PORT.

    Raises
    ------
    SchedulerError
        If Dask is not installed, or no scheduler answers, or it has no worker, or one of several threads.
    """
    try:
        from distributed import Client
    except ImportError:
        raise SchedulerError("--scheduler needs Dask; install it with: pip install -e '.[cluster]'") from None
    try:
        # A client that finds nobody leaves threads behind, which can get into the way of the next one.
        place = urlsplit(address)
        socket.create_connection((place.hostname or "", place.port or 0), ANSWERS_WITHIN).close()
        client = Client(address, timeout=ANSWERS_WITHIN, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SchedulerError(f"no Dask scheduler answers at {address} ({error})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=ANSWERS_WITHIN)  # one that has died may be about to be started anew
        except TimeoutError:
            raise SchedulerError(f"the Dask scheduler at {address} has no workers; start one with: "
                                 f"dask worker {address} --nthreads 1") from None
        for worker, count in client.nthreads().items():
            if count > 1:
                raise SchedulerError(f"the Dask worker {worker} has {count} threads, but trains one network at a time; "
                                     f"start it with: dask worker {address} --nthreads 1 --nworkers {count}")
        yield client.get_executor(pure=False)
