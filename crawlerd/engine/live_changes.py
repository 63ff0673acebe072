"""Applies a changed configuration while the engine runs: passes each thread its part. No task is lost or held up."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from crawlerd.config.differences import daemon_changes, sink_changes
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.task import PART
from crawlerd.engine.worker_process import START_SECONDS
from crawlerd.engine.worker_setup import worker_setup
from crawlerd.sources.registry import load_source

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from crawlerd.config.differences import AccountChange, Changes
    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import AccountSpec, Daemon, ImportSpec
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.agenda import Agenda
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.guards import Guards
    from crawlerd.engine.open_sinks import OpenSinks
    from crawlerd.engine.pausing import Pausing
    from crawlerd.engine.prefetch import Prefetch
    from crawlerd.engine.renewals import Renewals
    from crawlerd.engine.safe_event import SafeEvent
    from crawlerd.engine.shared_queues import SharedQueues
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier
    from crawlerd.source import Source

log = logging.getLogger(__name__)

SLICE = 250  # accounts or imports that are changed at once, between two commits and between two leases
NAMED = 5  # most names in a sentence
MIB = 1 << 20

T = TypeVar("T")
R = TypeVar("R")


class Applied(NamedTuple):
    """The result of a reload.

    applied: texts that describe the changes in force, for people.
    restart: the settings whose change needs a restart.
    rekeyed: the first few accounts whose key has changed.
    """

    applied: list[str]
    restart: list[str]
    rekeyed: list[str]


class Kinds(NamedTuple):
    """The costs and the wide kinds of tasks, see `Workbench`."""

    costs: dict[str, int]
    wide: set[str]

    def add(self, sources: Iterable[Source]) -> None:
        for source in sources:
            for name, kind in source.kinds.items():
                self.costs[name] = kind.cost
                (self.wide.add if kind.wide else self.wide.discard)(name)


class LiveChanges:
    """Applies a changed configuration to the running engine. To be used by one thread at a time, which must not be the
    dispatcher's or the store's."""

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        names: AccountNames,
        guards: Guards,
        sinks: OpenSinks,
        writer: SinkWriter,
        pauses: Pausing,
        agenda: Agenda,
        renewals: Renewals,
        queues: SharedQueues,
        kinds: Kinds,
        prefetch: Prefetch,
        store: StoreInbox,
        dispatcher: DispatcherInbox,
        changed: SafeEvent,
    ) -> None:
        """changed: set when imports have changed."""
        self._settings, self._frontier, self._names, self._guards = settings, frontier, names, guards
        self._sinks, self._writer, self._pauses, self._agenda = sinks, writer, pauses, agenda
        self._renewals, self._kinds, self._queues = renewals, kinds, queues
        self._prefetch, self._store, self._dispatcher, self._changed = prefetch, store, dispatcher, changed

    def apply(self, found: Changes) -> Applied:
        """Applies the changes; they are in force when this returns. Raises ConfigurationError when a source cannot be
        used; nothing has changed then. Raises FrontierError when the disk fails: the changes made so far stay in force,
        and the next call makes the others."""
        told = list(self._told(found))
        new_keys = list(islice((each.spec.name for each in found.accounts if "key" in self._parts(each)), NAMED))
        daemon, at_once, at_a_start = daemon_changes(self._settings.daemon, found.daemon)
        new_sinks, gone_sinks, other_sinks = sink_changes(self._settings.sinks, found.sinks)
        for part in _slices(found.accounts):  # before a worker can get a task for one of them
            self._in_store(part, lambda part: self._names.add({each.spec.name: each.spec for each in part}))
        self._change_workers(found, daemon)
        for part in _slices(found.accounts):
            others = {
                each.spec.name for each in part if _rekeyed(self._settings.accounts.get(each.spec.name), each.spec)
            }
            self._in_store(others, self._guards.hold)
            self._dispatcher.change({}).result()  # waits until leases of these accounts are held, before keys change
            rekeyed = self._in_store(part, self._take_accounts)
            self._dispatcher.change({self._names.numbers[name]: new for name, new in rekeyed.items()}).result()
            self._in_store([name for name, new in rekeyed.items() if new], self._check)
        for numbers in _slices(self._numbers_of({each.spec.name for each in found.accounts})):
            self._in_store(numbers, self._ask_again)
        self._in_store(
            new_sinks, lambda names: self._settings.sinks.update((name, found.sinks[name]) for name in names)
        )
        for imports in _slices(found.imports):
            self._in_store(imports, self._take_imports)
        for gone in _slices(found.gone_imports):
            self._in_store(gone, self._drop_imports)
        for gone in _slices(found.gone_accounts):
            self._in_store(gone, self._drop_accounts)
        busy = self._in_store(gone_sinks, self._drop_sinks)
        self._in_store(new_sinks, self._sinks.open_some)
        self._change_daemon(daemon)
        told += self._change_notify(found)
        self._queues.take(found)
        self._renewals.look()
        if names := [each.name for each in found.imports] + found.gone_imports:
            self._agenda.reloaded.put(names)
            self._changed.set()
        told += _sentence("sinks {} added", new_sinks)
        told += _sentence("sinks {} removed", [name for name in gone_sinks if name not in busy])
        restart = [*at_a_start, *(f"sinks.{name}" for name in other_sinks)]
        restart += [f"sinks.{name} (removed, but a run under way writes to it)" for name in busy]
        return Applied([*told, *at_once], restart, new_keys)

    def _in_store(self, part: T, function: Callable[[T], R]) -> R:
        return self._store.call(lambda: function(part)).result()

    # workers

    def _change_workers(self, found: Changes, daemon: Daemon) -> None:
        """Tells the workers which accounts are new or gone. If sources or the number of threads have changed, replaces
        the workers."""
        settings, before = self._settings, self._settings.daemon
        made = {name: load_source(*each) for name, each in found.descriptions.items()}
        made |= {name: load_source(name) for name in found.sources if name not in made}
        sources_of = {name: spec.source for name, spec in settings.accounts.items()}
        news: dict[str, str | None] = dict.fromkeys(found.gone_accounts)
        news |= {each.spec.name: each.spec.source for each in found.accounts if _is_new(each, sources_of)}
        processes, threads = daemon.worker_processes, daemon.threads_per_process
        others = made or (processes, threads) != (before.worker_processes, before.threads_per_process)
        if not news and not others:
            return
        for name, source in news.items():
            if source is None:
                sources_of.pop(name, None)
            else:
                sources_of[name] = source
        old = worker_setup(
            {name: spec.source for name, spec in settings.accounts.items()},
            settings.sources,
            settings.descriptions,
            before.threads_per_process,
        )
        descriptions = settings.descriptions | found.descriptions
        setup = worker_setup(sources_of, {**settings.sources, **made}, descriptions, threads)
        if not others:
            self._dispatcher.with_pool(lambda pool, now: pool.rename(setup, news)).result()
            return
        renewed: Future[None] = Future()
        self._dispatcher.with_pool(lambda pool, now: pool.renew(setup, processes, renewed, now)).result()
        try:
            renewed.result(START_SECONDS)
        except TimeoutError:
            self._dispatcher.with_pool(lambda pool, now: pool.keep_old(old, before.worker_processes)).result()
            raise ConfigurationError(
                [f"worker processes for it have not started within {START_SECONDS:g} s; see the log"]
            ) from None
        self._in_store(made, settings.sources.update)
        self._in_store(found.descriptions, settings.descriptions.update)
        self._kinds.add(made.values())

    def _change_daemon(self, daemon: Daemon) -> None:
        self._settings.daemon = daemon
        logging.getLogger().setLevel(daemon.log_level.upper())
        most = daemon.max_worker_memory_bytes / MIB
        self._dispatcher.with_pool(lambda pool, now: setattr(pool, "max_mb", most)).result()

    def _change_notify(self, found: Changes) -> list[str]:
        """Stores the settings of notices, which the sender of notices reads each time. Returns texts for people."""
        before, self._settings.notify = self._settings.notify, found.notify
        if before == found.notify:
            return []
        return ["notify added" if before is None else "notify removed" if found.notify is None else "notify changed"]

    # on the store's thread

    def _take_accounts(self, part: Sequence[AccountChange]) -> dict[str, bool]:
        """Stores these accounts. Returns by name whether each is new, or has another key or address."""
        rekeyed = {}
        for spec, limits, renewal in ((each.spec, each.limits, each.renewal) for each in part):
            rekeyed[spec.name] = _rekeyed(self._settings.accounts.get(spec.name), spec)
            self._settings.limits[spec.name] = limits
            self._settings.accounts[spec.name] = spec
            if renewal:
                self._settings.renewals[spec.name] = renewal
            else:
                self._settings.renewals.pop(spec.name, None)
        return rekeyed

    def _numbers_of(self, accounts: Collection[str]) -> list[int]:
        """The numbers of these accounts and their parts."""
        parts = self._names.parts.items() if accounts else ()
        found = [number for number, name in list(parts) if name.partition(PART)[0] in accounts]
        return [*(self._names.numbers[name] for name in accounts), *found]

    def _ask_again(self, numbers: Sequence[int]) -> None:
        """Lets these accounts ask for their quotas again: those that wait do so because of the old limits."""
        self._frontier.quota_rows.ask_again_of(numbers)
        self._prefetch.look_again()

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            self._guards.changed(name)

    def _drop_accounts(self, names: Sequence[str]) -> None:
        for name in names:
            self._settings.accounts.pop(name, None)
            self._settings.limits.pop(name, None)
            self._settings.renewals.pop(name, None)
            self._guards.removed(name)

    def _take_imports(self, part: Sequence[ImportSpec]) -> None:
        self._guards.forget_sinks()
        for spec in part:
            if spec.options is not None:
                source = self._settings.sources[self._settings.accounts[spec.account].source]
                spec = msgspec.structs.replace(spec, options=msgspec.convert(spec.options, source.import_options))
            was_gone = spec.name not in self._settings.imports
            self._settings.imports[spec.name] = spec
            if was_gone and not self._pauses.current.of_import(spec.name):
                self._writer.resume(self._frontier.running_runs(spec.name))

    def _drop_imports(self, names: Sequence[str]) -> None:
        """Removes imports. Leased tasks are finished; no more tasks start."""
        self._guards.forget_sinks()
        for name in names:
            self._settings.imports.pop(name, None)
            self._writer.pause(self._frontier.running_runs(name))

    def _drop_sinks(self, names: Sequence[str]) -> list[str]:
        """Removes sinks. Returns those that were kept because runs under way write to them."""
        busy = [name for name in names if not self._sinks.drop(name)]
        for name in names:
            if name not in busy:
                self._settings.sinks.pop(name, None)
        return busy

    # for people

    def _told(self, found: Changes) -> Iterator[str]:
        groups: dict[str, list[str]] = {}
        for each in found.accounts:
            groups.setdefault(self._what(each), []).append(each.spec.name)
        for what, names in groups.items():
            yield from _sentence(f"accounts {{}} {what}", names)
        yield from _sentence("accounts {} removed", found.gone_accounts)
        before = self._settings.imports
        yield from _sentence("imports {} added", [each.name for each in found.imports if each.name not in before])
        yield from _sentence("imports {} changed", [each.name for each in found.imports if each.name in before])
        yield from _sentence("imports {} removed", found.gone_imports)
        new = [name for name in (*found.descriptions, *found.sources) if name not in self._settings.sources]
        yield from self._queues.told(found)
        yield from _sentence("sources {} added", list(dict.fromkeys(new)))
        yield from _sentence(
            "sources {} changed", [name for name in found.descriptions if name in self._settings.sources]
        )

    def _what(self, change: AccountChange) -> str:
        """What has changed about an account, in words."""
        if change.spec.name not in self._settings.accounts:
            return "added"
        return f"changed ({', '.join(self._parts(change))})"

    def _parts(self, change: AccountChange) -> list[str]:
        spec, old = change.spec, self._settings.accounts.get(change.spec.name)
        if old is None:
            return []
        parts = ["key"] * (old.secret != spec.secret) + ["limits"] * (
            self._settings.limits.get(spec.name) != change.limits
        )
        if msgspec.structs.replace(old, secret=spec.secret) != spec or not parts:
            parts.append("settings")
        return parts


def _is_new(change: AccountChange, sources_of: dict[str, str]) -> bool:
    return sources_of.get(change.spec.name) != change.spec.source


def _rekeyed(old: AccountSpec | None, new: AccountSpec) -> bool:
    """Whether its credentials must be checked."""
    if old is None:
        return True
    return (old.secret, old.base_url, old.source, old.options) != (new.secret, new.base_url, new.source, new.options)


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + SLICE] for start in range(0, len(items), SLICE))


def _sentence(text: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    said = text.format(", ".join(islice(names, NAMED)) + more)
    return [said if len(names) > 1 else said.replace("accounts ", "account ", 1).replace("imports ", "import ", 1)]
