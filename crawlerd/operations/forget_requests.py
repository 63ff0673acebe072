"""Requests to forget data: which sinks and imports they concern, and how much there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.erasure import Erasure, ErasureScope
from crawlerd.engine.forgetting import MOST_BYTES, Forgettor
from crawlerd.frontier.reports import Act
from crawlerd.operations.problem import Refused, UnderWay, Unknown
from crawlerd.sinks import count_meant, erase_in_files

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec, SinkSpec
    from crawlerd.engine.engine import Engine
    from crawlerd.engine.forgetting import Forgot
    from crawlerd.frontier.reader_contract import FrontierReader

LONGEST_KEY = 10_000  # characters


class ForgetRequest(msgspec.Struct, frozen=True, kw_only=True, rename={"import_name": "import"}):
    """What to forget: everything that matches all fields. At least one of account, import and key is required.

    account: the account with its parts; it need not be configured any more.
    import_name: the account of that import, and the streams that no other import of it writes to the same sink.
    key: a record with the records below it.
    stream: only this stream.
    sink: only this sink; the frontier forgets the data in any case.
    """

    account: str | None = None
    import_name: str | None = None
    key: str | None = None
    stream: str | None = None
    sink: str | None = None


class ForgetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    sinks: what each sink forgets, by name.
    imports: imports that may write the data; no run of theirs may be under way.
    scope: what the frontier forgets.
    """

    sinks: dict[str, Erasure]
    imports: tuple[str, ...]
    scope: ErasureScope


