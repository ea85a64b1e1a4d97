import dataclasses
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import OPERATIONS, is_prime, mnist_problem
from data.digits import digits_available
from training import ConfigError, TrainingConfig
from training.config import LOSSES
from training.tasks import TASKS


@st.composite
def configs(draw):
    """Settings that are allowed, those with a default of the setting given or not."""
    operation = draw(st.sampled_from(OPERATIONS))
    p = draw(st.integers(3, 120).filter(lambda p: operation != "divide" or is_prime(p)))
    alpha = draw(st.floats(0.2, 1))
    examples = int(alpha * p * (p - 1 if operation == "divide" else p))
    model = draw(st.sampled_from(TASKS["modular"].models))
    transformer = model == "transformer"
    heads = draw(st.integers(1, 4))
    optional = {
        "width": st.integers(1, 50).map(lambda n: n * heads),
        "activation": st.just("relu") if transformer else st.sampled_from(["square", "relu", "gelu"]),
        "loss": st.sampled_from(LOSSES),
        "learning_rate": st.floats(1e-6, 1e6),
        "weight_decay": st.floats(0, 1e6),
        "l2": st.floats(-1e6, 1e6),
        "clip": st.floats(1e-6, 1e6),
        "batch_size": st.integers(1, examples),
        "steps": st.integers(1, 10 ** 6),
        "eval_every": st.integers(1, 10 ** 6),
        "threads": st.integers(1, 64),
        "checkpoint_every": st.integers(1, 10 ** 6),
        "snapshots": st.just(0) | st.integers(2, 100),
        "continue_from": st.text(),
        "reset_optimizer": st.booleans(),
        "test_alpha": st.floats(alpha, 1),
    }
    if model == "relu-mlp":
        optional["depth"] = st.integers(2, 6)
    given_ = draw(st.fixed_dictionaries({}, optional=optional))
    if transformer:
        given_["heads"] = heads if "width" in given_ else draw(st.sampled_from([1, 2, 4, 8]))
    return TrainingConfig(
        p=p, operation=operation, alpha=alpha, model=model, xi=draw(st.floats(0, 1)),
        dropout=draw(st.floats(0, 1, exclude_max=True)), layer_norm=transformer and draw(st.booleans()),
        batch_norm=not transformer and draw(st.booleans()), seed=draw(st.integers(0, 2 ** 64)),
        optimizer=draw(st.sampled_from(["adamw", "adam", "sgd"])), dtype=draw(st.sampled_from(["float32", "float64"])),
        schedule=draw(st.sampled_from(["constant", "warmup-constant", "warmup-cosine"])),
        warmup=draw(st.integers(0, 100)), **given_)


class TestAllowedSettings:
    @given(configs())
    def test_resolve_to_settings_without_gaps(self, config):
        resolved = config.resolved().to_dict()
        optional = {"batch_size", "checkpoint_every", "clip", "continue_from", "data_folder", "initial_scale",
                    "test_alpha", "tokens", "train_size", "words"}
        assert {name for name, value in resolved.items() if value is None} <= optional

    @given(configs())
    def test_keep_every_value_that_was_given(self, config):
        resolved = config.resolved().to_dict()
        assert {name: resolved[name] for name, value in config.to_dict().items() if value is not None} == {
            name: value for name, value in config.to_dict().items() if value is not None}

    @given(configs())
    def test_resolve_once_and_for_all(self, config):
        assert config.resolved().resolved() == config.resolved()

    @given(configs())
    def test_are_left_as_they_are_by_resolving(self, config):
        before = dataclasses.replace(config)
        config.resolved()
        assert config == before

    @given(configs())
    def test_survive_a_round_trip_through_json(self, config):
        for one in (config, config.resolved()):
            assert TrainingConfig.from_dict(json.loads(json.dumps(one.to_dict()))) == one

    @pytest.mark.parametrize("settings", [
        {"alpha": 1.0}, {"alpha": 1}, {"xi": 0}, {"xi": 1}, {"dropout": 0}, {"weight_decay": 0}, {"seed": 0}, {"p": 2},
        {"p": 2, "operation": "divide"}, {"learning_rate": 1e-300}, {"batch_size": 4704}, {"batch_size": 1},
        {"p": 5, "alpha": 0.04}, {"test_alpha": 0.5}, {"test_alpha": 1}, {"snapshots": 2}, {"checkpoint_every": 1},
        {"model": "transformer", "width": 6, "heads": 3}, {"width": 7, "heads": 4}, {"tf32": True, "backend": "cupy"},
    ], ids=str)
    def test_include_the_ends_of_their_ranges(self, settings):
        TrainingConfig(**settings).resolved()


