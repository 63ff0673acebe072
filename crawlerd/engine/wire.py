"""What the main process and its workers say to each other: msgpack frames on a socket pair."""

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
READ_BYTES = 1 << 18  # at once: more than a socket holds


class Setup(msgspec.Struct, tag="setup", frozen=True, array_like=True):
    """First message to a worker.

    accounts: the names of all, one a line, by their source's.
    threads: how many it has.
    places: "module:object" by the name of a source's entry point, and the modules that extend the source. A worker
        searches for those that are missing, which takes as long as all else that it does to start.
    descriptions: by name, the entry point and the description of each source that is made from one: a worker that
        starts later makes it from the same, whatever has become of the file.
    log: how it writes its log.
    """

    accounts: dict[str, str]
    threads: int
    places: dict[str, tuple[str, list[str]]]
    descriptions: dict[str, tuple[str, dict[str, Any]]] = {}
    log: LogStyle = LogStyle()


class RunTerms(msgspec.Struct, frozen=True, array_like=True):
    """What a run asks of those who perform its tasks.

    added: the streams of extensions that it reads.
    fields: what it drops and hashes of records, with the key of the hash: a worker gets it over its socket alone.
    """

    added: tuple[str, ...] = ()
    fields: RunFields | None = None


class Work(msgspec.Struct, tag="work", frozen=True, array_like=True):
    """Leases to perform, in this order.

    accounts: those among them of which the worker has had none before. They carry secrets: a worker gets them over its
    socket, never by argument.
    terms: what the leases' runs ask for, where they ask for anything, by the number of the run.
    """

    leases: list[LeaseBatch]
    accounts: list[AccountSpec] = []
    terms: dict[int, RunTerms] = {}


class Renamed(msgspec.Struct, tag="renamed", frozen=True, array_like=True):
    """Which accounts there are has changed since Setup.

    sources: of accounts that are new, by name; None for one that is not configured any more.
    """

    sources: dict[str, str | None]


class Ping(msgspec.Struct, tag="ping", frozen=True, array_like=True):
    """Asks for a Pong; a worker that owes one for too long hangs."""


class Pong(msgspec.Struct, tag="pong", frozen=True, array_like=True):
    """The worker's main thread runs. First sent when it is set up."""


class Stored(msgspec.Struct, tag="stored", frozen=True, array_like=True):
    """The answer to a Portion: the next one may be sent.

    token: of its lease.
    refused: why nothing more of the outcome is wanted, if so: the task is a dead letter.
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
    """The message as it goes over the socket. OverflowError for one of 4 GiB or more."""
    body = _encoder.encode(message)
    if len(body) >> 32:
        raise OverflowError("a message between processes is limited to 4 GiB")
    return HEADER.pack(len(body)) + body


class Frames:
    """Cuts a stream of bytes back into the bodies of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that `data` completes."""
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
