"""Sinks: where records go."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.core.account import SinkSpec
    from crawlerd.sink import Sink


def open_sink(spec: SinkSpec) -> Sink:
    """The sink that is configured so. SinkError when it cannot be used. Imports only what its type needs."""
    match spec.type:
        case "sqlite":
            from crawlerd.sinks.sqlite.sink import sqlite_sink

            return sqlite_sink(spec.path)
        case "jsonl":
            from crawlerd.sinks.jsonl import JsonlSink

            return JsonlSink(
                spec.path, rotate_bytes=spec.rotate_bytes, rotate_seconds=spec.rotate_seconds, compress=spec.compress
            )
        case "persist-queue":
            from crawlerd.sinks.persist_queue import queue_sink

            return queue_sink(spec.path)
        case _:
            assert_never(spec.type)


def database_of(spec: SinkSpec) -> Path:
    """The SQLite database of a sink: all of it, or its memory of what it has handed on."""
    match spec.type:
        case "sqlite":
            return spec.path
        case "jsonl":
            return spec.path / ".crawlerd.db"
        case "persist-queue":
            return spec.path / "data.db"
        case _:
            assert_never(spec.type)
