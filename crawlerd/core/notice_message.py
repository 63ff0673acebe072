"""Makes one message of notices, for people and for programs, to send to a hook. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from crawlerd.core.notices import MOST
from crawlerd.core.notify_spec import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crawlerd.core.notices import Notice

SHOWN = 10  # most notices in the text
LISTED = 100  # most notices in the document
LONGEST = 1_800  # characters of the text; some services refuse 2,000
LINE = 300  # characters of a line of the text
FIELDS = ("title", "text", "slack", "host", "at", "count", "more", "counts", "events", "test", "token")

_ORDER = {"began": 0, "happened": 1, "over": 2}
_WORDS = {
    "failed": "import that fails",
    "stale": "import with old data",
    "refused": "account that is refused",
    "outage": "outage",
    "disk": "trouble with the disk",
    "held_up": "crawlerd is held up",
    "finished": "run that has finished",
}
_SEVERAL = {
    "failed": "imports that fail",
    "stale": "imports with old data",
    "refused": "accounts that are refused",
    "outage": "outages",
    "disk": "troubles with the disk",
    "held_up": "reasons why crawlerd is held up",
    "finished": "runs that have finished",
}


class Message(NamedTuple):
    """A message.

    title: one line, without texts of an API.
    text: some lines for people.
    document: all details, as JSON values.
    """

    title: str
    text: str
    document: dict[str, Any]


def message(host: str, batch: Mapping[str, Notice], more: Mapping[str, int], now: float) -> Message:
    """Makes a message.

    host: the daemon's host.
    batch: at least one notice, by key.
    more: how many further notices were not kept, by event.
    now: Unix seconds.
    """
    notices = sorted(batch.values(), key=lambda each: (_ORDER[each.state], EVENTS.index(each.event), each.since))
    counts: dict[str, int] = dict(more)
    for each in notices:
        if each.state != "over":
            counts[each.event] = counts.get(each.event, 0) + 1
    over = sum(each.state == "over" for each in notices)
    title = f"crawlerd on {host}: {_summary(counts, over)}"
    text = "\n".join([title, *_lines(notices, sum(more.values()))])
    document = {
        "count": len(notices) + sum(more.values()),
        "more": len(notices) + sum(more.values()) - min(len(notices), LISTED),
        "counts": {**counts, **({"over": over} if over else {})},
        "events": [_entry(each) for each in notices[:LISTED]],
        "test": False,
    }
    return _message(title, text, host, now, document)


def test_message(host: str, now: float) -> Message:
    """A message for testing a hook."""
    title = f"crawlerd on {host}: a test"
    text = f"{title}\nMessages of this crawlerd arrive here."
    document = {"count": 0, "more": 0, "counts": {}, "events": [], "test": True}
    return _message(title, text, host, now, document)


def _message(title: str, text: str, host: str, now: float, document: dict[str, Any]) -> Message:
    slack = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    return Message(title, text, {"title": title, "text": text, "slack": slack, "host": host, "at": at, **document})


def _summary(counts: Mapping[str, int], over: int) -> str:
    parts = []
    for event in EVENTS:
        if count := counts.get(event, 0):
            several = f"{count:,}{' or more' if count >= MOST else ''} {_SEVERAL[event]}"
            parts.append(several if count > 1 else _WORDS[event] if event == "held_up" else f"1 {_WORDS[event]}")
    if over:
        parts.append(f"{over:,} {'troubles are' if over > 1 else 'trouble is'} over")
    return ", ".join(parts)


def _lines(notices: list[Notice], more: int) -> Iterator[str]:
    room = LONGEST
    for number, each in enumerate(notices):
        line = _line(each)
        left = len(notices) - number + more
        if number == SHOWN or len(line) > room:
            yield f"… and {left:,} more: `crawlerd status`"
            return
        room -= len(line) + 1
        yield line
    if more:
        yield f"… and {more:,} more: `crawlerd status`"


def _line(notice: Notice) -> str:
    times = f" ({notice.times:,} times)" if notice.times > 1 else ""
    begin = f"{notice.event} {notice.subject}"
    if notice.state == "over":
        when = f"since {_clock(notice.since)}; over at {_clock(notice.until or notice.since)}"
        return _cut(f"over: {begin}: {notice.text}", f" ({when}){times}")
    if notice.state == "began":
        return _cut(f"{begin}: {notice.text}", f" (since {_clock(notice.since)}){times}")
    return _cut(f"{begin}: {notice.text}", times)


def _cut(text: str, end: str) -> str:
    room = LINE - len(end)
    return (text if len(text) <= room else text[: room - 1] + "…") + end


def _entry(notice: Notice) -> dict[str, Any]:
    return {
        "event": notice.event,
        "subject": notice.subject,
        "state": notice.state,
        "text": notice.text,
        "since": _stamp(notice.since),
        "until": None if notice.until is None else _stamp(notice.until),
        "times": notice.times,
    }


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def with_title(words: Iterable[str], title: str) -> list[str]:
    """The arguments of a program, with {title} replaced."""
    return [each.replace("{title}", title) for each in words]
