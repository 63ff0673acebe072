"""Checking, vacuuming and copying real frontiers: sound and damaged, in use, killed half-way, on full disks."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import pytest
from support.ready_tasks import bucket_heads
from support.small_disks import fill as fill_disk

from crawlerd.core.errors import FrontierError, FrontierLocked, FrontierTooNew, StorageFailed
from crawlerd.core.outcome import Batch, Bury, Complete, Outcome, Retry
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier import begin_new, open_frontier, open_reader, restore
from crawlerd.frontier.contract import Frontier, Settled
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.sql.invariants import EXAMPLES, INVARIANTS
from crawlerd.frontier.sqlite import backup as copying
from crawlerd.frontier.sqlite import vacuum as vacuuming
from crawlerd.frontier.sqlite.backup import backup
from crawlerd.frontier.sqlite.check import check
from crawlerd.frontier.sqlite.database import FILE_NAME, MARK_NAME
from crawlerd.frontier.sqlite.migrations import MIGRATIONS
from crawlerd.frontier.sqlite.vacuum import vacuum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_000_000.0


def page(number: int, bucket: str = "pages", *, length: int = 10) -> NewTask:
    return NewTask("shop.page", bucket, 5, f'{{"n":{number},"x":"{"x" * length}"}}', unique=True)


def settle(frontier: Frontier, outcome: Outcome, bucket: int = 1, count: int = 1) -> None:
    group = [Settled(task, 1, outcome) for task in bucket_heads(frontier, bucket, (-1, -1), count)]
    assert group
    frontier.commit(group, now=NOW)


def fill(frontier: Frontier) -> None:
    """Run 1 is completed, run 2 not clean, with task 4 dead. Run 3 goes on: 4 tasks are ready in bucket 1 and 2 in
    bucket 2, 2 delayed, 1 dead, a cursor staged. Run 4 is of another account, with task 15 in bucket 3. Run 5 has
    group 16, in which are task 18, ready in bucket 4, and group 19, which has failed for its task 20 of the other
    account, in bucket 5."""
    account, other = frontier.account("acme", "shop"), frontier.account("zenith", "shop")
    for name in ("clean", "unclean"):
        frontier.start_run(name, account, [page(1), page(2)], full=True, now=NOW)
    settle(frontier, Complete([Batch("pages", 100, [], [])], [], [("pages", "7")]), count=3)
    settle(frontier, Bury("gone"))
    frontier.start_run("shop", account, [*map(page, range(7)), page(20, "items")], full=True, now=NOW)
    children = [page(1), page(21, "items"), page(9)]
    settle(frontier, Complete([Batch("pages", 5, [], [])], children, [("pages", "8")]))
    settle(frontier, Retry(60.0, "reset"), count=2)
    settle(frontier, Bury("gone"))
    frontier.start_run("other", other, [page(1)], full=False, now=NOW)
    parts = [page(1, "parts"), page(2, "parts")]
    frontier.start_run("grouped", account, [], gathers=[NewGather(parts, page(3, "parts"))], full=False, now=NOW)
    part = msgspec.structs.replace(page(1, "parts"), account="zenith")
    settle(frontier, Complete(gathers=[NewGather([part], page(4, "parts"), "fail")]), 4)
    settle(frontier, Bury("gone"), 5)


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """A state directory."""
    (tmp_path / "var").mkdir()
    return tmp_path / "var"


@pytest.fixture
def frontier(var: Path) -> Iterator[Frontier]:
    frontier = open_frontier(var, now=NOW)
    fill(frontier)
    yield frontier
    frontier.close()


def edit(path: Path, statements: str) -> None:
    with closing(apsw.Connection(str(path))) as database:
        database.execute(f"PRAGMA ignore_check_constraints = on; PRAGMA writable_schema = on; {statements}")


def select(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        return list(database.execute(statement))


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    tables = select(path, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    assert len(tables) >= 12
    return {name: sorted(select(path, f'SELECT * FROM "{name}"'), key=repr) for (name,) in tables}


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


# check


def test_a_sound_frontier_is_sound_whatever_happens_to_it(frontier: Frontier) -> None:
    """Checked beside its writer."""
    assert check(frontier.path) == check(frontier.path, full=True) == []
    frontier.commit([], now=NOW + 60.0)  # what was delayed is due
    assert check(frontier.path) == []
    frontier.retry_dead([4, 8, 20])
    assert check(frontier.path) == []
    for bucket in (1, 2, 3, 5, 4, 4):
        settle(frontier, Complete(), bucket, 100)
    assert select(frontier.path, "SELECT sum(open), sum(dead) FROM run") == [(0, 0)]
    assert check(frontier.path) == []


def test_an_empty_frontier_is_sound(var: Path) -> None:
    open_frontier(var, now=NOW).close()
    assert check(var / FILE_NAME, full=True) == []


# What unfolds for run 4: two tasks, and a group with one.
UNFOLDING = """
INSERT INTO stage VALUES (1, 0, 15, 2, '[[[], 0, -1, "run"], [[], 0, -1, "run"]]'),
    (1, 2, 15, 2, '[[[], 0, 1, "run"], [[], 3, -1, "run"]]');
