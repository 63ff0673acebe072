"""Finds a limit that nobody documented by its 429s, and follows it. Pure: times are given, nothing is random."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from crawlerd.core.notation import MOST_RATE
from crawlerd.ratelimit.concurrency import ConcurrencyLimit

LATENESS = 0.050  # seconds by which a start may be late without the next ones being late too; later, it was idle
FIRST_RATE, LEAST_RATE = 2.0, 0.05  # starts a second
DOUBLING_SECONDS = 1.0  # of the rate, until the first 429
OVERSHOT = 0.7  # of the rate that met the first 429: it had doubled unawares while that was on its way

CLIMB_REQUESTS, CLIMB_SECONDS, CLIMB = 70, 3.0, 0.03  # after so many requests, but not sooner, the rate is 3% higher
HOLD_FIRST, HOLD_GROWTH, HOLD_MOST = 40, 1.6, 300  # accepted requests at a rate that proved right before the next climb
HOLD_PER_PAUSE = 100  # seconds of holding for each that a probe costs where the server sends Retry-After
STEADY_RISE, STEADY_FALL = 1.2, 0.92  # a limit found within this of the last one has not moved

CUT, DEEPEST_CUT = 0.98, 0.5  # of the rate that was throttled
CREEP = 1.01  # of the rate that was measured, which in a window lags behind the limit
EVIDENCE = 8  # answers to judge a rate by
IDLE_SHARE = 0.4  # of the time may be lost to late starts, and success is still proof that the rate is permitted
PROOF_SECONDS = 0.5  # at that rate after more was lost: a short burst may have come out of a bucket's store
LONGEST_PAUSE = 30.0  # seconds between probes while nothing is accepted


class Learned(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to keep over a restart. rate: starts a second that the server permits, None until a 429 has shown it.
    concurrency: requests at once, None when nothing speaks for such a limit. ValueError: not numbers that a law learns.
    """

    rate: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= MOST_RATE:
            raise ValueError(f"no rate that was learned: {self.rate}")
        if self.concurrency is not None and not self.concurrency >= 1:
            raise ValueError(f"no concurrency that was learned: {self.concurrency}")


class Sent(NamedTuple):
    """A request on its way. cost: ordinary ones it counts as. beside: others on their way then. spacing: seconds since
    the start before, as far as our pace was the reason. held: whether it was, long enough for success to be proof."""

    at: float
    rate: float
    cost: int
    beside: int
    spacing: float
    held: bool


