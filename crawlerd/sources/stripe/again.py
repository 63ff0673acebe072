"""One object that is read again, since it has changed or was not in its list."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from crawlerd.core.listing import listing as list_of
from crawlerd.source import MISSING_KEYS, Api, Denied, Orphans, Output, Record, TaskArgs, Transient
from crawlerd.sources.stripe.answers import Gone, NoAccess, NoExpansion, is_id, texts
from crawlerd.sources.stripe.below import BelowOne, outputs
from crawlerd.sources.stripe.catalogue import BELOW, LISTS, OF_PLATFORM, STREAMS, below, expansions, fields_asked, one
from crawlerd.sources.stripe.paging import WANTED, not_expanded
from crawlerd.sources.stripe.stripe_api import stripe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.source import Objects


@dataclass(frozen=True)
class Again(TaskArgs, kind="stripe.again"):
    """Reads one object in its current state.

    streams, plain, bare, look: as for a page.
    held: streams and ids of what was below it, according to its event; those that are no longer there are deleted.
    ends: all other changes by events were read: if the object is deleted, so is everything below it.
    """

    streams: tuple[str, ...]
    id: str
    parent: str | None = None
    plain: str = ""
    bare: bool = False
    look: int = 0
    held: tuple[tuple[str, str], ...] = ()
    ends: bool = False


@dataclass(frozen=True)
class LeftBelow(TaskArgs, kind="stripe.left_below"):
    """What the sink has below a deleted parent, and may be below another one now: each is requested."""

    stream: str
    parent: str
    missing: tuple[str, ...] = ()


@stripe.handles(LeftBelow, stream="events", cost=0)
def left_below(api: Api, args: LeftBelow) -> Iterator[Output]:
    for key in args.missing:
        yield AGAIN[args.stream]((args.stream,), key)
    if len(args.missing) == MISSING_KEYS:
        yield Orphans(args.stream, args.parent, otherwise=LeftBelow(args.stream, args.parent), after=args.missing[-1])


def _register(stream: str) -> type[Again]:
    class One(Again, kind=f"stripe.{stream}.again"):
        pass

    @stripe.handles(One, stream=stream, unique=True)
    def again(api: Api, args: One) -> Iterator[Output]:
        try:
            path, item = _read(api, stream, args)
        except (NoExpansion, Denied) as error:
            yield _with_less(stream, args, error)
            return
        if args.plain:
            yield not_expanded(stream, args.plain)
        if item is not None:
            parent = _parent(stream, item, args)
            yield from outputs(stream, item, args.streams, path, parent=parent, again=True, look=args.look)
            yield from _lost(item, args.held)
            return
        yield from (Record(child, key, None) for child, key in args.held)
        if stream in args.streams:
            yield Record(stream, args.id, None)
        for child in below(stream):
            if child in args.streams and BELOW[child].single:
                yield Record(child, args.id, None)
            elif child in args.streams and BELOW[child].keyed:
                yield BelowOne(child, args.id)
            elif child in args.streams and BELOW[child].orphaned and args.ends:
                yield Orphans(child, args.id, LeftBelow(child, args.id) if child in MISSING else None)

    return One


def _parent(stream: str, item: Objects, args: Again) -> str:
    """The id of the object that it is below, "" if unknown."""
    owner = BELOW[stream].owner if stream in BELOW else ""
    (said,) = item.column(owner) if owner else [None]
    return said if isinstance(said, str) else args.parent or ""


def _lost(item: Objects, held: tuple[tuple[str, str], ...]) -> Iterator[Output]:
    """Objects that were below this one and that it does not contain any more. If it does not contain all, they are
    requested."""
    for stream in {stream for stream, _ in held}:
        (first,) = item.raw(BELOW[stream].embedded)
        if first in (None, b"null"):
            continue
        objects, more = texts(list_of(first or b"", "data", kind=stream, wanted=WANTED, also=("has_more",)))
        there = set(objects.column("id"))
        for key in (key for of, key in held if of == stream and key not in there):
            if not more:
                yield Record(stream, key, None)
            elif stream in MISSING:
                yield AGAIN[stream]((stream,), key)


def _register_missing(stream: str) -> type[Again]:
    class One(Again, kind=f"stripe.{stream}.missing"):
        """An object that the list of the run did not have. If it is deleted, the sweep says so."""

    @stripe.handles(One, stream=stream)
    def missing(api: Api, args: One) -> Iterator[Output]:
        try:
            path, item = _read(api, stream, args)
        except (NoExpansion, Denied) as error:
            if isinstance(error, NoAccess) and stream in OF_PLATFORM:
                return  # Stripe answers the same if the account is no longer connected
            yield _with_less(stream, args, error)
            return
        if item is not None:
            parent = _parent(stream, item, args)
            yield from outputs(stream, item, args.streams, path, parent=parent, again=True)

    return One


def _with_less(stream: str, args: Again, error: Exception) -> Again:
    """How to read an object after the API has refused an expansion; raises the error if nothing was expanded."""
    if not expansions(stream, args.streams, plain=bool(args.plain), bare=args.bare):
        raise error
    return replace(args, plain=str(error), bare=bool(args.plain))


def _read(api: Api, stream: str, args: Again) -> tuple[str, Objects | None]:
    """The path of an object, and its current state; None if it is deleted."""
    path = one(stream).format(id=quote(args.id, safe=""), parent=quote(args.parent or "", safe=""))
    owner = BELOW[stream].owner if stream in BELOW else ""
    wanted = [*WANTED, "deleted", *([owner] if owner else [])]
    try:
        params = fields_asked(stream, args.streams, plain=bool(args.plain), bare=args.bare)
        item = api.listing(path, params, at=None, wanted=wanted).objects
    except Gone:
        return path, None
    if not is_id(item.column("id")[0]):
        raise Transient("wrong body: not an object with an id")
    gone = item.column("id") != [args.id] or item.column("deleted") == [True] or _disowned(item, owner)
    return path, None if gone else item


def _disowned(item: Objects, owner: str) -> bool:
    """Whether it is no longer below another object, such as a detached payment method."""
    return bool(owner) and item.column(owner) == [None] and owner in item.fields()


AGAIN = {
    stream: _register(stream)
    for stream in STREAMS
    if (BELOW[stream].one if stream in BELOW else not LISTS[stream].single)
}
MISSING = {  # if the id is enough
    stream: _register_missing(stream) for stream in AGAIN if "{parent}" not in one(stream)
}