class TestDefaults:
    @pytest.mark.skipif(not digits_available(), reason="needs scikit-learn")
    @pytest.mark.parametrize(("settings", "expected"), [
        ({}, {"model": "relu-mlp", "train_size": 200, "xi": 0.0, "initial_scale": 8.0, "learning_rate": 0.001,
              "weight_decay": 0.1, "steps": 20_000, "eval_every": 100, "loss": "mse", "width": 200}),
        ({"xi": 0.2, "train_size": 1000, "batch_size": 50}, {"xi": 0.2, "weight_decay": 0.1, "steps": 20_000}),
    ], ids=str)
    def test_of_digits_show_grokking(self, settings, expected):
        resolved = TrainingConfig(task="digits", **settings).resolved().to_dict()
        assert {name: resolved[name] for name in expected} == expected

    @pytest.mark.parametrize(("settings", "expected"), [
        ({}, {"learning_rate": 0.01, "weight_decay": 15, "steps": 500, "eval_every": 5, "loss": "mse", "width": 500,
              "activation": "square", "batch_size": None}),
        ({"batch_size": 256}, {"learning_rate": 0.01, "weight_decay": 0, "steps": 2000, "eval_every": 20,
                               "loss": "mse"}),
        ({"batch_size": 64}, {"learning_rate": 0.005, "weight_decay": 0, "steps": 8000, "eval_every": 20}),
        ({"batch_size": 4000}, {"learning_rate": 0.01 * math.sqrt(4000 / 256), "steps": 128}),
        ({"batch_norm": True}, {"learning_rate": 0.005, "weight_decay": 0, "steps": 8000, "batch_size": 64}),
        ({"batch_norm": True, "batch_size": 256}, {"learning_rate": 0.01, "steps": 2000, "batch_size": 256}),
        ({"batch_norm": True, "p": 5}, {"batch_size": 12}),
        ({"model": "relu-mlp"}, {"learning_rate": 0.001, "weight_decay": 20, "steps": 5000, "eval_every": 20,
                                 "loss": "mse", "width": 500, "activation": "relu"}),
        ({"model": "transformer"}, {"learning_rate": 0.01, "weight_decay": 0.5, "steps": 1000, "eval_every": 20,
                                    "loss": "cross-entropy", "width": 128, "activation": "relu"}),
        ({"task": "mnist"}, {"model": "relu-mlp", "train_size": 1000, "learning_rate": 0.001, "weight_decay": 40,
                             "steps": 500, "eval_every": 10, "loss": "mse", "width": 200, "depth": 3,
                             "activation": "relu", "batch_size": None}),
        ({"task": "mnist", "batch_norm": True, "train_size": 50}, {"batch_size": None, "train_size": 50}),
        ({"task": "reviews"}, {"model": "lstm", "train_size": 750, "xi": 0.0, "depth": 3, "batch_size": 50, "clip": 5.0,
                               "activation": None, "words": None}),
        ({"task": "reviews", "train_size": 20}, {"batch_size": 20}),
        ({"task": "imdb", "data_folder": "aclImdb"}, {"train_size": 750, "words": 1000, "tokens": 500, "depth": 4,
                                                      "width": 256, "learning_rate": 3e-4, "clip": 5.0}),
        ({"task": "mnist"}, {"xi": 0.35, "initial_scale": 1.0, "noise": 0.0}),
        ({"task": "mnist", "batch_size": 100}, {"batch_size": 100, "learning_rate": 0.001, "weight_decay": 40}),
    ], ids=str)
    def test_depend_on_the_setting(self, settings, expected, tmp_path, monkeypatch):
        for part in ("train", "test"):
            for kind in ("pos", "neg"):
                (tmp_path / "aclImdb" / part / kind).mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        resolved = TrainingConfig(**settings).resolved().to_dict()
        assert {name: resolved[name] for name in expected} == expected

    def test_tell_the_papers_story(self):
        config = TrainingConfig()
        assert (config.p, config.operation, config.alpha, config.resolved().xi) == (97, "add", 0.5, 0.35)
        assert (config.task, config.optimizer, config.dtype, config.seed) == ("modular", "adamw", "float32", 0)
        assert config.resolved().model == "mlp"

    def test_take_all_cores_this_process_may_use(self):
        assert TrainingConfig().resolved().threads == len(os.sched_getaffinity(0))


