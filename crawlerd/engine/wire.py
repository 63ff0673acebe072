"""The messages between the main process and its workers: msgpack frames on a socket pair."""

from __future__ import annotations

import signal
import struct
from typing import Any

import msgspec

from crawlerd.core.configuration import AccountSpec
from crawlerd.core.log_lines import LogStyle
from crawlerd.core.outcome import Portion, Result
from crawlerd.core.private_fields import RunFields
from crawlerd.core.task import LeaseBatch

HEADER = struct.Struct("!I")
# Signals that reach the whole process group; the main process decides what they mean, and workers ignore them.
OF_THE_GROUP = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
READ_BYTES = 1 << 18  # most bytes to read at once; more than a socket's buffer holds


class Setup(msgspec.Struct, tag="setup", frozen=True, array_like=True):
    """The first message to a worker.

    accounts: the names of all accounts, one a line, by the name of their source.
    threads: how many threads it has.
    places: for each source's entry point, by name, its "module:object" and the modules that extend the source. A worker
        searches for missing ones, which doubles the time that it needs to start.
    descriptions: by source name, the entry point and the content of its description. A worker that starts later uses
        the same content, even if the file has changed.
    log: the style of its log.
    """

    accounts: dict[str, str]
    threads: int
    places: dict[str, tuple[str, list[str]]]
    descriptions: dict[str, tuple[str, dict[str, Any]]] = {}
    log: LogStyle = LogStyle()


class RunTerms(msgspec.Struct, frozen=True, array_like=True):
    """What a worker must know about a run to perform its tasks.

    added: the streams of extensions that it reads.
    fields: the fields that it drops and hashes, with the key of the hash; for secrecy sent only over the socket.
    """

    added: tuple[str, ...] = ()
    fields: RunFields | None = None


class Work(msgspec.Struct, tag="work", frozen=True, array_like=True):
    """Leases to perform, in this order.

    accounts: the accounts of these leases that are new to the worker. They have secrets: they are sent only over the
        socket, never as an argument of the process.
    terms: the terms of the leases' runs, by the number of the run; a run without terms is left out.
    """

    leases: list[LeaseBatch]
    accounts: list[AccountSpec] = []
    terms: dict[int, RunTerms] = {}


class Renamed(msgspec.Struct, tag="renamed", frozen=True, array_like=True):
    """Accounts were added or removed since Setup.

    sources: by account name, the source of a new account; None for an account that was removed.
    """

    sources: dict[str, str | None]


class Ping(msgspec.Struct, tag="ping", frozen=True, array_like=True):
    """Asks for a Pong. A worker that does not answer for HANG_SECONDS is killed."""


class Pong(msgspec.Struct, tag="pong", frozen=True, array_like=True):
    """The worker's main thread is running. Sent after Setup, and as the answer to Ping."""


class Stored(msgspec.Struct, tag="stored", frozen=True, array_like=True):
    """The answer to a Portion: the next one may be sent.

    token: the token of the portion's lease.
    refused: why no more portions are wanted, or empty; the task becomes a dead letter.
    """

    token: int
    refused: str = ""


class Done(msgspec.Struct, tag="done", frozen=True, array_like=True):
    """Results, in the order in which the attempts ended."""

    results: list[Result]


ToWorker = Setup | Work | Renamed | Ping | Stored
FromWorker = Pong | Done | Portion

_encoder = msgspec.msgpack.Encoder()
to_worker = msgspec.msgpack.Decoder(ToWorker)
from_worker = msgspec.msgpack.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """The bytes of a message on the socket. Raises OverflowError for 4 GiB or more."""
    body = _encoder.encode(message)
    if len(body) >> 32:
        raise OverflowError("a message between processes is limited to 4 GiB")
    return HEADER.pack(len(body)) + body


class Frames:
    """Splits a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Adds received bytes. Returns the bodies of the frames that are complete now."""
        buffer = self._buffer
        buffer += data
        bodies, position = [], 0
        with memoryview(buffer) as view:
            while len(buffer) - position >= HEADER.size:
                (length,) = HEADER.unpack_from(buffer, position)
                end = position + HEADER.size + length
                if len(buffer) < end:
                    break
                bodies.append(bytes(view[position + HEADER.size : end]))
                position = end
        del buffer[:position]
        return bodies
