"""The tasks of an abandoned run leave in slices; nothing else does, and every invariant holds between the slices."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from crawlerd.core.outcome import Bury, Complete, Retry
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite import removal
from crawlerd.frontier.sqlite.frontier import Frontier
from crawlerd.frontier.sqlite.maintenance import check
from crawlerd.frontier.sqlite.schema import FILE_NAME, MIGRATIONS
from crawlerd.sink import SinkState

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1e6


def task(number: int, bucket: str = "items") -> NewTask:
    return NewTask(f"s.{bucket}", bucket, number % 10, f'{{"n":{number}}}', unique=True)


def rows(state: Path, table: str) -> dict[int, int]:
    with closing(apsw.Connection(str(state / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return dict(db.execute(f"SELECT run, count(*) FROM {table} GROUP BY run"))


@pytest.fixture
def frontier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Frontier:
    monkeypatch.setattr(removal, "SLICE", 5)
    frontier = Frontier(tmp_path, now=NOW)
    sink = frontier.attach("sinks.one", SinkState("id-1", None, fresh=True), NOW).id
    other = frontier.attach("sinks.two", SinkState("id-2", None, fresh=True), NOW).id
    account = frontier.account("acme", "s")
    for name, into in (("a", sink), ("b", other)):
        gathers = [NewGather([task(n, "parts")], task(100 + n, "then")) for n in range(7)]
        tasks = [*map(task, range(23)), task(1, "other")]
        run = frontier.start_run(name, account, tasks, gathers=gathers, full=True, now=NOW, sink=into).run
        heads = [each for each in frontier.heads(1, (-1, -1), 100) if each.run == run and each.kind == "s.then"] or [
            each for bucket in frontier.ready_buckets(None) for each in frontier.heads(bucket.id, (-1, -1), 100)
        ]
        heads = [each for each in heads if each.run == run][:9]
        outcomes = [Retry(60.0, "slow"), Retry(5e4, "slow"), Bury("no"), Bury("no"), Complete()]
        group = [Settled(each, account, outcomes[n % 5]) for n, each in enumerate(heads)]
        frontier.commit(group, now=NOW, written=[into])
    return frontier


@pytest.mark.parametrize("restart", [False, True])
def test_all_of_it_goes_in_slices_and_nothing_of_another_run(frontier: Frontier, tmp_path: Path, restart: bool) -> None:
    before = {table: rows(tmp_path, table) for table in ("ready", "delayed", "gather", "dead", "seen")}
    assert all(len(each) == 2 for each in before.values())
    attached = frontier.attach("sinks.one", SinkState("id-3", None, fresh=True), NOW)
    assert attached.abandoned == [1]
    assert attached.news == "sinks.one is another database than before"
    slices = 0
    left = [sum(rows(tmp_path, table).get(1, 0) for table in before)]
    while frontier.chores:
        frontier.commit([], now=NOW + 100)  # some of what is delayed is due meanwhile
        slices += 1
        assert check(tmp_path / FILE_NAME) == []
        left.append(sum(rows(tmp_path, table).get(1, 0) for table in before if table != "seen"))
        assert left[-2] - left[-1] <= removal.SLICE or slices == 1
        if restart and slices == 3:
            frontier.close()
            frontier = Frontier(tmp_path, now=NOW)
    assert slices > 5
    for table, counts in before.items():
        if table not in ("ready", "delayed"):  # of the other run, something became due
            assert rows(tmp_path, table) == {2: counts[2]}
    assert rows(tmp_path, "ready")[2] + rows(tmp_path, "delayed")[2] == before["ready"][2] + before["delayed"][2]
    assert frontier.run(1).state == "cancelled"
    assert frontier.run(1).again
    assert frontier.run(2).state == "running"
    frontier.close()


def test_an_abandoned_run_is_not_brought_back_by_its_dead_letters(frontier: Frontier, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / FILE_NAME))) as db:
        numbers = [seq for (seq,) in db.execute("SELECT seq FROM dead")]
    frontier.attach("sinks.one", SinkState("id-3", None, fresh=True), NOW)
    count, imports = frontier.retry_dead(numbers)
    assert imports == ["b"]
    assert 0 < count < len(numbers)
    assert frontier.run(1).state == "cancelled"
    assert check(tmp_path / FILE_NAME) == []
    frontier.close()


def test_a_sink_that_is_older_takes_the_sync_points_with_it(frontier: Frontier) -> None:
    assert frontier.mark.number == 3
    assert frontier.attach("sinks.two", SinkState("id-2", 2, fresh=False), NOW).abandoned == []
    assert frontier.attach("sinks.two", SinkState("id-2", 1, fresh=False), NOW).abandoned == [2]
    assert frontier.news("b", 2) == "sinks.two is an older copy: it lacks what was imported last"
    frontier.close()


def test_what_was_noted_before_sinks_had_identities_is_taken_over_by_a_sink_that_has_records(tmp_path: Path) -> None:
    for fresh, kept in ((False, {"items": "7"}), (True, {})):
        (state := tmp_path / str(fresh)).mkdir()
        with closing(apsw.Connection(str(state / FILE_NAME))) as db:
            db.execute("\n".join(MIGRATIONS[:4]) + "; PRAGMA user_version = 4")
            db.execute("INSERT INTO cursor VALUES ('a', 'items', '7')")
        frontier = Frontier(state, now=NOW)
        sink = frontier.attach("sinks.one", SinkState("id-1", None, fresh=fresh), NOW).id
        frontier.bind("a", sink, NOW)
        assert frontier.cursors("a", sink) == kept
        frontier.close()


@pytest.mark.parametrize(
    ("first", "second", "news"),
    [
        ("http://a/x", "http://a/x", None),
        (None, "acct_1", None),
        ("acct_1", None, None),
        ("acct_1", "acct_2", "the receiver of import a is another one than before"),
    ],
)
def test_a_receiver_of_deliveries_is_known_by_its_identity(
    tmp_path: Path, first: str | None, second: str | None, news: str | None
) -> None:
    frontier = Frontier(tmp_path, now=NOW)
    before = frontier.attach_receiver("a", first, NOW)
    after = frontier.attach_receiver("a", second, NOW)
    assert (after.id, after.news) == (before.id, news)
    assert frontier.attach_receiver("b", first, NOW).id != before.id
    frontier.close()
