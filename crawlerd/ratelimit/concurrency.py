"""How many requests a server takes at once: told apart from its rate limit by how many were on their way."""

from __future__ import annotations

import math

FIRST_PATIENCE, MOST_PATIENCE = 100, 4000  # accepted requests at the limit before one more at once is tried
GIVEN_PATIENCE = 500  # the same at a limit that was given, and is likely to be right
CHANCE = 0.001  # with which the 429s may all have come at high concurrency by accident


class ConcurrencyLimit:
    """Finds how many requests may be on their way at once, from each one's answer and `beside`: how many others were
    on their way when it started. O(1) an answer.

    A 429 is about concurrency when the server says so; or when one more than usual was being tried; or when, at about
    the same rate, they come from some number beside them on and never below it (where not all such requests fail: an
    answer on its way back makes room that we do not see).

    most: the limit; infinity until there is one.
    """

    __slots__ = ("_above", "_below", "_full", "_level", "_patience", "_throttled", "_trying", "most")

    def __init__(self, most: float = math.inf) -> None:
        self.most = most
        self._patience = GIVEN_PATIENCE
        self._full = 0  # accepted at the limit, since it was moved
        self._trying = False  # one more than was known to be permitted
        self._look_from(math.inf)

    def accepted(self, beside: int) -> None:
        if beside < self._level:
            self._below += 1
        else:
            self._above += 1
        if beside + 1 < self.most:
            return
        self._full += 1
        if self._full >= (FIRST_PATIENCE if self._trying else self._patience):  # it has risen, perhaps by much
            self._move(self.most + 1, trying=True)

    def throttled(self, beside: int, *, said: bool) -> bool:
        """Whether the 429 was about concurrency, as far as can be told. said: the server said so."""
        at_once = beside + 1
        if at_once > self.most:
            return True  # sent before the limit was lowered: nothing new
        if self._trying and at_once == self.most:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
            self._move(self.most - 1, trying=False)
            return True
        if said and beside:
            limit = float(beside)
        elif not said and self._proven(beside):
            limit = self._level
        else:
            return False  # or alone and told so: another program has taken all, and a lower rate is all that is left
        self._move(limit, trying=False)
        self._patience = FIRST_PATIENCE
        self._look_from(math.inf)
        return True

    def _proven(self, beside: int) -> bool:
        if beside < self._level:
            self._look_from(beside)
        self._throttled += 1
        above = self._throttled + self._above
        accident = (above / (above + self._below)) ** self._throttled
        return beside > 0 and accident < CHANCE

    def _look_from(self, level: float) -> None:
        self._level = level  # the fewest others beside which a request was throttled
        self._throttled = self._above = self._below = 0  # 429s; accepted from that level on; accepted below it

    def _move(self, most: float, *, trying: bool) -> None:
        self.most, self._trying, self._full = most, trying, 0
