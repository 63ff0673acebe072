"""The same thing again and again: the first time is told at once, the others are counted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

FOLD_SECONDS = 60.0
MOST_TOPICS = 10_000  # in which something is counted at a time

Said = TypeVar("Said")


class Folded(NamedTuple, Generic[Said]):
    """What was counted.

    last: of those that were not told.
    times: how many those are.
    seconds: in which they came.
    """

    last: Said
    times: int
    seconds: float


class _Window(Generic[Said]):
    """told: the members that were. counted: the others since then, in the order of the last one of each."""

    __slots__ = ("began_at", "counted", "told")

    def __init__(self, now: float, told: set[Hashable]) -> None:
        self.began_at, self.told = now, told
        self.counted: dict[Hashable, tuple[Said, int]] = {}

    def take(self, now: float) -> list[Folded[Said]]:
        counted, self.counted = self.counted, {}
        return [Folded(last, times, now - self.began_at) for last, times in counted.values()]


class Folding(Generic[Said]):
    """Times are monotonic seconds. Each one that comes is either told at once, or counted in one `Folded`.

    A topic has members, such as the beginning and the end of a trouble. What is told of a topic last is what has
    happened last, as soon as a minute is over.
    """

    def __init__(self, seconds: float = FOLD_SECONDS, most: int = MOST_TOPICS) -> None:
        self._seconds, self._most = seconds, most
        self._windows: dict[Hashable, _Window[Said]] = {}  # in the order in which they end

    def come(self, topic: Hashable, member: Hashable, said: Said, now: float) -> list[Folded[Said]] | None:
        """What is to be told before this one, which is told at once; None when it is counted."""
        window = self._windows.get(topic)
        if window is None:
            self._windows[topic] = _Window(now, {member})
            return []
        if member not in window.told:
            window.told.add(member)
            return window.take(now)
        _, times = window.counted.pop(member, (said, 0))
        window.counted[member] = said, times + 1
        return None

    @property
    def next_at(self) -> float | None:
        """When `due` is to be called at the latest; None while nothing is counted."""
        first = next(iter(self._windows.values()), None)
        return None if first is None else first.began_at + self._seconds

    def due(self, now: float) -> list[Folded[Said]]:
        """What was counted in the minutes that are over. Where something was, it is counted for another minute."""
        found: list[Folded[Said]] = []
        again: dict[Hashable, set[Hashable]] = {}
        while self._windows:
            topic, window = next(iter(self._windows.items()))
            over = now >= window.began_at + self._seconds
            if not over and len(self._windows) <= self._most:
                break
            del self._windows[topic]
            if window.counted:
                found += window.take(now)
                if over:
                    again[topic] = window.told
        for topic, told in again.items():
            self._windows[topic] = _Window(now, told)
        return found

    def rest(self, now: float) -> list[Folded[Said]]:
        """What was counted and is not told yet; at the end."""
        windows, self._windows = self._windows, {}
        return [each for window in windows.values() for each in window.take(now)]
