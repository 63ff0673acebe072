"""The JSONL sink: files that appear complete, made of lines that were durable before."""

from __future__ import annotations

import gzip
import logging
import os
import re
from contextlib import closing, suppress
from typing import TYPE_CHECKING, BinaryIO

import apsw

from crawlerd.files.making import make_directory, new_part
from crawlerd.sink import SinkError, SyncFailed
from crawlerd.sinks.changes import Changes
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.file_errors import FILE_MODE, directory_mode, file_failure
from crawlerd.sinks.jsonl_files import expire_files, sync, sync_directory
from crawlerd.sinks.sqlite.erasing import KeptLines
from crawlerd.sinks.sqlite.rows import SqliteRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.core.erasure import Erased, Erasure
    from crawlerd.sink import Delivery, Mark, SinkState, Totals

log = logging.getLogger(__name__)

INDEX = ".crawlerd.db"
_FILE = re.compile(r"(.+-([0-9]{12,}))\.jsonl(?:\.gz)?")
_WAITING = "SELECT name, min(id) FROM _crawlerd_line GROUP BY name"

_LINES = """
CREATE TABLE IF NOT EXISTS _crawlerd_line(
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  line BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS _crawlerd_line_name ON _crawlerd_line(name, id)"""


class JsonlSink:
    """Files `<source>_<stream>-<number>.jsonl` in a directory, or `.jsonl.gz`; see `Changes` for their lines.

    Lines wait in the directory's INDEX until a stream has `rotate_bytes` of them, until `rotate_seconds` have passed
    since its first one (noticed at the next write), or until a run ends or the sink is closed or opened. Then they
    become a file. It appears under its name complete and durable, and is never changed again, except by `sink forget`,
    which removes lines. The numbers increase, but not by one. After a crash, a file that a program has just taken away
    may appear once more, with the same content.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int,
        rotate_seconds: float,
        compress: bool,
        mode: int = FILE_MODE,
        retain_tombstones: float | None = None,
        retain_files: float | None = None,
    ) -> None:
        """Makes the directory; its parent must exist. Raises SinkError if it cannot be used.

        mode: permissions of the files.
        retain_tombstones: see `RowSink`; applies to what the index has of a record.
        retain_files: seconds after which a file is deleted; None for never.
        """
        self._mode, self._retain_files = mode, retain_files
        try:
            make_directory(path, directory_mode(mode))
            for part in path.glob(".*.part"):
                with suppress(IsADirectoryError):
                    part.unlink()
        except OSError as error:
            raise file_failure(path, error, directory=True) from None
        self._index = SqliteRows(path / INDEX, mode)
        self._lines = KeptLines("_crawlerd_line", "line")
        self._sink = RowSink(self._index, Changes(self._index, self._put, self._erase), retain_tombstones)
        self._path, self._compress = path, compress
        self._rotate_bytes, self._rotate_seconds = rotate_bytes, rotate_seconds
        self._waiting: dict[str, int] = {}  # bytes of waiting lines, by stream
        self._since: dict[str, float] = {}
        self._written: dict[str, int] = {}
        with self._index.database.transaction():
            self._index.database.connection.execute(_LINES)
            names = self._index.database.connection.execute("SELECT DISTINCT name FROM _crawlerd_line").fetchall()
        for (name,) in names:
            self._publish(str(name))

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """See `Sink.write`. Raises SinkError also if a file that is due cannot be written."""
        for name, size in list(self._waiting.items()):
            if size >= self._rotate_bytes or now - self._since[name] >= self._rotate_seconds:
                self._publish(name)
        self._written = {}
        totals = self._sink.write(deliveries, now, mark)
        for name, size in self._written.items():
            self._waiting[name] = self._waiting.get(name, 0) + size
            self._since.setdefault(name, now)
        return totals

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str, parent: str = "") -> list[str]:
        """See `Sink.missing`."""
        return self._sink.missing(delivery, stream, prefix, after, parent)

    def seen(self, delivery: Delivery, stream: str) -> int:
        """See `Sink.seen`."""
        return self._sink.seen(delivery, stream)

    def forget(self, which: Erasure, most: int) -> Erased:
        """See `Sink.forget`; concerns waiting lines and the index. For files, see `crawlerd.sinks.jsonl_files`."""
        return self._sink.forget(which, most)

    def expire(self, now: float, most: int) -> bool:
        """See `Sink.expire`."""
        more = self._sink.expire(now, most)
        if self._retain_files is None:
            return more
        return expire_files(self._path, now - self._retain_files, most) or more

    def scrub(self, most_bytes: int | None) -> str | None:
        """See `Sink.scrub`."""
        return self._sink.scrub(most_bytes)

    def intact(self) -> bool:
        """See `Sink.intact`."""
        return self._sink.intact()

    def state(self, frontier: str) -> SinkState:
        """See `Sink.state`."""
        return self._sink.state(frontier)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        """See `Sink.confirm`."""
        return self._sink.confirm(source, account, identity)

    def ended(self, run: int) -> None:
        """Makes files of all waiting lines. If that fails, they wait until the next time."""
        try:
            for name in list(self._waiting):
                self._publish(name)
        except SyncFailed:
            raise
        except SinkError as error:
            log.error("%s; the lines are kept, and will be written to a file later", error)

    def idle(self) -> None:
        """See `Sink.idle`."""
        self._sink.idle()

    def close(self) -> None:
        """Raises SinkError if a file cannot be written; its lines stay durable in the index."""
        try:
            for name in list(self._waiting):
                self._publish(name)
        finally:
            self._sink.close()

    def _erase(self, which: Erasure) -> Erased:
        return self._lines.erase(self._index.database.connection.execute, which)

    def _put(self, table: str, lines: Sequence[bytes]) -> None:
        self._index.database.connection.executemany(
            "INSERT INTO _crawlerd_line(name, line) VALUES (?, ?)", [(table, line) for line in lines]
        )
        self._written[table] = self._written.get(table, 0) + sum(map(len, lines))

    def _publish(self, name: str) -> None:
        """Makes a file of the stream's lines. If a crash comes before they are removed from the index, the same lines
        become a file with the same name and bytes."""
        with self._index.database.transaction():
            execute = self._index.database.connection.execute
            first = execute("SELECT min(id) FROM _crawlerd_line WHERE name = ?", (name,)).get
            if first is not None:
                stem = f"{name}-{first:012}"
                final = self._path / f"{stem}.jsonl{'.gz' if self._compress else ''}"
                try:
                    fd, part = new_part(final, self._mode)  # its temporary name does not match patterns for the files
                    with os.fdopen(fd, "wb") as file:
                        self._fill(file, name)
                        file.flush()
                        sync(file.fileno(), part)
                    part.replace(final)
                    sync_directory(self._path)
                except OSError as error:
                    raise file_failure(final, error, directory=False) from None
                execute("DELETE FROM _crawlerd_line WHERE name = ?", (name,))
        self._waiting.pop(name, None)
        self._since.pop(name, None)

    def _fill(self, file: BinaryIO, name: str) -> None:
        lines = self._index.database.connection.execute(
            "SELECT line FROM _crawlerd_line WHERE name = ? ORDER BY id", (name,)
        )
        if self._compress:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                packed.writelines(bytes(line) + b"\n" for (line,) in lines)
        else:
            file.writelines(bytes(line) + b"\n" for (line,) in lines)


def published(path: Path, copy: Path) -> list[Path]:
    """The files in a sink's directory that had been published when a copy of its index was made. The lines of all later
    files are in the copy, or came after it. Raises SinkError if the copy cannot be read."""
    try:
        with closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            last: int = database.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = '_crawlerd_line'").get or 0
            waiting = {f"{name}-{first:012}" for name, first in database.execute(_WAITING)}
    except apsw.Error as error:
        raise SinkError(f"cannot read {copy}: {error}") from None
    found = [(file, _FILE.fullmatch(file.name)) for file in path.iterdir()]
    return sorted(file for file, match in found if match and int(match[2]) <= last and match[1] not in waiting)
