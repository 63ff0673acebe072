"""Sinks: where records go. What others may ask of them is here; how each keeps its records is its own business.

deliveries: what a delivery does to rows; what a report counts: new, changed, unchanged, tombstoned, skipped.
changes: what sinks that hand records on remember.
respelling: rows of versions that spelled JSON in their own way.
file_errors: what to do about a full disk or a path that cannot be used.
cutting: how deliveries are cut into batches.
sqlite, jsonl, persist_queue, stdout, http_sink: the sinks, by type.
beside: one that keeps, and one that delivers the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.core.configuration import SinkSpec
    from crawlerd.sink import Sink
    from crawlerd.sinks.sqlite.outbox import Sending


def open_sink(spec: SinkSpec) -> Sink:
    """The sink that is configured so. SinkError when it cannot be used. Imports only what its type needs."""
    if spec.beside is not None:
        from crawlerd.sinks.beside import Beside
        from crawlerd.sinks.http_sink import HttpSink

        keeping, delivering = open_sink(replace(spec, beside=None)), open_sink(spec.beside)
        assert isinstance(delivering, HttpSink)  # noqa: S101 - the configuration has seen to it
        return Beside(keeping, delivering, spec.name)
    match spec.type:
        case "sqlite":
            from crawlerd.sinks.sqlite.sink import sqlite_sink

            return sqlite_sink(spec.path, spec.mode)
        case "jsonl":
            from crawlerd.sinks.jsonl import JsonlSink

            return JsonlSink(
                spec.path,
                rotate_bytes=spec.rotate_bytes,
                rotate_seconds=spec.rotate_seconds,
                compress=spec.compress,
                mode=spec.mode,
            )
        case "persist-queue":
            from crawlerd.sinks.persist_queue import queue_sink

            return queue_sink(spec.path, spec.mode)
        case "stdout":
            from crawlerd.sinks.stdout import StdoutSink

            return StdoutSink(spec.path)
        case "http":
            from crawlerd.sinks.http_sink import HttpSink

            assert spec.receiver is not None  # noqa: S101 - the configuration has it
            return HttpSink(spec.path, spec.receiver, spec.mode)
        case _:
            assert_never(spec.type)


def batch_to_send(database: Path, batch: int, token: int) -> Sending | None:
    """A batch of a sink of the type `http`, see `crawlerd.sinks.sqlite.outbox.read`."""
    from crawlerd.sinks.sqlite.outbox import read

    return read(database, batch, token)


def check_sink(spec: SinkSpec) -> list[str]:
    """What is wrong with the database of a sink, a line each. SinkError when it cannot be read."""
    from crawlerd.sinks.sqlite.check import check

    return check(spec.database)


def copy_sink(spec: SinkSpec, target: Path, *, force: bool = False) -> int:
    """Copies the database of a sink of the type `sqlite` as it is at this moment into a file, whether it is in use or
    not. The size in bytes. SinkError when that cannot be; `target` is then as it was."""
    from crawlerd.sinks.sqlite.copying import copy

    return copy(spec.path, target, mode=spec.mode, force=force)


def objects_in(spec: SinkSpec, source: str, stream: str, account: str) -> Iterator[dict[str, Any]]:
    """An account's objects of one stream in a sink of the type `sqlite`, see `crawlerd.sinks.sqlite.reader.objects`."""
    from crawlerd.sinks.sqlite.reader import objects

    return objects(spec.path, source, stream, account)
