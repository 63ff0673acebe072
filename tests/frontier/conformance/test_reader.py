"""What people ask of a frontier: status, reports and dead letters, alongside a writer and without counting tasks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from places import NOW
from support.ready_tasks import bucket_heads

from crawlerd.core.outcome import Batch, Bury, Complete, Defer, Outcome, Retry, Skipped
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Frontier, Settled
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import AccountReport, BlockReport, DeadLetter, LeftImport, RunReport, StreamReport
from crawlerd.frontier.waiting_contract import Block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from places import Place

    from crawlerd.frontier.reader_contract import FrontierReader


@pytest.fixture
def reader(place: Place, frontier: Frontier) -> Iterator[FrontierReader]:
    with closing(place.reader()) as reader:
        yield reader


def begin(frontier: Frontier, count: int, *, name: str = "shop", account: str = "acme", bucket: str = "pages") -> int:
    tasks = [NewTask(f"{name}.page", bucket, 5, f'{{"n":{number}}}') for number in range(count)]
    return frontier.start_run(name, frontier.account(account, "src"), tasks, full=True, now=NOW).run


def settle(frontier: Frontier, *outcomes: Outcome, bucket: int = 1) -> None:
    heads = bucket_heads(frontier, bucket, (-1, -1), len(outcomes))
    group = [Settled(task, 1, outcome) for task, outcome in zip(heads, outcomes, strict=False)]
    frontier.commit(group, now=NOW)


def test_the_status_shows_runs_newest_first_and_accounts_by_name(frontier: Frontier, reader: FrontierReader) -> None:
    old = begin(frontier, 1, name="old", account="zenith")
    settle(frontier, Complete([Batch("pages", 100, [], [])]))
    new = begin(frontier, 6, bucket="p")
    settle(frontier, Complete(), Bury("gone"), Retry(60.0, "reset"), Defer("slow"), bucket=2)
    frontier.commit([], now=NOW, blocked={2: Block(NOW + 30)})
    frontier.confirm(2, "acct_1")
    frontier.refuse(2, "its key was refused", NOW)
    status = reader.status()
    assert (status.ready, status.delayed, status.dead) == (3, 1, 1)
    assert status.runs == [
        RunReport(
            id=new, import_name="shop", account="acme", full=True, state="running", started_at=NOW, ended_at=None,
            ready=3, delayed=1, waiting=0, done=1, dead=1, retried=1, throttled=1, records=0, complete=False,
        ),
        RunReport(
            id=old, import_name="old", account="zenith", full=True, state="completed", started_at=NOW, ended_at=NOW,
            ready=0, delayed=0, waiting=0, done=1, dead=0, retried=0, throttled=0, records=100, complete=True,
        ),
    ]  # fmt: skip
    throttled = BlockReport(NOW + 30, "throttled", "the API has asked to wait", NOW)
    assert status.accounts == [
        AccountReport("acme", "src", "acct_1", "its key was refused", 3, NOW + 30, throttled, retries=True),
        AccountReport("zenith", "src", None, None, 0, 0.0),
    ]
    assert reader.run(old) == status.runs[1]
    assert msgspec.to_builtins(status.runs[1])["import"] == "old"


def test_only_the_newest_runs_are_shown_but_all_are_counted(frontier: Frontier, reader: FrontierReader) -> None:
    for number in range(60):
        begin(frontier, 1, bucket=f"b{number}")
    status = reader.status()
    assert [run.id for run in status.runs] == list(range(60, 10, -1))
    assert status.ready == 60


def test_the_report_of_a_run_tells_what_became_of_each_stream(frontier: Frontier, reader: FrontierReader) -> None:
    run = begin(frontier, 5)
    other = begin(frontier, 1, name="other", bucket="elsewhere")
    settle(
        frontier,
        Complete([Batch("items", 7, [], []), Batch("pages", 1, [], [])]),
        Complete([Batch("items", 3, [], [])], [], [], [Skipped("items", "i1", "cannot be serialized: \ufffd")]),
        Bury("Denied: not yours", denied=True, stream="secrets"),
        Bury("gone"),
        Bury("gone too"),
    )
    assert reader.streams(run) == {
        "items": StreamReport(10, 0, 0, 0, 0, 0, 1, 0, False, "i1: cannot be serialized: \ufffd"),
        "page": StreamReport(0, 0, 0, 0, 0, 0, 0, 2, False, "gone too"),
        "pages": StreamReport(1, 0, 0, 0, 0, 0, 0, 0, False, None),
        "secrets": StreamReport(0, 0, 0, 0, 0, 0, 0, 1, True, "Denied: not yours"),
    }
    assert reader.streams(99) == {}
    assert reader.streams_many([run, 99, other]) == {number: reader.streams(number) for number in (run, 99, other)}


@pytest.mark.parametrize("later", [{"ad_hoc": "a sample", "sample": 3}, {"part": "orders"}])
def test_a_run_of_some_that_goes_well_does_not_hide_that_the_last_whole_one_did_not(
    later: dict[str, Any], frontier: Frontier, reader: FrontierReader
) -> None:
    whole = begin(frontier, 1)
    settle(frontier, Bury("gone"))
    tasks = [NewTask("shop.page", "pages", 5, "{}")]
    some = frontier.start_run("shop", 1, tasks, full=True, now=NOW, **later).run
    settle(frontier, Complete())
    found = reader.overview(20, NOW)
    assert [run.id for run in found.latest] == [some]
    assert [run.id for run in found.unclean] == [whole]
    begin(frontier, 1)
    settle(frontier, Complete())
    assert reader.overview(20, NOW).unclean == []


def test_dead_letters_are_listed_page_by_page_and_by_import(frontier: Frontier, reader: FrontierReader) -> None:
    run = begin(frontier, 3)
    other = begin(frontier, 1, name="other", account="zenith", bucket="elsewhere")
    settle(frontier, Bury("a"), Bury("b", denied=True), Bury("c"))
    settle(frontier, Bury("d"), bucket=2)
    letters = reader.dead_letters()
    assert [(letter.id, letter.error, letter.run) for letter in letters] == [
        (1, "a", run),
        (2, "b", run),
        (3, "c", run),
        (4, "d", other),
    ]
    assert letters[1] == DeadLetter(
        id=2, import_name="shop", run=run, account="acme", stream="page", kind="shop.page", attempts=1, denied=True,
        error="b", payload='{"n":1}', at=NOW, group=letters[1].group,
    )  # fmt: skip
    assert reader.dead_letters(limit=2) == letters[:2]
    assert reader.dead_letters(after=2, limit=2) == letters[2:]
    assert reader.dead_letters(LetterFilter(import_name="other")) == letters[3:]
    assert reader.dead_letters(LetterFilter(import_name="nothing")) == []
    assert msgspec.structs.replace(reader.dead_letter(2), history=[]) == letters[1]
    assert reader.dead_letter(99) is None
    assert reader.known_dead([3, 99, 1, 3]) == [3, 1]
    frontier.retry_dead([2])
    assert reader.dead_letter(2) is None
    assert reader.totals() == (1, 0, 0, 3)


def test_a_reader_sees_commits_and_does_not_hold_up_the_writer(frontier: Frontier, reader: FrontierReader) -> None:
    begin(frontier, 2)
    assert reader.totals() == (2, 0, 0, 0)
    settle(frontier, Complete())
    assert reader.totals() == (1, 0, 0, 0)
    settle(frontier, Complete())
    assert reader.totals() == (0, 0, 0, 0)


@pytest.mark.parametrize("crashed", [False, True])
def test_a_frontier_can_be_read_while_nobody_owns_it(place: Place, tmp_path: Path, crashed: bool) -> None:
    begin(place.open(), 2)
    if not crashed:
        place.shut()
    (tmp_path / "copy").mkdir()
    copy = place.killed(tmp_path / "copy")
    with closing(copy.reader()) as reader:
        assert reader.totals() == (2, 0, 0, 0)
    copy.remove()


def test_imports_that_are_not_configured_any_more(frontier: Frontier, reader: FrontierReader) -> None:
    for name, account, setup in (("b", "acme", "1"), ("a", "zenith", "2"), ("c", "acme", "1"), ("b", "zenith", "3")):
        number = frontier.account(account, "src")
        frontier.start_run(name, number, [], full=True, now=NOW, setup=setup, streams=["orders"])
    assert reader.left_imports({"c"}) == [
        LeftImport("a", "zenith", "2", frozenset()),
        LeftImport("b", "zenith", "3", frozenset()),
    ]
    assert reader.left_imports({"a", "b", "c", "d"}) == []


def test_the_backlog_has_the_accounts_with_the_most_ready_tasks(frontier: Frontier, reader: FrontierReader) -> None:
    begin(frontier, 3, name="one", account="acme", bucket="pages")
    begin(frontier, 2, name="two", account="acme/eu", bucket="pages")
    begin(frontier, 4, name="three", account="zenith", bucket="a")
    begin(frontier, 1, name="four", account="idle")
    settle(frontier, Complete(), bucket=4)
    assert reader.backlog(10) == [("acme", 5), ("zenith", 4)]
    assert reader.backlog(1) == [("acme", 5)]
