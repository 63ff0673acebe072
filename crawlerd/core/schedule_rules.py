"""When a scheduled import starts: parses schedules, computes their starts, and finds starts that have become due.

A slot is an instant at which the schedule asks for a start. The start itself comes up to `jitter` later. Everything
here is a function of its arguments, which include the present time and the note of the frontier.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from heapq import merge
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from crawlerd.core.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

CatchUp = Literal["once", "skip"]

LATE_SECONDS = 300.0  # a start is late after this time; the daemon looks at least once a minute
# If the clock is set back by less than this, no slot comes twice. If it is set back further, the earlier time counts as
# wrong, as in Debian's cron (cron(8): "clock changes of more than 3 hours are considered to be corrections").
CORRECTION_SECONDS = 3 * 3600.0
COUNTED = 10_000  # most missed slots that are counted one by one
KNOWN_GAPS = 10_000  # most schedules whose gaps are cached, since finding them takes a millisecond
COMPARED = 100  # number of slots whose distance is compared with `jitter`

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_GROUPS = {"day": "*", "weekday": "1-5", "weekend": "6,0"}
_FORMS = (
    'write for example "1h", "every day at 03:00", "every monday and friday at 03:00", or cron as in "*/15 * * * *"'
)
_AT = re.compile(r"every (?P<days>.+?) at (?P<times>.+)")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_BETWEEN = re.compile(r" ?, ?(?:and )?| and ")
_SAMPLE = datetime(2024, 1, 1, tzinfo=UTC)  # a rule is tried from this time when it is parsed


class Rule(NamedTuple):
    """A parsed schedule: either an interval, or cron expressions.

    every: seconds from one start to the next; 0 for cron expressions.
    crons: cron expressions of five fields; each slot of any of them is a slot.
    """

    every: float
    crons: tuple[str, ...] = ()


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule of an import.

    text: as configured.
    zone: IANA name of the time zone of its times.
    jitter: most seconds by which a start may come later than its slot.
    catch_up: whether one start makes up for missed ones, or none does.
    """

    text: str
    zone: str = "UTC"
    jitter: float = 0.0
    catch_up: CatchUp = "once"

    @property
    def rule(self) -> Rule:
        return parse_schedule(self.text)

    @property
    def key(self) -> str:
        """The settings on which slots depend, as text: when they change, past slots do not count."""
        return f"{self.text} {self.zone}"


class ScheduleNote(msgspec.Struct, frozen=True, kw_only=True):
    """The note of a schedule that the frontier stores. Times are Unix seconds.

    key: the key of its schedule.
    settled: the last slot that has led to a start or was skipped; for an interval, the start from which the next one
        counts.
    catch_up_at: when one start makes up for missed ones; None when that is not decided yet, or none is missed.
    skipped: how many slots have led to no start since the schedule was first seen.
    skipped_at, skipped_why: the last skipped slot, and why it was skipped.
    """

    key: str
    settled: float
    catch_up_at: float | None = None
    skipped: int = 0
    skipped_at: float | None = None
    skipped_why: str | None = None


class Start(NamedTuple):
    """A start. Times are Unix seconds.

    slot: the time by the schedule.
    at: the time of the start, with its share of `jitter`.
    """

    slot: float
    at: float


class Due(NamedTuple):
    """The starts that have become due.

    start: the newest one whose time has come.
    missed: how many slots before it are not settled; if COUNTED or more, there may be more.
    missed_at: the last of these slots.
    late: whether the start is late by more than LATE_SECONDS.
    """

    start: Start
    missed: int
    missed_at: float | None
    late: bool


@lru_cache  # many imports may have the same schedule
def parse_schedule(text: str) -> Rule:
    """Parses a schedule. Raises ValueError, which says how to write one, for invalid text and impossible dates."""
    plain = " ".join(text.split())
    found = re.fullmatch(r"(?:every )?([\d.a-z]{1,80})", plain)
    if found and any(each.isdigit() for each in found[1]):
        return Rule(parse_duration(found[1]))
    if plain.lower().startswith("every"):
        return Rule(0.0, _in_words(plain.lower()))
    if plain.startswith("@"):
        raise ValueError(f'"{plain[:40]}" is not understood; {_FORMS}')
    fields = plain.split(" ")
    if len(fields) != 5:
        raise ValueError(f'"{plain[:80]}" is not a schedule; {_FORMS}')
    try:
        next(CronSim(plain, _SAMPLE))
    except CronSimError as error:
        raise ValueError(f'"{plain[:80]}": {str(error)[:1].lower()}{str(error)[1:]}; {_FORMS}') from None
    except StopIteration:
        raise ValueError(f'"{plain[:80]}" is a date that never comes') from None
    return Rule(0.0, (plain,))


