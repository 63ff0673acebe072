"""Groups of tasks, and tasks for other accounts, on a real frontier: what follows a group follows it once."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from places import NOW
from support.ready_tasks import bucket_heads, ready_buckets

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import CRASHES, Bury, Complete, Crash, Outcome, Retry
from crawlerd.core.task import NewGather, NewTask, Task
from crawlerd.frontier.contract import Frontier, Settled

if TYPE_CHECKING:
    from places import Place

    from crawlerd.source import IfDead

ACCOUNTS = {"acme": 1, "zenith": 2}


@pytest.fixture
def frontier(place: Place) -> Frontier:
    frontier = place.open()
    for name, number in ACCOUNTS.items():
        assert frontier.account(name, "shop") == number
    return frontier


def task(name: str, account: str = "", *, unique: bool = False, sequential: bool = False) -> NewTask:
    return NewTask("shop.page", "pages", 5, f'"{name}"', unique, sequential, account)


def gather(*names: str, then: str = "then", if_dead: IfDead = "run") -> NewGather:
    return NewGather([task(name) for name in names], task(then), if_dead)


def begin(frontier: Frontier, *gathers: NewGather, tasks: tuple[NewTask, ...] = ()) -> int:
    return frontier.start_run("shop", 1, tasks, gathers=gathers, full=False, now=NOW).run


def ready(frontier: Frontier) -> dict[str, Task]:
    """All ready tasks, by name."""
    tasks = [
        task
        for account in ACCOUNTS.values()
        for bucket in ready_buckets(frontier, account)
        for task in bucket_heads(frontier, bucket.id, (-1, -1), 100)
    ]
    return {task.payload.strip('"'): task for task in tasks}


def settle(frontier: Frontier, now: float = NOW, **outcomes: Outcome) -> list[int]:
    """The runs that ended."""
    tasks = ready(frontier)
    accounts = {
        bucket.id: bucket.account for account in ACCOUNTS.values() for bucket in ready_buckets(frontier, account)
    }
    group = [Settled(tasks[name], accounts[tasks[name].bucket], outcome) for name, outcome in outcomes.items()]
    return frontier.commit(group, now=now).ended


def dead(place: Place) -> dict[str, tuple[int, str]]:
    """Number and error of all dead letters, by name."""
    with closing(place.reader()) as reader:
        return {letter.payload.strip('"'): (letter.id, letter.error) for letter in reader.dead_letters()}


def groups(place: Place) -> list[tuple[Any, ...]]:
    return place.query("SELECT id, parent, open, dead FROM gather ORDER BY id")


# the end of a group


def test_tasks_of_a_group_go_before_others_of_the_same_commit(frontier: Frontier) -> None:
    begin(frontier, tasks=(task("a"), task("b")))
    settle(frontier, a=Complete([], [task("later")]), b=Complete([], [task("last")], gathers=[gather("first")]))
    found = ready(frontier)
    assert sorted(found, key=lambda name: found[name].seq) == ["first", "later", "last"]
    settle(frontier, **{name: Complete() for name in found})
    settle(frontier, then=Complete())


def test_what_follows_becomes_ready_with_the_last_of_the_group_and_its_descendants(
    place: Place, frontier: Frontier
) -> None:
    run = begin(frontier, gather("a", "b"))
    settle(frontier, a=Complete([], [task("c")]))
    assert settle(frontier, b=Complete()) == []
    assert ready(frontier).keys() == {"c"}
    committed = frontier.commit([Settled(ready(frontier)["c"], 1, Complete())], now=NOW)
    assert ready(frontier).keys() == {"then"}
    assert (committed.arrived, committed.ended, committed.borrowed) == ({(1, 1): (5, 1)}, [], [])
    assert groups(place) == []
    assert settle(frontier, then=Complete()) == [run]


def test_the_run_goes_on_while_a_task_waits_and_the_status_says_so(place: Place, frontier: Frontier) -> None:
    begin(frontier, gather("a"))
    with closing(place.reader()) as reader:
        status = reader.status()
        assert (status.ready, status.waiting, status.runs[0].ready, status.runs[0].waiting) == (1, 1, 1, 1)
        settle(frontier, a=Complete())
        assert reader.totals() == (1, 0, 0, 0)
        assert reader.run(1).state == "running"


def test_retried_and_delayed_tasks_stay_in_their_group(place: Place, frontier: Frontier) -> None:
    begin(frontier, gather("a"))
    settle(frontier, a=Retry(60.0, "reset"))
    assert ready(frontier) == {}
    frontier.commit([], now=NOW + 60.0)
    settle(frontier, a=Crash("died"))
    assert groups(place) == [(1, 0, 1, 0)]
    settle(frontier, a=Complete())
    assert ready(frontier).keys() == {"then"}


@pytest.mark.parametrize("by_start", [True, False])
def test_a_group_of_nothing_is_over_at_once(frontier: Frontier, by_start: bool) -> None:
    if by_start:
        begin(frontier, gather())
    else:
        begin(frontier, tasks=(task("a"),))
        settle(frontier, a=Complete(gathers=[gather()]))
    assert ready(frontier).keys() == {"then"}


def test_repeated_unique_tasks_are_not_waited_for(frontier: Frontier) -> None:
    once = task("once", unique=True)
    begin(frontier, tasks=(once, task("a")))
    settle(frontier, a=Complete(gathers=[NewGather([once, once], task("then"))]))
    assert ready(frontier).keys() == {"once", "then"}


def test_what_follows_is_made_though_its_like_was_there_before(place: Place, frontier: Frontier) -> None:
    """Its kind being unique is no reason to break the promise; another group's is its own."""
    again = task("then", unique=True, sequential=True)
    begin(frontier, NewGather([], again), NewGather([task("a")], again), tasks=(again,))
    settle(frontier, a=Complete())
    tasks = [each.payload for each in bucket_heads(frontier, 1, (-1, -1), 100)]
    assert tasks == ['"then"'] * 3
    assert dead(place) == {}


