"""The spread of the weights that training starts from."""

import numpy as np
import pytest

from layers import DeepMLP, Transformer, TwoLayerNetwork


@pytest.mark.parametrize(("network", "stds"), [
    (TwoLayerNetwork(97, 500), dict.fromkeys("UVW", 8000 ** (-1 / 3))),
    (DeepMLP(97, 500, depth=4), dict.fromkeys("UV", 97 ** -0.5) | dict.fromkeys(
        ("hidden_2.W", "hidden_3.W", "output.W"), (2 / 500) ** 0.5)),
    (Transformer(97, 128), {"E": 1, "P": 1, "mlp.output.W": 512 ** -0.5} | dict.fromkeys(
        ("W_Q", "W_K", "W_V", "W_O", "mlp.hidden.W", "unembedding.W"), 128 ** -0.5)),
], ids=["two-layer", "deep", "transformer"])
def test_weights_start_as_widely_spread_as_the_equations_say(network, stds):
    state = network.build(seed=0).state()
    assert state.keys() == stds.keys()
    for name, std in stds.items():
        # Of n Gaussian numbers, mean and standard deviation are known up to std / sqrt(n) and std / sqrt(2 n).
        error = std / np.sqrt(state[name].size)
        assert np.mean(state[name]) == pytest.approx(0, abs=4 * error), name
        assert np.std(state[name]) == pytest.approx(std, abs=4 * error / np.sqrt(2)), name
