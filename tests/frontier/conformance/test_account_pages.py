"""Accounts page by page: by name, by the beginning of their name, and by what they wait for."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import IMPLEMENTATIONS, NOW, Place

from crawlerd.core.pauses import PauseNote
from crawlerd.core.reasons import Reason
from crawlerd.core.task import NewTask
from crawlerd.frontier.wait_index import wait_index
from crawlerd.frontier.waiting_contract import Block
from crawlerd.operations.account_facts import AccountsRequest, accounts, near

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import Act

NAMES = ["acme", "acme-eu", "acme-us", "beta", "b\u00e9ta", "zenith"]


@pytest.fixture
def reader(place: Place, frontier: Frontier) -> Iterator[FrontierReader]:
    with closing(place.reader()) as reader:
        yield reader


def throttle(frontier: Frontier, *names: str) -> None:
    """Each has a task that waits, and a part that does not count."""
    for name in names:
        account = frontier.account(name, "src")
        frontier.account(f"{name}/part", "src")
        frontier.start_run(f"of {name}", account, [NewTask("s.page", "b", 5, "{}")], full=True, now=NOW)
        ((bucket, _),) = frontier.ready_queues(account)
        frontier.commit([], now=NOW, blocked={bucket.id: Block(NOW + 9, Reason.THROTTLED)})


def names(reader: FrontierReader, **asked: object) -> tuple[list[str], str | None]:
    found = accounts(reader, None, AccountsRequest(**asked), NOW)  # type: ignore[arg-type] # given below
    return [each.name for each in found.accounts], found.next


def test_by_the_beginning_of_their_name(frontier: Frontier, reader: FrontierReader) -> None:
    throttle(frontier, *NAMES)
    assert names(reader, prefix="acme") == (["acme", "acme-eu", "acme-us"], None)
    assert names(reader, prefix="acme", limit=2) == (["acme", "acme-eu"], "acme-eu")
    assert names(reader, prefix="acme", after="acme-eu", limit=2) == (["acme-us"], None)
    assert names(reader, prefix="acme", needs_a_look=True, limit=1) == (["acme"], "acme")
    assert names(reader, prefix="acme%") == ([], None)
    assert names(reader, prefix="b") == (["beta", "b\u00e9ta"], None)
    assert near(reader, "acme-us-2", NOW) == ["acme-us", "acme-eu"]
    assert near(reader, "bet", NOW) == ["beta"]
    assert near(reader, "x", NOW) == []


def test_by_what_they_wait_for(frontier: Frontier, reader: FrontierReader) -> None:
    throttle(frontier, "acme", "beta", "delta")
    frontier.account("calm", "src")
    frontier.pause(PauseNote(kind="account", name="beta", reason="r", by="anna", since=NOW))
    assert names(reader, reason=Reason.THROTTLED) == (["acme", "delta"], None)
    assert names(reader, reason=Reason.THROTTLED, limit=1) == (["acme"], "acme")
    assert names(reader, reason=Reason.THROTTLED, after="acme") == (["delta"], None)
    assert names(reader, reason=Reason.PAUSED) == (["beta"], None)
    assert names(reader, reason=Reason.IDLE) == (["calm"], None)
    assert names(reader, reason=Reason.QUOTA) == ([], None)
    found = accounts(reader, None, AccountsRequest(counted=True, limit=1), NOW)
    assert (found.counts, found.counted_at) == ({"throttled": 2, "paused": 1, "idle": 1}, NOW)
    assert accounts(reader, None, AccountsRequest(), NOW).counts is None


@pytest.mark.parametrize("implementation", sorted(IMPLEMENTATIONS))
@given(
    known=st.lists(st.text(st.sampled_from("ab\u00e9\U0001f600"), min_size=1, max_size=4), unique=True, max_size=12),
    prefix=st.text(st.sampled_from("ab\u00e9"), max_size=2),
    limit=st.integers(1, 5),
)
def test_pages_have_each_account_once_in_order(implementation: str, known: list[str], prefix: str, limit: int) -> None:
    place = IMPLEMENTATIONS[implementation].make()
    try:
        frontier = place.open()
        frontier.account_numbers(dict.fromkeys([*known, *(f"{name}/part" for name in known)], "src"))
        with closing(place.reader()) as reader:
            index = wait_index(reader, NOW)
            for reason in (None, Reason.IDLE):
                found: list[str] = []
                after: str | None = ""
                while after is not None:
                    page, after = names(reader, reason=reason, prefix=prefix, after=after, limit=limit)
                    found += page
                assert found == sorted(name for name in known if name.startswith(prefix))
            assert index.counts.get("idle", 0) == len(known)
        place.shut()
    finally:
        place.remove()


def test_the_audit_is_read_from_the_newest_act_on(frontier: Frontier, reader: FrontierReader) -> None:
    for number, by in enumerate(["ana", "ben", "ana", "ben", "ana"]):
        frontier.pause(PauseNote(kind="account", name=f"a{number}", reason="r", by=by, since=NOW + number // 2))
    all_acts = reader.audit()
    assert [each.subject for each in all_acts] == [f"account a{number}" for number in range(5)]
    read: list[Act] = []
    before: int | None = None
    while page := reader.audit(limit=2, before=before):
        read = page + read
        before = page[0].id
    assert read == all_acts
    assert [each.subject for each in reader.audit(by="ben")] == ["account a1", "account a3"]
    assert reader.audit(act="resume") == []
    assert reader.audit(since=NOW + 2, by="ana") == all_acts[4:]
