"""Copies a frontier from a file into PostgreSQL, or back. The source stays as it is."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.postgresql import check as server_check
from crawlerd.frontier.postgresql import copying, holder, migrations
from crawlerd.frontier.postgresql.session import connect as connect_server
from crawlerd.frontier.postgresql.session import errors
from crawlerd.frontier.sqlite import check as file_check
from crawlerd.frontier.sqlite.database import (
    FILE_NAME,
    connect,
    open_readable,
    storage_errors,
    sync_directory,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import apsw

    from crawlerd.frontier.postgresql.session import Place

PART = f"{FILE_NAME}.part"


def to_server(state_dir: Path, place: Place) -> int:
    """Copies the file's tables into the database. Returns how many rows.

    Raises FrontierLocked while a daemon uses either; FrontierError where there is no file, where the database has a
    frontier with something in it already, or where the source or the copy breaks an invariant. Nothing has changed
    then.
    """
    path = state_dir / FILE_NAME
    with StateLock(state_dir), closing(open_readable(path)) as source:
        _sound(str(path), file_check.check(path))
        with closing(connect_server(place, patient=True)) as session, errors(place):
            migrations.migrate(place, session)
            holder.refuse_held(place, session)
            with session.transaction():
                if session.execute("SELECT 1 FROM run LIMIT 1").fetchone():
                    raise FrontierError(
                        f"{place} has a frontier already: `crawlerd frontier new --force` sets it aside"
                    )
                session.execute("DELETE FROM node")
                rows = sum(
                    copying.fill(session, table, names, _of_file(source, table, names))
                    for table, names in copying.columns().items()
                )
                copying.settle_numbers(session)
            if broken := server_check.check(place):
                with session.transaction():
                    copying.empty(session)
                _sound(str(place), broken)
    return rows


def to_file(state_dir: Path, place: Place) -> int:
    """The other way round. Raises also where the state directory has a frontier's file already."""
    path, part = state_dir / FILE_NAME, state_dir / PART
    with StateLock(state_dir):
        # A log without its database would become part of the copy.
        if there := [each for each in _files(path) if each.exists()]:
            raise FrontierError(f"there is a frontier already: move away {', '.join(map(str, there))}")
        _sound(str(place), server_check.check(place))
        for each in _files(part):
            each.unlink(missing_ok=True)
        with (
            closing(connect_server(place, reading=True, patient=True)) as session,
            errors(place),
            closing(connect(part)) as target,
            storage_errors(part, target),
        ):
            holder.refuse_held(place, session)
            session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            with transaction(target):
                rows = _fill_file(target, session)
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _sound(str(part), file_check.check(part))
        for each in _files(part)[1:]:  # of the check, which only reads
            each.unlink(missing_ok=True)
        os.replace(part, path)
        sync_directory(state_dir)
    return rows


def _files(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _fill_file(target: apsw.Connection, session: Any) -> int:
    """Triggers would count again what is counted in the tables."""
    triggers = list(target.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"))
    for name, _ in triggers:
        target.execute(f"DROP TRIGGER {name}")
    rows = 0
    for table, names in copying.columns().items():
        quoted = ", ".join(f'"{name}"' for name in names)
        target.execute(f"DELETE FROM {table}")  # noqa: S608 - our own name
        marks = ", ".join("?" * len(names))
        with session.cursor(f"copy_{table}") as found:
            found.itersize = 10_000
            found.execute(f"SELECT {quoted} FROM {table}".encode())  # noqa: S608 - our own names
            insert = f"INSERT INTO {table}({quoted}) VALUES ({marks})"  # noqa: S608 - our own names
            for row in _whole(table, names, found):
                target.execute(insert, row)
                rows += 1
    for _, sql in triggers:
        target.execute(sql)
    return rows


def _of_file(source: apsw.Connection, table: str, names: Sequence[str]) -> Iterator[Sequence[object]]:
    quoted = ", ".join(f'"{name}"' for name in names)
    for row in source.execute(f"SELECT {quoted} FROM {table}"):  # noqa: S608 - our own names
        yield [each.replace("\0", copying.NUL) if isinstance(each, str) and "\0" in each else each for each in row]


def _whole(table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Figures are of any type in SQLite, and counts among them are integers."""
    places = {place for place, name in enumerate(names) if table == "figure" and name in "vwxy"}
    for row in rows:
        yield [int(each) if place in places and float(each).is_integer() else each for place, each in enumerate(row)]


def _sound(what: str, broken: list[str]) -> None:
    if broken:
        raise FrontierError(f"{what} is not sound ({broken[0]}): nothing was copied; see `crawlerd frontier check`")
