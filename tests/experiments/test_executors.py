"""Worker processes of this machine, from their first moment on."""

import signal

from experiments.executors import processes


def blocked(number):
    """Whether a signal is blocked where this is called."""
    return number in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_workers_start_with_ctrl_c_blocked_and_whoever_starts_them_goes_on_without():
    with processes(2) as pool:
        assert list(pool.map(blocked, [signal.SIGINT] * 4)) == [True] * 4
        assert not any(pool.map(blocked, [signal.SIGTERM] * 4))
    assert not blocked(signal.SIGINT)
