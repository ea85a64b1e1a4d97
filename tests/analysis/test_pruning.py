import numpy as np
import pytest

import analysis.pruning
from analysis.analytic import analytic_weights
from analysis.ipr import neuron_ipr
from analysis.pruning import pruning_curves, pruning_orders
from backend import open_device
from layers import Cache, CrossEntropy, MeanSquaredError, Mode, TwoLayerNetwork

P, N = 7, 12
NETWORKS = {
    "square": {},
    "relu": {"activation": "relu"},
    "batch norm": {"batch_norm": True},
    "dropout and batch norm": {"dropout": 0.3, "batch_norm": True},
}


def all_pairs(p=P):
    pairs = np.stack(np.divmod(np.arange(p * p), p), axis=-1)
    return pairs, pairs.sum(axis=-1) % p


def some_sets():
    pairs, labels = all_pairs()
    chosen = np.random.default_rng(0).permutation(P * P)
    return {"train": (pairs[chosen[:30]], labels[chosen[:30]]), "test": (pairs[chosen[30:]], labels[chosen[30:]])}


def trained_a_little(dtype="float64", **options):
    """A network whose BatchNorm, if it has one, has seen some batches and is not the identity."""
    network = TwoLayerNetwork(P, N, **options).build(open_device("numpy", dtype), seed=2)
    rng = np.random.default_rng(5)
    for name in ("gamma", "beta"):
        if "norm" in network.layers:
            getattr(network.layers["norm"], name)[...] = rng.normal(size=N)
    for step in range(3):
        network.forward(all_pairs()[0], Cache(), Mode(training=True, step=step))
    return network


def zeroed(network, neurons, options):
    """A copy of the network whose given neurons have zero weights."""
    state = network.state()
    state["U"][:, neurons] = 0
    state["V"][:, neurons] = 0
    state["W"][neurons] = 0
    copy = TwoLayerNetwork(P, N, **options).build(open_device("numpy", str(state["W"].dtype)))
    copy.load_state(state)
    return copy


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("loss", [MeanSquaredError(), CrossEntropy()], ids=["mse", "cross-entropy"])
def test_pruning_is_setting_weights_to_zero(options, loss, monkeypatch):
    monkeypatch.setattr(analysis.pruning, "ROWS", 8)  # chunks that do not divide the sets
    network = trained_a_little(**options)
    before = network.state()
    sets, orders = some_sets(), pruning_orders(neuron_ipr(*network.neurons()), seed=1)
    curves = pruning_curves(network, sets, orders, counts=range(N + 1), loss=loss)
    for order_name, order in orders.items():
        for count in range(N + 1):
            pruned = zeroed(network, order[:count], options)
            for set_name, (pairs, labels) in sets.items():
                logits = pruned.forward(pairs, Cache())
                expected, curve = float(loss.forward(logits, labels, Cache())), curves[order_name]
                assert curve.accuracy[set_name][count] == (logits.argmax(axis=-1) == labels).mean()
                assert curve.loss[set_name][count] == pytest.approx(expected, rel=1e-12)
    assert all(np.array_equal(before[name], array) for name, array in network.state().items())


def test_float32_curves_are_as_exact_as_float32_networks():
    network = trained_a_little("float32")
    sets, orders = some_sets(), {"high": np.arange(N)}
    curve = pruning_curves(network, sets, orders, range(N + 1))["high"]
    for count in range(N + 1):
        pairs, labels = sets["test"]
        logits = zeroed(network, np.arange(count), {}).forward(pairs, Cache())
        expected = float(MeanSquaredError().forward(logits, labels, Cache()))
        assert curve.loss["test"][count] == pytest.approx(expected, rel=1e-5)


def test_all_orders_start_alike_and_end_with_logits_of_exactly_zero():
    network = trained_a_little("float32")
    curves = pruning_curves(network, some_sets(), pruning_orders(neuron_ipr(*network.neurons())))
    first = curves["low"]
    assert first.counts.tolist() == list(range(N + 1))
    np.testing.assert_allclose(first.fractions, np.arange(N + 1) / N)
    labels = some_sets()["test"][1]
    for curve in curves.values():
        assert curve.loss["test"][0] == pytest.approx(first.loss["test"][0], rel=1e-5)
        assert curve.loss["test"][-1] == pytest.approx(1 / P, rel=1e-6)
        assert curve.accuracy["test"][-1] == (labels == 0).mean()


@pytest.mark.parametrize("counts", [[0], [N], [3, 4, 9], [0, 5, N]])
def test_points_of_a_curve_do_not_depend_on_the_others(counts):
    network, orders = trained_a_little(), {"random": np.random.default_rng(3).permutation(N)}
    every = pruning_curves(network, some_sets(), orders, range(N + 1))["random"]
    some = pruning_curves(network, some_sets(), orders, counts)["random"]
    np.testing.assert_allclose(some.loss["train"], every.loss["train"][counts], rtol=1e-12)
    np.testing.assert_array_equal(some.accuracy["train"], every.accuracy["train"][counts])


