"""Mailchimp's pages: how a list is read while it changes, and the format of its times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.source import Objects, Records, Transient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.source import Api

PAGE = 1000  # objects, the most that the API returns at once


class Page(NamedTuple):
    """Objects of a list in the order in which the API returns them.

    ids, times: of each; None and "" if it has none.
    total: how many there are, without those that the request leaves out.
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
    params["exclude_fields"] = f"{what}._links,_links"  # they are most of the bytes
    objects, also = api.listing(path, params, at=what, wanted=["id", "last_changed"], also=["total_items"])
    ids = [each if isinstance(each, str) and each else None for each in objects.column("id")]
    if ids and not any(ids):
        raise Transient(f"wrong body: not {what} with their ids")
    times = [each if isinstance(each, str) else "" for each in objects.column("last_changed")]
    total = also["total_items"]
    return Page(objects, ids, times, total if isinstance(total, int) else 0)


def is_last(page: Page, skip: int) -> bool:
    """Whether it is the last page. A server may return fewer than requested although there are more, and may count
    those that a page leaves out."""
    return not len(page) or (len(page) < PAGE and skip + len(page) >= page.total)


def tail_of(page: Page) -> tuple[str, ...]:
    """The records by which the next page will be joined to this one; never all of it, or reading would not go on."""
    length = min(len(page) - 1, max(len(page) // 10, min(len(page) // 2, 10)))
    return tuple(_place(page, at) for at in range(len(page) - length, len(page)))


def behind(tail: Sequence[str], page: Page) -> int | None:
    """Where the page continues after the tail; None if nothing of the tail is on it."""
    if not tail:
        return 0
    return next((at + 1 for at in range(len(page) - 1, -1, -1) if _place(page, at) in tail), None)


def _place(page: Page, at: int) -> str:
    """The place of an object. An edited one moves to another place."""
    return f"{page.ids[at] or ''} {page.times[at]}"


def time_of(text: str) -> float | None:
    """Unix seconds of a time in the API's format, in UTC if it has no zone. None for anything else."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def seconds(text: str) -> float:
    """The same, for a time that the API has sent before."""
    at = time_of(text)
    if at is None:
        raise Transient(f"{text!r} is not a time")
    return at


def time_text(seconds: float) -> str:
    """Unix seconds in the API's format, without fractions."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
