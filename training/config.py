"""The settings of a run: their defaults, and what is allowed.

Some defaults depend on other settings, as they do in the paper. They are None until `resolved` fills them in:

    setting                     learning rate        weight decay   steps            eval every   loss
    full batch (two-layer)      0.01                 15             500              5            mse
    minibatch B, or BatchNorm   0.01 sqrt(B / 256)   0              2000 * 256 / B   20           mse
    relu-mlp                    0.001                20             5000             20           mse
    transformer                 0.01                 0.5            1000             20           cross-entropy
    task mnist                  0.001                40             500              10           mse
    task digits                 0.001                0.1            20000            100          mse
    task reviews                0.001                0.3            8000             50           cross-entropy
    task imdb                   0.0003               1              10000            50           cross-entropy

BatchNorm alone takes the paper's batch size, 64. Those of images and texts hold with minibatches and BatchNorm as
well. The other defaults of a task (xi among them) are in `training.tasks`.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend import BACKENDS, DTYPES, available_cores
from data.digits import digits_available
from data.imdb import check_folder
from data.operations import OPERATIONS, is_prime
from layers.activations import ACTIVATIONS
from optim import OPTIMIZERS, SCHEDULES
from training.tasks import TASKS, has_meaning

MODELS = ("mlp", "relu-mlp", "transformer", "lstm")
LOSSES = ("mse", "cross-entropy")

# What a network has of these where it is not told, and what a network without them is written down with.
DEPTH, HEADS = 3, 4

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
    task : {"modular", "mnist", "digits", "reviews", "imdb"}
        Modular arithmetic; images of digits (28 x 28, or scikit-learn's of 8 x 8); or texts, praise or not (made by a
        grammar, or the IMDb's). Images take model relu-mlp, whose first layer is then a Linear one, texts take lstm,
        and both none of p, operation, alpha and test_alpha.
    p : int
        The modulus; at least 2 and at most 46340, prime for operation divide.
    operation : {"add", "subtract", "multiply", "divide"}
    alpha : float
        The fraction of all pairs that is trained on, in (0, 1].
    xi : float, optional
        The fraction of training labels that is redrawn at random, in [0, 1]; by default 0.35, 0 of digits and texts.
    train_size : int, optional
        Of images and texts: how many are trained on. Of mnist the first ones of the file, at most 7000, by default
        1000; of digits at most 1000, by default 200; of texts by default 750.
    data_folder : str, optional
        Of imdb: the folder aclImdb of the data set, which does not come with the program.
    words, tokens : int, optional
        Of imdb: how many words are known, the most frequent ones (default 1000), and how many of a text are read, the
        first ones (default 500).
    model : {"mlp", "relu-mlp", "transformer", "lstm"}, optional
        The two-layer network, a deeper MLP, the one-layer transformer, or LSTMs. By default mlp; relu-mlp of images;
        lstm, the only one, of texts.
    width : int, optional
        Neurons of a hidden layer N (default 500, 200 of images), or features of a token (default 128 in the
        transformer, 48 in the lstm, 256 of imdb).
    activation : {"square", "relu", "gelu"}, optional
        Of an MLP: by default square for mlp, relu for relu-mlp.
    depth : int, optional
        Weight layers of relu-mlp, by default 3; or of lstm, where the embedding and the output are two of them, by
        default 3, 4 of imdb.
    initial_scale : float, optional
        Of images and texts: the factor on the usual initial values; by default 1 of mnist, 8 of digits, 6 of texts.
    heads : int
        Attention heads of the transformer.
    layer_norm : bool
        LayerNorm in the transformer.
    dropout : float
        The rate, in [0, 1).
    batch_norm : bool
        BatchNorm after the activations of an MLP.
    noise, noise_floor : float
        Of images: in training, Gaussian noise on the pixels, its standard deviation noise times (1 - train accuracy),
        but at least noise_floor.
    loss : {"mse", "cross-entropy"}, optional
    optimizer : {"adamw", "adam", "sgd"}
    learning_rate, weight_decay : float, optional
    l2 : float
        c of a term c |w|^2 in the loss, of any sign, over the parameters that weight decay acts on. (The losses that
        are measured are without it.)
    clip : float, optional
        The greatest length of a gradient; longer ones are shortened to it.
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
    xi: float | None = None
    train_size: int | None = None
    data_folder: str | None = None
    words: int | None = None
    tokens: int | None = None
    model: str | None = None
    width: int | None = None
    activation: str | None = None
    depth: int | None = None
    initial_scale: float | None = None
    heads: int = HEADS
    layer_norm: bool = False
    dropout: float = 0.0
    batch_norm: bool = False
    noise: float = 0.0
    noise_floor: float = 0.0
    loss: str | None = None
    optimizer: str = "adamw"
    learning_rate: float | None = None
    weight_decay: float | None = None
    l2: float = 0.0
    clip: float | None = None
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
        if not TASKS[self.task].modular:
            return self.train_examples + TASKS[self.task].test_size
        return self.p * (self.p - 1 if self.operation == "divide" else self.p)

    @property
    def train_examples(self) -> int:
        """The number of examples in the training set."""
        if not TASKS[self.task].modular:
            return TASKS[self.task].defaults["train_size"] if self.train_size is None else self.train_size
        return int(self.alpha * self.examples)

    def resolved(self) -> TrainingConfig:
        """These settings with every default filled in, checked.

        Raises
        ------
        ConfigError
            For the first setting whose value is not allowed.
        """
        plain = self._with_plain_values()
        plain._check_values()
        batch_size = plain.batch_size
        if batch_size is None and TASKS[plain.task].modular and plain.batch_norm:
            batch_size = min(64, plain.train_examples)
        if batch_size is None and (usual := TASKS[plain.task].defaults.get("batch_size")):
            batch_size = min(usual, plain.train_examples)
        config = dataclasses.replace(plain, batch_size=batch_size, threads=plain.threads or available_cores())
        defaults = config._setting_defaults()
        return dataclasses.replace(config, **{name: value for name, value in defaults.items()
                                              if getattr(config, name) is None})

    def _setting_defaults(self) -> dict[str, Any]:
        task = TASKS[self.task]
        if not task.modular:
            return {"model": task.models[0], "depth": DEPTH, **task.defaults}
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
        return {"depth": DEPTH, **task.defaults, **defaults}

    def _with_plain_values(self) -> TrainingConfig:
        """These settings with Python's own numbers in the place of NumPy's; types checked, and that each is finite."""
        plain = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            names = field.type.split(" | ")
            if value is None and "None" in names:
                continue
            kind, allowed, what = {"int": (int, numbers.Integral, "a whole number"),
                                   "float": (float, numbers.Real, "a number"), "str": (str, str, "a word"),
                                   "bool": (bool, (bool, np.bool_), "true or false")}[names[0]]
            if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
                raise ConfigError(field.name, f"must be {what}, got {value!r}")
            try:
                plain[field.name] = kind(value)
                finite = kind is not float or math.isfinite(value)
            except OverflowError:  # a whole number that fits no float
                finite = False
            if not finite:
                raise ConfigError(field.name, f"must be finite, got {value}")
        return dataclasses.replace(self, **plain)

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

        one_of("task", tuple(TASKS))
        task = TASKS[self.task]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and not has_meaning(field.name, self.task):
                raise ConfigError(field.name, f"has no meaning with task {self.task}, got {value}")
        need("task", self.task != "digits" or digits_available(),
             "be one whose data is here: digits needs scikit-learn (pip install -e '.[data]')")
        for field, names in {"operation": OPERATIONS, "model": MODELS, "activation": tuple(ACTIVATIONS), "loss": LOSSES,
                             "optimizer": tuple(OPTIMIZERS), "schedule": tuple(SCHEDULES), "backend": BACKENDS,
                             "dtype": DTYPES}.items():
            one_of(field, names)
        at_least("p", 2)
        for field, bound in LARGEST.items():
            at_most(field, bound)
        need("p", self.operation != "divide" or is_prime(self.p), "be prime for operation divide")
        need("train_size", self.train_size is None or 1 <= self.train_size <= task.train_size,
             f"be at least 1 and at most {task.train_size}, the {task.examples} that there are")
        need("model", self.model in (None, *task.models), f"be {' or '.join(task.models)} with task {self.task}")
        need("alpha", 0 < self.alpha <= 1, "lie in (0, 1]")
        need("alpha", self.train_examples >= 1, "leave at least one training example")
        need("test_alpha", self.test_alpha is None or self.alpha <= self.test_alpha <= 1,
             f"lie between alpha, {self.alpha}, and 1")
        need("xi", self.xi is None or 0 <= self.xi <= 1, "lie in [0, 1]")
        need("dropout", 0 <= self.dropout < 1, "lie in [0, 1)")
        need("learning_rate", self.learning_rate is None or self.learning_rate > 0, "be positive")
        at_least("weight_decay", 0)
        for field in ("width", "heads", "steps", "eval_every", "threads", "batch_size", "checkpoint_every", "words",
                      "tokens"):
            at_least(field, 1)
        if self.task == "imdb":
            need("data_folder", self.data_folder is not None,
                 "be given with task imdb: the folder aclImdb of the data set")
            try:
                check_folder(self.data_folder)
            except FileNotFoundError as error:
                raise ConfigError("data_folder", f"must be the folder aclImdb of the data set: {error}") from None
        need("initial_scale", self.initial_scale is None or self.initial_scale > 0, "be positive")
        need("clip", self.clip is None or self.clip > 0, "be positive")
        for field in ("noise", "noise_floor", "seed", "warmup"):
            at_least(field, 0)
        need("snapshots", self.snapshots == 0 or self.snapshots >= 2, "be 0, or at least 2 (the first and the last)")
        lstm = task.models == ("lstm",)
        at_least("depth", 3 if lstm else 2)
        model = self.model or task.models[0]
        need("depth", self.depth in (None, DEPTH) or model in ("relu-mlp", "lstm"),
             f"be left out with model {model}, whose depth is its own")
        need("heads", self.heads == HEADS or model == "transformer", f"be left out with model {model}, which has none")
        need("tf32", not self.tf32 or (self.backend == "cupy" and self.dtype == "float32"),
             "be off but with backend cupy and dtype float32")
        need("batch_size", self.batch_size is None or self.batch_size <= self.train_examples,
             f"be at most the size of the training set, {self.train_examples}")
        if self.model == "transformer":
            need("heads", (self.width or 128) % self.heads == 0, f"divide the width {self.width or 128}")
            need("activation", self.activation in (None, "relu"), "be relu in the transformer")
            need("batch_norm", not self.batch_norm, "be off in the transformer (it has layer_norm)")
        elif lstm:
            need("activation", self.activation is None, "be left out with an LSTM, whose functions are its own")
            for field in ("batch_norm", "layer_norm"):
                need(field, not getattr(self, field), "be off with an LSTM")
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
