"""The training loop: steps and evaluations of one run, or of a stack of runs as one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import streams
from analysis.ipr import mean_ipr
from backend import Array, Device, open_device, to_host
from data import Dataset
from data.noise import draw_noise, noise_strength
from layers import EVALUATING, Layer, Mode
from optim import SCHEDULES, add_l2, clip_gradients
from products import tf32_products
from training.checkpoint import CheckpointError, read_checkpoint
from training.chunks import OVERFLOWING, Chunk, Workers, prepare, prepare_backward, row_slices
from training.config import TrainingConfig
from training.denormals import denormals_flushed
from training.heap import keep_freed_memory
from training.setup import make_loss, make_network, make_optimizer, make_problem, rule_neurons


@dataclass(frozen=True)
class RunsData:
    """One data set for each run, on the device; the first axis is the runs, also where there is only one."""

    inputs: Array
    labels: Array
    corrupted: Array

    @classmethod
    def of(cls, datasets: Sequence[Dataset], device: Device) -> RunsData:
        """Put data sets of equal size side by side; inputs that are one array for all runs (images) are kept once."""
        inputs = [data.inputs for data in datasets]
        shared = len(inputs) > 1 and all(one is inputs[0] for one in inputs)
        return cls(
            device.xp.broadcast_to(device.asarray(inputs[0]), (len(inputs), *inputs[0].shape)) if shared
            else device.asarray(np.stack(inputs)),
            *(device.asarray(np.stack([getattr(data, name) for data in datasets])) for name in ("labels", "corrupted")))

    @property
    def examples(self) -> int:
        """The examples of each run."""
        return self.labels.shape[1]


class Trainer:
    """Trains one run, or a stack of runs that share all shapes.

    Use it as a context manager: it holds threads, keeps the BLAS library on one thread, on which the bits of a product
    would otherwise depend, and has the processor round denormals to zero.

    Parameters
    ----------
    configs : sequence of TrainingConfig
        Resolved. They may differ in seed, xi, dropout, learning rate and weight decay.
    device : Device, optional
        By default that of the settings.

    Attributes
    ----------
    network : Layer
    step_count : int
        Steps made so far.
    train_accuracy : list of float
        Of each run, as last evaluated: what noise on the inputs depends on.
    """

    def __init__(self, configs: Sequence[TrainingConfig], device: Device | None = None):
        config = self.config = configs[0]
        self.device = device or open_device(config.backend, config.dtype)
        self.configs, self.seeds = list(configs), tuple(config.seed for config in configs)
        problems = [make_problem(config) for config in configs]
        self.train_set = RunsData.of([problem.train for problem in problems], self.device)
        self.test_set = RunsData.of([problem.test for problem in problems], self.device)
        self.corrupted = [int(problem.train.corrupted.sum()) for problem in problems]
        self.network = make_network(configs, self.device)
        self.loss = make_loss(config)
        self.optimizer = make_optimizer(configs, self.network)
        self.schedule = SCHEDULES[config.schedule]
        self.step_count = 0
        self.train_accuracy = [0.0] * len(configs)
        self._epoch: tuple[int, Array, Array] | None = None  # its number, and the batches of inputs and labels

        self.batch_size = config.batch_size or self.train_set.examples
        slices = [slice(0, self.batch_size)] if self.network.couples_rows else self._cut(self.batch_size)
        self.grads = [self.network.gradients() for _ in slices]
        self.batch_chunks = [Chunk(network, seeds, runs, rows, pick(grads))
                             for network, seeds, runs, pick in self._members()
                             for rows, grads in zip(slices, self.grads, strict=True)]
        if config.batch_size is None:
            for chunk in self.batch_chunks:
                chunk.load(self.train_set.inputs, self.train_set.labels)
        self.train_chunks, self.test_chunks = (
            [Chunk(network, seeds, runs, rows).load(data.inputs, data.labels, data.corrupted)
             for network, seeds, runs, _ in self._members()
             for rows in self._cut(data.examples)]
            for data in (self.train_set, self.test_set))

    def _cut(self, rows):
        """The rows of each chunk; a GPU works on all rows at once, and there are none where there is no example."""
        if self.device.name == "numpy":
            return row_slices(rows, self.network.row_size)
        return [slice(0, rows)] if rows else []

    def _members(self):
        """The networks to work on one by one, each with its seeds, the runs that it is, and its part of gradients."""
        if len(self.configs) == 1:
            yield self.network, self.seeds, 0, lambda grads: grads
        elif self.device.name == "numpy":
            # A stack as one array would be cut into chunks of few rows of each run. Run by run the chunks are those of
            # a single run, and so are the results, bit for bit.
            for run, seed in enumerate(self.seeds):
                yield self.network.member(run), (seed,), run, lambda grads, run=run: grads.member(run)
        else:
            yield self.network, self.seeds, slice(None), lambda grads: grads

    def __enter__(self) -> Trainer:
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
            stack.enter_context(denormals_flushed())
            stack.enter_context(tf32_products(self.config.tf32))
            stack.enter_context(np.errstate(**OVERFLOWING))
            keep_freed_memory()
            self.workers = Workers(self.config.threads)
            stack.callback(self.workers.close)
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *exception) -> None:
        self._exits.close()

    # ---- training ----

    def step(self) -> None:
        """Make one step on the next batch."""
        self._load_batch()
        prepared = prepare(self.batch_chunks, Mode(training=True, step=self.step_count))
        gradients = self.workers.run(self._forward_backward, self.batch_chunks)
        prepare_backward(self.batch_chunks, prepared, gradients)
        self.step_count += 1
        flats = [grads.flat for grads in self.grads]
        self._change_gradients(flats)
        self.optimizer.step(flats, self.schedule(self.step_count, self.config.steps, self.config.warmup))

    def _forward_backward(self, chunk: Chunk) -> Sequence[Array] | None:
        mode = Mode(training=True, seeds=chunk.seeds, step=self.step_count, first_example=chunk.rows.start)
        logits = chunk.network.forward(chunk.inputs, chunk.cache, mode)
        dz = self.loss.gradient(logits, chunk.labels, chunk.cache["loss"], examples=self.batch_size, out=logits)
        return chunk.network.backward(dz, chunk.cache, chunk.grads)

    def _change_gradients(self, flats: list[Array]) -> None:
        """Add what is no part of the loss itself; `flats` are the parts that add up to the gradients."""
        store, total = self.network.store, flats[0]
        if self.config.l2:
            add_l2(store, total, self.config.l2)
        if self.config.clip is not None:
            for other in flats[1:]:
                total += other
                other[...] = 0
            clip_gradients(store, total, self.config.clip)

    def _load_batch(self) -> None:
        """Hand the chunks what they work on at the next step, unless it is what they have: all examples as they are."""
        noisy = self.config.noise or self.config.noise_floor
        if self.config.batch_size is None and not noisy:
            return
        if self.config.batch_size is None:
            inputs, labels = self.train_set.inputs, self.train_set.labels
        else:
            inputs, labels = self._next_batch()
        if noisy:
            sigmas = [noise_strength(accuracy, self.config.noise, self.config.noise_floor)
                      for accuracy in self.train_accuracy]
            inputs = inputs + self.device.asarray(draw_noise(sigmas, self.seeds, self.step_count, inputs.shape[1:]))
        for chunk in self.batch_chunks:
            chunk.load(inputs, labels)

    def _next_batch(self) -> tuple[Array, Array]:
        """The inputs and labels of the next batch: an epoch visits the examples in an order of its own."""
        batches = self.train_set.examples // self.batch_size  # the last, incomplete one is dropped
        epoch, number = divmod(self.step_count, batches)
        if self._epoch is None or self._epoch[0] != epoch:
            orders = [streams.generator(seed, streams.BATCHES, epoch).permutation(self.train_set.examples)
                      [:batches * self.batch_size].reshape(batches, -1) for seed in self.seeds]
            # Within a batch the order is of no account; sorted, rows that read the same row of U lie side by side.
            order = self.device.asarray(np.sort(np.stack(orders), axis=-1))
            runs = self.device.asarray(np.arange(len(self.seeds)))[:, None, None]
            self._epoch = epoch, self.train_set.inputs[runs, order], self.train_set.labels[runs, order]
        _, inputs, labels = self._epoch
        return inputs[:, number], labels[:, number]

    # ---- measuring ----

    def evaluate(self) -> list[dict[str, float | None]]:
        """Measure every run as it now is, in evaluation mode: one row of a `History` for each."""
        xp, D, T = self.device.xp, self.train_set.examples, self.test_set.examples
        train, test = (self._measure(chunks, data) for chunks, data in (
            (self.train_chunks, self.train_set), (self.test_chunks, self.test_set)))
        neurons, runs = rule_neurons(self.network, self.config), len(self.seeds)
        ipr = xp.broadcast_to(mean_ipr(*neurons), runs) if neurons else xp.full(runs, np.nan)
        # From a GPU all of it is fetched at once.
        measured = to_host(xp.concatenate([train, test[:2], xp.stack([ipr, self.weight_norms()])]))
        self.train_accuracy = [float(hits / D) for hits in measured[1]]
        return [{
            "step": self.step_count,
            "train_loss": float(train_loss),
            "test_loss": float(test_loss) if T else None,
            "train_accuracy": float(train_hits / D),
            "test_accuracy": _ratio(test_hits, T),
            "corrupted_accuracy": _ratio(corrupted_hits, corrupted),
            "uncorrupted_accuracy": _ratio(train_hits - corrupted_hits, D - corrupted),
            "mean_ipr": float(ipr) if neurons else None,
            "weight_norm": float(norm),
        } for corrupted, (train_loss, train_hits, corrupted_hits, test_loss, test_hits, ipr, norm)
            in zip(self.corrupted, measured.T, strict=True)]

    def _measure(self, chunks, data):
        """Loss, correct answers, and correct answers on corrupted examples of every run, array (3, R)."""
        xp = self.device.xp

        def measure(chunk):
            logits = chunk.network.forward(chunk.inputs, chunk.cache, EVALUATING)
            hits = logits.argmax(axis=-1) == chunk.labels
            loss = self.loss.forward(logits, chunk.labels, chunk.cache["loss"], examples=data.examples, out=logits)
            return xp.stack([loss, hits.sum(axis=-1), (hits & chunk.corrupted).sum(axis=-1)])

        prepare(chunks, EVALUATING)
        totals = xp.zeros((3, len(self.seeds)))
        for chunk, values in zip(chunks, self.workers.run(measure, chunks), strict=True):
            totals[:, chunk.runs] += values
        return totals

    def weight_norms(self) -> Array:
        """The Euclidean norm of all parameters of each run, float64 array (R,) on the device."""
        weights = self.network.store.named(self.network.store.flat).values()
        runs = len(self.seeds)
        squares = [self.device.xp.square(w.reshape(runs, -1).astype(float)).sum(axis=-1) for w in weights]
        return self.device.xp.sqrt(sum(squares))

    # ---- state ----

    def member(self, run: int) -> Layer:
        """The network of one run."""
        return self.network if len(self.configs) == 1 else self.network.member(run)

    def load(self, arrays: Mapping[str, np.ndarray], step: int, optimizer_steps: int, train_accuracy: float) -> None:
        """Set everything that a single run needs to go on.

        Parameters
        ----------
        arrays : mapping of str to array
            What `arrays` returned.
        step, optimizer_steps : int
            The steps that had been made by then, and those of the optimiser.
        train_accuracy : float
            As last evaluated.

        Raises
        ------
        ValueError
            If the arrays are not those of this network and optimiser.
        """
        state, moments = split_arrays(arrays)
        self.network.load_state(state)
        self.optimizer.load_state(moments, optimizer_steps)
        self.step_count, self.train_accuracy = step, [train_accuracy]

    def start(self) -> None:
        """Give every run that continues another one its weights, and its optimiser if asked to.

        Raises
        ------
        CheckpointError
            If the other run's checkpoint cannot be read, or does not fit.
        """
        for run, config in enumerate(self.configs):
            if config.continue_from is not None:
                self._start_from(run, config)

    def _start_from(self, run: int, config: TrainingConfig) -> None:
        path = Path(config.continue_from) / "checkpoint.npz"
        arrays, meta = read_checkpoint(path, needed=["optimizer_steps"])
        state, moments = split_arrays(arrays)
        try:
            self.member(run).load_state(state)
            if not config.reset_optimizer:
                if len(self.configs) > 1:
                    raise ValueError("the optimiser of another run can be kept by a single run, not in a stack")
                self.optimizer.load_state(moments, meta["optimizer_steps"])
        except ValueError as error:
            raise CheckpointError(f"{path}: does not fit this run: {error}") from None

    def arrays(self, run: int = 0) -> dict[str, np.ndarray]:
        """Everything that one run needs to go on: its parameters, buffers and the optimiser's averages, on the host."""
        moments = {f"optimizer.{name}": array if len(self.configs) == 1 else array[run]
                   for name, array in self.optimizer.state().items()}
        return {**self.member(run).state(), **moments}


def split_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays of a checkpoint: the network's state, and the optimiser's."""
    prefix = "optimizer."
    return ({name: array for name, array in arrays.items() if not name.startswith(prefix)},
            {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)})


def _ratio(hits, size) -> float | None:
    return float(hits / size) if size else None
