"""The frontier as its callers see it, on a real database: opening, runs, uniqueness, cursors, and what ends a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from places import NOW
from support.ready_tasks import all_heads, bucket_heads, ready_buckets

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import Batch, Bury, Complete, Crash, Defer, Outcome, Pause, Retry, Skipped
from crawlerd.core.task import NewGather, NewTask, Task
from crawlerd.frontier.contract import MAX_DELAY, Bounds, OutageNote, Run, Settled
from crawlerd.frontier.waiting_contract import FIRST, Block, Bucket, Wanted
from crawlerd.sink import Totals

if TYPE_CHECKING:
    from places import Place

    from crawlerd.frontier.contract import Frontier


def plain(payload: str = "{}", *, bucket: str = "pages", priority: int = 5) -> NewTask:
    return NewTask("shop.page", bucket, priority, payload)


def page(number: int) -> NewTask:
    return NewTask("shop.page", "pages", 3, f'{{"n":{number}}}', unique=True, sequential=True)


def unique(number: int) -> NewTask:
    return NewTask("shop.item", "items", 5, f'{{"n":{number}}}', unique=True)


def heads(frontier: Frontier, bucket: int = 1) -> list[Task]:
    return bucket_heads(frontier, bucket, (-1, -1), 1000)


def begin(frontier: Frontier, *tasks: NewTask, name: str = "shop") -> int:
    return frontier.start_run(name, frontier.account("acme", "shop"), tasks, full=False, now=NOW).run


def settle(frontier: Frontier, outcome: Outcome, *tasks: Task, now: float = NOW) -> list[int]:
    """The runs that ended."""
    account = frontier.account("acme", "shop")
    return frontier.commit([Settled(task, account, outcome) for task in tasks or heads(frontier)[:1]], now=now).ended


def counts(place: Place, run: int) -> dict[str, int]:
    """The counters of a run that are not 0."""
    names = ("open", "delayed", "done", "dead", "retried", "throttled", "records")
    (row,) = place.query(f"SELECT {', '.join(names)} FROM run WHERE id = {run}")
    return {name: count for name, count in zip(names, row, strict=True) if count}


# opening


def test_a_new_frontier_is_empty(frontier: Frontier) -> None:
    assert ready_buckets(frontier, 1) == []
    assert frontier.next_due() is None
    assert frontier.latest_run("shop") is None
    assert frontier.running_runs("shop") == []
    assert frontier.cursors("shop") == {}


def test_what_was_committed_is_there_when_it_is_opened_again(place: Place) -> None:
    frontier = place.open()
    run = begin(frontier, plain('{"a":1}'), plain('{"a":2}'), page(1))
    settle(frontier, Retry(60.0, "reset"), heads(frontier)[0])
    frontier.refuse(1, "no key", NOW)
    before = heads(frontier)
    place.shut()
    frontier = place.open()
    assert heads(frontier) == before
    assert frontier.next_due() == NOW + 60.0
    assert frontier.running_runs("shop") == [run]


def test_refused_credentials_are_forgotten_at_the_next_start_so_that_a_new_key_is_tried(place: Place) -> None:
    frontier = place.open()
    number = frontier.account("acme", "shop")
    frontier.refuse(number, "no key", NOW)
    assert place.query("SELECT refused FROM account") == [("no key",)]
    place.shut()
    frontier = place.open()
    assert place.query("SELECT refused FROM account") == [(None,)]


def test_a_clock_that_was_set_back_does_not_hold_tasks_for_ever(place: Place) -> None:
    frontier = place.open()
    begin(frontier, plain('{"a":1}'), plain('{"a":2}'), plain('{"a":3}'))
    first, second, _ = heads(frontier)
    settle(frontier, Retry(10.0, "reset"), first, now=NOW + 400 * MAX_DELAY)
    settle(frontier, Retry(MAX_DELAY - 1, "reset"), second, now=NOW)
    frontier.commit([], now=NOW, blocked={1: Block(NOW + 400 * MAX_DELAY)})
    place.shut()
    frontier = place.open()
    assert frontier.next_due() == NOW
    frontier.commit([], now=NOW)
    assert [task.seq for task in heads(frontier)] == [first.seq, 3]
    assert frontier.next_due() == NOW + MAX_DELAY - 1
    assert frontier.bucket(1).blocked_until == 0.0


def test_a_throttled_bucket_stays_blocked_over_a_restart(place: Place) -> None:
    frontier = place.open()
    begin(frontier, plain(), plain(bucket="other"))
    frontier.commit([], now=NOW, blocked={1: Block(NOW + 30.5)})
    place.shut()
    frontier = place.open()
    assert sorted(ready_buckets(frontier, 1)) == [Bucket(1, 1, "pages", NOW + 30.5), Bucket(2, 1, "other", 0.0)]


# accounts


def test_an_account_keeps_its_number(frontier: Frontier) -> None:
    acme = frontier.account("acme", "shop")
    assert frontier.account("zenith", "shop") != acme
    assert frontier.account("acme", "other") == acme


def test_many_accounts_get_their_numbers_at_once(frontier: Frontier) -> None:
    first = frontier.account_numbers({"acme": "shop", "zenith": "shop"})
    again = frontier.account_numbers({"zenith": "shop", "new": "shop", "acme": "other"})
    assert again == first | {"new": again["new"]}
    assert len(set(again.values())) == 3
    assert [frontier.account_name(number) for number in again.values()] == ["zenith", "new", "acme"]
    assert frontier.account_numbers({}) == {}


def test_a_bucket_keeps_its_number(frontier: Frontier) -> None:
    one, two = frontier.account("acme", "shop"), frontier.account("zenith", "shop")
    numbers = [frontier.bucket_number(account, name) for account in (one, two) for name in ("orders", "lines")]
    assert len(set(numbers)) == 4
    assert frontier.bucket_number(two, "orders") == numbers[2]
    (found,) = frontier.buckets([numbers[2]])
    assert (found.id, found.account, found.name) == (numbers[2], two, "orders")
    frontier.start_run(
        "i", two, [NewTask(kind="shop.orders", bucket="orders", priority=5, payload="{}")], full=True, now=NOW
    )
    assert [bucket.id for bucket in ready_buckets(frontier, two)] == [numbers[2]]


def test_identities_are_read_in_the_order_asked_for(frontier: Frontier) -> None:
    one, two = frontier.account("acme", "shop"), frontier.account("zenith", "shop")
    frontier.confirm(two, "acct_2")
    assert frontier.identities([two, one, two]) == ["acct_2", None, "acct_2"]
    assert frontier.identities([]) == []


def test_the_first_identity_is_the_accounts_own(frontier: Frontier) -> None:
    number = frontier.account("acme", "shop")
    assert frontier.confirm(number, "acct_1") is None
    assert frontier.confirm(number, "acct_2") == "acct_1"
    assert frontier.confirm(number, "acct_1") is None


# runs


def test_a_run_is_found_by_its_number_and_its_import(frontier: Frontier) -> None:
    first, other = begin(frontier, plain()), begin(frontier, plain(), name="other")
    second = begin(frontier, plain())
    assert frontier.run(first) == Run(first, "shop", 1, False, "running", NOW, None, open=1)
    assert frontier.running_runs("shop") == [first, second]
    assert frontier.latest_run("shop") == frontier.run(second)
    assert frontier.latest_run("other") == frontier.run(other)
    with pytest.raises(KeyError):
        frontier.run(99)


def test_a_run_without_tasks_has_ended_at_once(frontier: Frontier) -> None:
    started = frontier.start_run("shop", frontier.account("acme", "shop"), [], full=True, now=NOW)
    assert started.ended == [started.run]
    assert frontier.run(started.run) == Run(started.run, "shop", 1, True, "completed", NOW, NOW)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([Complete(), Complete()], "completed"),
        ([Complete(), Bury("gone")], "completed with dead letters"),
        ([Bury("gone"), Bury("gone")], "failed"),
    ],
)
def test_a_run_ends_with_its_last_task_and_says_how(frontier: Frontier, outcomes: list[Outcome], state: str) -> None:
    run = begin(frontier, plain('{"a":1}'), plain('{"a":2}'))
    assert settle(frontier, outcomes[0]) == []
    assert frontier.run(run).state == "running"
    assert settle(frontier, outcomes[1], now=NOW + 5) == [run]
    assert frontier.run(run)[4:7] == (state, NOW, NOW + 5)


@pytest.mark.parametrize("outcome", [Retry(1.0, "reset"), Defer("slow"), Pause("no"), Crash("died")])
def test_a_task_that_is_to_be_tried_again_keeps_its_run_open(
    place: Place, frontier: Frontier, outcome: Outcome
) -> None:
    run = begin(frontier, plain())
    assert settle(frontier, outcome) == []
    assert frontier.run(run).state == "running"
    assert counts(place, run)["open"] == 1


# outcomes


def test_children_are_made_in_the_transaction_that_ends_their_parent(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, page(1))
    batches = [Batch("pages", 100, [], []), Batch("items", 3, [], [])]
    committed = frontier.commit(
        [Settled(heads(frontier)[0], 1, Complete(batches, [page(2), unique(1), unique(2)]))], now=NOW
    )
    assert (committed.arrived, committed.ended, committed.borrowed) == ({(1, 1): (3, 2), (2, 1): (5, 3)}, [], [])
    assert [(task.seq, task.kind, task.payload, task.attempt) for task in heads(frontier)] == [
        (2, "shop.page", '{"n":2}', 0)
    ]
    assert [task.seq for task in heads(frontier, 2)] == [3, 4]
    assert counts(place, run) == {"open": 3, "done": 1, "records": 103}


def test_throttling_costs_no_attempt_and_a_retry_one(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, plain())
    for _ in range(50):
        settle(frontier, Defer("slow"))
        frontier.commit([], now=NOW)
    assert heads(frontier)[0].attempt == 0
    settle(frontier, Retry(2.0, "reset"))
    assert heads(frontier) == []
    assert frontier.next_due() == NOW + 2.0
    assert frontier.commit([], now=NOW + 1.9).arrived == {}
    assert frontier.commit([], now=NOW + 2.0).arrived == {(1, 1): (5, 1)}
    assert heads(frontier)[0].attempt == 1
    assert counts(place, run) == {"open": 1, "retried": 1, "throttled": 50}


def test_a_refused_task_is_delayed_and_comes_back_to_its_place(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, *(plain(f'{{"a":{number}}}') for number in range(3)))
    tasks = heads(frontier)
    settle(frontier, Defer("slow", delay=7.0))
    assert heads(frontier) == tasks[1:]
    assert counts(place, run) == {"open": 3, "delayed": 1, "throttled": 1}
    assert frontier.next_due() == NOW + 7.0
    assert frontier.commit([], now=NOW + 7.0).arrived == {(1, 1): (5, 1)}
    assert heads(frontier) == tasks
    assert counts(place, run) == {"open": 3, "throttled": 1}


@pytest.mark.parametrize("grouped", [False, True])
def test_a_refusal_that_is_the_tasks_own_costs_an_attempt_and_is_remembered(frontier: Frontier, grouped: bool) -> None:
    if grouped:
        account = frontier.account("acme", "shop")
        gather = NewGather([plain()], plain('{"then":1}'))
        frontier.start_run("shop", account, [], gathers=[gather], full=False, now=NOW)
    else:
        begin(frontier, plain())
    for times in range(1, 4):
        settle(frontier, Defer("slow", charged=1))
        frontier.commit([], now=NOW)
        task = heads(frontier)[0]
        assert (task.attempt, task.refused, bool(task.group)) == (times, times, grouped)
    settle(frontier, Defer("slow"))
    frontier.commit([], now=NOW)
    settle(frontier, Retry(0.0, "reset"))
    frontier.commit([], now=NOW)
    task = heads(frontier)[0]
    assert (task.attempt, task.refused) == (4, 3)


def test_only_so_many_delayed_tasks_become_ready_at_once(frontier: Frontier) -> None:
    begin(frontier, *(plain(f'{{"a":{number}}}') for number in range(10)))
    settle(frontier, Retry(1.0, "reset"), *heads(frontier))
    for expected in (4, 8, 10):
        frontier.commit([], now=NOW + 5, due=4)
        assert len(heads(frontier)) == expected


def test_poison_is_a_dead_letter_after_three_crashes(frontier: Frontier) -> None:
    run = begin(frontier, plain())
    for crashes in range(3):
        assert heads(frontier)[0].crashes == crashes
        ended = settle(frontier, Crash("worker was killed"))
    assert ended == [run]
    assert frontier.run(run).state == "failed"
    assert heads(frontier) == []


def test_a_retry_begins_the_count_of_crashes_anew(frontier: Frontier) -> None:
    begin(frontier, plain())
    settle(frontier, Crash("worker was killed"))
    settle(frontier, Retry(0.0, "reset"))
    frontier.commit([], now=NOW)
    assert (heads(frontier)[0].crashes, heads(frontier)[0].attempt) == (0, 1)


@pytest.mark.parametrize("outcome", [Complete([], [plain()]), Retry(1.0, "reset"), Bury("gone")])
def test_an_outcome_for_a_task_that_is_gone_takes_its_whole_group_back(
    place: Place, frontier: Frontier, outcome: Outcome
) -> None:
    run = begin(frontier, plain('{"a":1}'), plain('{"a":2}'))
    gone, other = heads(frontier)
    settle(frontier, Complete(), gone)
    before = counts(place, run)
    with pytest.raises(FrontierError, match="a task that was worked on is not in `ready`; nothing was written"):
        settle(frontier, outcome, other, gone)
    assert counts(place, run) == before
    assert heads(frontier) == [other]
    assert settle(frontier, Complete(), other) == [run]


def test_skipped_records_are_counted_by_stream_with_a_reason(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, plain())
    settle(frontier, Complete([], [], [], [Skipped("pages", "p1", "why"), Skipped("pages", "p2", "because")]))
    assert place.query("SELECT run, stream, records, skipped, skip_reason FROM tally") == [
        (run, "pages", 0, 2, "p2: because")
    ]


# uniqueness


def test_totals_are_what_the_sink_has_said_last(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, page(1), page(2))
    batches = [Batch("pages", 100, [], [])]
    for task, totals in zip(heads(frontier), (Totals(90, 80, 4, 6, 5), Totals(95, 80, 5, 10, 5)), strict=True):
        frontier.commit([Settled(task, 1, Complete(batches))], now=NOW, totals={(run, "pages"): totals})
    assert place.query("SELECT records, seen, new, changed, unchanged, tombstoned FROM tally") == [
        (200, 95, 80, 5, 10, 5)
    ]


def test_a_unique_task_is_made_once_a_run(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, unique(1), unique(1), unique(2))
    assert [task.payload for task in heads(frontier)] == ['{"n":1}', '{"n":2}']
    settle(frontier, Complete([], [unique(1), unique(2), unique(3), unique(3)]))
    assert [task.payload for task in heads(frontier)] == ['{"n":2}', '{"n":3}']
    assert counts(place, run) == {"open": 2, "done": 1}
    other = begin(frontier, unique(1))
    assert counts(place, other) == {"open": 1}


def test_plain_tasks_may_be_alike(frontier: Frontier) -> None:
    begin(frontier, plain(), plain())
    assert len(heads(frontier)) == 2


def test_a_cursor_that_comes_twice_ends_its_chain_with_a_dead_letter(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, page(1))
    settle(frontier, Complete([], [page(2)]))
    settle(frontier, Complete([], [page(1)]))
    assert heads(frontier) == []
    assert frontier.run(run).state == "completed with dead letters"
    assert counts(place, run) == {"done": 2, "dead": 1}
    (row,) = place.query("SELECT stream, error, payload FROM dead")
    assert row == ("pages", "the API's cursor repeated: this very page was already asked for in this run", '{"n":1}')


def test_what_made_tasks_unique_is_dropped_bit_by_bit_when_their_run_has_ended(place: Place) -> None:
    frontier = place.open(bounds=Bounds(purge=3))
    begin(frontier, *(unique(number) for number in range(10)))
    other = begin(frontier, unique(1), name="other")
    settle(frontier, Complete(), *heads(frontier)[:10])
    left = []
    for _ in range(6):
        left.append(place.query(f"SELECT count(*) FROM seen WHERE run <> {other}")[0][0])
        frontier.commit([], now=NOW)
    assert left == [10, 7, 4, 1, 0, 0]
    assert place.query("SELECT run FROM seen") == [(other,)]


def test_dropping_them_goes_on_after_a_restart(place: Place) -> None:
    frontier = place.open(bounds=Bounds(purge=3))
    begin(frontier, *map(unique, range(10)))
    settle(frontier, Complete(), *heads(frontier))
    place.shut()
    frontier = place.open()
    assert place.query("SELECT count(*) FROM seen") == [(7,)]
    frontier.commit([], now=NOW)
    assert place.query("SELECT * FROM seen") == []


def test_nothing_of_small_runs_is_left_however_quickly_they_end(place: Place) -> None:
    """Each commit ends some, and drops what those before it have left; the last one's goes when the frontier closes."""
    frontier = place.open()
    for _ in range(20):
        for name in ("a", "b", "c"):
            begin(frontier, unique(1), unique(2), name=name)
        settle(frontier, Complete(), *heads(frontier))
        assert place.query("SELECT count(DISTINCT run) FROM seen") == [(3,)]
    place.shut()
    place.open()
    assert place.query("SELECT * FROM seen") == []


