"""Reading rows of a table, and adding rows up by the row they came from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows import RowIndex, RowSums
from tests.strategies import cases


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


def each_run(index, table):
    """(run, index of the run) as an index into tables and rows, for all runs."""
    if table.ndim == 2:
        return [((), index)]
    return [(run, index if index.ndim == 1 else index[run]) for run in range(len(table))]


class TestRowIndex:
    @given(drawn=indices())
    def test_take_reads_rows(self, drawn):
        index, table, rows = drawn
        out = RowIndex(index, table).take(table, np.full_like(rows, np.nan))
        for run, k in each_run(index, table):
            np.testing.assert_array_equal(out[run], table[run][k])


    @pytest.mark.parametrize("index", [[0, 3], [-1, 0], [[0, 1], [2, 3]]], ids=str)
    def test_refuses_rows_that_are_not_there(self, index):
        with pytest.raises(IndexError, match=r"an index of rows must lie in \[0, 3\)"):
            RowIndex(np.array(index), np.zeros((*np.shape(index)[:-1], 3, 4)))


class TestRowSums:
    """Adding rows up by the row of a table that they came from: the adjoint of reading."""

    @staticmethod
    def summed(rows, tables, *indices):
        """The sums of the rows, for each of the tables, by RowSums."""
        sums = [np.zeros_like(table) for table in tables]
        RowSums(*indices, rows=tables[0].shape[-2]).add(rows, *sums)
        return sums

    @given(drawn=indices(), again=st.integers(0, 99))
    def test_are_those_of_adding_one_row_after_another(self, drawn, again):
        index, table, rows = drawn
        other = np.random.default_rng(again).permutation(index.ravel()).reshape(index.shape)
        for k, sums in zip((index, other), self.summed(rows, [table, table], index, other), strict=True):
            for run, k_run in each_run(k, table):
                expected = np.zeros_like(table[run])
                np.add.at(expected, k_run, rows[run])
                np.testing.assert_allclose(sums[run], expected, rtol=1e-12, atol=1e-13)

    @given(drawn=indices())
    def test_are_added(self, drawn):
        index, table, rows = drawn
        sums = np.array(table)
        RowSums(index, rows=table.shape[-2]).add(rows, sums)
        np.testing.assert_allclose(sums, table + self.summed(rows, [table], index)[0], rtol=1e-12, atol=1e-13)

    @given(drawn=indices())
    def test_leave_the_rows_alone(self, drawn):
        index, table, rows = drawn
        before = rows.copy()
        self.summed(rows, [table], index)
        np.testing.assert_array_equal(rows, before)

    @given(drawn=indices())
    def test_are_the_adjoint_of_reading(self, drawn):
        index, table, rows = drawn
        left = np.sum(RowIndex(index, table).take(table, np.empty_like(rows)) * rows)
        assert left == pytest.approx(np.sum(table * self.summed(rows, [table], index)[0]), abs=1e-10)

    def test_serve_both_types_of_floats(self):
        sums = RowSums(np.array([0, 2, 2]), rows=3)
        for dtype in ("float32", "float64", "float32"):
            table = np.zeros((3, 1), dtype)
            sums.add(np.array([[1], [2], [3]], dtype), table)
            assert (table.dtype, table.ravel().tolist()) == (dtype, [1, 0, 5])
