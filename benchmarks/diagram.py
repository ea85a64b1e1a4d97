"""How long the phase diagrams of Doshi et al., fig. 3, take: alpha x xi, a panel for each weight decay, 1292 runs.

On a GPU all of it is trained, `train_many` stacking the runs that share an alpha. On a CPU a part is: a few steps of a
few alphas, since the time of a step depends on nothing else; the rest is extrapolated.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.measure import WARM_UP
from training import Trainer, TrainingConfig, train_many

ALPHAS = tuple(np.linspace(0.1, 0.9, 17).round(2).tolist())
XIS = tuple(np.linspace(0.0, 0.9, 19).round(2).tolist())
DECAYS = (0.0, 5.0, 15.0, 20.0)
STEPS = 2000

MEASURED = (0.1, 0.5, 0.9)
"""The alphas that a CPU measures; between them the time of a step grows in a straight line."""


def diagram(backend: str, steps: int) -> dict[str, Any]:
    """The wall time of all panels.

    Parameters
    ----------
    backend : {"numpy", "cupy"}
    steps : int
        Of those alphas that a CPU measures.
    """
    runs = len(ALPHAS) * len(XIS) * len(DECAYS)
    if backend == "cupy":
        configs = [TrainingConfig(alpha=alpha, xi=xi, weight_decay=decay, steps=STEPS, eval_every=STEPS,
                                  backend=backend)
                   for alpha in ALPHAS for xi in XIS for decay in DECAYS]
        train_many([replace(config, steps=2) for config in configs[:2]])  # compiles what is to be compiled
        start = time.perf_counter()
        train_many(configs, progress=True)
        return {"runs": runs, "steps": STEPS, "seconds": time.perf_counter() - start, "measured": "all"}
    milliseconds = []
    for alpha in MEASURED:
        with Trainer([TrainingConfig(alpha=alpha).resolved()]) as trainer:
            times = []
            for _ in range(WARM_UP + steps):
                start = time.perf_counter()
                trainer.step()
                times.append(1000 * (time.perf_counter() - start))
        milliseconds.append(float(np.median(times[WARM_UP:])))
    each = np.interp(ALPHAS, MEASURED, milliseconds)
    return {"runs": runs, "steps": STEPS, "seconds": float(each.sum() / 1000 * STEPS * runs / len(ALPHAS)),
            "measured": {f"{alpha:g}": value for alpha, value in zip(MEASURED, milliseconds, strict=True)}}
