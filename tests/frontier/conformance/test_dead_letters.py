"""Dead letters: their groups, which ones match, and which are shown as one."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from places import NOW
from support.ready_tasks import bucket_heads

from crawlerd.core.outcome import POISON, Batch, Bury, Complete, Crash, Defer, Outcome, Retry, Tried
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier.contract import Frontier, Settled
from crawlerd.frontier.letter_filter import ALL, LetterFilter
from crawlerd.frontier.reports import Act, AttemptReport, LetterCount, OperationReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from places import Place

    from crawlerd.core.task import Task
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import LetterAct


@pytest.fixture
def reader(place: Place, frontier: Frontier) -> Iterator[FrontierReader]:
    with closing(place.reader()) as reader:
        yield reader


def bury(frontier: Frontier, name: str, *errors: str, account: str = "acme", at: float = NOW, stream: str = "") -> int:
    """A run of as many tasks, which die with these errors."""
    number = frontier.account(account, "src")
    tasks = [NewTask(f"{name}.page", name, 5, f'{{"n":{place}}}') for place in range(len(errors))]
    run = frontier.start_run(name, number, tasks, full=True, now=at).run
    settle(frontier, run, number, [Bury(error, stream=stream) for error in errors], at)
    return run


def settle(frontier: Frontier, run: int, account: int, outcomes: list[Outcome], at: float = NOW) -> None:
    tasks = [
        task
        for bucket in range(1, 10)
        for task in bucket_heads(frontier, bucket, (-1, -1), 100)
        if task.run == run
    ]  # fmt: skip
    frontier.commit([Settled(task, account, it) for task, it in zip(tasks, outcomes, strict=True)], now=at)


def test_the_same_failure_is_one_group_however_many_letters_and_runs(
    frontier: Frontier, reader: FrontierReader
) -> None:
    bury(frontier, "shop", "Permanent: HTTP 404: no charge 'ch_1'", "Permanent: HTTP 404: no charge 'ch_2'")
    bury(frontier, "shop", "Permanent: HTTP 404: no charge 'ch_3'", "Denied: HTTP 403: not yours", at=NOW + 60)
    missing, denied = reader.dead_groups()
    assert (missing.source, missing.kind, missing.error_class) == ("src", "shop.page", "Permanent")
    assert (missing.status, missing.message) == (404, "no charge *")
    assert (missing.letters, missing.imports, missing.runs) == (3, 1, 2)
    assert (missing.first_at, missing.last_at, missing.example) == (NOW, NOW + 60, 3)
    assert (denied.letters, denied.error_class, denied.status) == (1, "Denied", 403)
    assert {each.group for each in reader.dead_letters()} == {missing.group, denied.group}
    assert [each.id for each in reader.dead_letters(LetterFilter(group=missing.group))] == [1, 2, 3]
    assert reader.dead_groups(limit=1) == [missing]
    assert reader.dead_groups(import_name="nothing") == []


def test_groups_are_read_page_by_page_and_by_run(frontier: Frontier, reader: FrontierReader) -> None:
    first = bury(frontier, "shop", "Permanent: HTTP 404: a", "Permanent: HTTP 404: a", "Denied: HTTP 403: b")
    second = bury(frontier, "shop", "Permanent: HTTP 410: c", "Denied: HTTP 403: b", "Permanent: HTTP 400: d")
    groups = reader.dead_groups()
    assert [each.letters for each in groups] == [2, 2, 1, 1]
    for place, group in enumerate(groups):
        assert reader.dead_groups(after=(group.letters, group.group)) == groups[place + 1 :]
    assert reader.dead_groups(after=(3, "")) == groups
    assert [(each.message, each.letters, each.imports) for each in reader.dead_groups(run=first)] == [
        ("a", 2, 1),
        ("b", 1, 1),
    ]
    assert {each.message for each in reader.dead_groups(run=second)} == {"b", "c", "d"}
    assert len(reader.dead_groups(run=second, after=(1, "0"), limit=2)) == 2
    assert reader.dead_groups(run=99) == []
    assert reader.dead_groups(run=first, import_name="mall") == []
    assert reader.dead_groups(run=first, import_name="shop") == reader.dead_groups(run=first)


def test_what_is_retried_leaves_its_group_and_an_empty_group_is_gone(
    frontier: Frontier, reader: FrontierReader
) -> None:
    bury(frontier, "shop", "Permanent: HTTP 404", "Permanent: HTTP 404", "Denied: HTTP 403")
    frontier.retry_dead([1, 3])
    (left,) = reader.dead_groups()
    assert (left.letters, left.status, left.example) == (1, 404, 2)
    frontier.retry_dead([2])
    assert reader.dead_groups() == []


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        (ALL, [1, 2, 3, 4, 5]),
        (LetterFilter(ids=[2, 99, 4]), [2, 4]),
        (LetterFilter(import_name="shop"), [1, 2]),
        (LetterFilter(import_name="shop", error="GONE"), [1]),
        (LetterFilter(account="acme"), [1, 2, 4, 5]),
        (LetterFilter(account="acme/x"), [4, 5]),
        (LetterFilter(account="ac"), []),
        (LetterFilter(kind="mall.page"), [3]),
        (LetterFilter(kind="none.page"), []),
        (LetterFilter(stream="items"), [3]),
        (LetterFilter(error="%"), [5]),
        (LetterFilter(since=NOW + 60), [3, 4, 5]),
        (LetterFilter(since=NOW + 60, until=NOW + 120), [3]),
        (LetterFilter(run=1), [1, 2]),
        (LetterFilter(run=1, import_name="mall"), []),
        (LetterFilter(group="000000000000"), []),
    ],
)
def test_letters_that_match_are_listed_counted_and_found_in_their_order(
    frontier: Frontier, reader: FrontierReader, which: LetterFilter, ids: list[int]
) -> None:
    bury(frontier, "shop", "Permanent: gone", "Denied: HTTP 403: it's theirs")
    bury(frontier, "mall", "Permanent: away", account="zenith", at=NOW + 60, stream="items")
    bury(frontier, "part", "Permanent: away", "Permanent: 100% away", account="acme/x", at=NOW + 120)
    assert [each.id for each in reader.dead_letters(which)] == ids
    found = reader.count_letters(which)
    assert found.count == len(ids)
    assert reader.quick_count(which, 100) == found
    newest = reader.newest_letters(which, before=None, limit=100, most_read=100)
    assert ([each.id for each in newest.letters], newest.next, newest.cut) == (ids[::-1], None, False)
    bury(frontier, "shop", "Permanent: gone", "Denied: HTTP 403: it's theirs", at=NOW + 60)  # nothing is said of these
    assert reader.next_letters(which, through=found.through, after=0, most=100) == ids
    assert reader.next_letters(which, through=found.through, after=0, most=2) == ids[:2]
    assert reader.next_letters(which, through=found.through, after=2, most=100) == [each for each in ids if each > 2]


@pytest.mark.parametrize("which", [ALL, LetterFilter(error="away"), LetterFilter(import_name="shop", error="away")])
def test_pages_from_the_newest_on_have_each_letter_once_however_few_are_looked_at(
    frontier: Frontier, reader: FrontierReader, which: LetterFilter
) -> None:
    for number in range(6):
        errors = [*["Permanent: gone"] * number, f"Permanent: away {number}"]
        bury(frontier, "shop", *errors, account=f"a{number // 2}")  # each second one is of the same tasks
    wanted = [each.id for each in reader.dead_letters(which, one_each=True)][::-1]
    assert len(wanted) > 2
    for most_read, limit in [(1, 5), (3, 2), (20, 3), (100, 100)]:
        found: list[int] = []
        before: int | None = None
        pages = 0
        while (before is not None or not pages) and pages < 50:
            page = reader.newest_letters(which, before=before, limit=limit, most_read=most_read)
            assert len(page.letters) <= limit
            assert not page.cut or page.next is not None
            found += [each.id for each in page.letters]
            before, pages = page.next, pages + 1
        assert found == wanted
        assert before is None


def test_a_count_of_few_looks_says_that_there_may_be_more(frontier: Frontier, reader: FrontierReader) -> None:
    bury(frontier, "shop", *["Permanent: gone"] * 5, "Denied: HTTP 403")
    bury(frontier, "mall", *["Permanent: gone"] * 3)
    through = reader.count_letters(ALL).through
    gone = reader.dead_groups()[0].group
    assert reader.quick_count(LetterFilter(error="gone"), 4) == LetterCount(3, through, more=True)
    for which, count in [
        (ALL, 9),
        (LetterFilter(group=gone), 5),
        (LetterFilter(group=gone, import_name="mall"), 0),
        (LetterFilter(import_name="mall"), 3),
        (LetterFilter(run=1), 6),
        (LetterFilter(import_name="shop", run=1, group=gone), 5),
    ]:
        assert reader.quick_count(which, 1) == LetterCount(count, through)


def test_a_letter_that_was_retried_and_died_again_is_a_later_one(frontier: Frontier, reader: FrontierReader) -> None:
    run = bury(frontier, "shop", "Permanent: gone", "Permanent: gone")
    through = reader.count_letters(ALL).through
    frontier.retry_dead([2])  # the last one: its number must not be given again
    settle(frontier, run, 1, [Bury("Permanent: gone")])
    assert reader.next_letters(ALL, through=through, after=0, most=10) == [1]
    assert reader.count_letters(ALL, through) == LetterCount(1, through)
    assert reader.count_letters(ALL).count == 2
    assert reader.count_letters(ALL, through + 100) == reader.count_letters(ALL)


def test_the_kinds_that_kill_their_workers_are_known_of_a_run(frontier: Frontier, reader: FrontierReader) -> None:
    killed = f"{POISON} 3 times while it ran; the last time: worker died"
    run = bury(frontier, "shop", "Permanent: gone", killed, killed)
    other = bury(frontier, "mall", f"Permanent: {killed}", stream="items")
    assert reader.killers(run) == ["shop.page"]
    assert reader.killers(other) == []


def test_letters_of_the_same_task_are_shown_as_one_with_a_count(frontier: Frontier, reader: FrontierReader) -> None:
    bury(frontier, "shop", "Permanent: gone", "Permanent: gone")
    second = bury(frontier, "shop", "Denied: HTTP 403", at=NOW + 60)
    bury(frontier, "shop", "Permanent: gone", account="zenith")  # another account's
    bury(frontier, "mall", "Permanent: gone")  # another kind of another import
    shown = reader.dead_letters(one_each=True)
    assert [(each.id, each.letters) for each in shown] == [(2, 1), (3, 2), (4, 1), (5, 1)]
    gone = LetterFilter(error="gone", import_name="shop", account="acme")
    assert [(each.id, each.letters) for each in reader.dead_letters(gone, one_each=True)] == [(1, 1), (2, 1)]
    assert [each.id for each in reader.dead_letters(LetterFilter(run=second), one_each=True)] == [3]
    assert len(reader.dead_letters()) == 5


def operation(reader: FrontierReader, act: LetterAct, which: LetterFilter = ALL) -> OperationReport:
    found = reader.count_letters(which)
    return OperationReport(
        id=0, act=act, which=which, through=found.through, by="ann", began_at=NOW, total=found.count
    )  # fmt: skip


def carry_out(frontier: Frontier, reader: FrontierReader, begun: OperationReport, most: int = 2) -> None:
    """From where it has come to."""
    last = next(each.last for each in frontier.running_operations() if each.id == begun.id)
    while True:
        numbers = reader.next_letters(begun.which, through=begun.through, after=last, most=most)
        assert frontier.step_operation(begun.id, numbers, NOW) is not None
        if not numbers:
            return
        last = numbers[-1]


ACT = Act(NOW, "ann", "retry", "dead letters", "all", 3)


def test_an_operation_does_what_had_died_when_it_began_and_nothing_else(
    place: Place, frontier: Frontier, reader: FrontierReader
) -> None:
    run = bury(frontier, "shop", *["Permanent: gone"] * 5)
    begun = frontier.begin_operation(operation(reader, "retry", LetterFilter(import_name="shop")), ACT)
    assert reader.audit() == [msgspec.structs.replace(ACT, id=1)]
    assert [each.id for each in frontier.running_operations()] == [begun.id]
    assert frontier.step_operation(begun.id, [1, 2], NOW) == (2, ["shop"])
    settle(frontier, run, 1, [Bury("Permanent: gone")] * 2)  # both die again
    bury(frontier, "shop", "Permanent: gone")
    carry_out(frontier, reader, begun)
    assert [each.id for each in reader.dead_letters()] == [1, 2, 6]
    ended = reader.operation(begun.id)
    assert ended is not None
    assert (ended.state, ended.total, ended.seen, ended.done, ended.ended_at) == ("done", 5, 5, 5, NOW)
    assert frontier.step_operation(begun.id, [1], NOW) is None
    assert reader.operations() == [ended]
    assert reader.operation(9) is None


def test_an_operation_is_cancelled_once(frontier: Frontier, reader: FrontierReader) -> None:
    bury(frontier, "shop", *["Permanent: gone"] * 3)
    begun = frontier.begin_operation(operation(reader, "drop"), ACT)
    frontier.step_operation(begun.id, [1], NOW)
    assert frontier.end_operation(begun.id, None, ACT, NOW + 1)
    assert not frontier.end_operation(begun.id, None, ACT, NOW + 2)
    assert frontier.step_operation(begun.id, [2], NOW) is None
    assert [each.id for each in reader.dead_letters()] == [2, 3]
    (ended,) = reader.operations()
    assert (ended.state, ended.done, ended.ended_at) == ("cancelled", 1, NOW + 1)


def test_what_was_dropped_stays_missing(frontier: Frontier, reader: FrontierReader) -> None:
    """Whatever becomes of the run's other tasks: it is not completed, and publishes nothing."""
    number = frontier.account("acme", "src")
    tasks = [NewTask("shop.page", "pages", 5, f'{{"n":{place}}}') for place in range(3)]
    run = frontier.start_run("shop", number, tasks, full=True, now=NOW).run
    settle(frontier, run, number, [Complete([], [], [("pages", "9")]), Bury("gone"), Bury("gone")])
    begun = frontier.begin_operation(operation(reader, "drop", LetterFilter(ids=[2])), ACT)
    carry_out(frontier, reader, begun)
    frontier.retry_dead([3])
    settle(frontier, run, number, [Complete()])
    assert frontier.run(run).state == "completed with dead letters"
    assert frontier.run(run).dead == 0
    assert frontier.cursors("shop") == {}
    assert not reader.run(run).complete


