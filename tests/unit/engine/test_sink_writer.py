"""Between the store and the sinks: who waits for a sink that refuses, and what comes of what it can never take."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.outcome import Batch, Bury, Comparison, Complete, Outcome, Retry, Sent, Skipped
from crawlerd.core.task import NewTask, Task
from crawlerd.engine.sink_target import Target
from crawlerd.engine.sink_writer import RETRY_SECONDS, SinkWriter
from crawlerd.frontier.contract import Ahead, Settled
from crawlerd.sink import Delivery, Mark, Refused, SinkError, SinkReplaced, SinkState, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest


@dataclass(eq=False)
class Notes:
    """A sink that notes what it gets, and refuses what it is told to."""

    error: str | None = None
    never: frozenset[int] = frozenset()
    lost: list[str] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    gone: bool = False

    def intact(self) -> bool:
        return not self.gone

    def idle(self) -> None: ...

    def state(self, frontier: str) -> SinkState:
        return SinkState("notes", None, fresh=True)

    def confirm(self, source: str, account: str, identity: str) -> str | None:
        return None

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        if self.gone:
            raise SinkReplaced("gone")
        if self.error:
            raise SinkError(self.error)
        for each in deliveries:
            if each.task in self.never:
                raise Refused(f"never {each.task}", each.task)
        self.tasks += [each.task for each in deliveries]
        return {(each.run, batch.stream): Totals(len(self.tasks)) for each in deliveries for batch in each.batches}

    def missing(self, delivery: Delivery, stream: str, prefix: str, after: str, parent: str = "") -> list[str]:
        if self.error:
            raise SinkError(self.error)
        assert delivery.task in self.tasks  # it was written
        if stream == "never":
            raise Refused("never such a stream", delivery.task)
        return [key for key in self.lost if key.startswith(prefix) and key > after]

    def ended(self, run: int) -> None:
        self.ends.append(run)

    def close(self) -> None: ...


def done(seq: int, run: int, outcome: Outcome | None = None) -> Settled:
    page = Complete([Batch("pages", 2, ["a", "b"], [b"{}", b"{}"])])
    return Settled(Task(seq, 1, 5, run, "shop.page", 0, "{}"), 1, outcome or page)


def writer(**sinks: Notes) -> SinkWriter:
    """A run for each sink, numbered from 1."""
    writer = SinkWriter()
    for run, (name, sink) in enumerate(sinks.items(), start=1):
        writer.serve(run, Target(sink, "shop", "acme", sink_name=name, sink_id=run), 100.0 + run)
    return writer


def numbers(group: Iterable[Settled]) -> list[int]:
    return [settled.task.seq for settled in group]


def test_what_has_nothing_for_a_sink_passes(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    out = writer(one=notes)
    out.serve(2, Target(None, "shop", "acme"), 0.0)
    group = [
        done(1, 1, Retry(1.0, "reset")),
        done(2, 1, Complete()),
        done(3, 2, Complete(skipped=[Skipped("s", "k", "r")])),
    ]
    assert out.deliver(group, 0.0, 0.0) == (group, {}, set())
    assert notes.tasks == []


def test_a_delivery_has_all_that_its_task_has_for_the_sink() -> None:
    seen: list[Delivery] = []

    class Keeps(Notes):
        def write(
            self, deliveries: list[Delivery], now: float, mark: Mark | None = None
        ) -> dict[tuple[int, str], Totals]:
            seen.extend(deliveries)
            return {}

    batch, skipped = Batch("pages", 2, ["a", "b"], [b"{}", b"{}"]), Skipped("pages", "k", "why")
    out = writer(one=Keeps())
    group = [
        done(7, 1, Complete([batch], skipped=[skipped], sweeps=[("pages", "p")])),
        done(8, 1, Complete(sweeps=[("a", "")])),
    ]
    out.deliver(group, 5.0, 0.0)
    assert seen == [
        Delivery("shop", "acme", 1, 101.0, 7, [batch], [("pages", "p")], [skipped]),
        Delivery("shop", "acme", 1, 101.0, 8, [], [("a", "")], []),
    ]
    assert out.records == 2


def test_a_sink_that_refuses_holds_up_its_own_runs_only(caplog: pytest.LogCaptureFixture) -> None:
    broken, fine = Notes(error="is locked"), Notes()
    out = writer(broken=broken, fine=fine)
    group, totals, written = out.deliver([done(1, 1), done(2, 2), done(3, 1, Complete()), done(4, 1)], 0.0, 0.0)
    assert numbers(group) == [2, 3]
    assert totals == {(2, "pages"): Totals(1)}
    assert written == {2}
    assert out.serving == {2}
    assert (out.fell_out, out.came_back) == ({1}, set())
    assert out.stuck() == {1: "sinks.broken: is locked"}
    assert not out.due(RETRY_SECONDS / 2)
    group, *_ = out.deliver([done(5, 1), done(6, 2)], 0.0, RETRY_SECONDS / 2)  # not tried again so soon
    assert numbers(group) == [6]
    assert out.due(RETRY_SECONDS)
    assert numbers(out.deliver([done(7, 2)], 0.0, RETRY_SECONDS)[0]) == [7]
    broken.error = None
    group, totals, written = out.deliver([done(8, 2), done(9, 1)], 0.0, 2 * RETRY_SECONDS)
    assert sorted(numbers(group)) == [1, 4, 5, 8, 9]
    assert broken.tasks == [1, 4, 5, 9]
    assert totals == {(1, "pages"): Totals(4), (2, "pages"): Totals(4)}
    assert written == {1, 2}
    assert out.serving == {1, 2}
    assert (out.fell_out, out.came_back, out.stuck()) == (set(), {1}, {})
    assert not out.due(1e9)
    assert out.records == 2 * (4 + 4)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "sinks.broken: is locked; nothing is lost, trying again every second",
        "recovered: sinks.broken: is locked",
    ]


def test_a_run_that_begins_while_its_sink_refuses_is_not_served_either() -> None:
    broken = Notes(error="is locked")
    out = writer(broken=broken)
    out.deliver([done(1, 1)], 0.0, 0.0)
    out.serve(2, Target(broken, "shop", "acme", sink_name="broken"), 0.0)
    assert out.serving == set()
    broken.error = None
    out.deliver([], 0.0, RETRY_SECONDS)
    assert out.serving == out.came_back == {1, 2}


def test_what_a_sink_can_never_take_is_buried_alone() -> None:
    picky = Notes(never=frozenset({2, 4}))
    out = writer(picky=picky)
    group, totals, written = out.deliver([done(number, 1) for number in range(1, 6)], 0.0, 0.0)
    assert [settled.outcome for settled in group if settled.task.seq in picky.never] == [
        Bury("never 2", stream="pages"),
        Bury("never 4", stream="pages"),
    ]
    assert numbers(group) == [1, 2, 3, 4, 5]
    assert picky.tasks == [1, 3, 5]
    assert totals == {(1, "pages"): Totals(3)}
    assert written == {1}
    assert out.records == 6
    assert out.serving == {1}


def test_nothing_of_a_run_goes_on_whose_sink_is_gone() -> None:
    """Not even tasks without records: a run that ended now would call itself complete."""
    gone, fine = Notes(), Notes()
    out = writer(gone=gone, fine=fine)
    out.deliver([done(1, 1)], 0.0, 0.0)
    gone.gone = True
    group, _, written = out.deliver(
        [done(2, 1, Complete()), done(3, 2), done(4, 1), done(5, 1, Retry(1.0, "x"))], 0.0, 0.0
    )
    assert numbers(group) == [3]
    assert written == {2}
    assert out.replaced == [gone]
    assert out.serving == {2}
    new = Notes()
    out.swap(gone, new)
    group, _, written = out.deliver([], 0.0, RETRY_SECONDS)
    assert sorted(numbers(group)) == [2, 4, 5]
    assert (new.tasks, written, out.replaced, out.serving) == ([4], {1}, [], {1, 2})


def test_what_waits_of_an_abandoned_run_is_dropped() -> None:
    gone = Notes(gone=True)
    out = writer(gone=gone)
    out.serve(2, Target(gone, "shop", "acme", sink_name="gone", sink_id=1), 0.0)
    out.deliver([done(1, 1), done(2, 2)], 0.0, 0.0)
    out.abandon([1])
    new = Notes()
    out.swap(gone, new)
    group, *_ = out.deliver([], 0.0, RETRY_SECONDS)
    assert numbers(group) == new.tasks == [2]
    assert out.targets.keys() == out.serving == {2}


def test_a_sink_hears_of_the_end_of_a_run() -> None:
    notes = Notes()
    out = writer(one=notes)
    out.end(1)
    out.end(1)
    assert notes.ends == [1]
    assert out.serving == set()


COMPARED = Comparison("pages", "p", "p1", NewTask("shop.lost", "lost", 5, '{"missing":[],"n":1}'), fills=True)
FOLLOWS = NewTask("shop.lost", "lost", 5, '{"missing":["p2","p3"],"n":1}')


def test_a_task_follows_where_the_sink_misses_something() -> None:
    notes = Notes(lost=["o", "p1", "p2", "p3"])
    out = writer(one=notes)
    child = NewTask("shop.page", "page", 5, "{}")
    nothing = msgspec.structs.replace(COMPARED, after="p3")
    group, *_ = out.deliver(
        [
            done(1, 1, Complete([Batch("pages", 2, ["a", "b"], [b"{}", b"{}"])], [child], comparisons=[COMPARED])),
            done(2, 1, Complete(comparisons=[nothing, COMPARED])),
            done(3, 1, Complete(comparisons=[nothing])),
        ],
        0.0,
        0.0,
    )
    assert [settled.outcome for settled in group] == [
        Complete([Batch("pages", 2, ["a", "b"], [b"{}", b"{}"])], [child, FOLLOWS]),
        Complete(children=[FOLLOWS]),
        Complete(),
    ]
    assert out.records == 2


def test_what_follows_a_comparison_has_the_priority_of_its_import() -> None:
    out = SinkWriter()
    out.serve(1, Target(Notes(lost=["p2", "p3"]), "shop", "acme", 1, "one"), 101.0)
    group, *_ = out.deliver([done(1, 1, Complete(comparisons=[COMPARED]))], 0.0, 0.0)
    assert group[0].outcome == Complete(children=[msgspec.structs.replace(FOLLOWS, priority=1)])


def test_a_comparison_waits_for_its_sink_and_is_made_when_that_takes_records_again() -> None:
    class Fails(Notes):
        def write(
            self, deliveries: list[Delivery], now: float, mark: Mark | None = None
        ) -> dict[tuple[int, str], Totals]:
            self.tasks += [each.task for each in deliveries]
            return {}

    broken = Fails(error="is locked", lost=["p2", "p3"])  # it takes records, and then cannot be read
    out = writer(broken=broken)
    page = Complete([Batch("pages", 2, ["a", "b"], [b"{}", b"{}"])], comparisons=[COMPARED])
    assert out.deliver([done(1, 1, page)], 0.0, 0.0)[0] == []
    assert out.stuck() == {1: "sinks.broken: is locked"}
    assert out.records == 0
    broken.error = None
    group, *_ = out.deliver([], 0.0, RETRY_SECONDS)
    assert [settled.outcome for settled in group] == [Complete(page.batches, [FOLLOWS])]
    assert (broken.tasks, out.records) == ([1, 1], 2)


def test_a_comparison_that_a_sink_refuses_is_buried_alone() -> None:
    out = writer(one=Notes(never=frozenset({1}), lost=["p2", "p3"]))
    never = msgspec.structs.replace(COMPARED, stream="never")
    outcomes = [Complete(comparisons=[COMPARED]), Complete(comparisons=[never]), Complete(comparisons=[COMPARED])]
    group, *_ = out.deliver([done(number, 1, each) for number, each in enumerate(outcomes, start=1)], 0.0, 0.0)
    assert [settled.outcome for settled in group] == [
        Bury("never 1", stream="pages"),
        Bury("never such a stream", stream="never"),
        Complete(children=[FOLLOWS]),
    ]


def test_a_comparison_without_a_sink_is_a_dead_letter() -> None:
    out = SinkWriter()
    out.serve(1, Target(None, "shop", "acme"), 0.0)
    group, *_ = out.deliver([done(1, 1, Complete(comparisons=[COMPARED]))], 0.0, 0.0)
    assert group[0].outcome == Bury("it yields records of pages, but its import has no sink", stream="pages")


def ahead(seq: int, run: int, token: int = 1) -> Ahead:
    page = Complete([Batch("pages", 2, ["a", "b"], [b"{}", b"{}"])])
    return Ahead(Task(seq, 1, 5, run, "shop.page", 0, "{}"), 1, page, token=token, entries=[], first=0)


def test_a_portion_is_written_and_stays_one() -> None:
    notes = Notes()
    out = writer(one=notes)
    group, totals, written = out.deliver([ahead(1, 1), done(2, 1)], 0.0, 0.0)
    assert [type(each) for each in group] == [Ahead, Settled]
    assert notes.tasks == [1, 2]
    assert totals == {(1, "pages"): Totals(2)}
    assert written == {1}
    assert out.records == 4


def test_a_portion_waits_for_its_sink_and_goes_on_with_it() -> None:
    broken = Notes(error="is locked")
    out = writer(broken=broken)
    assert out.deliver([ahead(1, 1)], 0.0, 0.0)[0] == []
    broken.error = None
    (portion,), *_ = out.deliver([], 0.0, RETRY_SECONDS)
    assert isinstance(portion, Ahead)
    assert broken.tasks == [1]


def test_a_portion_that_can_never_be_written_says_why() -> None:
    notes = Notes(never=frozenset([1]))
    (portion, other), *_ = writer(one=notes).deliver([ahead(1, 1), ahead(2, 1)], 0.0, 0.0)
    assert isinstance(portion, Ahead)
    assert portion.outcome == Bury("never 1", stream="pages")
    assert isinstance(other.outcome, Complete)
    out = writer(one=notes)
    out.serve(2, Target(None, "shop", "acme"), 0.0)
    (portion,), *_ = out.deliver([ahead(3, 2)], 0.0, 0.0)
    assert portion.outcome == Bury("it yields records of pages, but its import has no sink", stream="pages")


def test_a_portion_of_a_lost_lease_or_an_abandoned_run_waits_no_longer() -> None:
    broken = Notes(error="is locked")
    out = writer(broken=broken)
    out.serve(2, Target(broken, "shop", "acme", sink_name="broken"), 0.0)
    first, again, other, outcome = ahead(1, 1, 1), ahead(1, 1, 2), ahead(2, 2, 3), done(3, 2)
    out.deliver([first, other, outcome], 0.0, 0.0)
    out.deliver([again], 0.0, 0.0)
    out.void({1})
    assert out.dropped == [first]
    out.abandon([2])
    assert out.dropped == [first, other]
    broken.error = None
    assert out.deliver([], 0.0, RETRY_SECONDS)[0] == [again]


def test_what_was_sent_ahead_gets_the_imports_priority() -> None:
    outcome = Complete(sent=Sent(7, 3))
    changed = Target(None, "shop", "acme", priority=2).adapted(outcome)
    assert isinstance(changed, Complete)
    assert changed.sent == Sent(7, 3, priority=2)
    assert Target(None, "shop", "acme").adapted(outcome) is outcome


def test_a_run_that_tombstones_nothing_compares_nothing_and_notes_no_parents() -> None:
    then = NewTask("shop.missing", "pages", 5, "{}")
    outcome = Complete(
        [Batch("pages", 1, ["a"], [b"{}"])],
        sweeps=[("pages", "")],
        comparisons=[Comparison("pages", "", "", then, fills=True)],
        orphans=[("pages", "p")],
        parents=[("lines", "hash", True)],
    )
    adapted = Target(Notes(), "shop", "acme", sweeps=False).adapted(outcome)
    assert adapted == msgspec.structs.replace(outcome, sweeps=[], comparisons=[], parents=[], orphans=[])
    assert Target(None, "shop", "acme", sweeps=False).adapted(Complete(sweeps=[("pages", "")])) == Complete()


class Clock:
    """Of this process, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@dataclass(eq=False)
