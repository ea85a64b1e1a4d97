"""Where a sweep's work is done: in processes of this machine, or on a Dask cluster that is already running.

All are executors in the sense of `concurrent.futures`. Without one, a sweep works in its own process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager


class SchedulerError(RuntimeError):
    """A Dask cluster cannot be used."""


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Worker processes of this machine. Where the block is left by an error, no further work is begun.

    Parameters
    ----------
    workers : int
    """
    # Spawned, not forked: a fork copies the locks of BLAS's threads in whatever state they are in.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
        If Dask is not installed, or no scheduler answers, or it has no worker.
    """
    try:
        from distributed import Client
    except ImportError:
        raise SchedulerError("--scheduler needs Dask; install it with: pip install -e '.[cluster]'") from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SchedulerError(f"no Dask scheduler answers at {address} ({error})") from None
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise SchedulerError(f"the Dask scheduler at {address} has no workers; start one with: "
                                 f"dask worker {address}")
        yield client.get_executor(pure=False)
