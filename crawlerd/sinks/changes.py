"""What the sinks that hand records on have in common: they remember a digest of each record, and write what differs."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.sink import Batch
from crawlerd.sinks.sqlite.rows import SWEPT, RowSink, respellings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.sink import Delivery
    from crawlerd.sinks.sqlite.rows import Bounds, Stamp

_KNOWN = """SELECT id, data, deleted_at, run FROM "{table}"
WHERE account = ? AND id IN (SELECT value FROM json_each(?))"""
_SWEPT = """SELECT id FROM "{table}" WHERE {swept}"""

_encode = msgspec.json.Encoder().encode


class ChangeSink(RowSink):
    """A sink that writes a line for each record that is new, changed or tombstoned; none for what it wrote before.

    A line is one JSON object: source, stream, account, id (the record's key), run (its number in the frontier),
    imported_at (UTC text that sorts), and data: the object, or null for a tombstone, or, for an object nested deeper
    than DEEP levels, its JSON as text. The lines of a delivery are durable in the transaction that remembers their
    digests: after any crash each is there exactly once.

    The rows hold the digests, as JSON text, where the SQLite sink's hold the objects.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._respelled: set[tuple[str, str]] = set()  # digests of the same object

    @abstractmethod
    def _put(self, table: str, lines: Sequence[bytes]) -> None:
        """Writes the lines of a stream, within the transaction."""

    def _records(self, table: str, stamp: Stamp, batch: Batch, delivery: Delivery) -> None:
        known: dict[str, tuple[Any, Any]] = {
            str(key): (None if deleted_at else data, run)
            for key, data, deleted_at, run in self._database.connection.execute(
                _KNOWN.format(table=table), (stamp.account, _encode(batch.keys).decode())
            ).fetchall()
        }
        digests: list[bytes | None] = []
        lines = []
        deep = frozenset(batch.deep)
        for place, (key, data) in enumerate(zip(batch.keys, batch.data, strict=True)):
            digest = None if data is None else _digest(data)
            before, run = known.get(key, (None, stamp.run))
            if before != digest and not self._is_respelled(before, digest, run, data):
                text = b"null" if data is None else _encode(data.decode()) if place in deep else data
                lines.append(_line(delivery, batch.stream, key, stamp.at, text))
            known[key] = digest, stamp.run
            digests.append(None if digest is None else digest.encode())
        super()._records(table, stamp, Batch(batch.stream, batch.count, batch.keys, digests), delivery)
        self._respelled.clear()
        self._put(table, lines)

    def _is_respelled(self, before: str | None, digest: str | None, run: int, data: bytes | None) -> bool:
        """Whether what differs is only the spelling of an object that an earlier version handed on."""
        if before is None or digest is None or data is None or run > self._last_respelled:
            return False
        if before not in map(_digest, respellings(data)):
            return False
        self._respelled.add((before, digest))
        return True

    def _is_same(self, old: Any, new: Any) -> bool:
        return (old, new) in self._respelled

    def _sweep(self, table: str, bounds: Bounds, delivery: Delivery) -> None:
        stream, at = table.removeprefix(f"{delivery.source}_"), bounds[1]
        keys = self._database.connection.execute(_SWEPT.format(table=table, swept=SWEPT), bounds).fetchall()
        super()._sweep(table, bounds, delivery)
        self._put(table, [_line(delivery, stream, str(key), at, b"null") for (key,) in keys])


def _digest(data: bytes) -> str:
    """As it stands in a row: JSON text."""
    return f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"'


def _line(delivery: Delivery, stream: str, key: str, at: str, data: bytes) -> bytes:
    head = _encode(
        {
            "source": delivery.source,
            "stream": stream,
            "account": delivery.account,
            "id": key,
            "run": delivery.run,
            "imported_at": at,
        }
    )
    return head[:-1] + b',"data":' + data + b"}"
