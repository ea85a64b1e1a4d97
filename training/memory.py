"""How much memory a stack of runs takes, and how many runs fit.

What counts is known from shapes: of each run its parameters, their gradients (a set for each chunk) and running
averages, its data, and what sums gradients of tables; on a GPU also the intermediate results of all layers, which on a
CPU are those of one chunk at a time. The estimate is rough and mostly too large. (Where it is too small, and a stack
finds no room, `train_many` divides it.)
"""

from __future__ import annotations

import math
import os

from backend import Device
from training.chunks import row_slices
from training.config import TrainingConfig
from training.setup import make_network
from training.tasks import TASKS

SHARE = 0.5
"""How much of the free memory a stack may take, unless told otherwise."""

PER_EXAMPLE = 20 * 8
"""Bytes that each example takes besides: its pair and labels, and the indices by which its rows are read and summed."""

ALIVE = 4
"""Intermediate results of the widest kind that a GPU holds for each layer, with those inside of expressions."""


def bytes_per_run(config: TrainingConfig, device: Device) -> int:
    """About how many bytes each run of a stack takes.

    Parameters
    ----------
    config : TrainingConfig
        Resolved.
    device : Device
    """
    network, number = make_network([config], device), device.dtype.itemsize
    rows = config.batch_size or config.train_examples
    on_cpu = device.name == "numpy"
    chunks = len(row_slices(rows, network.row_size)) if on_cpu and not network.couples_rows else 1
    parameters = network.store.flat.size * number * (4 + chunks)
    layers = sum(not layer.layers for _, layer in network.walk())
    intermediate = 0 if on_cpu else ALIVE * layers * max(rows, config.examples - rows) * network.row_size * number
    # Images are kept once for all runs, but the batches of an epoch for each: the next ones while the last are there;
    # and noise is added to a copy.
    copied = config.batch_size is not None or config.noise or config.noise_floor
    batches = 2 * config.train_examples * (config.tokens or TASKS[config.task].features) * 8 if copied else 0
    return parameters + intermediate + batches + PER_EXAMPLE * config.examples


def free_memory(device: Device) -> int:
    """Free bytes of the machine, or of the GPU."""
    if device.name == "cupy":
        kept = device.xp.get_default_memory_pool().free_bytes()  # by CuPy, for arrays to come
        return device.xp.cuda.runtime.memGetInfo()[0] + kept
    if "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", ()):  # Windows has none
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 2 ** 30  # where the system does not say


def stack_sizes(runs: int, config: TrainingConfig, device: Device, memory: int | None = None) -> list[int]:
    """Into stacks of which sizes to divide runs, so that each fits.

    Parameters
    ----------
    runs : int
    config : TrainingConfig
        Of any of them, resolved.
    device : Device
    memory : int, optional
        Bytes that a stack may take; by default half of what is free.

    Returns
    -------
    sizes : list of int
        Equal up to one; at least one run each.
    """
    memory = SHARE * free_memory(device) if memory is None else memory
    fit = max(1, int(memory // bytes_per_run(config, device)))
    stacks = math.ceil(runs / fit)
    return [runs * (stack + 1) // stacks - runs * stack // stacks for stack in range(stacks)]
