"""The accounts while the engine runs: the checks of whose credentials they have, and their pauses."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from crawlerd.core.errors import SinkError
from crawlerd.core.task import PART
from crawlerd.engine import kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.config.load import Settings
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.safe_event import SafeEvent
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier
    from crawlerd.sink import Sink

log = logging.getLogger(__name__)

CHECK_SECONDS = 60.0  # many imports of one account that start together check its credentials once
PROBE_SECONDS = 300.0  # a paused account's credentials are tried again so often


class Guards:
    """Used on the store's thread, where nothing else is said.

    paused: why nothing of an account is leased, by name.
    """

    def __init__(
        self,
        settings: Settings,
        names: AccountNames,
        frontier: Frontier,
        clock: Clock,
        sinks: Mapping[str, Sink],
        store: StoreInbox,
        dispatcher: DispatcherInbox,
        changed: SafeEvent,
    ) -> None:
        """
        sinks: those that are open, by name, kept by their owner.
        changed: set when an account was paused.
        """
        self._settings, self._frontier, self._clock, self._sinks = settings, frontier, clock, sinks
        self._names, self._store, self._dispatcher, self._changed = names, store, dispatcher, changed
        self._confirmed: set[str] = set()
        self._checked_at: dict[int, float] = {}
        self._paused_at: dict[str, float] = {}
        self._waiting: dict[str, list[int]] = {}  # parts, by the account whose check they wait for
        self.paused: dict[str, str] = {}

    @cached_property
    def _sinks_of(self) -> dict[str, set[str]]:
        """The sinks of an account's imports. Not made at the start, which is to be quick with many accounts."""
        sinks: dict[str, set[str]] = {}
        for spec in self._settings.imports.values():
            if spec.sink:
                sinks.setdefault(spec.account, set()).add(spec.sink)
        return sinks

    def probe(self) -> None:
        """Tries the accounts again that have been paused for long. From any thread."""
        now = self._clock.now()
        for account, since in list(self._paused_at.items()):
            if now - since >= PROBE_SECONDS:
                self.check(self._names.numbers[account])

    def passed(self, account: int, identity: str | None) -> None:
        """A guard has passed; whether its identity is the right one is decided here. From any thread."""
        if identity is None:
            self._resume(account)
        else:
            self._store.call(lambda: self._confirm(account, identity))

    def _confirm(self, account: int, identity: str) -> None:
        name = self._names.names[account]
        others = self._others(account, name, identity)
        if others is None:
            self._frontier.confirm(account, identity)
            self._frontier.accept(account)
            self._resume(account)
            return
        reason = (
            f"its key belongs to {identity}, but {others}: "
            "put the right key back, or give the new one an account and an import of its own"
        )
        log.error("account %s is paused: %s", name, reason)
        self._dispatcher.refuse(account, reason)
        self.refused(account, reason)

    def _others(self, account: int, name: str, identity: str) -> str | None:
        """Where records of another one than `identity` lie already under the account's name: here, or in a sink that
        other state directories use."""
        (noted,) = self._frontier.identities([account])
        if noted not in (None, identity):
            return f"what was imported so far came from {noted}"
        for sink in sorted(self._sinks_of.get(name, ())):
            if sink in self._sinks:
                with suppress(SinkError):  # it will refuse the records as well, and say why
                    noted = self._sinks[sink].confirm(self._settings.accounts[name].source, name, identity)
                    if noted is not None:
                        return f"what sinks.{sink} holds under this name came from {noted}"
        return None

    def _resume(self, account: int) -> None:
        """Lets tasks of an account start, and those of its parts, which its credentials are good for."""
        name = self._names.names[account]
        self._confirmed.add(name)
        for number in (account, *self._waiting.pop(name, ())):
            self._dispatcher.accept(number)

    def refused(self, account: int, reason: str) -> None:
        """The account's credentials do not work. From any thread."""
        if account in self._names.parts:  # its credentials are those of the whole account
            part, account = account, self._names.numbers[self._names.parts[account].partition(PART)[0]]
            self._waiting.setdefault(self._names.names[account], []).append(part)
            self._dispatcher.refuse(account, reason)
        name = self._names.names[account]
        self._confirmed.discard(name)
        self.paused[name] = reason
        self._paused_at[name] = self._clock.now()
        self._store.call(lambda: self._frontier.refuse(account, reason))
        self._changed.set()

    def borrowed(self, pairs: Iterable[tuple[int, int]]) -> None:
        """(run, account) of runs that have got their first tasks for an account that is not their own."""
        for _, account in pairs:
            self.check(account)

    def check(self, number: int) -> None:
        """Lets the source's guard check the account's credentials (again), paused or not. A part waits for that of its
        account."""
        account = self._names.names.get(number)
        if account is None and PART in (part := self._frontier.account_name(number)):
            owner = part.partition(PART)[0]
            if owner in self._names.numbers:
                self._names.parts[number] = part
                if owner in self._confirmed:
                    self._dispatcher.accept(number)
                else:
                    self._waiting.setdefault(owner, []).append(number)
                    self._dispatcher.refuse(number, f"waits for the check of the credentials of {owner}")
                return
        source = self._names.source(account) if account else None
        if account is None or source is None:
            account = self._frontier.account_name(number)
            reason = "not configured any more, but an import has tasks for it"
            log.error("account %s is paused: %s", account, reason)
            self.paused[account] = reason
            self._frontier.refuse(number, reason)
            self._changed.set()
            return
        now = self._clock.now()
        if account not in self.paused and now - self._checked_at.get(number, -math.inf) < CHECK_SECONDS:
            return
        self._checked_at[number] = now
        self.paused.pop(account, None)
        self._paused_at.pop(account, None)
        self._confirmed.discard(account)
        if source.guard is None:
            self._resume(number)
        else:
            task = kinds.new_task(source, source.guard)
            self._dispatcher.check(number, task.kind, task.payload)
