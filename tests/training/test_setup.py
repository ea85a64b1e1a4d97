"""From settings to networks: each has the layers that the settings ask for, in one piece or not."""

from itertools import product

import pytest

from backend import open_device
from layers import FusedBatchNorm, FusedTwoLayer, TwoLayerNetwork
from tests.training.settings import small
from training.setup import make_network


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
