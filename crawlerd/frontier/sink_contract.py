"""The operations on sinks: which sink is which, and whether it and the frontier still belong together."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.sink import Mark, SharedTransaction, SinkState

NOWHERE: Mapping[str, str] = MappingProxyType({})


class Attached(NamedTuple):
    """A sink and what the frontier knows about it."""

    id: int
    abandoned: list[int]  # runs that were writing to it; their imports begin again
    news: str | None  # why its sync points were dropped; None when they are valid


class KnownSinks(Protocol):
    """The sinks that a frontier has written to, and the origins of their records. Part of `Frontier`."""

    @property
    def mark(self) -> Mark:
        """The mark of the next commit, which is left in the sinks that are written before it. Costs no read."""
        ...

    @property
    def shared(self) -> SharedTransaction | None:
        """The transaction of the next commit, for sinks in the same database; None where no sink can be."""
        ...

    def attach(self, name: str, state: SinkState, now: float) -> Attached:
        """Compares an opened sink with what is stored about it. If the sink is older or another one, drops its sync
        points and abandons its runs. Raises FrontierRefused when the frontier is the older one. One transaction.

        name: the sink's name for people, such as "sinks.warehouse".
        """
        ...

    def attach_receiver(self, import_name: str, identity: str | None, now: float) -> Attached:
        """Like `attach`, for the receiver of an import's deliveries. One transaction.

        identity: who the receiver is; None while that is unknown.
        """
        ...

    def bind(
        self, import_name: str, sink: int, now: float, origins: Mapping[str, str] = NOWHERE, *, ad_hoc: bool = False
    ) -> Attached:
        """Call when an import starts, with its present sink. Abandons its runs that write to another sink. When records
        of a stream come from another origin than before, drops its sync points and abandons all runs of the import; the
        result's `news` says so. One transaction.

        origins: by stream, a digest of where its records come from; if extensions use them, "." and a digest of these.
        ad_hoc: the second digest holds for one run only: it is not compared, and new streams are not stored.
        """
        ...

    def elsewhere(self, import_name: str, origins: Mapping[str, str]) -> set[str]:
        """The streams that have another origin than stored: an ad hoc run cannot use their sync points."""
        ...

    def news(self, import_name: str, sink: int) -> str | None:
        """Why the sync points for a sink, or for the receiver of an import's deliveries, were last dropped."""
        ...
