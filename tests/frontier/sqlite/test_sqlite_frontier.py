"""The frontier on SQLite: its file, what is wrong with one, older and newer versions, and how much work a read is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from support.ready_tasks import bucket_heads

from crawlerd.core.errors import FrontierError, FrontierTooNew, FrontierUnusable
from crawlerd.core.outcome import Bury, Complete, Outcome, Retry
from crawlerd.core.task import NewTask, Task, parent_hash
from crawlerd.frontier import open_frontier, open_reader
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite.database import CACHE_KIB, FILE_NAME, WAL_PAGES, connect
from crawlerd.frontier.sqlite.migrations import MIGRATIONS
from crawlerd.frontier.sqlite.reader import SqliteReader
from crawlerd.frontier.waiting_contract import FIRST
from crawlerd.sink import SinkState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier

NOW = 1_000_000.0


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[Frontier]:
    frontier = open_frontier(tmp_path, now=NOW)
    yield frontier
    frontier.close()


def plain(payload: str = "{}") -> NewTask:
    return NewTask("shop.page", "pages", 5, payload)


def begin(frontier: Frontier, *tasks: NewTask) -> int:
    return frontier.start_run("shop", frontier.account("acme", "shop"), tasks, full=False, now=NOW).run


def heads(frontier: Frontier) -> list[Task]:
    return bucket_heads(frontier, 1, FIRST, 1000)


def settle(frontier: Frontier, *outcomes: Outcome) -> None:
    group = [Settled(task, 1, outcome) for task, outcome in zip(heads(frontier), outcomes, strict=False)]
    frontier.commit(group, now=NOW)


# the file


def test_a_new_frontier_is_durable(tmp_path: Path, frontier: Frontier) -> None:
    assert frontier.next_due() is None
    with closing(connect(tmp_path / FILE_NAME)) as database:
        asked = ("user_version", "journal_mode", "synchronous", "cache_size", "wal_autocheckpoint", "temp_store")
        settings = [database.pragma(name) for name in asked]
    assert settings == [len(MIGRATIONS), "wal", 2, -CACHE_KIB, WAL_PAGES, 2]


def test_a_file_of_something_else_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but somebody's only copy of it" * 100)
    before = (tmp_path / FILE_NAME).read_bytes()
    match = rf"{tmp_path}/{FILE_NAME} is not a usable database .* frontier restore FILE"
    with pytest.raises(FrontierUnusable, match=match):
        open_frontier(tmp_path, now=NOW)
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_database_is_named_wherever_the_damage_shows(tmp_path: Path, whole: bool) -> None:
    frontier = open_frontier(tmp_path, now=NOW)
    begin(frontier, *(plain(f'{{"a":"{"x" * 500}{number}"}}') for number in range(1000)))
    frontier.close()
    content = (tmp_path / FILE_NAME).read_bytes()
    intact = 8192 if whole else len(content) - 65536
    (tmp_path / FILE_NAME).write_bytes(content[:intact] + b"\xff" * (len(content) - intact))
    with pytest.raises(FrontierError, match=rf"{tmp_path}/{FILE_NAME} is not a usable database"):
        heads(open_frontier(tmp_path, now=NOW))


def test_a_directory_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(FrontierError, match=f"{tmp_path}/{FILE_NAME}"):
        open_frontier(tmp_path, now=NOW)


@pytest.mark.parametrize("crashed", [False, True])
def test_a_newer_version_is_refused_and_not_a_byte_changed(tmp_path: Path, crashed: bool) -> None:
    """Also when it left a log behind, which opening a database would usually tidy away."""
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    copy.mkdir()
    frontier = open_frontier(original, now=NOW)
    begin(frontier, plain())
    with closing(apsw.Connection(str(original / FILE_NAME))) as newer:
        newer.pragma("user_version", len(MIGRATIONS) + 1)
    if not crashed:
        frontier.close()
    for file in original.glob(f"{FILE_NAME}*"):
        if not file.name.endswith("-shm"):
            (copy / file.name).write_bytes(file.read_bytes())
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    assert len(before) == 1 + crashed
    for _ in range(2):
        with pytest.raises(FrontierTooNew, match=r"written by a newer crawlerd .* nothing was changed"):
            open_frontier(copy, now=NOW)
    after = {file.name: file.read_bytes() for file in copy.iterdir() if not file.name.endswith("-shm")}
    assert {name: content for name, content in after.items() if content} == before
    if crashed:
        frontier.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    open_frontier(tmp_path, now=NOW).close()
    (tmp_path / FILE_NAME).chmod(0o444)
    with pytest.raises(FrontierError, match=f"{tmp_path}/{FILE_NAME}"):
        open_frontier(tmp_path, now=NOW)


# reading


def test_there_is_nothing_to_read_before_the_first_start(tmp_path: Path) -> None:
    assert open_reader(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE_NAME).touch()
    assert open_reader(tmp_path) is None


def test_the_work_of_a_status_does_not_grow_with_the_queue(tmp_path: Path, frontier: Frontier) -> None:
    """Counted in steps of SQLite's machine, not in seconds."""

    def steps() -> int:
        count = 0

        def step() -> bool:
            nonlocal count
            count += 1
            return False

        database = apsw.Connection(str(tmp_path / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
        database.set_progress_handler(step, 1)
        reader = SqliteReader(database, tmp_path)
        with closing(reader):
            reader.status()
        return count

    begin(frontier, *[plain()] * 100)
    settle(frontier, *[Retry(60.0, "reset")] * 10, *[Bury("gone")] * 10)
    few = steps()
    frontier.commit(
        [
            Settled(task, 1, Complete([], [NewTask("shop.page", "pages", 5, "{}")] * 100))
            for task in heads(frontier)[:50]
        ],
        now=NOW,
    )
    settle(frontier, *[Retry(60.0, "reset")] * 1000, *[Bury("gone")] * 1000)
    assert 0 < steps() <= few + 20


def test_a_newer_frontier_is_not_read(tmp_path: Path) -> None:
    open_frontier(tmp_path, now=NOW).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(FrontierTooNew, match="upgrade crawlerd"):
        open_reader(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is not a database" * 100)
    with pytest.raises(FrontierError, match=f"{tmp_path}/{FILE_NAME} is not a usable database"):
        open_reader(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    frontier = open_frontier(tmp_path, now=NOW)
    begin(frontier, *[plain()] * 100)
    frontier.close()
    content = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    reader = open_reader(tmp_path)
    assert reader is not None
    with closing(reader), pytest.raises(FrontierError, match="is not a usable database"):
        reader.status()


# size


def test_a_parent_takes_fewer_than_60_bytes(tmp_path: Path) -> None:
    with closing(open_frontier(tmp_path, now=NOW)) as frontier:
        frontier.account("acme", "shop")
        begin(frontier, *[plain()] * 101)
        tasks = heads(frontier)
        before = (tmp_path / FILE_NAME).stat().st_size
        for number, task in enumerate(tasks[:100]):
            reading = Complete(parents=[("orders", parent_hash(f"{number} {each}"), True) for each in range(1000)])
            frontier.commit([Settled(task, 1, reading)], now=NOW)
    assert ((tmp_path / FILE_NAME).stat().st_size - before) / 100_000 < 60


# versions


def test_what_was_noted_before_sinks_had_identities_is_taken_over_by_a_sink_that_has_records(tmp_path: Path) -> None:
    for fresh, kept in ((False, {"items": "7"}), (True, {})):
        (state := tmp_path / str(fresh)).mkdir()
        with closing(apsw.Connection(str(state / FILE_NAME))) as db:
            db.execute("\n".join(MIGRATIONS[:4]) + "; PRAGMA user_version = 4")
            db.execute("INSERT INTO cursor VALUES ('a', 'items', '7')")
        frontier = open_frontier(state, now=NOW)
        sink = frontier.attach("sinks.one", SinkState("id-1", None, fresh=fresh), NOW).id
        frontier.bind("a", sink, NOW)
        assert frontier.cursors("a", sink) == kept
        frontier.close()


def test_readers_see_a_new_frontier_whole_or_none(tmp_path: Path) -> None:
    """A status beside an import that has just begun: read before each statement of its making."""
    seen: list[bool] = []

    def read(*_: object) -> bool:
        reader = open_reader(tmp_path)
        seen.append(reader is not None)
        if reader:
            assert reader.status().runs == []
            reader.close()
        return True

    def traced(database: apsw.Connection) -> None:
        if not database.readonly("main"):
            database.exec_trace = read

    apsw.connection_hooks.append(traced)
    try:
        open_frontier(tmp_path, now=NOW).close()
    finally:
        apsw.connection_hooks.remove(traced)
    assert len(seen) > len(MIGRATIONS)
    assert seen == sorted(seen)
    assert {*seen} == {False, True}


def test_a_frontier_that_is_idle_has_no_log(tmp_path: Path) -> None:
    """A reader is not waited for: it is tried again later."""
    frontier = open_frontier(tmp_path, now=NOW)
    begin(frontier, *(plain(f'{{"n":{number}}}') for number in range(1000)))
    log = tmp_path / f"{FILE_NAME}-wal"
    assert log.stat().st_size > 100_000
    with closing(apsw.Connection(str(tmp_path / FILE_NAME))) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM run").get == 1
        assert not frontier.idle()
        reader.execute("COMMIT")
        assert frontier.idle()
    assert log.stat().st_size == 0
    frontier.close()


def test_another_program_s_database_is_named_and_left_alone(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / FILE_NAME))) as database:
        database.execute("CREATE TABLE run(distance)")
    with pytest.raises(FrontierUnusable, match=r"/frontier.db is a database, but no frontier of crawlerd .*move it"):
        open_frontier(tmp_path, now=NOW)
    with closing(apsw.Connection(str(tmp_path / FILE_NAME))) as database:
        assert database.execute("SELECT name FROM sqlite_schema").get == "run"
