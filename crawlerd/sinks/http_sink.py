"""The HTTP sink: a digest of what its receiver has of each record, and the versions that are still to be delivered."""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core import template
from crawlerd.core.erasure import Erased
from crawlerd.core.lenient_json import encoded, spelled_out
from crawlerd.sink import Batch
from crawlerd.sinks.deliveries import RowSink
from crawlerd.sinks.file_errors import FILE_MODE
from crawlerd.sinks.sqlite.outbox import Line, SqliteOutbox, forget_another
from crawlerd.sinks.sqlite.rows import SqliteRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.core.configuration import Receiver
    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Delivery, Mark, Totals
    from crawlerd.sinks.deliveries import RowStamp, SweepBounds


log = logging.getLogger(__name__)
_ANOTHER = (
    "%s: the receiver has changed, by base_url, path or method. The new one gets everything; %d versions that waited "
    "for the old one are dropped"
)


class HttpSink(RowSink):
    """Delivers each version of a record that is new, changed or deleted to an HTTP API, by tasks of the receiving
    account.

    The database has a digest of each record as it is delivered, and the versions that are still to be delivered. Both
    are written in one transaction, so a record that comes again has no effect.
    """

    def __init__(
        self, path: Path, receiver: Receiver, mode: int = FILE_MODE, retain_tombstones: float | None = None
    ) -> None:
        """Opens or creates the database; its directory must exist. If it belongs to another receiver, its content is
        dropped. Raises SinkError if it cannot be used.

        mode: permissions of its files.
        retain_tombstones: see `RowSink`.
        """
        self.rows = SqliteRows(path, mode)
        try:
            address = f"{receiver.method} {receiver.base_url}{receiver.path}"
            while (waiting := forget_another(self.rows.database, address)) is not None:
                log.warning(_ANOTHER, path, waiting)
                self.rows.close()
                self.rows = SqliteRows(path, mode)  # it gets a new identity
            self.outbox = SqliteOutbox(self.rows, receiver)
        except BaseException:
            self.rows.close()
            raise
        super().__init__(self.rows, Delivered(self.rows, self.outbox, receiver), retain_tombstones)

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """See `Sink.write`."""
        totals = super().write(deliveries, now, mark)
        self.outbox.committed()
        return totals


class Delivered:
    """A line in the outbox for each record that is new, changed or deleted for its receiver; none for what the receiver
    already has."""

    def __init__(self, rows: SqliteRows, outbox: SqliteOutbox, receiver: Receiver) -> None:
        self._rows, self._outbox, self._receiver = rows, outbox, receiver
        self._alone = template.has_fields(receiver.path)

    def reset(self) -> None:
        """See `Content.reset`."""
        self._outbox.reset()

    def put(self, table: str, stamp: RowStamp, batch: Batch, delivery: Delivery) -> None:
        """See `Content.put`."""
        known = self._rows.known(table, stamp.account, batch.keys)
        refused = self._outbox.refused(table, stamp.account, batch.keys, stamp.run)
        digests: list[bytes | None] = []
        lines: list[Line] = []
        for key, data in zip(batch.keys, batch.data, strict=True):
            before, _ = known.get(key, (None, 0))
            sent = None if data is None else self._filled(data, key, batch.stream, stamp.account)
            digest = None if sent is None else sent.digest
            if before != digest:
                change = "new" if before is None else "changed" if sent else "tombstoned"
            elif sent and key in refused:
                change = "changed"
            else:
                change = ""
            if change and sent:
                method = self._receiver.method if self._alone else ""
                lines.append(Line(table, stamp.account, key, stamp.run, change, method, sent.path, sent.data))
                refused.discard(key)
            elif change:
                lines.append(self._gone(table, stamp.account, key, batch.stream, stamp.run))
            known[key] = digest, stamp.run
            digests.append(None if digest is None else digest.encode())
        rows = Batch(batch.stream, batch.count, batch.keys, digests, parents=batch.parents)
        self._rows.put(table, stamp, rows, lambda old, new: False)
        if self._is_told_of(batch.stream):
            self._outbox.put(lines)

    def sweep(self, table: str, bounds: SweepBounds, delivery: Delivery) -> None:
        """See `Content.sweep`."""
        stream = table.removeprefix(f"{delivery.source}_")
        keys = self._rows.swept(table, bounds)
        self._rows.sweep(table, bounds)
        if not self._is_told_of(stream):
            return
        self._outbox.put([self._gone(table, bounds.account, key, stream, bounds.run) for key in keys])

    def end(self, deliveries: Sequence[Delivery], mark: Mark | None) -> None:
        """See `Content.end`."""
        self._outbox.end(deliveries, mark)

    def forget(self, which: Erasure) -> Erased:
        """See `Content.forget`."""
        return Erased(self._outbox.forget(which), False)

    def _is_told_of(self, stream: str) -> bool:
        return not self._receiver.streams or stream in self._receiver.streams

    def _filled(self, data: bytes, key: str, stream: str, account: str) -> Sent:
        receiver, path = self._receiver, ""
        if receiver.fields or self._alone:
            own = {"$key": key, "$stream": stream, "$account": account}
            values = spelled_out(data)
            if self._alone:
                path = template.fill_path(receiver.path, values, own) or ""
            if receiver.fields:
                data = encoded(template.fill(receiver.fields, values, own))
        return Sent(path, data, f'"{blake2b(path.encode() + b" " + data, digest_size=16).hexdigest()}"')

    def _gone(self, table: str, account: str, key: str, stream: str, run: int) -> Line:
        """The line about a deleted record. `SqliteOutbox.put` leaves it out if the receiver gets no tombstones."""
        own = {"key": key, "stream": stream, "account": account}
        path = template.fill_path(self._receiver.gone_path, {}, own | {f"${name}": own[name] for name in own})
        return Line(table, account, key, run, "tombstoned", self._receiver.gone_method, path or "", None)


class Sent(NamedTuple):
    """A record as it is delivered.

    path: "" if it is sent together with others, or not at all.
    digest: of path and data, as JSON text.
    """

    path: str
    data: bytes
    digest: str
