"""The accounts: what each waits for, and everything known about one."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.lowered import LimitNote, Lowered
from crawlerd.core.pauses import PauseNote
from crawlerd.core.reasons import Reason, Waiting
from crawlerd.frontier.reports import BucketReport, DeadLetter, OutageReport
from crawlerd.frontier.wait_index import wait_index
from crawlerd.operations.account_quotas import QuotaLine, quotas
from crawlerd.operations.account_reasons import account_waits
from crawlerd.operations.problem import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import AccountReport
    from crawlerd.frontier.wait_index import WaitIndex
    from crawlerd.operations.configured import Configured
    from crawlerd.operations.live_facts import Live

LAST_ERRORS = 5
MOST_BUCKETS = 100
NEAR, LONGEST_PREFIX = 5, 40


class AccountsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts to list.

    needs_a_look: only accounts that are refused, throttled, paused, out of quota, or whose API does not answer.
    reason: only those that waited for this a moment ago.
    prefix: only those whose name begins with this.
    after: the name after which to continue.
    limit: how many.
    counted: also count how many accounts wait for each reason.
    """

    needs_a_look: bool = False
    reason: Reason | None = None
    prefix: str = ""
    after: str = ""
    limit: int = 100
    counted: bool = False


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    """An account in a list.

    ready: number of ready tasks.
    waits: what it waits for.
    """

    name: str
    source: str
    ready: int
    waits: Waiting


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of accounts.

    accounts: by name.
    next: the name after which to continue; None on the last page.
    counts: how many of all accounts wait for each reason; None if this was not requested.
    counted_at: when they were counted, in Unix seconds.
    """

    accounts: list[AccountLine]
    next: str | None = None
    counts: dict[str, int] | None = None
    counted_at: float | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about an account.

    identity: the owner of its credentials, as its API said; None if unknown.
    limits: the configured limits by bucket, "" for the whole account; None if no running crawlerd can tell.
    lowered: limits of the account and its buckets that people have lowered for a time.
    learned: what its limiters have learned, by bucket, as JSON.
    buckets: the first ones, those with tasks first.
    errors: the newest dead letters.
    rate: requests per second that it gets; None if unknown.
    permitted: requests per second that its limits permit; None if unknown or unlimited.
    quotas: those of which something is used.
    outage: the outage of its API; None if it answers.
    pauses: what people have paused: the account, its buckets, its source.
    """

    name: str
    source: str
    identity: str | None
    ready: int
    waits: Waiting
    limits: dict[str, list[str]] | None
    lowered: list[LimitNote] = []
    learned: dict[str, msgspec.Raw]
    buckets: list[BucketReport]
    errors: list[DeadLetter]
    rate: float | None = None
    permitted: float | None = None
    quotas: list[QuotaLine] = []
    outage: OutageReport | None = None
    pauses: list[PauseNote] = []


def accounts(
    reader: FrontierReader,
    live: Live | None,
    request: AccountsRequest,
    now: float,
    configured: Configured | None = None,
) -> Accounts:
    """The accounts.

    live: None if no crawlerd works on the frontier.
    configured: None if the configuration was not read.
    now: Unix seconds.
    """
    index = None
    if request.reason or request.counted:
        index = live.wait_index(reader, now) if live else wait_index(reader, now)
    found = {each.name: each for each in _page(reader, index, request, now)}
    names = sorted(found)
    if configured and not request.needs_a_look and request.reason in (None, Reason.IDLE):
        others = (
            name
            for name in configured.accounts
            if name > request.after and name.startswith(request.prefix) and name not in found
        )
        unused = nsmallest(request.limit + 1, others)
        if request.reason is Reason.IDLE:
            unused = [name for name in unused if reader.account(name) is None]
        names = sorted({*names, *unused})
    shown = names[: request.limit]
    told = live.explain([name for name in shown if name in found]) if live else {}
    lines = []
    for name in shown:
        if (each := found.get(name)) is not None:
            waits = told.get(name) or account_waits(reader, live, each, now, asked=True)
            lines.append(AccountLine(name=name, source=each.source, ready=each.ready, waits=waits))
        elif configured:
            source = configured.accounts[name].source
            lines.append(AccountLine(name=name, source=source, ready=0, waits=_unused(name)))
    return Accounts(
        accounts=lines,
        next=shown[-1] if len(names) > len(shown) else None,
        counts=index.counts if index else None,
        counted_at=index.at if index else None,
    )


def _page(
    reader: FrontierReader, index: WaitIndex | None, request: AccountsRequest, now: float
) -> Iterable[AccountReport]:
    """One account more than requested, if there are more."""
    after, prefix, most = request.after, request.prefix, request.limit + 1
    if request.reason is None or index is None:
        return reader.account_page(after=after, most=most, needs_a_look=request.needs_a_look, now=now, prefix=prefix)
    names = index.names(reader, request.reason, after=after, prefix=prefix, most=most)
    return (found for name in names if (found := reader.account(name)))


def account(
    reader: FrontierReader, live: Live | None, name: str, now: float, configured: Configured | None = None
) -> Account:
    """One account; parameters as for `accounts`. Raises Unknown if it does not exist."""
    found = reader.account(name)
    limits = live.limits_of(name) if live else None
    if found is None:
        if configured is None or name not in configured.accounts:
            known = near(reader, name, now)
            others = f"; near it: {', '.join(known)}" if known else ""
            raise Unknown(f"there is no account {name[:80]}, or it has not been used yet{others}")
        source = configured.accounts[name].source
        return Account(
            name=name, source=source, identity=None, ready=0, waits=_unused(name), limits=limits, learned={},
            buckets=[], errors=[], permitted=live.permitted(name) if live else None,
            pauses=_pauses(reader, name, source),
        )  # fmt: skip
    rates = live.account_rates() if live else None
    return Account(
        name=found.name,
        source=found.source,
        identity=found.identity,
        ready=found.ready,
        waits=account_waits(reader, live, found, now),
        limits=limits,
        lowered=Lowered(reader.lowered()).all_of(name),
        learned={bucket: msgspec.Raw(text.encode()) for bucket, text in reader.learned_of(name).items()},
        buckets=reader.buckets_of(name, MOST_BUCKETS),
        errors=reader.last_errors(name, LAST_ERRORS),
        rate=None if rates is None else rates.get(name, 0.0),
        permitted=live.permitted(name) if live else None,
        quotas=quotas(reader, name, now),
        outage=reader.outage_of(name),
        pauses=_pauses(reader, name, found.source),
    )


def near(reader: FrontierReader, name: str, now: float, most: int = NEAR) -> list[str]:
    """Names of accounts with the same beginning, those with the longest first."""
    found: dict[str, None] = {}
    longest = min(len(name), LONGEST_PREFIX)
    for length in range(longest, 0, -1):
        if len(found) >= most or (found and length < longest / 2):
            break
        page = reader.account_page(after="", most=most, needs_a_look=False, now=now, prefix=name[:length])
        found |= dict.fromkeys(each.name for each in page)
    return list(found)[:most]


def _pauses(reader: FrontierReader, name: str, source: str) -> list[PauseNote]:
    meant = (("account", name), ("source", source))
    return [
        note
        for note in reader.pauses()
        if (note.kind, note.name) in meant or (note.kind == "bucket" and note.name.startswith(f"{name}/"))
    ]


def _unused(name: str) -> Waiting:
    return Waiting(who=f"account {name}", reason=Reason.IDLE, text="it has not been used yet")
