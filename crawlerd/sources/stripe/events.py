"""What is read in full, and what has changed since the last run, by Stripe's events."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from crawlerd.source import MISSING_KEYS, Api, Cursor, Gather, Output, Permanent, Record, Sweep, TaskArgs, Transient
from crawlerd.sources.stripe.answers import CursorGone, Gone, NoAccess, created, is_id, listed
from crawlerd.sources.stripe.catalogue import BELOW, LISTS, OF_OBJECT, STREAMS, Listing, below, one
from crawlerd.sources.stripe.pages import PAGE, PAGES, VERSION, WANTED, Page, expansions, once_more, outputs, stripe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crawlerd.source import Objects

DAY = 86_400
OVERLAP = 300  # seconds before the watermark that are applied again: an event may show up a little late
SKEW = 3_600  # seconds that our clock may differ from Stripe's, where there is no event to take the time from
LOOKBACK = 7 * DAY  # how much is read again of a list that grows without events: a balance transaction settles in days
EVENTS = LISTS["events"].path
FORGOTTEN = ("events",)  # whose old ones Stripe no longer lists, though nobody has deleted them

log = logging.getLogger(__name__)


class Mark(msgspec.Struct, frozen=True):
    """How far a stream has come.

    event: `created` of the newest event that it has taken in (Unix seconds).
    noted: when its list was read, by our clock.
    version: of the API, which gave its objects their shape.
    """

    event: int
    noted: float
    version: str = VERSION


@dataclass(frozen=True)
class Begin(TaskArgs, kind="stripe.begin"):
    """Notes the newest event, before anything else is read.

    load: streams to be read in full.
    follow: those to be brought up to date, from the second `since` of events, and from `growth` of lists without.
    marks: how far they have come is to be noted; not of connected accounts one by one.
    """

    noted: float
    load: tuple[str, ...]
    follow: tuple[str, ...] = ()
    since: int = 0
    growth: int = 0
    marks: bool = True


@stripe.handles(Begin, stream="events", priority=0)
def begin(api: Api, args: Begin) -> Iterator[Output]:
    try:
        newest, until = _newest_event(api, args.noted)
    except Permanent as error:
        # Without events there is no watermark, so the next run is a full one again.
        log.warning("stripe: no events can be read, so everything is: %s", error)
        yield from _groups(args.load + args.follow)
        return
    if args.marks:
        yield from _marks(args.load + args.follow, Mark(until, args.noted))
    if args.load:
        yield Gather([Load(args.load)], CatchUp(args.noted, args.load, until, newest, args.marks))
    yield from _growth(args.follow, args.growth)
    followed = tuple(filter(_has_events, args.follow))
    if followed:
        yield Events(followed, args.since - OVERLAP, until)


def _newest_event(api: Api, noted: float) -> tuple[str, int]:
    """Its id and second; where there is none, no id and a second before now."""
    events, _ = listed(api.get(EVENTS, {"limit": 1}))
    until = int(noted) - SKEW
    return (events[0]["id"], created(events[0].get("created")) or until) if events else ("", until)


def _marks(streams: Iterable[str], mark: Mark) -> Iterator[Output]:
    for stream in streams:
        yield Cursor(stream, msgspec.json.encode(mark).decode())


@dataclass(frozen=True)
class Load(TaskArgs, kind="stripe.load"):
    """Reads streams in full; a group inside of that which ends with catching up."""

    streams: tuple[str, ...]


@stripe.handles(Load, stream="events", priority=0, cost=0)
def load(api: Api, args: Load) -> Iterator[Output]:
    yield from _groups(args.streams)


@dataclass(frozen=True)
class CatchUp(TaskArgs, kind="stripe.catch_up"):
    """What happened while lists were read, behind the event `newest`."""

    noted: float
    streams: tuple[str, ...]
    since: int
    newest: str
    marks: bool = True


@stripe.handles(CatchUp, stream="events")
def catch_up(api: Api, args: CatchUp) -> Iterator[Output]:
    newest, until = _newest_event(api, args.noted)
    streams = tuple(filter(_has_events, args.streams))
    if newest != args.newest and streams:
        if args.marks:
            yield from _marks(args.streams, Mark(until, args.noted))
        yield Events(streams, args.since - OVERLAP, until)


def _has_events(stream: str) -> bool:
    """Whether events tell of its changes, or of its parents'."""
    return bool(
        BELOW[stream].objects or LISTS[BELOW[stream].parent].objects if stream in BELOW else LISTS[stream].objects
    )


