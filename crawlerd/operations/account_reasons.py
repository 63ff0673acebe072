"""What an account waits for: from the crawlerd that has its tasks in memory, otherwise from the disk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.pauses import Pauses
from crawlerd.core.reasons import ORDER, Reason, Waiting
from crawlerd.core.refused_accounts import refusal_cure
from crawlerd.core.wording import plain_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.pauses import PauseNote
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import AccountReport
    from crawlerd.operations.live_facts import Live

PARTS, RUNS = 50, 100  # how many parts and runs of an account are checked
NOBODY = "no crawlerd works on it"
_FIRST = (Reason.IMPORTING, Reason.REFUSED, Reason.PAUSED)  # these come first, whatever else a part waits for


def account_waits(
    reader: FrontierReader, live: Live | None, account: AccountReport, now: float, *, asked: bool = False
) -> Waiting:
    """What an account waits for.

    live: None if no crawlerd works on the frontier.
    asked: it is known that nothing of the account is in memory.
    """
    who = f"account {account.name}"
    if live is not None:
        told = [] if asked else list(live.explain([account.name]).values())
        told += live.explain(reader.busy_parts(account.name, PARTS)).values()
        if told:
            return _since(account, min(told, key=_place), now)
    return next(_on_disk(reader, live, account, who, now))


def _place(waiting: Waiting) -> tuple[int, float]:
    place = ORDER[waiting.reason] if waiting.reason in _FIRST else len(ORDER)
    return place, waiting.until or 0.0


def _since(account: AccountReport, told: Waiting, now: float) -> Waiting:
    """The same, with the time since when, which the disk knows."""
    first = account.first
    if told.since is None and first and first.until > now and first.reason == told.reason:
        return msgspec.structs.replace(told, since=first.since)
    return told


def _on_disk(
    reader: FrontierReader, live: Live | None, account: AccountReport, who: str, now: float
) -> Iterator[Waiting]:
    """The reasons that apply, the first of which counts; in the same order as in `FrontierReader.wait_counts`."""
    notes = reader.pauses()
    pause = Pauses(notes, lambda name: account.source).of_account(account.name)
    if account.refused:
        text = f"{account.refused}; besides, {pause.text}" if pause else account.refused
        cure = refusal_cure(account.refused, in_memory=False)
        yield Waiting(who=who, reason=Reason.REFUSED, text=text, cure=cure)
    if pause:
        yield pause.waiting(who)
    if outage := reader.outage_of(account.name):
        text = f"{outage.origin} does not answer: {plain_error(outage.error)}"
        yield Waiting(who=who, reason=Reason.OUTAGE, text=text, since=outage.since, until=outage.next_at)
    runs = reader.running_of(account.name, RUNS)
    stuck = live.stuck_runs() if live else {}
    for held in (stuck[run] for run in runs if run in stuck):
        yield Waiting(who=who, reason=held[0], text=held[1])
    if (first := account.first) and first.until > now:
        reason = Reason(first.reason)
        yield Waiting(who=who, reason=reason, text=first.text, since=first.since, until=first.until)
    if first:
        yield Waiting(who=who, reason=Reason.WORKERS, text=live.otherwise if live else NOBODY)
    if account.ready:
        yield _paused_tasks(notes, account.name, who)
    if account.retries:
        tries = [found for run in runs if (found := reader.next_retry(run))]
        first_try = min(tries, key=lambda each: each.due_at, default=None)
        text = (
            f"the next attempt of a task: {plain_error(first_try.error)}" if first_try else "the next attempt of a task"
        )
        yield Waiting(who=who, reason=Reason.RETRY, text=text, until=first_try.due_at if first_try else None)
    if account.gathers:
        yield Waiting(who=who, reason=Reason.GROUP, text="unfinished tasks of a group")
    yield Waiting(who=who, reason=Reason.IDLE, text="no task of it is ready")


def _paused_tasks(notes: list[PauseNote], account: str, who: str) -> Waiting:
    """The reason if people have paused the buckets or imports of all ready tasks."""
    buckets = [note for note in notes if note.kind == "bucket" and note.name.startswith(f"{account}/")]
    found = buckets or [note for note in notes if note.kind == "import"]
    if len(found) == 1:
        return found[0].waiting(f"bucket {found[0].name}" if buckets else who)
    until = min((note.until or math.inf for note in found), default=math.inf)
    if buckets:
        who = f"bucket {buckets[0].name} and {len(buckets) - 1} more"
    text = "all its ready tasks are paused: see `crawlerd status`"
    return Waiting(who=who, reason=Reason.PAUSED, text=text, until=None if until == math.inf else until)
