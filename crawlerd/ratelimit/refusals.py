"""Whether a refusal concerns one task or all requests, which the next requests show. Pure: times are arguments."""

from __future__ import annotations

import math

# Tests earned by each good answer, and the most that are saved. If one in 12 requests is refused, no test is left, and
# a refusal concerns all requests.
CREDIT, MOST_CREDIT = 1 / 12, 4.0
MOST_SPACING = 1024  # most refusals until the next test, after tests that have failed
IN_A_ROW = 3  # requests refused one after the other before all wait, as long as tests seldom fail
SILENCE, MARGIN = 1.5, 0.005  # a request is not refused if this many times the refusal's time, and seconds, have passed
MEMORY = 200  # answers
MINORITY = 0.5  # up to this share of other tasks may be refused while a refusal still counts as the task's own
PROBE_SECONDS = 30.0  # how long to wait for the answer of a single request
CHANCE = 1e-4  # the accepted probability that a task that is given up was refused by accident each time


class Refusals:
    """Decides whether a 429 concerns all requests of an account or bucket. O(1) for each event; monotonic seconds; used
    by one thread.

    After a single refusal, no request starts until the result of the next request is known: one that is under way, or
    else one that starts now as a test. If it is not refused, nothing is blocked. If it is, and perhaps one more, all
    requests wait as long as the API asks. So one refusal in fifty does not make all requests wait a second, or an hour.

    A server that enforces a limit gets one more request for each test. So tests are earned by good answers. After a
    test that was refused, the next test comes after twice as many refusals; otherwise, after half as many.

    If no pace spreads the starts, the first request after a block goes alone: otherwise one for each thread would be
    refused each time. Its result decides about the others.

    one_first: no pace spreads the starts.
    passing: since the last block, a request sent after those that led to it got a good answer; or there was no block.
    met: there was a refusal.
    """

    __slots__ = (
        "_blocked",
        "_blocked_at",
        "_blocking",
        "_credit",
        "_in_a_row",
        "_known_at",
        "_least",
        "_number",
        "_passed",
        "_presumed",
        "_probe",
        "_probe_until",
        "_refused",
        "_skip",
        "_spacing",
        "_started_at",
        "_took",
        "_until",
        "met",
        "one_first",
        "passing",
    )

    def __init__(self, *, one_first: bool = False) -> None:
        self.one_first = one_first
        self._probe, self._probe_until = 0, 0.0  # the number of the start that goes alone, 0 for none
        self._number, self._started_at = 0, 0.0  # the latest start; starts are numbered from 1
        self._passed = 0  # the latest start that got a good answer
        self._blocked, self._blocked_at = 0, -math.inf  # the latest start when the last block began, and when that was
        self._blocking = -math.inf  # when the last request that led to this block was sent
        self._refused: int | None = None  # the last of the refusals under test
        self._presumed: int | None = None  # the same, when no answer to the next request came in time
        self._in_a_row = self._least = 0  # how many refusals are under test, and how many lead to a block
        self._took = 0.0  # seconds until the first of them came
        self._until = 0.0  # when the wait that the API asked for is over, and with it the test
        self._known_at = 0.0  # when a refusal of the next request would have arrived
        self._credit, self._spacing, self._skip = MOST_CREDIT, 1, 0
        self.passing, self.met = True, False

    @property
    def testing(self) -> bool:
        """Whether a refusal is under test."""
        return self._refused is not None

    def free_at(self) -> float:
        """When the next request may start."""
        if self._probe and not self.passing:
            return self._probe_until
        if self._refused is None or self._number <= self._refused:
            return 0.0
        return min(self._known_at, self._until)

    def started(self, now: float) -> int:
        """A request starts. Returns its number, under which its result is reported."""
        if self._refused is not None:
            if self._number > self._refused or now >= self._until:
                self._presumed, self._refused = self._refused, None  # neither a refusal nor a good answer came
            self._known_at = now + SILENCE * self._took + MARGIN
        self._number += 1
        self._started_at = now
        if self.one_first and not self.passing:
            self._probe, self._probe_until = self._number, now + PROBE_SECONDS
        return self._number

    def go_on(self, *, one_first: bool) -> None:
        """The limits have changed: forgets the start that goes alone, whose number the new limiter does not know."""
        self.one_first, self._probe = one_first, 0

    def ended(self, number: int) -> None:
        """The request has ended, with or without success."""
        if number == self._probe:
            self._probe = 0

    def failed(self, number: int) -> None:
        """The request has ended in a way that shows nothing about limits."""
        if self._refused is not None and number == self._refused + 1:
            self._refused = number  # the next request is the test instead

    def passed(self, number: int, sent_at: float = math.inf) -> None:
        """A request got a good answer. number: 0 for one that was not started here. sent_at: when it was sent."""
        self._passed = max(self._passed, number)
        self._credit = min(self._credit + CREDIT, MOST_CREDIT)
        self.passing = self.passing or sent_at > self._blocking
        if self._refused is not None and number > self._refused:
            self._refused = None
            self._spacing = max(1, self._spacing // 2)
        elif self._presumed is not None and number > self._presumed:
            self._presumed = None
            self._spacing = max(1, self._spacing // 2)

    def refused(self, number: int, sent_at: float, now: float, until: float, *, certain: bool = False) -> bool:
        """A request got a 429. Returns whether all requests must wait until `until`.

        number: 0 for a request that was not started here.
        until: when the wait that the API asks for is over.
        certain: it is known to concern all requests.
        """
        self.met = True
        if number <= self._blocked if number else sent_at <= self._blocked_at:
            return True  # sent before the block began
        if self._refused is not None:
            if certain or not number:
                return self._block(sent_at, now)
            return self._fail_test(number, sent_at, now)
        if certain or self._skip or self._credit < 1 or (self.one_first and not self.passing):
            self._skip = max(0, self._skip - 1)
            return self._block(sent_at, now)
        if number >= self._passed:
            self._credit -= 1
            self._refused, self._until, self._in_a_row = number, until, 1
            after = self._number - number
            self._least = IN_A_ROW if self._spacing == 1 or after >= IN_A_ROW - 1 else 2
            self._took = now - sent_at
            if after > 0:
                self._expect(sent_at + (self._started_at - sent_at) / after)
        return False

    def _expect(self, started_at: float) -> None:
        self._known_at = max(self._known_at, started_at + SILENCE * self._took + MARGIN)

    def _fail_test(self, number: int, sent_at: float, now: float) -> bool:
        self._refused = max(number, self._refused or 0)
        self._in_a_row += 1
        if self._in_a_row < self._least:
            if self._number > number:
                self._expect(self._started_at)
            return False
        self._spacing = min(2 * self._spacing, MOST_SPACING)
        self._skip = self._spacing - 1
        return self._block(sent_at, now)

    def _block(self, sent_at: float, now: float) -> bool:
        self._blocked, self._blocked_at, self._blocking = self._number, now, sent_at
        self.passing, self._refused, self._presumed = False, None, None
        return True


class Others:
    """How often a bucket refuses tasks that it has not refused before: for a refused task, these are the others. O(1)
    for each answer.

    The first refusal of each task counts, so one of the refusals is that of the task in question itself.
    """

    __slots__ = ("_answers", "_share")

    def __init__(self) -> None:
        self._answers = 0  # how many answers were counted, up to MEMORY
        self._share = 0.0  # share of the last answers that were refusals

    def passed(self) -> None:
        self._count(0.0)

    def refused(self) -> None:
        self._count(1.0)

    def _count(self, refused: float) -> None:
        self._answers = min(self._answers + 1, MEMORY)
        self._share += (refused - self._share) / self._answers

    @property
    def share(self) -> float:
        """The share of other tasks that is refused."""
        return max(0.0, self._share - 1 / self._answers) if self._answers else 0.0

    @property
    def mostly_pass(self) -> bool:
        return self.share <= MINORITY

    def could_be_chance(self, times: int) -> bool:
        """Whether a task may have been refused this many times in a row by chance, given the share of the others."""
        return self.share**times > CHANCE
