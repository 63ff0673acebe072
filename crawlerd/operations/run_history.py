"""The runs: which there were, what one brought; starting, cancelling and forgetting one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from crawlerd.frontier.figure_reports import RunFigures
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import Act, DeadLetter, RunReport, StreamReport
from crawlerd.operations.likely_end import LikelyEnd, likely_end
from crawlerd.operations.pause_requests import reason_of
from crawlerd.operations.problem import Refused, Unknown
from crawlerd.operations.why import Why, why

if TYPE_CHECKING:
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.live_facts import Live

LETTERS = 5
MOST_SAMPLED = 10_000  # records of each stream
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
    figures: what it cost, and what happened to it.
    end: when it is likely to end; None when that is unknown, or past.
    share: of the requests that its account's limits, as they are now, permit in the time of the run, how many it made;
        None where no crawlerd runs, or there is no limit.
    """

    run: RunReport
    streams: list[StreamLine]
    waits: Why
    letters: list[DeadLetter]
    figures: RunFigures
    end: LikelyEnd | None
    share: float | None = None


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How an import is to run now.

    streams: those that are read, of the import's own; none for all. They need one of `full`, `since` and `sample`.
    since: what has changed since then is read; Unix seconds.
    sample: this number of records of each stream is read, the first ones.
    """

    full: bool = False
    allow_shrink: bool = False
    streams: list[str] = []
    since: float | None = None
    sample: Annotated[int, msgspec.Meta(ge=1, le=MOST_SAMPLED)] | None = None

    @property
    def changes(self) -> bool:
        """It changes the import for one run."""
        return bool(self.streams) or self.since is not None or self.sample is not None

    @property
    def whole(self) -> bool:
        """The run reads from the beginning: a sample of nothing new would be empty."""
        return self.full or (self.sample is not None and self.since is None)


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
    found = _known(reader, run)
    cost = reader.figures(run)
    told = why(reader, live, "run", str(run), now)
    under_way = live is not None and found.state == "running"
    return RunDetail(
        run=found,
        streams=_streams(reader, run),
        waits=told,
        letters=reader.dead_letters(LetterFilter(run=run), limit=LETTERS),
        figures=cost,
        end=likely_end(reader, run, told.waits, now) if under_way else None,
        share=_share(found, cost, live, now),
    )


def streams(reader: FrontierReader, run: int) -> list[StreamLine]:
    """Unknown for a run that there is not, or not any more."""
    _known(reader, run)
    return _streams(reader, run)


def figures(reader: FrontierReader, run: int) -> RunFigures:
    """Unknown for a run that there is not, or not any more."""
    _known(reader, run)
    return reader.figures(run)


def _known(reader: FrontierReader, run: int) -> RunReport:
    if found := reader.runs([run]):
        return found[0]
    raise Unknown(f"there is no run {run}, or it was forgotten: see `keep_runs`")


def _streams(reader: FrontierReader, run: int) -> list[StreamLine]:
    before = reader.seen_before(run)
    return [
        StreamLine(stream=stream, facts=facts, before=before.get(stream))
        for stream, facts in reader.streams(run).items()
    ]


def _share(run: RunReport, figures: RunFigures, live: Live | None, now: float) -> float | None:
    permitted = live.permitted(run.account) if live else None
    seconds = (run.ended_at or now) - run.started_at
    return figures.requests / seconds / permitted if permitted and seconds > 0 else None


def cancel_act(run: int, request: CancelRequest, by: str, now: float) -> Act:
    """What the audit says of it. Refused without a reason."""
    return Act(now, by, "cancel", f"run {run}", reason_of(request.reason), 1)


def not_running(reader: FrontierReader, run: int) -> Unknown | Refused:
    """Why a run cannot be cancelled."""
    found = reader.runs([run])
    if not found:
        return Unknown(f"there is no run {run}")
    return Refused(f"run {run} has ended already: {found[0].state}")
