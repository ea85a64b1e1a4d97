"""Products of stacks: those of NumPy, and what a GPU's library is asked for, in the processor's memory."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from products import matmul, squared_norms, tf32_products
from tests.strategies import flag_of_openblas

ON_A_DEVICE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
sizes = st.integers(1, 5)


@st.composite
def factors(draw, dtype):
    """Two factors, each as it lies, transposed, or a part of a larger array; one of them perhaps shared by all runs."""
    M, K, N, runs = (draw(sizes) for _ in range(4))
    stacks = draw(st.sampled_from([((), ()), ((runs,), (runs,)), ((runs,), ()), ((), (runs,)), ((runs, 2), (runs, 2))]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    result = []
    for stack, shape in zip(stacks, ((M, K), (K, N)), strict=True):
        layout = draw(st.sampled_from(["as it lies", "transposed", "part"]))
        if layout == "transposed":
            result.append((rng.standard_normal((*stack, *shape[::-1])).astype(dtype), lambda x: x.mT))
        elif layout == "part":
            larger = (*stack, shape[0] + 2, shape[1] + 1)
            result.append((rng.standard_normal(larger).astype(dtype), lambda x: x[..., 1:-1, :-1]))
        else:
            result.append((rng.standard_normal((*stack, *shape)).astype(dtype), lambda x: x))
    return result


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
@flag_of_openblas
@ON_A_DEVICE
@given(data=st.data())
def test_a_gpu_is_asked_for_the_product(strict_cupy, data, dtype, tolerance):
    (a, view_a), (b, view_b) = data.draw(factors(dtype))
    product = np.matmul(view_a(a), view_b(b))
    out = strict_cupy.asarray(np.full_like(product, np.nan))
    assert matmul(view_a(strict_cupy.asarray(a)), view_b(strict_cupy.asarray(b)), out) is out
    np.testing.assert_allclose(out.get(), product, rtol=tolerance, atol=tolerance)


def test_a_gpu_multiplies_a_stack_without_copying_what_is_transposed(strict_cupy, monkeypatch):
    monkeypatch.setattr(type(strict_cupy), "matmul", None, raising=False)  # CuPy's own, which would copy
    a, b = np.ones((3, 5, 2)), np.ones((3, 5, 4))
    out = matmul(strict_cupy.asarray(a).mT, strict_cupy.asarray(b), strict_cupy.asarray(np.zeros((3, 2, 4))))
    np.testing.assert_array_equal(out.get(), np.full((3, 2, 4), 5.0))


@pytest.mark.parametrize(("dtype", "on", "type_of_cublas"), [
    ("float32", False, "CUBLAS_COMPUTE_32F"), ("float32", True, "CUBLAS_COMPUTE_32F_FAST_TF32"),
    ("float64", False, "CUBLAS_COMPUTE_64F"), ("float64", True, "CUBLAS_COMPUTE_64F")])
def test_tf32_is_used_where_it_was_asked_for(strict_cupy, monkeypatch, dtype, on, type_of_cublas):
    asked = []
    monkeypatch.setattr(strict_cupy.cuda.cublas, "gemmStridedBatchedEx", lambda *arguments: asked.append(arguments[-2]))
    one = strict_cupy.asarray(np.ones((2, 2), dtype))
    with tf32_products(on):
        matmul(one, one, strict_cupy.asarray(np.ones((2, 2), dtype)))
    matmul(one, one, strict_cupy.asarray(np.ones((2, 2), dtype)))  # afterwards it is as it was
    plain = "CUBLAS_COMPUTE_32F" if dtype == "float32" else "CUBLAS_COMPUTE_64F"
    assert asked == [getattr(strict_cupy.cuda.cublas, name) for name in (type_of_cublas, plain)]


@given(shape=st.lists(sizes, min_size=1, max_size=3))
def test_squared_norms(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_allclose(squared_norms(x), (x * x).sum(axis=-1), rtol=1e-13)
