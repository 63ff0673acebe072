"""How imports in the foreground have ended: the state of all together, their runs, and the streams of each run."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import asdict, replace

from crawlerd.core.task import PART
from crawlerd.frontier import open_reader
from crawlerd.frontier.reports import OutageReport, RunReport, StreamReport

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence, Set

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader

Conclusion = Literal[
    "completed",
    "not complete",
    "completed with dead letters",
    "cancelled",
    "failed",
    "waiting for an API",
    "stopped",
    "interrupted",
]


class Stopped(Enum):
    """Why a foreground import stopped before the end of its runs."""

    OUTAGE = auto()  # an API does not answer
    TIME = auto()  # its time limit was over


class ReportedRun(RunReport, frozen=True, kw_only=True):
    """A run in a report.

    paused_account, paused: the account that holds it up, and why.
    held_up: the sink or disk that holds it up.
    streams: by name.
    """

    paused_account: str | None
    paused: str | None
    held_up: str | None
    streams: dict[str, StreamReport]


class ImportReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How `import` has ended.

    state: of all imports together.
    imports: their runs, by name.
    not_started: why imports could not start, by name.
    outages: the APIs whose outage has ended the import.
    """

    state: Conclusion
    imports: dict[str, list[ReportedRun]]
    not_started: dict[str, str]
    outages: list[OutageReport] = []

    @property
    def complete(self) -> bool:
        """Whether every run has ended, with nothing dead, denied, skipped or doubted."""
        return self.state == "completed"


def report_of(
    engine: Engine,
    runs: Mapping[str, Iterable[int]],
    not_started: Mapping[str, str],
    cut_off: Sequence[str],
    stopped: Stopped | None = None,
) -> ImportReport:
    """Reads a report from the frontier.

    runs: by import.
    not_started: why an import could not start, by import.
    cut_off: imports that a signal kept from starting.
    stopped: why not all runs were waited for.
    """
    reader = open_reader(engine.settings.daemon.state_dir)
    assert reader is not None  # noqa: S101 - it was open a moment ago
    try:
        reports = {
            name: [(run, reader.streams(run.id, _streams(engine, name, run))) for run in reader.runs(numbers)]
            for name, numbers in runs.items()
        }
        held = held_runs(engine, reader, [run for each in reports.values() for run, _ in each])
        outages = reader.outages() if stopped is Stopped.OUTAGE else []
    finally:
        reader.close()
    every = [run for each in reports.values() for run, _ in each]
    state = conclusion(
        {state_of(engine, run, held) for run in every},
        started=not not_started,
        cut_off=bool(cut_off),
        complete=all(run.complete for run in every),
        stopped=stopped,
    )
    imports = {
        name: [
            reported(
                replace(run, state=state_of(engine, run, held)),
                streams,
                paused_account=held.get(run.id),
                paused=_paused(engine, held.get(run.id, "")),
                held_up=engine.store.stuck.get(run.id),
            )
            for run, streams in each
        ]
        for name, each in reports.items()
    }
    left_out = {**not_started, **dict.fromkeys(cut_off, "interrupted")}
    return ImportReport(state=state, imports=imports, not_started=left_out, outages=outages)


def reported(
    run: RunReport,
    streams: dict[str, StreamReport],
    *,
    paused_account: str | None = None,
    paused: str | None = None,
    held_up: str | None = None,
) -> ReportedRun:
    """A run for a report, see `ReportedRun`."""
    return ReportedRun(**asdict(run), paused_account=paused_account, paused=paused, held_up=held_up, streams=streams)


def conclusion(
    states: Set[str], *, started: bool, cut_off: bool, complete: bool, stopped: Stopped | None = None
) -> Conclusion:
    """The state of all imports together.

    states: the states of the runs.
    started: whether every import could start.
    cut_off: whether a signal kept some from starting.
    complete: whether every run is complete.
    stopped: why not all runs were waited for.
    """
    if not started or states & {"paused", "held up", "failed"}:
        return "failed"
    if stopped is Stopped.OUTAGE:
        return "waiting for an API"
    if stopped is Stopped.TIME:
        return "stopped"
    if cut_off or "running" in states:
        return "interrupted"
    if "completed with dead letters" in states:
        return "completed with dead letters"
    if "cancelled" in states:
        return "cancelled"
    if not complete:
        return "not complete"
    return "completed"


def held_runs(
    engine: Engine, reader: FrontierReader, runs: Iterable[RunReport], down: Set[str] = frozenset()
) -> dict[int, str]:
    """The runs that cannot continue until an account is no longer refused or paused, each with that account.

    down: accounts to be treated as paused.
    """
    held = {}
    out = down | engine.accounts.paused.keys()
    pauses = engine.pauses.current
    for run in runs if out or pauses.notes else ():
        accounts = reader.accounts(run.id) if run.state == "running" else []
        paused = [name for name in accounts if name in out or name.partition(PART)[0] in out or pauses.of_account(name)]
        if paused and not reader.goes_on(run.id, set(accounts).difference(paused)):
            held[run.id] = paused[0].partition(PART)[0]
    return held


def _paused(engine: Engine, account: str) -> str | None:
    """Why no task of an account starts: its credentials, or a person. None if nothing prevents it."""
    note = engine.pauses.current.of_account(account)
    return engine.accounts.paused.get(account) or (note.text if note else None)


def state_of(engine: Engine, run: RunReport, held: Container[int]) -> str:
    """A run's state as people see it.

    held: see `held_runs`.
    """
    if run.state == "running" and run.id in held:
        return "paused"
    if run.state == "running" and run.id in engine.store.stuck:
        return "held up"
    return run.state


def _streams(engine: Engine, name: str, run: RunReport) -> Sequence[str]:
    """The streams that an import's report always lists; none without a sink, since nothing is counted then."""
    spec = engine.settings.imports[name]
    if spec.sink is None:
        return ()
    return run.part.split(", ") if run.part else spec.streams