def test_what_a_failed_commit_has_dropped_is_dropped_by_the_next(place: Place) -> None:
    frontier = place.open()
    begin(frontier, unique(1))
    settle(frontier, Complete())

    def fail() -> None:
        raise FrontierError("a test's")

    with pytest.raises(FrontierError):
        frontier.commit([], now=NOW, charge=fail)
    assert place.query("SELECT count(*) FROM seen") == [(1,)]
    frontier.commit([], now=NOW)
    assert place.query("SELECT * FROM seen") == []


# dead letters


def test_a_retried_dead_letter_has_all_its_attempts_and_its_run_runs_again(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, plain('{"a":1}'), plain('{"a":2}'))
    settle(frontier, Retry(0.0, "reset"), heads(frontier)[0])
    frontier.commit([], now=NOW)
    settle(frontier, Complete(), heads(frontier)[1])
    settle(frontier, Bury("gone"))
    assert frontier.run(run).state == "completed with dead letters"
    assert frontier.retry_dead([1, 99]) == (1, ["shop"])
    assert frontier.run(run)[4:7] == ("running", NOW, None)
    assert [(task.seq, task.attempt) for task in heads(frontier)] == [(1, 0)]
    assert counts(place, run) == {"open": 1, "done": 1, "retried": 1}
    assert settle(frontier, Complete(), now=NOW + 9) == [run]
    assert frontier.run(run)[4:7] == ("completed", NOW, NOW + 9)
    assert frontier.retry_dead([1]) == (0, [])


