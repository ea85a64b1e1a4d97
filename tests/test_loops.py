"""Loops over numbers: what they are called with, where they run, and that a missing compiler changes no result."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backend
from backend import import_numba, loop, open_device
from layers import Cache
from layers.fused_transformer import rectify
from tests.strategies import Case, assert_close, both_passes, cases, training_or_not
from training import TrainingConfig, chunks, train

needs_numba = pytest.mark.skipif(import_numba() is None, reason="needs Numba")
LOOPED = ["FusedTwoLayer", "FusedTwoLayer with square and dropout", "FusedBatchNorm", "FusedTransformer"]


@loop("N, N, ")
def add_multiple(y, x, factor):
    """y <- y + factor x."""
    for k in range(len(y)):
        y[k] += factor * x[k]


@needs_numba
class TestCalling:
    @given(case=cases(), shared=st.booleans(), per_run=st.booleans())
    def test_goes_through_the_runs_of_a_stack(self, case, shared, per_run):
        y = case.normal((*case.stack, 5))
        x = case.normal((5,) if shared else y.shape, 1)
        factor = case.normal(case.stack, 2) if per_run and case.stack else 0.5
        expected = y + np.asarray(factor)[..., None] * x
        add_multiple(y, x, factor)
        np.testing.assert_allclose(y, expected, rtol=1e-14, atol=1e-15)

    def test_a_float_takes_the_type_of_the_first_argument(self):
        y, x = np.zeros(1, np.float32), np.ones(1, np.float32)
        add_multiple(y, x, 0.1)
        assert y[0] == np.float32(0.1)

    def test_keeps_the_functions_name_and_words(self):
        assert (add_multiple.__name__, add_multiple.__doc__) == ("add_multiple", "y <- y + factor x.")

    def test_is_compiled_where_nothing_can_be_kept(self, monkeypatch):
        real = import_numba().njit

        def njit(function, cache=False, **options):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return real(function, **options)

        monkeypatch.setattr(import_numba(), "njit", njit)
        y = np.zeros(3)
        loop("N, N, ")(add_multiple.__wrapped__)(y, np.ones(3), 2.0)
        np.testing.assert_array_equal(y, 2)


class TestWhereItRuns:
    @needs_numba
    def test_on_a_cpu_with_numba(self):
        assert add_multiple.runs_on(np.zeros(1))

    def test_not_on_a_gpu(self, strict_cupy):
        assert not add_multiple.runs_on(open_device("cupy").zeros((1,)))

    def test_not_without_numba(self, without_numba):
        assert not add_multiple.runs_on(np.zeros(1))
        assert open_device().description.endswith("without Numba")

    @needs_numba
    def test_the_device_speaks_of_numba_only_where_there_is_none(self):
        assert "Numba" not in open_device().description

    @needs_numba
    def test_not_if_numba_is_told_not_to_compile(self):
        code = "import numpy, backend; print(backend.loop('N')(len).runs_on(numpy.zeros(1)))"
        shown = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                                cwd=Path(backend.__file__).parent, env={**os.environ, "NUMBA_DISABLE_JIT": flag}).stdout
                 for flag in ("0", "1")]
        assert [text.strip() for text in shown] == ["True", "False"]


class TestWithoutNumba:
    @pytest.mark.parametrize("kind", LOOPED)
    @given(case=cases())
    def test_passes_give_the_same(self, kind, case):
        results = []
        for numba in (import_numba(), None):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(backend, "import_numba", lambda numba=numba: numba)
                results.append(both_passes(case.layer(kind), case.inputs(kind), case.normal, case.mode(True)))
        assert_close(*results, 1e-11)

    @pytest.mark.parametrize("settings", [{}, {"batch_norm": True}, {"model": "transformer", "heads": 2}], ids=str)
    def test_a_run_ends_where_it_does_with_it(self, settings, monkeypatch):
        config = TrainingConfig(p=11, width=16, steps=30, dtype="float64", batch_size=30, **settings).resolved()
        monkeypatch.setattr(chunks, "CHUNK", 100)
        monkeypatch.setattr(chunks, "ROWS", 1)  # several chunks, but for rows that depend on each other
        ends = []
        for numba in (import_numba(), None):
            monkeypatch.setattr(backend, "import_numba", lambda numba=numba: numba)
            ends.append(train(config).history.last)
        for name, value in ends[0].items():
            assert value == pytest.approx(ends[1][name], rel=1e-9), name


class TestPairs:
    @pytest.mark.parametrize("kind", ["FusedTwoLayer", "FusedBatchNorm", "FusedTransformer", "TwoLayerNetwork",
                                      "DeepMLP", "Transformer"])
    @pytest.mark.parametrize("numba", [pytest.param(import_numba(), marks=needs_numba), None], ids=["numba", "without"])
    @training_or_not
    @pytest.mark.parametrize("place", [0, 1])
    @pytest.mark.parametrize("below", [True, False])
    def test_with_a_number_that_is_none_of_the_tables_are_refused(self, kind, numba, training, place, below,
                                                                  monkeypatch):
        monkeypatch.setattr(backend, "import_numba", lambda: numba)
        case = Case(p=5)
        pair = np.zeros((1, 2), int)
        pair[0, place] = -1 if below else 5
        with pytest.raises(IndexError, match=r"outside of \[0, p\)|must lie in \[0, 5\)"):
            case.layer(kind).forward(pair, Cache(), case.mode(training))


@needs_numba
def test_a_full_disk_where_compiled_loops_are_kept_stops_nothing(monkeypatch):
    def kept(*arguments):
        raise OSError(28, "No space left on device")

    scale = loop("N, ")(lambda y, factor: None)
    monkeypatch.setattr(scale, "_compiled", kept, raising=False)
    y = np.ones(3)
    scale(y, 2.0)
    assert scale._compiled is not kept
    add_multiple(y, np.ones(3), 1.0)
    np.testing.assert_array_equal(y, [2, 2, 2])


@needs_numba
def test_the_rectifier_leaves_what_is_not_a_number():
    a, active = np.array([[-1.0, 0.0, 2.0, np.nan, np.inf, -np.inf]]), np.empty((1, 6), bool)
    rectify(a, active)
    np.testing.assert_array_equal(a, [[0, 0, 2, np.nan, np.inf, 0]])
    np.testing.assert_array_equal(active, [[False, False, True, False, True, False]])
