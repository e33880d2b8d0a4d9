"""The first signal is a request, the second acts as before."""

import os
import signal

import pytest

from genarm.system.signals import on_first_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_calls_and_the_second_is_as_before(number):
    calls, others = [], []
    before = signal.signal(number, lambda *_: others.append(1))
    try:
        with on_first_signal(lambda: calls.append(1)):
            os.kill(os.getpid(), number)
            assert (calls, others) == ([1], [])
            os.kill(os.getpid(), number)
            assert (calls, others) == ([1], [1])
    finally:
        signal.signal(number, before)
