"""The pages of Stripe's lists, and of the lists below their objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crawlerd.core.jsontext import without
from crawlerd.core.listing import listing as list_of
from crawlerd.source import Api, Gather, Note, Objects, Output, Permanent, Records, Sweep, TaskArgs, Transient
from crawlerd.sources.stripe.answers import CursorGone, Gone, NoExpansion, NoWindows, created, is_id, texts
from crawlerd.sources.stripe.catalogue import BELOW, LISTS, asked_for, below, expansions
from crawlerd.sources.stripe.stripe_api import stripe
from crawlerd.sources.stripe.windows import NEW, Line, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.sources.stripe.catalogue import Below, Listing

PAGE = 100  # objects, the most that a list gives at once
WANTED = ("id", "created")  # fields of objects that are looked at
RESTARTS = 100  # of a list at one and the same place, because the object that its cursor named was deleted


@dataclass(frozen=True)
class Page(TaskArgs, kind="stripe.page"):
    """One page of a list.

    streams: those to be imported of it: the list's own, and those below it.
    gte, lte: first and last second of its window.
    line: what is known of the list; None when it is not to be cut.
    look: 1 when the list is read a second time in the run, since something of it is missing.
    restarts: how often the list was begun again at lte, which makes it another task than the one that began there.
    filters: of the part of it that is read.
    plain: without what only an expansion gives, since the API refuses to expand it.
    """

    streams: tuple[str, ...]
    gte: int | None = None
    lte: int | None = None
    starting_after: str | None = None
    line: Line | None = NEW
    restarts: int = 0
    look: int = 0
    filters: tuple[tuple[str, str], ...] = ()
    plain: bool = False


@dataclass(frozen=True)
class PageBelow(TaskArgs, kind="stripe.page_below"):
    """One page of the list below a parent.

    again: of one that was read again since it has changed.
    look, plain: as of Page.
    """

    parent: str
    starting_after: str | None = None
    restarts: int = 0
    again: bool = False
    look: int = 0
    plain: bool = False


@dataclass(frozen=True)
class Unread(TaskArgs, kind="stripe.unread"):
    """A dead letter to be: of what has no id nobody knows whether it is gone, so that nothing may be taken for that."""

    reason: str


@stripe.handles(Unread, cost=0)
def unread(api: Api, args: Unread) -> Iterator[Output]:
    raise Permanent(args.reason)


def _register(stream: str, listing: Listing) -> type[Page]:
    """The kind of a list's pages; each list has its own, and is counted, limited and reported by its name."""

    class ListPage(Page, kind=f"stripe.{stream}"):
        pass

    @stripe.handles(ListPage, sequential=True)
    def page(api: Api, args: ListPage) -> Iterator[Output]:
        params: dict[str, Any] = {"starting_after": args.starting_after, **({"limit": PAGE} if listing.paged else {})}
        params |= {**dict(listing.filters), **dict(args.filters)}
        expanded = expansions(stream, args.streams, "data.", plain=args.plain)
        params |= {"created[gte]": args.gte, "expand[]": expanded}
        if args.starting_after is None:
            params["created[lte]"] = args.lte
        try:
            objects, more = texts(api.listing(listing.path, params, at="data", wanted=WANTED, also=["has_more"]))
        except CursorGone:
            yield replace(args, starting_after=None, restarts=once_more(args.restarts, listing.path))
            return
        except NoExpansion as error:
            if args.plain:
                raise
            yield not_expanded(stream, error)
            yield replace(args, plain=True)
            return
        except Gone:
            if not args.filters:
                raise
            return  # what it was to belong to was deleted
        except NoWindows:
            if args.gte is None and args.lte is None:
                raise
            if not _is_cut_off(args):
                yield replace(args, gte=None, lte=None, line=None)
            return
        yield from outputs(stream, objects, args.streams, listing.path, again=bool(args.filters), look=args.look)
        cursor = _cursor(objects, more, args.starting_after, listing.path)
        if cursor:
            yield from _onward(listing, args, objects, cursor)

    return ListPage


