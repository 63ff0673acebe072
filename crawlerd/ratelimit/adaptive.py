"""Finds a limit that nobody documented by its 429s, and follows it. Pure: times are given, nothing is random."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from crawlerd.core.notation import MOST_RATE
from crawlerd.ratelimit.background import Background
from crawlerd.ratelimit.concurrency import ConcurrencyLimit

LATENESS = 0.050  # seconds by which a start may be late without the next ones being late too; later, it was idle
FIRST_RATE, LEAST_RATE = 2.0, 0.05  # starts a second
DOUBLING_SECONDS = 1.0  # of the rate, until the first 429
OVERSHOT = 0.7  # of the rate that met a 429: it had doubled unawares while that was on its way
STRIKES, RESUME = 2, 16  # 429s that end the doubling; after the first it goes on when so many were accepted

CLIMB_REQUESTS, CLIMB_SECONDS, CLIMB = 70, 3.0, 0.03  # after so many requests, but not sooner, the rate is 3% higher
HOLD_FIRST, HOLD_GROWTH, HOLD_MOST = 40, 1.6, 300  # accepted requests at a rate that proved right before the next climb
# Seconds of holding for each that a probe costs where the server sends Retry-After, and how fast the holding becomes so
# long where a probe costs none.
HOLD_PER_PAUSE, PAUSE_GROWTH = 100, 8.0
STEADY_RISE, STEADY_FALL = 1.2, 0.92  # a limit found within this of the last one has not moved

CUT, DEEPEST_CUT = 0.98, 0.5  # of the rate that was throttled
CREEP = 1.01  # of the rate that was measured, which in a window lags behind the limit
EVIDENCE = 8  # answers to judge a rate by
IDLE_SHARE = 0.4  # of the time may be lost to late starts, and success is still proof that the rate is permitted
PROOF_SECONDS = 0.5  # at that rate after more was lost: a short burst may have come out of a bucket's store
FLAT = 1.0001  # of the rate that is held: it has begun to climb
BELOW, CLIMBED = 0.95, 1.01  # of a proven rate: well below it; of the one that is held: it has been survived
LONGEST_PAUSE = 30.0  # seconds between probes while nothing is accepted


class Learned(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to keep over a restart.

    rate: starts a second that the server permits, None until a 429 has shown it.
    concurrency: requests at once, None when nothing speaks for such a limit.
    ValueError when these are not numbers that a law learns.
    """

    rate: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= MOST_RATE:
            raise ValueError(f"no rate that was learned: {self.rate}")
        if self.concurrency is not None and not self.concurrency >= 1:
            raise ValueError(f"no concurrency that was learned: {self.concurrency}")


class Sent(NamedTuple):
    """A request on its way.

    cost: ordinary ones it counts as.
    beside: others on their way then.
    spacing: seconds since the start before, as far as our pace was the reason.
    held: whether it was, long enough for success to be proof.
    """

    at: float
    rate: float
    cost: int
    beside: int
    spacing: float
    held: bool


class AdaptiveLaw:
    """The pace of one account or bucket. Times are monotonic seconds; O(1) an event; used by one thread.

    ceiling: starts a second that are never exceeded, None when no limit is known.
    learned: of an earlier process.
    first: when the first may start.

    The rate begins at what is known, or doubles each second until the second 429. From then on it is held, then climbs
    along a cubic curve, flat at first, until a 429; the new rate is what was accepted a second since the last cut, but
    less than was throttled. So a token bucket, which such a rate keeps empty, is measured exactly; in a window the rate
    creeps up to the limit; and when the limit has fallen, the fraction accepted says how far. The longer the limit has
    not moved, the longer the rate is held. Answers to requests sent before the last cut say nothing, nor does success
    while the pace was not what held requests back. 429s that no cut ends are no limit's: the rate goes back to where
    they began, and as many are forgiven as come at a lower rate (see `Background`).
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
            raise ValueError(f"{ceiling} starts a second is no limit")
        learned = learned or Learned()
        self._ceiling = ceiling or MOST_RATE
        self._strikes = STRIKES if learned.rate is None and ceiling is None else 0  # left; none: it doubles no more
        self._level = learned.rate or ceiling or FIRST_RATE  # the rate that is held and climbed from
        self._level = self.rate = min(self._level, self._ceiling)
        self._concurrency = ConcurrencyLimit(learned.concurrency or math.inf)
        self._inflight = 0
        self._until = self._started_at = 0.0
        self._idle = 0.0  # seconds in which neither pace nor server kept us from sending, a leaky bucket
        self._next = first  # time of the next start
        self._refusals = 0  # fresh 429s in a row
        self._refused_at = self._resume_at = 0.0
        self._hold, self._climbed = 0.0, 0
        self._base = self._level  # the rate that was proven last: held, and climbed from
        self._background: Background | None = None  # as long as nothing suggests any
        self._begin(0.0)

    @property
    def concurrency(self) -> int | None:
        """Requests at once, None while no limit is known."""
        return None if self._concurrency.most == math.inf else int(self._concurrency.most)

    def learned(self) -> Learned:
        rate = self.rate / self._background.factor if self._background else self.rate
        known = not self._strikes and rate < self._ceiling * (1 - 1e-9)
        return Learned(rate if known else None, self.concurrency)

    @property
    def slowed(self) -> bool:
        """The rate is below the ceiling."""
        return self.rate < self._ceiling * (1 - 1e-9)

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
        if self._background and self._until > paced:
            self._background.paused += self._until - max(paced, self._started_at)
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
        """A 429.

        retry_after: seconds that the server asked for.
        concurrency: it said that this was the reason.
        pause: nothing starts for so long.
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
        self._strikes = max(0, self._strikes - 1)  # the first alone may be chance
        if self._strikes:
            self._cut(OVERSHOT * sent.rate, now)
            self._prove(DEEPEST_CUT * self._level, now)
        elif self._accepted and self._accepted + self._throttled >= EVIDENCE:  # none at all accepted says nothing
            self._judge(sent, now, retry_after or 0.0, pause=pause)

    def _judge(self, sent: Sent, now: float, retry_after: float, *, pause: bool) -> None:
        """A 429 that was not forgiven, with evidence enough: what it says of the limit."""
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
        climbed = sent.rate > FLAT * self._level  # else it was no probe that was throttled
        longest, growth = (max(HOLD_MOST, paused), PAUSE_GROWTH) if climbed and paused else (HOLD_MOST, HOLD_GROWTH)
        self._hold = min(HOLD_FIRST + growth * self._hold, longest) if steady else 0.0
        if steady and pause:
            self._hold = max(self._hold, paused)
        deep = deep and self._throttled > 1  # by one alone it may be chance
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
        """To a request sent since the last change of the rate."""
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
        """What comes at a lower rate than this one is to be looked at, and what came before is not."""
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
        """Counts anew, at another rate."""
        self._cut_at, self._accepted, self._throttled, self._seconds = now, 0, 0, 0.0
        if self._background:
            self._background.paused = 0.0

    def _pause(self) -> float:
        """Seconds until the next start after a refusal: twice as long after each further one."""
        return min(LONGEST_PAUSE, 2.0 ** min(self._refusals, 20) / self.rate)
