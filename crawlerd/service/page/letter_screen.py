"""One dead letter: its attempts, and the arguments of its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.operations.problem import Unknown
from crawlerd.service.page.asked import Shown
from crawlerd.service.parameters import is_number
from crawlerd.service.resources import without_payloads

if TYPE_CHECKING:
    from crawlerd.frontier.reports import DeadLetter
    from crawlerd.service.page.asked import Asked


def letter(asked: Asked) -> Shown:
    wanted = asked.words["number"]
    found = asked.reader.dead_letter(int(wanted)) if asked.reader and is_number(wanted) else None
    if found is None:
        raise Unknown(f"there is no dead letter {wanted[:40]}: it was retried or dropped, or never existed")
    if not asked.may_see_payloads:
        found = without_payloads(found)
    return context_of(found, may_see_payload=asked.may_see_payloads)


def context_of(found: DeadLetter, *, may_see_payload: bool) -> Shown:
    return Shown(
        "letter",
        f"Dead letter {found.id} of {found.import_name}",
        {
            "letter": found,
            "payload": readable(found.payload) if may_see_payload else None,
            "same": {"ids": str(found.id)},
        },
        json=f"/dead/{found.id}",
    )


def readable(payload: str) -> str:
    """JSON on several lines; other text unchanged."""
    try:
        return msgspec.json.format(payload.encode(), indent=2).decode()
    except msgspec.DecodeError:
        return payload