class AdaptiveLaw:
    """The pace of one account or bucket. Times are monotonic seconds; O(1) an event; used by one thread.

    ceiling: starts a second that are never exceeded, None when no limit is known. learned: of an earlier process.
    first: when the first may start.

    The rate begins at what is known, or doubles each second until the first 429. From then on it is held, then climbs
    along a cubic curve, flat at first, until a 429; the new rate is what was accepted a second since the last cut, but
    less than was throttled. So a token bucket, which such a rate keeps empty, is measured exactly; in a window the rate
    creeps up to the limit; and when the limit has fallen, the fraction accepted says how far. The longer the limit has
    not moved, the longer the rate is held. Answers to requests sent before the last cut say nothing, nor does success
    while the pace was not what held requests back.
    """

    __slots__ = (
        "_accepted",
        "_ceiling",
        "_climbed",
        "_concurrency",
        "_cut_at",
        "_doubling",
        "_hold",
        "_idle",
        "_inflight",
        "_level",
        "_next",
        "_refusals",
        "_refused_at",
        "_resume_at",
        "_seconds",
        "_started_at",
        "_throttled",
        "_until",
        "rate",
    )

    def __init__(self, *, ceiling: float | None = None, learned: Learned | None = None, first: float = 0.0) -> None:
        if ceiling is not None and not 0 < ceiling <= MOST_RATE:
            raise ValueError(f"{ceiling} starts a second is no limit")
        learned = learned or Learned()
        self._ceiling = ceiling or MOST_RATE
        self._doubling = learned.rate is None and ceiling is None
        self._level = learned.rate or ceiling or FIRST_RATE  # the rate that is held and climbed from
        self._level = self.rate = min(self._level, self._ceiling)
        self._concurrency = ConcurrencyLimit(learned.concurrency or math.inf)
        self._inflight = 0
        self._until = self._started_at = 0.0
        self._idle = 0.0  # seconds in which neither pace nor server kept us from sending, a leaky bucket
        self._next = first  # time of the next start
        self._refusals = 0  # fresh 429s in a row
        self._refused_at = self._resume_at = 0.0
        self._hold = 0.0
        self._begin(0.0)

    @property
    def concurrency(self) -> int | None:
        """Requests at once, None while no limit is known."""
        return None if self._concurrency.most == math.inf else int(self._concurrency.most)

    def learned(self) -> Learned:
        known = not self._doubling and self.rate < self._ceiling
        return Learned(self.rate if known else None, self.concurrency)

    def free_at(self, *, even: bool = True) -> float:
        """When the next request may start; infinity while as many as permitted are on their way. even: at an even pace;
        False where that is not needed as long as no 429 has made it slower than the known limit."""
        if self._inflight >= self._concurrency.most:
            return math.inf
        paced = self._next if even or self.rate < self._ceiling else 0.0
        return max(paced, self._resume_at, self._until)

    def start(self, now: float, cost: int = 1) -> Sent:
        """A request is sent, as `free_at` permitted. cost: how many ordinary ones it counts as."""
        paced, gap, interval = max(self._next, self._resume_at), now - self._started_at, cost / self.rate
        due = max(paced, self._until)
        late = now - due if now > due + LATENESS else 0.0
        self._idle = min(max(0.0, self._idle + late - IDLE_SHARE * gap), IDLE_SHARE * PROOF_SECONDS)
        held = not self._idle
        sent = Sent(now, self.rate, cost, self._inflight, gap if held and paced >= self._until else interval, held)
        self._next = (now if late else due) + interval
        if self._refusals > 1:  # then each start is a lone probe: a full window may last a minute
            self._resume_at = now + self._pause()
        self._started_at = now
        self._inflight += 1
        return sent

    def failed(self, sent: Sent, now: float) -> None:
        """It ended in a way that says nothing about limits."""
        self._inflight -= 1

    def accepted(self, sent: Sent, now: float) -> None:
        """It was not throttled, whatever else came of it."""
        self._inflight -= 1
        self._concurrency.accepted(sent.beside)
        if self._refusals and sent.at >= self._refused_at:
            self._refusals, self._resume_at = 0, 0.0
        if sent.at < self._cut_at:
            return
        self._accepted += sent.cost
        self._seconds += sent.spacing
        if sent.held:
            self._climb()

    def throttled(self, sent: Sent, now: float, *, retry_after: float | None, concurrency: bool) -> None:
        """A 429. retry_after: seconds that the server asked for. concurrency: it said that this was the reason."""
        self._inflight -= 1
        if retry_after:
            self._until = max(self._until, now + retry_after)
        elif sent.at >= self._refused_at:
            self._refusals += 1
            self._refused_at = now
            self._resume_at = now + self._pause()
        if self._concurrency.throttled(sent.beside, said=concurrency) or sent.at < self._cut_at:
            return
        self._throttled += sent.cost
        self._seconds += sent.spacing
        if self._doubling:
            self._doubling = False
            self._cut(OVERSHOT * sent.rate, now)
        elif self._accepted and self._accepted + self._throttled >= EVIDENCE:  # none at all accepted says nothing
            measured = CREEP * self._accepted / max(self._seconds, 1e-6)
            rate = min(max(measured, DEEPEST_CUT * sent.rate), CUT * sent.rate)
            steady = rate > STEADY_FALL * self._level and sent.rate < STEADY_RISE * self._level
            self._hold = min(HOLD_FIRST + HOLD_GROWTH * self._hold, HOLD_MOST) if steady else 0.0
            if steady and retry_after:
                self._hold = max(self._hold, HOLD_PER_PAUSE * retry_after * rate)
            self._cut(rate, now)

    def _climb(self) -> None:
        if self._doubling:
            self.rate = self._level = min(self._level * 2.0 ** (1 / self._level / DOUBLING_SECONDS), self._ceiling)
            return
        self._climbed += 1
        x = max(0.0, self._climbed - self._hold) / max(CLIMB_REQUESTS, CLIMB_SECONDS * self._level)
        self.rate = min(self._level * (1 + CLIMB * x**3), self._ceiling)

    def _cut(self, rate: float, now: float) -> None:
        self.rate = self._level = max(rate, min(LEAST_RATE, self._ceiling))
        self._begin(now)

    def _begin(self, now: float) -> None:
        """Counts anew, at another rate."""
        self._cut_at = now
        self._accepted = self._throttled = self._climbed = 0
        self._seconds = 0.0

    def _pause(self) -> float:
        """Seconds until the next start after a refusal: twice as long after each further one."""
        return min(LONGEST_PAUSE, 2.0 ** min(self._refusals, 20) / self.rate)