def _lists(streams: Iterable[str], gte: int | None = None) -> Iterator[Page]:
    """The first page of each list that is wanted, or needed to find what is wanted below it."""
    chosen = set(streams)
    for stream, page in PAGES.items():
        wanted = tuple(each for each in (stream, *below(stream)) if each in chosen)
        if wanted:
            yield page(wanted, gte=gte)


def _groups(streams: Iterable[str]) -> Iterator[Gather]:
    """Each list in full, and then an end of whatever it does not have any more."""
    for page in _lists(streams):
        yield Gather([page], Compare(page.kind.rpartition(".")[2], page.streams), if_dead="skip")


def _growth(follow: tuple[str, ...], since: int) -> Iterator[Output]:
    """What no event tells of: the newest part of lists that only grow, and the whole of others."""
    yield from _lists((stream for stream in follow if _listing(stream).grows), gte=since)
    yield from _groups(stream for stream in follow if is_silent(stream))


def _listing(stream: str) -> Listing:
    """Its own, or that of its parents."""
    return LISTS[BELOW[stream].parent if stream in BELOW else stream]


def is_silent(stream: str) -> bool:
    """Whether a stream is read in full each time."""
    return not _listing(stream).grows and not _has_events(stream)


@dataclass(frozen=True)
class Compare(TaskArgs, kind="stripe.compare"):
    """A list was read to its end: what it did not have is asked for again, before it counts as gone.

    list: its stream.
    streams: the list's own, and those below it.
    """

    list: str
    streams: tuple[str, ...]


@stripe.handles(Compare, stream="events", cost=0)
def compare(api: Api, args: Compare) -> Iterator[Output]:
    compared = [Compared(args.list, each, args.streams) for each in args.streams if each not in FORGOTTEN]
    yield Gather(compared, then=SWEEPS[args.list](args.streams), if_dead="skip")


@dataclass(frozen=True)
class Compared(TaskArgs, kind="stripe.compared"):
    list: str
    stream: str
    streams: tuple[str, ...]


@stripe.handles(Compared, stream="events", cost=0)
def compared(api: Api, args: Compared) -> Iterator[Output]:
    """Objects that can be read by their ids are; else their list, with those above them, is read a second time."""
    if args.stream in MISSING:
        yield Sweep(args.stream, otherwise=Missing(args.stream))
    else:
        below = tuple(each for each in args.streams if each not in MISSING and each not in FORGOTTEN)
        yield Sweep(args.stream, otherwise=SecondLook(args.list, below))


@dataclass(frozen=True)
class Missing(TaskArgs, kind="stripe.missing"):
    stream: str
    missing: tuple[str, ...] = ()


@stripe.handles(Missing, stream="events", cost=0)
def missing(api: Api, args: Missing) -> Iterator[Output]:
    for key in args.missing:
        yield MISSING[args.stream]((args.stream,), key)
    if len(args.missing) == MISSING_KEYS:
        yield Sweep(args.stream, otherwise=Missing(args.stream), after=args.missing[-1])


@dataclass(frozen=True)
class SecondLook(TaskArgs, kind="stripe.second_look"):
    list: str
    streams: tuple[str, ...]


@stripe.handles(SecondLook, stream="events", unique=True, cost=0)
def second_look(api: Api, args: SecondLook) -> Iterator[Output]:
    yield PAGES[args.list](args.streams, look=1)


@dataclass(frozen=True)
class SweepOf(TaskArgs, kind="stripe.sweep"):
    """The end of what a list, read to its end, did not have any more.

    streams: the list's own, and those below it.
    """

    streams: tuple[str, ...]


def _register_sweep(stream: str) -> type[SweepOf]:
    class One(SweepOf, kind=f"stripe.sweep.{stream}"):
        pass

    @stripe.handles(One, stream=stream, cost=0)
    def sweep(api: Api, args: One) -> Iterator[Output]:
        for each in args.streams:
            if each not in FORGOTTEN:
                yield Sweep(each)

    return One


SWEEPS = {stream: _register_sweep(stream) for stream in LISTS}


# ---- events


@dataclass(frozen=True)
class Events(TaskArgs, kind="stripe.follow"):
    """Events of the seconds from `since` on, up to `until`, the oldest first.

    Stripe gives the newest first: so a span is asked for that its answer holds whole, `span` seconds long, or up to
    `until` when that is None.

    starting_after: within one second that has more than a page.
    """

    streams: tuple[str, ...]
    since: int
    until: int
    span: int | None = None
    starting_after: str | None = None
    restarts: int = 0


