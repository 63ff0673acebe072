"""The state at a glance: what needs a look, what runs, what ran last, and what accounts wait for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.reasons import Reason, Waiting
from crawlerd.frontier.reports import RunReport
from crawlerd.operations.import_facts import ImportLine, import_lines
from crawlerd.operations.likely_end import likely_end
from crawlerd.operations.troubles import Trouble, troubles
from crawlerd.operations.why import why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.configured import Configured
    from crawlerd.operations.live_facts import Live

SHOWN = 20  # most runs under way, and most imports
MOST_TROUBLES = 200


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run under way.

    waits: what it waits for; None if unknown.
    rate: requests per second that it makes; None if unknown.
    limit: requests per second that its account's limits permit; None if unknown, or unlimited.
    ends_at: the estimated end in Unix seconds; None if unknown.
    """

    run: RunReport
    waits: Waiting | None
    rate: float | None
    limit: float | None
    ends_at: float | None = None


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state at a glance.

    ready, delayed, waiting, dead: numbers of tasks.
    troubles: what needs a look, the most serious first.
    running: the oldest runs under way.
    running_count: how many runs are under way.
    imports: those that ended last.
    import_count: how many imports there are; None for very many.
    accounts: how many wait for each reason.
    """

    ready: int
    delayed: int
    waiting: int
    dead: int
    troubles: list[Trouble]
    running: list[RunLine]
    running_count: int
    imports: list[ImportLine]
    import_count: int | None
    accounts: dict[str, int]
    account_count: int


def status_report(
    reader: FrontierReader,
    live: Live | None,
    configured: Configured | None,
    now: float,
    *,
    held_up: str | None = None,
    hooks: Sequence[Trouble] = (),
    counted: bool = True,
) -> StatusReport:
    """The state. Parameters as for `troubles`.

    live: None if no crawlerd works on the frontier.
    now: Unix seconds.
    counted: count all accounts by what they wait for, which takes time if there are very many; otherwise only those
        that wait for a worker.
    """
    found = reader.overview(SHOWN, now)
    rates = live.rates() if live else {}
    names = [run.import_name for run in found.latest]
    if counted:
        waits = live.wait_index(reader, now).counts if live else reader.wait_counts(now)
    else:
        waits = {Reason.WORKERS: sum(each.reason == Reason.WORKERS for each in (live.census() if live else ()))}
    looked = troubles(
        reader, live, configured, found, now, held_up=held_up, workless=waits.get(Reason.WORKERS, 0), hooks=hooks
    )
    return StatusReport(
        ready=found.ready,
        delayed=found.delayed,
        waiting=found.waiting,
        dead=found.dead,
        troubles=list(islice(looked, MOST_TROUBLES)),
        running=[run_line(reader, live, run, rates.get(run.id), now) for run in found.running],
        running_count=found.running_count,
        imports=[each for each in import_lines(reader, live, configured, names, now) if each.last],
        import_count=found.imports,
        accounts=waits,
        account_count=found.account_count,
    )


def run_line(reader: FrontierReader, live: Live | None, run: RunReport, rate: float | None, now: float) -> RunLine:
    """A run.

    rate: the run's requests per second.
    now: Unix seconds.
    """
    if live is None:
        return RunLine(run=run, waits=None, rate=None, limit=None)
    waits = why(reader, live, "run", str(run.id), now).waits
    end = likely_end(reader, run.id, waits, now)
    return RunLine(
        run=run,
        waits=next(iter(waits), None),
        rate=rate,
        limit=live.permitted(run.account),
        ends_at=end.at if end else None,
    )
