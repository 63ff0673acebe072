"""Frontiers of every implementation, as tests need them: opened, killed, copied and looked into.

Another implementation is another `Place` in IMPLEMENTATIONS; no test of this folder names one.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import apsw
from support.postgres_server import shared as server

from crawlerd.frontier import check, open_reader
from crawlerd.frontier.contract import Bounds, Frontier
from crawlerd.frontier.postgresql import check as checking
from crawlerd.frontier.postgresql import copying, migrations
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.reader import PostgresReader
from crawlerd.frontier.postgresql.session import Place as PostgresAddress
from crawlerd.frontier.postgresql.session import connect
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.sqlite.frontier import SqliteFrontier

if TYPE_CHECKING:
    from typing import Self

    import psycopg

    from crawlerd.frontier.reader_contract import FrontierReader

NOW = 1_000_000.0
MEMORY = "/dev/shm"  # noqa: S108 - a private directory in it; thousands of commits need not wait for a disk here


class Place(ABC):
    """Where one frontier lies, which is open at most once at a time."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.frontier: Frontier | None = None

    @classmethod
    def make(cls) -> Self:
        """An empty one, in memory as far as that can be; `remove` it."""
        return cls(Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None)))

    def open(self, *, now: float = NOW, bounds: Bounds = Bounds(pace_seconds=0)) -> Frontier:  # noqa: B008 - frozen
        """Its frontier, which must not be open."""
        assert self.frontier is None
        self.frontier = self._open(now, bounds)
        return self.frontier

    def shut(self) -> None:
        """Closes the frontier in good order, if it is open."""
        if self.frontier is not None:
            self.frontier.close()
            self.frontier = None

    def reader(self) -> FrontierReader:
        reader = open_reader(self.state_dir)
        assert reader is not None
        return reader

    def check(self, *, full: bool = False) -> list[str]:
        """The invariants that do not hold."""
        return check(self.state_dir, full=full).broken

    @abstractmethod
    def _open(self, now: float, bounds: Bounds) -> Frontier: ...

    @abstractmethod
    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Reads tables, as another process would. Only SQL that all databases understand."""

    @abstractmethod
    def dump(self) -> list[list[tuple[Any, ...]]]:
        """All that is in all tables."""

    @abstractmethod
    def killed(self, folder: Path) -> Self:
        """What a process that is killed now leaves, in another place: an empty state directory."""

    @abstractmethod
    def remove(self) -> None:
        """Closes it and leaves nothing."""


class SqlitePlace(Place):
    _reading: apsw.Connection | None = None

    def _open(self, now: float, bounds: Bounds) -> Frontier:
        return SqliteFrontier(self.state_dir, now=now, bounds=bounds)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        if self._reading is None:  # by the same library: two in one process undo each other's locks
            self._reading = apsw.Connection(str(self.state_dir / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
        return list(self._reading.execute(statement))

    def dump(self) -> list[list[tuple[Any, ...]]]:
        tables = self.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        return [self.query(f'SELECT * FROM "{name}"') for (name,) in tables]

    def shut(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        super().shut()

    def killed(self, folder: Path) -> Self:
        for suffix in ("", "-wal"):  # without -shm, which nobody has synced
            if (file := self.state_dir / f"{FILE_NAME}{suffix}").exists():
                shutil.copy(file, folder)
        return type(self)(folder)

    def remove(self) -> None:
        self.shut()
        shutil.rmtree(self.state_dir)


class PostgresPlace(Place):
    """A schema of its own, on a server that all tests of a process share."""

    _session: psycopg.Connection[Any] | None = None
    _names = itertools.count(1)
    _emptied: ClassVar[list[str]] = []  # making sixty tables takes long

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        note = state_dir / "place"  # for another process of the same test
        if not note.exists():
            schema = self._emptied.pop() if self._emptied else f"frontier_{next(self._names)}"
            note.write_text(f"{server().url()} {schema}")
        self.place = PostgresAddress(*note.read_text().split())

    def _open(self, now: float, bounds: Bounds) -> Frontier:
        return PostgresFrontier(self.place, now=now, bounds=bounds)

    def reader(self) -> FrontierReader:
        reader = PostgresReader.open(self.place)
        assert reader is not None
        return reader

    def check(self, *, full: bool = False) -> list[str]:
        return checking.check(self.place)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        if self._session is None:
            self._session = connect(self.place)
        return self._session.execute(statement.encode(), prepare=False).fetchall()

    def shut(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
        super().shut()

    def dump(self) -> list[list[tuple[Any, ...]]]:
        tables = self.query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
        return [sorted(self.query(f'SELECT * FROM "{name}"'), key=repr) for (name,) in tables if name != "node"]

    def killed(self, folder: Path) -> Self:
        other = type(self)(folder)
        with closing(connect(self.place)) as source, closing(connect(other.place)) as target:
            migrations.migrate(other.place, target)
            with target.transaction():
                for table, names in copying.columns().items():
                    quoted = ", ".join(f'"{name}"' for name in names)
                    copying.fill(target, table, names, source.execute(f"SELECT {quoted} FROM {table}".encode()))
                copying.settle_numbers(target)
        return other

    def remove(self) -> None:
        self.shut()
        with closing(connect(self.place)) as session, session.transaction():
            if migrations.version(session) is not None:
                copying.empty(session)
                self._emptied.append(self.place.schema)
        shutil.rmtree(self.state_dir, ignore_errors=True)


IMPLEMENTATIONS: dict[str, type[Place]] = {"sqlite": SqlitePlace, "postgresql": PostgresPlace}
