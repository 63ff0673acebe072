"""Problems at this moment, for notifications. Each event of `crawlerd.core.notify_spec` is found independently."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from crawlerd.core.notices import MOST, Condition, RunMark
from crawlerd.core.pauses import Pauses
from crawlerd.core.wording import counted, plain_error
from crawlerd.operations.troubles import LATE, LATE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from crawlerd.config.load import Settings
    from crawlerd.core.notices import Ledger
    from crawlerd.core.notify_spec import Event, NotifySpec
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import RunReport

SLICE = 500  # imports that are read at once
NAMED = 3  # accounts that a sentence names
MOST_RUNS = 1_000  # new runs that one look reads


class Live(Protocol):
    """What only the daemon itself knows."""

    @property
    def trouble(self) -> str | None:
        """What holds up imports; None if nothing does."""
        ...

    @property
    def storage_trouble(self) -> str | None:
        """The same, if it is a disk or a sink."""
        ...

    def queue_troubles(self) -> Mapping[str, str]:
        """Problems with the queues shared with other programs, by their keys in the configuration."""
        ...

    def broken(self) -> Mapping[str, str]:
        """Imports that raise an error when they should start, with the error."""
        ...


class Conditions:
    """One look at all conditions.

    began_at: when the daemon started, in Unix seconds, like `now`.
    """

    def __init__(
        self,
        reader: FrontierReader,
        live: Live,
        settings: Settings,
        spec: NotifySpec,
        ledger: Ledger,
        *,
        began_at: float,
        now: float,
    ) -> None:
        self._reader, self._live, self._settings, self._spec = reader, live, settings, spec
        self._ledger, self._began_at, self._now = ledger, began_at, now

    def found(self) -> Iterator[Condition]:
        """The problems."""
        looks: dict[Event, Callable[[], Iterator[Condition]]] = {
            "failed": self._failed,
            "stale": self._stale,
            "refused": self._refused,
            "outage": self._outages,
            "disk": self._disk,
            "held_up": self._held_up,
        }
        for event, look in looks.items():
            if event in self._spec.on:
                yield from look()

    def finished(self) -> tuple[RunMark | None, list[Condition]]:
        """Problems from runs that have ended since the last look, and the mark up to which runs are now known."""
        if "finished" not in self._spec.on:
            return None, []
        mark = self._ledger.runs
        if mark is None:  # runs that ended before notifications were configured are not reported
            mark = RunMark(self._reader.newest_run())
        through = min(self._reader.newest_run(), mark.newest + MOST_RUNS)
        states = self._reader.run_states(mark.watched, mark.newest, through)
        known = {*mark.watched, *(number for number in states if mark.newest < number <= through)}
        ended = [number for number in sorted(known) if states.get(number, "running") != "running"]
        running = [number for number, state in states.items() if state == "running" and number <= through]
        return RunMark(through, sorted(running)), [self._end(run) for run in self._reader.runs(ended)]

    def _end(self, run: RunReport) -> Condition:
        dead = f", {counted(run.dead, 'dead letter')}" if run.dead else ""
        why = f": {run.ended_reason}" if run.ended_reason else ""
        did = f"{counted(run.records, 'record')}, {counted(run.done, 'task')}{dead}"
        text = f"import {run.import_name}: {run.state}{why}; {did}"
        return Condition("finished", f"run {run.id}", text, run.ended_at)

    def _failed(self) -> Iterator[Condition]:
        broken = self._live.broken()
        found = set(broken)
        for name, why in sorted(broken.items()):
            yield Condition("failed", f"import {name}", f"cannot start: {why}")
        for names in _slices(list(self._settings.imports)):
            for name, (runs, last) in self._reader.failing(names, self._spec.failed_runs).items():
                if name not in broken:
                    several = f"{runs:,} runs in a row have" if runs > 1 else "a run has"
                    text = f"{several} failed or left dead letters, the last is run {last}: `crawlerd run show {last}`"
                    found.add(name)
                    yield Condition("failed", f"import {name}", text)
        yield from self._tried_again(found)

    def _tried_again(self, failing: set[str]) -> Iterator[Condition]:
        """Problems of failed runs that are being retried. Such a run is not failed any more, but the problem is over
        only when a run has completed."""
        told = {
            each.subject.removeprefix("import "): each for each in self._ledger.open.values() if each.event == "failed"
        }
        names = [name for name in told if name not in failing and name in self._settings.imports]
        for name, figures in self._reader.import_figures(names).items():
            if figures.open is not None and (figures.succeeded_at or 0.0) < told[name].seen_at:
                yield Condition("failed", told[name].subject, told[name].text)

    def _stale(self) -> Iterator[Condition]:
        pauses = Pauses(self._reader.pauses(), self._source_of)
        for names in _slices(list(self._settings.imports)):
            specs = {name: spec for name in names if (spec := self._settings.imports.get(name))}
            every = {
                name: seconds
                for name, spec in specs.items()
                if (seconds := spec.every) and not _paused(pauses, name, spec.account)
            }
            fresh = self._reader.fresh(list(every))
            began = self._reader.first_started([name for name in every if name not in fresh])
            for name, seconds in every.items():
                most = LATE * seconds + LATE_SECONDS if self._spec.stale_seconds is None else self._spec.stale_seconds
                at = fresh.get(name)
                if at is not None and self._now - at > most:
                    yield Condition("stale", f"import {name}", f"no run has completed in time; {_of(at)}", at + most)
                elif at is None and self._now - (first := min(self._began_at, began.get(name, self._now))) > most:
                    yield Condition("stale", f"import {name}", "no run of it has completed so far", first + most)

    def _source_of(self, account: str) -> str:
        found = self._settings.accounts.get(account)
        return found.source if found else ""

    def _refused(self) -> Iterator[Condition]:
        for name, why in self._reader.refused_accounts(MOST):
            if name in self._settings.accounts:
                yield Condition("refused", f"account {name}", why)

    def _outages(self) -> Iterator[Condition]:
        accounts: dict[str, list[str]] = {}
        outages = self._reader.outages()
        for each in outages:
            accounts.setdefault(each.origin, []).extend([each.account] if each.account else [])
        for each in {each.origin: each for each in reversed(outages)}.values():
            names = accounts[each.origin]
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            whose = f" (account{'s' * (len(names) > 1)} {', '.join(names[:NAMED])}{more})" if names else ""
            yield Condition("outage", each.origin, f"does not answer{whose}: {plain_error(each.error)}", each.since)

    def _disk(self) -> Iterator[Condition]:
        if trouble := self._live.storage_trouble:
            yield Condition("disk", "crawlerd", f"held up: {trouble}")
        places = [
            self._settings.daemon.state_dir,
            *(each.database.parent for each in list(self._settings.sinks.values())),
        ]
        seen: set[int] = set()
        for place in places:
            try:
                facts, device = os.statvfs(place), os.stat(place).st_dev
            except OSError:  # the daemon itself reports the consequence
                continue
            free = facts.f_bavail * facts.f_frsize
            if device not in seen and free < self._limit(place):
                yield Condition("disk", str(place), f"{free / (1 << 20):,.0f} MiB are free on its disk")
            seen.add(device)

    def _limit(self, place: Path) -> float:
        """The free space at which the problem ends. It is a little greater than that at which it begins, so that it
        does not alternate."""
        told = f"disk {place}" in self._ledger.open
        return self._spec.disk_free_bytes * (1.05 if told else 1.0)

    def _held_up(self) -> Iterator[Condition]:
        trouble = self._live.trouble
        if trouble and trouble != self._live.storage_trouble:
            yield Condition("held_up", "crawlerd", trouble)
        for key, text in self._live.queue_troubles().items():
            yield Condition("held_up", key, text)


def _paused(pauses: Pauses, name: str, account: str) -> bool:
    return bool(pauses.of_import(name) or pauses.of_account(account))


def _of(at: float) -> str:
    return f"its data are from {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _slices(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + SLICE] for start in range(0, len(names), SLICE))
