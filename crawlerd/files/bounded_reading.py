"""How small files that a person names are read: whole, up to a size, and without waiting for long."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 64 << 20  # of a configuration, a description or a CSV file
PIPE_SECONDS = 10.0  # that the writer of a pipe has for all that it writes


def read_whole(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """See `read_with_mode`."""
    return read_with_mode(path, most)[0]


def read_with_mode(path: Path | str, most: int = MOST_BYTES) -> tuple[bytes, int]:
    """With its permissions: a file, or what somebody writes into a pipe, as a shell's `<(command)`.

    OSError with EFBIG for more than `most` bytes, as of a device without end, and ETIMEDOUT for a pipe whose writer has
    not ended within PIPE_SECONDS.
    """
    until = time.monotonic() + PIPE_SECONDS
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would not open
    try:
        found, facts = bytearray(), os.fstat(fd)
        mode, size, ready = stat.S_IMODE(facts.st_mode), 1 << 20, None
        if stat.S_ISREG(facts.st_mode):
            size = min(size, max(4096, facts.st_size + 1))  # a hundred thousand small ones are not to cost a MiB each
        else:
            ready = select.poll()
            ready.register(fd, select.POLLIN)
        while True:
            if ready is not None and not ready.poll(max(0.0, until - time.monotonic()) * 1000):
                raise OSError(errno.ETIMEDOUT, f"it is a pipe, and its writer has not ended within {PIPE_SECONDS:g} s")
            data = os.read(fd, size)
            if not data:
                return bytes(found), mode
            found += data
            if len(found) > most:
                raise OSError(errno.EFBIG, f"it is larger than {most} bytes")
    finally:
        os.close(fd)