INSERT INTO unfolding VALUES (1, 4, 2, 0, 100, 4, NULL);
UPDATE run SET open = open + 4 WHERE id = 4;
UPDATE figure SET v = v + 4 WHERE what = 1 AND run = 4;
UPDATE next_seq SET value = 104;
"""
DAMAGE = [
    (
        f"{UNFOLDING} UPDATE run SET open = 1 WHERE id = 4",
        ["run 4 counts 1 open tasks, but 5 are ready, delayed, waiting or unfolding"],
    ),
    (
        f"{UNFOLDING} UPDATE stage SET count = 1 WHERE first = 0",
        ["stage 1 unfolds and has 4 entries left, but 4 are there, and its portions count 3"],
    ),
    (
        f"{UNFOLDING} DELETE FROM stage WHERE first = 0; UPDATE run SET open = 3 WHERE id = 4; "
        "UPDATE figure SET v = 3 WHERE what = 1 AND run = 4",
        ["stage 1 unfolds and has 4 entries left, but 2 are there, and its portions count 2"],
    ),
    (
        f"{UNFOLDING} DELETE FROM stage WHERE first = 2; UPDATE unfolding SET count = 2, grp = 102; "
        "UPDATE run SET open = 3 WHERE id = 4; UPDATE figure SET v = 3 WHERE what = 1 AND run = 4",
        ["2 unfolding tasks of run 4 are in group 102, which does not exist"],
    ),
    (
        f"{UNFOLDING} UPDATE next_seq SET value = 103",
        ["the next new task would have the number 103, but there is a task 103"],
    ),
    (
        f"{UNFOLDING} UPDATE unfolding SET base = 15 - 3",
        [
            f"task {seq} lies in 2 places: {where}, unfolding"
            for seq, where in ((12, "ready"), (13, "ready"), (14, "ready"), (15, "ready"))
        ],
    ),
    (
        f"{UNFOLDING} UPDATE run SET state = 'failed', ended_at = 5.0 WHERE id = 4",
        ["run 4 is failed, with 5 open tasks", "stage 1 unfolds for run 4, which is failed"],
    ),
    (
        f"{UNFOLDING} UPDATE unfolding SET account = 77",
        ["what unfolds of run 4 is of account 77, which does not exist"],
    ),
    (
        "UPDATE run SET open = open + 1200 WHERE id = 3",
        ["run 3 counts 1,208 open tasks, but 8 are ready, delayed, waiting or unfolding"],
    ),
    ("UPDATE run SET delayed = 1 WHERE id = 3", ["run 3 counts 1 delayed tasks, but there are 2"]),
    ("UPDATE run SET dead = 0 WHERE id = 2", ["run 2 counts 0 dead tasks, but there are 1"]),
    (
        "UPDATE figure SET v = 7 WHERE what = 1 AND run = 4",
        ["the figures of run 4 count 7 open and 0 dead tasks, but the run counts 1 and 0"],
    ),
    (
        "UPDATE figure SET w = 7 WHERE what = 1 AND run = 4",
        ["the figures of run 4 count 7 tasks that are done, but the run counts 0"],
    ),
    ("UPDATE bucket SET ready = 9 WHERE id = 1", ["bucket 1 counts 9 ready tasks, but its queues count 4"]),
    (
        "DELETE FROM ready WHERE seq = 13",
        [
            "run 3 counts 8 open tasks, but 7 are ready, delayed, waiting or unfolding",
            "the queue of run 3 in bucket 2 counts 2 ready tasks, but there are 1",
        ],
    ),
    (
        "UPDATE run SET paused = 1 WHERE id = 4",
        ["the queue of run 4 in bucket 3 is not paused, but its run is paused"],
    ),
    (
        "INSERT INTO dead SELECT seq, run, bucket, priority, kind, attempt, 0, 'items', 'gone', payload, 5.0, 0, 0, 0, "
        "1, x'', 0 FROM ready WHERE seq = 15; UPDATE run SET dead = 1 WHERE id = 4; "
        "UPDATE figure SET x = 1 WHERE what = 1 AND run = 4",
        ["task 15 lies in 2 places: dead, ready"],
    ),
    (
        "INSERT INTO ready SELECT 2, run, priority, seq, kind, attempt, crashes, payload, 0, 0, 0 FROM ready "
        "WHERE seq = 15; INSERT INTO queue VALUES (2, 4, 1, 0); "
        "UPDATE run SET open = 2 WHERE id = 4; UPDATE bucket SET ready = 3 WHERE id = 2; "
        "UPDATE figure SET v = 2 WHERE what = 1 AND run = 4",
        [
            "task 15 lies in 2 places: ready, ready",
            "1 ready tasks of run 4 are in bucket 2, which is another account's",
        ],
    ),
    ("UPDATE next_seq SET value = 20", ["the next new task would have the number 20, but there is a task 20"]),
    ("DELETE FROM next_seq", ["0 numbers are noted for the next new task, instead of one"]),
    ("UPDATE run SET records = 6 WHERE id = 3", ["run 3 counts 6 records, but its streams count 5"]),
    ("UPDATE run SET state = 'failed', ended_at = 5.0 WHERE id = 4", ["run 4 is failed, with 1 open tasks"]),
    ("UPDATE run SET state = 'running', ended_at = NULL WHERE id = 1", ["run 1 is running, with 0 open tasks"]),
    ("UPDATE run SET ended_at = NULL WHERE id = 1", ["run 1 is completed, with no time of its end"]),
    ("UPDATE run SET ended_at = 5.0 WHERE id = 4", ["run 4 is running, with a time of its end"]),
    (
        "UPDATE run SET state = 'completed' WHERE id = 2",
        ["run 2 is completed, with 1 dead tasks", "1 cursors are staged by run 2, which is completed"],
    ),
    (
        "DELETE FROM run WHERE id = 3",
        [
            "6 ready tasks are of run 3, which does not exist",
            "2 delayed tasks are of run 3, which does not exist",
            "1 dead tasks are of run 3, which does not exist",
            "1 cursors are staged by run 3, which does not exist",
            "1 streams are reported of run 3, which does not exist",
            "1 figures are kept of run 3, which does not exist",
            "10 keys of unique tasks are kept for run 3, which does not exist",
        ],
    ),
    ("DELETE FROM bucket WHERE id = 3", ["1 ready tasks are in bucket 3, which does not exist"]),
    ("UPDATE delayed SET kind = 5", ["2 delayed tasks are of kind 5, which does not exist"]),
    (
        "DELETE FROM account WHERE id = 2",
        [
            f"{what} is of account 2, which does not exist"
            for what in ("run 4", "bucket 3", "bucket 5", "a task of run 5")
        ],
    ),
    ("UPDATE run SET dead = -1 WHERE id = 1", ["run 1 counts -1 dead tasks, but there are 0"]),
    ("UPDATE run SET waiting = 0 WHERE id = 5", ["run 5 counts 0 waiting tasks, but there are 1"]),
    ("UPDATE gather SET open = 3 WHERE id = 16", ["group 16 counts 3 open tasks, but there are 1"]),
    ("UPDATE gather SET dead = 4 WHERE id = 16", ["group 16 counts 4 dead tasks, but there are 1"]),
    (
        "UPDATE gather SET if_dead = 'run' WHERE id = 19",
        ["group 19 has nothing open, but the task that waits for that is not ready"],
    ),
    (
        "DELETE FROM dead WHERE seq = 19; UPDATE run SET dead = 1 WHERE id = 5; "
        "UPDATE figure SET x = x - 1 WHERE what = 1 AND run = 5 AND a = (SELECT max(kind) FROM gather WHERE id = 19); "
        "UPDATE gather SET dead = 0 WHERE id = 16",
        ["group 19 has nothing open, but the task that waits for that is not dead"],
    ),
    (
        "UPDATE gather SET parent = 20 WHERE id = 16",
        [
            "group 16 is inside of group 20, which is not older",
            "1 waiting tasks of run 5 are in group 20, which does not exist",
        ],
    ),
    ("UPDATE ready SET grp = 15 WHERE seq = 15", ["1 ready tasks of run 4 are in group 15, which does not exist"]),
    (
        "UPDATE ready SET grp = 16 WHERE seq = 15; UPDATE gather SET open = 2 WHERE id = 16",
        ["1 ready tasks of run 4 are in group 16, which is of run 5"],
    ),
    ("DELETE FROM borrowed", ["1 dead tasks of run 5 are in bucket 5, which is another account's"]),
    ("INSERT INTO borrowed VALUES (77, 1)", ["1 accounts are noted for run 77, which does not exist"]),
    ("INSERT INTO whole VALUES (77, 1, 'pages', 0, 0)", ["1 streams are read in full by run 77, which does not exist"]),
    ("INSERT INTO doubt VALUES (77, 1, 'pages', 0, 9)", ["1 streams are doubted of run 77, which does not exist"]),
    (
        "INSERT INTO whole VALUES (1, 1, 'pages', 0, 0)",
        ["1 streams are noted as read in full by run 1, which is completed"],
    ),
    ("INSERT INTO parent VALUES (77, zeroblob(16))", ["1 parents are noted in scope 77, which does not exist"]),
    (
        "INSERT INTO scope VALUES (1, 'shop', 0, 'pages', 0); INSERT INTO parent VALUES (1, x'00'), (1, x'01')",
        ["2 parents in scope 1 are noted by a hash that is not 16 bytes long"],
    ),
    (
        "INSERT INTO scope VALUES (1, 'shop', 7, 'pages', 0), (2, 'shop', 7, 'pages', 1)",
        ["scope 1 is of sink 7, which does not exist"],
    ),
    (
        "UPDATE letters SET count = 5 WHERE run = 2",
        ["run 2 counts 5 dead letters of fingerprint 1, but there are 1"],
    ),
    (
        "INSERT INTO fingerprint VALUES (9, '00', 'shop', 'shop.page', '', NULL, 'gone')",
        ["fingerprint 9 is kept without dead letters"],
    ),
    (
        "UPDATE buried SET value = 1",
        ["3 dead letters have a higher number than 1, that of the last one"],
    ),
]


@pytest.mark.parametrize(("statements", "lines"), DAMAGE)
def test_what_is_broken_is_told_in_words(statements: str, lines: list[str], frontier: Frontier) -> None:
    edit(frontier.path, statements)
    assert sorted(check(frontier.path)) == sorted(lines)


def test_every_invariant_is_broken_once() -> None:
    told = [line for _, lines in DAMAGE for line in lines]
    for invariant in INVARIANTS:
        first, *_, last = invariant.broken.replace("{:,}", "{}").split("{}")
        assert any(line.startswith(first) and line.endswith(last) for line in told), invariant.broken


def test_the_same_again_and_again_is_counted(frontier: Frontier) -> None:
    edit(
        frontier.path,
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 2999) "
        "INSERT INTO staged SELECT i, 'pages', '1' FROM n",
    )
    assert check(frontier.path) == [
        *(f"1 cursors are staged by run {1000 + i}, which does not exist" for i in range(EXAMPLES)),
        f"… and {2000 - EXAMPLES:,} more like this one",
    ]


def test_an_index_that_lies_is_found_by_the_full_check(frontier: Frontier) -> None:
    edit(
        frontier.path,
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX run_import ON run(state, id)' WHERE name = 'run_import'; "
        "PRAGMA schema_version = 99",
    )
    assert check(frontier.path) == []
    found = check(frontier.path, full=True)
    assert "the file is damaged: row 1 missing from index run_import" in found


def torn(var: Path) -> Path:
    """A frontier that can be opened, although many of its pages are damaged."""
    frontier = open_frontier(var, now=NOW)
    frontier.start_run(
        "shop", frontier.account("acme", "shop"), [page(n, length=500) for n in range(300)], full=True, now=NOW
    )
    frontier.close()
    ((roots,),) = select(frontier.path, "SELECT max(rootpage) FROM sqlite_schema")  # damaged, they could not be opened
    with frontier.path.open("r+b") as file:
        for number in range(roots + 1, frontier.path.stat().st_size // 4096, 10):
            file.seek(number * 4096)
            file.write(b"\x0b" * 4096)
    return frontier.path


def test_a_torn_file_is_found(var: Path) -> None:
    found = check(torn(var))
    assert found
    assert all(line.startswith("the file is damaged: ") for line in found)


def test_a_torn_file_can_be_set_aside_without_force(var: Path) -> None:
    path = torn(var)
    assert begin_new(var) == path.with_name(f"{FILE_NAME}.replaced")
    open_frontier(var, now=NOW).close()
    with pytest.raises(FrontierError, match=f"{path} is a usable frontier"):
        begin_new(var)


def test_a_reader_of_a_torn_file_names_it_and_what_to_do(var: Path) -> None:
    path = torn(var)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x0b" * (path.stat().st_size - 4096))
    reader = open_reader(var)
    assert reader is not None
    with (
        closing(reader),
        pytest.raises(FrontierError, match=f"{path} is not a usable database .*crawlerd frontier restore"),
    ):
        reader.status()


def test_what_is_no_frontier_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    with pytest.raises(FrontierError, match=f"there is no file {path}"):
        check(path)
    assert not path.exists()
    with pytest.raises(FrontierError, match=f"{tmp_path} is not a file"):
        check(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FrontierError, match=f"{tmp_path}/pipe is not a file"):
        restore(tmp_path / "var", tmp_path / "pipe")
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(FrontierError, match=f"{tmp_path}/text is not a usable database .*: use another file"):
        restore(tmp_path / "var", tmp_path / "text")
    edit(path, "CREATE TABLE other(x)")
    with pytest.raises(FrontierError, match=f"there is no frontier in {path}"):
        check(path)
    edit(path, "PRAGMA user_version = 1")
    with pytest.raises(FrontierError, match=f"{path} was written by an older crawlerd .*brings it up to date"):
        check(path)
    edit(path, f"PRAGMA user_version = {len(MIGRATIONS)}")
    with pytest.raises(FrontierError, match=f"{path} is a database, but not a frontier: no such table"):
        check(path)
    edit(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(FrontierTooNew, match=f"{path} was written by a newer crawlerd"):
        check(path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(FrontierError, match=f"{path} is not a usable database"):
        check(path)


# backup


def test_a_backup_is_one_plain_file_and_a_frontier(frontier: Frontier, tmp_path: Path) -> None:
    """Also of what is in the writer's log only."""
    assert (frontier.path.parent / f"{FILE_NAME}-wal").stat().st_size > 0
    folder = tmp_path / "copies"
    folder.mkdir()
    copy = folder / FILE_NAME
    assert backup(frontier.path.parent, copy) == copy.stat().st_size
    assert copy.stat().st_mode & 0o777 == 0o600
    assert dump(copy) == dump(frontier.path)
    assert check(copy, full=True) == []
    assert files(folder) == {FILE_NAME}  # looking at it leaves nothing behind
    restored = open_frontier(folder, now=NOW)
    assert bucket_heads(restored, 1, (-1, -1), 100) == bucket_heads(frontier, 1, (-1, -1), 100)
    settle(restored, Complete(), 2, 2)
    restored.close()
    assert check(copy) == []


