"""429s that come whatever the rate: suspected, measured at a rate that no limit forbids, and forgiven."""

from __future__ import annotations

import math

SUSPECT = 5  # 429s at once after cuts that should have ended them, before this server is believed to throttle at random
AT_ONCE = 60  # accepted requests since the cut; at a limit, the climb meets the next 429 later
DENSEST = 7.0  # answers from one to the next, at least: a limit that has fallen throttles more than that
CURED = 120  # accepted requests after which a deep cut that none followed was right

CONTROL, CYCLE = 100, 400  # answers at a lower rate, of so many: there they are counted
LOWER = 0.9  # of the rate; and as much lower as pauses that the server asked for have slowed it anyway
LOWEST = 0.05  # of the rate: where starts need not be even, nearly all of the time may have been such pauses
MEMORY = 8  # distances that the mean is taken of
GONE = 7  # mean distances without a 429 and there are none any more: by chance once in e**7
DENSER = 1.5  # times as many are supposed when those that are forgiven do not explain it

FORGIVEN = 1.5  # of what is expected, since the mean may be wrong by a third
SELDOM = 1000  # answers in which those that come by chance exceed once what is forgiven
ROOT = 0.76  # the x of FORGIVEN * x = e**x - 1: chance exceeds a store of n with e**-nx


class Background:
    """Begins as a suspicion, when the rate falls well below a `base` that was proven; a 429 there is a doubt. A limit
    that has fallen is met at first by many, and after a cut to what it permits by none for long; those at random go on.
    When enough have, every CYCLE answers begin with CONTROL at a lower rate (`factor`), which tell how many are to be
    expected; those are forgiven. O(1) an answer.

    now: monotonic seconds.
    """

    __slots__ = (
        "_answers",
        "_at_once",
        "_credit",
        "_doubts",
        "_since",
        "_since_last",
        "_turn",
        "deep",
        "distance",
        "factor",
        "paused",
        "trial",
    )

    def __init__(self, now: float) -> None:
        self.distance = math.inf  # mean number of answers from one to the next; infinity while they are only suspected
        self.deep = False  # the last cut was, by more than one 429
        self.trial = False  # back at the base, where a limit would show
        self.factor = 1.0  # of the rate; less in control
        self.paused = 0.0  # seconds for which the server asked, since the last change of the rate
        self._credit = 0.0  # 429s that may be forgiven
        self._since_last = self._turn = 0  # answers in control since the last 429; in this cycle
        self.look_again(now)

    @property
    def known(self) -> bool:
        return self.distance < math.inf

    @property
    def share(self) -> float:
        """Of all requests, so many are throttled whatever their rate."""
        return 1 / self.distance

    def look_again(self, now: float) -> None:
        """The base is another."""
        self._since = now
        self._answers = self._doubts = self._at_once = 0

    def seen_below(self, sent_at: float) -> None:
        """An answer to a request that was sent well below the base."""
        self._answers += sent_at >= self._since

    def doubt(self, sent_at: float, accepted: int) -> None:
        """A 429 to such a request, not forgiven. accepted: since the last cut."""
        if sent_at >= self._since:
            self._doubts += 1
            self._at_once += accepted < AT_ONCE

    def explains(self) -> bool:
        """The cuts have not helped: what they answered was no limit. From now on it is known, and to be tried."""
        if self._at_once < SUSPECT or self._answers < DENSEST * self._doubts:
            return False
        distance = self.distance / DENSER if self.known else self._answers / self._doubts
        self.distance = max(DENSEST, distance)
        self._since_last, self._turn, self.factor = 0, CONTROL, 1.0
        self._credit = self._most
        self.trial, self.deep = True, False
        return True

    def cured(self, accepted: int, throttled: int) -> bool:
        """The last cut has ended the 429s: it was right. accepted, throttled: since then."""
        if not self.deep or accepted < CURED or throttled:
            return False
        self.deep = False
        return True

    def forgives(self) -> bool:
        """One 429 more."""
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def accepted(self) -> None:
        """Some part of a 429 more may be forgiven."""
        if self.known:
            self._credit = max(self._credit, min(self._most, self._credit + FORGIVEN / self.distance))

    def answered(self, *, throttled: bool) -> None:
        """An answer since the last change of the rate."""
        self._turn += 1
        if self.factor == 1:
            return
        self._since_last += 1
        if throttled:
            self.distance = max(DENSEST, self.distance + (self._since_last - self.distance) / MEMORY)
            self._since_last = 0

    @property
    def gone(self) -> bool:
        """It throttles at random no more."""
        return self._since_last > GONE * self.distance

    @property
    def control_is_over(self) -> bool:
        return self.factor < 1 and self._turn >= CONTROL

    @property
    def cycle_is_over(self) -> bool:
        return self._turn >= CYCLE

    def control(self, proven: float, seconds: float) -> None:
        """Begins a cycle.

        proven: share of the rate that has lasted for one.
        seconds: of pacing since the last change.
        """
        self._turn, self.trial = 0, False
        self.factor = max(LOWEST, LOWER * proven * seconds / max(seconds + self.paused, 1e-6))

    @property
    def _most(self) -> float:
        """To be forgiven at once."""
        return max(1.0, math.log(SELDOM / self.distance) / ROOT)
