"""One training step of the default network: ours, plain NumPy, and the floor.

The floor is the three matrix products of the step alone (forward, dW, and back to the hidden layer) through the same
BLAS library on all cores: no program that uses it can be faster. All three are measured in turn, round by round, so
that whatever else the machine does falls on each alike. Ours and plain NumPy start from the same weights, and must come
to the same loss.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.plain_numpy import PlainNumPy
from training import Trainer, TrainingConfig

SAME_LOSS = 1e-4
"""How far two losses may lie apart, relatively, after `COMPARED` steps in float32."""
COMPARED = 50


def matrix_products(D: int, N: int, p: int) -> Callable[[], None]:
    """The floor: a function that multiplies the step's matrices once."""
    rng = np.random.default_rng(0)
    a, dz, W = (rng.normal(size=shape).astype(np.float32) for shape in ((D, N), (D, p), (N, p)))
    z, dW, da = np.empty_like(dz), np.empty_like(W), np.empty_like(a)

    def multiply():
        np.matmul(a, W, out=z)
        np.matmul(a.T, dz, out=dW)
        np.matmul(dz, W.T, out=da)
    return multiply


def ours(config: TrainingConfig, steps: int) -> tuple[list[float], float]:
    """Seconds of each of some steps, and the training loss after `COMPARED` steps."""
    with Trainer([config]) as trainer:
        for _ in range(COMPARED):
            trainer.step()
        loss = trainer.evaluate()[0]["train_loss"]
        return [_seconds(trainer.step) for _ in range(steps)], loss


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps of each kind in a round (default %(default)s)")
    options = parser.parse_args(arguments)

    config = TrainingConfig().resolved()
    with Trainer([config]) as trainer:
        data, weights = trainer.train_set, trainer.network.state()
    plain = PlainNumPy(weights, data.inputs[0], data.labels[0], config.learning_rate, config.weight_decay)
    for _ in range(COMPARED):
        plain.step()
    plain_loss = plain.loss()
    floor = matrix_products(data.examples, config.width, config.p)

    times: dict[str, list[float]] = {"floor": [], "ours": [], "plain NumPy": []}
    for _ in range(options.rounds):
        seconds, loss = ours(config, options.steps)
        times["ours"].append(statistics.median(seconds))
        times["floor"].append(statistics.median(_seconds(floor) for _ in range(options.steps)))
        times["plain NumPy"].append(statistics.median(_seconds(plain.step) for _ in range(options.steps)))
    if abs(loss - plain_loss) > SAME_LOSS * plain_loss:
        print(f"no comparison: after {COMPARED} steps the loss is {loss:.6g}, plain NumPy's is {plain_loss:.6g}",
              file=sys.stderr)
        return 1

    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"one step, p {config.p}, N {config.width}, {data.examples} examples, float32, {config.threads} threads\n")
    print(f"{'':12}  {'ms':>6}  {'range':>13}  {'/ floor':>7}  {'/ ours':>6}")
    for name, values in times.items():
        low, high = 1000 * min(values), 1000 * max(values)
        print(f"{name:12}  {1000 * medians[name]:6.1f}  {f'{low:.1f} to {high:.1f}':>13}  "
              f"{medians[name] / medians['floor']:7.2f}  {medians[name] / medians['ours']:6.2f}")
    print(f"\nloss after {COMPARED} steps: ours {loss:.6g}, plain NumPy {plain_loss:.6g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
