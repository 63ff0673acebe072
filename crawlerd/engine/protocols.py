"""What the parts of the engine are to each other: one small Protocol each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.core.task import Task
    from crawlerd.frontier.contract import OutageNote
    from crawlerd.frontier.waiting_contract import Bucket, Queue
    from crawlerd.ratelimit.adaptive import Learned
    from crawlerd.ratelimit.outage import Health, Origin, Outage
    from crawlerd.ratelimit.quota import Ask, Grant
    from crawlerd.sink import Sink


class AccountLimits(Protocol):
    """Who knows the accounts."""

    def limits(self, number: int) -> tuple[str, LimitSpec] | None:
        """An account's name and limits; None when it is not configured (any more)."""
        ...


class UsualOrigins(Protocol):
    """Who knows where accounts send their requests."""

    def name(self, account: int) -> str:
        """An account's or a part's name."""
        ...

    def usual_origin(self, account: int) -> tuple[str, float]:
        """The origin that an account is configured with, and its `give_up_after` in seconds."""
        ...


class Healths(Protocol):
    """Who knows which origins answer."""

    silent: int  # leases of origins that give no results
    hanging: set[Origin]  # these origins

    @property
    def several(self) -> bool:
        """Tasks of more than one origin are in memory."""
        ...

    def usual(self, account: int) -> Health:
        """Of an account at the origin that it is configured with."""
        ...

    def ended(self, probe: Outage, now: float) -> None:
        """The attempt that was a probe has ended, with or without a result."""
        ...

    def forget(self, account: int) -> None:
        """Nothing of the account is in memory any more."""
        ...


class OutageNotes(Protocol):
    """Who keeps what is known of outages for the next process."""

    def note_outage(self, key: tuple[str, int], note: OutageNote | None) -> None:
        """key: origin and account, 0 for the whole origin. None: it is over."""
        ...


class Supplier(Protocol):
    """Who has what the workbench lacks, and answers later."""

    def refill(self, queue: Queue, count: int) -> None:
        """Wants more heads, which come back through `Workbench.add_heads`."""
        ...

    def ask_quota(self, ask: Ask) -> None:
        """Wants a grant, which comes back through `Workbench.grant`."""
        ...

    def remember(self, key: str, learned: Learned) -> None:
        """Keeps what a limiter has found out for the next process."""
        ...


class Sharing(Protocol):
    """Who keeps the windows of limits that other programs share."""

    def ask(self, ask: Ask) -> None:
        """Wants a start, which comes back through `Workbench.grant`."""
        ...


class Credentials(Protocol):
    """Who decides about accounts, as the dispatcher's thread tells."""

    def passed(self, account: int, identity: str | None) -> None:
        """A check has passed. Whether that identity is the right one is decided here; until then, nothing starts."""
        ...

    def refused(self, account: int, reason: str) -> None:
        """The account's credentials do not work."""
        ...


class HeadsReceiver(Protocol):
    """The dispatcher, as Prefetch sees it. Methods may be called from any thread.

    sleeping: there may be buckets that are not awake and could be leased from.
    """

    sleeping: bool

    def heads(self, bucket: Bucket, run: int, tasks: Sequence[Task], *, more: bool) -> None: ...
    def asleep(self, bucket: Bucket, *, agreed: bool) -> None: ...
    def woken(self) -> None: ...


class CommitReceiver(Protocol):
    """The dispatcher, as the store sees it. Methods may be called from any thread."""

    def has_room(self) -> None: ...
    def granted(self, grants: Sequence[Grant]) -> None: ...
    def stored(self, token: int, refused: str) -> None: ...
    def withdraw(self, runs: Collection[int], give_back: Callable[[list[Task]], None]) -> None: ...


class StoreEvents(Protocol):
    """Who is told by the store what has happened, on its thread."""

    def ended(self, runs: Sequence[int]) -> None:
        """Runs have ended, or were abandoned."""
        ...

    def borrowed(self, pairs: Sequence[tuple[int, int]]) -> None:
        """(run, account) of runs that have got their first tasks for an account that is not their own. Called before
        these are given out."""
        ...

    def replaced(self, sink: Sink) -> None:
        """The file of this sink is gone. Called again at each try, until `SinkWriter.swap` brings another one."""
        ...

    def failed(self, error: BaseException) -> None:
        """The store has stopped, once."""
        ...

    def idle(self) -> None:
        """Nothing was committed for some seconds."""
        ...

    def beat(self) -> None:
        """It works. Called about once a second."""
        ...