def test_a_chain_that_is_retried_cannot_loop_for_ever_either(frontier: Frontier) -> None:
    """The keys of a run that had ended are being dropped; its new ones must not be."""
    run = begin(frontier, page(1))
    settle(frontier, Bury("gone"))
    frontier.retry_dead([1])
    for number in (2, 3, 2):
        settle(frontier, Complete([], [page(number)]))
    assert heads(frontier) == []
    assert frontier.run(run).state == "completed with dead letters"


# cursors


def test_cursors_are_published_when_their_run_ends_clean_and_not_before(frontier: Frontier) -> None:
    begin(frontier, page(1))
    settle(frontier, Complete([], [page(2)], [("pages", "7"), ("items", "1"), ("pages", "8")]))
    assert frontier.cursors("shop") == {}
    settle(frontier, Complete([], [], [("items", "2")]))
    assert frontier.cursors("shop") == {"pages": "8", "items": "2"}
    assert frontier.cursors("other") == {}


def test_of_the_cursors_of_many_tasks_the_greatest_is_kept(frontier: Frontier) -> None:
    begin(frontier, plain('{"a":1}'), plain('{"a":2}'), plain('{"a":3}'))
    for value in ("2024-05", "2024-11", "2024-09"):
        settle(frontier, Complete(greatest=[("pages", value), ("items", "5")]))
    assert frontier.cursors("shop") == {"pages": "2024-11", "items": "5"}


