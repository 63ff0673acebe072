"""When a scheduled import starts: texts to rules, rules to starts, and what became due since it was last looked at.

A slot is an instant at which the schedule asks for a start. The start itself comes up to `jitter` later. Everything
here is a function of its arguments: the time now and what the frontier noted are handed in.
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

LATE_SECONDS = 300.0  # after its time up to which a start is on time: the daemon looks at least once a minute
# How far the clock may be set back without a slot coming twice. Beyond it the time before counts as wrong, as for
# Debian's cron (cron(8): "clock changes of more than 3 hours are considered to be corrections").
CORRECTION_SECONDS = 3 * 3600.0
COUNTED = 10_000  # missed slots that are counted one by one
KNOWN_GAPS = 10_000  # schedules whose gaps are remembered: to find them takes a millisecond
COMPARED = 100  # slots whose distance is compared with `jitter`

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_GROUPS = {"day": "*", "weekday": "1-5", "weekend": "6,0"}
_FORMS = (
    'write for example "1h", "every day at 03:00", "every monday and friday at 03:00", or cron as in "*/15 * * * *"'
)
_AT = re.compile(r"every (?P<days>.+?) at (?P<times>.+)")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_BETWEEN = re.compile(r" ?, ?(?:and )?| and ")
_SAMPLE = datetime(2024, 1, 1, tzinfo=UTC)  # from which a rule is tried when it is read


class Rule(NamedTuple):
    """What a text asks for: one of the two.

    every: seconds from one start to the next; 0 where it goes by the clock.
    crons: cron expressions of five fields; a slot of any of them is a slot.
    """

    every: float
    crons: tuple[str, ...] = ()


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """
    text: as it is configured.
    zone: IANA name of the time zone in which the clock is read.
    jitter: seconds by which starts are spread, at most.
    catch_up: whether one start makes up for those that were missed, or none.
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
        """What slots depend on: where it changes, slots of the past do not count."""
        return f"{self.text} {self.zone}"


