"""From every schema that was released, the frontier comes to today's; what was released never changes."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from support.ready_tasks import bucket_heads

from crawlerd.core.errors import FrontierError, FrontierTooNew
from crawlerd.frontier import check, open_frontier, open_reader
from crawlerd.frontier.sqlite import database as opening
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.sqlite.migrations import MIGRATIONS
from crawlerd.frontier.waiting_contract import FIRST

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
RELEASED = {  # of the statements up to each version: whoever has that version's tables was given just these
    1: "e19d12a94f40ce04",
    2: "556bcc5b0c1dcef5",
    3: "feb4ad587035f0e2",
    4: "724d2a9e621cfcb4",
}
DUMP = Path(__file__).parent / "released/frontier-0.1.0.sql"  # in the middle of an import that was killed
ROWS = """
INSERT INTO account(name, source) VALUES ('acme', 'shop');
INSERT INTO bucket(account, name, ready) VALUES (1, 'pages', 2);
INSERT INTO kind(name) VALUES ('shop.page');
INSERT INTO run(import, account, "full", state, started_at, open, delayed, done, dead)
    VALUES ('shop', 1, 0, 'running', 5.0, 3, 1, 7, 1);
INSERT INTO ready VALUES (1, 5, 1, 1, 1, 0, 0, '"a"'), (1, 5, 2, 1, 1, 2, 1, '"b"');
INSERT INTO delayed VALUES (1000060.0, 3, 1, 5, 1, 1, 1, 'reset', '"c"');
INSERT INTO dead VALUES (4, 1, 1, 5, 1, 1, 0, 'page', 'gone', '"d"', 5.0);
UPDATE next_seq SET value = 5;
"""


def of_version(folder: Path, version: int) -> Path:
    """A state directory as that version leaves it: rows of the first one, which were brought up to it."""
    folder.mkdir()
    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        database.pragma("journal_mode", "wal")
        database.execute(MIGRATIONS[0] + ROWS + ";".join(MIGRATIONS[1:version]) + f";PRAGMA user_version = {version}")
    return folder


def of_the_first_release(folder: Path) -> Path:
    folder.mkdir()
    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        database.execute(DUMP.read_text())
        database.pragma("journal_mode", "wal")
    return folder


def tables(folder: Path) -> dict[str, str]:
    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        return dict(database.execute("SELECT name, coalesce(sql, '') FROM sqlite_schema"))


def version_of(folder: Path) -> int:
    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        return int(database.pragma("user_version"))


def counts(folder: Path) -> dict[str, int]:
    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        rows = {}
        for name in ("account", "bucket", "kind", "run", "ready", "delayed", "dead", "seen", "staged", "cursor"):
            rows[name] = int(next(iter(database.execute(f"SELECT count(*) FROM {name}")))[0])
        return rows


def opened(folder: Path) -> None:
    open_frontier(folder, now=NOW).close()


def test_what_was_released_is_as_it_was() -> None:
    """Another statement belongs at the end of the last version while that is unreleased, or into a new one."""
    found = {version: hashlib.sha256(";".join(MIGRATIONS[:version]).encode()).hexdigest()[:16] for version in RELEASED}
    assert found == RELEASED
    assert len(MIGRATIONS) >= len(RELEASED)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_each_version_comes_to_the_same_tables(version: int, tmp_path: Path) -> None:
    old, new = of_version(tmp_path / "old", version), tmp_path / "new"
    new.mkdir()
    opened(old)
    opened(new)
    assert tables(old) == tables(new)
    assert version_of(old) == len(MIGRATIONS)
    assert check(old, full=True).broken == []


@pytest.mark.parametrize("make", [of_the_first_release, lambda folder: of_version(folder, 1)])
def test_no_row_is_lost(make: Callable[[Path], Path], tmp_path: Path) -> None:
    old = make(tmp_path / "old")
    before = counts(old)
    assert before["ready"] + before["delayed"] > 0
    opened(old)
    assert counts(old) == before
    assert check(old, full=True).broken == []


def test_what_the_first_release_left_is_read_as_it_was(tmp_path: Path) -> None:
    old = of_the_first_release(tmp_path / "old")
    with closing(apsw.Connection(str(old / FILE_NAME))) as database:
        (run,) = database.execute("SELECT import, state, open, done, records FROM run")
        tasks = sorted(database.execute("SELECT seq, payload FROM ready"))
    frontier = open_frontier(old, now=NOW)
    try:
        found = frontier.run(1)
        assert (found.import_name, found.state, found.done, found.records) == (run[0], run[1], run[3], run[4])
        heads = [head for bucket in range(1, 100) for head in bucket_heads(frontier, bucket, FIRST, 100)]
        assert sorted((head.seq, head.payload) for head in heads) == tasks
        assert frontier.running_imports() == {"a1"} or list(frontier.running_imports()) == ["a1"]
    finally:
        frontier.close()


@pytest.mark.parametrize("version", [1, 4])
def test_an_upgrade_that_fails_in_the_middle_changes_nothing(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is one transaction, so that a kill is no other thing."""
    old = of_version(tmp_path / "old", version)
    tables_before, rows_before = tables(old), counts(old)
    monkeypatch.setattr(opening, "MIGRATIONS", [*MIGRATIONS[:-1], MIGRATIONS[-1] + "; INSERT INTO nowhere VALUES (1);"])
    with pytest.raises((FrontierError, apsw.Error)):
        opened(old)
    assert (version_of(old), tables(old), counts(old)) == (version, tables_before, rows_before)
    monkeypatch.undo()
    opened(old)
    assert counts(old) == rows_before


def test_a_newer_one_is_refused_and_left_alone(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    opened(new)
    with closing(apsw.Connection(str(new / FILE_NAME))) as database:
        database.pragma("user_version", len(MIGRATIONS) + 1)
    for open_ in (opened, open_reader):
        with pytest.raises(FrontierTooNew):
            open_(new)
    assert version_of(new) == len(MIGRATIONS) + 1
