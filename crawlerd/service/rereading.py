"""Reads the configuration in a process of its own: parsing 100,000 accounts in the daemon would delay running
imports."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from crawlerd.config.differences import Known, changes, joined, pieces
from crawlerd.config.load import load
from crawlerd.core.errors import ConfigurationError
from crawlerd.sources import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.config.differences import Changes

HEADER = struct.Struct("!I")
PIECE = 250  # accounts or imports in one message, which is decoded at once
NICE = 5  # running imports have priority
REFUSED = 78  # exit code: stdout has the problems, as a JSON list


def reading(path: Path) -> Callable[[Known], Changes]:
    """A function that compares the configuration file with known settings."""
    return partial(reread, path.absolute())


def reread(path: Path, known: Known) -> Changes:
    """The differences between the file and the known settings. Raises ConfigurationError with all problems of the
    file."""
    command = [sys.executable, "-P", "-m", "crawlerd.service.rereading", str(path)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ourselves
    except OSError as error:
        raise ConfigurationError([f"{path}: no process can be started to read it: {error.strerror}"]) from None
    with process:
        assert process.stdin is not None  # noqa: S101 - it was asked for
        assert process.stdout is not None  # noqa: S101 - so was it
        with suppress(BrokenPipeError), process.stdin:  # its exit code says more
            process.stdin.write(msgspec.msgpack.encode(known))
        found = list(_messages(process.stdout))
    if process.returncode == REFUSED and found:
        raise ConfigurationError(msgspec.json.decode(found[0], type=list[str]))
    if process.returncode:
        raise ConfigurationError([f"{path}: the process that reads it failed with {process.returncode}; see the log"])
    return joined(iter(found))


def _messages(pipe: IO[bytes]) -> Iterator[bytes]:
    while header := pipe.read(HEADER.size):
        yield pipe.read(HEADER.unpack(header)[0])


def main() -> int:
    """`python -m crawlerd.service.rereading FILE`, with the known settings on stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and a hangup are meant for the daemon, which then drains
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with suppress(OSError):  # a hardened unit may forbid changing it
        os.nice(NICE)
    path = Path(sys.argv[1])
    known = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Known)
    out = sys.stdout.buffer
    try:
        messages = pieces(changes(known, load(path, registry=registry)), PIECE)
    except ConfigurationError as error:
        problems = msgspec.json.encode(list(error.problems))
        out.write(HEADER.pack(len(problems)) + problems)
        return REFUSED
    for each in messages:
        out.write(HEADER.pack(len(each)) + each)
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