def test_a_group_inside_a_group_is_part_of_it_and_so_is_what_follows_it(frontier: Frontier) -> None:
    begin(frontier, gather("a", then="outer"))
    settle(frontier, a=Complete(gathers=[gather("b", "c", then="inner")]))
    settle(frontier, b=Complete(), c=Complete())
    assert ready(frontier).keys() == {"inner"}
    settle(frontier, inner=Complete([], [task("child")], gathers=[gather(then="last")]))
    settle(frontier, child=Complete())
    assert ready(frontier).keys() == {"last"}
    settle(frontier, last=Complete())
    assert ready(frontier).keys() == {"outer"}


def test_a_group_is_over_within_the_commit_that_opens_it(frontier: Frontier) -> None:
    begin(frontier, gather("a", then="outer"))
    settle(frontier, a=Complete(gathers=[gather(then="inner"), gather(then="other")]))
    assert ready(frontier).keys() == {"inner", "other"}
    settle(frontier, inner=Complete(), other=Complete())
    assert ready(frontier).keys() == {"outer"}


# dead letters


@pytest.mark.parametrize("end", ["bury", "crash", "repeat"])
def test_a_group_is_over_though_its_last_task_is_dead(place: Place, frontier: Frontier, end: str) -> None:
    page = task("a", unique=True, sequential=True)
    begin(frontier, NewGather([page], task("then")))
    if end == "bury":
        settle(frontier, a=Bury("gone"))
    elif end == "crash":
        for _ in range(CRASHES):
            assert "then" not in ready(frontier)
            settle(frontier, a=Crash("died"))
    else:
        settle(frontier, a=Complete([], [page]))
    assert ready(frontier).keys() == {"then"}
    assert dead(place).keys() == {"a"}


def test_what_follows_a_group_that_must_not_fail_is_dead_with_it_and_waits_again(
    place: Place, frontier: Frontier
) -> None:
    run = begin(frontier, gather("a", "b", if_dead="fail"))
    settle(frontier, a=Bury("gone"))
    assert dead(place).keys() == {"a"}
    assert settle(frontier, b=Complete()) == [run]
    assert dead(place) == {
        "a": (2, "gone"),
        "then": (1, "not run: 1 dead letter in its group; it waits for those retried"),
    }
    with closing(place.reader()) as reader:
        assert {each.reason for each in reader.streams(run).values()} == {"gone"}  # what is to be put right
    assert frontier.retry_dead([1]) == (0, [])  # not by itself: its group is not what it needs
    assert frontier.run(run).state == "completed with dead letters"
    assert frontier.retry_dead([2]) == (2, ["shop"])
    assert ready(frontier).keys() == {"a"}
    settle(frontier, a=Bury("gone again"))
    assert dead(place).keys() == {"a", "then"}
    assert frontier.retry_dead([1, 2, 3]) == (2, ["shop"])
    settle(frontier, a=Complete())
    assert ready(frontier).keys() == {"then"}
    assert settle(frontier, then=Complete()) == [run]
    assert frontier.run(run).state == "completed"


