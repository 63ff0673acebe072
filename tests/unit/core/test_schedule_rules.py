"""When scheduled imports start: the laws, in virtual time, in zones with and without changes of the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core import schedule_rules
from crawlerd.core.schedule_rules import (
    COUNTED,
    DAYS,
    LATE_SECONDS,
    Schedule,
    ScheduleNote,
    due,
    is_full,
    jitter_problem,
    known,
    parse_schedule,
    started,
    starts,
    words,
)

HOUR, DAY = 3600.0, 86_400.0
# Lord Howe's clock changes by half an hour, Cairo's at midnight, Tokyo's not at all.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Tokyo", "UTC")
zones = st.sampled_from(ZONES)
days = st.dates(date(2024, 1, 1), date(2027, 12, 31))
times_of_day = st.tuples(st.integers(0, 23), st.integers(0, 59))


def at(text: str, zone: str) -> float:
    """Unix seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def said(seconds: float, zone: str) -> str:
    return datetime.fromtimestamp(seconds, ZoneInfo(zone)).isoformat(timespec="minutes")


def following(schedule: Schedule, after: float, most: int) -> list[float]:
    return [each.slot for each in islice(starts(schedule, "i", after, after), most)]


def asked_for(day: date, hour: int, minute: int, zone: str) -> float:
    """The instant of a local time: the first of two, or where the clock skips it, the first one after the gap."""
    local = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - made aware below
    for fold in (0, 1):
        instant = local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)
        if instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local:
            return instant.timestamp()
    instant = local.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC)  # before the gap
    while instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < local:
        instant += timedelta(minutes=1)
    return instant.timestamp()


@given(zone=zones, day=days, time=times_of_day)
def test_each_day_has_one_start_at_the_local_time_asked_for(zone: str, day: date, time: tuple[int, int]) -> None:
    hour, minute = time
    schedule = Schedule(text=f"every day at {hour:02}:{minute:02}", zone=zone)
    wanted = [asked_for(day + timedelta(days=number), hour, minute, zone) for number in range(10)]
    assert following(schedule, wanted[0] - 1, 10) == wanted


@pytest.mark.parametrize("zone", ZONES)
def test_no_day_of_three_years_is_missing_or_double(zone: str) -> None:
    changes = [date(2025, 1, 1) + timedelta(days=number) for number in range(3 * 365)]
    for hour, minute in ((0, 0), (0, 30), (1, 59), (2, 0), (2, 30), (3, 0)):
        schedule = Schedule(text=f"every day at {hour:02}:{minute:02}", zone=zone)
        wanted = [asked_for(day, hour, minute, zone) for day in changes]
        assert following(schedule, wanted[0] - 1, len(wanted)) == wanted


@pytest.mark.slow
@given(
    zone=zones,
    text=st.sampled_from(["*/30 * * * *", "15 * * * *", "30 2 * * *", "0 2,3 * * 0", "*/20 1-3 * * *", "0 3 1,15 * *"]),
    day=days,
    seconds=st.floats(0, 3 * DAY),
)
def test_starts_are_the_same_from_wherever_one_looks(zone: str, text: str, day: date, seconds: float) -> None:
    """Also within an hour that comes twice."""
    schedule = Schedule(text=text, zone=zone)
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    slots = following(schedule, begin, 400)
    assert all(earlier < later for earlier, later in pairwise(slots))
    after = begin + seconds
    later = [slot for slot in slots if slot > after]
    assert following(schedule, after, 20)[: len(later)] == later[:20]


def test_the_hours_that_are_skipped_and_that_come_twice() -> None:
    """As docs/reference.md says."""
    zone = "Europe/Berlin"
    daily = Schedule(text="every day at 02:30", zone=zone)
    assert [said(slot, zone) for slot in following(daily, at("2026-03-28T12:00", zone), 2)] == [
        "2026-03-29T03:00+02:00",  # the clock goes from 02:00 to 03:00
        "2026-03-30T02:30+02:00",
    ]
    assert [said(slot, zone) for slot in following(daily, at("2026-10-24T12:00", zone), 2)] == [
        "2026-10-25T02:30+02:00",  # the first of two
        "2026-10-26T02:30+01:00",
    ]
    often = Schedule(text="*/30 * * * *", zone=zone)
    assert [said(slot, zone)[11:] for slot in following(often, at("2026-10-25T01:45", zone), 5)] == [
        "02:00+02:00",
        "02:30+02:00",
        "02:00+01:00",
        "02:30+01:00",
        "03:00+01:00",
    ]
    half = Schedule(text="every day at 02:15", zone="Australia/Lord_Howe")
    assert [said(slot, half.zone) for slot in following(half, at("2026-10-03T12:00", half.zone), 2)] == [
        "2026-10-04T02:30+11:00",  # the clock goes from 02:00 to 02:30
        "2026-10-05T02:15+11:00",
    ]
    both = Schedule(text="every day at 02:15 and 02:45", zone=zone)
    assert [said(slot, zone) for slot in following(both, at("2026-03-29T00:00", zone), 2)] == [
        "2026-03-29T03:00+02:00",  # both of them, once
        "2026-03-30T02:15+02:00",
    ]


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("every day at 03:00", ["Wed 03:00", "Thu 03:00", "Fri 03:00"]),
        ("Every Monday at 3:00", ["Mon 03:00", "Mon 03:00", "Mon 03:00"]),
        ("every monday, wednesday and sunday at 23:59", ["Wed 23:59", "Sun 23:59", "Mon 23:59"]),
        ("every weekday at 06:00 and 18:30", ["Wed 06:00", "Wed 18:30", "Thu 06:00"]),
        ("every weekend at 12:00", ["Sat 12:00", "Sun 12:00", "Sat 12:00"]),
        ("30 4 * * 1", ["Mon 04:30", "Mon 04:30", "Mon 04:30"]),
        ("0 0 1 * *", ["Sun 00:00", "Sun 00:00", "Wed 00:00"]),
    ],
)
def test_a_text_asks_for_these_starts(text: str, slots: list[str]) -> None:
    found = following(Schedule(text=text), at("2026-01-14T00:00", "UTC"), 3)
    assert [datetime.fromtimestamp(slot, UTC).strftime("%a %H:%M") for slot in found] == slots


