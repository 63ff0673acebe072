"""The forms about dead letters and operations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.operations.problem import Refused
from crawlerd.service.page.letter_filters import filter_of
from crawlerd.service.page.page_forms import Form
from crawlerd.service.parameters import is_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.frontier.reports import LetterAct


def _letters(fields: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "filter": msgspec.to_builtins(filter_of(fields)),
        "reason": fields.get("reason", "").strip(),
    }
    for name in ("expect", "through"):
        if (text := fields.get(name)) is None:
            continue
        if not is_number(text):
            raise Refused(f"{name}: {text[:80]!r} is not a whole number")
        body[name] = int(text)
    return body


def _begun(act: LetterAct, words: Mapping[str, str], answer: Any) -> str:
    doing = {"retry": "retries", "drop": "drops"}[act]
    total = answer["total"]
    what = f"{total:,} dead letter{'s' * (total != 1)}"
    return f"Operation {answer['id']} {doing} {what}; it continues when you leave this page."


FORMS = (
    Form("/dead/retry", "dead", "POST", "/dead/retry", _letters, partial(_begun, "retry")),
    Form("/dead/drop", "dead", "POST", "/dead/drop", _letters, partial(_begun, "drop")),
    Form(
        "/operations/{number}/cancel",
        "operations",
        "POST",
        "/operations/{number}/cancel",
        lambda fields: {},
        lambda words, answer: (
            f"Operation {answer['id']} is cancelled: {answer['done']:,} of {answer['total']:,} letters were done."
        ),
    ),
)