def test_what_follows_may_be_left_out_where_something_is_dead(frontier: Frontier) -> None:
    run = begin(frontier, gather("a", then="outer"))
    settle(frontier, a=Complete(gathers=[gather("b", "c", then="inner", if_dead="skip")]))
    settle(frontier, b=Complete())
    settle(frontier, c=Bury("no", denied=True))
    assert list(ready(frontier)) == ["outer"]
    settle(frontier, outer=Complete(gathers=[gather("d", then="last", if_dead="skip")]))
    settle(frontier, d=Bury("no"))
    assert frontier.run(run).state == "completed with dead letters"


def test_a_failed_group_fails_those_around_it_and_all_of_them_wait_again(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, gather("a", then="outer", if_dead="fail"))
    settle(frontier, a=Complete(gathers=[gather("b", then="middle", if_dead="fail")]))
    settle(frontier, b=Complete(gathers=[gather("c", "d", then="inner", if_dead="fail")]))
    assert settle(frontier, c=Bury("gone"), d=Complete()) == [run]
    letters = dead(place)
    assert letters.keys() == {"c", "inner", "middle", "outer"}
    assert frontier.retry_dead([letters["c"][0]]) == (4, ["shop"])
    assert ready(frontier).keys() == {"c"}
    for name in ("c", "inner", "middle", "outer"):
        assert ready(frontier).keys() == {name}
        settle(frontier, **{name: Complete()})
    assert frontier.run(run).state == "completed"


@pytest.mark.parametrize("failed", [True, False])
def test_dead_letters_of_a_group_that_is_over_are_those_of_the_one_around_it(
    place: Place, frontier: Frontier, failed: bool
) -> None:
    begin(frontier, gather("a", then="outer", if_dead="fail"))
    inner = gather("b", then="inner")
    settle(frontier, a=Complete(gathers=[inner]))
    if failed:  # a group that has failed, with what it failed for
        settle(frontier, b=Complete(gathers=[gather("c", then="innermost", if_dead="fail")]))
        settle(frontier, c=Bury("gone"))
        letter = dead(place)["c"][0]
    else:
        settle(frontier, b=Bury("gone"))
        letter = dead(place)["b"][0]
    settle(frontier, inner=Complete())
    assert "outer" in dead(place)
    frontier.retry_dead([letter])
    assert dead(place) == {}
    if failed:
        settle(frontier, c=Complete())
        settle(frontier, innermost=Complete())
    else:
        settle(frontier, b=Complete())
    assert ready(frontier).keys() == {"outer"}  # and not what followed the inner group, again


def test_a_dead_letter_that_is_retried_when_its_group_is_over_runs_alone(frontier: Frontier) -> None:
    run = begin(frontier, gather("a"))
    settle(frontier, a=Bury("gone"))
    settle(frontier, then=Complete())
    frontier.retry_dead([2])
    assert settle(frontier, a=Complete([], [task("b")])) == []
    assert settle(frontier, b=Complete()) == [run]
    assert ready(frontier) == {}


# other accounts


def test_tasks_for_another_account_lie_in_its_buckets_and_are_the_runs(frontier: Frontier) -> None:
    run = begin(frontier, tasks=(task("a"),))
    committed = frontier.commit(
        [Settled(ready(frontier)["a"], 1, Complete([], [task("b", "zenith"), task("c", "acme")]))], now=NOW
    )
    assert committed.borrowed == [(run, 2)]
    assert [bucket.id for bucket in ready_buckets(frontier, 2)] == [ready(frontier)["b"].bucket]
    assert ready(frontier)["b"].run == run
    committed = frontier.commit([Settled(ready(frontier)["b"], 2, Complete([], [task("d")]))], now=NOW)
    assert committed.borrowed == []
    assert [frontier.bucket(ready(frontier)[name].bucket).account for name in "cd"] == [1, 2]
    assert frontier.accounts(run) == [1, 2]


