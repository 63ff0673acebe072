"""What sinks that pass records on have in common: they remember a digest of each record, and write only differences."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.erasure import Erased
from crawlerd.sink import Batch
from crawlerd.sinks.respelling import respellings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Delivery, Mark
    from crawlerd.sinks.deliveries import Rows, RowStamp, SweepBounds

_encode = msgspec.json.Encoder().encode


class Changes:
    """A line for each record that is new, changed or tombstoned; none for one that was written before.

    A line is one JSON object: source, stream, account, id (the record's key), run (its number in the frontier),
    imported_at (UTC text that sorts), and data: the object, or null for a tombstone; for an object nested deeper than
    DEEP levels, its JSON as text. The lines of a delivery are made durable in the same transaction as their digests:
    after any crash, each line is there exactly once.

    The rows hold the digests, as JSON text, where the SQLite sink's rows hold the objects.
    """

    def __init__(
        self,
        rows: Rows,
        put: Callable[[str, Sequence[bytes]], None],
        erase: Callable[[Erasure], Erased] = lambda which: Erased(0, False),
    ) -> None:
        """put: writes lines for a table's stream, within the transaction.
        erase: deletes lines that are still in the database, within the transaction.
        """
        self._rows, self._put, self._erase = rows, put, erase
        self._respelled: set[tuple[str, str]] = set()  # old and new digest of the same object

    def reset(self) -> None:
        """See `Content.reset`."""
        self._respelled.clear()

    def put(self, table: str, stamp: RowStamp, batch: Batch, delivery: Delivery) -> None:
        """See `Content.put`."""
        known = self._rows.known(table, stamp.account, batch.keys)
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
        rows = Batch(batch.stream, batch.count, batch.keys, digests, parents=batch.parents)
        self._rows.put(table, stamp, rows, lambda old, new: (old, new) in self._respelled)
        self._respelled.clear()
        self._put(table, lines)

    def sweep(self, table: str, bounds: SweepBounds, delivery: Delivery) -> None:
        """See `Content.sweep`."""
        stream = table.removeprefix(f"{delivery.source}_")
        keys = self._rows.swept(table, bounds)
        self._rows.sweep(table, bounds)
        self._put(table, [_line(delivery, stream, key, bounds.at, b"null") for key in keys])

    def forget(self, which: Erasure) -> Erased:
        """See `Content.forget`."""
        return self._erase(which)

    def end(self, deliveries: Sequence[Delivery], mark: Mark | None) -> None:
        """See `Content.end`; there is nothing left to do."""

    def _is_respelled(self, before: str | None, digest: str | None, run: int, data: bytes | None) -> bool:
        """Whether only the spelling of an object differs from what an earlier version passed on."""
        if before is None or digest is None or data is None or not self._rows.may_be_respelled(run):
            return False
        if before not in map(_digest, respellings(data)):
            return False
        self._respelled.add((before, digest))
        return True


def _digest(data: bytes) -> str:
    """A digest as it is stored in a row: as JSON text."""
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
