"""From settings to networks: each has the layers that the settings ask for, in one piece or not."""

from itertools import product

import numpy as np
import pytest

from analysis.ipr import mean_ipr
from backend import open_device
from layers import FusedBatchNorm, FusedTwoLayer, TwoLayerNetwork
from tests.training.settings import small
from training import TrainingConfig, train, train_many
from training.setup import make_network, rule_neurons


@pytest.mark.parametrize(("activation", "dropout", "batch_norm"),
                         list(product(["square", "relu", "gelu"], [0.0, 0.3], [False, True])))
def test_a_two_layer_network_has_the_layers_of_its_settings(activation, dropout, batch_norm):
    config = small(activation=activation, dropout=dropout, batch_norm=batch_norm)
    network = make_network([config], open_device(config.backend, config.dtype))
    plain = TwoLayerNetwork(config.p, config.width, activation, dropout, batch_norm)
    assert [(name, type(layer)) for name, layer in network.layers.items()] == [
        (name, type(layer)) for name, layer in plain.layers.items()]
    if dropout:
        assert network.layers["dropout"].rate == dropout


@pytest.mark.parametrize(("options", "kind"), [
    ({}, FusedTwoLayer),
    ({"dropout": 0.3}, FusedTwoLayer),
    ({"batch_norm": True}, FusedBatchNorm),
    ({"batch_norm": True, "dropout": 0.3}, TwoLayerNetwork),
    ({"activation": "relu"}, TwoLayerNetwork),
])
def test_those_with_the_square_are_in_one_piece_but_for_both_batch_norm_and_dropout(options, kind):
    config = small(**options)
    assert type(make_network([config], open_device(config.backend, config.dtype))) is kind


POWERS_OF_2 = [1, 2, 4, 8, 5, 10, 9, 7, 3, 6]  # modulo 11


@pytest.mark.parametrize(("options", "order"), [
    ({}, range(11)), ({"operation": "subtract"}, range(11)), ({"operation": "multiply"}, POWERS_OF_2),
    ({"operation": "divide"}, POWERS_OF_2), ({"operation": "multiply", "p": 15}, range(15)),
    ({"operation": "multiply", "model": "transformer", "width": 8}, POWERS_OF_2)], ids=str)
def test_neurons_are_in_the_order_in_which_the_rule_is_periodic(options, order):
    config = small(**options)
    network = make_network([config], open_device(config.backend, config.dtype))
    expected = [x[:, list(order)] for x in network.neurons()]
    assert len(rule_neurons(network, config)) == len(expected) > 0
    for one, other in zip(rule_neurons(network, config), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_networks_without_such_neurons_have_none():
    config = TrainingConfig(task="mnist", width=8).resolved()
    assert rule_neurons(make_network([config], open_device()), config) == ()


def test_the_ipr_of_a_run_is_that_of_this_order():
    config = small(operation="multiply", steps=10)
    run, other = train_many([config, small(operation="multiply", steps=10, seed=1)])
    neurons = [x[:, POWERS_OF_2] for x in run.network().neurons()]
    assert run.history.last["mean_ipr"] == pytest.approx(mean_ipr(*neurons), rel=1e-12)
    assert run.summary()["mean_ipr_without_constant"] == pytest.approx(mean_ipr(*neurons, constant=False), rel=1e-12)
    assert train(config).history.rows == run.history.rows != other.history.rows
