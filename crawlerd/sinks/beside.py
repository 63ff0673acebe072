"""Two sinks in one: one keeps records, the other delivers the same records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.erasure import Erased
from crawlerd.sink import MISSING_KEYS, Mark, SinkState

if TYPE_CHECKING:
    from crawlerd.core.erasure import Erasure
    from crawlerd.sink import Delivery, Outbox, Sink, Totals
    from crawlerd.sinks.http_sink import HttpSink


class Beside:
    """See `Sink`. The keeping sink is written first, then the delivering one, each in its own transaction: after a
    crash in between, both get the same again.

    The delivering sink and its database must have no other users. The keeping sink's database may have others in this
    process, with marks of their own.
    """

    def __init__(self, keeping: Sink, delivering: HttpSink, name: str) -> None:
        self._keeping, self._delivering, self._name = keeping, delivering, name
        self.outbox: Outbox = delivering.outbox

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """Returns the totals of the keeping sink."""
        own = mark and Mark(self._own(mark.frontier), mark.number)
        kept = self._keeping.write(deliveries, now, own)
        return self._delivering.write(deliveries, now, mark) | kept

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str, parent: str = "") -> list[str]:
        """The keys that either sink has: a keeping sink that is new or was replaced must not hide what the receiver
        still has."""
        found = {*self._keeping.missing(delivery, stream, prefix, after, parent)}
        found.update(self._delivering.missing(delivery, stream, prefix, after, parent))
        return sorted(found)[:MISSING_KEYS]

    def seen(self, delivery: Delivery, stream: str) -> int:
        return self._keeping.seen(delivery, stream)

    def forget(self, which: Erasure, most: int) -> Erased:
        kept, delivered = self._keeping.forget(which, most), self._delivering.forget(which, most)
        return Erased(kept.deleted + delivered.deleted, kept.more or delivered.more)

    def expire(self, now: float, most: int) -> bool:
        kept, delivered = self._keeping.expire(now, most), self._delivering.expire(now, most)
        return kept or delivered

    def scrub(self, most_bytes: int | None) -> str | None:
        kept, delivered = self._keeping.scrub(most_bytes), self._delivering.scrub(most_bytes)
        return kept or delivered

    def intact(self) -> bool:
        return self._keeping.intact() and self._delivering.intact()

    def state(self, frontier: str) -> SinkState:
        kept, delivered = self._keeping.state(self._own(frontier)), self._delivering.state(frontier)
        numbers = [each.number for each in (kept, delivered)]
        number = None if None in numbers else min(each for each in numbers if each is not None)
        return SinkState(f"{kept.identity}+{delivered.identity}", number, kept.fresh and delivered.fresh)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        kept = self._keeping.confirm(source, account, identity)
        return self._delivering.confirm(source, account, identity) or kept

    def ended(self, run: int) -> None:
        self._keeping.ended(run)
        self._delivering.ended(run)

    def idle(self) -> None:
        self._keeping.idle()
        self._delivering.idle()

    def close(self) -> None:
        try:
            self._keeping.close()
        finally:
            self._delivering.close()

    def _own(self, frontier: str) -> str:
        return f"{frontier} {self._name}"
