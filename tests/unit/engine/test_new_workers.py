"""Workers with another setup take the place of the others: real processes, and nothing is done by nobody meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest
from support.installation import until

from crawlerd.core.metric_labels import WorkerLoss
from crawlerd.engine.wire import Setup
from crawlerd.engine.worker_pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(Setup({}, 1, {}), {}, processes=1, max_worker_mb=1000)
    pool.fill(time.monotonic())
    until(lambda: hear(pool) and pool.working == 1)
    yield pool
    pool.close()


def hear(pool: Pool) -> bool:
    """Reads what its workers say."""
    for key, _ in pool.selector.select(0.05):
        assert pool.read(key.data, time.monotonic()) is not None
    return True


def rooms(pool: Pool) -> list[int]:
    return [worker.room for worker in pool.workers]


def test_others_have_room_before_the_old_ones_have_none(pool: Pool) -> None:
    (old,) = pool.workers
    renewed: Future[None] = Future()
    pool.renew(Setup({}, 3, {}), 2, renewed, time.monotonic())
    assert len(pool.workers) == 3
    while not renewed.done():
        assert old.room == 1
        assert not old.retiring
        hear(pool)
    assert rooms(pool) == [0, 3, 3]
    ((gone, how, loss),) = pool.failing(time.monotonic())
    assert (gone, how, loss) == (old, "was replaced", WorkerLoss.RELOAD)
    pool.lose(gone, how, time.monotonic(), loss)
    pool.fill(time.monotonic() + 60)
    assert len(pool.workers) == 2


def test_an_old_one_keeps_what_it_has(pool: Pool) -> None:
    (old,) = pool.workers
    old.leases = 1  # as the dispatcher counts them
    renewed: Future[None] = Future()
    pool.renew(Setup({}, 1, {}), 1, renewed, time.monotonic())
    until(lambda: hear(pool) and renewed.done())
    assert old.retiring
    assert pool.failing(time.monotonic()) == []
    old.leases = 0
    assert [worker for worker, *_ in pool.failing(time.monotonic())] == [old]


def test_the_old_ones_go_on_where_others_do_not_start(pool: Pool) -> None:
    before, (old,) = Setup({}, 1, {}), pool.workers
    broken = Setup({"gone": "a"}, 1, {"gone": ("no_such_module:source", [])})
    renewed: Future[None] = Future()
    pool.renew(broken, 1, renewed, time.monotonic())
    new = pool.workers[1]
    until(lambda: any(key.data is new for key, _ in pool.selector.select(0.05)))
    assert pool.read(new, time.monotonic()) is None  # it has ended
    pool.lose(new, "died", time.monotonic(), WorkerLoss.DIED)
    assert not renewed.done()
    pool.keep_old(before, 1)
    assert rooms(pool) == [1]
    assert pool.failing(time.monotonic()) == []
    pool.fill(time.monotonic() + 60)
    assert pool.workers == [old]


def test_one_that_dies_meanwhile_is_replaced_by_one_with_the_new_setup(pool: Pool) -> None:
    (old,) = pool.workers
    renewed: Future[None] = Future()
    pool.renew(Setup({}, 4, {}), 1, renewed, time.monotonic())
    pool.lose(old, "died", time.monotonic(), WorkerLoss.DIED)
    until(lambda: hear(pool) and renewed.done())
    assert rooms(pool) == [4]