def test_a_dead_letter_holds_cursors_back_until_it_is_done(frontier: Frontier) -> None:
    begin(frontier, plain('{"a":1}'), plain('{"a":2}'))
    settle(frontier, Complete([], [], [("pages", "7")]))
    settle(frontier, Bury("gone"))
    assert frontier.cursors("shop") == {}
    frontier.retry_dead([2])
    settle(frontier, Complete())
    assert frontier.cursors("shop") == {"pages": "7"}


def test_an_old_run_that_ends_late_does_not_set_cursors_back(frontier: Frontier) -> None:
    begin(frontier, plain('{"a":1}'))
    begin(frontier, plain('{"a":2}'))
    old, new = heads(frontier)
    settle(frontier, Complete([], [], [("pages", "new")]), new)
    settle(frontier, Complete([], [], [("pages", "old")]), old)
    assert frontier.cursors("shop") == {"pages": "new"}


def test_a_sync_point_of_what_lies_below_waits_for_what_is_denied_of_it(frontier: Frontier) -> None:
    begin(frontier, plain('{"a":1}'), plain('{"a":2}'))
    points = ["orders", "orders:orders,lines", "lines:orders", "line", "parts:lines", "members:a"]
    first, second = heads(frontier)
    settle(frontier, Complete(cursors=[(each, "7") for each in points]), first)
    settle(frontier, Bury("no", denied=True, stream="lines"), second)
    assert frontier.cursors("shop").keys() == {"orders", "line", "members:a"}


