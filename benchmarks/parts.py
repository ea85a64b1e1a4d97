"""Where the time of a step goes, layer by layer, on one thread; and what a network in one piece saves."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from typing import Any

from benchmarks.measure import WARM_UP
from layers import Cache, Mode, Transformer, TwoLayerNetwork
from training import Trainer, TrainingConfig

NETWORKS = {"two-layer network": {}, "transformer": {"model": "transformer", "xi": 0.0}}


class Watch:
    """Sums up the milliseconds between its calls, under the name that each is given."""

    def __init__(self):
        self.times: dict[str, float] = defaultdict(float)
        self.last = time.perf_counter()

    def __call__(self, name: str) -> None:
        """The time since the last call goes to this name."""
        now = time.perf_counter()
        self.times[name] += 1000 * (now - self.last)
        self.last = time.perf_counter()


def step_by_layers(trainer: Trainer, network, grads, caches) -> dict[str, float]:
    """Milliseconds of each part of a step through the layers of a chain."""
    watch = Watch()
    for chunk, cache in zip(trainer.batch_chunks, caches, strict=True):
        mode, x = Mode(training=True), chunk.inputs
        for name, layer in network.layers.items():
            x = layer.forward(x, cache[name], mode)
            watch(name)
        dy = trainer.loss.gradient(x, chunk.labels, cache["loss"], examples=trainer.batch_size, out=x)
        watch("loss")
        for name, layer in reversed(network.layers.items()):
            dy = layer.backward(dy, cache[name], grads[name])
            watch(f"{name}, back")
    trainer.optimizer.step([gradients.flat for gradients in trainer.grads])
    watch("adding up, AdamW")
    return watch.times


def step_in_one_piece(trainer: Trainer) -> dict[str, float]:
    """Milliseconds of a step as it is made in training."""
    watch = Watch()
    trainer.step()
    watch("all of it")
    return watch.times


def parts(steps: int) -> dict[str, Any]:
    """For each network: its layers' milliseconds, and those of its form in one piece."""
    result = {}
    for name, settings in NETWORKS.items():
        config = TrainingConfig(threads=1, **settings).resolved()
        plain = (Transformer(config.p, config.width, config.heads) if config.model == "transformer"
                 else TwoLayerNetwork(config.p, config.width))
        with Trainer([config]) as trainer:
            plain.build(trainer.device, config.seed)
            grads, caches = plain.gradients(), [Cache() for _ in trainer.batch_chunks]
            memory: dict[Any, Any] = {}
            for cache in caches:
                cache.work_in(memory)
            made: dict[str, list[dict[str, float]]] = {"layers": [], "in one piece": []}
            for _ in range(WARM_UP + steps):
                made["layers"].append(step_by_layers(trainer, plain, grads, caches))
                made["in one piece"].append(step_in_one_piece(trainer))
        result[name] = {form: {part: statistics.median(one[part] for one in times[WARM_UP:]) for part in times[0]}
                        for form, times in made.items()}
    return result
