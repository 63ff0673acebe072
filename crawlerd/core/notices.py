"""The notices that were sent and that wait to be sent: compares what is wrong now with what was wrong before. Pure.

The state is looked at again and again, instead of reacting to events: so a crash loses no notice, and a problem that
comes and goes is one notice with a count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from crawlerd.core.notify_spec import Event
from crawlerd.core.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MOST = 2_000  # most subjects of one event that are known, and most notices of one event that wait
LONGEST = 300  # characters of a text
SETTLE_SECONDS = 30.0  # some conditions are over only when they were not seen for this time
SETTLES = (
    "disk",
    "held_up",
    "refused",
)  # a restart forgets the first two; the last is absent while it is tried again
FIRST_RETRY, LONGEST_RETRY = 10.0, 600.0  # seconds after a hook has failed

State = Literal["began", "over", "happened"]


class Condition(NamedTuple):
    """Something that is wrong now, or that has happened.

    subject: what it concerns, such as "import acme".
    since: Unix seconds, None when unknown.
    """

    event: Event
    subject: str
    text: str
    since: float | None = None


class Open(msgspec.Struct):
    """A condition that is wrong now. since, seen_at: when it was first and last seen; Unix seconds."""

    event: Event
    subject: str
    text: str
    since: float
    seen_at: float


class Notice(msgspec.Struct, frozen=True):
    """A notice for a person.

    since, until: Unix seconds; until is None while the condition lasts.
    times: how often it has begun since the last message.
    """

    event: Event
    subject: str
    text: str
    state: State
    since: float
    until: float | None = None
    times: int = 1


class Queue(msgspec.Struct):
    """The notices that a hook has not delivered yet, by key. Times are Unix seconds.

    first_at: since when a notice waits.
    sent_at: when the last message was sent.
    more: how many further notices were not kept, by event.
    """

    notices: dict[str, Notice] = {}
    more: dict[str, int] = {}
    first_at: float | None = None
    sent_at: float = 0.0


class RunMark(msgspec.Struct):
    """Which ends of runs were seen.

    newest: the number of the newest run at the last look.
    watched: the runs that were under way then.
    """

    newest: int
    watched: list[int] = []


class Ledger(msgspec.Struct):
    """Everything that must outlive the daemon.

    open: the conditions that are wrong, by key.
    queues: the waiting notices, by hook.
    runs: None while no hook wants notices of finished runs.
    """

    open: dict[str, Open] = {}
    queues: dict[str, Queue] = {}
    runs: RunMark | None = None

    def configure(self, hooks: Collection[str], on: Collection[str], now: float) -> bool:
        """Applies the configured hooks and events: forgets others, and gives a new hook notices of everything that is
        wrong. Returns whether anything has changed."""
        gone = [name for name in self.queues if name not in hooks]
        unwanted = [key for key, each in self.open.items() if each.event not in on]
        for name in gone:
            del self.queues[name]
        for key in unwanted:
            del self.open[key]
        changed = bool(gone or unwanted)
        for queue in self.queues.values():
            for key in [key for key, each in queue.notices.items() if each.event not in on]:
                del queue.notices[key]
                changed = True
        for name in [name for name in hooks if name not in self.queues]:
            self.queues[name] = queue = Queue()
            for key, each in self.open.items():
                _note(queue, key, Notice(each.event, each.subject, each.text, "began", each.since), now)
            changed = True
        return changed

    def look(
        self, events: Collection[str], found: Iterable[Condition], happened: Iterable[Condition], now: float
    ) -> bool:
        """Takes the result of a look. Returns whether anything has changed that must be stored.

        events: the events that were looked for.
        found: the conditions of these events that are wrong now.
        happened: conditions that are reported once.
        """
        changed = False
        counts = dict.fromkeys(events, 0)
        for each in self.open.values():
            counts[each.event] = counts.get(each.event, 0) + 1
        for condition in found:
            key = _key(condition)
            text = printable(condition.text)[:LONGEST]
            if (known := self.open.get(key)) is not None:
                known.text, known.seen_at = text, now
            elif counts.get(condition.event, 0) < MOST:
                counts[condition.event] = counts.get(condition.event, 0) + 1
                since = min(now, condition.since or now)
                self.open[key] = Open(condition.event, condition.subject, text, since, now)
                self._tell(key, Notice(condition.event, condition.subject, text, "began", since), now)
                changed = True
        for key, each in list(self.open.items()):
            settled = each.event not in SETTLES or not 0.0 <= now - each.seen_at < SETTLE_SECONDS
            if each.event in events and each.seen_at != now and settled:
                del self.open[key]
                over = Notice(each.event, each.subject, each.text, "over", each.since, now)
                self._tell(key, over, now)
                changed = True
        for condition in happened:
            text = printable(condition.text)[:LONGEST]
            notice = Notice(condition.event, condition.subject, text, "happened", condition.since or now)
            self._tell(_key(condition), notice, now)
            changed = True
        return changed

    def _tell(self, key: str, notice: Notice, now: float) -> None:
        for queue in self.queues.values():
            _note(queue, key, notice, now)

    def due_at(self, hook: str, wait: float, every: float, now: float) -> float | None:
        """When to send the next message of a hook; None while no notice waits. Times are Unix seconds.

        wait: seconds to wait for other notices after the first one.
        every: least seconds between two messages.
        """
        queue = self.queues.get(hook)
        if queue is None or not queue.notices:
            return None
        first, sent = queue.first_at or 0.0, queue.sent_at
        # If the clock was set back, the stored times may be in the future: do not wait for them.
        return max(min(first, now) + wait, min(sent, now) + every if sent else 0.0)

    def batch(self, hook: str) -> tuple[dict[str, Notice], dict[str, int]]:
        """All notices that wait for a hook, and how many more there were, by event."""
        queue = self.queues.get(hook, Queue())
        return dict(queue.notices), dict(queue.more)

    def delivered(self, hook: str, notices: dict[str, Notice], more: dict[str, int], now: float) -> None:
        """A batch was delivered; notices that have changed since it was taken still wait."""
        if (queue := self.queues.get(hook)) is None:
            return
        for key, notice in notices.items():
            if queue.notices.get(key) is notice:
                del queue.notices[key]
        queue.more = {event: left for event, count in queue.more.items() if (left := count - more.get(event, 0)) > 0}
        queue.sent_at = now
        queue.first_at = now if queue.notices else None


def retry_seconds(failures: int, asked: float | None = None) -> float:
    """The seconds after which to try a failing hook again.

    failures: how often it has failed in a row.
    asked: the seconds that the hook itself has asked us to wait.
    """
    usual = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 10))
    return usual if asked is None else max(usual, min(asked, LONGEST_RETRY))


def _key(condition: Condition) -> str:
    return f"{condition.event} {condition.subject}"


def _note(queue: Queue, key: str, notice: Notice, now: float) -> None:
    before = queue.notices.get(key)
    if before is None and _is_full(queue, notice.event):
        queue.more[notice.event] = queue.more.get(notice.event, 0) + (notice.state != "over")
        return
    if before is not None:
        times = before.times + (notice.state != "over")
        notice = msgspec.structs.replace(notice, since=min(before.since, notice.since), times=times)
    queue.notices[key] = notice
    if queue.first_at is None:
        queue.first_at = now


def _is_full(queue: Queue, event: Event) -> bool:
    return len(queue.notices) >= MOST and sum(each.event == event for each in queue.notices.values()) >= MOST
