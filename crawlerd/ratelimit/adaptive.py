"""Learns an undocumented limit from its 429s, and follows its changes. Pure: times are arguments, nothing is random."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from crawlerd.core.notation import MOST_RATE
from crawlerd.ratelimit.background import Background
from crawlerd.ratelimit.concurrency import ConcurrencyLimit

LATENESS = 0.050  # seconds; a start that is later than this does not delay the next ones: the account was idle
FIRST_RATE, LEAST_RATE = 2.0, 0.05  # starts per second
DOUBLING_SECONDS = 1.0  # time in which the rate doubles, until the first 429
OVERSHOT = 0.7  # factor for the rate that met a 429 while doubling: it had grown further before the 429 arrived
STRIKES, RESUME = 2, 16  # 429s that end the doubling; accepted requests after which it continues after the first 429

CLIMB_REQUESTS, CLIMB_SECONDS, CLIMB = 70, 3.0, 0.03  # after these requests, but not sooner, the rate is 3% higher
HOLD_FIRST, HOLD_GROWTH, HOLD_MOST = 40, 1.6, 300  # accepted requests for which a rate is held before the next climb
# If the server sends Retry-After, a 429 costs a pause. The rate is then held for this many seconds for each second of
# the pause. If climbs cost no pause, the time of holding grows by this factor instead.
HOLD_PER_PAUSE, PAUSE_GROWTH = 100, 8.0
STEADY_RISE, STEADY_FALL = 1.2, 0.92  # a limit within these factors of the last one has not changed

CUT, DEEPEST_CUT = 0.98, 0.5  # most and least of the throttled rate that remains after a cut
CREEP = 1.01  # factor for the measured rate, which in a moving window stays below the limit
EVIDENCE = 8  # answers that are needed to judge a rate
IDLE_SHARE = 0.4  # success proves that a rate is permitted if late starts have lost no more than this share of the time
PROOF_SECONDS = 0.5  # after more was lost, this time at the rate proves it: a burst may have used a bucket's tokens
FLAT = 1.0001  # times the held rate: above this, the rate has begun to climb
BELOW, CLIMBED = 0.95, 1.01  # times a proven rate: well below it; times the held rate: above this, it is proven
LONGEST_PAUSE = 30.0  # seconds between two probes while no request is accepted


class Learned(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored for the next process. Raises ValueError for numbers that are out of range.

    rate: starts per second that the server permits, None until a 429 has shown a limit.
    concurrency: requests at once, None without evidence of such a limit.
    under: the limits that were configured meanwhile, as texts with spaces; None in what older versions have stored.
    """

    rate: float | None = None
    concurrency: int | None = None
    under: str | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= MOST_RATE:
            raise ValueError(f"not a learned rate: {self.rate}")
        if self.concurrency is not None and not self.concurrency >= 1:
            raise ValueError(f"not a learned concurrency: {self.concurrency}")


class Sent(NamedTuple):
    """A request under way.

    cost: how many ordinary requests it counts as.
    beside: how many others were under way when it started.
    spacing: seconds since the start before it, if our pace was the reason for them; else the interval of the rate.
    held: whether our pace has held requests back for long enough that success proves the rate.
    """

    at: float
    rate: float
    cost: int
    beside: int
    spacing: float
    held: bool