def test_what_follows_a_group_is_dropped_with_the_last_letter_of_it(
    place: Place, frontier: Frontier, reader: FrontierReader
) -> None:
    number = frontier.account("acme", "src")
    pages = [NewTask("shop.page", "pages", 5, f'{{"n":{place}}}') for place in range(2)]
    then = NewTask("shop.then", "pages", 5, "{}")
    inner = Complete(gathers=[NewGather(pages, then, "fail")])
    outer = NewGather([NewTask("shop.list", "pages", 5, "{}")], then, "fail")
    run = frontier.start_run("shop", number, [], gathers=[outer], full=True, now=NOW).run
    settle(frontier, run, number, [inner])
    settle(frontier, run, number, [Bury("gone"), Bury("gone")])
    assert frontier.run(run).dead == 4  # two pages, and what was to follow each of the groups
    pages_dead = [each.id for each in reader.dead_letters(LetterFilter(kind="shop.page"))]
    first = frontier.begin_operation(operation(reader, "drop", LetterFilter(ids=pages_dead[:1])), ACT)
    carry_out(frontier, reader, first)
    assert frontier.run(run).dead == 3
    assert place.check() == []
    second = frontier.begin_operation(operation(reader, "drop", LetterFilter(ids=pages_dead[1:])), ACT)
    carry_out(frontier, reader, second)
    assert frontier.run(run).dead == 0
    assert place.check() == []