@given(names=st.lists(st.sampled_from(DAYS), min_size=1, unique=True), time=times_of_day)
def test_words_ask_for_the_days_that_they_name(names: list[str], time: tuple[int, int]) -> None:
    text = f"every {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]} at {time[0]:02}:{time[1]:02}"
    slots = [datetime.fromtimestamp(slot, UTC) for slot in following(Schedule(text=text), 1.8e9, 7 * len(names))]
    assert {DAYS[slot.weekday()] for slot in slots} == set(names)
    assert {(slot.hour, slot.minute) for slot in slots} == {time}
    assert slots[-1] - slots[0] < timedelta(days=49)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a schedule"),
        ("hourly", "is not a schedule"),
        ("@daily", "is not understood"),
        ("every day", "is not understood"),
        ("every funday at 03:00", '"funday" is not a day'),
        ("every day at 24:00", '"24:00" is not a time of day'),
        ("every day at 3pm", '"3pm" is not a time of day'),
        ("every day at 03:00 and", '"03:00 and" is not a time of day'),
        ("0 3 * *", "is not a schedule"),
        ("0 0 3 * * *", "is not a schedule"),
        ("61 * * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0s", "too short"),
        ("1x", "is not a duration"),
        ("every 5 minutes", "is not understood"),
    ],
)
def test_a_text_that_asks_for_nothing_is_explained(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1h", "1h after the last start"),
        ("every 1h", "1h after the last start"),
        ("every  monday at 03:00", "every monday at 03:00"),
        ("*/15 * * * *", "every 15th minute of every hour"),
        ("0 3 * * 1", "at 03:00 on Monday"),
    ],
)
def test_a_schedule_is_said_in_words(text: str, said: str) -> None:
    assert words(Schedule(text=text)) == said


@pytest.mark.parametrize(
    ("text", "jitter", "fits"),
    [("1h", 3599, True), ("1h", 3600, False), ("0 * * * *", 3000, True), ("*/5 9 * * *", 300, False)],
)
def test_jitter_lets_no_two_starts_change_places(text: str, jitter: float, fits: bool) -> None:
    schedule = Schedule(text=text, jitter=jitter)
    assert (jitter_problem(schedule) is None) == fits


def test_jitter_is_the_same_after_a_restart_and_differs_by_import_and_day() -> None:
    schedule = Schedule(text="every day at 03:00", jitter=1800)
    one = list(islice(starts(schedule, "one", 1.8e9, 1.8e9), 50))
    assert one == list(islice(starts(schedule, "one", 1.8e9, 1.8e9), 50))
    delays = [start.at - start.slot for start in one]
    assert all(0 <= delay < 1800 for delay in delays)
    assert max(delays) - min(delays) > 900
    assert one != list(islice(starts(schedule, "two", 1.8e9, 1.8e9), 50))


SCHEDULES = st.builds(
    Schedule,
    text=st.sampled_from(["1h", "7m", "every day at 02:30", "*/10 * * * *", "every monday and friday at 00:00"]),
    zone=zones,
    jitter=st.sampled_from([0.0, 200.0]),
)