class ScheduleNote(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives the daemon. Times in Unix seconds.

    key: of the schedule that it is about.
    settled: the last slot that has led to a start or was skipped; with an interval, the start that the next one counts
        from.
    catch_up_at: when one start makes up for missed ones; None when that is not settled, or nothing is missed.
    skipped: slots that led to no start, since the schedule was first seen.
    skipped_at, skipped_why: of the last one of them.
    """

    key: str
    settled: float
    catch_up_at: float | None = None
    skipped: int = 0
    skipped_at: float | None = None
    skipped_why: str | None = None


class Start(NamedTuple):
    """
    slot: when the schedule asks for it.
    at: when it comes, with its share of `jitter`.
    """

    slot: float
    at: float


class Due(NamedTuple):
    """
    start: the newest one whose time has come.
    missed: slots before it that are not settled; at COUNTED or more, "at least".
    missed_at: the last of those.
    late: by more than LATE_SECONDS.
    """

    start: Start
    missed: int
    missed_at: float | None
    late: bool


@lru_cache  # many imports may have the same
def parse_schedule(text: str) -> Rule:
    """ValueError, which says how to write it, for a text that asks for nothing or for a date that never comes."""
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
    """As cron has them."""
    if text in _GROUPS:
        return _GROUPS[text]
    days = []
    for name in _BETWEEN.split(text):
        if name not in DAYS:
            raise ValueError(f'"{name[:20]}" is not a day; write "day", "weekday", "weekend" or days such as "monday"')
        days.append(str((DAYS.index(name) + 1) % 7))
    return ",".join(dict.fromkeys(days))


def jitter_problem(schedule: Schedule) -> str | None:
    """What is wrong with it: two starts could change places."""
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
    """The schedule as people say it, without its zone."""
    rule = schedule.rule
    if rule.every:
        return f"{schedule.text.split()[-1]} after the last start"
    if schedule.text.strip().lower().startswith("every"):
        return " ".join(schedule.text.split())
    explained: str = CronSim(rule.crons[0], _SAMPLE).explain()
    return f"{explained[:1].lower()}{explained[1:]}"


def share(name: str, slot: float) -> float:
    """0 up to 1, the same for an import and a slot on every machine and after every restart."""
    digest = hashlib.blake2b(f"{name}\0{slot:.3f}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def starts(schedule: Schedule, name: str, settled: float, now: float) -> Iterator[Start]:
    """The starts that are to come, without end as a rule, when all slots up to `settled` and up to now are settled."""
    rule, seen = schedule.rule, now - schedule.jitter
    after = settled + _intervals(rule.every, settled, seen) * rule.every if rule.every else max(settled, seen)
    for slot in _slots(rule, schedule.zone, after):
        start = _start(schedule, name, slot)
        if start.at > now:
            yield start


def due(schedule: Schedule, name: str, settled: float, now: float) -> Due | None:
    """What has become due since `settled`; None when that is nothing."""
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
    """The note once a start has made up for what was due. why: those before it led to none."""
    settled = now if schedule.rule.every else found.start.slot
    return _passed(note, settled, found.missed, found.missed_at, why)


def skipped(note: ScheduleNote, found: Due, why: str) -> ScheduleNote:
    """The note once all of it was skipped."""
    return _passed(note, found.start.slot, found.missed + 1, found.start.slot, why)


def _passed(note: ScheduleNote, settled: float, count: int, at: float | None, why: str) -> ScheduleNote:
    if not count:
        return msgspec.structs.replace(note, settled=settled, catch_up_at=None)
    return ScheduleNote(key=note.key, settled=settled, skipped=note.skipped + count, skipped_at=at, skipped_why=why)


def known(schedule: Schedule, note: ScheduleNote | None, last_started: float | None, now: float) -> ScheduleNote | None:
    """The note to go by; to be noted where it is another one. None where an interval has nothing to count from: it
    starts at once.

    last_started: of the import's newest run, for an import without a note.
    """
    interval = bool(schedule.rule.every)
    if note is None and interval:
        return None if last_started is None else ScheduleNote(key=schedule.key, settled=min(last_started, now))
    if note is None:
        return ScheduleNote(key=schedule.key, settled=now)
    changed = note.key != schedule.key
    back = note.settled > now + (0.0 if interval else CORRECTION_SECONDS)  # the clock was ahead, and was set right
    if not changed and not back:
        return note
    settled = now if back or not interval else note.settled
    return msgspec.structs.replace(note, key=schedule.key, settled=settled, catch_up_at=None)


def is_full(last_full: float | None, full_every: float, now: float, following: float | None) -> bool:
    """Whether a run that starts now is to be full: of the starts, the one nearest to `full_every` after the last full
    one. following: the next start after this one."""
    if last_full is None:
        return True
    return now + (max(0.0, following - now) / 2 if following is not None else 0.0) >= last_full + full_every


def _start(schedule: Schedule, name: str, slot: float) -> Start:
    return Start(slot, slot + share(name, slot) * schedule.jitter if schedule.jitter else slot)


def _intervals(every: float, settled: float, now: float) -> int:
    """How many have passed, exactly."""
    count = max(0, math.floor((now - settled) / every))
    while count and settled + count * every > now:
        count -= 1
    while settled + (count + 1) * every <= now:
        count += 1
    return count


def _slots(rule: Rule, zone: str, after: float) -> Iterator[float]:
    """Ascending, each once."""
    if rule.every:
        number = 1
        while True:
            yield after + number * rule.every
            number += 1
    last = after
    start = datetime.fromtimestamp(after, ZoneInfo(zone))
    for slot in merge(*((at.timestamp() for at in CronSim(cron, start)) for cron in rule.crons)):
        if slot > last:  # not so in the hour that comes twice, where cronsim begins with its first pass
            last = slot
            yield slot


@lru_cache  # hundreds of imports may have the same schedule, and were last settled at the same slot
def _latest(rule: Rule, zone: str, settled: float, now: float) -> tuple[int, tuple[float, ...]]:
    """How many slots there are after `settled` up to now, at most COUNTED + 2, and the last two or three of them."""
    count, latest = 0, list[float]()
    for slot in _slots(rule, zone, settled):
        if slot > now:
            return count, tuple(latest)
        count += 1
        latest = [*latest[-2:], slot]
        if count > COUNTED:
            break
    window = 3600.0
    while True:  # the newest ones, from a time near to them
        near = deque(takewhile(lambda slot: slot <= now, _slots(rule, zone, now - window)), maxlen=3)
        if len(near) == 3:
            return count, tuple(near)
        window *= 4
