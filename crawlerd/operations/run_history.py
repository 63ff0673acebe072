"""The runs: listing them, what one has imported; starting and canceling one."""

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
    """Which runs to list.

    import_name: only runs of this import.
    since: only those started since this time, in Unix seconds.
    after: only runs older than this one.
    """

    import_name: str | None = None
    state: State | None = None
    since: float = 0.0
    after: int | None = None
    limit: int = 50


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of runs.

    runs: the newest first.
    next: the run after which to continue; None on the last page.
    """

    runs: list[RunReport]
    next: int | None = None


class StreamLine(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of a run.

    before: records that the previous completed run saw; None if it did not read the stream.
    """

    stream: str
    facts: StreamReport
    before: int | None


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about a run.

    waits: why it waits, or that it has ended.
    letters: its first dead letters.
    figures: what it cost, and what happened to it.
    end: when it will probably end; None if unknown, or over.
    share: the requests that it made, as a share of those that its account's current limits permit in that time (1 is
        all); None if no crawlerd runs, or there is no limit.
    """

    run: RunReport
    streams: list[StreamLine]
    waits: Why
    letters: list[DeadLetter]
    figures: RunFigures
    end: LikelyEnd | None
    share: float | None = None


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How to run an import now.

    streams: read only these of the import's streams; empty for all. Needs `full`, `since` or `sample`.
    since: read what has changed since this time, in Unix seconds.
    sample: read only the first records of each stream, this many.
    """

    full: bool = False
    allow_shrink: bool = False
    streams: list[str] = []
    since: float | None = None
    sample: Annotated[int, msgspec.Meta(ge=1, le=MOST_SAMPLED)] | None = None

    @property
    def changes(self) -> bool:
        """Whether it changes the import for one run."""
        return bool(self.streams) or self.since is not None or self.sample is not None

    @property
    def whole(self) -> bool:
        """Whether the run reads from the beginning. A sample does, since there may be no new records."""
        return self.full or (self.sample is not None and self.since is None)


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The runs under way.

    runs: their numbers; several if interrupted ones are resumed.
    resumed: they had begun before.
    """

    runs: list[int]
    resumed: bool


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to cancel a run.

    reason: for the audit.
    """

    reason: str


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """A canceled run.

    requests: how many were under way. Their answers are dropped; effects at the API cannot be undone.
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
        raise Unknown(f"import {request.import_name[:80]} has not run yet, or does not exist")
    shown = found[: request.limit]
    return Runs(runs=shown, next=shown[-1].id if len(found) > len(shown) else None)


def detail(reader: FrontierReader, live: Live | None, run: int, now: float) -> RunDetail:
    """Everything known about a run. Raises Unknown if there is none, or it was forgotten.

    now: Unix seconds.
    """
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
    """The streams of a run. Raises Unknown if there is no such run, or it was forgotten."""
    _known(reader, run)
    return _streams(reader, run)


def figures(reader: FrontierReader, run: int) -> RunFigures:
    """The figures of a run. Raises Unknown if there is no such run, or it was forgotten."""
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
    """The audit's entry about a cancellation. Raises Refused without a reason."""
    return Act(now, by, "cancel", f"run {run}", reason_of(request.reason), 1)


def not_running(reader: FrontierReader, run: int) -> Unknown | Refused:
    """Why a run cannot be canceled."""
    found = reader.runs([run])
    if not found:
        return Unknown(f"there is no run {run}")
    return Refused(f"run {run} has ended already: {found[0].state}")
