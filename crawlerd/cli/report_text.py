"""The report of `crawlerd import` as text: each of a few imports; of many, only those that are not complete, and a
summary."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from crawlerd.cli.modes import modes
from crawlerd.cli.tables import duration
from crawlerd.core.redaction import shown
from crawlerd.core.wording import plain_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

# the counts of a stream's report that are shown
COUNTS = ("records", "seen", "new", "changed", "unchanged", "tombstoned")
EACH_SHOWN = 10  # with more imports than this, only those that are not complete are shown
LINES = 60  # most lines about imports that are not complete


def print_report(report: Mapping[str, Any], console: Console, *, streams: bool = True) -> None:
    """Prints the report.

    streams: with a line for each stream.
    """
    for line in report_lines(report, streams=streams, quiet=modes.quiet):
        # no markup: reasons quote an API's text, which could look like markup
        console.out(shown(line), highlight=False)


def report_lines(report: Mapping[str, Any], *, streams: bool = True, quiet: bool = False) -> Iterator[str]:
    """The lines of the report.

    streams: with a line for each stream.
    quiet: without runs that are complete.
    """
    imports, not_started = report["imports"], report["not_started"]
    count = len(imports) + len(not_started)
    few = count <= EACH_SHOWN
    lines: list[str] = []
    for name, runs in imports.items():
        for run in runs:
            if run["complete"] and (quiet or not few):
                continue
            lines += _run_lines(name, run)
            facts = run["streams"].items() if streams else ()
            lines += (_stream_line(stream, each) for stream, each in facts if few or _is_lacking(each))
    lines += (f"{name}: not started: {reason}" for name, reason in not_started.items())
    if not few and len(lines) > LINES:
        left = len(lines) - LINES
        lines[LINES:] = [f"and {left:,} more lines: `crawlerd status`, `crawlerd runs`, or --json has them all"]
    yield from lines
    if count > 1 and not (quiet and report["state"] == "completed"):
        yield _summary(report, count)
    yield from _advice(report)


def _summary(report: Mapping[str, Any], count: int) -> str:
    """One line about all runs together."""
    runs = [run for each in report["imports"].values() for run in each]
    states = Counter("stopped" if run["state"] == "running" else _ending(run) for run in runs)
    states += Counter({"not started": len(report["not_started"])})
    began = min((run["started_at"] for run in runs), default=0.0)
    ended = max((run["ended_at"] or time.time() for run in runs), default=0.0)
    totals = {key: sum(run[key] for run in runs) for key in ("records", "done", "retried", "throttled", "dead")}
    how = ", ".join(f"{number:,} {state}" for state, number in states.most_common())
    return (
        f"{count:,} imports after {duration(ended - began)}: {how}; {totals['records']:,} records, "
        f"{totals['done']:,} tasks, {totals['retried']:,} retried, {totals['throttled']:,} throttled, "
        f"{totals['dead']:,} dead"
    )


def _ending(run: Mapping[str, Any]) -> str:
    """The state of a run, or "not complete" for a completed run that lacks something."""
    return "not complete" if run["state"] == "completed" and not run["complete"] else str(run["state"])


def _is_lacking(facts: Mapping[str, Any]) -> bool:
    return bool(facts["skipped"] or facts["dead"] or facts["denied"])


def _advice(report: Mapping[str, Any]) -> Iterator[str]:
    """What to do next, by the state of the whole report."""
    match report["state"]:
        case "interrupted":
            yield "interrupted; nothing is lost: the same command resumes it"
        case "waiting for an API":
            yield from (f"no answer from {each['origin']}: {plain_error(each['error'])}" for each in report["outages"])
            yield "stopped; nothing is lost: run the same command again when the API answers"
        case "stopped":
            yield "stopped after the time of --for; nothing is lost: the same command resumes it"
        case "failed" if not any(run["dead"] for runs in report["imports"].values() for run in runs):
            pass  # the reasons are printed above
        case "completed with dead letters" | "failed":
            yield "some tasks are dead letters: see `crawlerd dead list`, then `crawlerd dead retry`"
        case "not complete":
            yield "not complete: skipped and doubted records are listed above"


def _run_lines(name: str, run: Mapping[str, Any]) -> Iterator[str]:
    """The lines about a run.

    name: the name of its import.
    """
    seconds = (run["ended_at"] or time.time()) - run["started_at"]
    # running at its end means that this command stopped it
    state = "stopped" if run["state"] == "running" else run["state"]
    yield (
        f"{name}: run {run['id']} {state} after {duration(seconds)}: {run['records']:,} records, "
        f"{run['done']:,} tasks, {run['retried']:,} retried, {run['throttled']:,} throttled, "
        f"{run['dead']:,} dead, {'complete' if run['complete'] else 'not complete'}"
    )
    if run["full"] or run["full_reason"]:
        reason = f": {run['full_reason']}" if run["full_reason"] else ""
        yield f"  {'full' if run['full'] else 'full in part'}{reason}"
    if run.get("ad_hoc"):
        yield f"  ad hoc: {run['ad_hoc']}; it publishes no sync points and writes no tombstones"
    if run.get("part"):
        yield f"  only the streams {run['part']}"
    for doubt in run["doubts"]:
        yield f"  {doubt_text(doubt)}"
    if run["paused"]:
        yield f"  account {run['paused_account']} is refused: {run['paused']}"
    if run["held_up"]:
        yield f"  held up by {run['held_up']}"


def _stream_line(stream: str, facts: Mapping[str, Any]) -> str:
    notes = [f"{facts[key]:,} {key}" for key in ("skipped", "dead") if facts[key]]
    notes += ["denied"] if facts["denied"] else []
    tail = f" ({', '.join(notes)}: {plain_error(facts['reason'])})" if notes else ""
    tail += f"; {facts['note']}" if facts["note"] else ""
    if facts["reason"] and not notes and not facts["note"]:
        tail = f" ({plain_error(facts['reason'])})"
    repeats = facts["records"] - facts["seen"] - facts["tombstoned"]
    if repeats > facts["seen"] and not facts["dead"]:  # with a dead letter, the list may have been read again
        tail += f"; {repeats:,} had a key that had been seen before: is the key unique?"
    return f"  {stream}: {', '.join(f'{facts[key]:,} {key}' for key in COUNTS)}{tail}"


def doubt_text(doubt: Mapping[str, Any]) -> str:
    """A doubt, as text."""
    return (
        f"{doubt['stream']} of {doubt['account']}: in doubt: {doubt['seen']:,} seen, where the last full run had seen "
        f"{doubt['before']:,}; a sweep tombstones none of it and its sync point stays, until a full run sees about as "
        "little again, or `crawlerd import --allow-shrink` says that it is so"
    )
