"""Operations on dead letters: retries or drops all that match a filter, in chunks, between the commits of runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from crawlerd.core.errors import CrawlerdError, FrontierRefused, SyncFailed
from crawlerd.core.log_events import Event, tell
from crawlerd.core.wording import counted
from crawlerd.frontier import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from crawlerd.engine.clock import Clock
    from crawlerd.engine.failure import Failure
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.acts_contract import Promise
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.letter_contract import Stepped
    from crawlerd.frontier.reports import Act, OperationReport

CHUNK = 500  # letters that one transaction changes
TROUBLE_SECONDS = 5.0  # between two tries while the frontier cannot be written


def chunks(
    operation: OperationReport, state_dir: Path, step: Callable[[Sequence[int]], Stepped | None]
) -> Iterator[Stepped]:
    """Carries an operation out, or continues it. Yields after each chunk; the caller may stop there.

    step: changes the letters of these numbers and stores how far the operation has come, see
        `Frontier.step_operation`; called with no numbers at the end.
    """
    last = operation.last
    while True:
        reader = open_reader(state_dir)
        if reader is None:
            return
        try:
            numbers = reader.next_letters(operation.which, through=operation.through, after=last, most=CHUNK)
        finally:
            reader.close()
        stepped = step(numbers)
        if stepped is None or not numbers:
            return
        last = numbers[-1]
        yield stepped


class Bulk:
    """Carries operations on dead letters out. Runs on a thread of its own between `start` and `stop`; used from any
    thread."""

    def __init__(
        self,
        state_dir: Path,
        frontier: Frontier,
        clock: Clock,
        store: StoreInbox,
        failure: Failure,
        resume: Callable[[Sequence[str]], None],
    ) -> None:
        """resume: called with imports whose runs have tasks again."""
        self._state_dir, self._frontier, self._clock, self._store = state_dir, frontier, clock, store
        self._failure, self._resume = failure, resume
        self._cancelled: set[int] = set()  # operations cancelled since this process began
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operations", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = TROUBLE_SECONDS) -> None:
        """Ends the thread after the present chunk; the next process continues the operation."""
        self._stopping.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def begin(self, operation: OperationReport, act: Act, promise: Promise | None = None) -> OperationReport:
        """Stores an operation. It is carried out from then on, even after a restart."""

        def begin() -> OperationReport:
            with self._frontier.answering(promise):
                return self._frontier.begin_operation(operation, act)

        begun = self._store.call(begin).result()
        tell(
            Event.OPERATION_BEGAN,
            "operation %d begins, by %s: %s of %s",
            *(begun.id, begun.by, begun.act, counted(begun.total, "dead letter")),
            operation=begun.id,
            act=begun.act,
            letters=begun.total,
            by=begun.by,
        )
        self._news.set()
        return begun

    def cancel(self, operation: int, act: Act) -> bool:
        """Ends an operation; letters changed so far stay changed. Returns whether it was under way."""
        now = self._clock.now()

        def end() -> bool:
            ended = self._frontier.end_operation(operation, None, act, now)
            if ended:
                self._cancelled.add(operation)
            return ended

        ended = self._store.call(end).result()
        if ended:
            text = "operation %d is cancelled by %s; what was done stays done"
            tell(Event.OPERATION_ENDED, text, operation, act.by, operation=operation, state="cancelled")
        return ended

    # the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                for operation in self._store.call(self._frontier.running_operations).result():
                    self._carry_out(operation)
            except (SyncFailed, FrontierRefused):
                return  # the store has reported this error, which ends the engine
            except CrawlerdError as error:
                if not self._stopping.is_set():
                    tell(Event.OPERATION_HELD, "operations wait: %s; trying again", error, error=str(error))
                    self._stopping.wait(TROUBLE_SECONDS)
                continue
            except BaseException as error:  # noqa: BLE001 - top of a thread
                self._failure.set(error)
                return
            self._news.wait()

    def _carry_out(self, operation: OperationReport) -> None:
        def step(numbers: Sequence[int]) -> Stepped | None:
            now = self._clock.now()
            return self._store.call(lambda: self._frontier.step_operation(operation.id, numbers, now)).result()

        done = operation.done
        for stepped in chunks(operation, self._state_dir, step):
            done += stepped.done
            self._resume(stepped.imports)
            if self._stopping.is_set():
                return
        if operation.id not in self._cancelled:  # a cancelled one was logged before
            tell(
                Event.OPERATION_ENDED,
                "operation %d: %s of %s has ended",
                *(operation.id, operation.act, counted(done, "dead letter")),
                operation=operation.id,
                act=operation.act,
                state="done",
                done=done,
            )