def overtake(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """A backup of single pages, each of which is followed by `act`."""
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        act()

    monkeypatch.setattr(copying, "STEP_PAGES", 1)
    monkeypatch.setattr(os, "fdatasync", fdatasync)


def test_a_backup_is_of_one_moment_however_much_is_written(
    frontier: Frontier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, numbers = dump(frontier.path), iter(range(100, 10_000))
    overtake(monkeypatch, lambda: settle(frontier, Complete([], [page(next(numbers)), page(next(numbers))])))
    backup(frontier.path.parent, tmp_path / "copy.db")
    assert dump(tmp_path / "copy.db") == before
    assert next(numbers) > 140
    assert check(frontier.path) == []


def test_the_writers_log_has_a_bound(frontier: Frontier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(100, 10_000))
    monkeypatch.setattr(copying, "LOG_GROWTH", 100_000)
    with monkeypatch.context() as slow:
        overtake(slow, lambda: settle(frontier, Complete([], [page(next(numbers))])))
        with pytest.raises(FrontierError, match=rf"{FILE_NAME}-wal has grown by .* while it was copied: {tmp_path} is"):
            backup(frontier.path.parent, tmp_path / "copy.db")
    assert files(tmp_path) == {"var"}
    backup(frontier.path.parent, tmp_path / "copy.db")
    assert check(tmp_path / "copy.db") == []


def test_an_existing_file_is_replaced_when_asked_for(frontier: Frontier, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("somebody's only copy")
    with pytest.raises(FrontierError, match=f"{copy} is there already: choose another name, or use --force"):
        backup(frontier.path.parent, copy)
    assert copy.read_text() == "somebody's only copy"
    backup(frontier.path.parent, copy, force=True)
    assert check(copy) == []
    assert files(tmp_path) == {"var", "copy.db"}


def test_a_file_that_appears_meanwhile_is_not_replaced(
    frontier: Frontier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.db"
    overtake(monkeypatch, lambda: copy.write_text("somebody's only copy"))
    with pytest.raises(FrontierError, match="is there already"):
        backup(frontier.path.parent, copy)
    assert copy.read_text() == "somebody's only copy"
    assert files(tmp_path) == {"var", "copy.db"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "exists and is not a file"),
        ("pipe", "exists and is not a file"),
        ("nowhere/copy.db", "cannot write .*: No such file or directory"),
        ("plain/copy.db", "Not a directory"),
        (f"var/{FILE_NAME}", "is in the state directory"),
        (f"var/{FILE_NAME}-wal", "is in the state directory"),
        ("link", "is in the state directory"),
        ("used.db", "used.db-wal is there: .*used.db is in use"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_where_a_backup_may_not_be(name: str, why: str, force: bool, frontier: Frontier, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "plain").write_text("")
    (tmp_path / "link").symlink_to(frontier.path)
    (tmp_path / "used.db-wal").write_text("")
    before, there = dump(frontier.path), files(tmp_path)
    with pytest.raises(FrontierError, match=why):
        backup(frontier.path.parent, tmp_path / name, force=force)
    assert files(tmp_path) == there
    assert dump(frontier.path) == before


HELD = """
import os, sys
from pathlib import Path
from crawlerd.frontier.sqlite import backup
function, number = sys.argv[3], int(sys.argv[4])
real = getattr(os, function)
def held(*arguments):
    global number
    number -= 1
    if number == 0:
        print("held", flush=True)
        sys.stdin.read()
    return real(*arguments)
backup.STEP_PAGES = 1
setattr(os, function, held)
backup.backup(Path(sys.argv[1]), Path(sys.argv[2]), force=True)
"""


@contextmanager
def held_backup(var: Path, copy: Path, function: str, number: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that makes a backup and waits before the so-many-th call of a function of `os`."""
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(var), str(copy), function, str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("function", "number"), [("ftruncate", 1), ("fdatasync", 1), ("fdatasync", 15), ("fsync", 1)])
@pytest.mark.parametrize("replaces", [False, True])
def test_a_killed_backup_leaves_no_half_file(
    function: str, number: int, replaces: bool, frontier: Frontier, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    if replaces:
        copy.write_text("the backup of yesterday")
    with held_backup(frontier.path.parent, copy, function, number):
        assert (tmp_path / "copy.db.part").exists()
        with pytest.raises(FrontierError, match=rf"another backup is writing {copy}\.part"):
            backup(frontier.path.parent, copy, force=True)
    assert (copy.read_text() if replaces else copy.exists()) == (replaces and "the backup of yesterday")
    settle(frontier, Complete())
    backup(frontier.path.parent, copy, force=replaces)
    assert dump(copy) == dump(frontier.path)
    assert files(tmp_path) == {"var", "copy.db"}


def test_a_backup_is_whole_as_soon_as_it_is_there(frontier: Frontier, tmp_path: Path) -> None:
    with held_backup(frontier.path.parent, tmp_path / "copy.db", "fsync", 2):  # of the directory
        assert files(tmp_path) == {"var", "copy.db"}
        assert dump(tmp_path / "copy.db") == dump(frontier.path)


def test_a_backup_onto_a_full_disk(frontier: Frontier, small_disk: Path) -> None:
    filler = fill_disk(small_disk)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 40_000)
    copy = small_disk / "copy.db"
    with pytest.raises(StorageFailed, match=rf"the disk that holds {copy}\.part is full") as raised:
        backup(frontier.path.parent, copy)
    assert raised.value.full
    assert files(small_disk) == {"filler"}
    filler.unlink()
    backup(frontier.path.parent, copy)
    assert dump(copy) == dump(frontier.path)


# vacuum


def half_empty(var: Path) -> None:
    """A closed frontier of about a megabyte, most of whose tasks are done."""
    frontier = open_frontier(var, now=NOW)
    frontier.start_run(
        "shop", frontier.account("acme", "shop"), [page(n, length=500) for n in range(2000)], full=True, now=NOW
    )
    settle(frontier, Complete(), count=1500)
    frontier.close()


def test_vacuum_gives_space_back_and_changes_nothing(var: Path) -> None:
    half_empty(var)
    path = var / FILE_NAME
    rows, size = dump(path), path.stat().st_size
    before, after = vacuum(var)
    assert before == size
    assert after == path.stat().st_size < size / 2
    assert dump(path) == rows
    assert check(path, full=True) == []
    assert {name for name in files(var) if not name.endswith(("-shm", "-wal"))} == {FILE_NAME, MARK_NAME, "lock"}


def test_vacuum_needs_the_state_directory_for_itself(var: Path) -> None:
    half_empty(var)
    held = "from crawlerd.frontier.lock import StateLock; import sys, pathlib; l = StateLock(pathlib.Path(sys.argv[1]))"
    with subprocess.Popen(
        [sys.executable, "-c", f"{held}; print('held', flush=True); sys.stdin.read()", str(var)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        size = (var / FILE_NAME).stat().st_size
        with pytest.raises(FrontierLocked, match=rf"another crawlerd \(pid {process.pid}\) is using {var}: stop it"):
            vacuum(var)
        assert (var / FILE_NAME).stat().st_size == size
        process.kill()
    vacuum(var)
    StateLock(var).close()


def test_vacuum_on_a_full_disk_loses_nothing(small_disk: Path) -> None:
    half_empty(small_disk)
    path = small_disk / FILE_NAME
    rows = dump(path)
    filler = fill_disk(small_disk)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 200_000)
    free = os.statvfs(small_disk).f_bavail
    with pytest.raises(StorageFailed, match=rf"{path} is full: vacuum needs up to \d\.\d MB of free space") as raised:
        vacuum(small_disk)
    assert raised.value.full
    assert os.statvfs(small_disk).f_bavail >= free - 2  # the lock
    assert dump(path) == rows
    filler.unlink()
    before, after = vacuum(small_disk)
    assert after < before / 2
    assert dump(path) == rows


def test_a_reader_keeps_the_space_until_later(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half_empty(var)
    path = var / FILE_NAME
    size = path.stat().st_size
    monkeypatch.setattr(vacuuming, "READER_WAIT", 20)
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as reader:
        reader.execute("BEGIN")
        rows = reader.execute("SELECT * FROM ready").fetchall()
        with pytest.raises(FrontierError, match="is vacuumed, but another command reads it"):
            vacuum(var)
        assert reader.execute("SELECT * FROM ready").fetchall() == rows
    open_frontier(var, now=NOW).close()
    assert path.stat().st_size < size / 2
    assert check(path) == []


@pytest.mark.parametrize("act", [vacuum, lambda var: backup(var, var.parent / "copy.db")])
def test_where_nothing_is_nothing_is_made(act: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(FrontierError, match=f"there is no frontier in {tmp_path / 'var' / FILE_NAME}"):
        act(tmp_path / "var")
    assert files(tmp_path) == set()
