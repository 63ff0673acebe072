"""What the sinks that hand records on have in common: they remember a digest of each record, and write what differs."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import TYPE_CHECKING

import msgspec

from crawlerd.sink import Batch
from crawlerd.sinks.sqlite.rows import SWEPT, RowSink, depth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.sink import Delivery
    from crawlerd.sinks.sqlite.rows import Bounds, Stamp

DEEPEST = 500  # levels of nesting, from which on data is handed on as text: the usual readers of JSON fail at 1,000

_KNOWN = """SELECT id, data, deleted_at FROM "{table}"
WHERE account = ? AND id IN (SELECT value FROM json_each(?))"""
_SWEPT = """SELECT id FROM "{table}" WHERE {swept}"""

_pairs = msgspec.json.Decoder(list[tuple[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode


class ChangeSink(RowSink):
    """A sink that writes a line for each record that is new, changed or tombstoned; none for what it wrote before.

    A line is one JSON object: source, stream, account, id (the record's key), run (its number in the frontier),
    imported_at (UTC text that sorts), and data: the object, or null for a tombstone, or, for an object nested deeper
    than DEEPEST levels, its JSON as text. The lines of a delivery are durable in the transaction that remembers their
    digests: after any crash each is there exactly once.

    The rows hold the digests, as JSON text, where the SQLite sink's hold the objects.
    """

    @abstractmethod
    def _put(self, table: str, lines: Sequence[bytes]) -> None:
        """Writes the lines of a stream, within the transaction."""

    def _records(self, table: str, stamp: Stamp, batch: Batch, delivery: Delivery) -> None:
        try:
            pairs = [(key, bytes(data)) for key, data in _pairs.decode(batch.rows)]
        except (msgspec.DecodeError, RecursionError):
            pairs = [(key, b"null" if data is None else data.encode()) for key, data in self._pairs(batch, delivery)]
        keys = _encode([key for key, _ in pairs]).decode()
        known = {
            str(key): None if deleted_at else data
            for key, data, deleted_at in self._database.connection.execute(
                _KNOWN.format(table=table), (stamp.account, keys)
            ).fetchall()
        }
        rows, lines = [], []
        for key, data in pairs:
            data = data.strip()
            digest = None if data == b"null" else hashlib.blake2b(data, digest_size=16).hexdigest()
            if known.get(key) != (digest and f'"{digest}"'):
                lines.append(_line(delivery, batch.stream, key, stamp.at, data))
                known[key] = digest and f'"{digest}"'
            rows.append((key, digest))
        super()._records(table, stamp, Batch(batch.stream, len(rows), _encode(rows), []), delivery)
        self._put(table, lines)

    def _sweep(self, table: str, bounds: Bounds, delivery: Delivery) -> None:
        stream, at = table.removeprefix(f"{delivery.source}_"), bounds[1]
        keys = self._database.connection.execute(_SWEPT.format(table=table, swept=SWEPT), bounds).fetchall()
        super()._sweep(table, bounds, delivery)
        self._put(table, [_line(delivery, stream, str(key), at, b"null") for (key,) in keys])


def _line(delivery: Delivery, stream: str, key: str, at: str, data: bytes) -> bytes:
    if data.count(b"{") + data.count(b"[") > DEEPEST and depth(data.decode()) > DEEPEST:
        data = _encode(data.decode())
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
    # Line breaks can only stand between the tokens of JSON.
    return head[:-1] + b',"data":' + data.replace(b"\n", b" ").replace(b"\r", b" ") + b"}"
