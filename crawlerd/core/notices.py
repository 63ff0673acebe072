"""What has been told and what waits to be told: what is wrong now, compared with what was wrong before. Pure.

Nothing here is an event that somebody sends: what is wrong is looked at again and again, so that nothing is lost
by a crash, and what flaps is one notice with a count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from crawlerd.core.notify_spec import Event
from crawlerd.core.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MOST = 2_000  # subjects of one event that are known, and notices of one event that wait
LONGEST = 300  # characters of a text
SETTLE_SECONDS = 30.0  # for which some must not be seen before they are over
SETTLES = (
    "disk",
    "held_up",
    "refused",
)  # a restart forgets the first two; the last is not there while it is tried again
FIRST_RETRY, LONGEST_RETRY = 10.0, 600.0  # seconds after a hook has failed

State = Literal["began", "over", "happened"]


class Condition(NamedTuple):
    """Something that is wrong now, or that has happened.

    subject: what it is about, such as "import acme".
    since: Unix seconds, None where that is not known.
    """

    event: Event
    subject: str
    text: str
    since: float | None = None


class Open(msgspec.Struct):
    """What is wrong. since, seen_at: Unix seconds, the first and the last look that found it."""

    event: Event
    subject: str
    text: str
    since: float
    seen_at: float


class Notice(msgspec.Struct, frozen=True):
    """What a person is to be told.

    since, until: Unix seconds; until is None while it goes on.
    times: how often it began since the last message.
    """

    event: Event
    subject: str
    text: str
    state: State
    since: float
    until: float | None = None
    times: int = 1


class Queue(msgspec.Struct):
    """What a hook has not delivered yet, by key. Unix seconds, all.

    first_at: since when something waits.
    sent_at: of the last message.
    more: notices that found no room, by event.
    """

    notices: dict[str, Notice] = {}
    more: dict[str, int] = {}
    first_at: float | None = None
    sent_at: float = 0.0


class RunMark(msgspec.Struct):
    """Up to where ends of runs were seen. newest: number of a run; watched: those that were under way then."""

    newest: int
    watched: list[int] = []


class Ledger(msgspec.Struct):
    """All that must outlive the daemon.

    open: by key.
    queues: by hook.
    runs: None as long as nobody wants to hear of ends of runs.
    """

    open: dict[str, Open] = {}
    queues: dict[str, Queue] = {}
    runs: RunMark | None = None

    def configure(self, hooks: Collection[str], on: Collection[str], now: float) -> bool:
        """Hooks and events that are not wanted are forgotten; a new hook is told all that is wrong. Whether anything
        has changed."""
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
        """Whether anything has changed that must be kept.

        events: those that were looked for.
        found: what is wrong at the moment, of these events.
        happened: what is told once.
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
        """When the next message of a hook is to be sent; None while nothing waits. Unix seconds, all.

        wait: after the first notice, for others. every: between two messages.
        """
        queue = self.queues.get(hook)
        if queue is None or not queue.notices:
            return None
        first, sent = queue.first_at or 0.0, queue.sent_at
        # After the clock was set back, neither must wait for what was the future.
        return max(min(first, now) + wait, min(sent, now) + every if sent else 0.0)

    def batch(self, hook: str) -> tuple[dict[str, Notice], dict[str, int]]:
        """All that waits for a hook, and how many more there were."""
        queue = self.queues.get(hook, Queue())
        return dict(queue.notices), dict(queue.more)

    def delivered(self, hook: str, notices: dict[str, Notice], more: dict[str, int], now: float) -> None:
        """A batch has arrived; what has changed since it was taken still waits."""
        if (queue := self.queues.get(hook)) is None:
            return
        for key, notice in notices.items():
            if queue.notices.get(key) is notice:
                del queue.notices[key]
        queue.more = {event: left for event, count in queue.more.items() if (left := count - more.get(event, 0)) > 0}
        queue.sent_at = now
        queue.first_at = now if queue.notices else None


def retry_seconds(failures: int, asked: float | None = None) -> float:
    """After how many seconds a hook is tried again that has failed so often in a row. asked: by itself."""
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