def test_an_ad_hoc_run_leaves_nothing_to_the_next_one(frontier: Frontier) -> None:
    begin(frontier, plain('{"a":1}'))
    settle(frontier, Bury("gone"))
    ordinary = frontier.latest_run("shop")
    started = frontier.start_run("shop", 1, [plain('{"a":2}')], full=True, now=NOW, ad_hoc="lists=a", setup="other")
    assert frontier.latest_run("shop") == ordinary
    assert frontier.run(started.run).ad_hoc == "lists=a"
    assert frontier.running_runs("shop") == [started.run]
    settle(frontier, Complete([], [], [("pages", "9")]))
    assert frontier.run(started.run).state == "completed"
    assert frontier.cursors("shop") == {}
    frontier.retry_dead([1])  # nor does it come between an older run and its sync points
    settle(frontier, Complete([], [], [("pages", "7")]))
    assert frontier.cursors("shop") == {"pages": "7"}


# reading tasks


def test_heads_come_by_priority_then_age_and_can_be_read_on(frontier: Frontier) -> None:
    begin(frontier, *(plain(f'{{"a":{number}}}', priority=priority) for number, priority in enumerate([5, 9, 0, 5, 3])))
    order = [(0, 3), (3, 5), (5, 1), (5, 4), (9, 2)]
    assert [(task.priority, task.seq) for task in heads(frontier)] == order
    assert [(task.priority, task.seq) for task in bucket_heads(frontier, 1, (3, 5), 2)] == order[2:4]
    assert bucket_heads(frontier, 1, (9, 2), 5) == []


