"""How a run of one account begins: what is read in full, and what is followed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from crawlerd.source import Api, Cursor, Gather, Output, Permanent, TaskArgs
from crawlerd.sources.stripe.answers import created, listed
from crawlerd.sources.stripe.catalogue import (
    BELOW,
    LISTS,
    below,
    deletions,
    event_types,
    has_events,
    is_silent,
    is_with_parent,
)
from crawlerd.sources.stripe.events import EVENTS, Events, in_order
from crawlerd.sources.stripe.missing import Compare
from crawlerd.sources.stripe.pages import PAGES
from crawlerd.sources.stripe.stripe_api import VERSION, stripe, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OVERLAP = 300  # events from this many seconds before the watermark are applied again, since an event may appear late
SKEW = 3_600  # seconds by which our clock may differ from Stripe's, used if no event gives the time

log = logging.getLogger(__name__)


class Mark(msgspec.Struct, frozen=True):
    """How far a stream was read.

    event: `created` of the newest event that was applied (Unix seconds).
    noted: when its list was read, by our clock.
    version: the version of the API that determined the shape of its objects.
    parents: its records have their parents, if needed; not so in earlier versions of crawlerd.
    """

    event: int
    noted: float
    version: str = VERSION
    parents: bool = False


@dataclass(frozen=True)
class Begin(TaskArgs, kind="stripe.begin"):
    """Finds the newest event, before anything else is read.

    load: streams to be read in full.
    follow: streams to be brought up to date, by the events from the second `since` on, and by the newest parts of lists
        that were read in the second `growth`.
    marks: record how far they were read; not for single connected accounts.
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
        log.warning("stripe: events cannot be read, so everything is read in full: %s", error)
        yield from _groups(args.load + args.follow)
        return
    if args.marks:
        yield from _marks(args.load + args.follow, Mark(until, args.noted, version_of(api.options), parents=True))
    if args.load:
        yield Gather([Load(args.load)], CatchUp(args.noted, args.load, until, newest, args.marks))
    yield from _growth(args.follow, args.growth)
    yield from _events(args.follow, args.since, until)


def _newest_event(api: Api, noted: float) -> tuple[str, int]:
    """The newest event's id and second; if there is none, no id and a second before now."""
    events, _ = listed(api.get(EVENTS, {"limit": 1}))
    until = int(noted) - SKEW
    return (events[0]["id"], created(events[0].get("created")) or until) if events else ("", until)


def _marks(streams: Iterable[str], mark: Mark) -> Iterator[Output]:
    for stream in streams:
        yield Cursor(stream, msgspec.json.encode(mark).decode())


@dataclass(frozen=True)
class Load(TaskArgs, kind="stripe.load"):
    """Reads streams in full: a group within one that ends with catching up."""

    streams: tuple[str, ...]


@stripe.handles(Load, stream="events", priority=0, cost=0)
def load(api: Api, args: Load) -> Iterator[Output]:
    yield from _groups(args.streams)


@dataclass(frozen=True)
class CatchUp(TaskArgs, kind="stripe.catch_up"):
    """Applies what happened while lists were read, after the event `newest`."""

    noted: float
    streams: tuple[str, ...]
    since: int
    newest: str
    marks: bool = True


@stripe.handles(CatchUp, stream="events")
def catch_up(api: Api, args: CatchUp) -> Iterator[Output]:
    newest, until = _newest_event(api, args.noted)
    if newest != args.newest and any(map(has_events, args.streams)):
        if args.marks:
            yield from _marks(args.streams, Mark(until, args.noted, version_of(api.options), parents=True))
        yield from _events(args.streams, args.since, until)


def _events(streams: tuple[str, ...], since: int, until: int) -> Iterator[Output]:
    """Reads the events of streams, in as few requests as possible."""
    followed = tuple(filter(has_events, streams))
    types = event_types(followed) if followed else []
    parts = [Events(followed, since - OVERLAP, until, types=each) for each in types]
    if not deletions(followed):
        yield from parts
    elif len(parts) == 1:
        yield replace(parts[0], alone=True)
    else:
        yield in_order(parts)


def _lists(streams: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each list that is wanted, or needed to find wanted ones below it, with the streams to import."""
    chosen = set(streams)
    for stream in LISTS:
        wanted = tuple(each for each in (stream, *below(stream)) if each in chosen)
        if wanted:
            yield stream, wanted


def _groups(streams: Iterable[str]) -> Iterator[Gather]:
    """Each list in full, followed by tombstones for what it does not have any more."""
    for stream, wanted in _lists(streams):
        parts = sorted({(), LISTS[stream].also})
        pages = [PAGES[stream](wanted, filters=each) for each in parts]
        yield Gather(pages, Compare(stream, wanted), if_dead="skip")


def _growth(follow: tuple[str, ...], noted: int) -> Iterator[Output]:
    """Changes that no event reports: the newest part of some lists, another part of some, and all of others."""
    loud = [stream for stream in follow if not is_silent(stream)]
    for stream, wanted in _lists(loud):
        listing = LISTS[stream]
        if listing.lookback and (some := tuple(each for each in wanted if _comes_along(each))):
            yield PAGES[stream](some, gte=noted - listing.lookback)
        if listing.part and (some := tuple(each for each in wanted if each == stream or is_with_parent(each))):
            yield PAGES[stream](some, filters=listing.part)
    yield from _groups(filter(is_silent, follow))


def _comes_along(stream: str) -> bool:
    """Whether it is read with the newest part of a list; not if it takes a request for each object and events report
    its changes."""
    return stream in LISTS or bool(BELOW[stream].embedded) or not has_events(stream)
