"""What is below the objects of a list: their records, and those of the lists below them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crawlerd.core.jsontext import without
from crawlerd.core.listing import listing as list_of
from crawlerd.source import Api, Denied, Gather, Objects, Output, Sweep, TaskArgs
from crawlerd.sources.stripe.answers import CursorGone, Gone, NoExpansion, is_id, texts
from crawlerd.sources.stripe.catalogue import BELOW, asked_for, below, expansions
from crawlerd.sources.stripe.paging import (
    PAGE,
    WANTED,
    last_id,
    not_expanded,
    once_more,
    read_page,
    records,
    single_record,
)
from crawlerd.sources.stripe.stripe_api import stripe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.sources.stripe.catalogue import Below

NOTHING = b""  # no objects below a parent


@dataclass(frozen=True)
class PageBelow(TaskArgs, kind="stripe.page_below"):
    """One page of the list below a parent.

    again: the parent was read again, since it has changed.
    look, plain: as in Page.
    """

    parent: str
    starting_after: str | None = None
    restarts: int = 0
    again: bool = False
    look: int = 0
    plain: str = ""


def _register_below(stream: str, listing: Below) -> type[PageBelow]:
    class ListPage(PageBelow, kind=f"stripe.{stream}"):
        pass

    # Most of these lists end on their first page: they empty the queue, and the lists above them fill it. So they go
    # first.
    @stripe.handles(ListPage, sequential=True, priority=5)
    def page(api: Api, args: ListPage) -> Iterator[Output]:
        path = listing.path.format(parent=quote(args.parent, safe=""))
        params: dict[str, Any] = {"limit": PAGE} if listing.paged and not listing.single else {}
        expanded = expansions(stream, (), "data.", plain=bool(args.plain))
        params |= {"expand[]": expanded}
        if listing.parameter:
            params[listing.parameter] = args.parent
        try:
            if listing.single:
                item = api.listing(path, params, at=None, wanted=WANTED).objects
                yield from single_record(stream, item, args.parent, path)
                return
            objects, cursor = read_page(api, stream, path, params, args.starting_after)
        except CursorGone:
            yield replace(args, starting_after=None, restarts=once_more(args.restarts, path))
            return
        except (NoExpansion, Denied) as error:
            if args.plain or not expanded:
                raise
            yield replace(args, plain=str(error))
            return
        except Gone:
            return  # the parent was deleted since it was listed, and with it everything below it
        if args.plain:
            yield not_expanded(stream, args.plain)
        yield from records(stream, objects, path, args.parent)
        if cursor:
            yield replace(args, starting_after=cursor)

    return ListPage


@dataclass(frozen=True)
class BelowOne(TaskArgs, kind="stripe.below_one"):
    """The list below one parent was read: what it did not have is deleted, if a second reading does not have it either.

    Only for a stream whose keys begin with the parent's id.
    """

    stream: str
    parent: str
    look: int = 0


@stripe.handles(BelowOne, stream="events", unique=True, cost=0)
def below_one(api: Api, args: BelowOne) -> Iterator[Output]:
    prefix = f"{args.parent}/"
    if args.look:
        yield Sweep(args.stream, prefix)
    else:
        yield Sweep(args.stream, prefix, otherwise=SecondBelow(args.stream, args.parent))


@dataclass(frozen=True)
class SecondBelow(TaskArgs, kind="stripe.second_below"):
    stream: str
    parent: str


@stripe.handles(SecondBelow, stream="events", unique=True, cost=0)
def second_below(api: Api, args: SecondBelow) -> Iterator[Output]:
    page = PAGES_BELOW[args.stream](args.parent, again=True, look=1)
    yield Gather([page], BelowOne(args.stream, args.parent, look=1), if_dead="skip")


def read_below(stream: str, parent: str) -> Iterator[Output]:
    """Reads the whole list below one parent that has changed, and tombstones what it does not have any more."""
    page = PAGES_BELOW[stream](parent, again=True)
    if BELOW[stream].keyed and not BELOW[stream].single:
        yield Gather([page], BelowOne(stream, parent), if_dead="skip")
    else:
        yield page


def outputs(
    stream: str,
    items: Objects,
    streams: Sequence[str],
    path: str,
    *,
    parent: str = "",
    again: bool = False,
    look: int = 0,
) -> Iterator[Output]:
    """The output for objects of a list: their records, and what is below them, for the given streams.

    parent: the object that they are below themselves.

    An object contains the first objects of some of its lists; only the other lists take requests. Fields that it has
    only because they were requested are not part of its record, which does not depend on what else is imported.
    """
    keys = items.column("id")
    if stream in streams:
        asked = asked_for(stream, streams)
        yield from records(stream, _without(items, asked) if asked else items, path, parent)
    for child in below(stream):
        if child in streams:
            for key, first in zip(keys, _firsts(items, BELOW[child]), strict=True):
                if is_id(key) and first != NOTHING:
                    yield from _below(child, key, first, f"{path} {key}", again=again, look=look)


def _firsts(items: Objects, listing: Below) -> list[bytes | None]:
    """For each parent, the first objects below it; None if they must be requested, NOTHING if there are none."""
    firsts: list[bytes | None] = [None] * len(items)
    if listing.embedded:
        absent = NOTHING if listing.carried else None
        firsts = [absent if first in (None, b"null") else first for first in items.raw(listing.embedded)]
    if listing.unless_null:
        firsts = [
            NOTHING if reason == b"null" and first is None else first
            for first, reason in zip(firsts, items.raw(listing.unless_null), strict=True)
        ]
    field, wanted = listing.only_if
    if field:
        firsts = [
            first if reason == wanted.encode() else NOTHING
            for first, reason in zip(firsts, items.raw(field), strict=True)
        ]
    return firsts


def _below(stream: str, parent: str, first: bytes | None, place: str, *, again: bool, look: int) -> Iterator[Output]:
    """The output for a list below a parent.

    first: the list of the first objects, as the parent contains it; None if it does not.
    """
    if first is None and again and not look:
        yield from read_below(stream, parent)
    elif first is None:
        yield PAGES_BELOW[stream](parent, again=again, look=look)
    else:
        objects, more = texts(list_of(first, "data", kind=stream, wanted=WANTED, also=("has_more",)))
        yield from records(stream, objects, place, parent)
        if more:
            yield PAGES_BELOW[stream](parent, starting_after=last_id(objects), again=again, look=look)


def _without(items: Objects, names: frozenset[str]) -> Objects:
    """The objects without some fields. Those that cannot be imported are unchanged."""
    kept = [text if place in items.problems else without(text, names) for place, text in enumerate(items.texts)]
    return Objects(kept, "stripe", WANTED, items.problems)


PAGES_BELOW = {stream: _register_below(stream, listing) for stream, listing in BELOW.items()}
