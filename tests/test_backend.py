"""Devices, what they refuse, and CuPy against NumPy where there is a GPU."""

import sys

import numpy as np
import pytest

import backend
from backend import BackendError, array_module, open_device, to_host
from layers import Cache, CrossEntropy, MeanSquaredError
from rows import RowIndex, RowSums
from tests.real_cupy import real_cupy, usable_gpu
from tests.strategies import KINDS, Case, assert_close, both_passes


class TestOpening:
    @pytest.mark.parametrize("dtype", backend.DTYPES)
    def test_numpy_is_always_there(self, dtype):
        device = open_device("numpy", dtype)
        assert (device.name, device.xp, device.dtype) == ("numpy", np, np.dtype(dtype))
        assert "CPU" in device.description
        device.synchronize()

    @pytest.mark.parametrize(("options", "message"), [
        ({"backend": "jax"}, "backend must be one of numpy, cupy, got 'jax'"),
        ({"backend": ""}, "backend must be one of numpy, cupy, got ''"),
        ({"backend": "NumPy"}, "backend must be one of numpy, cupy, got 'NumPy'"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64, got 'float16'"),
        ({"backend": "cupy", "dtype": "int"}, "dtype must be one of float32, float64, got 'int'"),
    ])
    def test_another_name_is_refused_with_the_names_there_are(self, options, message):
        with pytest.raises(ValueError, match="must be one of") as refused:
            open_device(**options)
        assert str(refused.value) == message

    def test_without_cupy_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)
        message = self.refusal()
        assert "CuPy" in message
        assert "pip install -e '.[cuda13]'" in message

    def test_a_broken_cupy_is_reported_in_its_first_words(self, monkeypatch, tmp_path):
        (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so is missing\\n\\nmany more lines')")
        monkeypatch.delitem(sys.modules, "cupy", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        message = self.refusal()
        assert "libcuda.so is missing" in message
        assert "many more lines" not in message

    @pytest.mark.skipif(real_cupy() is None or usable_gpu(), reason="needs CuPy and no GPU")
    def test_without_a_gpu_it_says_that_one_is_needed(self):
        message = self.refusal()
        assert "NVIDIA GPU" in message
        assert "use backend numpy" in message

    @staticmethod
    def refusal():
        with pytest.raises(BackendError) as refused:
            open_device("cupy")
        message = str(refused.value)
        assert "\n" not in message
        return message


class TestArrays:
    @pytest.mark.parametrize("dtype", backend.DTYPES)
    @pytest.mark.parametrize("values", [1.5, [1.0, 2.0], np.ones(3, np.float16), np.ones(3, np.float64)])
    def test_floats_take_the_type_of_the_device(self, dtype, values):
        assert open_device("numpy", dtype).asarray(values).dtype == dtype

    @pytest.mark.parametrize("values", [np.arange(3), np.arange(3, dtype=np.uint8), np.array([True])])
    def test_integers_and_booleans_keep_theirs(self, values):
        assert open_device().asarray(values).dtype == values.dtype

    def test_zeros_take_any_sequence_as_shape(self):
        zeros = open_device("numpy", "float64").zeros([2, 0, 3])
        assert (zeros.shape, zeros.dtype) == ((2, 0, 3), np.float64)

    def test_arrays_know_their_module(self):
        assert array_module(np.zeros(2)) is array_module([1, 2]) is np

    def test_a_host_array_is_its_own_host_copy(self):
        x = np.zeros(2)
        assert to_host(x) is x


# The sizes have an R equal to D among them, and one set of inputs for all runs as well as one per run.
gpu_cases = pytest.mark.parametrize("case", [
    Case(examples=40, width=16, p=7, tokens=2, seed=1),
    Case(examples=6, width=8, p=5, tokens=3, stack=(6,), shared=False, seed=2),
    Case(examples=50, width=8, p=11, tokens=2, stack=(3,), shared=True, rate=(0.0, 0.2, 0.5), seed=3),
], ids=["one run", "R equal to D", "shared inputs"])
# Relative to the largest entry: some dozens of roundings in a sum, in another order on a GPU.
precisions = pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 2e-4)])


@pytest.mark.gpu
class TestCuPyAgainstNumPy:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("training", [True, False], ids=["training", "evaluating"])
    @gpu_cases
    @precisions
    def test_a_layer_agrees(self, kind, training, case, dtype, tolerance):
        results = []
        for name in backend.BACKENDS:
            device = open_device(name, dtype)
            results.append(both_passes(case.layer(kind, device), case.inputs(kind), case.normal, case.mode(training),
                                       device))
        assert_close(*results, tolerance)

    @pytest.mark.parametrize("loss", [MeanSquaredError, CrossEntropy])
    @gpu_cases
    @precisions
    def test_a_loss_agrees(self, loss, case, dtype, tolerance):
        logits, results = case.normal((*case.stack, case.examples, case.p)), []
        for name in backend.BACKENDS:
            device, cache = open_device(name, dtype), Cache()
            value = loss().forward(device.asarray(logits), device.asarray(case.labels()), cache)
            results.append((to_host(value), to_host(loss().backward(cache))))
        for one, other in zip(*results, strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)

    @gpu_cases
    @precisions
    def test_a_row_index_agrees(self, case, dtype, tolerance):
        index, results = case.labels(), []
        table, rows = (case.normal((*case.stack, size, case.width)) for size in (case.p, case.examples))
        for name in backend.BACKENDS:
            device = open_device(name, dtype)
            on_device = device.asarray(table)
            rows_index = RowIndex(device.asarray(index), on_device)
            sums = device.zeros(table.shape)
            RowSums(device.asarray(index), rows=case.p).add(device.asarray(rows), sums)
            results.append([to_host(rows_index.take(on_device, device.zeros(rows.shape))), to_host(sums)])
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_allclose(results[0][1], results[1][1], rtol=tolerance, atol=tolerance)

    @pytest.mark.parametrize("kind", KINDS)
    def test_one_seed_starts_the_same_run(self, kind):
        case = Case(stack=(2,))
        here, there = (case.fresh(kind, open_device(name, "float32")).state() for name in backend.BACKENDS)
        for name, array in here.items():
            np.testing.assert_array_equal(there[name], array)

    @gpu_cases
    def test_two_passes_give_the_same_bits(self, case):
        device = open_device("cupy", "float32")
        layer, x = case.layer("TwoLayerNetwork", device), case.inputs("TwoLayerNetwork")
        first, second = (both_passes(layer, x, case.normal, case.mode(training=True), device) for _ in range(2))
        assert_close(first, second, 0)