class Slow(Notes):
    """Takes some seconds for each write, also for one that fails."""

    clock: Clock | None = None
    seconds: float = 0.0
    tries: int = 0

    def write(self, deliveries: list[Delivery], now: float, mark: Mark | None = None) -> dict[tuple[int, str], Totals]:
        assert self.clock
        self.clock.now += self.seconds
        self.tries += 1
        return super().write(deliveries, now, mark)


def test_a_sink_that_fails_slowly_leaves_most_of_the_time_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """All imports wait while it is tried: at most a fifth of the time, however long a try takes."""
    clock = Clock(monkeypatch)
    slow = Slow("no answer", clock=clock, seconds=10.0)
    out = writer(slow=slow, good=Notes())
    began = clock.now
    out.deliver([done(1, 1), done(2, 2)], 0.0, clock.now)
    while clock.now < began + 1_000:
        clock.now += 1.0
        out.deliver([], 0.0, clock.now)
    assert slow.tries * slow.seconds <= (clock.now - began) / 5 + slow.seconds
    assert slow.tries > 15


def test_one_commit_waits_for_one_slow_sink_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    sinks = {f"sink{number}": Slow("no answer", clock=clock, seconds=10.0) for number in range(3)}
    out = writer(**sinks, good=Notes())
    for number in range(3):
        out.deliver([done(number, number + 1)], 0.0, clock.now)
    clock.now += 1_000  # all of them are due
    before = clock.now
    assert numbers(out.deliver([done(9, 4)], 0.0, clock.now).group) == [9]
    assert clock.now == before + 10
    for sink in sinks.values():
        sink.error = None
    returned: list[int] = []
    for _ in range(20):
        clock.now += 50.0
        returned += numbers(out.deliver([], 0.0, clock.now).group)
    assert sorted(returned) == [0, 1, 2]
    assert out.stuck() == {}


def test_what_waits_for_a_sink_is_not_written_again_with_a_commit_that_was_undone() -> None:
    """It is written when the sink is tried again, and would be written twice."""

    class Joined(Notes):
        joined, undone = True, False

    sink = Joined()
    out = writer(one=sink)
    out.deliver([done(1, 1)], 0.0, 0.0)
    sink.undone = True
    assert out.undone() == {sink}
    sink.error = "is locked"
    out.deliver([done(2, 1)], 0.0, 0.0)
    assert out.stuck()
    assert out.undone() == set()
