"""The limits of one account or of one bucket: several windows, a pace, a concurrency cap, and what a 429 changed."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from limits.strategies import MovingWindowRateLimiter

from crawlerd.core import notation
from crawlerd.core.backoff import backoff
from crawlerd.core.reasons import Reason
from crawlerd.ratelimit.adaptive import LATENESS, AdaptiveLaw, Learned
from crawlerd.ratelimit.bucket import TokenBucket
from crawlerd.ratelimit.quota import QUOTA_WINDOW, Quota
from crawlerd.ratelimit.refusals import Refusals
from crawlerd.ratelimit.window import MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from limits import RateLimitItem

    from crawlerd.ratelimit.quota import Ask
    from crawlerd.ratelimit.window import Stamp, StartLog

AUTO = "auto"  # in the place of a limit: find it
FIRST_CONCURRENCY = 4  # requests at once, where it is to be found how many are permitted
EFFICIENCY = 0.985  # of a limit, at most: what is left absorbs network jitter between our clock and the server's
PACED_WINDOW = 60  # seconds; a longer window is a quota: it caps, and may be used up as fast as the shorter ones permit
THROTTLED_FIRST, THROTTLED_MOST = 0.5, 30.0  # seconds to wait after a 429 that does not say how long
LEAST_MOST = 3600.0  # seconds that the least wait grows to while nothing passes


def parse_limits(texts: Iterable[str]) -> list[RateLimitItem]:
    """`limits` notation, "auto" left out; none twice, since each start counts against each. ValueError names the text
    that is wrong."""
    parts = (part.strip() for text in texts for part in re.split("[,;|]", text))
    return list(dict.fromkeys(notation.limit(part) for part in parts if part != AUTO))


class Hold(NamedTuple):
    """What keeps a request from starting, in words, and until when (monotonic seconds; infinity when that is not
    known)."""

    reason: Reason
    text: str
    until: float


class Limiter:
    """Times are monotonic seconds. Used by the dispatcher's thread only.

    ask: where grants of quotas are asked for.
    quiet_since: no request of an earlier process was sent after this time, but any number may have been before.
    auto: a limit that nobody documented is to be found, below the others.
    learned: of an earlier process.
    cost: how many ordinary requests one counts as.
    concurrency: most requests at once; "auto": to be found as well, from a few on.
    """

    __slots__ = (
        "_ask",
        "_buckets",
        "_even",
        "_free",
        "_log",
        "_quotas",
        "_reacted_at",
        "_strategy",
        "_throttles",
        "_windows",
        "blocked_until",
        "concurrency",
        "inflight",
        "key",
        "law",
        "refusals",
    )

    def __init__(
        self,
        key: str,
        limits: Iterable[RateLimitItem],
        log: StartLog,
        ask: Callable[[Ask], None],
        *,
        smooth: bool = True,
        auto: bool = False,
        learned: Learned | None = None,
        concurrency: int | Literal["auto"] | None = None,
        quiet_since: float = -math.inf,
    ) -> None:
        every = list(limits)
        bursts = [item for item in every if isinstance(item, notation.BurstLimit)]
        items = [item for item in every if not isinstance(item, notation.BurstLimit)]
        self.key = key
        self._buckets = [
            TokenBucket(item.amount / item.get_expiry(), item.burst, empty_at=quiet_since) for item in bursts
        ]
        self._windows = [(item, key, item.key_for(key)) for item in items if item.get_expiry() < QUOTA_WINDOW]
        self._quotas = [Quota(item, key) for item in items if item.get_expiry() >= QUOTA_WINDOW]
        self._free = not every and not auto and concurrency is None
        self._log, self._ask = log, ask
        self._strategy = MovingWindowRateLimiter(log)
        self.law: AdaptiveLaw | None = None
        self._throttles = 0
        self._reacted_at = 0.0
        self.concurrency: int | None = None if concurrency == "auto" else concurrency
        self.inflight = 0
        self.blocked_until = 0.0
        self.refusals = Refusals()
        rates = [EFFICIENCY * item.amount / item.get_expiry() for item in items if item.get_expiry() <= PACED_WINDOW]
        self._even = auto or bool(smooth and rates)  # else a bucket sets the pace, as long as nothing slows it
        rates += [item.amount / item.get_expiry() / MARGIN for item in bursts]
        if (smooth and rates) or auto or concurrency == "auto":
            learned = learned or Learned()
            if concurrency == "auto" and learned.concurrency is None:
                learned = Learned(learned.rate, FIRST_CONCURRENCY)
            rate = min(rates, default=None if auto else notation.MOST_RATE)
            # Both the process before and this one may have made up for lateness just then.
            first = quiet_since + 1 / rate + 2 * LATENESS if rate else 0.0
            self.law = AdaptiveLaw(ceiling=rate, learned=learned, first=first)
        if self._windows and not self._even:
            self.blocked_until = quiet_since + max(item.get_expiry() for item, _, _ in self._windows)

    @property
    def unlimited(self) -> bool:
        """Nothing limits its starts, so that they need not be charged."""
        return self._free and self.blocked_until == 0.0 and not self.refusals.met

    def free_at(self, now: float, cost: int = 1) -> float:
        """When the next request may start; infinity while as many as permitted are on their way, or while a grant is
        being asked for."""
        if self.concurrency is not None and self.inflight >= self.concurrency:
            return math.inf
        at = max(self.blocked_until, self.refusals.free_at())
        if self.law is not None:
            at = max(at, self.law.free_at(even=self._even))
        for bucket in self._buckets:
            at = max(at, bucket.free_at(cost))
        for item, _, key in self._windows:
            at = max(at, self._log.free_at(key, item.amount, item.get_expiry(), cost))
        if at <= now:
            for quota in self._quotas:
                at = max(at, quota.free_at(now, cost, self._ask))
        return at

    def holds(self, now: float, cost: int = 1) -> list[Hold]:
        """All that keeps the next request from starting now. Asks for no grant."""
        found = [
            Hold(Reason.THROTTLED, "the API has asked to wait", max(self.blocked_until, self.refusals.free_at())),
            *(
                Hold(Reason.QUOTA, f"all of its quota of {quota.item} is used", quota.used_up(now))
                for quota in self._quotas
            ),
            *(
                Hold(Reason.LIMIT, f"its limit of {item}", self._log.free_at(key, item.amount, item.get_expiry(), cost))
                for item, _, key in self._windows
            ),
            *(Hold(Reason.LIMIT, "its rate with bursts", bucket.free_at(cost)) for bucket in self._buckets),
        ]
        if self.law is not None:
            rate = self.law.rate
            pace = f"{rate:.3g} starts a second" if rate >= 1 else f"a start each {1 / rate:.3g} s"
            found.append(Hold(Reason.LIMIT, f"its pace of {pace}", self.law.free_at(even=self._even)))
        if self.concurrency is not None and self.inflight >= self.concurrency:
            found.append(Hold(Reason.LIMIT, f"{self.inflight} requests are under way, as many as permitted", math.inf))
        return [each for each in found if each.until > now]

    def start(self, stamp: Stamp, cost: int = 1) -> None:
        """Charges a start that `free_at` permitted, to all limits at once."""
        self._log.stamp = stamp
        for item, key, _ in self._windows:
            if not self._strategy.hit(item, key, cost=cost):
                raise AssertionError(f"{item} of {key} was free and is not")
        for bucket in self._buckets:
            bucket.start(cost)
        for quota in self._quotas:
            quota.start(cost)
        if self.law is not None:
            stamp.marks.append((self.law, self.law.start(stamp.at, cost)))
        stamp.numbers[self] = self.refusals.started(stamp.at)
        self.inflight += 1

    def finish(self, now: float, cost: int = 1) -> None:
        self.inflight -= 1
        for bucket in self._buckets:
            bucket.finish(now, cost)

    def succeeded(self, stamp: Stamp, sent_at: float) -> None:
        """A good answer to what was charged as `stamp`, and sent at `sent_at`."""
        self.refusals.passed(stamp.numbers.get(self, 0), sent_at)
        if self.refusals.passing:
            self._throttles = 0

    def failed(self, stamp: Stamp) -> None:
        """What was charged as `stamp` has ended in a way that says nothing about limits."""
        self.refusals.failed(stamp.numbers.get(self, 0))

    def throttled(
        self,
        sent_at: float,
        now: float,
        retry_after: float | None,
        jitter: float,
        *,
        stamp: Stamp | None = None,
        least: float = 0.0,
        certain: bool = False,
    ) -> bool:
        """A 429 to a request sent at `sent_at`. Those sent before we reacted to an earlier one say nothing new,
        unless they ask for more time. Where an adaptive law sets the pace, it alone decides what follows from one
        without `retry_after`. Returns whether it is believed to concern all, who then wait (see `Refusals`).

        stamp: as which it was charged; None when it was not.
        least: seconds to wait at least, twice as many after each further one; it concerns all, then.
        certain: it concerns all.
        """
        for bucket in self._buckets:
            bucket.refused(now)
        wait = retry_after
        if least or retry_after is None:
            if self.law is not None and not least:
                return False
            if sent_at >= self._reacted_at:
                self._reacted_at = now
                self._throttles += 1
                if least:
                    own = backoff(self._throttles, base=least, cap=max(least, LEAST_MOST), jitter=1.0)
                else:
                    own = backoff(self._throttles, base=THROTTLED_FIRST, cap=THROTTLED_MOST, jitter=0.5 + jitter / 2)
                wait = max(wait or 0.0, own)
            elif wait is None:
                return True
        assert wait is not None  # noqa: S101 - see above
        until, certain = now + wait, certain or least > 0
        number = stamp.numbers.get(self, 0) if stamp else 0
        if not self.refusals.refused(number, sent_at, now, until, certain=certain):
            return False
        self.blocked_until = max(self.blocked_until, until)
        return True

    def give_back(self) -> None:
        """Returns granted starts that will not happen."""
        for quota in self._quotas:
            quota.give_back(self._ask)

    def quiet(self, now: float) -> bool:
        """Nothing that this limiter remembers matters any more: it may be dropped and made anew."""
        return not self._throttles and self.quiet_at() <= now

    def quiet_at(self) -> float:
        """From when on nothing that it has counted matters any more, as long as nothing starts; infinity while
        something is on its way."""
        if self.inflight:
            return math.inf
        at = max(self.blocked_until, self.law.free_at() if self.law else 0.0)
        for item, _, key in self._windows:
            at = max(at, self._log.free_at(key, item.amount, item.get_expiry(), item.amount))
        return max([at, *(bucket.quiet_at for bucket in self._buckets)])

    def forget(self) -> None:
        """To be called when it is dropped."""
        self.give_back()
        for _, _, key in self._windows:
            self._log.clear(key)
