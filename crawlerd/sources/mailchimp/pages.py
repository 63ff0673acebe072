"""Mailchimp's pages: how a list is read on while it changes, and how its times are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crawlerd.source import Transient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.source import Api

PAGE = 1000  # objects, the most that the API gives at once

Objects = list[dict[str, Any]]


def page_of(api: Api, path: str, what: str, by: str, skip: int, since: str = "") -> tuple[Objects, int]:
    """Objects in the order of a field, each with an id, and how many there are without `skip`."""
    params = {"count": PAGE, "offset": skip, "sort_field": by, "sort_dir": "ASC", "since_last_changed": since or None}
    body = api.get(path, params | {"exclude_fields": f"{what}._links,_links"})  # most of the bytes
    found = body.get(what) if isinstance(body, dict) else None
    if not isinstance(found, list) or not all(
        isinstance(each, dict) and isinstance(each.get("id"), str) and each["id"] for each in found
    ):
        raise Transient(f"wrong body: not {what} with their ids")
    total = body.get("total_items")
    return found, total if isinstance(total, int) else 0


def is_last(page: Objects, skip: int, total: int) -> bool:
    """A server may give fewer than were asked for though there are more, and may count what a page leaves out."""
    return not page or (len(page) < PAGE and skip + len(page) >= total)


def tail_of(page: Objects) -> tuple[str, ...]:
    """What the next page will be joined to this one by; never all of it, or nothing would go on."""
    length = min(len(page) - 1, max(len(page) // 10, min(len(page) // 2, 10)))
    return tuple(map(_place, page[len(page) - length :]))


def behind(tail: Sequence[str], page: Objects) -> int | None:
    """Where the page goes on behind the tail; None when nothing of the tail is on it."""
    if not tail:
        return 0
    return next((at + 1 for at in range(len(page) - 1, -1, -1) if _place(page[at]) in tail), None)


def _place(each: dict[str, Any]) -> str:
    """What is edited moves to another place."""
    return f"{each['id']} {each.get('last_changed', '')}"


def seconds(text: object) -> float:
    """Unix seconds of a time as the API writes it; in UTC when it does not say otherwise."""
    try:
        at = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        raise Transient("wrong body: a member's last_changed is no time") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def time_text(seconds: float) -> str:
    """The API's form of Unix seconds, whole ones."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
