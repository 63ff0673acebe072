"""Tells people what is wrong. One thread checks for problems, and one thread for each hook sends. The engine never
waits for them."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.log_events import Event, tell
from crawlerd.core.notice_message import message
from crawlerd.core.notice_message import test_message as message_of_a_test
from crawlerd.core.notices import retry_seconds
from crawlerd.frontier import open_reader
from crawlerd.operations.conditions import Conditions
from crawlerd.operations.notify_trial import HookTrial
from crawlerd.operations.troubles import Trouble
from crawlerd.service.hooks import HOOKS, Failed, Hooks, described
from crawlerd.service.ledger_file import LedgerFile

if TYPE_CHECKING:
    from crawlerd.core.notify_spec import NotifySpec
    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # seconds between two checks
LOOK_SHARE = 20.0  # the pause after a check lasts at least this many times as long as the check
END_SECONDS = 1.0  # seconds that a thread gets to end


class Notifier:
    """Call `start`, then `close`. It looks at the configuration each time, so a reload needs nothing else."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._settings = engine, engine.settings
        self._file = LedgerFile(self._settings.daemon.state_dir)
        self._ledger = self._file.read()
        self._now = engine.clock.now
        self._began_at = self._now()
        self._changed = threading.Condition()  # guards everything below, and the ledger
        self._writing = threading.Lock()  # taken before `_changed`, so that readers do not wait for the disk
        self._closing = False
        self._trial = Hooks()
        self._sending = {name: _Sending() for name in HOOKS}
        self._unkept: str | None = None  # why the ledger could not be written; None if it was
        self._unseen: str | None = None  # why the last check failed; None if it did not
        self._threads = [
            threading.Thread(target=self._look_on, name="notify", daemon=True),
            *(threading.Thread(target=self._send_on, args=(hook,), name="notify", daemon=True) for hook in HOOKS),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stops. Messages that have not been sent are kept for the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for hooks in (self._trial, *(sending.hooks for sending in self._sending.values())):
            hooks.close()
        until = time.monotonic() + END_SECONDS
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, until - time.monotonic()))

    def test(self) -> list[HookTrial]:
        """Sends a test message through each configured hook. May be called from any thread."""
        spec = self._settings.notify
        if spec is None:
            return []
        found = trials(spec, self._trial)
        with self._changed:
            for each in found:
                failed = Failed(each.problem) if each.problem is not None else None
                self._sending[each.hook].note(failed, each.hook, spec)
            self._changed.notify_all()  # waiting messages may be sent at once
        return found

    def troubles(self) -> list[Trouble]:
        """Problems with the hooks, for `status`. May be called from any thread."""
        spec, found = self._settings.notify, []
        if spec is None:
            return []
        with self._changed:
            for hook in spec.hooks:
                sending, (waiting, more) = self._sending[hook], self._ledger.batch(hook)
                unusable = spec.webhook.problem if hook == "webhook" and spec.webhook else ""
                if problem := unusable or sending.problem_of(spec, hook):
                    count = len(waiting) + sum(more.values())
                    waits = f"; {count:,} notice{'s wait' if count > 1 else ' waits'}" if count else ""
                    text = f"messages do not arrive: {problem}{waits}; try `crawlerd notify test`"
                    found.append(Trouble(who=f"notify {hook}", text=text, since=sending.since or None))
            own = (self._unkept, self._unseen)
            found += [Trouble(who="notify", text=each) for each in own if each]
        return found

    # the thread that looks

    def _look_on(self) -> None:
        while True:
            started = time.monotonic()
            try:
                spec = self._settings.notify
                if spec is None:
                    self._forget()
                else:
                    self._look(spec)
                self._unseen = None
            except CrawlerdError as error:
                self._unseen = f"checking for problems has failed: {error}"
            except Exception as error:
                if self._unseen is None:
                    log.exception("checking for problems has failed")
                self._unseen = f"checking for problems has failed: {type(error).__name__}; see the log"
            took = time.monotonic() - started
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, max(LOOK_SECONDS, LOOK_SHARE * took)):
                    return

    def _forget(self) -> None:
        with self._changed:
            if self._ledger.queues or self._ledger.open:
                self._ledger = type(self._ledger)()
                self._file.remove()

    def _look(self, spec: NotifySpec) -> None:
        now = self._now()
        reader = open_reader(self._settings.daemon.state_dir)
        if reader is None:
            return
        try:
            ledger = self._ledger
            look = Conditions(
                reader,
                self._engine.insight,
                self._settings,
                spec,
                ledger,
                began_at=self._began_at,
                now=now,
            )
            found = list(look.found())
            mark, ended = look.finished()
        finally:
            reader.close()
        with self._changed:
            changed = ledger.configure(spec.hooks, spec.on, now)
            changed |= ledger.look(spec.on, found, ended, now)
            changed |= ledger.runs != mark
            ledger.runs = mark
            self._changed.notify_all()
        if changed or self._unkept:
            self._keep()

    def _keep(self) -> None:
        with self._writing:
            with self._changed:
                encoded = msgspec.json.encode(self._ledger)
            try:
                self._file.write(encoded)
                self._unkept = None
            except OSError as error:  # a full disk may be the very thing to report
                self._unkept = f"messages cannot be saved for a restart: {error.strerror}"

    # the thread of a hook

    def _send_on(self, hook: str) -> None:
        sending = self._sending[hook]
        while True:
            with self._changed:
                while not self._closing:
                    now, spec = self._now(), self._settings.notify
                    sending.look(spec, hook)
                    at = self._ledger.due_at(hook, spec.wait_seconds, spec.every_seconds, now) if spec else None
                    wait = None if at is None else max(at - now, sending.retry_at - time.monotonic())
                    if wait is not None and wait <= 0:
                        break
                    self._changed.wait(wait)
                if self._closing or spec is None:
                    return
                notices, more = self._ledger.batch(hook)
            failed = sending.hooks.send(spec, hook, message(_host(), notices, more, self._now()))
            with self._changed:
                if failed is None:
                    self._ledger.delivered(hook, notices, more, self._now())
                if not self._closing:
                    sending.note(failed, hook, spec)
            if failed is None:
                self._keep()


