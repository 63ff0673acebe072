"""What `top` shows: a verdict, the accounts with the most ready tasks, the runs under way, and the last errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.reasons import Reason, Waiting
from crawlerd.frontier.reports import DeadGroup
from crawlerd.operations.account_reasons import account_waits
from crawlerd.operations.status_report import RunLine, StatusReport, status_report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.configured import Configured
    from crawlerd.operations.live_facts import Live
    from crawlerd.operations.troubles import Trouble

ACCOUNTS, ERRORS = 50, 50  # most accounts and errors


class BusyAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account.

    ready: number of ready tasks.
    rate: requests per second that it gets; null if unknown.
    limit: requests per second that its limits permit; null if unknown, or unlimited.
    waits: what it waits for.
    """

    name: str
    source: str
    ready: int
    rate: float | None
    limit: float | None
    waits: Waiting


class TopReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `top` shows.

    at: Unix seconds.
    alive: a crawlerd works on the frontier.
    verdict: the state in one sentence.
    rate: requests per second to all accounts; null if unknown.
    status: as `status` shows it.
    accounts: those with the most ready tasks, the most first.
    errors: groups of dead letters, in the order of their last letter, the newest first.
    """

    at: float
    alive: bool
    verdict: str
    rate: float | None
    status: StatusReport
    accounts: list[BusyAccount]
    errors: list[DeadGroup]


def top_report(
    reader: FrontierReader,
    live: Live | None,
    configured: Configured | None,
    now: float,
    *,
    held_up: str | None = None,
    hooks: Sequence[Trouble] = (),
) -> TopReport:
    """The report. Parameters as for `status_report`."""
    status = status_report(reader, live, configured, now, held_up=held_up, hooks=hooks)
    rates = live.account_rates() if live else None
    return TopReport(
        at=now,
        alive=live is not None,
        verdict=verdict(status, share_of(status, live), alive=live is not None),
        rate=None if rates is None else sum(rates.values()),
        status=status,
        accounts=list(_busy(reader, live, now)),
        errors=reader.dead_groups(limit=ERRORS, newest=True),
    )


def nothing_yet(now: float, *, alive: bool) -> TopReport:
    """The report for a state directory without a frontier."""
    status = StatusReport(
        ready=0, delayed=0, waiting=0, dead=0, troubles=[], running=[], running_count=0, imports=[], import_count=0,
        accounts={}, account_count=0,
    )  # fmt: skip
    text = "nothing has been imported yet"
    return TopReport(at=now, alive=alive, verdict=text, rate=None, status=status, accounts=[], errors=[])


def verdict(status: StatusReport, share: float | None, *, alive: bool) -> str:
    """The state in one sentence: the most serious problem, otherwise the pace.

    share: the used share of the requests that the limits of working accounts permit (1 is all); None if unknown.
    """
    look = _look(status)
    if not alive:
        return f"no crawlerd is running{look}"
    if not status.running_count:
        return f"idle: no run is under way{look}"
    importing = [each for each in status.running if each.waits is None or each.waits.reason in MOVING]
    if not importing and (reasons := _reasons(status.running)):
        all_of_them = "the run waits" if status.running_count == 1 else f"all {status.running_count:,} runs wait"
        return f"standing still: {all_of_them}: {reasons}{look}"
    at = f" at {share:.0%} of what the limits permit" if share is not None else ""
    return f"importing{at}{look}"


MOVING = (Reason.IMPORTING, Reason.LIMIT, Reason.IDLE, Reason.WORKERS)  # reasons that are not problems


def _look(status: StatusReport) -> str:
    grave = sum(each.grave for each in status.troubles)
    if not grave:
        return ""
    return "; 1 thing needs a look" if grave == 1 else f"; {grave:,} things need a look"


def _reasons(runs: Iterable[RunLine]) -> str:
    """What the runs wait for, such as "refused, quota"."""
    return ", ".join(dict.fromkeys(each.waits.reason for each in runs if each.waits))


def share_of(status: StatusReport, live: Live | None) -> float | None:
    """The used share for the accounts of the displayed runs that have limits."""
    if live is None:
        return None
    limits = {each.run.account: each.limit for each in status.running if each.limit}
    rates = live.account_rates()
    if rates is None:
        return None
    permitted = sum(limits.values())
    return min(1.0, sum(rates.get(name, 0.0) for name in limits) / permitted) if permitted else None


def _busy(reader: FrontierReader, live: Live | None, now: float) -> Iterable[BusyAccount]:
    backlog = reader.backlog(ACCOUNTS)
    told = live.explain([name for name, _ in backlog]) if live else {}
    rates = live.account_rates() if live else None
    for name, ready in backlog:
        found = reader.account(name)
        if found is None:
            continue
        yield BusyAccount(
            name=name,
            source=found.source,
            ready=ready,
            rate=None if rates is None else rates.get(name, 0.0),
            limit=live.permitted(name) if live else None,
            waits=told.get(name) or account_waits(reader, live, found, now, asked=True),
        )