def _in_words(text: str) -> tuple[str, ...]:
    found = _AT.fullmatch(text)
    if not found:
        raise ValueError(f'"{text[:80]}" is not understood; {_FORMS}')
    days = _days(found["days"])
    crons = []
    for time in _BETWEEN.split(found["times"]):
        at = _TIME.fullmatch(time)
        if not at:
            raise ValueError(f'"{time[:20]}" is not a time of day; write for example "03:00" or "15:30"')
        crons.append(f"{int(at[2])} {int(at[1])} * * {days}")
    return tuple(dict.fromkeys(crons))


def _days(text: str) -> str:
    """The days, in the notation of cron."""
    if text in _GROUPS:
        return _GROUPS[text]
    days = []
    for name in _BETWEEN.split(text):
        if name not in DAYS:
            raise ValueError(f'"{name[:20]}" is not a day; write "day", "weekday", "weekend" or days such as "monday"')
        days.append(str((DAYS.index(name) + 1) % 7))
    return ",".join(dict.fromkeys(days))


def jitter_problem(schedule: Schedule) -> str | None:
    """Why the jitter is too large, so that two starts could change their order; None when it is not."""
    shortest, _ = gaps(schedule)
    return "must be shorter than the time between two starts" if schedule.jitter >= shortest else None


def period(schedule: Schedule | None) -> float | None:
    """The longest time between two starts, in seconds; None on demand."""
    return None if schedule is None else gaps(schedule)[1]


@lru_cache(maxsize=KNOWN_GAPS)
def gaps(schedule: Schedule) -> tuple[float, float]:
    """The shortest and the longest time between two slots, in seconds."""
    rule = schedule.rule
    if rule.every:
        return rule.every, rule.every
    slots = islice(_slots(rule, schedule.zone, _SAMPLE.timestamp()), COMPARED)
    found = [later - slot for slot, later in pairwise(slots)] or [math.inf]
    return min(found), max(found)


def words(schedule: Schedule) -> str:
    """The schedule as text for people, without its zone."""
    rule = schedule.rule
    if rule.every:
        return f"{schedule.text.split()[-1]} after the last start"
    if schedule.text.strip().lower().startswith("every"):
        return " ".join(schedule.text.split())
    explained: str = CronSim(rule.crons[0], _SAMPLE).explain()
    return f"{explained[:1].lower()}{explained[1:]}"