class _Sending:
    """The state of a hook.

    since: when its problem began, in Unix seconds.
    retry_at: when to try again, in monotonic seconds.
    """

    def __init__(self) -> None:
        self.hooks = Hooks()
        self.since = 0.0
        self.retry_at = 0.0
        self._problem: str | None = None  # why the last message did not arrive
        self._spec: object = None  # the hook's configuration when the problem began
        self._failures = 0

    def look(self, spec: NotifySpec | None, hook: str) -> None:
        """Looks at the hook's configuration. If it has changed, the hook is tried at once."""
        if self._problem is not None and self._spec != getattr(spec, hook, None):
            self._failures, self._problem, self.retry_at = 0, None, 0.0

    def problem_of(self, spec: NotifySpec, hook: str) -> str | None:
        """The hook's problem; None if it has none, or had it with another configuration."""
        self.look(spec, hook)
        return self._problem

    def note(self, failed: Failed | None, hook: str, spec: NotifySpec) -> None:
        """Notes how sending a message ended.

        failed: why it did not arrive; None if it did.
        spec: the configuration with which it was sent.
        """
        where = described(spec, hook)
        if failed is None:
            if self._problem is not None:
                tell(Event.HOOK_WORKS, "notify %s: messages to %s arrive again", hook, where, hook=hook)
            self._failures, self._problem, self.retry_at = 0, None, 0.0
            return
        if self._problem is None:
            text = "notify %s: a message to %s did not arrive: %s; trying again"
            tell(Event.HOOK_FAILS, text, hook, where, failed.problem, hook=hook, error=failed.problem)
            self.since = time.time()
        self._failures += 1
        self._problem, self._spec = failed.problem, getattr(spec, hook)
        self.retry_at = time.monotonic() + retry_seconds(self._failures, failed.seconds)


def trials(spec: NotifySpec, hooks: Hooks) -> list[HookTrial]:
    """Sends a test message through each configured hook, one after the other."""
    found = []
    for hook in spec.hooks:
        started = time.monotonic()
        failed = hooks.send(spec, hook, message_of_a_test(_host(), time.time()))
        seconds = round(time.monotonic() - started, 3)
        where = described(spec, hook)
        found.append(HookTrial(hook=hook, where=where, seconds=seconds, problem=failed and failed.problem))
    return found


def _host() -> str:
    return socket.gethostname()
