"""Checks the credentials of accounts while the engine runs, and stops the accounts whose credentials are refused."""

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

CHECK_SECONDS = 60.0  # a check counts for this long: imports of an account that start together need one check
PROBE_SECONDS = 300.0  # between two checks of refused credentials


class Guards:
    """Checks credentials, and stops the accounts whose credentials are refused. To be used on the store's thread,
    unless a method says otherwise.

    paused: why no tasks of an account are leased, by the account's name.
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
        sinks: the open sinks, by name; their owner changes it.
        changed: set when an account was paused.
        """
        self._settings, self._frontier, self._clock, self._sinks = settings, frontier, clock, sinks
        self._names, self._store, self._dispatcher, self._changed = names, store, dispatcher, changed
        self._confirmed: set[str] = set()
        self._checked_at: dict[int, float] = {}
        self._paused_at: dict[str, float] = {}
        self._noted: set[int] = set()  # accounts whose refusal is on disk
        self._told: set[str] = set()  # accounts whose refusal is in the log
        self._waiting: dict[str, list[int]] = {}  # parts, by the account whose check they wait for
        self.paused: dict[str, str] = {}

    def hold(self, names: Collection[str]) -> None:
        """These accounts get other keys or addresses. Those in use start no tasks until `changed` is called and their
        check has passed."""
        for name in names:
            number = self._names.numbers[name]
            if self._in_use(name, number):
                self._confirmed.discard(name)
                self._dispatcher.refuse(number, REPLACED)
        self._hold_parts(names, REPLACED)

    def _hold_parts(self, names: Collection[str], reason: str) -> None:
        """Makes the parts of these accounts wait for the check of their account."""
        for part, known in list(self._names.parts.items()):
            if (owner := known.partition(PART)[0]) in names and part not in self._waiting.get(owner, ()):
                self._waiting.setdefault(owner, []).append(part)
                self._dispatcher.refuse(part, reason)

    def _in_use(self, name: str, number: int) -> bool:
        return number in self._checked_at or name in self.paused

    def changed(self, name: str) -> None:
        """An account is new, or has another key or address. If it is in use, refused or not, it is checked at once."""
        number = self._names.numbers[name]
        if self._in_use(name, number):
            self._checked_at.pop(number, None)
            self.check(number)

    def found(self, name: str) -> str | None:
        """The result of the last check of an account's credentials: "" if they work, or why they do not. None while the
        check is under way, or when there was none. From any thread."""
        return "" if name in self._confirmed else self.paused.get(name)

    def is_checked(self, name: str) -> bool:
        """Whether a check of its credentials has been started, by the source's guard. From any thread."""
        source = self._names.source(name)
        return source is not None and source.guard is not None and self._names.numbers.get(name) in self._checked_at

    def removed(self, name: str) -> None:
        """An account is not configured any more: no tasks of it or its parts start."""
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
        """Call when imports have changed: their sinks are read from the configuration again."""
        self.__dict__.pop("_sinks_of", None)

    @cached_property
    def _sinks_of(self) -> dict[str, set[str]]:
        """The sinks of the imports of each account. Built at the first use, so that a start with many accounts is
        quick."""
        sinks: dict[str, set[str]] = {}
        for spec in self._settings.imports.values():
            if spec.sink:
                sinks.setdefault(spec.account, set()).add(spec.sink)
        return sinks

    def probe(self) -> None:
        """Checks the credentials again of accounts that have been paused for PROBE_SECONDS. From any thread."""
        now = self._clock.now()
        for account, since in list(self._paused_at.items()):
            if now - since >= PROBE_SECONDS:
                self.check(self._names.numbers[account])

    def passed(self, account: int, identity: str | None) -> None:
        """A guard has passed. Compares the identity with the one that the account had before. From any thread."""
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
        """Finds records under the account's name that belong to another identity: imported here, or in a sink that is
        shared with other state directories. Returns a text that names them, or None."""
        (noted,) = self._frontier.identities([account])
        if noted not in (None, identity):
            return f"what was imported so far came from {noted}"
        for sink in sorted(self._sinks_of.get(name, ())):
            if sink in self._sinks:
                with suppress(SinkError):  # the sink will refuse the records as well, which is reported then
                    noted = self._sinks[sink].confirm(self._settings.accounts[name].source, name, identity)
                    if noted is not None:
                        return f"what sinks.{sink} holds under this name came from {noted}"
        return None

    def _resume(self, account: int) -> None:
        """Lets tasks of an account and its parts, which share its credentials, start again."""
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
        """Logs a refusal. owner: the account that a part belongs to, or the account itself."""
        self._told.add(owner)
        name = self._names.name(account)
        tell(Event.ACCOUNT_REFUSED, "account %s is refused: %s", name, reason, account=name, reason=reason)

    def refused(self, account: int, reason: str) -> None:
        """The account's credentials do not work. From any thread."""
        whose = account
        if account in self._names.parts:  # a part has the credentials of its account
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
        """Checks accounts before their first tasks start. pairs: (run, account) of runs that have got their first tasks
        for an account other than their own."""
        for _, account in pairs:
            self.check(account)

    def check(self, number: int) -> None:
        """Checks the account's credentials (again) with the source's guard, paused or not. A part waits for the check
        of its account."""
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
