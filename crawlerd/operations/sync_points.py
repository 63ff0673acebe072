"""Sync points: showing, setting, moving back, clearing and copying them."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.core.errors import Permanent
from crawlerd.core.sync_times import earlier, shape, times_of
from crawlerd.engine.attempt import begin
from crawlerd.frontier.reports import Act
from crawlerd.operations.import_names import check_import
from crawlerd.operations.problem import Refused
from crawlerd.source import RunPlan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.source import Source

MOST_DETAIL = 2_000  # characters of the audit's entry
MOST_VALUE = 100_000  # characters of one sync point
AHEAD_SECONDS = 86_400.0  # how much later than now a time may be, since clocks differ


class SyncPoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sync points of an import.

    sink: the sink with the records before the sync points; None for the receiver of a source's own deliveries.
    points: by name, which is "<stream>" or "<stream>:…". JSON objects are shown as objects. A stream without a sync
        point has null, and is read in full.
    """

    import_name: str = msgspec.field(name="import")
    sink: str | None
    points: dict[str, Any] = msgspec.field(name="sync_points")


class SyncPointsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A change; exactly one of `points`, `clear`, `back` and `copy_from`.

    points: set these, as in `SyncPoints`; null clears the one of that name, or all of a stream.
    clear: clear them all.
    back: move the times in them back by this many seconds.
    copy_from: copy those of this other import.
    streams: change only these; empty for all.
    """

    points: dict[str, Any] = {}
    clear: bool = False
    back: float | None = None
    copy_from: str | None = None
    streams: list[str] = []


class SyncPointsChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed, by name; null for one that does not exist.

    left_out: names that were not copied, since the import does not read their streams.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    left_out: list[str] = []


def sink_name(spec: ImportSpec) -> str:
    """The sink's name in the frontier."""
    return f"sinks.{spec.sink}" if spec.sink is not None else f"the receiver of import {spec.name}"


def show(settings: Settings, reader: FrontierReader | None, name: str, streams: Iterable[str] = ()) -> SyncPoints:
    """The sync points of an import. Raises Unknown if it does not exist, and Refused for a stream that it does not
    read.

    streams: only of these; empty for all.
    """
    check_import(name, settings.imports)
    spec, chosen = settings.imports[name], list(streams)
    _check_streams(settings, spec, chosen)
    current = (reader.sync_points(name, sink_name(spec)) if reader else None) or {}
    points: dict[str, Any] = {each: _plain(value) for each, value in current.items() if _is_of(each, chosen)}
    for stream in chosen or spec.streams:
        if not any(_is_of(each, [stream]) for each in points):
            points[stream] = None
    return SyncPoints(import_name=name, sink=spec.sink, points=dict(sorted(points.items())))


class Planned(NamedTuple):
    """A valid change.

    changes: by name; None clears.
    changed: the answer when it is written.
    """

    import_name: str
    sink_name: str
    changes: dict[str, str | None]
    act: Act
    changed: SyncPointsChanged

    def write(self, frontier: Frontier) -> SyncPointsChanged:
        """Writes the change in one transaction. Raises RunUnderWay while a run of the import is under way."""
        frontier.change_sync_points(self.import_name, self.sink_name, self.changes, self.act)
        return self.changed


def plan(settings: Settings, frontier: Frontier, name: str, request: SyncPointsRequest, by: str, now: float) -> Planned:
    """The change that a request means, while nothing else writes. Raises Unknown for an unknown import, and Refused for
    an invalid request."""
    check_import(name, settings.imports)
    spec = settings.imports[name]
    _check_streams(settings, spec, request.streams)
    current = frontier.sync_points(name, sink_name(spec))
    if current is None:
        raise Refused(
            f"import {name} has not used its sink yet, and sync points belong to a sink: start `crawlerd run` or "
            f"import {name} once"
        )
    changes, left_out = _changes(settings, frontier, spec, current, request, now)
    changes = {each: value for each, value in changes.items() if current.get(each) != value}
    if not changes:
        raise Refused(f"this would change no sync point of import {name}")
    _check_plan(settings, spec, {**current, **changes}, changes.keys() - current.keys(), now)
    before = {each: _plain(current.get(each)) for each in sorted(changes)}
    after = {each: _plain(changes[each]) for each in sorted(changes)}
    what = "copy" if request.copy_from else "back" if request.back else "clear" if request.clear else "set"
    detail = msgspec.json.encode({"before": before, "after": after}).decode()
    act = Act(now, by, f"syncpoint {what}", f"import {name}", detail[:MOST_DETAIL], len(changes))
    changed = SyncPointsChanged(before=before, after=after, left_out=left_out)
    return Planned(name, sink_name(spec), changes, act, changed)