class Forgettable(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is to forget.

    records: by sink and table.
    lines: lines of files, by sink.
    texts: texts of reports, events and the audit.
    """

    records: dict[str, dict[str, int]]
    lines: dict[str, int]
    dead_letters: int
    sync_points: int
    texts: int

    @property
    def nothing(self) -> bool:
        found = any(self.records.values()) or any(self.lines.values())
        return not (found or self.dead_letters or self.sync_points or self.texts)


def forget_plan(settings: Settings, request: ForgetRequest) -> ForgetPlan:
    """What a request means. Raises Unknown if the import does not exist, and Refused for an invalid request."""
    if not (request.account or request.import_name or request.key):
        raise Refused("specify what to forget: an account, an import, or the key of a record")
    if len(request.key or "") > LONGEST_KEY:
        raise Refused(f"key: has more than {LONGEST_KEY:,} characters")
    sinks = {name: spec for name, spec in settings.sinks.items() if spec.beside is None and spec.type != "stdout"}
    if request.sink is not None and request.sink not in sinks:
        known = ", ".join(sorted(sinks))
        raise Refused(f"there is no sink {request.sink[:80]} that keeps data; there are: {known}")
    spec = None
    if request.import_name is not None:
        # no similar name is suggested, since it could be another customer's
        if request.import_name not in settings.imports:
            name = request.import_name[:80]
            raise Unknown(f"there is no import {name} in the configuration: forget its account, or configure it")
        spec = settings.imports[request.import_name]
        if request.account not in (None, spec.account):
            raise Refused(f"import {spec.name} is of account {spec.account}, not of {request.account}")
    found: dict[str, Erasure] = {}
    for name, sink in sinks.items():
        if request.sink in (None, name) and (which := _of_sink(settings, request, spec, sink)) is not None:
            found[name] = which
    imports = tuple(sorted(name for name, each in settings.imports.items() if _may_write(each, request, spec, found)))
    accounts = (request.account,) if request.account and not request.key else ()
    named = (spec.name,) if spec is not None and not request.key else imports
    streams = (request.stream,) if request.stream else ()
    inbox = settings.inbox is not None and settings.inbox.import_name in named
    scope = ErasureScope(accounts=accounts, imports=named, streams=streams, key=request.key or "", inbox=inbox)
    return ForgetPlan(sinks=found, imports=imports, scope=scope)


def _of_sink(settings: Settings, request: ForgetRequest, spec: ImportSpec | None, sink: SinkSpec) -> Erasure | None:
    streams: tuple[str, ...] = (request.stream,) if request.stream else ()
    if spec is None:
        accounts = (request.account,) if request.account else ()
        return Erasure(accounts=accounts, streams=streams, key=request.key or "")
    if sink.name not in _sinks_of(settings, spec):
        return None
    source = settings.sources[settings.accounts[spec.account].source]
    others = {
        stream
        for each in settings.imports.values()
        if each.name != spec.name and each.account == spec.account and sink.name in _sinks_of(settings, each)
        for stream in each.streams
    }
    if not streams and others:
        streams = tuple(each for each in (*source.streams, *source.optional) if each not in others - {*spec.streams})
    return Erasure(accounts=(spec.account,), source=source.name, streams=streams, key=request.key or "")


def _sinks_of(settings: Settings, spec: ImportSpec) -> set[str]:
    """The names of the sinks that an import writes to."""
    if spec.sink is None:
        return set()
    sink = settings.sinks[spec.sink]
    if sink.beside is None:
        return {spec.sink}
    return {sink.beside.name, *(name for name, each in settings.sinks.items() if _is_part(each, sink))}


def _is_part(each: SinkSpec, pair: SinkSpec) -> bool:
    return each.beside is None and each.database == pair.database


def _may_write(each: ImportSpec, request: ForgetRequest, spec: ImportSpec | None, sinks: dict[str, Erasure]) -> bool:
    """Whether an import may write data that is to be forgotten."""
    if spec is not None:
        return each.name == spec.name or each.account == spec.account
    if request.account is not None:
        return each.account == request.account
    return request.stream is None or request.stream in each.streams


def forget_count(settings: Settings, reader: FrontierReader | None, plan: ForgetPlan) -> Forgettable:
    """Counts what there is. For any process that may read the files. Raises SinkError if a sink cannot be read."""
    specs = {name: settings.sinks[name] for name in plan.sinks}
    records = {name: count_meant(spec, plan.sinks[name]) for name, spec in specs.items()}
    lines = {name: sum(erase_in_files(spec, plan.sinks[name], dry_run=True)) for name, spec in specs.items()}
    notes = reader.count_notes(plan.scope) if reader else None
    return Forgettable(
        records={name: each for name, each in records.items() if each},
        lines={name: each for name, each in lines.items() if each},
        dead_letters=notes.dead_letters if notes else 0,
        sync_points=notes.sync_points if notes else 0,
        texts=notes.texts if notes else 0,
    )


def forgettor(settings: Settings, request: ForgetRequest, by: str, now: float, most_bytes: int | None) -> Forgettor:
    """The object that does it. Raises the errors of `forget_plan`."""
    plan = forget_plan(settings, request)
    sinks = {name: (settings.sinks[name], which) for name, which in plan.sinks.items()}
    queues = settings.spool, settings.inbox
    return Forgettor(sinks, plan.scope, forget_act(request, by, now), most_bytes, queues)


def begun(engine: Engine, body: bytes, by: str, now: float) -> Forgot | None:
    """Starts forgetting in a daemon, which answers before it is finished. Raises UnderWay while it is forgetting
    something else."""
    request = msgspec.json.decode(body, type=ForgetRequest)
    if not engine.forgetting.begin(forgettor(engine.settings, request, by, now, MOST_BYTES)):
        raise UnderWay("something else is being forgotten: wait for its end, then try again")
    return engine.forgetting.progress()


def forget_act(request: ForgetRequest, by: str, now: float) -> Act:
    """The audit's entry, which must not repeat a key."""
    said = [f"account {request.account}"] if request.account else []
    said += [f"import {request.import_name}"] if request.import_name else []
    said += ["one key"] if request.key else []
    more = [f"stream {request.stream}"] if request.stream else []
    more += [f"sink {request.sink}"] if request.sink else []
    return Act(now, by, "sink forget", ", ".join(said), ", ".join(more), 0)
