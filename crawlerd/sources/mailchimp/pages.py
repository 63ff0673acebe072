"""Mailchimp's pages: how a list is read on while it changes, and how its times are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.source import Objects, Records, Transient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.source import Api

PAGE = 1000  # objects, the most that the API gives at once


class Page(NamedTuple):
    """Objects of a list in the order in which the API gives them.

    ids, times: of each, None and "" where it has none.
    total: how many there are without those that were asked to be left out.
    """

    objects: Objects
    ids: list[str | None]
    times: list[str]
    total: int

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, places: Sequence[int]) -> Page:
        ids, times = [self.ids[each] for each in places], [self.times[each] for each in places]
        return Page(self.objects.select(places), ids, times, self.total)

    def records(self, stream: str, prefix: str, place: str) -> Records:
        return Records(stream, [each and prefix + each for each in self.ids], self.objects, place)


def page_of(api: Api, path: str, what: str, by: str, skip: int, since: str = "") -> Page:
    """Objects in the order of a field."""
    params = {"count": PAGE, "offset": skip, "sort_field": by, "sort_dir": "ASC", "since_last_changed": since or None}
    params["exclude_fields"] = f"{what}._links,_links"  # most of the bytes
    objects, also = api.listing(path, params, at=what, wanted=["id", "last_changed"], also=["total_items"])
    ids = [each if isinstance(each, str) and each else None for each in objects.column("id")]
    if ids and not any(ids):
        raise Transient(f"wrong body: not {what} with their ids")
    times = [each if isinstance(each, str) else "" for each in objects.column("last_changed")]
    total = also["total_items"]
    return Page(objects, ids, times, total if isinstance(total, int) else 0)


def is_last(page: Page, skip: int) -> bool:
    """A server may give fewer than were asked for though there are more, and may count what a page leaves out."""
    return not len(page) or (len(page) < PAGE and skip + len(page) >= page.total)


def tail_of(page: Page) -> tuple[str, ...]:
    """What the next page will be joined to this one by; never all of it, or nothing would go on."""
    length = min(len(page) - 1, max(len(page) // 10, min(len(page) // 2, 10)))
    return tuple(_place(page, at) for at in range(len(page) - length, len(page)))


def behind(tail: Sequence[str], page: Page) -> int | None:
    """Where the page goes on behind the tail; None when nothing of the tail is on it."""
    if not tail:
        return 0
    return next((at + 1 for at in range(len(page) - 1, -1, -1) if _place(page, at) in tail), None)


def _place(page: Page, at: int) -> str:
    """What is edited moves to another place."""
    return f"{page.ids[at] or ''} {page.times[at]}"


def time_of(text: str) -> float | None:
    """Unix seconds of a time as the API writes it; in UTC when it does not say otherwise. None for what is no time."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def seconds(text: str) -> float:
    """The same, of a time that the API has written so before."""
    at = time_of(text)
    if at is None:
        raise Transient(f"{text!r} is no time")
    return at


def time_text(seconds: float) -> str:
    """The API's form of Unix seconds, whole ones."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
