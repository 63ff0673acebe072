"""Repeated events: the first one passes at once, the next ones are counted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

FOLD_SECONDS = 60.0
MOST_TOPICS = 10_000  # most topics that are counted at a time

Said = TypeVar("Said")


class Folded(NamedTuple, Generic[Said]):
    """Events that were counted instead of passed.

    last: the last of them.
    times: how many there were.
    seconds: the time in which they came.
    """

    last: Said
    times: int
    seconds: float


class _Window(Generic[Said]):
    """The minute after an event of a topic.

    told: the members that have passed.
    counted: events since then, by member, in the order of the last event of each.
    """

    __slots__ = ("began_at", "counted", "told")

    def __init__(self, now: float, told: set[Hashable]) -> None:
        self.began_at, self.told = now, told
        self.counted: dict[Hashable, tuple[Said, int]] = {}

    def take(self, now: float) -> list[Folded[Said]]:
        counted, self.counted = self.counted, {}
        return [Folded(last, times, now - self.began_at) for last, times in counted.values()]


class Folding(Generic[Said]):
    """Decides which events pass. Times are monotonic seconds. Each event either passes at once, or is counted in one
    `Folded`.

    A topic has members, such as the beginning and the end of a trouble. When the minute of a topic is over, the counted
    events are reported in their order, so that the last one reported is the last one that has happened.
    """

    def __init__(self, seconds: float = FOLD_SECONDS, most: int = MOST_TOPICS) -> None:
        self._seconds, self._most = seconds, most
        self._windows: dict[Hashable, _Window[Said]] = {}  # in the order of their ends

    def come(self, topic: Hashable, member: Hashable, said: Said, now: float) -> list[Folded[Said]] | None:
        """An event has come. Returns None when it is counted. If it passes, returns the counted events to report before
        it."""
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
        """When to call `due` at the latest; None while no events are counted."""
        first = next(iter(self._windows.values()), None)
        return None if first is None else first.began_at + self._seconds

    def due(self, now: float) -> list[Folded[Said]]:
        """The counted events of the minutes that are over. A topic with such events is counted for another minute."""
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
        """All counted events that were not reported yet; call it at the end."""
        windows, self._windows = self._windows, {}
        return [each for window in windows.values() for each in window.take(now)]
