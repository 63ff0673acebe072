"""URLs of next pages that contain a count of pages or of records before them. Such a position moves with the list, even
if the API itself names it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import msgspec

from crawlerd.sources.rest.paginators import Offset, PageNumber

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORDS = re.compile("offset|start|skip|from|index|position", re.IGNORECASE)
PAGES = re.compile("page|^p[gn]?$", re.IGNORECASE)
LEAST = 2  # records of a page; with only one, pages and records cannot be distinguished


class Counting(msgspec.Struct, frozen=True, array_like=True):
    """How URLs count: the parameter with the count, its first number, and the parameter with the page's size, and that
    size."""

    counts: Literal["records", "pages"]
    parameter: str
    first: int
    size_parameter: str = ""
    size: int = 0

    def paginator(self) -> Offset | PageNumber:
        """The paginator that counts in the same way."""
        if self.counts == "records":
            return Offset(type="offset", parameter=self.parameter, first=self.first)
        return PageNumber(
            type="page_number",
            parameter=self.parameter,
            first=self.first,
            size_parameter=self.size_parameter,
            size=self.size,
        )

    def number(self, url: str) -> int:
        """The number of the page with this URL."""
        return int(_query(url)[self.parameter])

    def agrees(self, number: int | None, count: int, url: str) -> bool:
        """Whether the URL that the API gives for the next page has the count that follows a page with this number."""
        try:
            following = self.number(url)
        except (KeyError, ValueError):
            return False
        number = self.first if number is None else number
        return following == number + (1 if self.counts == "pages" else count)

    def url(self, url: str, number: int, size: int) -> str:
        """The URL of another page, with this number and size; everything else in it is unchanged."""
        values = {self.parameter: number}
        if self.size_parameter:
            values[self.size_parameter] = size or self.size
        head, question, rest = url.partition("?")
        query, fragment, tail = rest.partition("#")
        pairs = [
            f"{raw.partition('=')[0]}={values[name]}"
            if (name := unquote_plus(raw.partition("=")[0])) in values
            else raw
            for raw in query.split("&")
        ]
        return f"{head}{question}{'&'.join(pairs)}{fragment}{tail}"


def counting(asked: Mapping[str, object], url: str, count: int) -> Counting | None:
    """How the URL of a second page counts; None if it does not, or the way is unknown.

    asked: the parameters of the first page.
    count: the number of records on it.
    """
    if count < LEAST:
        return None
    query = _query(url)
    before = {name: str(value) for name, value in asked.items() if not isinstance(value, list)}
    changed = [name for name, value in query.items() if before.get(name) != value and _is_number(value)]
    for name in changed:
        first, number = before.get(name, ""), int(query[name])
        if RECORDS.search(name) and number - count in (0, 1) and first in ("", str(number - count)):
            return Counting("records", name, number - count)
        sizes = [each for each, value in query.items() if each != name and value == str(count)]
        if PAGES.search(name) and len(sizes) == 1 and number - 1 in (0, 1) and first in ("", str(number - 1)):
            return Counting("pages", name, number - 1, sizes[0], count)
    return None


def _query(url: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    except ValueError:
        return {}


def _is_number(value: str) -> bool:
    return re.fullmatch("[0-9]{1,15}", value) is not None
