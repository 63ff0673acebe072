"""The file of a `persistqueue.SQLiteAckQueue` with the JSON serializer. Items are put and taken in chunks, each in a
transaction.

The library itself would commit each item, and keep in memory what it has handed out. Other programs need only the
library.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import apsw
from persistqueue import SQLiteAckQueue
from persistqueue.serializers import json
from persistqueue.sqlackqueue import AckStatus

from crawlerd.files.making import make_directory, new_part, prepare_database, without_links
from crawlerd.sink import SinkError
from crawlerd.sinks.file_errors import directory_mode, file_failure, way_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

DATABASE, TABLE = "data.db", "ack_queue_default"  # the library's names
ERASED = 500  # items that are read in one transaction
BUSY_SECONDS = 2.0  # how long to wait for another program's lock
WRITING = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
PUT = f"INSERT INTO {TABLE} (data, timestamp, status) VALUES (?, ?, {AckStatus.inited})"  # noqa: S608 - the library's names
# Data larger than the limit are not loaded.
_NEXT = f"""SELECT _id, CAST(coalesce(timestamp, 0) AS REAL), length(CAST(data AS BLOB)),
iif(length(CAST(data AS BLOB)) <= ?3, CAST(data AS BLOB), NULL)
FROM {TABLE} WHERE _id > ?1 AND status < {AckStatus.unack} ORDER BY _id LIMIT ?2"""  # noqa: S608 - as above
_ANY = f"SELECT _id, CAST(data AS BLOB) FROM {TABLE} WHERE _id > ? ORDER BY _id LIMIT ?"  # noqa: S608 - as above
_SAME = "_id = ?1 AND CAST(coalesce(timestamp, 0) AS REAL) = ?2"
_DELETE = f"DELETE FROM {TABLE} WHERE {_SAME}"  # noqa: S608 - as above
_REFUSE = f"UPDATE {TABLE} SET status = {AckStatus.ack_failed} WHERE {_SAME}"  # noqa: S608 - as above
_OTHERS = f"SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('{TABLE}', 'sqlite_sequence')"  # noqa: S608 - our own text


class Item(NamedTuple):
    """An item that a program has put.

    number: its number in the file.
    put_at: Unix seconds by that program's clock. With the number, it distinguishes the item from items of other files.
    size: of the data, in bytes.
    data: None if they are too large, or missing.
    """

    number: int
    put_at: float
    size: int
    data: bytes | None


class AckQueue:
    """The queue. Used by one thread. Raises SinkError for everything that is wrong with it."""

    def __init__(self, path: Path, mode: int) -> None:
        """Opens or makes the queue; the parent of its directory must exist.

        mode: permissions of its files.
        """
        self.path = path
        self._file = path / DATABASE
        try:
            make_directory(path, directory_mode(mode))
        except OSError as error:
            raise file_failure(path, error, directory=True) from None
        try:
            if not os.path.lexists(self._file):
                self._make(mode)
            # opening it would disturb the program that is making it
            elif not self._file.is_symlink() and not self._file.stat().st_size:
                raise SinkError(f"{self._file} is empty: the program that is making it has not finished, or has died")
            name = prepare_database(self._file, mode)
        except OSError as error:
            raise file_failure(self._file, error, directory=False) from None
        with self._named():
            self._db = apsw.Connection(name, flags=WRITING)
        try:
            with self._named():
                self._db.set_busy_timeout(round(BUSY_SECONDS * 1000))
                if self._db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (TABLE,)).get is None:
                    raise SinkError(
                        f"{self._file} is a database, but not a queue of persist-queue: choose another path"
                    )
                self._inode = os.stat(self._file).st_ino
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._db.close(True)

    @property
    def intact(self) -> bool:
        """Whether the file that was opened is still in its place."""
        try:
            return os.stat(self._file).st_ino == self._inode
        except OSError:
            return False

    def version(self) -> int:
        """A number that changes when another program has changed something."""
        with self._named():
            found: int = self._db.pragma("data_version")
        return found

    def complain(self) -> None:
        """Raises SinkError if there are tables that do not belong to the queue."""
        with self._named():
            others = [name for (name,) in self._db.execute(_OTHERS)]
        if others:
            raise SinkError(
                f"{self._file} has the table {others[0]}, which is not read: a program has put items with another "
                f"class or name than SQLiteAckQueue({str(self.path)!r}, serializer=json)"
            )

    def put(self, data: Sequence[bytes]) -> None:
        """Puts items, all of them durably or none."""
        now = time.time()
        with self._transaction():
            self._db.executemany(PUT, [(each, now) for each in data])

    def next(self, *, after: int, most: int, most_bytes: int, largest: int) -> list[Item]:
        """The first untaken items after a number: at most `most`, and not many more than `most_bytes` bytes.

        largest: the data of items with more bytes are not loaded.
        """
        found: list[Item] = []
        total = 0
        with self._named():
            for row in self._db.execute(_NEXT, (after, most, largest)):
                item = Item(row[0], row[1], row[2] or 0, row[3])
                found.append(item)
                total += len(item.data or b"")
                if total >= most_bytes:
                    break
        return found

    def settle(self, taken: Sequence[tuple[int, float]], refused: Sequence[tuple[int, float]]) -> None:
        """Deletes items that were taken, and marks refused ones as failed, if they are in this file. Each is (number,
        put_at)."""
        with self._transaction():
            self._db.executemany(_DELETE, taken)
            self._db.executemany(_REFUSE, refused)

    def erase(self, meant: Callable[[bytes], bool]) -> int:
        """Deletes, in slices, all items for which `meant` is true, even if another program has taken them. Returns how
        many."""
        count = last = 0
        while True:
            with self._transaction():
                rows = list(self._db.execute(_ANY, (last, ERASED)))
                gone = [(number,) for number, data in rows if data is not None and meant(data)]
                self._db.executemany(f"DELETE FROM {TABLE} WHERE _id = ?", gone)  # noqa: S608 - the library's name
            count += len(gone)
            if not rows:
                return count
            last = rows[-1][0]

    def scrub(self) -> str | None:
        """Removes deleted items from free space. Returns why some may still be there, or None."""
        with self._named():
            self._db.execute("VACUUM")
            (busy, *_) = next(self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        return f"another program reads {self._file}, whose log still contains deleted items" if busy else None

    def _make(self, mode: int) -> None:
        """Makes an empty queue. It appears complete: a program that opens it at the same time meets no lock. Raises
        OSError."""
        fd, part = new_part(self._file, mode)
        os.close(fd)
        try:
            with self._named(), closing(apsw.Connection(str(without_links(part)), flags=WRITING)) as database:
                database.pragma("journal_mode", "wal")  # like the library
                for statement in queue_schema():
                    database.execute(statement)
            try:
                os.link(part, self._file)
            except FileExistsError:
                pass  # a program has made it in the meantime
            except OSError:  # a file system without links
                part.rename(self._file)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except apsw.BusyError:
            raise SinkError(f"{self._file} is locked by another program: end that, or let it commit") from None
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise SinkError(
                f"{self._file} is damaged, or not a queue of persist-queue ({error}): move it away"
            ) from None
        except apsw.SQLError as error:
            raise SinkError(f"{self._file} is a database, but not a queue of persist-queue ({error})") from None
        except apsw.FullError:
            raise SinkError(f"the disk of {self._file} is full") from None
        except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError):
            raise SinkError(f"cannot write {self._file}: {way_to(self._file, directory=False)}") from None
        except apsw.Error as error:
            raise SinkError(f"the queue {self._file} cannot be used: {error}") from None


def queue_schema() -> list[str]:
    """The statements that make the library's database. The library runs in a temporary directory for this: in the
    queue's directory, its SQLite would follow a link that somebody has put there, and the permissions would depend on
    the umask."""
    try:
        with TemporaryDirectory(prefix="crawlerd-") as folder:
            queue = SQLiteAckQueue(folder, auto_resume=False, serializer=json)
            queue.close()
            with closing(sqlite3.connect(f"{folder}/{DATABASE}")) as made:
                rows = made.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
                return [sql for (sql,) in rows]
    except (OSError, sqlite3.Error) as error:
        raise SinkError(f"a new queue cannot be tried out in a temporary directory: {error}") from None
