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


def step_in_parts(trainer: Trainer, network, grads, caches) -> dict[str, float]:
    """Milliseconds of each part of a step through the layers of a chain, or through a network in one piece."""
    watch = Watch()
    chain = type(network) in (TwoLayerNetwork, Transformer)
    for chunk, cache in zip(trainer.batch_chunks, caches, strict=True):
        mode, x = Mode(training=True), chunk.inputs
        layers = network.layers.items() if chain else [("in one piece", network)]
        for name, layer in layers:
            x = layer.forward(x, cache[name], mode)
            watch(name)
        dy = trainer.loss.gradient(x, chunk.labels, cache["loss"], examples=trainer.batch_size, out=x)
        watch("loss")
        for name, layer in reversed(layers):
            dy = layer.backward(dy, cache[name], grads[name] if chain else grads)
            watch(f"{name}, back")
    trainer.optimizer.step([gradients.flat for gradients in trainer.grads])
    watch("adding up, AdamW")
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
            made: dict[str, list[dict[str, float]]] = {"layers": [], "in one piece": []}
            forms = {form: (network, network.gradients(), [Cache() for _ in trainer.batch_chunks])
                     for form, network in zip(made, (plain, trainer.network), strict=True)}
            memory: dict[Any, Any] = {}
            for _ in range(WARM_UP + steps):
                for form, (network, grads, caches) in forms.items():
                    for cache in caches:
                        cache.work_in(memory)
                    made[form].append(step_in_parts(trainer, network, grads, caches))
        result[name] = {form: {part: statistics.median(one[part] for one in times[WARM_UP:]) for part in times[0]}
                        for form, times in made.items()}
    return result
