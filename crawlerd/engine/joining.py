"""Adds submitted tasks to the run of their import that is under way, or to a new run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core.errors import CrawlerdError
from crawlerd.engine.pausing import ImportPaused
from crawlerd.engine.starting import ImportGone, Submission
from crawlerd.frontier.submission_contract import NO_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.task import NewTask
    from crawlerd.engine.agenda import Agenda
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.pausing import Pausing
    from crawlerd.engine.runs import Runs
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.acts_contract import Promise
    from crawlerd.frontier.contract import Committed, Frontier
    from crawlerd.frontier.submission_contract import Chunk


class Joined(NamedTuple):
    """The result of a submission.

    began: the run is new.
    added: how many of the tasks are new in the run. It has had the others before.
    open: how many tasks of the run are not done.
    """

    run: int
    began: bool
    added: int
    open: int


class NotNow(CrawlerdError):
    """No run of the import can take tasks at the moment."""


class Joining:
    """Adds submitted tasks to runs. Used from any thread."""

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        clock: Clock,
        store: StoreInbox,
        runs: Runs,
        agenda: Agenda,
        pauses: Pausing,
        writer: SinkWriter,
        arrived: Callable[[Committed], None],
    ) -> None:
        """arrived: see `Store.arrived`."""
        self._settings, self._frontier, self._clock, self._store = settings, frontier, clock, store
        self._runs, self._agenda, self._pauses, self._writer = runs, agenda, pauses, writer
        self._arrived = arrived

    def submit(
        self,
        name: str,
        tasks: Sequence[NewTask],
        *,
        began: str,
        chunk: Chunk = NO_CHUNK,
        promise: Promise | None = None,
    ) -> Joined:
        """Submits tasks; they are on disk when this returns. Raises ImportPaused, ImportGone, NotNow, and the errors
        that keep an import from starting.

        began: who or what has started a new run, for people.
        chunk: where the tasks come from.
        """

        def submit() -> Joined:
            with self._frontier.answering(promise):
                return self._submit(name, tasks, began, chunk)

        return self._store.call(submit).result()

    def note(self, chunk: Chunk) -> None:
        """Stores that a chunk without tasks was handled."""
        self._store.call(lambda: self._frontier.note_chunk(chunk, self._clock.now())).result()

    def open(self, run: int) -> int:
        """How many tasks of a run are not done; 0 when the run was forgotten."""

        def found() -> int:
            try:
                return self._frontier.run(run).open
            except KeyError:
                return 0

        return self._store.call(found).result()

    def must_wait(self, name: str) -> bool:
        """Whether submitted tasks must wait: the import is due, and can start only when its run of submitted tasks has
        ended, so that no more tasks may join that run."""
        if name not in self._agenda.overdue:
            return False

        def found() -> bool:
            return all(self._frontier.run(run).submitted for run in self._frontier.running_runs(name))

        return self._store.call(found).result()

    # on the store's thread

    def _submit(self, name: str, tasks: Sequence[NewTask], began: str, chunk: Chunk) -> Joined:
        if (pause := self._pauses.current.of_import(name)) is not None:
            raise ImportPaused(pause)
        if name not in self._settings.imports:
            raise ImportGone(name)
        runs = self._frontier.running_runs(name)
        if runs and not any(run in self._writer.targets for run in runs):
            self._runs.start_here(name, began)  # resumes runs that a restart has interrupted
            runs = self._frontier.running_runs(name)
        if not runs:
            (run,) = self._runs.start_here(name, began, Submission(tasks, chunk)).runs
            return Joined(run, True, len(tasks), self._frontier.run(run).open)
        for run in reversed(runs):
            target = self._writer.targets.get(run)
            if target is None or target.sample is not None:
                continue
            found = self._frontier.submit(run, target.each(list(tasks)), self._clock.now(), chunk)
            if found is not None:
                self._arrived(found.committed)
                return Joined(run, False, found.added, found.open)
        raise NotNow(
            f"import {name} has a run under way that takes only a sample: tasks can be added when it has ended"
        )