def test_what_follows_a_group_can_be_dropped_by_itself(
    place: Place, frontier: Frontier, reader: FrontierReader
) -> None:
    number = frontier.account("acme", "src")
    then = NewTask("shop.then", "pages", 5, "{}")
    outer = NewGather([NewTask("shop.list", "pages", 5, "{}")], then, "fail")
    run = frontier.start_run("shop", number, [], gathers=[outer], full=True, now=NOW).run
    settle(frontier, run, number, [Bury("gone")])
    begun = frontier.begin_operation(operation(reader, "drop", LetterFilter(kind="shop.then")), ACT)
    carry_out(frontier, reader, begun)
    (letter,) = reader.dead_letters()
    assert letter.kind == "shop.list"
    assert place.check() == []
    frontier.retry_dead([letter.id])
    settle(frontier, run, number, [Complete()])
    assert frontier.run(run).dead == 0
    assert place.check() == []


def test_a_letter_that_a_group_is_still_to_know_of_is_not_dropped(
    place: Place, frontier: Frontier, reader: FrontierReader
) -> None:
    number = frontier.account("acme", "src")
    pages = [NewTask("shop.page", "pages", 5, f'{{"n":{place}}}') for place in range(2)]
    group = NewGather(pages, NewTask("shop.then", "pages", 5, "{}"), "fail")
    run = frontier.start_run("shop", number, [], gathers=[group], full=True, now=NOW).run
    (task, _) = bucket_heads(frontier, 1, (-1, -1), 2)
    frontier.commit([Settled(task, number, Bury("gone"))], now=NOW)
    begun = frontier.begin_operation(operation(reader, "drop"), ACT)
    carry_out(frontier, reader, begun)
    assert [(each.seen, each.done) for each in reader.operations()] == [(1, 0)]
    settle(frontier, run, number, [Complete()])
    assert frontier.run(run).dead == 2  # what follows has not run without that page