TRANSFORMER, MNIST, REVIEWS = {"model": "transformer"}, {"task": "mnist"}, {"task": "reviews"}
IMDB = {"task": "imdb", "data_folder": "aclImdb"}
NOT_ALLOWED = [
    ("p", 1, {}), ("p", 0, {}), ("p", -97, {}), ("p", 46341, {}), ("width", 1_000_001, {}), ("depth", 1001, {}),
    ("p", 91, {"operation": "divide"}),
    ("operation", "power", {}), ("model", "cnn", {}), ("activation", "tanh", {}), ("loss", "hinge", {}),
    ("optimizer", "lion", {}), ("schedule", "step", {}), ("backend", "jax", {}), ("dtype", "float16", {}),
    ("alpha", 0.0, {}), ("alpha", -0.5, {}), ("alpha", 1.01, {}), ("alpha", math.nan, {}), ("alpha", math.inf, {}),
    ("alpha", 0.03, {"p": 5}),
    ("xi", -0.1, {}), ("xi", 1.4, {}), ("xi", math.nan, {}),
    ("dropout", -0.1, {}), ("dropout", 1.0, {}), ("dropout", math.nan, {}),
    ("learning_rate", 0.0, {}), ("learning_rate", -0.01, {}), ("learning_rate", math.nan, {}),
    ("learning_rate", math.inf, {}),
    ("weight_decay", -1.0, {}), ("weight_decay", math.nan, {}), ("weight_decay", math.inf, {}),
    ("width", 0, {}), ("width", -1, {}), ("depth", 1, {}), ("heads", 0, {}), ("heads", 3, TRANSFORMER),
    ("heads", 5, {**TRANSFORMER, "width": 12}),
    ("steps", 0, {}), ("steps", -10, {}), ("eval_every", 0, {}), ("threads", 0, {}), ("threads", -2, {}),
    ("warmup", -1, {}), ("seed", -1, {}),
    ("batch_size", 0, {}), ("batch_size", -64, {}), ("batch_size", 4705, {}), ("batch_size", 13, {"p": 5}),
    ("checkpoint_every", 0, {}), ("snapshots", 1, {}), ("snapshots", -1, {}),
    ("test_alpha", 0.49, {}), ("test_alpha", 1.01, {}), ("test_alpha", math.nan, {}),
    ("depth", 4, {}), ("depth", 4, TRANSFORMER), ("heads", 2, {}), ("heads", 2, MNIST), ("heads", 2, REVIEWS),
    ("task", "cifar", {}), ("train_size", 0, MNIST), ("train_size", -1, MNIST), ("train_size", 7001, MNIST),
    ("initial_scale", 0.0, MNIST), ("initial_scale", -8.0, MNIST), ("initial_scale", math.inf, MNIST),
    ("initial_scale", math.nan, MNIST),
    ("batch_size", 1001, MNIST), ("batch_size", 51, {**MNIST, "train_size": 50}),
    ("model", "mlp", MNIST), ("model", "transformer", MNIST), ("layer_norm", True, MNIST),
    ("p", 11, MNIST), ("operation", "multiply", MNIST), ("alpha", 0.4, MNIST), ("test_alpha", 0.6, MNIST),
    ("train_size", 1000, {}), ("initial_scale", 8.0, {}), ("noise", 0.1, {}), ("noise_floor", 0.1, {}),
    ("noise", -0.1, MNIST), ("noise", math.inf, MNIST), ("noise_floor", math.nan, MNIST),
    ("noise", 0.1, REVIEWS), ("words", 10, REVIEWS), ("tokens", 10, REVIEWS), ("data_folder", "aclImdb", MNIST),
    ("data_folder", None, {"task": "imdb"}), ("words", 0, IMDB), ("tokens", 0, IMDB), ("train_size", 25_001, IMDB),
    ("model", "lstm", {}), ("model", "lstm", MNIST), ("model", "relu-mlp", REVIEWS), ("depth", 2, REVIEWS),
    ("activation", "relu", REVIEWS), ("batch_norm", True, REVIEWS), ("layer_norm", True, REVIEWS),
    ("l2", math.inf, {}), ("l2", math.nan, {}), ("clip", 0.0, {}), ("clip", -1.0, {}), ("clip", math.inf, {}),
    ("activation", "square", TRANSFORMER), ("batch_norm", True, TRANSFORMER), ("layer_norm", True, {}),
    ("tf32", True, {}), ("tf32", True, {"backend": "cupy", "dtype": "float64"}),
]
WRONG_TYPES = [
    ("p", "97"), ("p", 97.0), ("p", True), ("p", None), ("seed", None), ("seed", 0.5), ("steps", 500.0),
    ("steps", "500"), ("width", 500.0), ("batch_size", 64.0), ("threads", "all"), ("xi", "0.2"), ("xi", True),
    ("alpha", [0.5]), ("learning_rate", "fast"), ("weight_decay", False), ("dropout", {}),
    ("operation", 3), ("operation", None), ("model", ["mlp"]), ("loss", 1), ("batch_norm", 1), ("batch_norm", "yes"),
    ("layer_norm", None), ("snapshots", None), ("snapshots", True), ("checkpoint_every", 1.5), ("continue_from", 3),
    ("tf32", 1), ("reset_optimizer", None), ("reset_optimizer", 1), ("test_alpha", "original"),
    ("task", None), ("task", 1), ("train_size", 100.0), ("train_size", "all"),
    ("initial_scale", "8"), ("data_folder", 1), ("words", "all"), ("tokens", 2.0), ("depth", 2.5), ("l2", None),
    ("l2", "1"), ("clip", True), ("noise", None), ("noise_floor", "0"),
]


