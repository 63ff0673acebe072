"""When missing workers are started again, and what is told meanwhile; and a pool without descriptors."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import psutil
from support.descriptors import no_descriptors
from support.installation import until

from crawlerd.engine.restarts import LONGEST_SECONDS, RESTART_SECONDS, SLOW_SECONDS, Restarts
from crawlerd.engine.wire import Setup
from crawlerd.engine.worker_pool import Pool

if TYPE_CHECKING:
    import pytest


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records if record.levelno > logging.DEBUG]


def test_starts_that_fail_are_further_and_further_apart_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    restarts, now, waits = Restarts(), 100.0, []
    restarts.look(now, 0)
    for _ in range(12):
        restarts.begin(now)
        restarts.failed("no memory", 0)
        waits.append(restarts.next_at - now)
        now = restarts.next_at
        restarts.look(now, 0)
    assert waits[:4] == [RESTART_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_SECONDS
    assert levels(caplog) == [logging.ERROR]
    assert restarts.down(now) == ("no worker process can start: no memory", now - 100.0)
    restarts.begin(now)
    restarts.succeeded()
    restarts.look(now + 1, 1)
    assert restarts.down(now + 1) is None
    assert levels(caplog) == [logging.ERROR, logging.WARNING]
    restarts.begin(now)
    assert restarts.next_at == now + RESTART_SECONDS


def test_where_others_work_a_failure_is_a_warning_until_none_is_left(caplog: pytest.LogCaptureFixture) -> None:
    restarts = Restarts()
    for working, down in ((1, False), (1, False), (0, True), (0, True)):
        restarts.look(10.0, working)
        restarts.begin(10.0)
        restarts.failed("no memory", working)
        assert (restarts.down(10.0) is not None) == down
    assert levels(caplog) == [logging.WARNING, logging.ERROR]


def test_workers_that_neither_come_up_nor_fail_are_missed_after_a_while() -> None:
    restarts = Restarts()
    restarts.begin(10.0)
    restarts.look(10.0, 0)
    assert restarts.down(10.0 + SLOW_SECONDS / 2) is None
    down = restarts.down(10.0 + 2 * SLOW_SECONDS)
    assert down is not None
    assert down[1] == 2 * SLOW_SECONDS


def test_a_worker_that_finds_no_descriptor_is_started_later(caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool(Setup({}, 1, {}), {}, processes=1, max_worker_mb=1000)
    try:
        now, before = time.monotonic(), psutil.Process().num_fds()
        with no_descriptors():
            for _ in range(3):
                pool.fill(now)
                assert not pool.workers
                assert pool.restarts.why == "Too many open files"
                now = pool.restarts.next_at
        assert psutil.Process().num_fds() == before
        assert levels(caplog) == [logging.ERROR]
        pool.fill(now)
        (worker,) = pool.workers
        until(lambda: pool.read(worker, time.monotonic()) == [] and worker.up)
        assert pool.restarts.why is None
        assert levels(caplog) == [logging.ERROR, logging.WARNING]
    finally:
        pool.close()
