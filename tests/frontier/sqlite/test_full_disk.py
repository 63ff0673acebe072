"""The frontier on a disk that is really full."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.ready_tasks import bucket_heads
from support.small_disks import filled

from crawlerd.core.errors import StorageFailed
from crawlerd.core.outcome import Batch, Bury, Complete, Outcome, Retry
from crawlerd.core.task import NewTask
from crawlerd.frontier import check, open_frontier, open_reader
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.waiting_contract import FIRST

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier

NOW = 1_000_000.0


def big(number: int) -> NewTask:
    return NewTask("shop.page", "pages", 5, json.dumps({"n": number, "text": "x" * 2000}))


def check_all(state_dir: Path, made: int) -> None:
    """Every counter is the count of its rows, and no task is lost. made: tasks so far."""
    assert check(state_dir, full=True).broken == []
    reader = open_reader(state_dir)
    assert reader is not None
    with closing(reader):
        runs = reader.status().runs
        done = sum(run.done for run in runs)
        assert sum(reader.totals()) + done == made
        assert sum(run.records for run in runs) == done


def heads(frontier: Frontier) -> list[Any]:
    return bucket_heads(frontier, 1, FIRST, 10_000)


@pytest.mark.parametrize(
    "last",
    [
        Complete([Batch("items", 1, [], [])], [big(number) for number in range(200)]),
        Retry(1.0, "x" * 500),
        Bury("gone"),
    ],
)
def test_a_full_disk_takes_a_commit_back_and_it_works_when_there_is_space_again(
    small_disk: Path, last: Outcome
) -> None:
    frontier = open_frontier(small_disk, now=NOW)
    account = frontier.account("acme", "shop")
    frontier.start_run("shop", account, [big(number) for number in range(200)], full=False, now=NOW)
    before = heads(frontier)
    group = [Settled(task, account, last) for task in before[:100]]
    if isinstance(last, Complete):
        group = group[:1]
    with filled(small_disk):
        for _ in range(3):
            with pytest.raises(StorageFailed, match=f"holds {small_disk}/{FILE_NAME} is full") as failure:
                frontier.commit(group, now=NOW)
            assert failure.value.full
            assert heads(frontier) == before
        with pytest.raises(StorageFailed):
            frontier.start_run("other", account, [big(1)], full=False, now=NOW)
        with pytest.raises(StorageFailed):
            frontier.account("zenith", "shop")
        assert frontier.latest_run("other") is None
    frontier.commit(group, now=NOW)
    done = {settled.task.seq for settled in group}
    assert [task for task in heads(frontier) if task.seq <= 200] == [task for task in before if task.seq not in done]
    assert frontier.account("zenith", "shop") == account + 1
    frontier.start_run("other", account, [NewTask("shop.new", "new", 5, "{}")], full=False, now=NOW)
    made = 200 + 1 + (len(last.children) if isinstance(last, Complete) else 0)
    check_all(small_disk, made)
    frontier.close()
    check_all(small_disk, made)


def test_starting_on_a_full_disk_says_so_and_leaves_what_there_is(small_disk: Path) -> None:
    with filled(small_disk):
        with pytest.raises(StorageFailed, match="No space left on device") as failure:
            StateLock(small_disk)
        assert failure.value.full
        with pytest.raises(StorageFailed) as failure:
            open_frontier(small_disk, now=NOW)
        assert failure.value.full
    StateLock(small_disk).close()
    frontier = open_frontier(small_disk, now=NOW)
    frontier.start_run("shop", frontier.account("acme", "shop"), [big(1)], full=False, now=NOW)
    before = heads(frontier)
    frontier.close()
    with filled(small_disk):
        StateLock(small_disk).close()
        with pytest.raises(StorageFailed) as failure:
            open_frontier(small_disk, now=NOW).refuse(1, "no key", NOW)
        assert failure.value.full
    frontier = open_frontier(small_disk, now=NOW)
    assert heads(frontier) == before
    frontier.close()
    check_all(small_disk, 1)