def test_a_later_run_that_completes_a_task_closes_the_letters_of_the_earlier_ones(
    place: Place, frontier: Frontier, reader: FrontierReader
) -> None:
    first = bury(frontier, "shop", "Permanent: gone", "Permanent: gone", "Permanent: gone")
    bury(frontier, "shop", "Permanent: away", "Permanent: gone", "Permanent: gone", at=NOW + 60)
    bury(frontier, "mall", "Permanent: gone", at=NOW + 60)
    bury(frontier, "shop", "Permanent: gone", account="zenith", at=NOW + 60)
    number = frontier.account("acme", "src")
    tasks = [NewTask("shop.page", "shop", 5, f'{{"n":{place}}}') for place in range(3)]
    run = frontier.start_run("shop", number, tasks, full=True, now=NOW + 120).run
    settle(frontier, run, number, [Complete(), Bury("Permanent: gone"), Retry(60.0, "reset")])
    by_import = [(each.import_name, each.account, each.payload) for each in reader.dead_letters(one_each=True)]
    assert by_import == [
        ("shop", "acme", '{"n":2}'),
        ("mall", "acme", '{"n":0}'),
        ("shop", "zenith", '{"n":0}'),
        ("shop", "acme", '{"n":1}'),
    ]
    assert [each.letters for each in reader.dead_letters(one_each=True)] == [2, 1, 1, 3]
    assert reader.run(first).dead == 2
    assert reader.run(first).state == "failed"
    assert place.check() == []
    frontier.commit([], now=NOW + 300)  # the third one is due
    settle(frontier, run, number, [Complete([Batch("pages", 1, [], [])])], NOW + 300)
    assert {each.payload for each in reader.dead_letters(LetterFilter(import_name="shop", account="acme"))} == {
        '{"n":1}'
    }
    frontier.retry_dead([each.id for each in reader.dead_letters(LetterFilter(run=first))])
    settle(frontier, first, number, [Complete()])
    assert reader.run(first).dead == 0  # an earlier run closes nothing of a later one
    assert len(reader.dead_letters(LetterFilter(import_name="shop", account="acme"))) == 2


