"""What counts as wrong, on a frontier of its own; the clock is an argument."""

from __future__ import annotations

import os
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.ready_tasks import bucket_heads

from crawlerd.core.notices import Condition, Ledger, Open
from crawlerd.core.notify_spec import EVENTS, NotifySpec
from crawlerd.core.outcome import Bury, Complete
from crawlerd.core.pauses import PauseNote
from crawlerd.core.task import NewTask
from crawlerd.frontier import open_frontier, open_reader
from crawlerd.frontier.contract import OutageNote, Settled
from crawlerd.operations.conditions import Conditions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier

NOW = 1_800_000_000.0
HOUR = 3600.0


class World:
    """A frontier, and what its daemon and its configuration would say."""

    def __init__(self, folder: Path, frontier: Frontier) -> None:
        self.folder, self.frontier = folder, frontier
        self.live = SimpleNamespace(trouble=None, storage_trouble=None, broken=dict, queue_troubles=dict)
        self.settings: Any = SimpleNamespace(
            daemon=SimpleNamespace(state_dir=folder),
            accounts={"acme": SimpleNamespace(source="shop")},
            imports={},
            sinks={"sink": SimpleNamespace(database=folder / "sink.db")},
        )
        self.ledger = Ledger()
        self.began_at = NOW

    def configure(self, name: str, every: float | None = HOUR) -> None:
        self.settings.imports[name] = SimpleNamespace(account="acme", every=every)

    def run(self, name: str, at: float = NOW, *, good: bool = True) -> int:
        account = self.frontier.account("acme", "shop")
        run = self.frontier.start_run(name, account, [NewTask("page", name, 5, "{}")], full=True, now=at).run
        heads = [head for bucket in range(1, 9) for head in bucket_heads(self.frontier, bucket, (-1, -1), 9)]
        ended = [Settled(head, 1, Complete() if good else Bury("HTTP 404")) for head in heads if head.run == run]
        self.frontier.commit(ended, now=at)
        return run

    def look(self, now: float = NOW, **spec: Any) -> list[Condition]:
        found, _, _ = self._look(now, **spec)
        return found

    def _look(self, now: float, **spec: Any) -> tuple[list[Condition], Any, list[Condition]]:
        chosen = NotifySpec(**{"on": EVENTS, "disk_free_bytes": 0, **spec})
        reader = open_reader(self.folder)
        assert reader is not None
        with closing(reader):
            look = Conditions(reader, self.live, self.settings, chosen, self.ledger, began_at=self.began_at, now=now)
            return list(look.found()), *look.finished()

    def ended(self, **spec: Any) -> list[str]:
        """Subjects of the runs that have ended since the last call."""
        _, self.ledger.runs, ended = self._look(NOW, **spec)
        return [each.subject for each in ended]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    frontier = open_frontier(tmp_path, now=NOW)
    yield World(tmp_path, frontier)
    frontier.close()


def subjects(found: list[Condition]) -> list[tuple[str, str]]:
    return [(each.event, each.subject) for each in found]


def test_nothing_is_wrong_at_first(world: World) -> None:
    world.configure("orders")
    assert world.look() == []


def test_an_import_fails_after_so_many_runs_in_a_row(world: World) -> None:
    world.configure("orders")
    for _ in range(2):
        last = world.run("orders", good=False)
    assert world.look() == []
    (found,) = world.look(failed_runs=2)
    assert found[:2] == ("failed", "import orders")
    assert f"the last is run {last}" in found.text
    world.run("orders")
    assert world.look(failed_runs=1) == []


def test_a_failed_run_that_is_tried_again_is_over_when_it_has_completed(world: World) -> None:
    world.configure("orders")
    world.run("orders", at=NOW - 60)
    world.run("orders", good=False)

    def look(now: float) -> list[Condition]:
        found = world.look(now, failed_runs=1)
        world.ledger.look(["failed"], found, (), now)
        return found

    (found,) = look(NOW + 5)
    assert world.frontier.retry_dead(range(10))[0] == 1
    assert look(NOW + 10) == look(NOW + 15) == [found]
    heads = [head for bucket in range(1, 9) for head in bucket_heads(world.frontier, bucket, (-1, -1), 9)]
    world.frontier.commit([Settled(each, 1, Bury("HTTP 404")) for each in heads], now=NOW + 16)
    assert look(NOW + 20) == [found]
    assert world.frontier.retry_dead(range(10))[0] == 1
    assert look(NOW + 25) == [found]
    heads = [head for bucket in range(1, 9) for head in bucket_heads(world.frontier, bucket, (-1, -1), 9)]
    world.frontier.commit([Settled(each, 1, Complete()) for each in heads], now=NOW + 26)
    assert look(NOW + 30) == []


def test_one_of_a_kind_is_not_many(world: World) -> None:
    world.configure("orders")
    assert world.ended() == []
    world.run("orders", good=False)
    _, _, (ended,) = world._look(NOW)
    assert ended.text == "import orders: failed; 0 records, 0 tasks, 1 dead letter"