def _changes(
    settings: Settings,
    frontier: Frontier,
    spec: ImportSpec,
    current: Mapping[str, str],
    request: SyncPointsRequest,
    now: float,
) -> tuple[dict[str, str | None], list[str]]:
    """The changes by name, and what is left out."""
    asked = (bool(request.points), request.clear, request.back is not None, request.copy_from is not None)
    if sum(asked) != 1:
        raise Refused("give one of: points to set, clear, how far to move back, an import to copy from")
    chosen = {name: value for name, value in current.items() if _is_of(name, request.streams)}
    if request.clear:
        return dict.fromkeys(chosen), []
    if request.back is not None:
        return _moved(settings, spec, chosen, request.back), []
    if request.copy_from is not None:
        return _copied(settings, frontier, spec, request.copy_from, request.streams)
    changes: dict[str, str | None] = {}
    given = {name: value for name, value in request.points.items() if _is_of(name, request.streams)}
    for name, value in given.items():
        _check_name(settings, spec, name, current)
        if value is None:
            changes |= dict.fromkeys(each for each in current if each == name or _is_of(each, [name]))
    for name, value in given.items():
        if value is not None:
            known = _named(name, current)
            changes[known] = text = _raw(known, value, current.get(known))
            if _is_time(text, current.get(known)) and max(times_of(text)) > now + AHEAD_SECONDS:
                raise Refused(f"the sync point {known[:80]} would be {text[:80]}, which is in the future")
    return changes, []


def _is_time(value: str, before: str | None) -> bool:
    """Whether the value is a time. Digits are a time only if the previous value was one: they may be the number of a
    record too."""
    return bool(times_of(value)) and (shape(value) in ("a time", "a date") or bool(before and times_of(before)))


def _named(name: str, current: Mapping[str, str]) -> str:
    """The sync point that a name means: its own, or the only one of a stream. Raises Refused if there are several."""
    of = [each for each in current if _is_of(each, [name])]
    if name in current or not of:
        return name
    if len(of) > 1:
        raise Refused(f"there are several sync points of {name[:80]}: give one of {' or '.join(sorted(of))[:200]}")
    return of[0]


def _moved(settings: Settings, spec: ImportSpec, chosen: Mapping[str, str], seconds: float) -> dict[str, str | None]:
    if not 0 < seconds < float("inf"):
        raise Refused("give how far back as a duration, such as 2d")
    streams, moved = _streams(settings, spec), dict[str, str | None]()
    for name, value in chosen.items():
        if name.partition(":")[0] not in streams:
            continue  # not of a stream: usually the time when something was last done
        try:
            found = earlier(value, seconds)
        except (OverflowError, ValueError):
            raise Refused(f"the sync point {name} cannot be moved back that far: it is {value[:80]}") from None
        if found is None:
            raise Refused(
                f"the sync point {name} is not a time but {shape(value)}: {value[:80]}; set or clear it instead"
            )
        moved[name] = found
    return moved


def _copied(
    settings: Settings, frontier: Frontier, spec: ImportSpec, other: str, streams: list[str]
) -> tuple[dict[str, str | None], list[str]]:
    check_import(other, settings.imports)
    theirs = settings.imports[other]
    if other == spec.name:
        raise Refused("these are the same import: give two different imports")
    if theirs.account != spec.account:
        raise Refused(
            f"import {other} reads account {theirs.account}, and import {spec.name} account {spec.account}: the sync "
            "points of one are not valid for the other"
        )
    found = frontier.sync_points(other, sink_name(theirs)) or {}
    found = {name: value for name, value in found.items() if _is_of(name, streams)}
    if not found:
        raise Refused(f"import {other} has no sync points{' of these streams' if streams else ''}")
    wanted = {name: value for name, value in found.items() if _reads(settings, spec, name)}
    return dict(wanted), sorted(found.keys() - wanted.keys())


