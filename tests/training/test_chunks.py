import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import Cache
from training.chunks import CHUNK, ROWS, SMALL, Workers, row_slices

sizes = st.integers(1, 100_000), st.integers(1, 10_000)


class TestRowSlices:
    @given(*sizes)
    def test_take_every_row_once_in_order(self, rows, row_size):
        slices = row_slices(rows, row_size)
        assert slices[0].start == 0
        assert slices[-1].stop == rows
        assert all(one.stop == other.start for one, other in pairwise(slices))

    @given(*sizes)
    def test_are_one_or_an_even_number_or_one_for_each_row(self, rows, row_size):
        number = len(row_slices(rows, row_size))
        assert number == 1 or number % 2 == 0 or number == rows

    @given(*sizes)
    def test_are_of_equal_length_up_to_a_row(self, rows, row_size):
        lengths = {part.stop - part.start for part in row_slices(rows, row_size)}
        assert 0 < min(lengths) <= max(lengths) <= min(lengths) + 1

    @given(*sizes)
    def test_hold_about_as_many_numbers_as_a_chunk_should(self, rows, row_size):
        slices = row_slices(rows, row_size)
        longest = max(part.stop - part.start for part in slices)
        assert (longest - 1) * row_size <= 1.5 * CHUNK or longest <= 1.5 * ROWS or len(slices) == 4
        if len(slices) > 1:
            assert (longest + 1) * row_size >= 0.5 * (SMALL if len(slices) <= 4 else CHUNK)
        if len(slices) > 4:
            assert longest >= 0.8 * ROWS

    def test_of_no_rows_are_none(self):
        assert row_slices(0, 500) == []

    def test_cut_the_default_networks_batch_into_four(self):
        assert row_slices(4704, 500) == [slice(0, 1176), slice(1176, 2352), slice(2352, 3528), slice(3528, 4704)]


@pytest.fixture(params=[1, 2, 3, 8], ids="{} threads".format)
def workers(request):
    workers = Workers(request.param)
    yield workers
    workers.close()


def chunks(count):
    return [SimpleNamespace(number=number, cache=Cache()) for number in range(count)]


class TestWorkers:
    @pytest.mark.parametrize("count", [0, 1, 2, 7])
    def test_return_results_in_the_order_of_the_chunks(self, workers, count):
        def work(chunk):
            time.sleep(0.002 * (count - chunk.number))  # the later ones finish first
            return chunk.number

        assert workers.run(work, chunks(count)) == list(range(count))

    def test_hand_on_what_goes_wrong(self, workers):
        with pytest.raises(ZeroDivisionError):
            workers.run(lambda chunk: 1 / (chunk.number - 2), chunks(4))


def test_two_threads_work_at_the_same_time_each_in_its_own_memory():
    both_there = threading.Barrier(2, timeout=10)

    def work(chunk):
        both_there.wait()
        return id(chunk.cache._workspaces.memory)

    workers = Workers(2)
    first, second = workers.run(work, chunks(2))
    workers.close()
    assert first != second


def test_a_thread_works_in_the_same_memory_from_chunk_to_chunk():
    workers = Workers(1)
    assert len(set(workers.run(lambda chunk: id(chunk.cache._workspaces.memory), chunks(5)))) == 1