class TestRefusedSettings:
    @pytest.mark.parametrize(("field", "value", "others"), NOT_ALLOWED, ids=str)
    def test_are_named_with_their_value(self, field, value, others):
        with pytest.raises(ConfigError) as refusal:
            TrainingConfig(**{field: value}, **others).resolved()
        assert refusal.value.field == field
        assert str(value) in refusal.value.problem
        assert str(refusal.value) == f"{field} {refusal.value.problem}"

    @pytest.mark.parametrize(("field", "value"), WRONG_TYPES, ids=str)
    def test_include_values_of_a_wrong_type(self, field, value):
        with pytest.raises(ConfigError) as refusal:
            TrainingConfig(**{field: value}).resolved()
        assert refusal.value.field == field
        assert refusal.value.problem.endswith(f"got {value!r}")

    @pytest.mark.parametrize("settings", [{"p": 1}, {"xi": "0.2"}, {"loss": "hinge"}], ids=str)
    def test_are_refused_from_a_file_as_well(self, settings):
        with pytest.raises(ConfigError):
            TrainingConfig.from_dict(settings)

    def test_include_names_that_are_none(self):
        with pytest.raises(ConfigError, match=r"^momentum is not a setting; there are .*alpha, .*xi"):
            TrainingConfig.from_dict({"p": 97, "momentum": 0.9})

    @given(configs(), st.sampled_from(["width", "heads", "steps", "eval_every", "threads", "batch_size",
                                       "checkpoint_every"]),
           st.integers(max_value=0))
    def test_include_counts_below_one_whatever_the_others_are(self, config, field, value):
        with pytest.raises(ConfigError) as refusal:
            dataclasses.replace(config, **{field: value}).resolved()
        assert refusal.value.field == field


@given(configs())
def test_the_number_of_examples_is_that_of_the_task(config):
    assert config.examples == config.p * (config.p - (config.operation == "divide"))
    assert config.train_examples == int(config.alpha * config.examples)


@pytest.mark.parametrize("train_size", [1, 300, 7000])
def test_the_examples_of_images_are_those_trained_on_and_the_test_set(train_size):
    config = TrainingConfig(task="mnist", train_size=train_size)
    problem = mnist_problem(train_size)
    assert config.resolved().train_examples == config.train_examples == len(problem.train) == train_size
    assert config.examples == train_size + len(problem.test)


@pytest.mark.parametrize("settings", [{}, {"p": 11, "test_alpha": 0.6}, {"model": "transformer"}], ids=str)
def test_settings_from_before_there_were_images_are_those_of_today(settings):
    config = TrainingConfig(**settings).resolved()
    new = ("task", "train_size", "initial_scale", "l2", "clip", "noise", "noise_floor", "data_folder", "words",
           "tokens")
    old = {name: value for name, value in config.to_dict().items() if name not in new}
    assert TrainingConfig.from_dict(old) == config


