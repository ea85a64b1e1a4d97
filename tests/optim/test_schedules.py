import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim import SCHEDULES, constant, warmup_constant, warmup_cosine

lengths = st.integers(1, 300).flatmap(lambda steps: st.tuples(st.just(steps), st.integers(0, steps)))


def factors(schedule, steps, warmup):
    return [schedule(step, steps, warmup) for step in range(1, steps + 1)]


def test_constant_is_one_at_every_step():
    assert factors(constant, 7, 3) == [1.0] * 7


@given(lengths)
def test_every_factor_lies_between_zero_and_one(length):
    for schedule in SCHEDULES.values():
        assert all(0 <= factor <= 1 for factor in factors(schedule, *length))


@pytest.mark.parametrize("schedule", [warmup_constant, warmup_cosine])
class TestWarmUp:
    @given(lengths)
    def test_rises_by_equal_amounts_and_reaches_one_at_its_last_step(self, schedule, length):
        steps, warmup = length
        rising = factors(schedule, steps, warmup)[:warmup]
        assert rising == pytest.approx([step / warmup for step in range(1, warmup + 1)])
        assert not rising or rising[-1] == 1

    def test_of_no_steps_starts_at_the_full_rate_or_just_below(self, schedule):
        assert schedule(1, 1000, 0) == pytest.approx(1, abs=1e-5)


def test_after_the_warm_up_the_constant_schedule_stays_at_one():
    assert factors(warmup_constant, 10, 4)[3:] == [1.0] * 7


@given(lengths)
def test_the_cosine_falls_at_every_step_after_the_warm_up_and_ends_at_zero(length):
    steps, warmup = length
    falling = factors(warmup_cosine, steps, warmup)[warmup:]
    assert all(later < earlier for earlier, later in pairwise(falling))
    assert not falling or falling[-1] == pytest.approx(0, abs=1e-12)


def test_the_cosine_is_half_way_at_half_time():
    assert warmup_cosine(60, 100, 20) == pytest.approx(0.5)
    assert warmup_cosine(40, 100, 20) == pytest.approx((1 + math.sqrt(0.5)) / 2)
