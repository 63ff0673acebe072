"""Sync points: shown, set, moved back, cleared, copied from another import."""

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

MOST_DETAIL = 2_000  # characters of the audit's line
MOST_VALUE = 100_000  # characters of one sync point
AHEAD_SECONDS = 86_400.0  # by which a time may be later than now: the clocks of others differ


class SyncPoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    sink: where the records went that the sync points vouch for; None for the receiver of a source's own deliveries.
    points: by name, which is "<stream>" or "<stream>:…"; what is a JSON object in the frontier is one here. A stream
        that has none has null, and is read in full.
    """

    import_name: str = msgspec.field(name="import")
    sink: str | None
    points: dict[str, Any] = msgspec.field(name="sync_points")


class SyncPointsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, one of four.

    points: these are set, as of `SyncPoints`; null clears the one of that name, or all of a stream.
    clear: all are.
    back: seconds by which the times in them are moved back.
    copy_from: another import, whose sync points are taken over.
    streams: only these are changed; empty for all.
    """

    points: dict[str, Any] = {}
    clear: bool = False
    back: float | None = None
    copy_from: str | None = None
    streams: list[str] = []


class SyncPointsChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed, by name; null where there is none.

    left_out: of those to be copied, what is of streams that the import does not read.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    left_out: list[str] = []


def sink_name(spec: ImportSpec) -> str:
    """As the frontier calls it."""
    return f"sinks.{spec.sink}" if spec.sink is not None else f"the receiver of import {spec.name}"


def show(settings: Settings, reader: FrontierReader | None, name: str, streams: Iterable[str] = ()) -> SyncPoints:
    """Unknown for an import that is not there, Refused for a stream that it does not read.

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
    """A change that makes sense.

    changes: by name; None clears.
    changed: the answer, once it is written.
    """

    import_name: str
    sink_name: str
    changes: dict[str, str | None]
    act: Act
    changed: SyncPointsChanged

    def write(self, frontier: Frontier) -> SyncPointsChanged:
        """One transaction. RunUnderWay while a run of the import is."""
        frontier.change_sync_points(self.import_name, self.sink_name, self.changes, self.act)
        return self.changed


def plan(settings: Settings, frontier: Frontier, name: str, request: SyncPointsRequest, by: str, now: float) -> Planned:
    """What is to be written, while nothing else writes. Unknown for an unknown import, Refused for what makes no
    sense."""
    check_import(name, settings.imports)
    spec = settings.imports[name]
    _check_streams(settings, spec, request.streams)
    current = frontier.sync_points(name, sink_name(spec))
    if current is None:
        raise Refused(
            f"import {name} has not used its sink yet, to which sync points belong: start `crawlerd run` or import "
            f"{name} once"
        )
    changes, left_out = _changes(settings, frontier, spec, current, request, now)
    changes = {each: value for each, value in changes.items() if current.get(each) != value}
    if not changes:
        raise Refused(f"that changes no sync point of import {name}")
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
    """What is to be written, by name, and what is left out of that."""
    asked = (bool(request.points), request.clear, request.back is not None, request.copy_from is not None)
    if sum(asked) != 1:
        raise Refused("say one of: what to set, to clear, how far to move back, which import to copy from")
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
                raise Refused(f"the sync point {known[:80]} would be {text[:80]}: the API has nothing from then on yet")
    return changes, []


def _is_time(value: str, before: str | None) -> bool:
    """Digits are one where the sync point was a time so far: they may be the number of a record as well."""
    return bool(times_of(value)) and (shape(value) in ("a time", "a date") or bool(before and times_of(before)))


def _named(name: str, current: Mapping[str, str]) -> str:
    """The sync point that a name means: its own, or the one that there is of a stream. Refused where several are."""
    of = [each for each in current if _is_of(each, [name])]
    if name in current or not of:
        return name
    if len(of) > 1:
        raise Refused(f"several sync points are of {name[:80]}: name {' or '.join(sorted(of))[:200]}")
    return of[0]


def _moved(settings: Settings, spec: ImportSpec, chosen: Mapping[str, str], seconds: float) -> dict[str, str | None]:
    if not 0 < seconds < float("inf"):
        raise Refused("say how far back as a duration, such as 2d")
    streams, moved = _streams(settings, spec), dict[str, str | None]()
    for name, value in chosen.items():
        if name.partition(":")[0] not in streams:
            continue  # of no stream: when something was last done, as a rule
        try:
            found = earlier(value, seconds)
        except (OverflowError, ValueError):
            raise Refused(f"the sync point {name} cannot be moved back so far: it is {value[:80]}") from None
        if found is None:
            raise Refused(f"the sync point {name} is no time but {shape(value)}: {value[:80]}; set or clear it instead")
        moved[name] = found
    return moved


def _copied(
    settings: Settings, frontier: Frontier, spec: ImportSpec, other: str, streams: list[str]
) -> tuple[dict[str, str | None], list[str]]:
    check_import(other, settings.imports)
    theirs = settings.imports[other]
    if other == spec.name:
        raise Refused("an import has its own sync points already: name two imports")
    if theirs.account != spec.account:
        raise Refused(
            f"import {other} reads account {theirs.account}, and import {spec.name} account {spec.account}: the sync "
            "points of one mean nothing for the other"
        )
    found = frontier.sync_points(other, sink_name(theirs)) or {}
    found = {name: value for name, value in found.items() if _is_of(name, streams)}
    if not found:
        raise Refused(f"import {other} has no sync points{' of these streams' if streams else ''}")
    wanted = {name: value for name, value in found.items() if _reads(settings, spec, name)}
    return dict(wanted), sorted(found.keys() - wanted.keys())


def _reads(settings: Settings, spec: ImportSpec, name: str) -> bool:
    """Whether the sync point is of a stream of the import, or of none."""
    stream = name.partition(":")[0]
    return stream in spec.streams or stream not in settings.sources[settings.accounts[spec.account].source].streams


def _streams(settings: Settings, spec: ImportSpec) -> list[str]:
    """Those that a sync point may be of."""
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
    """Sync points that note which of them are read.

    looked_at: their names, and names that there are not.
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
    """Refused when the source could not begin a run with them, or would not read those that are new."""
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
        raise Refused(f"with that no run could begin, and nothing was changed: {error}") from None
    if unread := sorted(name for name in new if name in kept and name not in kept.looked_at):
        raise Refused(
            f"no run of import {spec.name} would read {unread[0][:80]}: its sync points have other names, which "
            f"`crawlerd syncpoint show {spec.name}` tells once it has run"
        )


def _source_of(settings: Settings, account: str) -> Source | None:
    spec = settings.accounts.get(account)
    return None if spec is None else settings.sources[spec.source]


def _raw(name: str, value: Any, before: str | None) -> str:
    """As the frontier has it. Refused for what cannot be one, or is of another kind than the one before."""
    if isinstance(value, dict):
        text = msgspec.json.encode(value).decode()
    elif isinstance(value, str) and value.strip():
        text = value
    else:
        raise Refused(f"the sync point {name[:80]} must be text, an object as `syncpoint show --json` has it, or null")
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
        if msgspec.json.encode(decoded).decode() == value:  # else it could not be set as it was
            return decoded
    return value


def _is_of(name: str, streams: Iterable[str]) -> bool:
    """Whether a sync point is of one of these streams; none stand for all. It is of the one that its name begins with,
    and of those that it names after the colon."""
    chosen = set(streams)
    first, _, others = name.partition(":")
    return not chosen or first in chosen or not chosen.isdisjoint(others.split(","))
