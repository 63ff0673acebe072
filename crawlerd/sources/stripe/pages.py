"""The pages of Stripe's lists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crawlerd.source import Api, Denied, Objects, Output, TaskArgs
from crawlerd.sources.stripe.again import AGAIN
from crawlerd.sources.stripe.answers import CursorGone, Gone, NoExpansion, NoWindows, created, is_id
from crawlerd.sources.stripe.below import outputs
from crawlerd.sources.stripe.catalogue import LISTS, expansions
from crawlerd.sources.stripe.paging import PAGE, WANTED, not_expanded, once_more, read_page, single_record
from crawlerd.sources.stripe.stripe_api import stripe
from crawlerd.sources.stripe.windows import NEW, Line, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.sources.stripe.catalogue import Listing


@dataclass(frozen=True)
class Page(TaskArgs, kind="stripe.page"):
    """One page of a list.

    streams: those to import of it: the list's own, and those below it.
    gte, lte: first and last second of its window.
    line: what is known about the list; None if it is not to be divided.
    look: 1 if the list is read a second time in the run, since objects were missing.
    restarts: how often reading has started again at lte, which makes it another task than the one that started there.
    filters: of the part of it that is read.
    plain: why it is read without fields that only an expansion gives: the API's message when it refused that; "" if
        they are requested.
    bare: it is read without the lists below its objects too, since the API has refused these.
    """

    streams: tuple[str, ...]
    gte: int | None = None
    lte: int | None = None
    starting_after: str | None = None
    line: Line | None = NEW
    restarts: int = 0
    look: int = 0
    filters: tuple[tuple[str, str], ...] = ()
    plain: str = ""
    bare: bool = False


def _register(stream: str, listing: Listing) -> type[Page]:
    """The kind of a list's pages. Each list has its own, under whose name it is counted, limited and reported."""

    class ListPage(Page, kind=f"stripe.{stream}"):
        pass

    @stripe.handles(ListPage, sequential=True)
    def page(api: Api, args: ListPage) -> Iterator[Output]:
        params: dict[str, Any] = {"limit": PAGE} if listing.paged else {}
        params |= {**dict(listing.filters), **dict(args.filters)}
        expanded = expansions(stream, args.streams, "data.", plain=bool(args.plain), bare=args.bare)
        params |= {"created[gte]": args.gte, "expand[]": expanded}
        if args.starting_after is None:
            params["created[lte]"] = args.lte
        try:
            objects, cursor = read_page(api, stream, listing.path, params, args.starting_after)
        except CursorGone:
            yield replace(args, starting_after=None, restarts=once_more(args.restarts, listing.path))
            return
        except (NoExpansion, Denied) as error:
            if not expanded:
                raise
            yield replace(args, plain=str(error), bare=bool(args.plain))
            return
        except Gone:
            if not args.filters:
                raise
            return  # the object it belongs to was deleted
        except NoWindows:
            if args.gte is None and args.lte is None:
                raise
            if not _is_cut_off(args):
                yield replace(args, gte=None, lte=None, line=None)
            return
        if args.plain:
            yield not_expanded(stream, args.plain)
        if listing.details:
            yield from (AGAIN[stream](args.streams, key, look=args.look) for key in objects.column("id") if is_id(key))
        else:
            yield from outputs(stream, objects, args.streams, listing.path, again=bool(args.filters), look=args.look)
        if cursor:
            yield from _onward(listing, args, objects, cursor)

    return ListPage


def _register_single(stream: str, listing: Listing) -> type[Page]:
    """The kind that reads the only object there is. Its key is its id, otherwise the stream's name."""

    class Single(Page, kind=f"stripe.{stream}.single"):
        pass

    @stripe.handles(Single, stream=stream, unique=True)
    def single(api: Api, args: Single) -> Iterator[Output]:
        item = api.listing(listing.path, at=None, wanted=WANTED).objects
        yield from single_record(stream, item, stream, listing.path)

    return Single


def _onward(listing: Listing, args: Page, objects: Objects, cursor: str) -> Iterator[Output]:
    """What follows a full page: the next one, and, if much is left, windows in parallel."""
    seconds = objects.column("created") or [None]  # a page of the second API may be empty without being the last
    newest, oldest = created(seconds[0]), created(seconds[-1])
    if not listing.created or args.line is None or newest is None or oldest is None:
        yield replace(args, starting_after=cursor)
        return
    gap = None
    if _is_cut_off(args) and args.lte is not None:
        gap = args.lte - newest
        if gap < 0:
            return  # `created` is ignored
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
    """Whether it is the first page of a window. If `created` is refused or ignored, such a page does nothing: the page
    from which it was divided reads on to the end of the list."""
    return args.starting_after is None and args.lte is not None and not args.restarts


PAGES = {
    stream: (_register_single if listing.single else _register)(stream, listing) for stream, listing in LISTS.items()
}