CHANGED = {
    "data_folder": "aclImdb", "words": 10, "tokens": 20,
    "task": "mnist", "train_size": 300, "initial_scale": 8.0, "noise": 0.1, "noise_floor": 0.2, "l2": 0.1, "clip": 2.0,
    "p": 11, "operation": "multiply", "alpha": 0.4, "xi": 0.1, "model": "relu-mlp", "width": 8, "activation": "gelu",
    "depth": 4, "heads": 2, "layer_norm": True, "dropout": 0.1, "batch_norm": True, "loss": "cross-entropy",
    "optimizer": "sgd", "learning_rate": 0.5, "weight_decay": 1.0, "schedule": "warmup-constant", "warmup": 3,
    "batch_size": 20, "steps": 7, "eval_every": 7, "seed": 1, "backend": "cupy", "dtype": "float64", "tf32": True,
    "threads": 64, "checkpoint_every": 3, "snapshots": 4, "continue_from": "run", "reset_optimizer": False,
    "test_alpha": 0.6}


class TestDifferences:
    @pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TrainingConfig)])
    def test_are_all_but_those_on_which_no_result_depends(self, field):
        config = TrainingConfig().resolved()
        other = dataclasses.replace(config, **{field: CHANGED[field]})
        expected = {} if field in ("threads", "checkpoint_every", "snapshots", "steps") else {
            field: (getattr(config, field), CHANGED[field])}
        assert config.differences(other) == expected

    @pytest.mark.parametrize(("schedule", "differs"), [
        ("constant", False), ("warmup-constant", False), ("warmup-cosine", True)])
    def test_include_the_steps_where_the_schedule_depends_on_them(self, schedule, differs):
        one, other = (TrainingConfig(schedule=schedule, steps=steps).resolved() for steps in (10, 20))
        assert one.differences(other) == ({"steps": (10, 20)} if differs else {})

    @given(configs())
    def test_are_none_between_equal_settings(self, config):
        assert config.resolved().differences(config.resolved()) == {}


def test_a_task_whose_data_is_not_here_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr("training.config.digits_available", lambda: False)
    with pytest.raises(ConfigError, match=r"task must .*scikit-learn.*got digits"):
        TrainingConfig(task="digits").resolved()


@pytest.mark.parametrize(("field", "number"), [
    ("seed", np.int64(3)), ("xi", np.float32(0.25)), ("batch_norm", np.True_), ("learning_rate", 1)])
def test_numbers_of_numpy_become_plain_ones(field, number):
    value = getattr(TrainingConfig(**{field: number}).resolved(), field)
    assert value == number
    assert json.loads(json.dumps(value)) == number
    assert type(value) in (int, float, bool)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TrainingConfig)
                                   if field.type.startswith("float")])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10 ** 400], ids=["nan", "inf", "-inf", "10^400"])
def test_every_number_must_be_finite(field, value):
    with pytest.raises(ConfigError) as refusal:
        TrainingConfig(**{field: value}).resolved()
    assert (refusal.value.field, refusal.value.problem[:14]) == (field, "must be finite")


class TestTheCaveat:
    @pytest.mark.parametrize(("rate", "decay", "effect"), [
        (0.1, 10.0, "sets all decaying weights to zero"), (0.5, 3.0, "flips the sign of all decaying weights")])
    def test_says_what_too_large_a_product_of_rate_and_decay_does(self, rate, decay, effect):
        caveat = TrainingConfig(learning_rate=rate, weight_decay=decay).resolved().caveat()
        assert effect in caveat
        assert f"learning rate x weight decay is {rate * decay:g}" in caveat

    @pytest.mark.parametrize("settings", [
        {}, {"learning_rate": 0.1, "weight_decay": 9.99}, {"optimizer": "sgd", "learning_rate": 2, "weight_decay": 3},
        {"optimizer": "adam", "learning_rate": 2, "weight_decay": 3}], ids=str)
    def test_is_none_where_decay_shrinks_the_weights_or_is_not_decoupled(self, settings):
        assert TrainingConfig(**settings).resolved().caveat() is None