def test_an_account_is_borrowed_once_a_run_whatever_is_rolled_back(frontier: Frontier) -> None:
    begin(frontier, tasks=(task("a"), task("b")))
    tasks, outcome = ready(frontier), Complete([], [task("c", "zenith")])
    stranger = Task(99, 1, 5, 1, "shop.page", 0, "{}")
    with pytest.raises(FrontierError):
        frontier.commit([Settled(tasks["a"], 1, outcome), Settled(stranger, 1, Complete())], now=NOW)
    assert frontier.accounts(1) == [1]
    assert frontier.commit([Settled(tasks["a"], 1, outcome)], now=NOW).borrowed == [(1, 2)]
    with pytest.raises(FrontierError):
        frontier.commit([Settled(stranger, 1, Complete())], now=NOW)  # forgets what it remembered
    assert frontier.commit([Settled(tasks["b"], 1, outcome)], now=NOW).borrowed == []


def test_the_same_unique_task_of_another_account_is_another_one(place: Place, frontier: Frontier) -> None:
    """Also when the account is that of the task that asks for it."""
    page = [task(name, unique=True, sequential=True) for name in ("first", "next")]
    named = [task("first", account, unique=True, sequential=True) for account in ACCOUNTS]
    begin(frontier, tasks=(*named, named[1]))
    for bucket, account in ((1, 1), (2, 2)):
        (head,) = bucket_heads(frontier, bucket, (-1, -1), 10)
        frontier.commit([Settled(head, account, Complete([], [page[1]]))], now=NOW)
    assert [len(bucket_heads(frontier, bucket, (-1, -1), 10)) for bucket in (1, 2)] == [1, 1]
    assert dead(place).keys() == {"first"}  # zenith's, which was asked for twice
    assert len(dead(place)) == 1


def test_what_follows_may_be_for_another_account_and_so_may_the_group(frontier: Frontier) -> None:
    run = begin(frontier, NewGather([task("a", "zenith"), task("b")], task("then", "zenith")))
    settle(frontier, b=Complete())
    settle(frontier, a=Complete())
    assert frontier.bucket(ready(frontier)["then"].bucket).account == 2
    assert frontier.accounts(run) == [1, 2]


def test_whether_a_run_goes_on_without_some_accounts(place: Place, frontier: Frontier) -> None:
    run = begin(frontier, tasks=(task("a"), task("b", "zenith")))
    begin(frontier, tasks=(task("x"), task("y", "zenith")))
    with closing(place.reader()) as reader:
        assert reader.accounts(run) == ["acme", "zenith"]
        assert all(reader.goes_on(run, [name]) for name in ACCOUNTS)
        settle(frontier, a=Retry(60.0, "reset"))
        assert reader.goes_on(run, ["acme"])
        frontier.commit([], now=NOW + 60)
        settle(frontier, a=Complete())
        assert not reader.goes_on(run, ["acme"])
        assert reader.goes_on(run, ["zenith", "acme"])
        assert not reader.goes_on(run, [])


def test_what_follows_is_told_of_dead_letters_where_it_asks_for_that(frontier: Frontier) -> None:
    """Of its own group and of those inside, in order, and of no more than are wanted; nothing else changes."""
    asks = NewTask("shop.page", "pages", 5, '{"name":"then","dead_letters":[]}', False, False, "")
    silent = NewTask("shop.page", "pages", 5, '{"name":"silent","text":"\\"dead_letters\\":[]"}', False, False, "")
    for then in (asks, silent):
        begin(frontier, NewGather([task("a"), task("b"), task("c")], then, "run"))
        settle(frontier, a=Complete(gathers=[NewGather([task("d"), task("e")], task("inner"), "run")]), c=Complete())
        settle(frontier, d=Bury("no d"), e=Bury('no "e"'))
        settle(frontier, inner=Complete(children=[task("f"), task("g")]))
        settle(frontier, f=Bury("no f"), g=Bury("no g"))
        settle(frontier, b=Complete())
        (payload,) = ready(frontier)
        told = ["shop.page: no d", 'shop.page: no "e"', "shop.page: no f"]
        expected = {"name": "then", "dead_letters": told} if then is asks else json.loads(then.payload)
        assert json.loads(payload) == expected
        settle(frontier, **{payload: Complete()})
    begin(frontier, NewGather([task("a")], asks, "run"))
    settle(frontier, a=Complete())
    assert list(ready(frontier)) == [asks.payload]
