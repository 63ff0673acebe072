"""Whether a refusal concerns one task or all: found out by the next requests. Pure: times are given."""

from __future__ import annotations

import math

CREDIT, MOST_CREDIT = 1 / 12, 4.0  # of a test, for each good answer: where one in 12 is refused, that concerns all
MOST_SPACING = 1024  # refusals to the next test, after many that were refused as well
IN_A_ROW = 3  # requests that are refused one after the other before all wait, as long as tests seldom fail
SILENCE, MARGIN = 1.5, 0.005  # times as long as the refusal took, and seconds: not refused by then, it will not be
MEMORY = 200  # answers
MINORITY = 0.5  # of the others may be refused where a refusal is a task's own all the same
PROBE_SECONDS = 30.0  # for which one request alone is waited for
CHANCE = 1e-4  # with which a task that is given up was refused by accident each time


class Refusals:
    """What a 429 means for all requests of an account or bucket. O(1) an event; monotonic seconds; used by one thread.

    After a lone refusal nothing starts until it is known what comes of the request that was sent next: one that is on
    its way, or else one that starts now, as a test. If that is not refused, nothing is blocked; if it is, and perhaps
    one more, all wait for as long as the API asks. So nobody waits a second, or an hour, for one refusal in fifty.

    A server that enforces a limit gets one request more for each test. So tests are earned by good answers; and each
    time that they were refused, twice as many refusals must come to the next one, half as many when one was not.

    Where no pace spreads the starts, the first one after a block goes alone: else as many as there are threads would be
    refused each time. What comes of it decides about the others.

    one_first: no pace spreads the starts.
    passing: a request that was sent after those that led to the last block got a good answer; or there was no block.
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
        self._probe, self._probe_until = 0, 0.0  # the start that goes alone, 0 for none
        self._number, self._started_at = 0, 0.0  # of the latest start; they are numbered from 1
        self._passed = 0  # the latest that got a good answer
        self._blocked, self._blocked_at = 0, -math.inf  # the latest when the present block began, and when that was
        self._blocking = -math.inf  # when the last of those that led to it was sent
        self._refused: int | None = None  # the last of the refusals that are looked into
        self._presumed: int | None = None  # the same, when it was found to be alone by silence
        self._in_a_row = self._least = 0  # how many those are, and how many lead to a block
        self._took = 0.0  # seconds until the first one came
        self._until = 0.0  # by then it is over, whatever comes of it
        self._known_at = 0.0  # by then it would be known that the next one was refused
        self._credit, self._spacing, self._skip = MOST_CREDIT, 1, 0
        self.passing, self.met = True, False

    @property
    def testing(self) -> bool:
        """A refusal is looked into."""
        return self._refused is not None

    def free_at(self) -> float:
        """When the next request may start."""
        if self._probe and not self.passing:
            return self._probe_until
        if self._refused is None or self._number <= self._refused:
            return 0.0
        return min(self._known_at, self._until)

    def started(self, now: float) -> int:
        """Returns the start's number, to be told what came of it."""
        if self._refused is not None:
            if self._number > self._refused or now >= self._until:
                self._presumed, self._refused = self._refused, None  # nothing more has come, and no good answer yet
            self._known_at = now + SILENCE * self._took + MARGIN
        self._number += 1
        self._started_at = now
        if self.one_first and not self.passing:
            self._probe, self._probe_until = self._number, now + PROBE_SECONDS
        return self._number

    def go_on(self, *, one_first: bool) -> None:
        """Under limits that are others: those who know the number of the start that goes alone are gone."""
        self.one_first, self._probe = one_first, 0

    def ended(self, number: int) -> None:
        """It has ended, however."""
        if number == self._probe:
            self._probe = 0

    def failed(self, number: int) -> None:
        """It has ended in a way that says nothing about limits."""
        if self._refused is not None and number == self._refused + 1:
            self._refused = number  # and so the next one is the test

    def passed(self, number: int, sent_at: float = math.inf) -> None:
        """A good answer to a request that was sent then. number: 0 for one that was not started here."""
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
        """A 429. Returns whether nothing is to start before `until`.

        number: as in `passed`.
        until: for so long the API asks.
        certain: it is known to concern all.
        """
        self.met = True
        if number <= self._blocked if number else sent_at <= self._blocked_at:
            return True  # sent before all were told to wait
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
    """How often a bucket refuses tasks that it has not refused before: the others, to one that it has. O(1) an answer.

    Each task's first refusal counts, and so one of them is that of the task in question.
    """

    __slots__ = ("_answers", "_share")

    def __init__(self) -> None:
        self._answers = 0  # up to MEMORY
        self._share = 0.0  # of the last answers that were refusals

    def passed(self) -> None:
        self._count(0.0)

    def refused(self) -> None:
        self._count(1.0)

    def _count(self, refused: float) -> None:
        self._answers = min(self._answers + 1, MEMORY)
        self._share += (refused - self._share) / self._answers

    @property
    def share(self) -> float:
        """The share of the others that is refused."""
        return max(0.0, self._share - 1 / self._answers) if self._answers else 0.0

    @property
    def mostly_pass(self) -> bool:
        return self.share <= MINORITY

    def could_be_chance(self, times: int) -> bool:
        """Whether a task is refused as many times in a row, where each request may be."""
        return self.share**times > CHANCE
