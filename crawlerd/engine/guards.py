"""The accounts while the engine runs: the checks of whose credentials they have, and their pauses."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from crawlerd.core.errors import SinkError
from crawlerd.core.log_events import Event, tell
from crawlerd.core.refused_accounts import GONE, OF_OWNER, REPLACED
from crawlerd.core.task import PART
from crawlerd.engine import kinds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from crawlerd.config.load import Settings
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.safe_event import SafeEvent
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier
    from crawlerd.sink import Sink

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
        self._noted: set[int] = set()  # those whose refusal is on disk
        self._told: set[str] = set()  # those whose refusal is in the log
        self._waiting: dict[str, list[int]] = {}  # parts, by the account whose check they wait for
        self.paused: dict[str, str] = {}

    def hold(self, names: Collection[str]) -> None:
        """These accounts get other keys or addresses: nothing of those in use starts until `changed` has let it."""
        for name in names:
            number = self._names.numbers[name]
            if self._in_use(name, number):
                self._confirmed.discard(name)
                self._dispatcher.refuse(number, REPLACED)
        self._hold_parts(names, REPLACED)

    def _hold_parts(self, names: Collection[str], reason: str) -> None:
        """They wait for the check of their account."""
        for part, known in list(self._names.parts.items()):
            if (owner := known.partition(PART)[0]) in names and part not in self._waiting.get(owner, ()):
                self._waiting.setdefault(owner, []).append(part)
                self._dispatcher.refuse(part, reason)

    def _in_use(self, name: str, number: int) -> bool:
        return number in self._checked_at or name in self.paused

    def changed(self, name: str) -> None:
        """An account is new, or has another key or address. One that is in use, refused or not, is checked at once."""
        number = self._names.numbers[name]
        if self._in_use(name, number):
            self._checked_at.pop(number, None)
            self.check(number)

    def found(self, name: str) -> str | None:
        """What came of the last check of an account's credentials: "" where they work, why they do not, or None where
        it is under way or there was none. From any thread."""
        return "" if name in self._confirmed else self.paused.get(name)

    def is_checked(self, name: str) -> bool:
        """Whether its source has a check of credentials that has been asked for. From any thread."""
        source = self._names.source(name)
        return source is not None and source.guard is not None and self._names.numbers.get(name) in self._checked_at

    def removed(self, name: str) -> None:
        """An account is not configured any more: nothing of it starts, nor of its parts."""
        number = self._names.numbers[name]
        self._confirmed.discard(name)
        self._paused_at.pop(name, None)
        if self._in_use(name, number):
            self._gone(number, name)
        self._hold_parts([name], GONE)

    def _gone(self, number: int, name: str) -> None:
        self._tell(number, name, GONE)
        self.paused[name] = GONE
        self._noted.add(number)
        self._frontier.refuse(number, GONE, self._clock.now())
        self._dispatcher.refuse(number, GONE)
        self._changed.set()

    def forget_sinks(self) -> None:
        """Imports have changed."""
        self.__dict__.pop("_sinks_of", None)

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
        if not self._names.configured(account):
            return
        others = self._others(account, name, identity)
        if others is None:
            self._frontier.confirm(account, identity)
            self._frontier.accept(account, self._clock.now())
            self._noted.discard(account)
            self._resume(account)
            return
        reason = (
            f"its key belongs to {identity}, but {others}: "
            "put the right key back, or give the new one an account and an import of its own"
        )
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
        if account in self._noted:
            self._noted.discard(account)
            self._store.call(lambda: self._frontier.accept(account, self._clock.now()))
        for number in (account, *self._waiting.pop(name, ())):
            self._dispatcher.accept(number)
        if name in self._told:
            self._told.discard(name)
            text = "account %s works again: its credentials are accepted"
            tell(Event.ACCOUNT_ACCEPTED, text, name, account=name)

    def _tell(self, account: int, owner: str, reason: str) -> None:
        """owner: the account that a part belongs to, or itself."""
        self._told.add(owner)
        name = self._names.name(account)
        tell(Event.ACCOUNT_REFUSED, "account %s is paused: %s", name, reason, account=name, reason=reason)

    def refused(self, account: int, reason: str) -> None:
        """The account's credentials do not work. From any thread."""
        whose = account
        if account in self._names.parts:  # its credentials are those of the whole account
            part, account = account, self._names.numbers[self._names.parts[account].partition(PART)[0]]
            self._waiting.setdefault(self._names.names[account], []).append(part)
            self._dispatcher.refuse(account, reason)
        name = self._names.names[account]
        self._tell(whose, name, reason)
        self._confirmed.discard(name)
        self.paused[name] = reason
        self._paused_at[name] = self._clock.now()
        self._noted.add(account)
        self._store.call(lambda: self._frontier.refuse(account, reason, self._clock.now()))
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
            if self._names.source(owner):
                self._names.parts[number] = part
                if owner in self._confirmed:
                    self._dispatcher.accept(number)
                else:
                    self._waiting.setdefault(owner, []).append(number)
                    self._dispatcher.refuse(number, OF_OWNER + owner)
                return
        source = self._names.source(account) if account else None
        if account is None or source is None:
            self._gone(number, self._frontier.account_name(number))
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