def test_an_import_that_is_not_configured_any_more_is_nobodys_trouble(world: World) -> None:
    world.run("orders", good=False)
    world.frontier.refuse(world.frontier.account("gone", "shop"), "HTTP 401", NOW)
    assert world.look(failed_runs=1) == []


def test_an_import_that_raises_when_it_starts_fails_as_well(world: World) -> None:
    world.live.broken = lambda: {"orders": "KeyError: 'x'"}
    assert world.look() == [Condition("failed", "import orders", "cannot start: KeyError: 'x'")]


def test_old_data_are_told_when_a_person_would_miss_them(world: World) -> None:
    world.configure("orders")
    world.configure("by hand", every=None)
    for name in ("orders", "by hand"):
        world.run(name)
    assert world.look(NOW + 2 * HOUR + 600) == []
    assert subjects(world.look(NOW + 2 * HOUR + 601)) == [("stale", "import orders")]
    assert subjects(world.look(NOW + 61, stale_seconds=60.0)) == [("stale", "import orders")]
    note = PauseNote(kind="account", name="acme", reason="audit", by="ann", since=NOW)
    world.frontier.pause(note)
    assert world.look(NOW + 10 * HOUR) == []


def test_an_import_that_has_never_completed_is_waited_for_from_the_start(world: World) -> None:
    world.configure("orders")
    assert world.look(NOW + 2 * HOUR + 600) == []
    assert subjects(world.look(NOW + 2 * HOUR + 601)) == [("stale", "import orders")]
    world.began_at = NOW + 9 * HOUR  # after a restart, its first run says how long it is waited for
    world.run("orders", good=False)
    assert subjects(world.look(NOW + 9 * HOUR)) == [("stale", "import orders")]


def test_an_outage_is_one_whoever_meets_it(world: World) -> None:
    numbers = [world.frontier.account(name, "shop") for name in ("a", "b", "c", "d")]
    notes = [OutageNote("https://x.example", number, NOW, NOW + 5, 5.0, "refused") for number in numbers]
    world.frontier.commit([], now=NOW, outages={(note.origin, note.account): note for note in notes})
    (found,) = world.look()
    assert found[:2] == ("outage", "https://x.example")
    assert found.text.startswith("does not answer (accounts ")
    assert "and 1 more" in found.text


def test_a_disk_is_told_before_it_is_full(world: World) -> None:
    free = os.statvfs(world.folder).f_bavail * os.statvfs(world.folder).f_frsize
    assert world.look(disk_free_bytes=free // 2) == []
    (found,) = world.look(disk_free_bytes=free * 2)  # the sink is on the same
    assert found[:2] == ("disk", str(world.folder))
    assert "MiB are free" in found.text


def test_a_disk_that_was_told_must_have_some_room_again(world: World) -> None:
    free = os.statvfs(world.folder).f_bavail * os.statvfs(world.folder).f_frsize
    limit = int(free / 1.02)
    assert world.look(disk_free_bytes=limit) == []
    world.ledger.open[f"disk {world.folder}"] = Open("disk", str(world.folder), "", NOW, NOW)
    assert len(world.look(disk_free_bytes=limit)) == 1


def test_what_holds_up_a_disk_is_not_told_twice(world: World) -> None:
    world.live.trouble = world.live.storage_trouble = "the disk is full"
    assert subjects(world.look()) == [("disk", "crawlerd")]
    world.live.trouble, world.live.storage_trouble = "no worker starts", None
    assert subjects(world.look()) == [("held_up", "crawlerd")]
    world.live.trouble = None
    world.live.queue_troubles = lambda: {"inbox.path": "is no directory"}
    assert subjects(world.look()) == [("held_up", "inbox.path")]


def test_only_what_is_wanted_is_looked_for(world: World) -> None:
    world.configure("orders")
    world.run("orders", good=False)
    world.live.trouble = world.live.storage_trouble = "the disk is full"
    assert subjects(world.look(on=("failed",), failed_runs=1)) == [("failed", "import orders")]


def test_each_end_of_a_run_is_told_once(world: World) -> None:
    world.run("orders")
    assert world.ended() == []  # before anybody wanted to know
    first = world.run("orders")
    account = world.frontier.account("acme", "shop")
    open_ = world.frontier.start_run("slow", account, [NewTask("page", "slow", 5, "{}")], full=True, now=NOW).run
    last = world.run("orders", good=False)
    assert world.ended() == [f"run {first}", f"run {last}"]
    assert world.ended() == []
    world.frontier.retry_dead([number for (number,) in [(each.id,) for each in _letters(world)]])
    heads = [head for bucket in range(1, 9) for head in bucket_heads(world.frontier, bucket, (-1, -1), 9)]
    assert world.ended() == []
    world.frontier.commit([Settled(head, 1, Complete()) for head in heads], now=NOW)
    assert sorted(world.ended()) == sorted([f"run {open_}", f"run {last}"])
    assert world.ended(on=("failed",)) == []
    assert world.ledger.runs is None


def _letters(world: World) -> list[Any]:
    reader = open_reader(world.folder)
    assert reader is not None
    with closing(reader):
        return reader.dead_letters()
