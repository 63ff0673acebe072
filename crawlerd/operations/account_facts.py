"""The accounts: what each waits for, and all that is known of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.reasons import Waiting
from crawlerd.frontier.reports import BucketReport, DeadLetter
from crawlerd.operations.problem import Unknown
from crawlerd.operations.why import account_waits

if TYPE_CHECKING:
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.why import Live

LAST_ERRORS = 5
MOST_BUCKETS = 100


class AccountsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    needs_a_look: only those whose credentials are refused, that are throttled, paused, or whose API does not answer.
    after: the name after which to go on.
    """

    needs_a_look: bool = False
    after: str = ""
    limit: int = 100


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    ready: tasks.
    waits: what it waits for.
    """

    name: str
    source: str
    ready: int
    waits: Waiting


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """
    accounts: by name.
    next: the name to go on after; None when there are no more.
    """

    accounts: list[AccountLine]
    next: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """
    identity: who its credentials belong to, as its API said; None where that is not known.
    limits: as configured, by bucket, "" for the whole account; None where no crawlerd runs that could tell.
    learned: what its limiters have found out, by bucket, as JSON.
    buckets: the first ones, those with tasks first.
    errors: the newest dead letters.
    """

    name: str
    source: str
    identity: str | None
    ready: int
    waits: Waiting
    limits: dict[str, list[str]] | None
    learned: dict[str, msgspec.Raw]
    buckets: list[BucketReport]
    errors: list[DeadLetter]


def accounts(reader: FrontierReader, live: Live | None, request: AccountsRequest, now: float) -> Accounts:
    """live: None when no crawlerd works on the frontier. now: Unix seconds."""
    found = reader.account_page(after=request.after, most=request.limit + 1, needs_a_look=request.needs_a_look, now=now)
    shown = found[: request.limit]
    told = live.explain([each.name for each in shown]) if live else {}
    lines = [
        AccountLine(
            name=each.name,
            source=each.source,
            ready=each.ready,
            waits=told.get(each.name) or account_waits(reader, live, each, now, asked=True),
        )
        for each in shown
    ]
    return Accounts(accounts=lines, next=shown[-1].name if len(found) > len(shown) else None)


def account(reader: FrontierReader, live: Live | None, name: str, now: float) -> Account:
    """Unknown for what is not there."""
    found = reader.account(name)
    if found is None:
        raise Unknown(f"there is no account {name[:80]}, or it has not been used yet")
    return Account(
        name=found.name,
        source=found.source,
        identity=found.identity,
        ready=found.ready,
        waits=account_waits(reader, live, found, now),
        limits=live.limits_of(name) if live else None,
        learned={bucket: msgspec.Raw(text.encode()) for bucket, text in reader.learned_of(name).items()},
        buckets=reader.buckets_of(name, MOST_BUCKETS),
        errors=reader.last_errors(name, LAST_ERRORS),
    )
