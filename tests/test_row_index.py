"""Reading rows of a table, and adding rows up by the row they came from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import RowIndex
from tests.strategies import cases


class TestRowIndex:
    """Reading rows of a table, and its adjoint."""

    @staticmethod
    @st.composite
    def indices(draw):
        """A table, and an index into it: sorted or not, with rows that are read often and rows that are not read."""
        case = draw(cases())
        rows = draw(st.integers(1, 8))
        stack = () if case.shared else case.stack
        index = np.random.default_rng(case.seed).integers(draw(st.integers(1, rows)), size=(*stack, case.examples))
        if draw(st.booleans()):
            index = np.sort(index, axis=-1)
        table = case.normal((*case.stack, rows, case.width))
        return index, table, case.normal((*case.stack, case.examples, case.width), 1)

    @staticmethod
    def each_run(index, table):
        """(run, index of the run) as an index into tables and rows, for all runs."""
        if table.ndim == 2:
            return [((), index)]
        return [(run, index if index.ndim == 1 else index[run]) for run in range(len(table))]

    @given(drawn=indices())
    def test_take_reads_rows(self, drawn):
        index, table, rows = drawn
        out = RowIndex(index, table).take(table, np.full_like(rows, np.nan))
        for run, k in self.each_run(index, table):
            np.testing.assert_array_equal(out[run], table[run][k])

    @given(drawn=indices(), workspace=st.booleans())
    def test_add_up_sums_rows_and_overwrites(self, drawn, workspace):
        index, table, rows = drawn
        sums = np.full_like(table, np.nan)
        RowIndex(index, table).add_up(rows, sums, np.empty_like(rows) if workspace else None)
        for run, k in self.each_run(index, table):
            expected = np.zeros_like(table[run])
            np.add.at(expected, k, rows[run])
            np.testing.assert_allclose(sums[run], expected, rtol=1e-12, atol=1e-13)

    @given(drawn=indices())
    def test_add_up_leaves_the_rows_alone(self, drawn):
        index, table, rows = drawn
        before = rows.copy()
        RowIndex(index, table).add_up(rows, np.empty_like(table), np.empty_like(rows))
        np.testing.assert_array_equal(rows, before)

    @given(drawn=indices())
    def test_take_and_add_up_are_adjoint(self, drawn):
        index, table, rows = drawn
        rows_index = RowIndex(index, table)
        left = np.sum(rows_index.take(table, np.empty_like(rows)) * rows)
        assert left == pytest.approx(np.sum(table * rows_index.add_up(rows, np.empty_like(table))), abs=1e-10)