class AdaptiveLaw:
    """The pace of one account or bucket. Times are monotonic seconds; O(1) for each event; used by one thread.

    ceiling: starts per second that are never exceeded, None when no limit is known.
    learned: what an earlier process has learned.
    first: when the first request may start.

    The rate begins at the known value, or doubles each second until the second 429. From then on it is held for a time,
    and then climbs along a cubic curve, flat at first, until a 429. The new rate is the number of requests accepted per
    second since the last cut, but less than the rate that was throttled. So the limit of a token bucket, which such a
    rate keeps empty, is measured exactly; in a moving window the rate approaches the limit slowly; and when the limit
    has fallen, the share of accepted requests shows how far. The longer the limit has not changed, the longer the rate
    is held. Answers to requests sent before the last cut do not count, nor does success while something else than the
    pace held requests back. 429s that no cut ends are not caused by a limit: the rate goes back to where they began,
    and as many of them are ignored as come at a lower rate (see `Background`).
    """

    __slots__ = (
        "_accepted",
        "_background",
        "_base",
        "_ceiling",
        "_climbed",
        "_concurrency",
        "_cut_at",
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
        "_strikes",
        "_throttled",
        "_until",
        "rate",
    )

    def __init__(self, *, ceiling: float | None = None, learned: Learned | None = None, first: float = 0.0) -> None:
        if ceiling is not None and not 0 < ceiling <= MOST_RATE:
            raise ValueError(f"{ceiling} starts per second is not a valid limit")
        learned = learned or Learned()
        self._ceiling = ceiling or MOST_RATE
        self._strikes = STRIKES if learned.rate is None and ceiling is None else 0  # 429s left until doubling ends
        self._level = learned.rate or ceiling or FIRST_RATE  # the held rate, from which it climbs
        self._level = self.rate = min(self._level, self._ceiling)
        self._concurrency = ConcurrencyLimit(learned.concurrency or math.inf)
        self._inflight = 0
        self._until = self._started_at = 0.0
        self._idle = 0.0  # a leaky bucket of the seconds in which neither the pace nor the server held requests back
        self._next = first  # time of the next start
        self._refusals = 0  # consecutive 429s to requests sent after the last one
        self._refused_at = self._resume_at = 0.0
        self._hold, self._climbed = 0.0, 0
        self._base = self._level  # the last rate that was proven: held, and then exceeded
        self._background: Background | None = None  # None without signs of 429s at any rate
        self._begin(0.0)

    @property
    def concurrency(self) -> int | None:
        """How many requests may be under way at once; None while no limit is known."""
        return None if self._concurrency.most == math.inf else int(self._concurrency.most)

    def learned(self) -> Learned:
        rate = self.rate / self._background.factor if self._background else self.rate
        known = not self._strikes and rate < self._ceiling * (1 - 1e-9)
        return Learned(rate if known else None, self.concurrency)

    @property
    def slowed(self) -> bool:
        """Whether the rate is below the ceiling."""
        return self.rate < self._ceiling * (1 - 1e-9)

    def free_at(self, *, even: bool = True) -> float:
        """When the next request may start; infinity while as many as permitted are under way. even: False permits
        bursts as long as no 429 has made the rate lower than the ceiling."""
        if self._inflight >= self._concurrency.most:
            return math.inf
        paced = self._next if even or self.rate < self._ceiling else 0.0
        return max(paced, self._resume_at, self._until)

    def start(self, now: float, cost: int = 1) -> Sent:
        """A request starts, as `free_at` has permitted. cost: how many ordinary requests it counts as."""
        paced, gap, interval = max(self._next, self._resume_at), now - self._started_at, cost / self.rate
        due = max(paced, self._until)
        late = now - due if now > due + LATENESS else 0.0
        self._idle = min(max(0.0, self._idle + late - IDLE_SHARE * gap), IDLE_SHARE * PROOF_SECONDS)
        held = not self._idle
        sent = Sent(now, self.rate, cost, self._inflight, gap if held and paced >= self._until else interval, held)
        self._next = (now if late else due) + interval
        if self._background and self._until > paced:
            self._background.paused += self._until - max(paced, self._started_at)
        if self._refusals > 1:  # each start is then a single probe, since a full window may last a minute
            self._resume_at = now + self._pause()
        self._started_at = now
        self._inflight += 1
        return sent

    def failed(self, sent: Sent, now: float) -> None:
        """The request has ended in a way that shows nothing about limits."""
        self._inflight -= 1

    def accepted(self, sent: Sent, now: float) -> None:
        """The request was not throttled, whether it succeeded or not."""
        self._inflight -= 1
        self._concurrency.accepted(sent.beside)
        if self._refusals and sent.at >= self._refused_at:
            self._refusals, self._resume_at = 0, 0.0
        if self._background:
            self._background.accepted()
            if sent.rate < BELOW * self._base:
                self._background.seen_below(sent.at)
        if sent.at < self._cut_at:
            return
        self._accepted += sent.cost
        self._seconds += sent.spacing
        self._answered(now, throttled=False)
        if sent.held:
            self._climb()

    def throttled(
        self, sent: Sent, now: float, *, retry_after: float | None, concurrency: bool, pause: bool = True
    ) -> None:
        """The request got a 429.

        retry_after: the seconds that the server asked us to wait.
        concurrency: the server said that concurrent requests were the reason.
        pause: whether to start no request for this time.
        """
        self._inflight -= 1
        background, fresh = self._background, sent.at >= self._cut_at
        forgiven = background is not None and fresh and not concurrency and background.forgives()
        if retry_after and pause:
            self._until = max(self._until, now + retry_after)
        elif sent.at >= self._refused_at and not forgiven:
            self._refusals += 1
            self._refused_at = now
            if self._refusals > 1 or not (background and background.known):
                self._resume_at = now + self._pause()
        if background and sent.rate < min(BELOW * self._base, CLIMBED * self._level) and self._refusals < 2:
            background.seen_below(sent.at)
            if not forgiven:
                background.doubt(sent.at, self._accepted)
        if (not forgiven and self._concurrency.throttled(sent.beside, said=concurrency)) or not fresh:
            return
        self._throttled += sent.cost
        self._seconds += sent.spacing
        self._answered(now, throttled=True)
        if forgiven or sent.at < self._cut_at:
            return
        self._strikes = max(0, self._strikes - 1)  # a single one may be chance
        if self._strikes:
            self._cut(OVERSHOT * sent.rate, now)
            self._prove(DEEPEST_CUT * self._level, now)
        elif self._accepted and self._accepted + self._throttled >= EVIDENCE:  # if none was accepted, no rate is known
            self._judge(sent, now, retry_after or 0.0, pause=pause)

    def _judge(self, sent: Sent, now: float, retry_after: float, *, pause: bool) -> None:
        """Cuts the rate after a 429 that was not ignored, when there is enough evidence to estimate the limit."""
        if (background := self._background) and background.explains():
            self._hold = 0.0
            self._cut(self._base, now)
            self._prove(self._base, now)
            return
        known = background if background and background.known else None
        accepted = self._accepted if known is None else (self._accepted + 1) / (1 - known.share)  # one may be chance
        measured = CREEP * accepted / max(self._seconds, 1e-6)
        rate = min(max(measured, DEEPEST_CUT * sent.rate), CUT * sent.rate)
        deep = rate < STEADY_FALL * sent.rate
        if known and not deep:
            rate /= known.factor
        steady = rate > STEADY_FALL * self._level and sent.rate < STEADY_RISE * self._level
        paused = 0.0 if known else HOLD_PER_PAUSE * min(retry_after, LONGEST_PAUSE) * rate
        climbed = sent.rate > FLAT * self._level  # whether the throttled request was part of a climb
        longest, growth = (max(HOLD_MOST, paused), PAUSE_GROWTH) if climbed and paused else (HOLD_MOST, HOLD_GROWTH)
        self._hold = min(HOLD_FIRST + growth * self._hold, longest) if steady else 0.0
        if steady and pause:
            self._hold = max(self._hold, paused)
        deep = deep and self._throttled > 1  # a single 429 may be chance
        failed = known is not None and known.trial and sent.rate < CLIMBED * self._level
        if failed:
            self._background = None
        elif known:
            known.control(1.0, self._seconds)
        self._cut(rate, now)
        if failed:
            self._prove(self._level, now)
        elif self._background:
            self._background.deep = deep

    def _answered(self, now: float, *, throttled: bool) -> None:
        """Counts the answer to a request sent since the last change of the rate."""
        if (background := self._background) is None:
            return
        if background.cured(self._accepted, self._throttled):
            self._prove(self._level, now)
        if not background.known:
            return
        background.answered(throttled=throttled)
        if background.gone:
            self._background = None
        elif background.control_is_over:
            background.factor = 1.0
            self._pace(now)
            self._prove(self.rate, now)
        elif background.cycle_is_over:
            background.control(min(1.0, self._base / self.rate), self._seconds)
        else:
            return
        self._pace(now)
        self._begin(now)

    def _climb(self) -> None:
        if not self._strikes:
            if self._background is None or self._background.factor == 1:
                self._climbed += 1
                self._pace(self._started_at)
        elif self._strikes == STRIKES or self._accepted >= RESUME:
            self.rate = self._level = min(self._level * 2.0 ** (1 / self._level / DOUBLING_SECONDS), self._ceiling)

    def _pace(self, now: float) -> None:
        x = max(0.0, self._climbed - self._hold) / max(CLIMB_REQUESTS, CLIMB_SECONDS * self._level)
        self.rate = min(self._level * (1 + CLIMB * x**3), self._ceiling)
        if self.rate > CLIMBED * self._level > CLIMBED * self._base:
            self._prove(self._level, now)
        if self._background:
            self.rate = max(self.rate * self._background.factor, min(LEAST_RATE, self._ceiling))

    def _prove(self, rate: float, now: float) -> None:
        """Sets the proven rate: from now on, 429s at a lower rate are suspicious. Forgets earlier ones."""
        self._base = rate
        if self._background and self._background.known:
            self._background.look_again(now)
        else:
            self._background = None

    def _cut(self, rate: float, now: float) -> None:
        self._level, self._climbed = max(rate, min(LEAST_RATE, self._ceiling)), 0
        if self._background is None and self._level < BELOW * self._base:
            self._background = Background(now)
        self._pace(now)
        self._begin(now)

    def _begin(self, now: float) -> None:
        """Begins to count again, at another rate."""
        self._cut_at, self._accepted, self._throttled, self._seconds = now, 0, 0, 0.0
        if self._background:
            self._background.paused = 0.0

    def _pause(self) -> float:
        """Seconds until the next start after a 429: twice as long after each further one."""
        return min(LONGEST_PAUSE, 2.0 ** min(self._refusals, 20) / self.rate)
