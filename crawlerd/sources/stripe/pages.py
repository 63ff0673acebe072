"""The pages of Stripe's lists, and of the lists below their objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from crawlerd.core.jsontext import without
from crawlerd.core.listing import listing as list_of
from crawlerd.source import Api, Identity, Limits, Objects, Output, Permanent, Records, Source, TaskArgs
from crawlerd.sources.stripe.answers import CursorGone, Gone, NoWindows, classify, created, id_of, is_id, texts
from crawlerd.sources.stripe.catalogue import BELOW, LISTS, STREAMS, Below, Listing, below
from crawlerd.sources.stripe.windows import NEW, Line, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION = "2025-09-30.clover"  # objects keep this shape, whatever the account's own default is
PAGE = 100  # objects, the most that a list gives at once
WANTED = ("id", "created")  # fields of objects that are looked at
RESTARTS = 100  # of a list at one and the same place, because the object that its cursor named was deleted


class Connect(msgspec.Struct, frozen=True):
    """connected_accounts: those that are connected to the account are read as well."""

    connected_accounts: bool = False


stripe = Source(
    "stripe",
    base_url="https://api.stripe.com",
    streams=STREAMS,
    limits=Limits("100/second", bucket="25/second", by_bucket={"files": "20/second"}),
    auth=lambda key: {"Authorization": f"Bearer {key}"},
    mode=lambda key: "live" if key.startswith(("sk_live_", "rk_live_")) else "test",
    headers={"Stripe-Version": VERSION},
    classify=classify,
    options=Connect,
    import_options=Connect,
    part_header="Stripe-Account",
)


@dataclass(frozen=True)
class Account(TaskArgs, kind="stripe.account"):
    """Whose key it is."""


@stripe.guards(Account())
def account(api: Api, args: Account) -> Iterator[Output]:
    """An account's test and live modes share no object, so they are two identities."""
    yield Identity(f"{id_of(api.get('/v1/account'))}:{api.mode}")


@dataclass(frozen=True)
class Page(TaskArgs, kind="stripe.page"):
    """One page of a list.

    streams: those to be imported of it: the list's own, and those below it.
    gte, lte: first and last second of its window.
    line: what is known of the list; None when it is not to be cut.
    look: 1 when the list is read a second time in the run, since something of it is missing.
    restarts: how often the list was begun again at lte, which makes it another task than the one that began there.
    """

    streams: tuple[str, ...]
    gte: int | None = None
    lte: int | None = None
    starting_after: str | None = None
    line: Line | None = NEW
    restarts: int = 0
    look: int = 0


@dataclass(frozen=True)
class PageBelow(TaskArgs, kind="stripe.page_below"):
    """One page of the list below a parent.

    again: of one that was read again since it has changed.
    look: as of Page.
    """

    parent: str
    starting_after: str | None = None
    restarts: int = 0
    again: bool = False
    look: int = 0


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
        params: dict[str, Any] = {"limit": PAGE, "starting_after": args.starting_after, **dict(listing.filters)}
        params |= {"created[gte]": args.gte, "expand[]": expansions(stream, args.streams, "data.")}
        if args.starting_after is None:
            params["created[lte]"] = args.lte
        try:
            objects, more = texts(api.listing(listing.path, params, at="data", wanted=WANTED, also=["has_more"]))
        except CursorGone:
            yield replace(args, starting_after=None, restarts=once_more(args.restarts, listing.path))
            return
        except NoWindows:
            if args.gte is None and args.lte is None:
                raise
            if not _is_cut_off(args):
                yield replace(args, gte=None, lte=None, line=None)
            return
        yield from outputs(stream, objects, args.streams, listing.path, look=args.look)
        cursor = _cursor(objects, more, args.starting_after, listing.path)
        if cursor:
            yield from _onward(listing, args, objects, cursor)

    return ListPage


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
        params: dict[str, Any] = {"limit": PAGE, "starting_after": args.starting_after}
        if listing.parameter:
            params[listing.parameter] = args.parent
        try:
            objects, more = texts(api.listing(path, params, at="data", wanted=WANTED, also=["has_more"]))
        except CursorGone:
            yield replace(args, starting_after=None, restarts=once_more(args.restarts, path))
            return
        except Gone:
            return  # the parent was deleted since it was listed, and all below it with it
        yield from _records(stream, objects, path)
        if cursor := _cursor(objects, more, args.starting_after, path):
            yield replace(args, starting_after=cursor)

    return ListPage


def outputs(
    stream: str, items: Objects, streams: Sequence[str], path: str, *, again: bool = False, look: int = 0
) -> Iterator[Output]:
    """What objects of a list give: their records, and what lies below them, as far as it is among `streams`.

    An object carries the first objects of some of its lists; only the others take requests. What it carries because we
    asked for it is not part of its record, which does not depend on what else is imported.
    """
    keys = items.column("id")
    if stream in streams:
        asked = frozenset(expansions(stream, streams))
        yield from _records(stream, _without(items, asked) if asked else items, path)
    for child in below(stream):
        if child not in streams:
            continue
        listing = BELOW[child]
        firsts = items.raw(listing.embedded) if listing.embedded else [None] * len(keys)
        reasons = items.raw(listing.unless_null) if listing.unless_null else [None] * len(keys)
        for key, first, reason in zip(keys, firsts, reasons, strict=True):
            if not is_id(key):
                continue
            if first not in (None, b"null"):
                objects, more = texts(list_of(first or b"", "data", kind=child, wanted=WANTED, also=("has_more",)))
                yield from _records(child, objects, f"{path} {key}")
                if more:
                    yield PAGES_BELOW[child](key, starting_after=_last(objects), again=again, look=look)
            elif reason != b"null":
                yield PAGES_BELOW[child](key, again=again, look=look)


def _records(stream: str, objects: Objects, place: str) -> Iterator[Output]:
    keys = objects.column("id")
    if objects:
        yield Records(stream, keys, objects, place)
    if not all(map(is_id, keys)):
        yield Unread(f"{place} has objects without id: see what is skipped")


def _without(items: Objects, names: frozenset[str]) -> Objects:
    """Those that cannot be imported stay as they are."""
    kept = [text if place in items.problems else without(text, names) for place, text in enumerate(items.texts)]
    return Objects(kept, "stripe", WANTED, items.problems)


def expansions(stream: str, streams: Sequence[str], prefix: str = "") -> list[str]:
    """The fields to be asked for, so that fewer lists below take a request."""
    return [prefix + BELOW[child].embedded for child in below(stream) if child in streams and BELOW[child].expand]


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


PAGES = {stream: _register(stream, listing) for stream, listing in LISTS.items()}
PAGES_BELOW = {stream: _register_below(stream, listing) for stream, listing in BELOW.items()}