def _register_single(stream: str, listing: Listing) -> type[Page]:
    """The kind that reads the only object there is: its key is its id, or else the stream's name."""

    class Single(Page, kind=f"stripe.{stream}.single"):
        pass

    @stripe.handles(Single, stream=stream, unique=True)
    def single(api: Api, args: Single) -> Iterator[Output]:
        yield from _single(stream, api.listing(listing.path, at=None, wanted=WANTED).objects, stream, listing.path)

    return Single


def _single(stream: str, item: Objects, key: str, path: str) -> Iterator[Output]:
    if "object" not in item.fields():
        raise Transient("wrong body: not an object")
    (own,) = item.column("id")
    yield Records(stream, [own if is_id(own) else key], item, path)


def _onward(listing: Listing, args: Page, objects: Objects, cursor: str) -> Iterator[Output]:
    """What comes behind a full page: the next one, and, where much is left, a window beside it."""
    seconds = objects.column("created")
    newest, oldest = created(seconds[0]), created(seconds[-1])
    if not listing.created or args.line is None or newest is None or oldest is None:
        yield replace(args, starting_after=cursor)
        return
    gap = None
    if _is_cut_off(args) and args.lte is not None:
        gap = args.lte - newest
        if gap < 0:
            return  # `created` is not heeded
    following = replace(args, lte=oldest, starting_after=cursor, restarts=args.restarts if oldest == args.lte else 0)
    if newest < oldest:
        yield following
        return
    above = newest if gap is not None or args.lte is None else args.lte
    at, line = cut(args.line, low=args.gte, gap=gap, span=above - oldest, oldest=oldest)
    yield replace(following, gte=at[0] if at else args.gte, line=line)
    for top, low in zip(at, (*at[1:], args.gte), strict=True) if at else ():
        yield replace(following, gte=low, lte=top - 1, starting_after=None, line=line, restarts=0)


def _is_cut_off(args: Page) -> bool:
    """Whether it is the first of a window. Where `created` is refused or not heeded, there is nothing to be done for
    such: the page that it was cut from reads on to the end of the list."""
    return args.starting_after is None and args.lte is not None and not args.restarts


def _register_below(stream: str, listing: Below) -> type[PageBelow]:
    class ListPage(PageBelow, kind=f"stripe.{stream}"):
        pass

    # Most of these lists end on their first page: they drain the queue, and those above them, which fill it, go first.
    @stripe.handles(ListPage, sequential=True, priority=5)
    def page(api: Api, args: ListPage) -> Iterator[Output]:
        path = listing.path.format(parent=quote(args.parent, safe=""))
        params: dict[str, Any] = {"limit": PAGE} if listing.paged and not listing.single else {}
        expanded = expansions(stream, (), "data.", plain=args.plain)
        params |= {"starting_after": args.starting_after, "expand[]": expanded}
        if listing.parameter:
            params[listing.parameter] = args.parent
        try:
            if listing.single:
                item = api.listing(path, params, at=None, wanted=WANTED).objects
                yield from _single(stream, item, args.parent, path)
                return
            objects, more = texts(api.listing(path, params, at="data", wanted=WANTED, also=["has_more"]))
        except CursorGone:
            yield replace(args, starting_after=None, restarts=once_more(args.restarts, path))
            return
        except NoExpansion as error:
            if args.plain:
                raise
            yield not_expanded(stream, error)
            yield replace(args, plain=True)
            return
        except Gone:
            return  # the parent was deleted since it was listed, and all below it with it
        yield from _records(stream, objects, path, args.parent)
        if cursor := _cursor(objects, more, args.starting_after, path):
            yield replace(args, starting_after=cursor)

    return ListPage


