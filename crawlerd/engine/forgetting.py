"""Deletes what was imported: from the frontier first, so that the next run reads in full; then from the sinks, in
slices."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import msgspec

from crawlerd.core.errors import CrawlerdError
from crawlerd.engine.outgoing import outbox_of
from crawlerd.sinks import erase_in_files, holds_rows, open_sink
from crawlerd.sinks.ack_queue import DATABASE, AckQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crawlerd.core.configuration import InboxSpec, SinkSpec, SpoolSpec
    from crawlerd.core.erasure import Erasure, ErasureScope
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reports import Act
    from crawlerd.sink import Sink

T = TypeVar("T")

SLICE_ROWS = 2_000  # rows that one transaction of a sink deletes
MOST_BYTES = 256 << 20  # largest database that is rewritten while imports wait


class Caller(Protocol):
    """Calls a function on the thread that may use the frontier and the sinks, between two commits."""

    def __call__(self, function: Callable[[], T]) -> T: ...


class Here:
    """Calls functions on this thread, when no daemon uses the state directory."""

    def __call__(self, function: Callable[[], T]) -> T:
        return function()


class StoreCaller:
    """Calls functions on the store's thread, as a daemon must."""

    def __init__(self, store: StoreInbox) -> None:
        self._store = store

    def __call__(self, function: Callable[[], T]) -> T:
        return self._store.call(function).result()


class Forgot(msgspec.Struct, kw_only=True):
    """How much was deleted so far.

    done: the request has ended.
    error: why it could not go on. Deleted data stays deleted, and the same request continues from there.
    left: files in which deleted bytes may still be found, and why.
    """

    records: int = 0
    lines: int = 0
    dead_letters: int = 0
    sync_points: int = 0
    texts: int = 0
    done: bool = False
    error: str | None = None
    left: list[str] = []


class Forgettor(NamedTuple):
    """One request to forget. After a crash it can be repeated, and goes on where it was.

    most_bytes: see `Sink.scrub`.
    queues: the spool of dead letters and the inbox, if configured.
    """

    sinks: Mapping[str, tuple[SinkSpec, Erasure]]
    scope: ErasureScope
    act: Act
    most_bytes: int | None
    queues: tuple[SpoolSpec | None, InboxSpec | None] = (None, None)

    def run(self, frontier: Frontier, call: Caller, forgot: Forgot) -> None:
        """Carries the request out. Raises RunUnderWay when a run is under way that may write such data again."""
        after: int | None = 0
        while after is not None:
            count, after = call(partial(frontier.forget_letters, self.scope, after))
            forgot.dead_letters += count
        notes = call(lambda: frontier.forget_notes(self.scope, self.act))
        forgot.sync_points += notes.sync_points
        forgot.texts += notes.texts
        for name, (sink, which) in self.sinks.items():
            if holds_rows(sink):
                self._of_sink(name, sink, which, frontier, call, forgot)
        for spec, meant in zip(self.queues, (self.scope.of_letter, self.scope.of_inbox), strict=True):
            if spec is not None and (spec.path / DATABASE).exists():
                queue = AckQueue(spec.path, spec.mode)
                try:
                    forgot.records += queue.erase(meant)
                    if left := queue.scrub():
                        forgot.left.append(left)
                finally:
                    queue.close()
        if left := call(lambda: frontier.scrub(self.most_bytes)):
            forgot.left.append(left)

    def _of_sink(
        self, name: str, spec: SinkSpec, which: Erasure, frontier: Frontier, call: Caller, forgot: Forgot
    ) -> None:
        def checked(function: Callable[[], T]) -> T:
            def work() -> T:
                frontier.check_scope(self.scope)
                return function()

            return call(work)

        sink: Sink = checked(lambda: open_sink(spec))
        try:
            for count in erase_in_files(spec, which):
                forgot.lines += count
                call(lambda: frontier.check_scope(self.scope))
            more = True
            while more:
                erased = checked(lambda: sink.forget(which, SLICE_ROWS))
                forgot.records += erased.deleted
                more = erased.more
            if left := checked(lambda: sink.scrub(self.most_bytes)):
                forgot.left.append(f"sinks.{name}: {left}")
        finally:
            with suppress(CrawlerdError):
                call(sink.close)


class Forgetting:
    """The requests of a daemon, one at a time, each on a thread of its own. To be used from any thread."""

    def __init__(self, frontier: Frontier, call: Caller, sinks: Mapping[str, Sink]) -> None:
        """sinks: the open sinks, by name."""
        self._frontier, self._call, self._sinks = frontier, call, sinks
        self._one = threading.Lock()
        self._current: Forgot | None = None

    def begin(self, forgettor: Forgettor) -> bool:
        """Begins a request; `progress` shows how far it has come. Returns False while another one is under way."""
        with self._one:
            if self._current is not None and not self._current.done:
                return False
            self._current = forgot = Forgot()
        threading.Thread(target=self._run, args=(forgettor, forgot), name="forgetting", daemon=True).start()
        return True

    def progress(self) -> Forgot | None:
        """The progress of the last request of this process."""
        return self._current

    def _look_again(self) -> None:
        for sink in self._sinks.values():
            if (outbox := outbox_of(sink)) is not None:
                outbox.look_again()

    def _run(self, forgettor: Forgettor, forgot: Forgot) -> None:
        try:
            forgettor.run(self._frontier, self._call, forgot)
            self._call(self._look_again)
        except CrawlerdError as error:
            forgot.error = str(error)
        except BaseException as error:
            forgot.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            forgot.done = True
