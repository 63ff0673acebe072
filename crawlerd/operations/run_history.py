"""The runs: which there were, what one brought; starting, cancelling and forgetting one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from crawlerd.frontier.reports import Act, DeadLetter, RunReport, StreamReport
from crawlerd.operations.pause_requests import reason_of
from crawlerd.operations.problem import Refused, Unknown
from crawlerd.operations.why import Why, why

if TYPE_CHECKING:
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.why import Live

LETTERS = 5
State = Literal["running", "completed", "completed with dead letters", "failed", "cancelled"]


class RunsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    import_name: only the runs of one import.
    since: started since then; Unix seconds.
    after: only runs that are older than this one.
    """

    import_name: str | None = None
    state: State | None = None
    since: float = 0.0
    after: int | None = None
    limit: int = 50


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """
    runs: the newest first.
    next: the run to go on after; None when there are no more.
    """

    runs: list[RunReport]
    next: int | None = None


class StreamLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    before: records that the completed run before had seen; None where it did not read the stream.
    """

    stream: str
    facts: StreamReport
    before: int | None


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """
    waits: why it waits, or that it has ended.
    letters: its first dead letters.
    """

    run: RunReport
    streams: list[StreamLine]
    waits: Why
    letters: list[DeadLetter]


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How an import is to run now."""

    full: bool = False
    allow_shrink: bool = False


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """
    runs: that are under way now; several where interrupted ones go on.
    resumed: they had begun before.
    """

    runs: list[int]
    resumed: bool


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """reason: for whoever looks at it later."""

    reason: str


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """
    requests: were under way, and their answers are dropped; what they do at the API cannot be undone.
    """

    requests: int


def runs(reader: FrontierReader, request: RunsRequest) -> Runs:
    found = reader.run_page(
        import_name=request.import_name,
        state=request.state,
        since=request.since,
        after=request.after,
        most=request.limit + 1,
    )
    if not found and request.import_name is not None and not reader.knows("import", request.import_name):
        raise Unknown(f"import {request.import_name[:80]} has not run yet, or there is none of that name")
    shown = found[: request.limit]
    return Runs(runs=shown, next=shown[-1].id if len(found) > len(shown) else None)


def detail(reader: FrontierReader, live: Live | None, run: int, now: float) -> RunDetail:
    """Unknown for a run that there is not, or not any more. now: Unix seconds."""
    found = reader.runs([run])
    if not found:
        raise Unknown(f"there is no run {run}, or it was forgotten: see `keep_runs`")
    before = reader.seen_before(run)
    streams = [
        StreamLine(stream=stream, facts=facts, before=before.get(stream))
        for stream, facts in reader.streams(run).items()
    ]
    letters = [each for each in reader.dead_letters(import_name=found[0].import_name, limit=1000) if each.run == run]
    return RunDetail(
        run=found[0], streams=streams, waits=why(reader, live, "run", str(run), now), letters=letters[:LETTERS]
    )


def cancel_act(run: int, request: CancelRequest, by: str, now: float) -> Act:
    """What the audit says of it. Refused without a reason."""
    return Act(now, by, "cancel", f"run {run}", reason_of(request.reason), 1)


def not_running(reader: FrontierReader, run: int) -> Unknown | Refused:
    """Why a run cannot be cancelled."""
    found = reader.runs([run])
    if not found:
        return Unknown(f"there is no run {run}")
    return Refused(f"run {run} has ended already: {found[0].state}")
