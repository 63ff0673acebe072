"""Reads the configuration again on request, applies it, and remembers the result."""

from __future__ import annotations

import logging
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import msgspec

from crawlerd.config.differences import known
from crawlerd.core.errors import ConfigurationError, CrawlerdError, SyncFailed
from crawlerd.core.in_force import InForce, Reloaded
from crawlerd.core.log_events import Event, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.config.differences import Changes, Known
    from crawlerd.config.load import Settings
    from crawlerd.engine.failure import Failure
    from crawlerd.engine.live_changes import LiveChanges

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005  # Python's switch interval during a reload; its default is 5 ms
REMIND_SECONDS = 3600.0  # between two log lines about a wrong configuration


class Reloads:
    """Reloads the configuration on request. Any thread may ask for a reload. One reload at a time is done, and answers
    all requests made before it began.

    in_force: which configuration is in force. From any thread.
    """

    def __init__(
        self,
        settings: Settings,
        changes: LiveChanges,
        read: Callable[[Known], Changes] | None,
        failure: Failure,
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """
        read: finds the changes in the file; raises ConfigurationError when the file is wrong. None when reloads are not
            possible.
        around: a context that is entered during each reload.
        """
        self._settings, self._changes, self._read, self._around = settings, changes, read, around
        self._failure = failure
        self._asking = threading.Lock()
        self._asked: list[Future[Reloaded]] = []
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._ending = False
        self.in_force = InForce(read_at=time.time())

    def ask(self) -> Future[Reloaded]:
        """Starts a reload. The future raises CrawlerdError when the configuration cannot be applied."""
        future: Future[Reloaded] = Future()
        if self._read is None:
            future.set_exception(CrawlerdError("an import in the foreground cannot reload its configuration"))
            return future
        with self._asking:
            self._asked.append(future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._read,), name="reload", daemon=True)
                self._thread.start()
        self._woken.set()
        return future

    def stop(self) -> None:
        """Stops without waiting for a reload under way; its result is not reported."""
        self._ending = True

    def _run(self, read: Callable[[Known], Changes]) -> None:
        while True:
            if not self._woken.wait(REMIND_SECONDS if self.in_force.problems else None):
                log.error("%s", self.in_force.note)
                continue
            self._woken.clear()
            with self._asking:
                asked, self._asked = self._asked, []
            if not asked:
                continue
            try:
                with self._around(), _giving_way():
                    done = self._reload(read)
            except CrawlerdError as error:
                if self._ending:
                    return
                text = "the configuration was read again, but not all of it is in force: %s"
                tell(Event.RELOAD_FAILED, text, error, reason=str(error))
                if isinstance(error, SyncFailed):
                    self._failure.set(error)
                for each in asked:
                    each.set_exception(error)
            except BaseException as error:  # noqa: BLE001 - top of a thread
                if not self._ending:
                    self._failure.set(error)
                for each in asked:
                    each.set_exception(CrawlerdError(f"{type(error).__name__}: {error}"))
                return
            else:
                for each in asked:
                    each.set_result(done)

    def _reload(self, read: Callable[[Known], Changes]) -> Reloaded:
        now = time.time()
        try:
            found = read(known(self._settings))
            applied, restart, rekeyed = self._changes.apply(found)
        except ConfigurationError as error:
            problems, before = list(error.problems), self.in_force
            for each in problems:
                log.error("%s", each)
            text = "the configuration is wrong; the one before stays in force"
            tell(Event.RELOAD_FAILED, text, reason="; ".join(problems))
            self.in_force = msgspec.structs.replace(
                before, problems=problems, wrong_since=before.wrong_since if before.problems else now
            )
            return Reloaded(problems=problems)
        for warning in found.warnings:
            log.warning("%s", warning)
        text = "the configuration was read again: %s"
        tell(Event.RELOADED, text, "; ".join(applied) or "nothing has changed", applied=applied)
        if restart:
            text = "what needs a restart, and stays as it was until then: %s"
            tell(Event.RESTART_NEEDED, text, ", ".join(restart), keys=restart)
        self.in_force = InForce(read_at=now, restart=restart)
        return Reloaded(applied=applied, restart=restart, rekeyed=rekeyed)


@contextmanager
def _giving_way() -> Iterator[None]:
    """In this block, a thread that computes gives up the interpreter lock sooner, so that the dispatcher, which needs
    the lock several times for each lease, does not wait for the reload."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
