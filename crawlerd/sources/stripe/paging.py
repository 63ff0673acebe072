"""A page of a list: what follows it, and the records in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from crawlerd.source import Api, Note, Objects, Output, Permanent, Records, TaskArgs, Transient
from crawlerd.sources.stripe.answers import is_id, texts
from crawlerd.sources.stripe.catalogue import BELOW, v2_of
from crawlerd.sources.stripe.stripe_api import stripe

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 100  # objects, the most that a list returns at once
WANTED = ("id", "created")  # fields of objects that are read
RESTARTS = 100  # of a list at the same place, because the object of its cursor was deleted


@dataclass(frozen=True)
class Unread(TaskArgs, kind="stripe.unread"):
    """Becomes a dead letter: for an object without an id, nobody knows whether it was deleted, so nothing may be taken
    for deleted."""

    reason: str


@stripe.handles(Unread, cost=0)
def unread(api: Api, args: Unread) -> Iterator[Output]:
    raise Permanent(args.reason)


def read_page(
    api: Api, stream: str, path: str, params: dict[str, Any], after: str | None
) -> tuple[Objects, str | None]:
    """The objects of a page, and where the next one starts; None after the last.

    after: where this one starts: after the object with this id, or, in the second API, a token.
    """
    if not v2_of(stream):
        params = {**params, "starting_after": after}
        objects, more = texts(api.listing(path, params, at="data", wanted=WANTED, also=["has_more"]))
        return objects, cursor_after(objects, more, after, path)
    found = api.listing(path, {**params, "page": after}, at="data", wanted=WANTED, also=["next_page_url"])
    url = found.also["next_page_url"]
    if url is None:
        return found.objects, None
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    token = dict(parse_qsl(parts.query)).get("page")
    if not token or parts.path != path:
        raise Permanent(f"{path}: its next_page_url is not a page of it: {url!r}")
    if token == after:
        raise Permanent(f"{path} repeated the page {token}")
    return found.objects, token


def not_expanded(stream: str, said: str) -> Note:
    """said: the API's message."""
    return Note(stream, f"its records lack fields that only `expand` gives, since the API refused that: {said}")


def single_record(stream: str, item: Objects, key: str, path: str) -> Iterator[Output]:
    if "object" not in item.fields():
        raise Transient("wrong body: not an object")
    (own,) = item.column("id")
    yield Records(stream, [own if is_id(own) else key], item, path)


def records(stream: str, objects: Objects, place: str, parent: str = "") -> Iterator[Output]:
    keys: list[Any] = objects.column("id")
    if objects:
        listing = BELOW.get(stream)
        if listing and listing.keyed:
            own = [f"{parent}/{key}" if is_id(key) else key for key in keys]
            yield Records(stream, own, objects, place)
        else:
            yield Records(stream, keys, objects, place, parent if listing and listing.orphaned else "")
    if not all(map(is_id, keys)):
        yield Unread(f"{place} has objects without id: see the skipped ones")


def last_id(objects: Objects) -> str | None:
    """The last id of a list."""
    return next((key for key in reversed(objects.column("id")) if is_id(key)), None)


def cursor_after(objects: Objects, more: bool, after: str | None, path: str) -> str | None:
    """Where the next page starts; None after the last.

    Raises Permanent if following the cursor would not end. A longer circle ends at a task that already exists, since
    the kinds are sequential.
    """
    if not more:
        return None
    cursor = last_id(objects)
    if cursor is None:
        raise Permanent(f"{path} says has_more on an empty page")
    if cursor == after:
        raise Permanent(f"{path} repeated the cursor {cursor}")
    return cursor


def once_more(restarts: int, path: str) -> int:
    """The number of a list's next restart. Raises Permanent if there were too many at one place."""
    if restarts >= RESTARTS:
        raise Permanent(f"{path}: the object that the cursor named was deleted {restarts + 1} times in a row")
    return restarts + 1