def _reads(settings: Settings, spec: ImportSpec, name: str) -> bool:
    """Whether the sync point belongs to a stream of the import, or to no stream."""
    stream = name.partition(":")[0]
    return stream in spec.streams or stream not in settings.sources[settings.accounts[spec.account].source].streams


def _streams(settings: Settings, spec: ImportSpec) -> list[str]:
    """The streams to which a sync point may belong."""
    return list(dict.fromkeys([*spec.streams, *settings.sources[settings.accounts[spec.account].source].streams]))


def _check_streams(settings: Settings, spec: ImportSpec, streams: Iterable[str]) -> None:
    for stream in streams:
        if stream not in spec.streams:
            near = get_close_matches(stream, spec.streams, 1)
            hint = f"did you mean {near[0]}?" if near else f"it reads {', '.join(spec.streams[:20])}"
            raise Refused(f"import {spec.name} does not read a stream {stream[:80]}; {hint}")


def _check_name(settings: Settings, spec: ImportSpec, name: str, current: Mapping[str, str]) -> None:
    streams = _streams(settings, spec)
    if name in current or name.partition(":")[0] in streams:
        return
    near = get_close_matches(name, [*current, *streams], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise Refused(f"{name[:80]} is not a sync point of import {spec.name}, nor a stream of its source{hint}")


class Looked(dict[str, str]):
    """Sync points that record which of them are read.

    looked_at: the names that were read, including those that do not exist.
    """

    def __init__(self, points: Mapping[str, str]) -> None:
        super().__init__(points)
        self.looked_at: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.looked_at.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.looked_at.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self.looked_at.update(super().keys())
        return super().__iter__()

    def items(self) -> Any:
        self.looked_at.update(super().keys())
        return super().items()


def _check_plan(
    settings: Settings, spec: ImportSpec, cursors: Mapping[str, str | None], new: Collection[str], now: float
) -> None:
    """Raises Refused if the source could not begin a run with the sync points, or would not read the new ones."""
    account = settings.accounts[spec.account]
    source = settings.sources[account.source]
    kept = Looked({name: value for name, value in cursors.items() if value is not None})
    run = RunPlan(
        tuple(stream for stream in spec.streams if stream not in source.added),
        full=False,
        started_at=now,
        cursors=kept,
        options=spec.options,
        account_options=account.options,
        has_sink=spec.sink is not None,
        account=account.name,
    )
    try:
        begin(source, run, partial(_source_of, settings))
    except Permanent as error:
        raise Refused(f"no run could begin with this, so nothing was changed: {error}") from None
    if unread := sorted(name for name in new if name in kept and name not in kept.looked_at):
        raise Refused(
            f"no run of import {spec.name} would read {unread[0][:80]}: its sync points have other names; see "
            f"`crawlerd syncpoint show {spec.name}` after a run"
        )


def _source_of(settings: Settings, account: str) -> Source | None:
    spec = settings.accounts.get(account)
    return None if spec is None else settings.sources[spec.source]


def _raw(name: str, value: Any, before: str | None) -> str:
    """The value as the frontier stores it. Raises Refused if it cannot be a sync point, or has another form than the
    previous one."""
    if isinstance(value, dict):
        text = msgspec.json.encode(value).decode()
    elif isinstance(value, str) and value.strip():
        text = value
    else:
        raise Refused(f"the sync point {name[:80]} must be text, an object as in `syncpoint show --json`, or null")
    if len(text) > MOST_VALUE:
        raise Refused(f"the sync point {name[:80]} is longer than {MOST_VALUE:,} characters")
    if before is not None and shape(before) != shape(text):
        raise Refused(f"the sync point {name[:80]} is {shape(before)}, and {text[:80]} is {shape(text)}")
    return text


def _plain(value: str | None) -> Any:
    if value is not None and value.startswith("{"):
        try:
            decoded: dict[str, Any] = msgspec.json.decode(value, type=dict[str, Any])
        except msgspec.DecodeError:
            return value
        if msgspec.json.encode(decoded).decode() == value:  # otherwise it could not be set to the same value again
            return decoded
    return value


def _is_of(name: str, streams: Iterable[str]) -> bool:
    """Whether a sync point belongs to one of these streams; an empty list stands for all. It belongs to the stream that
    its name begins with, and to those named after the colon."""
    chosen = set(streams)
    first, _, others = name.partition(":")
    return not chosen or first in chosen or not chosen.isdisjoint(others.split(","))
