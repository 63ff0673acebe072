"""Filters of dead letters: in words, as the query of an address, and as the API takes them."""

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
    """The filter of a query or a form; empty fields are ignored. Raises Refused for an invalid filter."""
    wanted: dict[str, Any] = {name: value for name in FIELDS if (value := fields.get(name, "").strip())}
    if "ids" in wanted:
        wanted["ids"] = wanted["ids"].split(",")
    try:
        which = msgspec.convert(wanted, LetterFilter, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(f"this filter is not valid: {error}") from None
    dead.check(which)
    return which


def query_of(which: LetterFilter) -> dict[str, str]:
    """The query of a filter. `filter_of` makes the same filter of it."""
    said: dict[str, Any] = msgspec.to_builtins(which)
    return {name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in said.items()}


def words(which: LetterFilter) -> str:
    """A filter in words, such as " of import acme, with “HTTP 500”"; "" for all letters."""
    return which.text if which.narrow else ""