def test_several_queues_are_read_at_once(frontier: Frontier) -> None:
    begin(frontier, *(plain(f'{{"a":{n}}}', bucket=f"b{n % 3}", priority=n % 2) for n in range(12)))
    wanted = [
        Wanted((3, 1), FIRST, 2),
        Wanted((1, 1), (0, 1), 3),
        Wanted((2, 1), FIRST, 9),
        Wanted((3, 1), (9, 99), 5),
        Wanted((1, 1), FIRST, 0),
        Wanted((1, 2), FIRST, 5),
    ]
    assert frontier.heads_many(wanted) == [frontier.heads(*each) for each in wanted]
    assert [len(each) for each in frontier.heads_many(wanted)] == [2, 3, 4, 0, 0, 0]
    assert frontier.heads_many([]) == []
    assert frontier.buckets([3, 1, 3]) == [frontier.bucket(number) for number in (3, 1, 3)]
    assert frontier.buckets([]) == []


def test_names_are_looked_up_anew_when_there_are_too_many_to_remember(place: Place) -> None:
    frontier = place.open(bounds=Bounds(names=3))
    buckets = [f"b{number}" for number in range(10)] * 2
    begin(frontier, *(plain(bucket=name) for name in buckets))
    assert [len(heads(frontier, bucket.id)) for bucket in sorted(ready_buckets(frontier, 1))] == [2] * 10
    assert frontier.bucket(10) == Bucket(10, 1, "b9", 0.0)