@given(
    schedule=SCHEDULES,
    day=days,
    steps=st.lists(st.floats(0.1, 4 * HOUR) | st.sampled_from([1.0, 60.0, 3 * DAY]), min_size=1, max_size=40),
    catch_up=st.sampled_from(["once", "skip"]),
)
def test_each_slot_leads_to_one_start_or_is_counted_as_skipped(
    schedule: Schedule, day: date, steps: list[float], catch_up: str
) -> None:
    """Whenever one looks, and with the note alone to go by, as after a restart."""
    now = begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    note = ScheduleNote(key=schedule.key, settled=now)
    started_slots: list[float] = []
    for step in steps:
        now += step
        planned = next(starts(schedule, "i", note.settled, now))
        assert planned.at > now
        found = due(schedule, "i", note.settled, now)
        if not found:
            continue
        assert found.start.at <= now
        assert note.settled < found.start.slot
        assert found.late == (now - found.start.at > LATE_SECONDS)
        if found.late and catch_up == "skip":
            note = schedule_rules.skipped(note, found, "down")
        else:
            started_slots.append(found.start.slot)
            note = started(schedule, note, found, now, "down")
        assert due(schedule, "i", note.settled, now) is None
    assert len(set(started_slots)) == len(started_slots)
    assert (note.skipped_at is None) == (note.skipped == 0) == (note.skipped_why is None)
    if not schedule.rule.every:  # those of an interval move with each start that is late
        passed = [
            start.slot
            for start in takewhile(lambda each: each.slot <= note.settled, starts(schedule, "i", begin, begin))
        ]
        assert len(started_slots) + note.skipped == len(passed)
        assert set(started_slots) <= set(passed)


def test_after_years_the_newest_start_is_found_and_the_rest_is_counted_up_to_a_bound() -> None:
    schedule = Schedule(text="* * * * *", zone="Europe/Berlin")
    now = at("2026-06-01T12:00:30", "Europe/Berlin")
    found = due(schedule, "i", now - 4 * 365 * DAY, now)
    assert found is not None
    assert found.start.slot == now - 30
    assert found.missed_at == now - 90
    assert found.missed >= COUNTED
    assert not found.late  # no storm, and nothing to make up for


def test_an_interval_counts_from_the_last_start_however_long_ago() -> None:
    schedule = Schedule(text="1s")
    found = due(schedule, "i", 0.0, 1e9 + 0.5)
    assert found is not None
    assert (found.start.slot, found.missed) == (1e9, 1e9 - 1)
    assert next(starts(schedule, "i", 0.0, 1e9 + 0.5)).slot == 1e9 + 1


@given(back=st.floats(0.001, 3 * HOUR - 1))
def test_a_clock_that_is_set_back_a_little_repeats_no_start(back: float) -> None:
    schedule = Schedule(text="*/10 * * * *")
    settled = 1.8e9
    note = ScheduleNote(key=schedule.key, settled=settled)
    assert known(schedule, note, None, settled - back) is note
    assert due(schedule, "i", settled, settled - back) is None
    assert next(starts(schedule, "i", settled, settled - back)).slot == settled + 600


def test_a_clock_that_was_years_ahead_does_not_hold_up_an_import_for_years() -> None:
    for text, wait in (("*/10 * * * *", 600), ("1h", HOUR)):
        schedule = Schedule(text=text)
        note = known(schedule, ScheduleNote(key=schedule.key, settled=4e9), None, 1.8e9)
        assert note is not None
        assert next(starts(schedule, "i", note.settled, 1.8e9)).slot <= 1.8e9 + wait
        assert due(schedule, "i", note.settled, 1.8e9) is None


def test_a_schedule_that_is_new_or_changed_misses_nothing_of_the_past() -> None:
    daily = Schedule(text="every day at 03:00")
    note = known(daily, None, 1.0, 1.8e9)
    assert note == ScheduleNote(key=daily.key, settled=1.8e9)
    moved = Schedule(text="every day at 03:00", zone="Asia/Tokyo")
    old = ScheduleNote(key=daily.key, settled=1.7e9, skipped=3, skipped_at=1.7e9, skipped_why="down", catch_up_at=1.8e9)
    again = known(moved, old, None, 1.8e9)
    assert again is not None
    assert (again.settled, again.catch_up_at, again.skipped) == (1.8e9, None, 3)
    assert known(daily, old, None, 1.8e9) is old


def test_an_interval_counts_from_the_last_run_also_where_nothing_is_noted_or_the_interval_is_new() -> None:
    hourly = Schedule(text="1h")
    assert known(hourly, None, None, 1.8e9) is None
    note = known(hourly, None, 1.7e9, 1.8e9)
    assert note is not None
    assert note.settled == 1.7e9
    longer = known(Schedule(text="2h"), note, 1.7e9, 1.8e9)
    assert longer is not None
    assert longer.settled == 1.7e9


@pytest.mark.slow
@given(hour=st.integers(0, 23), late=st.floats(0, 60))
def test_one_run_a_week_is_full_whatever_the_clock_does(hour: int, late: float) -> None:
    schedule = Schedule(text=f"every day at {hour:02}:00", zone="Europe/Berlin")
    last, gaps = None, []
    for number, slot in enumerate(following(schedule, 1.79e9, 365)):
        now = slot + (late * number) % 60
        if is_full(last, 7 * DAY, now, next(starts(schedule, "i", now, now)).at):
            gaps += [round((now - last) / DAY)] if last else []
            last = now
    assert set(gaps) == {7}