def test_a_run_into_another_sink_closes_nothing(frontier: Frontier, reader: FrontierReader) -> None:
    bury(frontier, "shop", "Permanent: gone")
    number = frontier.account("acme", "src")
    tasks = [NewTask("shop.page", "shop", 5, '{"n":0}')]
    run = frontier.start_run("shop", number, tasks, full=True, now=NOW, sink=7).run
    settle(frontier, run, number, [Complete()])
    assert len(reader.dead_letters()) == 1


def test_a_letter_shows_its_last_attempts_and_what_was_asked(
    place: Place, frontier: Frontier, reader: FrontierReader
) -> None:
    number = frontier.account("acme", "src")
    pages = [NewTask("shop.page", "pages", 5, f'{{"n":{number}}}') for number in range(2)]
    run = frontier.start_run("shop", number, pages, full=True, now=NOW).run
    for time in range(12):
        tried = Tried("GET", f"https://shop.example/pages/{time}", 500 if time % 2 else 0, time / 10)
        at = NOW + time
        settle(frontier, run, number, [Retry(0.5, f"Transient: {time}", tried=tried)] * 2, at)
        frontier.commit([], now=at + 0.5)
    settle(frontier, run, number, [Crash("worker died"), Defer("slow down", charged=0)], NOW + 20)
    frontier.commit([], now=NOW + 21)
    settle(frontier, run, number, [Bury("gave up", tried=Tried("GET", "/", 404, 0.5)), Complete()], NOW + 21)
    letter = reader.dead_letter(1)
    assert letter is not None
    assert [each.error for each in letter.history] == [
        *(f"Transient: {time}" for time in range(4, 12)),
        "worker died",
        "gave up",
    ]
    assert letter.history[0] == AttemptReport(
        at=NOW + 4, seconds=0.4, status=None, method="GET", url="https://shop.example/pages/4", error="Transient: 4"
    )
    assert letter.history[-2] == AttemptReport(
        at=NOW + 20, seconds=None, status=None, method="", url="", error="worker died"
    )
    assert place.query("SELECT DISTINCT seq FROM attempt") == [(1,)]  # nothing is kept of what is done
    frontier.retry_dead([1])
    assert place.query("SELECT count(*) FROM attempt") == [(0,)]