def test_a_run_that_does_far_more_than_the_last_full_one_is_told_of_at_each_doubling(
    frontier: Frontier,
) -> None:
    account = frontier.account("acme", "s")

    def run_of(count: int, *, full: bool, name: str = "a") -> list[tuple[int, int]]:
        run = frontier.start_run(name, account, [FOREVER], full=full, now=NOW).run
        told = []
        for done in range(1, count + 1):
            (task,) = all_heads(frontier, 9)
            children = [FOREVER] if done < count else []
            committed = frontier.commit([Settled(task, account, Complete(children=children))], now=NOW)
            told += [(long.done, long.usual) for long in committed.long if long.run == run]
        assert committed.ended == [run]
        return told

    assert run_of(130, full=True) == []  # there is nothing to compare with
    assert run_of(20, full=True) == []
    assert run_of(450, full=False) == [(200, 20), (400, 20)]
    assert run_of(450, full=False, name="b") == []
    assert run_of(3, full=True) == []
    assert run_of(120, full=True) == [(100, 3)]  # not at 30: a small list may have grown


FOREVER = NewTask("s.page", "page", 5, "{}")


# outages


def test_outages_are_kept_until_they_are_over(frontier: Frontier, place: Place) -> None:
    whole = OutageNote("https://api.example.com", 0, NOW, NOW + 5, 5.0, "refused")
    one = OutageNote("https://api.example.com", 7, NOW, NOW + 5, 5.0, "HTTP 503")
    frontier.commit([], now=NOW, outages={(each.origin, each.account): each for each in (whole, one)})
    assert sorted(frontier.outages()) == [whole, one]
    later = whole._replace(next_at=NOW + 15, delay=10.0)
    frontier.commit([], now=NOW, outages={(one.origin, 7): None, (whole.origin, 0): later})
    assert frontier.outages() == [later]
