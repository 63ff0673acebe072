"""The report of `crawlerd import`: what it holds, the exit code that follows from it, and how it is printed."""

from __future__ import annotations

import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.cli.exits import ExitCode
from crawlerd.cli.tables import duration
from crawlerd.core.redaction import shown
from crawlerd.core.task import PART
from crawlerd.frontier import open_reader

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set

    from rich.console import Console

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import RunReport

COUNTS = ("records", "seen", "new", "changed", "unchanged", "tombstoned")  # of a stream's report


class Stopped(Enum):
    """Why a foreground import does not wait for the end of its runs."""

    OUTAGE = auto()  # an API does not answer
    TIME = auto()  # it was told to stop after a time


class Outcome(NamedTuple):
    """How an import in the foreground ended."""

    exit_code: ExitCode
    report: dict[str, Any]  # what `--json` prints: `state`, `imports` with their runs and streams, and `not_started`


def outcome(
    engine: Engine,
    runs: Mapping[str, Iterable[int]],
    not_started: Mapping[str, str],
    cut_off: Sequence[str],
    stopped: Stopped | None = None,
) -> Outcome:
    """Reads the report.

    runs: by import.
    not_started: why an import could not start, by import.
    cut_off: imports that a signal kept from starting.
    stopped: why not all runs were waited for.
    """
    reader = open_reader(engine.settings.daemon.state_dir)
    assert reader is not None  # noqa: S101 - it was open a moment ago
    try:
        reports = {
            name: [(run, reader.streams(run.id, _streams(engine, name))) for run in reader.runs(numbers)]
            for name, numbers in runs.items()
        }
        held = held_runs(engine, reader, [run for each in reports.values() for run, _ in each])
        outages = reader.status().outages if stopped is Stopped.OUTAGE else []
    finally:
        reader.close()
    every = [run for each in reports.values() for run, _ in each]
    state, code = conclusion(
        {state_of(engine, run, held) for run in every},
        started=not not_started,
        cut_off=bool(cut_off),
        complete=all(run.complete for run in every),
        stopped=stopped,
    )
    imports = {
        name: [
            {
                **msgspec.to_builtins(run),
                "state": state_of(engine, run, held),
                "paused_account": held.get(run.id),
                "paused": _paused(engine, held.get(run.id, "")),
                "held_up": engine.store.stuck.get(run.id),
                "streams": msgspec.to_builtins(streams),
            }
            for run, streams in each
        ]
        for name, each in reports.items()
    }
    left_out = {**not_started, **dict.fromkeys(cut_off, "interrupted")}
    report = {"state": state, "imports": imports, "not_started": left_out}
    if outages:
        report["outages"] = msgspec.to_builtins(outages)
    return Outcome(code, report)


def conclusion(
    states: Set[str], *, started: bool, cut_off: bool, complete: bool, stopped: Stopped | None = None
) -> tuple[str, ExitCode]:
    """The state of the whole, and its exit code.

    states: of the runs.
    started: whether every import could start.
    cut_off: whether a signal kept some from starting.
    complete: whether every run is complete.
    stopped: why not all were waited for.
    """
    if not started or states & {"paused", "held up", "failed"}:
        return "failed", ExitCode.FAILED
    if stopped is Stopped.OUTAGE:
        return "waiting for an API", ExitCode.UNAVAILABLE
    if stopped is Stopped.TIME:
        return "stopped", ExitCode.INCOMPLETE
    if cut_off or "running" in states:
        return "interrupted", ExitCode.INTERRUPTED
    if "completed with dead letters" in states:
        return "completed with dead letters", ExitCode.INCOMPLETE
    if not complete:
        return "not complete", ExitCode.INCOMPLETE
    return "completed", ExitCode.DONE


def held_runs(
    engine: Engine, reader: FrontierReader, runs: Iterable[RunReport], down: Set[str] = frozenset()
) -> dict[int, str]:
    """The runs that can do nothing until an account is no longer refused or paused, each with that account.

    down: accounts that are as good as paused.
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
    """Why nothing of an account starts: its credentials, or a person."""
    note = engine.pauses.current.of_account(account)
    return engine.accounts.paused.get(account) or (note.text if note else None)


def state_of(engine: Engine, run: RunReport, held: Container[int]) -> str:
    """A run's state as people see it. held: see `held_runs`."""
    if run.state == "running" and run.id in held:
        return "paused"
    if run.state == "running" and run.id in engine.store.stuck:
        return "held up"
    return run.state


