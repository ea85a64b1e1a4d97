import os
import signal

import pytest

from training.signals import HANDLED, StopOnSignal

every_signal = pytest.mark.parametrize("number", HANDLED, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def earlier():
    """What the signals did before: here they are written down."""
    seen = []
    before = {number: signal.signal(number, lambda got, frame: seen.append(got)) for number in HANDLED}
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def handlers():
    return [signal.getsignal(number) for number in HANDLED]


def test_no_signal_is_no_reason_to_stop(earlier):
    with StopOnSignal() as stop:
        assert not stop()
    assert stop.received is None


@every_signal
def test_a_signal_is_noted_and_nothing_else_happens(number, earlier):
    with StopOnSignal() as stop:
        send(number)
        assert stop()
        assert stop.received is number
    assert earlier == []


@every_signal
def test_a_signal_is_remembered_afterwards(number):
    with StopOnSignal() as stop:
        send(number)
    assert stop()
    assert stop.received is number


@pytest.mark.parametrize("second", HANDLED, ids=lambda number: number.name)
@every_signal
def test_a_second_signal_does_what_it_did_before(number, second, earlier):
    with StopOnSignal() as stop:
        send(number)
        send(second)
    assert earlier == [second]
    assert stop.received is number


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_earlier_handlers_are_back_afterwards(interrupted):
    before = handlers()
    with StopOnSignal():
        assert all(one is not other for one, other in zip(handlers(), before, strict=True))
        if interrupted:
            send(signal.SIGTERM)
    assert handlers() == before


def test_the_earlier_handlers_are_back_after_an_error(earlier):
    before = handlers()
    with pytest.raises(ZeroDivisionError), StopOnSignal():
        raise ZeroDivisionError
    assert handlers() == before
