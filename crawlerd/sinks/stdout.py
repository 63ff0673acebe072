"""The stdout sink: a line of JSON for each record, for the reader of the command's output."""

from __future__ import annotations

import os
import re
import select
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from crawlerd.core.erasure import Erased
from crawlerd.core.errors import ReaderGone
from crawlerd.files.making import make_directory
from crawlerd.sink import SinkError, StorageFailed
from crawlerd.sinks.changes import Changes
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.file_errors import directory_mode, file_failure
from crawlerd.sinks.sqlite.rows import SqliteRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Delivery, Mark, SinkState, Totals

STDOUT = 1
DATABASE = "seen.db"
FILE_MODE = 0o600  # no other user reads it
AT_ONCE = select.PIPE_BUF  # if a pipe accepts anything, it accepts this many bytes
AT_ONCE_TO_FILE = 1 << 16
LOOK_MS = 200  # milliseconds between checks whether to stop waiting for the reader
# Characters that a terminal would obey, in valid JSON: DEL, the C1 control characters, and those that change the
# direction of text.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class StdoutSink:
    """Lines like those of the `jsonl` sink, see `Changes`, in the order in which tasks end.

    A pipe cannot be asked what it has received, and its next reader has nothing of it. So the sink has a new identity
    each time it is opened, and everything known about the one before is dropped: sync points, and runs under way. Each
    process thus gives its reader everything, once: within a process, a database has the digests of what was written,
    for tasks that are done again. What the reader of a killed process has received, the reader of the next one gets
    again.

    A line is in the pipe before its task is acknowledged. Lines that could not be written are kept, and go first the
    next time. A slow reader is waited for, and holds up the imports; see `release`.
    """

    def __init__(self, path: Path, fd: int = STDOUT) -> None:
        """path: a directory of its own for the digests, which are deleted at the end; its parent must exist. Raises
        SinkError if it cannot be used."""
        self._path, self._fd = path, fd
        self._released = threading.Event()
        self._lines: list[bytes] = []
        self._unwritten = bytearray()
        facts = os.fstat(fd)
        self._at_once = AT_ONCE_TO_FILE if stat.S_ISREG(facts.st_mode) else AT_ONCE
        self._shown = os.isatty(fd)
        try:
            make_directory(path, directory_mode(FILE_MODE))
            self._forget()
        except OSError as error:
            raise file_failure(path, error, directory=True) from None
        self._rows = SqliteRows(path / DATABASE, FILE_MODE)
        self._sink = RowSink(self._rows, Changes(self._rows, self._put))

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """See `Sink.write`. Raises ReaderGone if the reader has left."""
        self._flush()
        self._lines.clear()
        totals = self._sink.write(deliveries, now, mark)
        for line in self._lines:
            self._unwritten += _escaped(line) if self._shown else line
            self._unwritten += b"\n"
        self._lines.clear()
        self._flush()
        return totals

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str, parent: str = "") -> list[str]:
        """See `Sink.missing`."""
        return self._sink.missing(delivery, stream, prefix, after, parent)

    def seen(self, delivery: Delivery, stream: str) -> int:
        """See `Sink.seen`."""
        return self._sink.seen(delivery, stream)

    def forget(self, which: Erasure, most: int) -> Erased:
        """See `Sink.forget`; nothing is kept from one process to the next."""
        return Erased(0, False)

    def expire(self, now: float, most: int) -> bool:
        """See `Sink.expire`; nothing is kept from one process to the next."""
        return False

    def scrub(self, most_bytes: int | None) -> str | None:
        """See `Sink.scrub`; nothing is kept from one process to the next."""
        return None

    def intact(self) -> bool:
        """See `Sink.intact`."""
        return self._sink.intact()

    def state(self, frontier: str) -> SinkState:
        """See `Sink.state`."""
        return self._sink.state(frontier)._replace(forgets=True)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        """See `Sink.confirm`."""
        return self._sink.confirm(source, account, identity)

    def ended(self, run: int) -> None:
        """See `Sink.ended`; nothing waits in this sink."""

    def idle(self) -> None:
        """See `Sink.idle`. Raises ReaderGone: that a reader has left may be noticed without writing a line."""
        self._sink.idle()
        if not self._unwritten:
            self._flush()

    def release(self) -> None:
        """Stops waiting for the reader; may be called from any thread. What it has not read is not acknowledged."""
        self._released.set()

    def close(self) -> None:
        """See `Sink.close`."""
        self._sink.close()
        with suppress(OSError):
            self._forget()
            self._path.rmdir()

    def _forget(self) -> None:
        for end in ("", "-wal", "-shm", "-journal"):
            (self._path / f"{DATABASE}{end}").unlink(missing_ok=True)

    def _put(self, table: str, lines: Sequence[bytes]) -> None:
        self._lines += lines

    def _flush(self) -> None:
        """Writes waiting lines without blocking for long: otherwise only a kill could end the process."""
        waiting = select.poll()
        waiting.register(self._fd, select.POLLOUT)
        view = memoryview(self._unwritten)
        at = 0
        try:
            while True:
                events = waiting.poll(LOOK_MS if at < len(view) else 0)
                if any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in events):
                    raise BrokenPipeError
                if at == len(view):
                    return
                if events:
                    with suppress(BlockingIOError):
                        at += os.write(self._fd, view[at : at + self._at_once])
                elif self._released.is_set():
                    raise SinkError("the reader of stdout reads nothing")
        except (BrokenPipeError, ConnectionResetError):
            raise ReaderGone("stdout was closed by its reader") from None
        except OSError as error:
            problem = f"stdout cannot be written ({error.strerror})"
            raise StorageFailed(problem, full=True) from None
        finally:
            view.release()
            del self._unwritten[:at]


def _escaped(line: bytes) -> bytes:
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()
