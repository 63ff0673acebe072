"""How many accounts wait for what is, however they stand, what is said of each of them by itself."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import IMPLEMENTATIONS, NOW
from support.ready_tasks import bucket_heads

from crawlerd.core.outcome import Retry
from crawlerd.core.pauses import PauseNote
from crawlerd.core.reasons import Reason, Waiting
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import OutageNote, Settled
from crawlerd.frontier.reports import Told
from crawlerd.frontier.waiting_contract import Block
from crawlerd.operations.account_reasons import account_waits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from places import Place

    from crawlerd.frontier.contract import Frontier

ON_DISK = [Reason.QUOTA, Reason.LIMIT, Reason.THROTTLED, Reason.OUTAGE]
blocks = st.none() | st.builds(Block, st.floats(NOW - 50, NOW + 50), st.sampled_from(ON_DISK))


standings = st.fixed_dictionaries(
    {
        "buckets": st.lists(blocks, max_size=3),  # each with a task
        "retry": st.booleans(),  # one task has failed, and nothing else is ready
        "refused": st.booleans(),
        "outage": st.booleans(),
        "paused": st.sampled_from(["", "account", "bucket", "import"]),
        "told": st.none() | st.sampled_from([Reason.IMPORTING, Reason.WORKERS, Reason.LIMIT, Reason.QUOTA]),
        "stuck": st.sampled_from(["", Reason.SINK, Reason.STORE]),
    }
)


class Live:
    """What a daemon would say of the accounts that it has in memory."""

    otherwise = "its turn among the accounts"

    def __init__(self, told: Mapping[str, Reason], stuck: Mapping[int, Reason]) -> None:
        self._told, self._stuck = told, stuck

    def explain(self, accounts: Sequence[str]) -> dict[str, Waiting]:
        return {
            name: Waiting(who=name, reason=self._told[name], text="", until=NOW)
            for name in accounts
            if name in self._told
        }

    def stuck_runs(self) -> dict[int, tuple[Reason, str]]:
        return {run: (reason, "it is locked") for run, reason in self._stuck.items()}

    def limits_of(self, account: str) -> None:
        return None

    def holds(self, run: int, import_name: str) -> None:
        return None


def stand(frontier: Frontier, name: str, how: dict[str, object]) -> int:
    """Brings an account into that state; its run."""
    account = frontier.account(name, "src")
    wanted: list[Block | None] = how["buckets"]  # type: ignore[assignment]
    tasks = [NewTask("s.page", f"b{number}", 5, "{}") for number in range(len(wanted))]
    if how["retry"]:
        tasks.append(NewTask("s.page", "failing", 5, "{}"))
    run = frontier.start_run(f"of {name}", account, tasks, full=True, now=NOW).run
    numbers = {bucket.name: bucket.id for bucket, _ in frontier.ready_queues(account)}
    if how["retry"]:
        (task,) = bucket_heads(frontier, numbers["failing"], (-1, -1), 1)
        frontier.commit([Settled(task, account, Retry(60.0, "reset"))], now=NOW)
    told = {numbers[f"b{number}"]: block for number, block in enumerate(wanted) if block}
    outage = OutageNote("api", account, NOW - 5, NOW + 5, 1.0, "refused")
    frontier.commit([], now=NOW, blocked=told, outages={("api", account): outage} if how["outage"] else {})
    if how["refused"]:
        frontier.refuse(account, "HTTP 401", NOW)
    paused = {"account": name, "import": f"of {name}"}
    paused |= {"bucket": f"{name}/b0"} if wanted else {}
    if note := paused.get(str(how["paused"])):
        frontier.pause(PauseNote(kind=how["paused"], name=note, reason="r", by="anna", since=NOW))  # type: ignore[arg-type]
    return run


@pytest.mark.parametrize("implementation", sorted(IMPLEMENTATIONS))
@given(hows=st.lists(standings, min_size=1, max_size=4), lives=st.booleans())
def test_the_counts_are_those_of_the_accounts(implementation: str, hows: list[dict[str, object]], lives: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place: Place = IMPLEMENTATIONS[implementation](Path(folder))
        frontier = place.open()
        names = [f"a{number}" for number in range(len(hows))]
        runs = {name: stand(frontier, name, how) for name, how in zip(names, hows, strict=True)}
        by_name = dict(zip(names, hows, strict=True))
        told = {name: Reason(str(how["told"])) for name, how in by_name.items() if how["told"]}
        under_way = {name: how for name, how in by_name.items() if how["buckets"] or how["retry"]}
        stuck = {runs[name]: Reason(str(how["stuck"])) for name, how in under_way.items() if how["stuck"]}
        told, stuck = (told, stuck) if lives else ({}, {})
        live = Live(told, stuck) if lives else None
        said = [Told(frontier.account(name, "src"), reason, NOW) for name, reason in told.items()]
        with closing(place.reader()) as reader:
            counts = reader.wait_counts(NOW, said, stuck)
            waiting = reader.waiting_accounts(NOW, said, stuck)
            named = {reason: reader.account_names(numbers) for reason, numbers in waiting.items()}
            found = [reader.account(name) for name in names]
            # what a daemon says of a refused or paused account is never that it works
            each = [account_waits(reader, live, account, NOW).reason for account in found if account]
        place.remove()
        hidden = [how for how in hows if lives and how["told"] and (how["refused"] or how["paused"] == "account")]
        if not hidden:
            assert {reason: count for reason, count in counts.items() if count} == Counter(each)
            assert named == {
                reason: [name for name, its in zip(names, each, strict=True) if its == reason] for reason in set(each)
            }
        assert sum(counts.values()) == len(hows)
        assert {reason: len(found) for reason, found in named.items()} == {k: v for k, v in counts.items() if v}
        assert sorted(name for found in named.values() for name in found) == names


def test_an_account_is_counted_once_with_its_parts(frontier: Frontier, place: Place) -> None:
    """By what may start first, in whichever of them that is."""
    numbers = frontier.account_numbers(dict.fromkeys(["org", "org/1", "org/2", "other"], "src"))
    for number, name in enumerate(numbers):
        frontier.start_run(name, numbers[name], [NewTask("s.page", "b", 5, "{}")], full=True, now=NOW)
        ((bucket, _),) = frontier.ready_queues(numbers[name])
        frontier.commit([], now=NOW, blocked={bucket.id: Block(NOW + 10 + number, ON_DISK[number])})
    with closing(place.reader()) as reader:
        assert reader.wait_counts(NOW) == {"quota": 1, "outage": 1, "idle": 0}
        assert reader.wait_counts(NOW, [Told(numbers["org/2"], "importing", 0.0)]) == {
            "importing": 1,
            "outage": 1,
            "idle": 0,
        }
        assert reader.waiting_accounts(NOW) == {"quota": [numbers["org"]], "outage": [numbers["other"]]}
        account = reader.account("org")
        assert account
        assert (account.first and account.first.reason, account.ready) == ("quota", 3)


def test_it_is_known_since_when_a_bucket_waits_for_the_same(frontier: Frontier, place: Place) -> None:
    frontier.start_run("shop", frontier.account("acme", "src"), [NewTask("s.page", "b", 5, "{}")], full=True, now=NOW)
    said = []
    for now, until, reason in [(1, 10, "quota"), (5, 20, "quota"), (30, 40, "quota"), (31, 50, "outage")]:
        frontier.commit([], now=NOW + now, blocked={1: Block(NOW + until, Reason(reason), f"{reason} {now}")})
        with closing(place.reader()) as reader:
            first = (account := reader.account("acme")) and account.first
            assert first
            said.append((first.reason, first.text, (first.since or 0) - NOW, first.until - NOW))
    assert said == [("quota", "quota 1", 1, 10), ("quota", "quota 5", 1, 20), ("quota", "quota 30", 30, 40),
        ("outage", "outage 31", 31, 50)]  # fmt: skip


def test_a_new_process_asks_again_for_quotas_and_for_nothing_else(place: Place) -> None:
    """Whoever has raised a limit and restarted need not wait for the end of what was used before."""
    frontier = place.open()
    tasks = [NewTask("s.page", f"b{number}", 5, "{}") for number in range(4)]
    frontier.start_run("shop", frontier.account("acme", "src"), tasks, full=True, now=NOW)
    frontier.commit([], now=NOW, blocked={n + 1: Block(NOW + 99, reason) for n, reason in enumerate(ON_DISK)})
    place.shut()
    frontier = place.open()
    blocked = {bucket.reason for bucket, _ in frontier.ready_queues(1) if bucket.blocked_until > NOW}
    assert blocked == {"limit", "throttled", "outage"}
