"""Renews keys before they expire, on a thread of its own. Workers get a new key with the next lease."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from crawlerd.config.secrets import printed
from crawlerd.core.log_events import Event, tell

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import Renewal
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.guards import Guards
    from crawlerd.engine.store_inbox import StoreInbox

AGAIN_SECONDS = 30.0  # a failed command is run again after this time at most


class Renewals:
    """Renews the keys in `settings.accounts` as they expire. If a renewal fails, the old key stays in use."""

    def __init__(
        self, settings: Settings, names: AccountNames, guards: Guards, store: StoreInbox, dispatcher: DispatcherInbox
    ) -> None:
        self._settings, self._names, self._guards = settings, names, guards
        self._store, self._dispatcher = store, dispatcher
        self._due: dict[str, tuple[Renewal, float]] = {}  # when to renew, in monotonic seconds, by account
        self._failing: set[str] = set()
        self._woken = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Call at the start, and when accounts have changed."""
        if self._thread is None and self._settings.renewals:
            self._thread = threading.Thread(target=self._run, name="renewals", daemon=True)
            self._thread.start()
        self._woken.set()

    def stop(self) -> None:
        """Stops without waiting for a command that hangs."""
        self._ending = True
        self._woken.set()

    def _run(self) -> None:
        while not self._ending:
            self._woken.clear()
            self._plan()
            first = min((at for _, at in self._due.values()), default=None)
            if not self._woken.wait(None if first is None else max(0.0, first - time.monotonic())):
                self._renew(min(self._due, key=lambda name: self._due[name][1]))

    def _plan(self) -> None:
        now, known = time.monotonic(), dict(self._settings.renewals)
        for name in self._due.keys() - known.keys():
            del self._due[name]
            self._failing.discard(name)
        for name, renewal in known.items():
            if name not in self._due or self._due[name][0] is not renewal:
                self._due[name] = renewal, now + renewal.seconds

    def _renew(self, name: str) -> None:
        renewal = self._due[name][0]
        self._due[name] = renewal, time.monotonic() + renewal.seconds
        try:
            secret = printed(renewal.command, renewal.folder)
        except ValueError as error:
            self._due[name] = renewal, time.monotonic() + min(renewal.seconds, AGAIN_SECONDS)
            if name not in self._failing:
                self._failing.add(name)
                text = "accounts.%s.api_key: %s; the old key stays in use"
                tell(Event.KEY_KEPT, text, name, error, account=name, reason=str(error))
            return
        self._failing.discard(name)
        self._store.call(lambda: self._replace(name, renewal, secret))

    def _replace(self, name: str, renewal: Renewal, secret: str) -> None:
        """Replaces the key, on the store's thread. Workers get it with the next lease, since the account is a new
        object."""
        account = self._settings.accounts.get(name)
        if account is None or self._settings.renewals.get(name) is not renewal or secret == account.secret:
            return
        source = self._settings.sources[account.source]
        url = source.address(renewal.base_url, secret) if source.address else account.base_url
        self._settings.accounts[name] = replace(account, secret=secret, base_url=url)
        self._dispatcher.change({self._names.numbers[name]: True})
        if name in self._guards.paused:
            self._guards.changed(name)
        tell(Event.KEY_RENEWED, "accounts.%s: a new key is used from now on", name, account=name)
