"""All that an author of a sink imports: what a sink receives and what it promises."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from crawlerd.core.errors import Refused, SinkError, SinkReplaced, StorageFailed, SyncFailed
from crawlerd.core.outcome import Batch, Skipped
from crawlerd.core.output import MISSING_KEYS

__all__ = [
    "MISSING_KEYS",
    "Batch",
    "Delivery",
    "Mark",
    "Refused",
    "Sink",
    "SinkError",
    "SinkReplaced",
    "SinkState",
    "Skipped",
    "StorageFailed",
    "SyncFailed",
    "Totals",
]


class Delivery(msgspec.Struct, frozen=True):
    """What one completed task has yielded, on its way to a sink: first its records, then its sweeps.

    run, started: the run's number and when it began, in Unix seconds; only together do they name it, since a frontier
        that was lost counts its runs again from the start.
    task: the task's number, the same when the delivery comes again.
    skipped: records that were set aside; a sweep spares their keys.
    """

    source: str
    account: str
    run: int
    started: float
    task: int
    batches: list[Batch]
    sweeps: list[tuple[str, str]] = []
    skipped: list[Skipped] = []


class Totals(NamedTuple):
    """What a run has done to one stream so far, each key counted once: by the run's last word on it, compared with what
    the sink held before the run.

    seen: keys that are there: new, changed and unchanged ones.
    new: were not there, or were tombstoned.
    changed: were there with other data.
    tombstoned: were there, and are not any more, by a tombstone or a sweep.
    So what is there grows by new - tombstoned.
    """

    seen: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    tombstoned: int = 0


class Mark(NamedTuple):
    """What a frontier leaves in a sink with each write: so both know later whether the other one is what it was."""

    frontier: str  # its identity
    number: int  # of the group commit that follows the write


class SinkState(NamedTuple):
    """What a sink says of itself when it is opened."""

    identity: str  # made once, with the database, and copied with it
    number: int | None  # of the last mark of the frontier that asks; None when that has never written here
    fresh: bool  # no run has ever written here
    forgets: bool = False  # it is another one each time it is opened


class Sink(Protocol):
    """Where records go. Used by one thread.

    Idempotent by (stream, account, key): the same delivery may come twice, after a crash, and changes nothing.
    """

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        """Makes all deliveries and the mark durable, in their order and together, before it returns the totals so far
        of each run and stream in them: by the run's number and the stream's name, over all accounts and sources.

        Raises SinkError (StorageFailed when the disk is the reason) and has written none of them; Refused when what one
        of them holds can never be written; SinkReplaced, from then on, when its file is not the one that was opened.
        now: Unix seconds.
        """
        ...

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str) -> list[str]:
        """The first MISSING_KEYS keys, in ascending order of their UTF-8, that a sweep of the stream and prefix in this
        delivery would tombstone, of those behind `after`. Called when the delivery was written. SinkError as of
        `write`."""
        ...

    def seen(self, delivery: Delivery, stream: str) -> int:
        """How many keys of the stream the delivery's run has seen so far, of its account alone; else as
        `Totals.seen`. SinkError as of `write`."""
        ...

    def intact(self) -> bool:
        """Whether its file is still the one that was opened, in its place. Quick: asked before each group commit."""
        ...

    def state(self, frontier: str) -> SinkState:
        """What the sink is, and what it has of a frontier, by its identity. SinkError as of `write`."""
        ...

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        """Notes, durably and once, whom the account's records come from. Who was noted before if it was another one:
        two of the same name must not be mixed. SinkError as of `write`."""
        ...

    def ended(self, run: int) -> None:
        """Nothing more of the run comes for now: what waits for company need not wait longer. Raises nothing."""
        ...

    def idle(self) -> None:
        """Nothing was written for some seconds: space that is taken for speed's sake is given back. Raises SyncFailed
        alone."""
        ...

    def close(self) -> None:
        """SinkError when something could not be put in its place; it is durable all the same."""
        ...
