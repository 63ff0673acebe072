"""When an import starts: in virtual time, without a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.virtual_runs import HOUR, NOW, SPREAD, World

from crawlerd.core.errors import CrawlerdError, Permanent, SinkError, StorageFailed
from crawlerd.core.pauses import PauseNote, Pauses
from crawlerd.core.schedule_rules import Schedule, ScheduleNote
from crawlerd.engine.agenda import LONGEST_WAIT, START_MOST, START_SECONDS, STORAGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_an_import_starts_when_it_is_due_and_again_a_period_after_its_start() -> None:
    world = World({"hourly": HOUR, "daily": 24 * HOUR, "on_demand": None})
    assert sorted(world.due()) == ["daily", "hourly"]
    assert world.due() == []
    world.time += HOUR / 2
    world.end("hourly")
    world.end("daily")
    world.runs.ended()
    assert world.due() == []
    world.time = NOW + HOUR
    assert world.due() == ["hourly"]
    world.time = NOW + 24 * HOUR
    assert world.due() == ["daily"]  # the hourly one still runs


def test_what_is_due_while_it_runs_is_overdue_until_it_was_looked_at_again() -> None:
    world = World({"hourly": HOUR, "on_demand": None})
    assert world.due() == ["hourly"]
    world.end("hourly")
    world.runs.ended()
    assert world.due() == []
    for name in ("hourly", "on_demand"):  # by hand, or for what was submitted
        world.runs.start_import(name)
    world.due()
    assert world.agenda.overdue == set()
    world.time += HOUR
    assert world.due() == []
    assert world.agenda.overdue == {"hourly"}
    world.end("hourly")
    assert world.agenda.overdue == {"hourly"}, "nothing else may start before it"
    world.runs.ended()
    assert world.due() == ["hourly"]
    assert world.agenda.overdue == set()


def test_what_was_interrupted_goes_on_before_anything_else_starts() -> None:
    world = World({"a": HOUR, "b": None, "c": HOUR}, running=["b", "c"])
    assert world.due() == ["b", "c", "a"]


def test_an_abandoned_run_begins_again_at_once() -> None:
    world = World({"daily": 24 * HOUR})
    world.due()
    world.abandoned.add(number := world.end("daily", again=True))
    assert world.runs.abandoned([number, 1])
    assert not world.runs.abandoned([1])
    assert world.due() == []  # its end has not been heard of yet
    world.runs.ended()
    assert world.due() == ["daily"]


@pytest.mark.parametrize(
    ("problem", "seconds"),
    [(SinkError("locked"), STORAGE_SECONDS), (Permanent("a bug in the source"), START_SECONDS)],
)
def test_an_import_that_cannot_start_is_tried_again_later_and_holds_up_no_other(
    problem: CrawlerdError, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    world = World({"bad": HOUR, "good": HOUR})
    world.problems = {"bad": problem}
    assert world.due() == ["good"]
    assert f"import bad{' cannot start' * isinstance(problem, SinkError)}: {problem}" in caplog.text
    world.problems = {}
    world.time += seconds - 1
    assert world.due() == []
    world.time += 1
    assert world.due() == ["bad"]
    assert world.failure.error is None


def test_what_keeps_imports_from_starting_is_trouble_until_they_start_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World({"one": HOUR, "two": HOUR, "other": HOUR})
    world.problems = {"one": SinkError("the disk is full"), "two": SinkError("locked"), "other": Permanent("a bug")}
    for _ in range(3):
        world.due()
        assert world.agenda.trouble == "the disk is full"
        world.time += STORAGE_SECONDS
    del world.problems["one"]
    world.due()
    assert world.agenda.trouble == "locked"
    world.problems["two"] = SinkError("no longer a directory")
    world.time += STORAGE_SECONDS
    world.due()
    del world.problems["two"]
    world.time += STORAGE_SECONDS
    world.due()
    assert world.agenda.trouble is None
    said = [each.getMessage() for each in caplog.records if each.levelname in ("ERROR", "WARNING")]
    assert [each.partition(";")[0] for each in said if "import other" not in each] == [
        "import one cannot start: the disk is full",
        "import two cannot start: locked",
        "import two cannot start: no longer a directory",
        "imports that could not start can do so again",
    ]


def test_what_is_due_is_not_forgotten_when_the_store_cannot_say() -> None:
    world = World({"a": HOUR, "b": HOUR})
    world.broken = StorageFailed("full", full=True)
    assert world.agenda.start_due() == STORAGE_SECONDS
    assert world.agenda.trouble == "full"
    world.broken = None
    world.time += STORAGE_SECONDS
    assert sorted(world.due()) == ["a", "b"]


def test_it_says_when_it_wants_to_be_called_again() -> None:
    world = World({"a": HOUR})
    world.due()
    assert world.agenda.start_due() == LONGEST_WAIT
    world.end("a")
    world.runs.ended()
    assert world.agenda.start_due() == LONGEST_WAIT
    world.time = NOW + HOUR - 10
    assert world.agenda.start_due() == pytest.approx(10)
    assert World({}).agenda.start_due() == LONGEST_WAIT


def test_paused_accounts_are_tried_again_whenever_it_looks_at_what_is_due() -> None:
    world = World({"a": HOUR})
    world.due()
    world.due()
    assert world.probes == 2


def test_many_imports_start_in_slices() -> None:
    world = World({f"i{number}": HOUR for number in range(START_MOST + 10)})
    assert len(world.due()) == START_MOST
    assert world.agenda.start_due() >= 0
    assert len(set(world.starts)) == len(world.starts) == START_MOST + 10


DAILY = Schedule(text="every day at 03:00")
AT = 1_000_000.0 - 1_000_000.0 % 86_400 + 86_400 + 3 * HOUR  # the first 03:00 UTC after NOW
DAY = 24 * HOUR


def skipping(text: str = "every day at 03:00") -> Schedule:
    return Schedule(text=text, catch_up="skip")


def finish(world: World, name: str) -> None:
    world.end(name)
    world.runs.ended()


def test_a_schedule_by_the_clock_starts_at_its_times_and_not_at_once() -> None:
    world = World({"daily": DAILY})
    assert world.due() == []
    world.time = AT - 1
    assert world.due() == []
    assert world.agenda.start_due() == pytest.approx(1)
    world.time = AT
    assert world.due() == ["daily"]
    finish(world, "daily")
    assert world.due() == []
    world.time = AT + DAY - 1
    assert world.due() == []
    world.time += 1
    assert world.due() == ["daily"]
    assert world.notes["daily"].skipped == 0


def test_a_start_by_hand_moves_an_interval_but_no_time_of_day() -> None:
    world = World({"daily": DAILY, "hourly": HOUR})
    assert world.due() == ["hourly"]
    finish(world, "hourly")
    world.time = AT - 60
    world.due()
    for name in ("daily", "hourly"):
        if not world.running_runs(name):
            world.runs.start_import(name)
        finish(world, name)
    world.time = AT
    assert world.due() == ["daily"]
    world.time = AT - 60 + HOUR
    assert world.due() == ["hourly"]


def test_an_interval_counts_from_a_start_however_late_that_was() -> None:
    world = World({"hourly": HOUR})
    assert world.due() == ["hourly"]
    finish(world, "hourly")
    world.time += HOUR + 60  # not late enough to have been missed
    assert world.due() == ["hourly"]
    finish(world, "hourly")
    world.time += HOUR - 1
    assert world.due() == []
    world.time += 1
    assert world.due() == ["hourly"]


def test_missed_starts_lead_to_one_after_downtime_or_to_none(caplog: pytest.LogCaptureFixture) -> None:
    world = World({"once": DAILY, "skip": skipping()})
    world.due()
    world.time = AT + 3 * DAY + 4 * HOUR  # as after a suspend: nobody looked meanwhile
    assert world.due() == ["once"]
    assert world.due() == []
    once, skip = world.notes["once"], world.notes["skip"]
    assert (once.skipped, once.skipped_at, once.settled) == (3, AT + 2 * DAY, AT + 3 * DAY)
    assert (skip.skipped, skip.skipped_at, skip.settled) == (4, AT + 3 * DAY, AT + 3 * DAY)
    assert once.skipped_why == skip.skipped_why == "the machine was suspended, or its clock was set forward"
    assert "import skip: 4 scheduled starts skipped: the machine was suspended" in caplog.text
    assert "import once: one start makes up for what was missed; 3 scheduled starts skipped" in caplog.text
    world.time = AT + 4 * DAY
    finish(world, "once")
    assert sorted(world.due()) == ["once", "skip"]


def test_overdue_imports_are_spread_and_a_restart_moves_none() -> None:
    schedules = {f"i{number}": DAILY for number in range(10)}
    world = World(schedules)
    world.due()
    notes = dict(world.notes)
    later = AT + 2 * HOUR

    def restarted(notes: Mapping[str, ScheduleNote], now: float) -> World:
        world = World(schedules)
        world.notes, world.time = dict(notes), now
        return world

    world = restarted(notes, later)
    planned = {}
    for second in range(int(SPREAD) + 1):
        world.time = later + second
        planned |= dict.fromkeys(world.due(), second)
    assert sorted(planned) == sorted(schedules)
    assert sorted(planned.values()) == [60 * number for number in range(10)]
    # Every 50 s another daemon, each with the notes of the one before.
    found: dict[str, int] = {}
    world = restarted(notes, later)
    for second in range(0, int(SPREAD) + 1, 50):
        world = restarted(world.notes, later + second)
        for turn in range(50):
            world.time = later + second + turn
            found |= dict.fromkeys(world.due(), second + turn)
            for name in found:
                if world.running_runs(name):
                    finish(world, name)
    assert found == planned


def test_what_was_missed_while_a_run_was_under_way_is_made_up_for_after_it() -> None:
    world = World({"once": Schedule(text="0 * * * *"), "skip": skipping("0 * * * *")})
    world.time = AT - 60
    world.due()
    world.time = AT
    assert sorted(world.due()) == ["once", "skip"]
    world.time = AT + 2.5 * HOUR
    assert world.due() == []  # one run of an import at a time
    runs = {name: world.latest[name].id for name in ("once", "skip")}
    finish(world, "once")
    finish(world, "skip")
    assert world.due() == ["once"]
    assert (world.notes["once"].skipped, world.notes["skip"].skipped) == (1, 2)
    for name, run in runs.items():
        assert world.notes[name].skipped_why == f"run {run} was still under way"


def test_why_nothing_started_is_the_last_reason_that_there_was() -> None:
    world = World({"paused": skipping(), "bad": skipping(), "down": skipping()})
    world.due()
    note = PauseNote(kind="import", name="paused", reason="r", by="ann", since=NOW, until=None)
    world.pauses.current = Pauses([note], lambda account: None)
    world.problems = {"bad": SinkError("locked")}
    world.time = AT
    assert world.due() == ["down"]
    world.time = AT + HOUR
    world.due()
    world.pauses.current = Pauses((), lambda account: None)
    world.pauses.resumed.put("paused")
    assert world.due() == []
    finish(world, "down")
    assert world.notes["paused"].skipped_why == "the import was paused"
    assert world.notes["bad"].skipped_why == "it could not start: locked"
    notes = world.notes
    world = World({"down": skipping()})
    world.notes = notes
    world._scheduling._began = world.time = AT + DAY + HOUR
    world.due()
    assert world.notes["down"].skipped_why == "crawlerd was not running"


def test_a_clock_that_was_ahead_and_is_set_right_holds_up_nothing() -> None:
    world = World({"daily": DAILY, "hourly": HOUR})
    world.time = AT + 1000 * DAY
    world.due()
    finish(world, "hourly")
    world.due()
    world.time = AT - 60
    assert world.due() == []
    world.time = AT
    assert world.due() == ["daily"]
    world.time = AT - 60 + HOUR
    assert world.due() == ["hourly"]


def test_many_starts_by_hand_leave_no_more_to_look_at() -> None:
    world = World({"hourly": HOUR})
    for _ in range(50):
        world.runs.start_import("hourly")
        finish(world, "hourly")
        world.time += 1
        world.due()
    world.time += HOUR
    assert world.due() == ["hourly"]
    assert world.agenda._agenda == []
