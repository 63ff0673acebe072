"""The engine's time while people set the clock of the machine."""

from __future__ import annotations

import time

import pytest

from crawlerd.engine.clock import Clock


def test_it_goes_on_when_the_machine_s_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, true_time = Clock(), time.time
    for hours in (-3, 5):
        monkeypatch.setattr(time, "time", lambda hours=hours: true_time() + hours * 3_600)
        assert clock.now() == pytest.approx(true_time(), abs=0.5)
    assert clock.monotonic(clock.now() + 60) == pytest.approx(time.monotonic() + 60, abs=0.5)