def test_the_default_is_about_fifty_points_with_both_ends():
    network = TwoLayerNetwork(5, 333).build()
    curve = pruning_curves(network, {"all": all_pairs(5)}, {"low": np.arange(333)})["low"]
    assert (curve.counts[0], curve.counts[-1], len(curve.counts)) == (0, 333, 51)
    assert set(np.diff(curve.counts)) == {6, 7}


def test_noise_added_to_a_solution_is_pruned_first():
    """The figure of the paper in small: of pure waves and noise, low IPR first takes the noise away."""
    p, waves, noise = 23, 150, 50
    state, rng = analytic_weights(p, waves), np.random.default_rng(0)
    amplitude = 1.5 * state["U"].max()
    state = {name: np.concatenate([x, amplitude * rng.normal(size=(p, noise) if axis else (noise, p))], axis=axis)
             for (name, x), axis in zip(state.items(), (1, 1, 0), strict=True)}
    network = TwoLayerNetwork(p, waves + noise).build()
    network.load_state(state)
    orders = pruning_orders(neuron_ipr(*network.neurons()))
    curves = pruning_curves(network, {"all": all_pairs(p)}, orders, [0, noise])
    assert set(orders["low"][:noise]) == set(range(waves, waves + noise))
    assert curves["low"].accuracy["all"][0] < 0.5
    assert curves["low"].accuracy["all"][1] == 1.0
    assert curves["high"].accuracy["all"][1] < curves["low"].accuracy["all"][0]


def test_orders():
    orders = pruning_orders(np.array([0.3, 0.1, 0.9, 0.2]), seed=4)
    assert orders["low"].tolist() == [1, 3, 0, 2]
    assert orders["high"].tolist() == [2, 0, 3, 1]
    assert sorted(orders["random"]) == [0, 1, 2, 3]
    assert np.array_equal(orders["random"], pruning_orders(np.zeros(4), seed=4)["random"])
    assert any(not np.array_equal(orders["random"], pruning_orders(np.zeros(4), seed)["random"]) for seed in range(4))


def test_a_set_without_examples_has_no_accuracy():
    pairs, labels = all_pairs()
    curve = pruning_curves(trained_a_little(), {"none": (pairs[:0], labels[:0])}, {"low": np.arange(N)})["low"]
    assert np.isnan(curve.accuracy["none"]).all()
    assert np.isnan(curve.loss["none"]).all()


def test_a_member_of_a_stack_is_pruned_as_the_run_alone():
    device = open_device()
    stack = TwoLayerNetwork(P, N).build(device, seed=(0, 1))
    alone = TwoLayerNetwork(P, N).build(device, seed=1)
    orders = {"low": np.arange(N)}
    for one, other in zip(pruning_curves(stack.member(1), some_sets(), orders)["low"].loss.values(),
                          pruning_curves(alone, some_sets(), orders)["low"].loss.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_pruned_is_refused():
    network = trained_a_little()
    with pytest.raises(ValueError, match="single run, got a stack of 2"):
        pruning_curves(TwoLayerNetwork(P, N).build(seed=(0, 1)), some_sets(), {})
    with pytest.raises(ValueError, match="orders: odd must be a permutation of 12 neurons"):
        pruning_curves(network, some_sets(), {"odd": [0] * N})
    for counts in ([], [1, 1], [3, 2], [-1, 3], [0, N + 1], [0.5]):
        with pytest.raises(ValueError, match=r"counts must be integers increasing within \[0, 12\]"):
            pruning_curves(network, some_sets(), {"low": np.arange(N)}, counts)


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_on_a_device_curves_are_the_same_and_come_back_as_host_arrays(options, strict_cupy):
    network = trained_a_little(**options)
    device = open_device("cupy", "float64")
    on_device = TwoLayerNetwork(P, N, **options).build(device)
    on_device.load_state(network.state())
    sets = some_sets()
    sets_on_device = {name: (device.asarray(pairs), device.asarray(labels)) for name, (pairs, labels) in sets.items()}
    expected = pruning_curves(network, sets, pruning_orders(neuron_ipr(*network.neurons())))
    curves = pruning_curves(on_device, sets_on_device, pruning_orders(neuron_ipr(*on_device.neurons())))
    for order, curve in curves.items():
        for name in sets:
            np.testing.assert_array_equal(curve.accuracy[name], expected[order].accuracy[name])
            np.testing.assert_allclose(curve.loss[name], expected[order].loss[name], rtol=1e-12)
