"""The limits of one account or bucket: windows, a pace, a limit of concurrent requests, and the waits after 429s."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from limits.strategies import MovingWindowRateLimiter

from crawlerd.core import notation
from crawlerd.core.backoff import backoff
from crawlerd.core.reasons import ASKED, Reason
from crawlerd.ratelimit.adaptive import LATENESS, AdaptiveLaw, Learned
from crawlerd.ratelimit.bucket import TokenBucket
from crawlerd.ratelimit.hold import EFFICIENCY, PACED_WINDOW, Hold, Permitted
from crawlerd.ratelimit.quota import QUOTA_WINDOW, Quota
from crawlerd.ratelimit.refusals import Refusals
from crawlerd.ratelimit.window import MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from limits import RateLimitItem

    from crawlerd.ratelimit.lowered_limits import LoweredLimits
    from crawlerd.ratelimit.quota import Ask
    from crawlerd.ratelimit.window import Stamp, StartLog

AUTO = "auto"  # used as a limit: learn it
FIRST_CONCURRENCY = 4  # requests at once, when the limit must be learned
THROTTLED_FIRST, THROTTLED_MOST = 0.5, 30.0  # seconds to wait after a 429 that does not say how long
LEAST_MOST = 3600.0  # seconds up to which the least wait grows while no request passes


def parse_limits(texts: Iterable[str]) -> list[RateLimitItem]:
    """Parses limits in the notation of the library `limits`. Leaves out "auto" and repetitions, since a start counts
    once against each limit. Raises ValueError, which names the wrong text."""
    parts = (part.strip() for text in texts for part in re.split("[,;|]", text))
    return list(dict.fromkeys(notation.limit(part) for part in parts if part != AUTO))


def permitted(limits: Iterable[str]) -> float | None:
    """The requests per second that all of these limits permit while no quota is used up; None when none sets a pace.
    limits: in the notation of the configuration."""
    paced = [item for item in parse_limits(limits) if item.get_expiry() <= PACED_WINDOW]
    return min((item.amount / item.get_expiry() for item in paced), default=None)


class Limiter:
    """The limits of one account or bucket. Times are monotonic seconds. Used by the dispatcher's thread only.

    ask: asks for grants of quotas.
    quiet_since: no request of an earlier process was sent after this time; any number may have been sent before.
    auto: learn an undocumented limit below the others.
    learned: what an earlier process has learned.
    cost: how many ordinary requests a request counts as.
    concurrency: most requests at once; "auto": learn it, beginning with a few.
    lowered: limits that people have lowered for a time, which apply in addition.
    """

    __slots__ = (
        "_ask",
        "_buckets",
        "_even",
        "_free",
        "_leaving",
        "_log",
        "_quotas",
        "_reacted_at",
        "_strategy",
        "_throttles",
        "_told",
        "_windows",
        "blocked_for",
        "blocked_until",
        "concurrency",
        "inflight",
        "key",
        "law",
        "lowered",
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
        self._buckets = {
            item: TokenBucket(item.amount / item.get_expiry(), item.burst, empty_at=quiet_since) for item in bursts
        }
        self._windows = [(item, key, item.key_for(key)) for item in items if item.get_expiry() < QUOTA_WINDOW]
        self._quotas = [Quota(item, key) for item in items if item.get_expiry() >= QUOTA_WINDOW]
        self._leaving: list[Quota] = []  # replaced quotas, which may still get grants
        self._free = not every and not auto and concurrency is None
        self._log, self._ask = log, ask
        self._strategy = MovingWindowRateLimiter(log)
        self.law: AdaptiveLaw | None = None
        self.lowered: LoweredLimits | None = None
        self._throttles = 0
        self._reacted_at = 0.0
        self.concurrency: int | None = None if concurrency == "auto" else concurrency
        self.inflight = 0
        self.blocked_until, self.blocked_for = 0.0, (Reason.THROTTLED, ASKED)
        told = [item.amount / item.get_expiry() for item in every if item.get_expiry() <= PACED_WINDOW]
        stored = [float(item.burst) for item in bursts]
        stored += [] if smooth else [float(item.amount) for item in items if item.get_expiry() < QUOTA_WINDOW]
        self._told = Permitted(min(told, default=math.inf), max(stored, default=0.0))
        rates = [EFFICIENCY * item.amount / item.get_expiry() for item in items if item.get_expiry() <= PACED_WINDOW]
        self._even = auto or bool(smooth and rates)  # otherwise starts may come in bursts until a 429 slows them down
        rates += [item.amount / item.get_expiry() / MARGIN for item in bursts]
        if (smooth and rates) or auto or concurrency == "auto":
            learned = learned or Learned()
            if concurrency == "auto" and learned.concurrency is None:
                learned = Learned(learned.rate, FIRST_CONCURRENCY)
            rate = min(rates, default=None if auto else notation.MOST_RATE)
            # Both the earlier process and this one may have caught up with late starts just then.
            first = quiet_since + 1 / rate + 2 * LATENESS if rate else 0.0
            self.law = AdaptiveLaw(ceiling=rate, learned=learned, first=first)
        self.refusals = Refusals(one_first=self.law is None)
        if self._windows and not self._even:
            until = quiet_since + max(item.get_expiry() for item, _, _ in self._windows)
            self.block(until, Reason.LIMIT, "what was sent before the restart to be out of its windows")

    @property
    def unlimited(self) -> bool:
        """Whether there are no limits, so that starts need not be charged."""
        return self._free and self.blocked_until == 0.0 and not self.refusals.met and self.lowered is None

    def free_at(self, now: float, cost: int = 1) -> float:
        """When the next request may start; infinity while as many as permitted are under way, or while the store is
        asked for a grant."""
        if self.concurrency is not None and self.inflight >= self.concurrency:
            return math.inf
        at = max(self.blocked_until, self.refusals.free_at())
        if self.law is not None:
            at = max(at, self.law.free_at(even=self._even))
        for bucket in self._buckets.values():
            at = max(at, bucket.free_at(cost))
        for item, _, key in self._windows:
            at = max(at, self._log.free_at(key, item.amount, item.get_expiry(), cost))
        if at <= now and self.lowered is not None:
            at = max(at, self.lowered.free_at(now, cost))
        if at <= now:
            for quota in self._quotas:
                at = max(at, quota.free_at(now, cost, self._ask))
        return at

    def holds(self, now: float, cost: int = 1) -> list[Hold]:
        """Everything that keeps the next request from starting now. Does not ask for a grant."""
        found = [
            Hold(*self.blocked_for, self.blocked_until),
            Hold(Reason.THROTTLED, ASKED, self.refusals.free_at()),
            *(Hold(Reason.QUOTA, quota.used_text(), quota.used_up(now)) for quota in self._quotas),
            *(
                Hold(Reason.LIMIT, f"its limit of {item}", self._log.free_at(key, item.amount, item.get_expiry(), cost))
                for item, _, key in self._windows
            ),
            *(Hold(Reason.LIMIT, "its rate with bursts", bucket.free_at(cost)) for bucket in self._buckets.values()),
        ]
        if self.law is not None:
            rate = self.law.rate
            pace = f"{rate:.3g} requests per second" if rate >= 1 else f"a request every {1 / rate:.3g} s"
            why = ", learned from what the API has refused" if self.law.slowed and self.law.learned().rate else ""
            found.append(Hold(Reason.LIMIT, f"its pace of {pace}{why}", self.law.free_at(even=self._even)))
        if self.concurrency is not None and self.inflight >= self.concurrency:
            found.append(Hold(Reason.LIMIT, f"{self.inflight} requests are under way, as many as permitted", math.inf))
        if self.lowered is not None:
            found += self.lowered.holds(now, cost)
        return [each for each in found if each.until > now]

    def permits(self, now: float) -> Permitted:
        """The requests that it permits while there are tasks: by its configured limits, or fewer if it has learned a
        lower limit. A quota counts only when it is used up."""
        closed = max(self.blocked_until, self.refusals.free_at(), *(quota.used_up(now) for quota in self._quotas))
        if closed > now or (self.concurrency is not None and self.inflight >= self.concurrency):
            return Permitted(0.0)
        found = self.law.rate if self.law is not None and self.law.slowed else math.inf
        lowered = self.lowered.permits(now) if self.lowered is not None else math.inf
        return self._told._replace(rate=min(self._told.rate, found, lowered))

    def block(self, until: float, reason: Reason, text: str) -> None:
        """Starts no request before `until`. text: why, in words."""
        if until > self.blocked_until:
            self.blocked_until, self.blocked_for = until, (reason, text)

    def start(self, stamp: Stamp, cost: int = 1) -> None:
        """Charges all limits for a start that `free_at` has permitted."""
        self._log.stamp = stamp
        for item, key, _ in self._windows:
            if not self._strategy.hit(item, key, cost=cost):
                raise AssertionError(f"{item} of {key} was free and is not")
        for bucket in self._buckets.values():
            bucket.start(cost)
        for quota in self._quotas:
            stamp.quotas.append(quota.giving_back(cost, self._ask))
            quota.start(cost)
        if self.lowered is not None:
            self.lowered.start(stamp, cost)
        if self.law is not None:
            stamp.marks.append((self.law, self.law.start(stamp.at, cost)))
        stamp.numbers[self] = self.refusals.started(stamp.at)
        self.inflight += 1

    def ended(self, stamp: Stamp) -> None:
        """The request of `stamp` has ended, with or without success. Call it before `finish`, and after `succeeded`,
        `failed` or `throttled`."""
        self.refusals.ended(stamp.numbers.get(self, 0))

    def finish(self, now: float, cost: int = 1) -> None:
        self.inflight -= 1
        for bucket in self._buckets.values():
            bucket.finish(now, cost)

    def succeeded(self, stamp: Stamp, sent_at: float) -> None:
        """The request of `stamp`, sent at `sent_at`, got a good answer."""
        self.refusals.passed(stamp.numbers.get(self, 0), sent_at)
        if self.refusals.passing:
            self._throttles = 0

    def failed(self, stamp: Stamp) -> None:
        """The request of `stamp` has ended in a way that shows nothing about limits."""
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
        """A request got a 429. If it was sent before we reacted to an earlier 429, it is no news, unless it asks for
        more time. If an adaptive law sets the pace, that alone reacts to a 429 without `retry_after`. Returns whether
        the 429 is taken to concern all requests, which then wait (see `Refusals`).

        sent_at: when the request was sent.
        retry_after: the seconds that the server asked us to wait, if it did.
        jitter: a random number from 0 to 1, for the wait.
        stamp: the stamp of the start; None when the start was not charged.
        least: least seconds to wait, doubled after each further 429; if given, the 429 concerns all requests.
        certain: the 429 is known to concern all requests.
        """
        for bucket in self._buckets.values():
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
        self.block(until, Reason.THROTTLED, ASKED)
        return True

    def follow(self, old: Limiter) -> None:
        """Replaces a limiter of the same key that had other limits: the starts that it has counted count here, too.
        Construct this one with `quiet_since` = now, since starts that the old one did not count are unknown."""
        self.inflight, self.refusals = old.inflight, old.refusals
        self.refusals.go_on(one_first=self.law is None)
        self._throttles, self._reacted_at, self.lowered = old._throttles, old._reacted_at, old.lowered
        for burst, bucket in self._buckets.items():
            bucket.expect(self.inflight)
            self._buckets[burst] = old._buckets.get(burst, bucket)
        kept = {quota.item: quota for quota in old._quotas}
        self._quotas = [kept.pop(quota.item, quota) for quota in self._quotas]
        self._leaving = [*old._leaving, *kept.values()]
        self.give_back_unused()
        longest = max(old._windows, key=lambda each: each[0].get_expiry(), default=None)
        if longest and all(item.get_expiry() <= longest[0].get_expiry() for item, _, _ in self._windows):
            self.blocked_until = 0.0
            for item, _, key in self._windows:
                self._log.copy(longest[2], key, item.amount)
        for key in {key for _, _, key in old._windows} - {key for _, _, key in self._windows}:
            self._log.clear(key)
        self.blocked_until = max(self.blocked_until, old.blocked_until)

    def give_back_unused(self) -> None:
        """Gives back granted starts of limits that do not apply any more."""
        for quota in self._leaving:
            quota.give_back(self._ask)

    def give_back(self) -> None:
        """Gives back granted starts that will not happen."""
        self.give_back_unused()
        for quota in self._quotas:
            quota.give_back(self._ask)
        if self.lowered is not None:
            self.lowered.give_back()

    def quiet(self, now: float) -> bool:
        """Whether the limiter has nothing to remember, so that it may be dropped and made again."""
        return not self._throttles and self.quiet_at() <= now

    def quiet_at(self) -> float:
        """When the limiter will have nothing to remember, if no other request starts; infinity while requests are under
        way."""
        if self.inflight:
            return math.inf
        at = max(self.blocked_until, self.law.free_at() if self.law else 0.0)
        if self.lowered is not None:
            at = max(at, self.lowered.quiet_at())
        for item, _, key in self._windows:
            at = max(at, self._log.free_at(key, item.amount, item.get_expiry(), item.amount))
        return max([at, *(bucket.quiet_at for bucket in self._buckets.values())])

    def forget(self) -> None:
        """Call when it is dropped."""
        self.give_back()
        for _, _, key in self._windows:
            self._log.clear(key)
        self.lower(None)

    def lower(self, lowered: LoweredLimits | None) -> None:
        """Applies lower limits in place of those before; None: only the configured ones apply."""
        if self.lowered is not None:
            self.lowered.forget()
        self.lowered = lowered
