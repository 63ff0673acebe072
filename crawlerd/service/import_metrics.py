"""Metrics of imports: how many are in each state, and figures of each."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.metric_labels import ImportState
from crawlerd.core.reasons import Reason, Waiting
from crawlerd.operations.likely_end import likely_end
from crawlerd.operations.why import why

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.metric_contract import ImportFigures
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import RunReport, Told
    from crawlerd.service.metric_families import Scrape

ESTIMATED = 100  # only the ends of this many runs are estimated, the oldest ones


def add_states(scrape: Scrape, engine: Engine, reader: FrontierReader, figures: Mapping[str, ImportFigures]) -> None:
    """Adds how many imports are in each state.

    figures: those of every configured import.
    """
    paused = {note.name for note in reader.pauses() if note.kind == "import"}
    refused = engine.insight.refusals()
    counts = Counter(state(name, each, paused, refused) for name, each in figures.items())
    for each in ImportState:
        scrape.set("imports", counts[each], each)


def state(name: str, figures: ImportFigures, paused: Iterable[str], refused: Iterable[str]) -> ImportState:
    """The state of an import: the first that applies."""
    if name in paused:
        return ImportState.PAUSED
    if figures.open is not None:
        return ImportState.RUNNING
    if name in refused:
        return ImportState.REFUSED
    if figures.last_state is None:
        return ImportState.NEVER
    return ImportState.FAILED if figures.last_state == "failed" else ImportState.IDLE


def add_imports(
    scrape: Scrape,
    engine: Engine,
    figures: Mapping[str, ImportFigures],
    ends: Mapping[str, float],
    reasons: Mapping[str, Reason],
) -> None:
    """Adds the metrics of each import.

    ends: seconds until the runs under way will probably end, by import.
    reasons: what the runs under way wait for, by import.
    """
    specs, pauses = engine.settings.imports.copy(), engine.pauses.current
    for name, each in figures.items():
        spec = specs.get(name)
        paused = pauses.of_import(name) or (spec and pauses.of_account(spec.account))
        scrape.set("import_paused", float(bool(paused)), name)
        scrape.set("import_last_success_timestamp_seconds", each.succeeded_at, name)
        if spec and (every := spec.every) and every < math.inf:
            scrape.set("import_interval_seconds", every, name)
        scrape.set("import_last_run_duration_seconds", each.last_seconds, name)
        scrape.set("import_consecutive_failures", each.failures, name)
        scrape.set("import_open_tasks", each.open, name)
        scrape.set("import_eta_seconds", ends.get(name), name)
        if reason := reasons.get(name):
            scrape.set("import_waits", 1, name, reason)
        scrape.set("import_dead_letters", each.dead, name)
        scrape.set("import_last_full_run_seen_records", each.seen, name)


def likely_ends(
    engine: Engine, reader: FrontierReader, told: Sequence[Told] | None, runs: Sequence[RunReport], now: float
) -> dict[str, float]:
    """Seconds until runs under way will probably end, by import. If an import has several, the last end counts. Imports
    with a run whose end is unknown are left out."""
    if told is None:
        return {}
    waits = {engine.insight.account_name(each.account): each for each in told}
    ends: dict[str, float | None] = {}
    for run in runs:
        found = _likely_end(engine, reader, waits, run, now)
        before = ends.get(run.import_name, 0.0)
        ends[run.import_name] = None if found is None or before is None else max(found, before)
    return {name: seconds for name, seconds in ends.items() if seconds is not None}


def reasons(engine: Engine, reader: FrontierReader, runs: Sequence[RunReport], now: float) -> dict[str, Reason]:
    """What runs under way wait for, by import: the first reason of `crawlerd why`. If an import has several runs, the
    oldest one counts.

    Raises TimeoutError if the dispatcher does not answer.
    """
    found: dict[str, Reason] = {}
    for run in runs:
        if run.import_name not in found:
            waits = why(reader, engine.insight, "run", str(run.id), now).waits
            found[run.import_name] = waits[0].reason if waits else Reason.IMPORTING
    return found


def _likely_end(
    engine: Engine, reader: FrontierReader, told: Mapping[str, Told], run: RunReport, now: float
) -> float | None:
    if engine.insight.holds(run.id, run.import_name) or engine.pauses.current.of_import(run.import_name):
        return None
    waits = [wait for account in reader.accounts(run.id) for wait in _waits(reader, told, account, now)]
    end = likely_end(reader, run.id, waits, now)
    return None if end is None else end.seconds


def _waits(reader: FrontierReader, told: Mapping[str, Told], account: str, now: float) -> Iterator[Waiting]:
    """What an account waits for, as far as it affects the end of a run."""
    if found := told.get(account):
        yield Waiting(who=account, reason=Reason(found.reason), text="", until=found.until or None)
    elif (report := reader.account(account)) and report.refused:
        yield Waiting(who=account, reason=Reason.REFUSED, text=report.refused)
    elif report and report.first and report.first.until > now:
        first = report.first
        yield Waiting(who=account, reason=Reason(first.reason), text=first.text, until=first.until)