def share(name: str, slot: float) -> float:
    """A number from 0 to 1 by which a start is spread: the same for an import and slot on every machine and after every
    restart."""
    digest = hashlib.blake2b(f"{name}\0{slot:.3f}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def starts(schedule: Schedule, name: str, settled: float, now: float) -> Iterator[Start]:
    """Yields the future starts, usually without end, if all slots up to `settled` and up to now are settled."""
    rule, seen = schedule.rule, now - schedule.jitter
    after = settled + _intervals(rule.every, settled, seen) * rule.every if rule.every else max(settled, seen)
    for slot in _slots(rule, schedule.zone, after):
        start = _start(schedule, name, slot)
        if start.at > now:
            yield start


def due(schedule: Schedule, name: str, settled: float, now: float) -> Due | None:
    """The starts that have become due since `settled`; None when there are none."""
    rule = schedule.rule
    if rule.every:
        count = _intervals(rule.every, settled, now)
        if count and _start(schedule, name, settled + count * rule.every).at > now:
            count -= 1
        if not count:
            return None
        start = _start(schedule, name, settled + count * rule.every)
        before = start.slot - rule.every if count > 1 else None
    else:
        count, slots = _latest(rule, schedule.zone, settled, now)
        if slots and _start(schedule, name, slots[-1]).at > now:
            count, slots = count - 1, slots[:-1]
        if not slots:
            return None
        start = _start(schedule, name, slots[-1])
        before = slots[-2] if len(slots) > 1 else None
    return Due(start, count - 1, before, now - start.at > LATE_SECONDS)


def started(schedule: Schedule, note: ScheduleNote, found: Due, now: float, why: str) -> ScheduleNote:
    """The note after the newest due start. why: why the earlier ones were skipped."""
    settled = now if schedule.rule.every else found.start.slot
    return _passed(note, settled, found.missed, found.missed_at, why)


def skipped(note: ScheduleNote, found: Due, why: str) -> ScheduleNote:
    """The note after all due starts were skipped."""
    return _passed(note, found.start.slot, found.missed + 1, found.start.slot, why)


def _passed(note: ScheduleNote, settled: float, count: int, at: float | None, why: str) -> ScheduleNote:
    if not count:
        return msgspec.structs.replace(note, settled=settled, catch_up_at=None)
    return ScheduleNote(key=note.key, settled=settled, skipped=note.skipped + count, skipped_at=at, skipped_why=why)


def known(schedule: Schedule, note: ScheduleNote | None, last_started: float | None, now: float) -> ScheduleNote | None:
    """The note to use, which must be stored if it differs from `note`. None when there is no start from which an
    interval can count: the import starts at once.

    last_started: when the import's newest run began, for an import without a note.
    """
    interval = bool(schedule.rule.every)
    if note is None and interval:
        return None if last_started is None else ScheduleNote(key=schedule.key, settled=min(last_started, now))
    if note is None:
        return ScheduleNote(key=schedule.key, settled=now)
    changed = note.key != schedule.key
    back = note.settled > now + (0.0 if interval else CORRECTION_SECONDS)  # the clock was ahead, and was corrected
    if not changed and not back:
        return note
    settled = now if back or not interval else note.settled
    return msgspec.structs.replace(note, key=schedule.key, settled=settled, catch_up_at=None)


def is_full(last_full: float | None, full_every: float, now: float, following: float | None) -> bool:
    """Whether a run that starts now must be a full one: it is the start that is nearest to `full_every` seconds after
    the last full one. following: the next start after this one."""
    if last_full is None:
        return True
    return now + (max(0.0, following - now) / 2 if following is not None else 0.0) >= last_full + full_every


def _start(schedule: Schedule, name: str, slot: float) -> Start:
    return Start(slot, slot + share(name, slot) * schedule.jitter if schedule.jitter else slot)


def _intervals(every: float, settled: float, now: float) -> int:
    """How many intervals have passed."""
    count = max(0, math.floor((now - settled) / every))
    while count and settled + count * every > now:
        count -= 1
    while settled + (count + 1) * every <= now:
        count += 1
    return count


def _slots(rule: Rule, zone: str, after: float) -> Iterator[float]:
    """Yields the slots after a time, in ascending order, each once."""
    if rule.every:
        number = 1
        while True:
            yield after + number * rule.every
            number += 1
    last = after
    start = datetime.fromtimestamp(after, ZoneInfo(zone))
    for slot in merge(*((at.timestamp() for at in CronSim(cron, start)) for cron in rule.crons)):
        if slot > last:  # cronsim may go back in the hour that comes twice at the end of daylight saving time
            last = slot
            yield slot


@lru_cache  # hundreds of imports may have the same schedule and the same last slot
def _latest(rule: Rule, zone: str, settled: float, now: float) -> tuple[int, tuple[float, ...]]:
    """The number of slots after `settled` up to now, at most COUNTED + 2, and the last two or three of them."""
    count, latest = 0, list[float]()
    for slot in _slots(rule, zone, settled):
        if slot > now:
            return count, tuple(latest)
        count += 1
        latest = [*latest[-2:], slot]
        if count > COUNTED:
            break
    window = 3600.0
    while True:  # finds the newest slots, beginning at a time near to them
        near = deque(takewhile(lambda slot: slot <= now, _slots(rule, zone, now - window)), maxlen=3)
        if len(near) == 3:
            return count, tuple(near)
        window *= 4