@stripe.handles(Events, stream="events", bucket="events", sequential=True)
def follow(api: Api, args: Events) -> Iterator[Output]:
    last = args.until if args.span is None else min(args.until, args.since + args.span - 1)
    params = {"limit": PAGE, "created[gte]": args.since, "created[lte]": last, "starting_after": args.starting_after}
    try:
        events, more = listed(api.get(EVENTS, params))
    except CursorGone:
        yield replace(args, starting_after=None, restarts=once_more(args.restarts, EVENTS))
        return
    if events and (created(events[0].get("created")) or 0) > last:
        raise Permanent(f"{EVENTS} does not heed created[lte]")
    if more and last > args.since:
        seconds = [second for each in events if (second := created(each.get("created"))) is not None]
        dense = max(seconds, default=0) - min(seconds, default=0)
        yield replace(args, span=max(1, min((last - args.since + 1) // 2, dense or 1)))
        return
    for event in reversed(events):
        yield from _apply(event, args.streams)
    if more:
        yield replace(args, starting_after=events[-1]["id"])
    elif last < args.until:
        grown = (args.span or 1) * (4 if len(events) < PAGE // 5 else 1)
        yield replace(args, since=last + 1, span=grown, starting_after=None, restarts=0)


def _apply(event: dict[str, Any], streams: tuple[str, ...]) -> Iterator[Output]:
    """Reads the event's object again; it may have changed since. An event without an object of ours says nothing."""
    data: Any = event.get("data")
    item: Any = data.get("object") if isinstance(data, dict) else None
    if not isinstance(item, dict):
        return
    kind = str(item.get("object"))
    if kind == "discount":
        kind, item = "customer", {"id": item.get("customer")}
    stream = OF_OBJECT.get(kind)
    if stream is None or not isinstance(key := item.get("id"), str):  # an upcoming invoice has no id
        return
    wanted = tuple(each for each in (stream, *below(stream)) if each in streams and (each == stream or _silent(each)))
    parent = item.get(BELOW[stream].owner) if stream in BELOW else None
    needs_parent = "{parent}" in one(stream)
    if wanted and (isinstance(parent, str) or not needs_parent):
        yield AGAIN[stream](wanted, key, parent if needs_parent else None)


def _silent(stream: str) -> bool:
    """Whether a list below another one changes without events of its own."""
    return not BELOW[stream].objects


@dataclass(frozen=True)
class Again(TaskArgs, kind="stripe.again"):
    """One object as it is now.

    streams: as of a page.
    """

    streams: tuple[str, ...]
    id: str
    parent: str | None = None


def _register(stream: str) -> type[Again]:
    class One(Again, kind=f"stripe.{stream}.again"):
        pass

    @stripe.handles(One, stream=stream, unique=True)
    def again(api: Api, args: One) -> Iterator[Output]:
        path, item = _read(api, stream, args)
        if item is not None:
            yield from outputs(stream, item, args.streams, path, again=True)
        elif stream in args.streams:
            yield Record(stream, args.id, None)

    return One


def _register_missing(stream: str) -> type[Again]:
    class One(Again, kind=f"stripe.{stream}.missing"):
        """That the list of the run did not have; if it is gone, the sweep says so."""

    @stripe.handles(One, stream=stream)
    def missing(api: Api, args: One) -> Iterator[Output]:
        try:
            path, item = _read(api, stream, args)
        except NoAccess:
            if stream != "accounts":  # of one that is no longer connected, Stripe tells no more than that
                raise
            return
        if item is not None:
            yield from outputs(stream, item, args.streams, path, again=True)

    return One


def _read(api: Api, stream: str, args: Again) -> tuple[str, Objects | None]:
    """The path of an object, and the object as it is now; None when it is gone."""
    path = one(stream).format(id=quote(args.id, safe=""), parent=quote(args.parent or "", safe=""))
    owner = BELOW[stream].owner if stream in BELOW else ""
    wanted = [*WANTED, "deleted", *([owner] if owner else [])]
    try:
        item = api.listing(path, {"expand[]": expansions(stream, args.streams)}, at=None, wanted=wanted).objects
    except Gone:
        return path, None
    if not is_id(item.column("id")[0]):
        raise Transient("wrong body: not an object with an id")
    gone = item.column("id") != [args.id] or item.column("deleted") == [True] or _disowned(item, owner)
    return path, None if gone else item


def _disowned(item: Objects, owner: str) -> bool:
    """Whether it lies below nothing any more, as a payment method does that was detached."""
    return bool(owner) and item.column(owner) == [None] and owner in item.fields()


AGAIN = {stream: _register(stream) for stream in STREAMS if stream not in BELOW or BELOW[stream].one}
MISSING = {  # where the id is enough
    stream: _register_missing(stream)
    for stream in STREAMS
    if stream not in BELOW or (BELOW[stream].one and "{parent}" not in BELOW[stream].one)
}
