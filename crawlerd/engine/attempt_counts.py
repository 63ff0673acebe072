"""Counts attempts and requests, by source. The dispatcher's thread counts, without a lock; any thread may read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.bounded_counts import REQUEST_BOUNDS, BoundedCounts
from crawlerd.core.metric_labels import AttemptOutcome, RequestStatus, error_of, status_of, throttle_of
from crawlerd.core.outcome import Complete, Defer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.metric_labels import AttemptError, ThrottleReason
    from crawlerd.core.outcome import Made, Outcome


class SourceCounts:
    """The counts of one source, since the process began.

    outcomes, errors: attempts, by outcome and by error.
    statuses: requests, by status.
    throttles: answers that asked for a lower rate.
    durations: seconds of requests.
    received: bytes of response bodies.
    permitted: requests that the limits would have permitted accounts with ready tasks, see `permitting`.
    """

    __slots__ = ("durations", "errors", "outcomes", "permitted", "received", "statuses", "throttles")

    def __init__(self) -> None:
        self.outcomes: Counter[AttemptOutcome] = Counter()
        self.errors: Counter[AttemptError] = Counter()
        self.statuses: Counter[RequestStatus] = Counter()
        self.throttles: Counter[ThrottleReason] = Counter()
        self.durations = BoundedCounts(REQUEST_BOUNDS)
        self.received = 0
        self.permitted = 0.0

    def heard(self, outcome: Outcome, made: Made | None) -> float | None:
        """Counts a worker's result. Returns the seconds of its request, None without one. outcome: as the worker has
        sent it."""
        if type(outcome) is not Complete:
            self.failed(outcome)
        if made is None or (status := status_of(made.status)) is None:
            return None
        self.statuses[status] += 1
        self.durations.add(made.seconds)
        self.received += made.received
        return made.seconds

    def failed(self, outcome: Outcome) -> None:
        """Counts an attempt whose outcome is not `Complete`."""
        if (error := error_of(outcome)) is not None:
            self.errors[error] += 1
        if isinstance(outcome, Defer):
            self.throttles[throttle_of(outcome)] += 1


class AttemptCounts:
    """The counts of all sources.

    late: outcomes that were fenced off, of unknown source.
    waited, requested, handled: sums of seconds that attempts waited for a thread, waited for their request, and spent
        in their handler.
    expired: leases that were taken back at their deadline.
    """

    def __init__(self) -> None:
        self._sources: dict[str, SourceCounts] = {}
        self.late = self.expired = 0
        self.waited = self.requested = self.handled = 0.0

    def spent(self, waited: float, requested: float, handled: float) -> None:
        """Adds the seconds of attempts that have ended."""
        self.waited += waited
        self.requested += requested
        self.handled += handled

    def of(self, source: str) -> SourceCounts:
        """The counts of a source. All callers, on any thread, get the same object."""
        return self._sources.get(source) or self._sources.setdefault(source, SourceCounts())

    def by_source(self) -> Mapping[str, SourceCounts]:
        """The counts of sources that have had an attempt. From any thread."""
        return dict(self._sources)
