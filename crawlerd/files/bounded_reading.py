"""Reads small files that a person names: whole, up to a size, and without a long wait."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 64 << 20  # for a configuration, a description or a CSV file
PIPE_SECONDS = 10.0  # time within which the writer of a pipe must have written everything


def read_whole(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """The content of a file, see `read_with_mode`."""
    return read_with_mode(path, most)[0]


def read_with_mode(path: Path | str, most: int = MOST_BYTES) -> tuple[bytes, int]:
    """The content of a file or a pipe, such as a shell's `<(command)`, and its permissions.

    Raises OSError: EFBIG for more than `most` bytes, as from an endless device; ETIMEDOUT for a pipe whose writer has
    not finished within PIPE_SECONDS.
    """
    until = time.monotonic() + PIPE_SECONDS
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # otherwise a pipe without a writer would block
    try:
        found, facts = bytearray(), os.fstat(fd)
        mode, size, ready = stat.S_IMODE(facts.st_mode), 1 << 20, None
        if stat.S_ISREG(facts.st_mode):
            # reading a hundred thousand small files must not take a MiB of memory for each
            size = min(size, max(4096, facts.st_size + 1))
        else:
            ready = select.poll()
            ready.register(fd, select.POLLIN)
        while True:
            if ready is not None and not ready.poll(max(0.0, until - time.monotonic()) * 1000):
                raise OSError(errno.ETIMEDOUT, f"it is a pipe whose writer did not finish within {PIPE_SECONDS:g} s")
            data = os.read(fd, size)
            if not data:
                return bytes(found), mode
            found += data
            if len(found) > most:
                raise OSError(errno.EFBIG, f"it is larger than {most} bytes")
    finally:
        os.close(fd)
