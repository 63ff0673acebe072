"""429s that occur at any rate, because a server throttles at random. Detects them, measures how many there are at a
lower rate, and ignores as many."""

from __future__ import annotations

import math

SUSPECT = 5  # after this many 429s soon after cuts that should have ended them, the server throttles at random
AT_ONCE = 60  # "soon": fewer accepted requests since the cut; at a real limit, the next 429 comes later
DENSEST = 7.0  # least mean number of answers from one 429 to the next; a limit that has fallen throttles more often
CURED = 120  # a deep cut was right if this many requests were accepted after it without a 429

CONTROL, CYCLE = 100, 400  # random 429s are counted in the first CONTROL answers of each CYCLE, at a lower rate
LOWER = 0.9  # the lower rate, as a share of the rate; pauses that the server asked for lower it further
LOWEST = 0.05  # the least share, since nearly all of the time may have been such pauses when starts are not even
MEMORY = 8  # number of distances between 429s over which the mean is taken
GONE = 7  # after this many mean distances without a 429, there are no random 429s any more; by chance once in e**7
DENSER = 1.5  # factor for the assumed number of random 429s, when those ignored do not explain all

FORGIVEN = 1.5  # factor for the expected number of 429s to ignore, since the mean may be wrong by a third
SELDOM = 1000  # random 429s exceed the number ignored once in this many answers
ROOT = 0.76  # solves FORGIVEN * x = e**x - 1: random 429s exceed a store of n with probability e**-nx


class Background:
    """Begins as a suspicion, when the rate falls well below the proven rate; a 429 at such a rate is a doubt. If the
    limit has fallen, many 429s come at first, and after a cut to the new limit none for a long time. Random 429s
    continue. After enough of them they are known: then every CYCLE answers begin with CONTROL answers at a lower rate
    (`factor`), which show how many random 429s to expect. As many are ignored. O(1) for each answer.

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
        self.distance = math.inf  # mean number of answers from one random 429 to the next; infinity while unknown
        self.deep = False  # whether the last cut was deep, because of more than one 429
        self.trial = False  # the rate is back at the proven one, where a real limit would show
        self.factor = 1.0  # for the rate; less than 1 while 429s are counted
        self.paused = 0.0  # seconds of pauses that the server asked for, since the last change of the rate
        self._credit = 0.0  # how many 429s may be ignored
        self._since_last = self._turn = 0  # counted answers since the last 429; answers in this cycle
        self.look_again(now)

    @property
    def known(self) -> bool:
        return self.distance < math.inf

    @property
    def share(self) -> float:
        """The share of all requests that is throttled at random."""
        return 1 / self.distance

    def look_again(self, now: float) -> None:
        """The proven rate has changed: begins to count again."""
        self._since = now
        self._answers = self._doubts = self._at_once = 0

    def seen_below(self, sent_at: float) -> None:
        """Counts an answer to a request that was sent well below the proven rate."""
        self._answers += sent_at >= self._since

    def doubt(self, sent_at: float, accepted: int) -> None:
        """Counts a 429 to such a request that was not ignored. accepted: requests accepted since the last cut."""
        if sent_at >= self._since:
            self._doubts += 1
            self._at_once += accepted < AT_ONCE

    def explains(self) -> bool:
        """Whether random 429s explain what has happened: cuts of the rate have not helped. If so, they are known from
        now on, and the rate returns to the proven one for a trial."""
        if self._at_once < SUSPECT or self._answers < DENSEST * self._doubts:
            return False
        distance = self.distance / DENSER if self.known else self._answers / self._doubts
        self.distance = max(DENSEST, distance)
        self._since_last, self._turn, self.factor = 0, CONTROL, 1.0
        self._credit = self._most
        self.trial, self.deep = True, False
        return True

    def cured(self, accepted: int, throttled: int) -> bool:
        """Whether the last cut has ended the 429s, and so was right. accepted, throttled: requests since the cut."""
        if not self.deep or accepted < CURED or throttled:
            return False
        self.deep = False
        return True

    def forgives(self) -> bool:
        """Whether to ignore one more 429."""
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def accepted(self) -> None:
        """Counts an accepted request: a fraction of one more 429 may be ignored."""
        if self.known:
            self._credit = max(self._credit, min(self._most, self._credit + FORGIVEN / self.distance))

    def answered(self, *, throttled: bool) -> None:
        """Counts an answer since the last change of the rate."""
        self._turn += 1
        if self.factor == 1:
            return
        self._since_last += 1
        if throttled:
            self.distance = max(DENSEST, self.distance + (self._since_last - self.distance) / MEMORY)
            self._since_last = 0

    @property
    def gone(self) -> bool:
        """Whether the server does not throttle at random any more."""
        return self._since_last > GONE * self.distance

    @property
    def control_is_over(self) -> bool:
        return self.factor < 1 and self._turn >= CONTROL

    @property
    def cycle_is_over(self) -> bool:
        return self._turn >= CYCLE

    def control(self, proven: float, seconds: float) -> None:
        """Begins a cycle.

        proven: the share of the rate that was proven in a cycle.
        seconds: seconds of pacing since the last change of the rate.
        """
        self._turn, self.trial = 0, False
        self.factor = max(LOWEST, LOWER * proven * seconds / max(seconds + self.paused, 1e-6))

    @property
    def _most(self) -> float:
        """The most 429s that are ignored in a row."""
        return max(1.0, math.log(SELDOM / self.distance) / ROOT)
