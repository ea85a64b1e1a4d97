"""Draws are functions of their keys."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import streams

seeds = st.integers(0, 2 ** 64)
numbers = st.integers(0, 2 ** 32 - 1)


@given(seed=seeds, stream=st.integers(0, 5), key=st.lists(numbers, max_size=3))
def test_the_same_key_draws_the_same(seed, stream, key):
    first, second = (streams.generator(seed, stream, *key).random(5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@given(keys=st.lists(st.tuples(seeds, st.integers(0, 5), numbers), min_size=2, max_size=2, unique=True))
def test_another_key_draws_something_else(keys):
    first, second = (streams.generator(*key).random(5) for key in keys)
    assert not np.any(first == second)


@given(seed=seeds, key=numbers)
def test_a_longer_key_draws_something_else(seed, key):
    assert not np.any(streams.generator(seed, 0, key).random(5) == streams.generator(seed, 0, key, 0).random(5))


def test_streams_have_numbers_of_their_own():
    # These numbers are part of every result: a change would silently turn every seed into another one.
    assert (streams.SPLIT, streams.CORRUPTION, streams.WEIGHTS, streams.BATCHES, streams.DROPOUT, streams.ANALYSIS) == (
        0, 1, 2, 3, 4, 5)


def test_a_seed_draws_what_it_always_drew():
    drawn = streams.generator(3, streams.WEIGHTS, 7).integers(1000, size=4)
    np.testing.assert_array_equal(drawn, [391, 958, 154, 42])
    bits = streams.row_bits([3], step=5, layer=7, first_row=2, rows=1, width=4)
    np.testing.assert_array_equal(bits, [[[31680, 21064, 39690, 5158]]])


def test_names_have_numbers_that_stay():
    assert streams.number_of("output.W") == 1254711475
    assert len({streams.number_of(name) for name in ("U", "V", "W", "hidden_1", "hidden_2")}) == 5


block = st.fixed_dictionaries({"seeds": st.lists(seeds, min_size=1, max_size=3), "step": numbers, "layer": numbers,
                               "width": st.integers(1, 40)})


@given(key=block, bounds=st.lists(st.integers(0, 50), min_size=2, max_size=6, unique=True).map(sorted))
def test_a_row_gets_the_same_bits_in_any_block(key, bounds):
    whole = streams.row_bits(first_row=bounds[0], rows=bounds[-1] - bounds[0], **key)
    parts = [streams.row_bits(first_row=start, rows=stop - start, **key) for start, stop in itertools.pairwise(bounds)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@given(key=block)
def test_a_stack_gets_the_bits_of_its_runs(key):
    together = streams.row_bits(first_row=3, rows=4, **key)
    for bits, seed in zip(together, key["seeds"], strict=True):
        np.testing.assert_array_equal(bits, streams.row_bits(first_row=3, rows=4, **key | {"seeds": [seed]})[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=block, first_row=st.integers(0, 2 ** 40))
def test_a_gpu_draws_the_same_bits(strict_cupy, key, first_row):
    here, there = (streams.row_bits(first_row=first_row, rows=5, xp=xp, **key) for xp in (np, strict_cupy))
    np.testing.assert_array_equal(there.get(), here)


@given(key=block, rows=st.integers(1, 9))
def test_a_block_has_the_shape_asked_for(key, rows):
    bits = streams.row_bits(first_row=3, rows=rows, **key)
    assert bits.shape == (len(key["seeds"]), rows, key["width"])
    assert bits.dtype == np.uint16


@given(key=block, other=st.sampled_from(["seeds", "step", "layer"]))
def test_another_key_gets_other_bits(key, other):
    # 16 words of 16 bits agree in all by chance once in 2^256.
    key = key | {"width": 16, "seeds": key["seeds"][:1]}
    changed = [(key["seeds"][0] + 1) % 2 ** 32] if other == "seeds" else (key[other] + 1) % 2 ** 32
    first = streams.row_bits(first_row=0, rows=1, **key)
    second = streams.row_bits(first_row=0, rows=1, **key | {other: changed})
    assert not np.array_equal(first, second)


@given(key=block)
def test_rows_get_bits_of_their_own(key):
    bits = streams.row_bits(first_row=0, rows=20, **key | {"width": 16})
    assert all(len(np.unique(of_run, axis=0)) == 20 for of_run in bits)


@pytest.mark.parametrize("shape", [(1000, 16), (400, 40), (16_000, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_bits_are_uniform(shape, seed):
    bits = streams.row_bits([seed], step=1, layer=2, first_row=0, rows=shape[0], width=shape[1])
    for part in (bits >> 12, bits & 15):  # the highest and the lowest four bits
        assert_uniform(np.bincount(part.reshape(-1), minlength=16))


@pytest.mark.parametrize("seed", range(4))
def test_a_generator_is_uniform(seed):
    assert_uniform(np.bincount(streams.generator(seed, streams.SPLIT).integers(16, size=16_000), minlength=16))


@pytest.mark.parametrize("seed", range(4))
def test_neighbouring_rows_are_independent(seed):
    bits = streams.row_bits([seed], step=1, layer=2, first_row=0, rows=16_001, width=1)[0, :, 0] >> 14
    assert_uniform(np.bincount(4 * bits[:-1] + bits[1:], minlength=16))


def assert_uniform(counts):
    """Pearson's chi-square of 16 counts: mean 15, above 50 once in 90 000 tries."""
    expected = counts.sum() / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < 50
