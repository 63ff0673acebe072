"""Opens and closes sinks. When a sink is not the one that the frontier knows, its runs begin again."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from crawlerd.core.errors import SinkError, SyncFailed
from crawlerd.core.log_events import Event, tell
from crawlerd.core.private_fields import ANY, hashed
from crawlerd.engine.full_run import setup
from crawlerd.engine.outgoing import outbox_of
from crawlerd.engine.private_records import run_fields
from crawlerd.sinks import open_sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.frontier.contract import Frontier
    from crawlerd.sink import Sink

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between two tries to open a sink


class OpenSinks:
    """Opens, replaces and closes sinks. To be used on the store's thread, except for `close`.

    by_name: the open sinks.
    abandoned: abandoned runs, whose imports begin again.
    refused: the errors of sinks that cannot be opened, by name; other threads read it as well.
    """

    def __init__(self, settings: Settings, frontier: Frontier, clock: Clock, writer: SinkWriter) -> None:
        self._settings, self._frontier, self._clock, self._writer = settings, frontier, clock, writer
        self._ids: dict[str, int] = {}  # the frontier's numbers of the open sinks
        self.by_name: dict[str, Sink] = {}
        self.abandoned: set[int] = set()
        self.refused: dict[str, SinkError] = {}
        self._tried_at: dict[str, float] = {}

    def of(self, spec: ImportSpec, numbers: Mapping[str, int]) -> tuple[Sink | None, int]:
        """The sink of an import, and the frontier's number of it, or of the receiver of its deliveries. Abandons the
        import's runs that write to another sink. numbers: the numbers of accounts, by name."""
        names = sorted(getattr(spec.options, "accounts", tuple)())
        sink, number = None, 0
        if names or spec.sink is None:
            number = self._receiver(spec, names, numbers)
        if spec.sink is not None:
            sink = self.by_name.get(spec.sink) or self._open(spec.sink)
            number = self._ids[spec.sink]
        bound = self._frontier.bind(
            spec.name, number, self._clock.now(), self._origins(spec), ad_hoc=bool(spec.ad_hoc or spec.part)
        )
        if bound.news:
            log.warning("import %s: %s: it is read in full", spec.name, bound.news)
        self._abandon(bound.abandoned)
        return sink, number

    def elsewhere(self, spec: ImportSpec) -> set[str]:
        """See `Frontier.elsewhere`."""
        return self._frontier.elsewhere(spec.name, self._origins(spec))

    def open_all(self) -> None:
        """Opens the sinks that imports use, so that errors are reported at the start, and not when a sink is first
        needed. A sink that cannot be opened is tried again then."""
        self.open_some(dict.fromkeys(spec.sink for spec in self._settings.imports.values() if spec.sink))

    def open_some(self, names: Iterable[str]) -> None:
        """Like `open_all`, for these sinks."""
        for name in names:
            try:
                self.by_name.get(name) or self._open(name)
            except SyncFailed:
                raise
            except SinkError:  # `_open` has logged it
                continue

    @property
    def trouble(self) -> str | None:
        """Why the first of the sinks that cannot be opened cannot. None when all can. From any thread."""
        return next((str(error) for error in list(self.refused.values())), None)

    def replaced(self, old: Sink) -> None:
        """The file of an open sink is gone: opens the sink again as soon as that is possible."""
        name = next(name for name, sink in self.by_name.items() if sink is old)
        try:
            new = self._open(name)
        except SyncFailed:
            raise
        except SinkError:
            return
        self._writer.swap(old, new)
        with suppress(SinkError):
            old.close()

    def drop(self, name: str) -> bool:
        """Closes a sink that is not configured any more. Returns False while runs write to it."""
        sink = self.by_name.get(name)
        if sink is not None:
            if self._writer.uses(sink):
                return False
            del self.by_name[name], self._ids[name]
            with suppress(SinkError):
                sink.close()
        self.refused.pop(name, None)
        return True

    def idle(self) -> None:
        """Call when nothing was written for some seconds."""
        for sink in self.by_name.values():
            sink.idle()

    def release(self) -> None:
        """Makes sinks stop waiting for readers. From any thread."""
        for sink in list(self.by_name.values()):
            if release := getattr(sink, "release", None):
                release()

    def close(self) -> SyncFailed | None:
        """Closes all sinks. Returns the error that must end the process, if there was one."""
        failed = None
        for name, sink in self.by_name.items():
            try:
                sink.close()
            except SyncFailed as error:
                failed = error
            except SinkError as error:
                log.error("sinks.%s: %s", name, error)
        return failed

    def _open(self, name: str) -> Sink:
        """Opens a sink. If that has just failed, raises the same error again: a try and a log line for each import
        would be too many."""
        now = self._clock.now()
        if name in self.refused and now < self._tried_at[name] + RETRY_SECONDS:
            raise self.refused[name].with_traceback(None)
        try:
            sink = self._opened(name)
        except SyncFailed:
            raise
        except SinkError as error:
            if name not in self.refused:
                text = "%s; tried again while crawlerd runs"
                tell(Event.SINK_HELD, text, error, sink=name, error=str(error))
            self.refused[name], self._tried_at[name] = error, now
            raise
        if refused := self.refused.pop(name, None):
            tell(Event.SINK_RELEASED, "sinks.%s can be used again", name, sink=name, error=str(refused))
        return sink

    def _opened(self, name: str) -> Sink:
        """Opens a sink, and compares it with what the frontier knows, see `Frontier.attach`. Logs which of its runs
        begin again."""
        try:
            sink = open_sink(self._settings.sinks[name])
        except SinkError as error:
            error.args = (f"sinks.{name}: {error}",)
            raise
        try:
            state = sink.state(self._frontier.mark.frontier)
            attached = self._frontier.attach(f"sinks.{name}", state, self._clock.now())
            if (outbox := outbox_of(sink)) is not None:
                outbox.call_back(self._frontier.mark, self.goes_on)
            if self._frontier.shared and (join := getattr(sink, "join", None)):
                join(self._frontier.shared)
        except BaseException:
            sink.close()
            raise
        if attached.news and (attached.abandoned or not state.forgets):
            runs = f"; begun again: runs {', '.join(map(str, attached.abandoned))}" if attached.abandoned else ""
            text = "%s: the next import reads all there is%s"
            tell(Event.SINK_REPLACED, text, attached.news, runs, sink=name, reason=attached.news)
        self.by_name[name], self._ids[name] = sink, attached.id
        self._abandon(attached.abandoned)
        return sink

    def goes_on(self, run: int) -> bool:
        """Whether tasks of a run may still be leased."""
        try:
            found = self._frontier.run(run)
        except KeyError:
            return False
        return found.state == "running" and found.import_name in self._settings.imports

    def _origins(self, spec: ImportSpec) -> dict[str, str]:
        """See `Frontier.bind`."""
        account = self._settings.accounts[spec.account]
        source = self._settings.sources[account.source]
        where = (account.source, account.name, (account.base_url or source.base_url or "").rstrip("/"))
        origins = {}
        fields = run_fields(spec, self._settings.daemon.hash_key)
        for stream in spec.streams:
            own = () if stream in source.added else (source.asks(stream, account.options),)
            told = sorted({added for each in source.subscriptions if each.stream == stream for added in each.streams})
            chosen = [added for added in told if added in spec.streams]
            if fields and (rules := [fields.streams[each] for each in (ANY, stream) if each in fields.streams]):
                own = (*own, rules, hashed(b"0", fields.key.encode()).decode())
            origin = setup(where, *own)
            # A subscriber that is newly chosen must get all records of the stream: then the stream is read in full.
            origins[stream] = f"{origin}.{setup(*chosen)}" if chosen else origin
        return origins

    def _receiver(self, spec: ImportSpec, names: Sequence[str], numbers: Mapping[str, int]) -> int:
        """The frontier's number of the receiver of an import's deliveries. names: the receiving accounts."""
        found: list[str | None] = [getattr(spec.options, "receiver", str)()]
        noted = self._frontier.identities([numbers[name] for name in names])
        for name, identity in zip(names, noted, strict=True):
            account = self._settings.accounts[name]
            source = self._settings.sources[account.source]
            found.append(identity if source.guard else account.base_url or source.base_url or "")
        receiver = None if None in found else " ".join(map(str, found)).strip()
        attached = self._frontier.attach_receiver(spec.name, receiver, self._clock.now())
        self._abandon(attached.abandoned)
        return attached.id

    def _abandon(self, runs: Sequence[int]) -> None:
        if runs:
            self.abandoned.update(runs)
            self._writer.abandon(runs)