def _streams(engine: Engine, name: str) -> Sequence[str]:
    """The streams that an import's report always lists; without a sink there is nothing to count."""
    spec = engine.settings.imports[name]
    return spec.streams if spec.sink is not None else ()


def print_report(report: Mapping[str, Any], console: Console, *, streams: bool = True) -> None:
    """The report for people, by stream if wanted."""
    lines: list[str] = []
    for name, runs in report["imports"].items():
        for run in runs:
            lines += _run_lines(name, run)
            lines += (_stream_line(stream, facts) for stream, facts in run["streams"].items() if streams)
    lines += (f"{name}: not started: {reason}" for name, reason in report["not_started"].items())
    match report["state"]:
        case "interrupted":
            lines.append("interrupted; nothing is lost: the same command resumes it")
        case "waiting for an API":
            lines += (f"no answer from {each['origin']}: {each['error']}" for each in report["outages"])
            lines.append("stopped; nothing is lost: the same command goes on when the API answers again")
        case "stopped":
            lines.append("stopped after the time of --for; nothing is lost: the same command goes on")
        case "failed" if not any(run["dead"] for runs in report["imports"].values() for run in runs):
            pass  # the reasons stand above
        case "completed with dead letters" | "failed":
            lines.append("some tasks are dead letters: see `crawlerd dead list`, then `crawlerd dead retry`")
        case "not complete":
            lines.append("not complete: what was skipped or is doubted stands above")
    for line in lines:
        console.out(shown(line), highlight=False)  # no markup: reasons quote what APIs say, which may look like it


def _run_lines(name: str, run: Mapping[str, Any]) -> Iterator[str]:
    """name: of its import."""
    seconds = (run["ended_at"] or time.time()) - run["started_at"]
    state = "stopped" if run["state"] == "running" else run["state"]  # this command has ended
    yield (
        f"{name}: run {run['id']} {state} after {duration(seconds)}: {run['records']:,} records, "
        f"{run['done']:,} tasks, {run['retried']:,} retried, {run['throttled']:,} throttled, "
        f"{run['dead']:,} dead, {'complete' if run['complete'] else 'not complete'}"
    )
    if run["full"] or run["full_reason"]:
        reason = f": {run['full_reason']}" if run["full_reason"] else ""
        yield f"  {'full' if run['full'] else 'full in part'}{reason}"
    if run.get("ad_hoc"):
        yield f"  ad hoc: {run['ad_hoc']}"
    for doubt in run["doubts"]:
        yield f"  {doubt_text(doubt)}"
    if run["paused"]:
        yield f"  account {run['paused_account']} is paused: {run['paused']}"
    if run["held_up"]:
        yield f"  held up by {run['held_up']}"


def _stream_line(stream: str, facts: Mapping[str, Any]) -> str:
    notes = [f"{facts[key]:,} {key}" for key in ("skipped", "dead") if facts[key]]
    notes += ["denied"] if facts["denied"] else []
    tail = f" ({', '.join(notes)}: {facts['reason']})" if notes else ""
    tail += f"; {facts['note']}" if facts["note"] else ""
    if facts["reason"] and not notes and not facts["note"]:
        tail = f" ({facts['reason']})"
    repeats = facts["records"] - facts["seen"] - facts["tombstoned"]
    if repeats > facts["seen"] and not facts["dead"]:  # with a dead letter, the list may have been read again
        tail += f"; {repeats:,} came under a key that had come before: is it unique?"
    return f"  {stream}: {', '.join(f'{facts[key]:,} {key}' for key in COUNTS)}{tail}"


def doubt_text(doubt: Mapping[str, Any]) -> str:
    """A doubt, for people."""
    return (
        f"{doubt['stream']} of {doubt['account']}: in doubt: {doubt['seen']:,} seen, where the last full run had seen "
        f"{doubt['before']:,}; a sweep tombstones none of it and its sync point stays, until a full run sees about as "
        "little again, or `crawlerd import --allow-shrink` says that it is so"
    )
