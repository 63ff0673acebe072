"""Dead letters as items of a persist-queue directory, which other programs use with only that library."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from persistqueue import SQLiteAckQueue
from persistqueue.exceptions import Empty
from persistqueue.serializers import json

from crawlerd.core.errors import SinkError
from crawlerd.files.making import make_directory
from crawlerd.sinks.file_errors import FILE_MODE, directory_mode, file_failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHERS = 0o077  # permissions that other users do not get: arguments may contain personal data


class LetterQueue:
    """`persistqueue.SQLiteAckQueue(path, serializer=persistqueue.serializers.json)`."""

    def __init__(self, queue: SQLiteAckQueue) -> None:
        self._queue = queue

    def put(self, item: dict[str, Any]) -> None:
        """Puts an item. It is durable when this returns."""
        self._queue.put(item)

    def get(self) -> tuple[Any, Any] | None:
        """The next item, with the number for `ack` and `refuse`; None if there is none. Items of a reader that died
        come again."""
        try:
            found = self._queue.get(block=False, raw=True)
        except Empty:
            return None
        except ValueError as error:
            raise SinkError(f"an item of the queue is not JSON: {error}; remove it with the library") from None
        return found["pqid"], found["data"]

    def ack(self, number: Any) -> None:
        """Removes an item that was taken."""
        self._queue.ack(id=number)

    def refuse(self, number: Any) -> None:
        """Marks an item as failed. It stays in the queue."""
        self._queue.ack_failed(id=number)


@contextmanager
def letter_queue(path: Path, *, make: bool) -> Iterator[LetterQueue]:
    """Opens a queue. Raises SinkError if it cannot be used.

    make: make the directory, whose parent must exist.
    """
    mask = os.umask(OTHERS)
    try:
        if make:
            make_directory(path, directory_mode(FILE_MODE))
        elif not (path / "data.db").exists():
            raise SinkError(f"{path} is not a queue of dead letters: it has no data.db")
        # A program that only puts items must not hand out again those that another reader has taken.
        queue = SQLiteAckQueue(str(path), auto_resume=not make, serializer=json)
    except OSError as error:
        raise file_failure(path, error, directory=True) from None
    except sqlite3.Error as error:
        raise SinkError(f"{path} cannot be used as a queue: {error}") from None
    finally:
        os.umask(mask)
    try:
        yield LetterQueue(queue)
    except sqlite3.Error as error:
        raise SinkError(f"the queue {path} cannot be read or written: {error}") from None
    finally:
        queue.close()