def test_attempts_of_a_cancelled_run_are_removed(place: Place, frontier: Frontier) -> None:
    number = frontier.account("acme", "src")
    pages = [NewTask("shop.page", "pages", 5, f'{{"n":{number}}}') for number in range(5)]
    run = frontier.start_run("shop", number, pages, full=True, now=NOW).run
    settle(frontier, run, number, [Retry(0.5, "reset")] * 3 + [Bury("gone"), Crash("died")])
    assert place.query("SELECT count(*) FROM attempt") == [(5,)]
    frontier.cancel_run(run, ACT)
    while frontier.chores:
        frontier.commit([], now=NOW)
    assert place.query("SELECT count(*) FROM attempt") == [(0,)]


def test_a_commit_names_the_first_letter_of_each_kind_of_a_run(frontier: Frontier) -> None:
    """Once in a run, however many commits bring more, and again when all of that kind were retried."""
    number = frontier.account("acme", "src")
    tasks = [NewTask("shop.page", "shop", 5, f'{{"n":{place}}}') for place in range(6)]
    run = frontier.start_run("shop", number, tasks, full=True, now=NOW).run
    first, *others = ready(frontier, run)
    errors = [Bury("Permanent: HTTP 404: no charge 'ch_1'"), Bury("Permanent: HTTP 404: no charge 'ch_2'"), Bury("No")]
    settled = [Settled(task, number, error) for task, error in zip([first, *others], errors, strict=False)]
    found = frontier.commit(settled, now=NOW).first_letters
    assert [(each.seq, each.run, each.account, each.kind, each.error) for each in found] == [
        (first.seq, run, "acme", "shop.page", "Permanent: HTTP 404: no charge 'ch_1'"),
        (others[1].seq, run, "acme", "shop.page", "No"),
    ]
    assert found[0].stream == "page"
    assert len({each.fingerprint for each in found}) == 2
    more = [Settled(others[2], number, errors[0]), Settled(others[3], number, Bury("Denied: HTTP 403"))]
    assert [each.error for each in frontier.commit(more, now=NOW).first_letters] == ["Denied: HTTP 403"]
    assert frontier.commit([Settled(others[4], number, Complete())], now=NOW).first_letters in ([], ())
    again = frontier.start_run("shop", number, tasks[:1], full=True, now=NOW).run
    (task,) = ready(frontier, again)
    assert len(frontier.commit([Settled(task, number, errors[0])], now=NOW).first_letters) == 1
    frontier.retry_dead([others[1].seq])
    (task,) = ready(frontier, run)
    assert [each.error for each in frontier.commit([Settled(task, number, errors[2])], now=NOW).first_letters] == ["No"]


def ready(frontier: Frontier, run: int) -> list[Task]:
    """The tasks of a run that may be leased."""
    return [
        task for bucket in range(1, 10) for task in bucket_heads(frontier, bucket, (-1, -1), 100) if task.run == run
    ]


def test_the_failures_that_came_last_can_be_asked_for(frontier: Frontier, reader: FrontierReader) -> None:
    bury(frontier, "shop", "Permanent: no such charge", "Permanent: no such charge")
    bury(frontier, "shop", "Denied: not yours", at=NOW + 60)
    assert [each.message for each in reader.dead_groups()] == ["no such charge", "not yours"]
    assert [each.message for each in reader.dead_groups(newest=True)] == ["not yours", "no such charge"]
    assert [each.message for each in reader.dead_groups(newest=True, limit=1)] == ["not yours"]
