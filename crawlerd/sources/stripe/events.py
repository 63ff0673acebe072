"""What has changed, by Stripe's events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crawlerd.source import Api, Gather, Output, Permanent, TaskArgs
from crawlerd.sources.stripe.again import AGAIN
from crawlerd.sources.stripe.answers import CursorGone, NoTypes, created, listed
from crawlerd.sources.stripe.below import read_below
from crawlerd.sources.stripe.catalogue import (
    BELOW,
    LISTS,
    OF_OBJECT,
    below,
    deletions,
    is_with_parent,
    listed_by,
    mentioned_by,
    one,
    orphaned,
)
from crawlerd.sources.stripe.pages import PAGES
from crawlerd.sources.stripe.paging import PAGE, once_more
from crawlerd.sources.stripe.stripe_api import stripe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.sources.stripe.catalogue import Below

EVENTS = LISTS["events"].path


@dataclass(frozen=True)
class Events(TaskArgs, kind="stripe.follow"):
    """The events of the seconds from `since` on, up to `until`, the oldest first.

    Stripe returns the newest first. So a span is requested that fits into one answer: `span` seconds long, or up to
    `until` if that is None.

    starting_after: within one second that has more than a page.
    types: of the events; empty for all.
    named: Stripe knows these types.
    alone: no other task reads events of the run. If some events are about objects that are deleted together with what
        is below them, or not all events are on one page, they are read as `in_order` says.
    ends: only events about deleted parents are read.
    """

    streams: tuple[str, ...]
    since: int
    until: int
    span: int | None = None
    starting_after: str | None = None
    restarts: int = 0
    types: tuple[str, ...] = ()
    named: bool = True
    alone: bool = False
    ends: bool = False


def in_order(parts: Sequence[Events]) -> Output:
    """Reads events, each part with other types, so that deletions of parents come last: a request for something below a
    deleted object may still be answered, and must not bring it back."""
    types = deletions(parts[0].streams)
    return Gather(parts, replace(parts[0], types=types, ends=True)) if types else parts[0]


@stripe.handles(Events, stream="events", bucket="events", sequential=True)
def follow(api: Api, args: Events) -> Iterator[Output]:
    last = args.until if args.span is None else min(args.until, args.since + args.span - 1)
    params: dict[str, Any] = {
        "limit": PAGE,
        "created[gte]": args.since,
        "created[lte]": last,
        "starting_after": args.starting_after,
    }
    if args.named:
        params["types[]"] = args.types
    try:
        events, more = listed(api.get(EVENTS, params))
    except NoTypes:
        if not args.named:
            raise
        yield replace(args, named=False)
        return
    except CursorGone:
        yield replace(args, starting_after=None, restarts=once_more(args.restarts, EVENTS))
        return
    if events and (created(events[0].get("created")) or 0) > last:
        raise Permanent(f"{EVENTS} ignores created[lte]")
    if args.alone and (more or last < args.until or any(_is_end(each, args.streams) for each in events)):
        yield in_order([replace(args, alone=False)])
        return
    if more and last > args.since:
        seconds = [second for each in events if (second := created(each.get("created"))) is not None]
        dense = max(seconds, default=0) - min(seconds, default=0)
        yield replace(args, span=max(1, min((last - args.since + 1) // 2, dense or 1)))
        return
    ended = {_object(each).get("id") for each in events if _is_end(each, args.streams)}
    for event in reversed(events):
        if _is_end(event, args.streams) == args.ends and not _ends_with(event, ended):
            yield from _apply(event, args.streams, ends=args.ends)
    if more:
        yield replace(args, starting_after=events[-1]["id"])
    elif last < args.until:
        grown = (args.span or 1) * (4 if len(events) < PAGE // 5 else 1)
        yield replace(args, since=last + 1, span=grown, starting_after=None, restarts=0)


def _object(event: dict[str, Any]) -> dict[str, Any]:
    """The object of the event."""
    data: Any = event.get("data")
    item: Any = data.get("object") if isinstance(data, dict) else None
    return item if isinstance(item, dict) else {}


def _is_end(event: dict[str, Any], streams: tuple[str, ...]) -> bool:
    """Whether it reports the deletion of an object with everything below it."""
    of = OF_OBJECT.get(str(_object(event).get("object")), "")
    return str(event.get("type")).endswith(".deleted") and not set(streams).isdisjoint(orphaned(of))


def _ends_with(event: dict[str, Any], parents: set[object]) -> bool:
    """Whether it is about an object below one of these: the API may still return it as if it existed."""
    item = _object(event)
    of = OF_OBJECT.get(str(item.get("object")), "")
    return of in BELOW and BELOW[of].orphaned and "{parent}" in one(of) and item.get(BELOW[of].owner) in parents


def _apply(event: dict[str, Any], streams: tuple[str, ...], *, ends: bool) -> Iterator[Output]:
    """Reads the event's object again, which may have changed since. An event without an object of ours is ignored."""
    item = _object(event)
    kind, deleted = str(item.get("object")), str(event.get("type")).endswith(".deleted")
    for stream, field in mentioned_by(kind):
        yield from _mentioned(stream, item.get(field), streams)
    of = OF_OBJECT.get(kind)
    if of is None or not isinstance(key := item.get("id"), str):  # an upcoming invoice has no id
        return
    wanted = _wanted(of, streams, deleted=deleted)
    parent = item.get(BELOW[of].owner) if of in BELOW else None
    needs_parent = "{parent}" in one(of)
    if wanted and (isinstance(parent, str) or not needs_parent):
        held = _held(item, event["data"].get("previous_attributes"), wanted, deleted=deleted)
        yield AGAIN[of](wanted, key, parent if needs_parent else None, held=held, ends=ends)
    for name, parameter in listed_by(of):
        if name in streams:
            yield PAGES[name]((name,), line=None, filters=((parameter, key),))


def _held(
    item: dict[str, Any], previous: object, wanted: tuple[str, ...], *, deleted: bool
) -> tuple[tuple[str, str], ...]:
    """Objects that were below the event's object before, and are no longer."""
    found: set[tuple[str, str]] = set()
    for stream in wanted:
        if stream in BELOW and (name := BELOW[stream].embedded):
            there = _ids(item.get(name))
            before = _ids(previous.get(name)) if isinstance(previous, dict) else set()
            found |= {(stream, key) for key in (before | there if deleted else before - there)}
    return tuple(sorted(found))


def _ids(listing: Any) -> set[str]:
    """The ids of a list's objects; empty if it is not a list."""
    objects = listing.get("data") if isinstance(listing, dict) else None
    keys = [each.get("id") for each in objects if isinstance(each, dict)] if isinstance(objects, list) else []
    return {key for key in keys if isinstance(key, str) and key}


def _mentioned(stream: str, key: object, streams: tuple[str, ...]) -> Iterator[Output]:
    """Reads a list below a parent again, or an object with what is below it."""
    if not isinstance(key, str):
        return
    if stream in BELOW:
        if stream in streams:
            yield from read_below(stream, key)
    elif wanted := _wanted(stream, streams):
        yield AGAIN[stream](wanted, key)


def _wanted(stream: str, streams: tuple[str, ...], *, deleted: bool = False) -> tuple[str, ...]:
    """An object's own stream, and those below it that change with it."""
    return tuple(
        each
        for each in (stream, *below(stream))
        if each in streams and (each == stream or is_with_parent(each) or (deleted and _goes_with_parent(BELOW[each])))
    )


def _goes_with_parent(listing: Below) -> bool:
    return listing.orphaned or (listing.keyed and not listing.whole)
