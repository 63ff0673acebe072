"""The interfaces through which the parts of the engine call each other, as small Protocols."""

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
    """Knows the accounts and their limits."""

    def limits(self, number: int) -> tuple[str, LimitSpec] | None:
        """An account's name and limits; None when it is not configured (any more)."""
        ...


class UsualOrigins(Protocol):
    """Knows where accounts send their requests."""

    def name(self, account: int) -> str:
        """The name of an account or part."""
        ...

    def usual_origin(self, account: int) -> tuple[str, float]:
        """The origin that an account is configured with, and its `give_up_after` in seconds."""
        ...


class Healths(Protocol):
    """Knows which origins answer."""

    silent: int  # how many leases wait for origins that give no results
    hanging: set[Origin]  # these origins

    @property
    def several(self) -> bool:
        """Whether tasks for more than one origin are in memory."""
        ...

    def usual(self, account: int) -> Health:
        """The health of the account at its configured origin."""
        ...

    def ended(self, probe: Outage, now: float) -> None:
        """The attempt that was the probe of this outage has ended, with or without a result."""
        ...

    def forget(self, account: int) -> None:
        """The account has left memory."""
        ...


class OutageNotes(Protocol):
    """Stores outages for the next process."""

    def note_outage(self, key: tuple[str, int], note: OutageNote | None) -> None:
        """Stores an outage, or None for its end. key: origin and account, 0 for the whole origin."""
        ...


class Supplier(Protocol):
    """Supplies the workbench with tasks and quotas; answers later."""

    def refill(self, queue: Queue, count: int) -> None:
        """Asks for more heads; the answer is `Workbench.add_heads`."""
        ...

    def ask_quota(self, ask: Ask) -> None:
        """Asks for a grant; the answer is `Workbench.grant`."""
        ...

    def remember(self, key: str, learned: Learned) -> None:
        """Stores what a limiter has learned, for the next process."""
        ...


class Sharing(Protocol):
    """Keeps the windows of limits that are shared with other programs."""

    def ask(self, ask: Ask) -> None:
        """Asks for a start; the answer is `Workbench.grant`."""
        ...


class Credentials(Protocol):
    """Gets the results of checks of credentials from the dispatcher's thread, and decides about the accounts."""

    def passed(self, account: int, identity: str | None) -> None:
        """A check has passed. Decides whether the identity is the right one; until then, no task of it starts."""
        ...

    def refused(self, account: int, reason: str) -> None:
        """The account's credentials do not work."""
        ...


class HeadsReceiver(Protocol):
    """The part of the dispatcher that Prefetch uses. Methods may be called from any thread.

    sleeping: whether there may be buckets on disk whose tasks could be leased.
    """

    sleeping: bool

    def heads(self, bucket: Bucket, run: int, tasks: Sequence[Task], *, more: bool) -> None: ...
    def asleep(self, bucket: Bucket, *, agreed: bool) -> None: ...
    def woken(self) -> None: ...


class CommitReceiver(Protocol):
    """The part of the dispatcher that the store uses. Methods may be called from any thread."""

    def has_room(self) -> None: ...
    def granted(self, grants: Sequence[Grant]) -> None: ...
    def stored(self, token: int, refused: str) -> None: ...
    def withdraw(self, runs: Collection[int], give_back: Callable[[list[Task]], None]) -> None: ...


class StoreEvents(Protocol):
    """Gets the events of the store, on the store's thread."""

    def ended(self, runs: Sequence[int]) -> None:
        """Runs have ended, or were abandoned."""
        ...

    def borrowed(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Runs have got their first tasks for an account other than their own. Called before these tasks are leased.
        pairs: (run, account)."""
        ...

    def replaced(self, sink: Sink) -> None:
        """The file of this sink is gone. Called again at each try, until `SinkWriter.swap` has replaced the sink."""
        ...

    def failed(self, error: BaseException) -> None:
        """The store has stopped because of this error. Called once."""
        ...

    def idle(self) -> None:
        """Nothing was committed for some seconds."""
        ...

    def beat(self) -> None:
        """Called about once a second while the store runs."""
        ...
