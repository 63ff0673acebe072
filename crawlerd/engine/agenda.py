"""Knows when to look at each import next, and starts those that are due."""

from __future__ import annotations

import math
import time
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import TYPE_CHECKING

from crawlerd.core.errors import CrawlerdError, FrontierError, Permanent, StorageFailed
from crawlerd.core.log_events import Event, tell
from crawlerd.engine.pausing import ImportPaused
from crawlerd.engine.scheduling import PAUSED
from crawlerd.engine.starting import ImportGone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from crawlerd.config.load import Settings
    from crawlerd.engine.guards import Guards
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.pausing import Pausing
    from crawlerd.engine.runs import Runs
    from crawlerd.engine.scheduling import Scheduling
    from crawlerd.engine.store_inbox import StoreInbox

STORAGE_SECONDS = 5.0  # between two tries to start an import whose sink cannot be opened, or while the disk is full
START_MOST = 256  # most imports to start before signals are handled again
START_SECONDS = 60.0  # between two tries to start an import whose source raises an error at once
FIRST_LOOK = 1.0  # Unix time of the first look at an import, which is before all times of schedules
LONGEST_WAIT = 60.0  # most seconds between two calls of `start_due`
SET_BACK = 2.0  # if the wall clock is more seconds before the last look, it was set back

SCHEDULE = "schedule"  # who has started a run that was due, for people


