"""Sinks: where records go. This module has the functions that the rest of crawlerd uses; the others implement the
sinks.

deliveries: what a delivery does to rows, and what reports count: new, changed, unchanged, tombstoned, skipped.
changes: what sinks that pass records on remember of them.
respelling: rows from versions that did not keep the API's spelling of JSON.
file_errors: what to do about a full disk, or a path that cannot be used.
cutting: how deliveries are divided into batches.
jsonl_files: the published files of a JSONL sink: removing lines, deleting old files.
sqlite, postgresql, jsonl, persist_queue, stdout, http_sink: the sinks, by type.
ack_queue: the file of a persist-queue, read and written in chunks: for the inbox, and the spool of dead letters.
letter_queue: dead letters for other programs; not a sink, but in the same kind of file as persist_queue.
saving: copies whole sinks into a backup, and back.
beside: two sinks that get the same: one that keeps records, and one that delivers them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, assert_never

from msgspec.structs import replace

from crawlerd.core.driver import is_missing
from crawlerd.sink import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.core.configuration import SinkSpec
    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Sink
    from crawlerd.sinks.sqlite.outbox import Sending


def open_sink(spec: SinkSpec) -> Sink:
    """Opens a configured sink. Imports only what its type needs. Raises SinkError if it cannot be used."""
    if spec.beside is not None:
        from crawlerd.sinks.beside import Beside
        from crawlerd.sinks.http_sink import HttpSink

        keeping, delivering = open_sink(replace(spec, beside=None)), open_sink(spec.beside)
        assert isinstance(delivering, HttpSink)  # noqa: S101 - the configuration has seen to it
        return Beside(keeping, delivering, spec.name)
    match spec.type:
        case "sqlite":
            from crawlerd.sinks.sqlite.sink import sqlite_sink

            return sqlite_sink(spec.path, spec.mode, spec.retain_tombstones)
        case "postgresql":
            with _driver():
                from crawlerd.sinks.postgresql.sink import postgresql_sink

            return postgresql_sink(spec.url, spec.schema, spec.name, spec.columns, spec.retain_tombstones)
        case "jsonl":
            from crawlerd.sinks.jsonl import JsonlSink

            return JsonlSink(
                spec.path,
                rotate_bytes=spec.rotate_bytes,
                rotate_seconds=spec.rotate_seconds,
                compress=spec.compress,
                mode=spec.mode,
                retain_tombstones=spec.retain_tombstones,
                retain_files=spec.retain_files,
            )
        case "persist-queue":
            from crawlerd.sinks.persist_queue import queue_sink

            return queue_sink(spec.path, spec.mode, spec.retain_tombstones)
        case "stdout":
            from crawlerd.sinks.stdout import StdoutSink

            return StdoutSink(spec.path)
        case "http":
            from crawlerd.sinks.http_sink import HttpSink

            assert spec.receiver is not None  # noqa: S101 - the configuration has it
            return HttpSink(spec.path, spec.receiver, spec.mode, spec.retain_tombstones)
        case _:
            assert_never(spec.type)


@contextmanager
def _driver() -> Iterator[None]:
    """A block in which the driver may be imported."""
    try:
        yield
    except ImportError as error:
        if not is_missing(error):
            raise
        raise SinkError("sinks of the type postgresql need a driver: pip install 'crawlerd[postgres]'") from None


def holds_rows(spec: SinkSpec) -> bool:
    """Whether a sink may contain data: whether it was opened before, as far as can be known without a server."""
    return spec.type == "postgresql" or spec.database.exists()


def batch_to_send(database: Path, batch: int, token: int) -> Sending | None:
    """A batch of a sink of the type `http`, see `crawlerd.sinks.sqlite.outbox.read`."""
    from crawlerd.sinks.sqlite.outbox import read

    return read(database, batch, token)


def check_sink(spec: SinkSpec) -> list[str]:
    """Problems of a sink's database, one line each. Raises SinkError if it cannot be read."""
    if spec.type == "postgresql":
        with _driver():
            from crawlerd.sinks.postgresql.check import check as check_server

        return check_server(spec.url, spec.schema)
    from crawlerd.sinks.sqlite.check import check

    return check(spec.database)


def count_meant(spec: SinkSpec, which: Erasure) -> dict[str, int]:
    """How many records of each table a request to forget concerns; empty if there is no sink yet. Raises SinkError if
    it cannot be read."""
    if spec.type == "postgresql":
        with _driver():
            from crawlerd.sinks.postgresql.check import count_rows as count_on_server

        return count_on_server(spec.url, spec.schema, which)
    from crawlerd.sinks.sqlite.erasing import count_rows

    return count_rows(spec.database, which) if spec.type != "stdout" and spec.database.exists() else {}


def erase_in_files(spec: SinkSpec, which: Erasure, *, dry_run: bool = False) -> Iterator[int]:
    """Removes lines from the files of a sink of the type `jsonl`, one file after the other. Yields the number of lines
    of each. Must be called before `Sink.forget`, which forgets which records lie below a key. Raises SinkError.

    dry_run: only count.
    """
    if spec.type != "jsonl" or not spec.database.exists():
        return
    from crawlerd.core.erasure import LineMatcher
    from crawlerd.sinks.jsonl_files import count_lines, erase_lines, published_files
    from crawlerd.sinks.sqlite.erasing import read_keys_below

    matcher = LineMatcher(which, read_keys_below(spec.database, which))
    for path in published_files(spec.path):
        yield count_lines(path, matcher) if dry_run else erase_lines(path, matcher, spec.mode)


def copy_sink(spec: SinkSpec, target: Path, *, force: bool = False) -> int:
    """Copies the current state of a database of the type `sqlite` into a file, whether it is in use or not. Returns its
    size in bytes. Raises SinkError if that is not possible; then `target` is unchanged."""
    from crawlerd.sinks.sqlite.copying import copy

    return copy(spec.path, target, mode=spec.mode, force=force)


def objects_in(spec: SinkSpec, source: str, stream: str, account: str) -> Iterator[dict[str, Any]]:
    """An account's objects of one stream in a sink of the type `sqlite` or `postgresql`, by id, see
    `crawlerd.sinks.sqlite.reader.objects`."""
    if spec.type == "postgresql":
        with _driver():
            from crawlerd.sinks.postgresql.check import objects as objects_on_server

        return objects_on_server(spec.url, spec.schema, source, stream, account)
    from crawlerd.sinks.sqlite.reader import objects

    return objects(spec.path, source, stream, account)
