"""All layers, losses and networks on the stand-in for a GPU, which refuses what CuPy refuses."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from analysis.efficiency import logit_size
from analysis.trigonometric import excluded_logits, restricted_logits, trigonometric_share
from backend import array_module, open_device, to_host
from layers import Cache, CrossEntropy, MeanSquaredError
from tests.real_cupy import real_cupy
from tests.strategies import KINDS, NETWORKS, Case, assert_close, both_passes, cases, named
from tests.strict_device import StrictArray

# The stand-in holds nothing that one example could leave to the next.
per_test_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
only_with_cupy = pytest.mark.skipif(real_cupy() is None, reason="needs CuPy's names to compare with")


@pytest.fixture
def device(strict_cupy):
    return open_device("cupy", "float64")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
@per_test_fixture
@given(case=cases())
def test_a_layer_computes_on_the_device_what_it_computes_on_the_host(device, kind, training, case):
    x, mode = case.inputs(kind), case.mode(training)
    there = both_passes(case.layer(kind, device), x, case.normal, mode, device)
    here = both_passes(case.layer(kind), x, case.normal, mode)
    assert_close(there, here, 1e-12)


@pytest.mark.parametrize("loss", [MeanSquaredError, CrossEntropy])
@per_test_fixture
@given(case=cases())
def test_a_loss_computes_on_the_device_what_it_computes_on_the_host(device, loss, case):
    logits, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
    cache, cache_there = Cache(), Cache()
    value = loss().forward(logits, labels, cache)
    value_there = loss().forward(device.asarray(logits), device.asarray(labels), cache_there)
    np.testing.assert_allclose(value_there.get(), value, rtol=1e-12)
    np.testing.assert_allclose(loss().backward(cache_there).get(), loss().backward(cache), rtol=1e-12)


@pytest.mark.parametrize("measure", [restricted_logits, excluded_logits, trigonometric_share, logit_size])
@per_test_fixture
@given(case=cases())
def test_a_measure_of_logits_is_the_same_on_the_device(device, measure, case):
    logits, labels = case.normal((*case.stack, case.examples, case.p)), case.labels().reshape(-1, case.examples)[0]
    there = measure(device.asarray(logits), device.asarray(labels))
    np.testing.assert_allclose(to_host(there), measure(logits, labels), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_state_of_a_network_moves_to_the_device_and_back(device, kind):
    case = Case(stack=(3,))
    there, here = case.fresh(kind, device), case.layer(kind)
    there.load_state(here.state())
    for name, array in here.state().items():
        np.testing.assert_array_equal(there.state()[name], array)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_step_reads_nothing_back_from_the_device(device, kind):
    case = Case(stack=(3,))
    network, pairs, labels = case.layer(kind, device), device.asarray(case.inputs(kind)), device.asarray(case.labels())
    cache, grads, loss = Cache(), network.gradients(), CrossEntropy()
    before = StrictArray.host_reads
    loss.forward(network.forward(pairs, cache, case.mode(training=True)), labels, cache["loss"])
    network.backward(loss.backward(cache["loss"]), cache, grads)
    assert StrictArray.host_reads == before


@pytest.mark.parametrize("kind", NETWORKS)
def test_gradients_stay_on_the_device(device, kind):
    grads = Case(stack=(3,)).layer(kind, device).gradients()
    assert all(isinstance(array, StrictArray) for array in (grads.flat, *named(grads).values()))


class TestTheWall:
    """The stand-in would be of no use if it let through what CuPy refuses."""

    @pytest.fixture
    def there(self, device):
        return device.asarray(np.arange(6.0).reshape(2, 3))

    @pytest.mark.parametrize("mix", [
        lambda there, here: there + here,
        lambda there, here: here + there,
        lambda there, here: here @ there.mT,
        lambda there, here: np.multiply(there, here),
        lambda there, here: np.concatenate([there, here]),
        lambda there, here: np.asarray(there),
        lambda there, here: there.__setitem__(..., here),
        lambda there, here: here.__setitem__(..., there),
        lambda there, here: there.__iadd__(here),
        lambda there, here: here.__iadd__(there),
        lambda there, here: there[np.array([0])],
        lambda there, here: array_module(there).where(there > 0, there, here),
        lambda there, here: array_module(there).add(there, there, out=here),
    ])
    def test_host_and_device_arrays_do_not_mix(self, there, mix):
        with pytest.raises(TypeError):
            mix(there, np.ones((2, 3)))

    def test_python_and_numpy_scalars_do(self, there):
        np.testing.assert_array_equal((np.float64(2) * there + 1).get(), 2 * np.arange(6.0).reshape(2, 3) + 1)

    def test_get_is_the_way_out(self, there):
        assert type(to_host(there)) is np.ndarray

    def test_a_view_shares_memory(self, there):
        there[0] += 1
        there.reshape(-1)[:2] -= 1
        np.testing.assert_array_equal(there.get(), [[0, 1, 3], [3, 4, 5]])

    def test_a_reduction_stays_on_the_device(self, there):
        assert isinstance(there.sum(), StrictArray)

    @only_with_cupy
    @pytest.mark.parametrize("wrong", [
        lambda xp, x: xp.spacing(x),
        lambda xp, x: xp.take(x, x > 0, mode="clip"),
        lambda xp, x: xp.multiply(x, x, where=x > 0),
        lambda xp, x: x.sum(where=x > 0),
        lambda xp, x: x.ctypes,
    ])
    def test_what_cupy_does_not_have_is_refused(self, there, wrong):
        with pytest.raises((AttributeError, TypeError)):
            wrong(array_module(there), there)


def test_the_stand_in_is_gone_after_the_test():
    assert array_module(StrictArray(np.zeros(2))) is np


def test_open_device_finds_the_stand_in(strict_cupy):
    device = open_device("cupy", "float32")
    assert device.xp is strict_cupy
    assert device.zeros((2,)).dtype == np.float32
    device.synchronize()


def test_both_sides_see_the_same_dropout_mask(device):
    case = Case(rate=0.5)
    masks = []
    for where in (device, open_device("numpy", "float64")):
        cache = Cache()
        case.layer("Dropout", where).forward(where.asarray(case.inputs("Dropout")), cache, case.mode(training=True))
        masks.append(to_host(cache.mask))
    np.testing.assert_array_equal(*masks)