class Agenda:
    """Decides when to look at each import, and starts those that are due. To be used from the main thread, unless
    something else is said.

    progress_at: when the main loop was last seen running; monotonic seconds.
    overdue: scheduled imports whose time has come while a run of theirs is under way. From any thread.
    reloaded: imports that a reload has added, changed or removed; `start_due` takes them out. From any thread.
    """

    def __init__(
        self,
        settings: Settings,
        running: Collection[str],
        runs: Runs,
        accounts: Guards,
        sinks: OpenSinks,
        store: StoreInbox,
        pauses: Pausing,
        scheduling: Scheduling,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        running: imports with an unfinished run; they are looked at first.
        wall: the wall clock that schedules follow, in Unix seconds.
        """
        self._settings, self._runs, self._accounts, self._sinks = settings, runs, accounts, sinks
        self._store, self._pauses, self._scheduling, self._wall = store, pauses, scheduling, wall
        self.progress_at = time.monotonic()
        self._looked_at = wall()
        self._refusals: dict[str, str] = {}  # why imports could not start at the last try
        self._broken: dict[str, str] = {}  # the error of imports whose source has raised one
        self._looks = {name: 0.0 if name in running else FIRST_LOOK for name in settings.imports}  # when to look at it
        self._agenda = sorted((at, name) for name, at in self._looks.items())  # a heap; may also have outdated times
        self.overdue: set[str] = set()
        self.reloaded: SimpleQueue[Collection[str]] = SimpleQueue()

    @property
    def trouble(self) -> str | None:
        """Why an import that is due cannot start. From any thread."""
        return next(iter(list(self._refusals.values())), None)

    def refusal(self, name: str) -> str | None:
        """Why an import could not start at the last try; None when it could. From any thread."""
        return self._refusals.get(name) or self._broken.get(name)

    def refusals(self) -> dict[str, str]:
        """Why imports could not start at the last try, by import. From any thread."""
        return self._broken.copy() | self._refusals.copy()

    def broken(self) -> dict[str, str]:
        """The errors of imports whose source raised one at the last try, by import. From any thread."""
        return self._broken.copy()

    def start_due(self) -> float:
        """Starts every import that is due, resumes interrupted ones, and checks refused credentials again. Returns the
        seconds after which it must be called again."""
        now = self._wall()
        if now < self._looked_at - SET_BACK:  # the times of the agenda come from a clock that was ahead
            self._agenda = [(now, name) for name in self._looks]
            self._looks = dict.fromkeys(self._looks, now)
        self._looked_at = now
        names: list[str] = []
        while not self.reloaded.empty():
            self._look_again(set(self.reloaded.get()), now)
        while not self._runs.idle.empty():
            self._look_at(self._runs.idle.get(), now)
        while not self._pauses.resumed.empty():
            name = self._pauses.resumed.get()
            if name in self._settings.imports:  # even if a run is under way: another one has retried dead letters
                names.append(name)
        while self._agenda and self._agenda[0][0] <= now and len(names) < START_MOST:
            at, name = heappop(self._agenda)
            if self._looks.get(name) != at:
                continue  # an outdated entry
            del self._looks[name]
            if at > FIRST_LOOK and self._runs.under_way(name) and self._is_scheduled(name):
                self.overdue.add(name)
            if self._runs.under_way(name) or name in names or name not in self._settings.imports:
                continue  # looked at again when the run has ended, or the import is configured again
            if self._pauses.current.of_import(name):  # looked at again when it is resumed
                self._scheduling.unable(name, PAUSED)
                self.overdue.discard(name)
            else:
                names.append(name)
        before = set(self._refusals.values())
        try:
            verdicts = self._store.call(lambda: self._scheduling.look(names, now)).result()
        except FrontierError as error:
            for name in names:
                self._look_at(name, now + STORAGE_SECONDS)
            if not (isinstance(error, StorageFailed) and error.full):
                raise
            self._refusals |= dict.fromkeys(names, str(error))  # the frontier cannot store which starts are skipped
            self._tell(before)
            return STORAGE_SECONDS
        self.overdue.difference_update(verdicts)
        later = {name: each.at for name, each in verdicts.items() if each.at > now}
        notes = {name: each.note for name, each in verdicts.items() if each.note}
        due = [name for name in names if name not in later]
        for name, result in self._runs.start_imports(due, began=SCHEDULE, notes=notes):
            self.progress_at = time.monotonic()
            self._refusals.pop(name, None)
            self._broken.pop(name, None)
            self._scheduling.tried(name, result, verdicts[name])
            if isinstance(result, ImportPaused | ImportGone):
                later[name] = math.inf  # looked at again when it is resumed, or configured again
            elif isinstance(result, Permanent):
                tell(Event.START_REFUSED, "import %s: %s", name, result, import_name=name, reason=str(result))
                self._broken[name] = str(result)
                later[name] = now + START_SECONDS
            elif isinstance(result, CrawlerdError):
                self._refusals[name] = str(result)
                later[name] = now + STORAGE_SECONDS
        self._tell(before)
        for name, at in later.items():
            if at < math.inf:
                self._look_at(name, at)
        self._accounts.probe()
        longest = LONGEST_WAIT
        if self._sinks.refused:
            self._store.call(self._sinks.open_all)
            longest = STORAGE_SECONDS
        return min(longest, max(0.0, self._agenda[0][0] - now)) if self._agenda else longest

    def _is_scheduled(self, name: str) -> bool:
        spec = self._settings.imports.get(name)
        return spec is not None and spec.schedule is not None

    def _look_at(self, name: str, at: float) -> None:
        if self._looks.get(name) != at:
            self._looks[name] = at
            heappush(self._agenda, (at, name))

    def _look_again(self, changed: Collection[str], now: float) -> None:
        for name in changed:
            if name in self._settings.imports:
                self._look_at(name, now)
            self._refusals.pop(name, None)

    def _tell(self, before: Collection[str]) -> None:
        """Logs why imports cannot start: once for each new reason, not for each import or try. A sink that cannot be
        opened was logged before. before: the reasons so far."""
        told = {*before, *map(str, list(self._sinks.refused.values()))}
        for reason in dict.fromkeys(self._refusals.values()):
            if reason not in told:
                first, *others = [name for name, why in self._refusals.items() if why == reason]
                more = f" and {len(others)} others" if others else ""
                text = "import %s%s cannot start: %s; trying again"
                tell(Event.START_REFUSED, text, first, more, reason, import_name=first, reason=reason)
        if before and not self._refusals:
            tell(Event.STARTS_AGAIN, "imports that could not start can do so again")
