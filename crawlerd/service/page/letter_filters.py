"""Which dead letters an address means, and back: in words, as a query, and as the API takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.operations import dead
from crawlerd.operations.problem import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = ("import", "account", "kind", "stream", "group", "error", "since", "until", "run", "ids")
LABELS = {"ids": "numbered", "run": "of run", "import": "of import", "account": "of account", "kind": "of kind"}
LABELS |= {"stream": "of stream", "group": "of group", "error": "with", "since": "since", "until": "until"}


def filter_of(fields: Mapping[str, str]) -> LetterFilter:
    """Of a query or a form; what is empty says nothing. Refused for what makes no sense."""
    wanted: dict[str, Any] = {name: value for name in FIELDS if (value := fields.get(name, "").strip())}
    if "ids" in wanted:
        wanted["ids"] = wanted["ids"].split(",")
    try:
        which = msgspec.convert(wanted, LetterFilter, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(f"this filter makes no sense: {error}") from None
    dead.check(which)
    return which


def query_of(which: LetterFilter) -> dict[str, str]:
    """Of a filter; the same again by `filter_of`."""
    said: dict[str, Any] = msgspec.to_builtins(which)
    return {name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in said.items()}


def words(which: LetterFilter) -> str:
    """Such as " of import acme, with “HTTP 500”"; "" for all."""
    return which.text if which.narrow else ""
