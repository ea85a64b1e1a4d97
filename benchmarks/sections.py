"""What is compared with what. Each section returns plain values, for JSON."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from backend import available_cores, open_device
from benchmarks.contenders import Contender, Floor, Ours, Task
from benchmarks.diagram import diagram
from benchmarks.measure import check_losses, interleaved, summary
from benchmarks.parts import parts
from benchmarks.plain_numpy import PlainNumPy
from training import TrainingConfig
from training.trainer import Trainer

ROOT = Path(__file__).parents[1]


def peers(task: Task, kinds: Sequence[tuple[str, str, dict[str, Any]]]) -> list[Contender]:
    """Those peers whose library is installed: (library, class in its file, options)."""
    found = []
    for library, name, options in kinds:
        if importlib.util.find_spec(library) is not None:
            module = importlib.import_module(f"benchmarks.{library}_peers")
            found.append(getattr(module, name)(task, **options))
    return found


def torch_has_cuda() -> bool:
    """Whether PyTorch is installed, and in a build that can use the GPU."""
    return importlib.util.find_spec("torch") is not None and importlib.import_module("torch").cuda.is_available()


def compared(contenders: Sequence[Contender], rounds: int, steps: int) -> dict[str, Any]:
    """Check that all compute the same, then time them."""
    losses = check_losses(contenders)
    times = interleaved(contenders, rounds, steps)
    return {"milliseconds": {name: summary(values) for name, values in times.items()}, "losses": losses}


def step(rounds: int, steps: int) -> dict[str, Any]:
    """One step of the default network."""
    task = Task.of()
    return compared([Ours(task), Floor(task), PlainNumPy(task), *peers(task, [
        ("torch", "TorchFloor", {}),
        ("torch", "ReferenceLayout", {}), ("torch", "Embedded", {}), ("torch", "Embedded", {"compiled": True}),
        ("jax", "Gathers", {}), ("jax", "OneHot", {})])], rounds, steps)


def in_parts(rounds: int, steps: int) -> dict[str, Any]:
    """Where the time of a step goes, on one thread."""
    return parts(rounds * steps // 2)


def transformer(rounds: int, steps: int) -> dict[str, Any]:
    """One step of the one-layer transformer, p 97, d 128, 4704 pairs."""
    # At a learning rate of 0.01 the rounding of float32 alone would drive two losses apart.
    task = Task.of(model="transformer", xi=0.0, learning_rate=1e-4)
    return compared([Ours(task), *peers(task, [
        ("torch", "TorchTransformer", {}), ("torch", "TorchTransformer", {"compiled": True}),
        ("jax", "JaxTransformer", {})])], rounds, max(1, steps // 3))


def variants(rounds: int, steps: int) -> dict[str, Any]:
    """The two-layer network with BatchNorm in minibatches and full batches, and ours with and without dropout."""
    result = {}
    for batch in (64, 4704):
        task = Task.of(batch_norm=True, batch_size=batch, learning_rate=0.01, weight_decay=5.0)
        result[f"BatchNorm, batch {batch}"] = compared(
            [Ours(task), *peers(task, [("torch", "BatchNormed", {})])], rounds, steps)
    contenders = []
    for name, settings in {"square": {}, "square, dropout 0.3": {"dropout": 0.3}, "relu": {"activation": "relu"},
                           "relu, dropout 0.3": {"activation": "relu", "dropout": 0.3}}.items():
        contenders.append(Ours(Task.of(**settings)))
        contenders[-1].name = name
    times = interleaved(contenders, rounds, max(1, steps // 2))
    result["dropout"] = {"milliseconds": {name: summary(values) for name, values in times.items()}}
    return result


def scaling(rounds: int, steps: int) -> dict[str, Any]:
    """How a step of the two-layer network grows: with width, p, threads, and runs in a stack."""
    result = {}
    for name, values, make in (
            ("width", (125, 250, 500, 1000, 2000, 4000), lambda value: [TrainingConfig(width=value)]),
            ("p", (23, 47, 97, 197), lambda value: [TrainingConfig(p=value)]),
            ("threads", range(1, available_cores() + 1), lambda value: [TrainingConfig(threads=value)]),
            ("runs", (1, 2, 4, 8, 16, 32, 64), lambda value: [TrainingConfig(seed=seed) for seed in range(value)])):
        result[name] = grown(values, make, rounds, steps)
        if name in ("width", "p"):
            result[f"{name} exponents"] = exponents(result[name])
    return result


def exponents(entries: dict[str, dict[str, float]]) -> dict[str, float]:
    """How the medians grow from one value to the next: the exponent of a power."""
    return {f"{low} to {high}": float(np.log(entries[high]["median"] / entries[low]["median"])
                                      / np.log(int(high) / int(low))) for low, high in pairwise(entries)}


def grown(values: Sequence[int], make: Callable[[int], list[TrainingConfig]], rounds: int,
          steps: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a step of one run, for each value: about as many runs are stepped for each of them."""
    result = {}
    for value in values:
        configs = make(value)
        times = []
        with Trainer([config.resolved() for config in configs]) as trainer:
            trainer.step()
            trainer.device.synchronize()
            for _ in range(max(3, rounds * steps // (2 * len(configs)))):
                start = time.perf_counter()
                trainer.step()
                trainer.device.synchronize()
                times.append(1000 * (time.perf_counter() - start) / len(configs))
        low, middle, high = np.percentile(times, [5, 50, 95])
        result[str(value)] = {"median": float(middle), "lowest": float(low), "highest": float(high)}
    return result


def start(rounds: int, steps: int) -> dict[str, Any]:
    """Seconds from the command to the end of its first step, and its peak memory."""
    with tempfile.TemporaryDirectory() as place:
        def command(number, *options):
            return [sys.executable, str(ROOT / "grok.py"), "--quiet", "--out", str(Path(place) / str(number)), *options]

        times: dict[str, list[float]] = {"importing NumPy": [], "python grok.py --steps 1 --no-plot": []}
        for number in range(rounds):
            for name, arguments in zip(times, ([sys.executable, "-c", "import numpy"],
                                               command(number, "--steps", "1", "--no-plot")), strict=True):
                began = time.perf_counter()
                subprocess.run(arguments, check=True)
                times[name].append(time.perf_counter() - began)
        memory = {f"{count} steps{'' if plot else ', no figures'}": peak_memory(
            command(f"{count} {plot}", "--steps", str(count), *([] if plot else ["--no-plot"])))
            for count, plot in ((500, True), (500, False), (1000, False))}
    return {"seconds": {name: summary(values) for name, values in times.items()}, "peak megabytes": memory}


def phase_diagram(rounds: int, steps: int) -> dict[str, Any]:
    """The phase diagrams of fig. 3 on a CPU: a part, and the extrapolation."""
    return diagram("numpy", 3 * steps)


def gpu(rounds: int, steps: int) -> dict[str, Any]:
    """On a GPU: a step beside PyTorch's, runs in a stack, and the whole phase diagrams."""
    task = Task.of()
    there = replace(task, config=replace(task.config, backend="cupy"))
    result = {"device": open_device("cupy").description}
    of_torch = [("torch", "ReferenceLayout", {"device": "cuda"}), ("torch", "Embedded", {"device": "cuda"}),
                ("torch", "Embedded", {"device": "cuda", "compiled": True})] if torch_has_cuda() else []
    result["step"] = compared([Ours(there), *peers(task, of_torch)], rounds, steps)
    for name, tf32 in (("runs", False), ("runs with tf32", True)):
        result[name] = grown((1, 4, 16, 64, 256), lambda value, tf32=tf32: [
            TrainingConfig(seed=seed, backend="cupy", tf32=tf32) for seed in range(value)], rounds, steps)
    result["diagram"] = diagram("cupy", steps)
    return result


WATCHER = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); " \
          "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"


def peak_memory(arguments: Sequence[str]) -> float:
    """The largest memory that a command takes, in megabytes."""
    # A process starts out with the peak of the one that starts it, so that must be a small one.
    watcher = subprocess.run([sys.executable, "-c", WATCHER, *arguments], check=True, capture_output=True, text=True)
    return int(watcher.stdout) / 1024


SECTIONS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "step": step, "transformer": transformer, "parts": in_parts, "variants": variants, "scaling": scaling,
    "start": start, "diagram": phase_diagram, "gpu": gpu}
