"""The settings of a run: their defaults, and what is allowed.

Some defaults depend on other settings, as they do in the paper. They are None until `resolved` fills them in:

    setting                     learning rate        weight decay   steps            eval every   loss
    full batch (two-layer)      0.01                 15             500              5            mse
    minibatch B, or BatchNorm   0.01 sqrt(B / 256)   0              2000 * 256 / B   20           mse
    relu-mlp                    0.001                20             5000             20           mse
    transformer                 0.01                 0.5            1000             20           cross-entropy
    task mnist                  0.001                40             500              10           mse

BatchNorm alone takes the paper's batch size, 64. Those of images hold with minibatches and BatchNorm as well.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from typing import Any

from backend import BACKENDS, DTYPES, available_cores
from data.images import TEST_IMAGES, TRAIN_IMAGES
from data.operations import OPERATIONS, is_prime
from layers.activations import ACTIVATIONS
from optim import OPTIMIZERS, SCHEDULES

TASKS = ("modular", "mnist")
MODELS = ("mlp", "relu-mlp", "transformer")
LOSSES = ("mse", "cross-entropy")


# The settings that have a meaning with one task alone.
OF_TASK = {"modular": ("p", "operation", "alpha", "test_alpha"),
           "mnist": ("train_size", "initial_scale")}

# What a run computes does not depend on these.
FREE = ("threads", "checkpoint_every", "snapshots")

# Beyond these no machine has the memory: 46,340 is the largest p whose pairs can be counted in 31 bits.
LARGEST = {"p": 46_340, "width": 1_000_000, "depth": 1_000}


class ConfigError(ValueError):
    """A setting has a value that is not allowed.

    Attributes
    ----------
    field : str
        The setting's name in `TrainingConfig`.
    problem : str
        What is allowed, and what it got.
    """

    def __init__(self, field: str, problem: str):
        super().__init__(f"{field} {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The settings of one run. None means: the default of the setting (see the module's table).

    Attributes
    ----------
    task : {"modular", "mnist"}
        Modular arithmetic, or images of digits. Images take model relu-mlp, whose first layer is then a Linear one, and
        none of p, operation, alpha and test_alpha.
    p : int
        The modulus; at least 2 and at most 46340, prime for operation divide.
    operation : {"add", "subtract", "multiply", "divide"}
    alpha : float
        The fraction of all pairs that is trained on, in (0, 1].
    xi : float
        The fraction of training labels that is redrawn at random, in [0, 1].
    train_size : int, optional
        Of images: how many are trained on, the first ones of the file; at most 7000, by default 1000.
    model : {"mlp", "relu-mlp", "transformer"}, optional
        The two-layer network, a deeper MLP, or the one-layer transformer. By default mlp, relu-mlp of images.
    width : int, optional
        Neurons of a hidden layer N (default 500, 200 of images), or features of a token d (default 128).
    activation : {"square", "relu", "gelu"}, optional
        Of an MLP: by default square for mlp, relu for relu-mlp.
    depth : int
        Weight layers of relu-mlp.
    initial_scale : float
        Of images: the factor on the usual initial weights and biases.
    heads : int
        Attention heads of the transformer.
    layer_norm : bool
        LayerNorm in the transformer.
    dropout : float
        The rate, in [0, 1).
    batch_norm : bool
        BatchNorm after the activations of an MLP.
    loss : {"mse", "cross-entropy"}, optional
    optimizer : {"adamw", "adam", "sgd"}
    learning_rate, weight_decay : float, optional
    schedule : {"constant", "warmup-constant", "warmup-cosine"}
        Of the learning rate.
    warmup : int
        Steps of warm-up of the schedule.
    batch_size : int, optional
        By default the whole training set at every step.
    steps : int, optional
    eval_every : int, optional
        Steps between evaluations.
    seed : int
        Fixes the split, the corruption, the initial weights, the batches and dropout.
    backend : {"numpy", "cupy"}
    dtype : {"float32", "float64"}
    tf32 : bool
        Whether a GPU may multiply float32 matrices with inputs rounded to 10 bits of mantissa.
    threads : int, optional
        By default one for each core. The result does not depend on it.
    checkpoint_every : int, optional
        Steps between checkpoints; by default there is one every 30 seconds.
    snapshots : int
        How many sets of weights to keep along the way, the first and the last included; 0 for none.
    continue_from : str, optional
        The folder of a run whose weights this one starts from.
    reset_optimizer : bool
        Whether it then starts with an optimiser that has seen nothing, or with that of the other run.
    test_alpha : float, optional
        Where the test set begins, in [alpha, 1]: with a smaller alpha the test set of a larger one can be kept. By
        default alpha: the test set is all that is not trained on.
    """

    task: str = "modular"
    p: int = 97
    operation: str = "add"
    alpha: float = 0.5
    xi: float = 0.35
    train_size: int | None = None
    model: str | None = None
    width: int | None = None
    activation: str | None = None
    depth: int = 3
    initial_scale: float = 1.0
    heads: int = 4
    layer_norm: bool = False
    dropout: float = 0.0
    batch_norm: bool = False
    loss: str | None = None
    optimizer: str = "adamw"
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: str = "constant"
    warmup: int = 0
    batch_size: int | None = None
    steps: int | None = None
    eval_every: int | None = None
    seed: int = 0
    backend: str = "numpy"
    dtype: str = "float32"
    tf32: bool = False
    threads: int | None = None
    checkpoint_every: int | None = None
    snapshots: int = 0
    continue_from: str | None = None
    reset_optimizer: bool = True
    test_alpha: float | None = None

    @property
    def examples(self) -> int:
        """The number of examples of the task: all pairs, or the images trained on and those of the test set."""
        if self.task == "mnist":
            return self.train_examples + TEST_IMAGES
        return self.p * (self.p - 1 if self.operation == "divide" else self.p)

    @property
    def train_examples(self) -> int:
        """The number of examples in the training set."""
        if self.task == "mnist":
            return 1000 if self.train_size is None else self.train_size
        return int(self.alpha * self.examples)

    def resolved(self) -> TrainingConfig:
        """These settings with every default filled in, checked.

        Raises
        ------
        ConfigError
            For the first setting whose value is not allowed.
        """
        self._check_types()
        self._check_values()
        batch_size = self.batch_size
        if batch_size is None and self.batch_norm and self.task == "modular":
            batch_size = min(64, self.train_examples)
        config = dataclasses.replace(self, batch_size=batch_size, threads=self.threads or available_cores())
        defaults = config._setting_defaults()
        return dataclasses.replace(config, **{name: value for name, value in defaults.items()
                                              if getattr(config, name) is None})

    def _setting_defaults(self) -> dict[str, Any]:
        if self.task == "mnist":
            return {"model": "relu-mlp", "train_size": self.train_examples, "width": 200, "activation": "relu",
                    "learning_rate": 0.001, "weight_decay": 40.0, "steps": 500, "loss": "mse", "eval_every": 10}
        if self.model == "transformer":
            defaults = {"width": 128, "activation": "relu", "learning_rate": 0.01, "weight_decay": 0.5,
                        "steps": 1000, "loss": "cross-entropy", "eval_every": 20}
        elif self.model == "relu-mlp":
            defaults = {"width": 500, "activation": "relu", "learning_rate": 0.001, "weight_decay": 20.0,
                        "steps": 5000, "loss": "mse", "eval_every": 20}
        else:
            defaults = {"model": "mlp", "width": 500, "activation": "square", "learning_rate": 0.01,
                        "weight_decay": 15.0, "steps": 500, "loss": "mse", "eval_every": 5}
        if self.batch_size is not None and self.model != "transformer":
            defaults |= {"learning_rate": 0.01 * math.sqrt(self.batch_size / 256), "weight_decay": 0.0,
                         "steps": max(1, 2000 * 256 // self.batch_size), "eval_every": 20}
        return defaults

    def _check_types(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            names = field.type.split(" | ")
            if value is None and "None" in names:
                continue
            kind = {"int": int, "float": (int, float), "str": str, "bool": bool}[names[0]]
            if not isinstance(value, kind) or (isinstance(value, bool) and names[0] != "bool"):
                what = {"int": "a whole number", "float": "a number", "str": "a word", "bool": "true or false"}
                raise ConfigError(field.name, f"must be {what[names[0]]}, got {value!r}")

    def _check_values(self) -> None:
        def need(field, allowed, what):
            if not allowed:
                raise ConfigError(field, f"must {what}, got {getattr(self, field)}")

        def at_least(field, bound):
            value = getattr(self, field)
            need(field, value is None or value >= bound, f"be at least {bound}")

        def at_most(field, bound):
            value = getattr(self, field)
            need(field, value is None or value <= bound, f"be at most {bound}")

        def one_of(field, names):
            value = getattr(self, field)
            need(field, value is None or value in names, f"be one of {', '.join(names)}")

        one_of("task", TASKS)
        for task, fields in OF_TASK.items():
            for field in fields:
                value = getattr(self, field)
                if task != self.task and value != getattr(TrainingConfig, field):
                    raise ConfigError(field, f"has no meaning with task {self.task}, got {value}")
        for field, names in {"operation": OPERATIONS, "model": MODELS, "activation": tuple(ACTIVATIONS), "loss": LOSSES,
                             "optimizer": tuple(OPTIMIZERS), "schedule": tuple(SCHEDULES), "backend": BACKENDS,
                             "dtype": DTYPES}.items():
            one_of(field, names)
        at_least("p", 2)
        for field, bound in LARGEST.items():
            at_most(field, bound)
        need("p", self.operation != "divide" or is_prime(self.p), "be prime for operation divide")
        need("train_size", self.train_size is None or 1 <= self.train_size <= TRAIN_IMAGES,
             f"be at least 1 and at most {TRAIN_IMAGES}, the images that there are")
        need("model", self.task == "modular" or self.model in (None, "relu-mlp"), "be relu-mlp with task mnist")
        need("alpha", 0 < self.alpha <= 1, "lie in (0, 1]")
        need("alpha", self.train_examples >= 1, "leave at least one training example")
        need("test_alpha", self.test_alpha is None or self.alpha <= self.test_alpha <= 1,
             f"lie between alpha, {self.alpha}, and 1")
        need("xi", 0 <= self.xi <= 1, "lie in [0, 1]")
        need("dropout", 0 <= self.dropout < 1, "lie in [0, 1)")
        rate, decay = self.learning_rate, self.weight_decay
        largest = sys.float_info.max  # a whole number can be less than infinity and still not fit a float
        need("learning_rate", rate is None or 0 < rate <= largest, "be positive and finite")
        need("weight_decay", decay is None or 0 <= decay <= largest, "be finite and not negative")
        for field in ("width", "heads", "steps", "eval_every", "threads", "batch_size", "checkpoint_every"):
            at_least(field, 1)
        need("initial_scale", 0 < self.initial_scale <= largest, "be positive and finite")
        for field in ("seed", "warmup"):
            at_least(field, 0)
        need("snapshots", self.snapshots == 0 or self.snapshots >= 2, "be 0, or at least 2 (the first and the last)")
        at_least("depth", 2)
        need("tf32", not self.tf32 or (self.backend == "cupy" and self.dtype == "float32"),
             "be off but with backend cupy and dtype float32")
        need("batch_size", self.batch_size is None or self.batch_size <= self.train_examples,
             f"be at most the size of the training set, {self.train_examples}")
        if self.model == "transformer":
            need("heads", (self.width or 128) % self.heads == 0, f"divide the width {self.width or 128}")
            need("activation", self.activation in (None, "relu"), "be relu in the transformer")
            need("batch_norm", not self.batch_norm, "be off in the transformer (it has layer_norm)")
        else:
            need("layer_norm", not self.layer_norm, "be off in an MLP (it has batch_norm)")

    def caveat(self) -> str | None:
        """What is allowed, but most likely not meant; of resolved settings."""
        product = self.learning_rate * self.weight_decay
        if self.optimizer != "adamw" or product < 1:
            return None
        effect = "sets all decaying weights to zero" if product == 1 else "flips the sign of all decaying weights"
        return (f"learning rate x weight decay is {product:g}: every step multiplies the weights by "
                f"1 - {product:g}, which {effect} before the step")

    def differences(self, other: TrainingConfig) -> dict[str, tuple[Any, Any]]:
        """The settings that decide what a run computes and differ, each with its value here and in the other.

        Steps do not count: a run is the beginning of any longer one, unless its schedule depends on its length.
        """
        free = set(FREE) if self.schedule == "warmup-cosine" else {*FREE, "steps"}
        mine, theirs = self.to_dict(), other.to_dict()
        return {name: (mine[name], theirs[name]) for name in mine if name not in free and mine[name] != theirs[name]}

    def to_dict(self) -> dict[str, Any]:
        """The settings by name, as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> TrainingConfig:
        """Settings from plain values; the inverse of `to_dict`.

        Raises
        ------
        ConfigError
            If a name is unknown, or a value has the wrong type or is not allowed.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for name in settings:
            if name not in known:
                raise ConfigError(name, f"is not a setting; there are {', '.join(sorted(known))}")
        config = cls(**settings)
        config.resolved()
        return config
