"""The main thread's event: no signal is lost, whatever that thread does when it comes."""

from __future__ import annotations

import random
import signal
import threading

import pytest

from crawlerd.engine.safe_event import SafeEvent


def test_it_is_set_until_it_is_cleared() -> None:
    event = SafeEvent()
    assert not event.wait(0)
    for _ in range(100_000):  # more than a pipe holds
        event.set()
    assert event.wait(0)
    assert event.wait()
    event.clear()
    assert not event.wait(0.001)


def test_another_thread_sets_it() -> None:
    event = SafeEvent()
    threading.Thread(target=event.set).start()
    assert event.wait(10)


@pytest.mark.timeout(60, method="thread")  # the other method has the same timer
def test_a_signal_at_any_instant_sets_it() -> None:
    """threading.Event hangs here: its handler wants the lock that it interrupts, or comes just before the wait."""
    event = SafeEvent()
    before = signal.signal(signal.SIGALRM, lambda *_: event.set())
    fd = signal.set_wakeup_fd(event.fd, warn_on_full_buffer=False)
    try:
        for _ in range(5_000):
            event.clear()
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 5e-5))
            assert event.wait(10)
    finally:
        signal.set_wakeup_fd(fd)
        signal.signal(signal.SIGALRM, before)