@dataclass(frozen=True)
class BelowOne(TaskArgs, kind="stripe.below_one"):
    """The list below one parent was read: what it did not have is gone, when a second reading does not have it either.

    Only of a stream whose keys begin with the parent's id.
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
    """The whole list below one parent that has changed, and an end of what it does not have any more."""
    page = PAGES_BELOW[stream](parent, again=True)
    if BELOW[stream].keyed and not BELOW[stream].single:
        yield Gather([page], BelowOne(stream, parent), if_dead="skip")
    else:
        yield page


def not_expanded(stream: str, error: NoExpansion) -> Note:
    return Note(stream, f"its records lack what only `expand` gives, since the API refused that: {error}")


def outputs(
    stream: str, items: Objects, streams: Sequence[str], path: str, *, again: bool = False, look: int = 0
) -> Iterator[Output]:
    """What objects of a list give: their records, and what lies below them, as far as it is among `streams`.

    An object carries the first objects of some of its lists; only the others take requests. What it carries because we
    asked for it is not part of its record, which does not depend on what else is imported.
    """
    keys = items.column("id")
    if stream in streams:
        asked = asked_for(stream, streams)
        yield from _records(stream, _without(items, asked) if asked else items, path)
    for child in below(stream):
        if child in streams:
            for key, first in zip(keys, _firsts(items, BELOW[child]), strict=True):
                if is_id(key) and first != NOTHING:
                    yield from _below(child, key, first, f"{path} {key}", again=again, look=look)


NOTHING = b""  # below a parent


def _firsts(items: Objects, listing: Below) -> list[bytes | None]:
    """Of each parent the first objects below it; None where they are to be asked for, NOTHING where there are none."""
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
    """first: the list of the first objects, as the parent carries it, None where it does not."""
    if first is None and again and not look:
        yield from read_below(stream, parent)
    elif first is None:
        yield PAGES_BELOW[stream](parent, again=again, look=look)
    else:
        objects, more = texts(list_of(first, "data", kind=stream, wanted=WANTED, also=("has_more",)))
        yield from _records(stream, objects, place, parent)
        if more:
            yield PAGES_BELOW[stream](parent, starting_after=_last(objects), again=again, look=look)


def _records(stream: str, objects: Objects, place: str, parent: str = "") -> Iterator[Output]:
    keys: list[Any] = objects.column("id")
    if objects:
        keyed = stream in BELOW and BELOW[stream].keyed
        yield Records(
            stream, [f"{parent}/{key}" if is_id(key) else key for key in keys] if keyed else keys, objects, place
        )
    if not all(map(is_id, keys)):
        yield Unread(f"{place} has objects without id: see what is skipped")


def _without(items: Objects, names: frozenset[str]) -> Objects:
    """Those that cannot be imported stay as they are."""
    kept = [text if place in items.problems else without(text, names) for place, text in enumerate(items.texts)]
    return Objects(kept, "stripe", WANTED, items.problems)


def _last(objects: Objects) -> str | None:
    """The last id of a list."""
    return next((key for key in reversed(objects.column("id")) if is_id(key)), None)


def _cursor(objects: Objects, more: bool, after: str | None, path: str) -> str | None:
    """Where the next page starts; None after the last.

    Permanent when following the cursor would not end. A longer circle meets a task that was already there, since the
    kinds are sequential.
    """
    if not more:
        return None
    cursor = _last(objects)
    if cursor is None:
        raise Permanent(f"{path} says has_more on an empty page")
    if cursor == after:
        raise Permanent(f"{path} repeated the cursor {cursor}")
    return cursor


def once_more(restarts: int, path: str) -> int:
    """The number of a list's next restart; Permanent when there were too many at one place."""
    if restarts >= RESTARTS:
        raise Permanent(f"{path}: the object that the cursor named was deleted {restarts + 1} times in a row")
    return restarts + 1


PAGES = {
    stream: (_register_single if listing.single else _register)(stream, listing) for stream, listing in LISTS.items()
}
PAGES_BELOW = {stream: _register_below(stream, listing) for stream, listing in BELOW.items()}
