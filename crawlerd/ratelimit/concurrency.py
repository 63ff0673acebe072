"""Learns how many requests a server accepts at once. Distinguishes this limit from a rate limit by the number of
requests that were under way at each 429."""

from __future__ import annotations

import math

FIRST_PATIENCE, MOST_PATIENCE = 100, 4000  # accepted requests at the limit before one more at once is tried
GIVEN_PATIENCE = 500  # the same for a limit that was given, which is likely to be right
CHANCE = 0.001  # the accepted probability that all 429s came at high concurrency by accident


class ConcurrencyLimit:
    """Learns how many requests may be under way at once, from each answer and `beside`: the number of other requests
    that were under way when this one started. O(1) for each answer.

    A 429 concerns concurrency if the server says so; or if one more request than usual was being tried; or if, at about
    the same rate, 429s come only to requests with at least a certain number of others under way. Not all of these fail:
    an answer on its way back has made room that we do not see.

    most: the limit; infinity until there is one.
    """

    __slots__ = ("_above", "_below", "_full", "_level", "_patience", "_throttled", "_trying", "most")

    def __init__(self, most: float = math.inf) -> None:
        self.most = most
        self._patience = GIVEN_PATIENCE
        self._full = 0  # requests accepted at the limit since it was changed
        self._trying = False  # whether the limit is one more than is known to be permitted
        self._look_from(math.inf)

    def accepted(self, beside: int) -> None:
        if beside < self._level:
            self._below += 1
        else:
            self._above += 1
        if beside + 1 < self.most:
            return
        self._full += 1
        if self._full >= (FIRST_PATIENCE if self._trying else self._patience):  # the server's limit may be much higher
            self._move(self.most + 1, trying=True)

    def throttled(self, beside: int, *, said: bool) -> bool:
        """Whether a 429 probably concerns concurrency. said: the server said so."""
        at_once = beside + 1
        if at_once > self.most:
            return True  # sent before the limit was lowered: no news
        if self._trying and at_once == self.most:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
            self._move(self.most - 1, trying=False)
            return True
        if said and beside:
            limit = float(beside)
        elif not said and self._proven(beside):
            limit = self._level
        else:
            return False  # also if it was alone: other programs use all of the limit, so only a lower rate can help
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
        self._level = level  # the smallest `beside` of a throttled request
        self._throttled = self._above = self._below = 0  # 429s; requests accepted at this level or above; and below it

    def _move(self, most: float, *, trying: bool) -> None:
        self.most, self._trying, self._full = most, trying, 0
