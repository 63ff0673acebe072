"""How lists are paged: what asks for a page, and where the next one starts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from crawlerd.core.problems import Table
from crawlerd.core.urls import joined, of_header, on_host_of
from crawlerd.source import Permanent
from crawlerd.sources.rest.expressions import Scalar, checked_path, look

if TYPE_CHECKING:
    from typing import Self

    from crawlerd.source import Response

Path = Annotated[str, AfterValidator(checked_path)]
Position = str | int | float
Host = Literal["same", "own"]
HOST: Host = Field(
    default="same",
    description="own: the account's scheme, host and port take the place of the URL's, which may be those of a server "
    "inside. same: a URL of another host is a dead letter.",
)

_LINK = re.compile(r"<([^>]*)>([^<]*)")
_REL = re.compile(r';\s*rel\s*=\s*"?([^";,]*)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a paginator adds to a request. url: takes the place of path and parameters."""

    parameters: dict[str, Scalar] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A page. at: where it started, None for the first. count: what its list holds."""

    at: Position | None
    count: int
    body: Any
    response: Response


class NoPages(Table):
    """All records come in one response."""

    type: Literal["none"]

    def ask(self, at: Position | None) -> Ask:
        return Ask()

    def after(self, answer: Answer) -> Position | None:
        return None


class CursorInBody(Table):
    """The response's body says what the next request's parameter is."""

    type: Literal["cursor_in_body"]
    cursor: Path = Field(
        examples=["meta.next_cursor"],
        description='JMESPath of the next cursor in the body, such as "meta.next_cursor" or "data[-1].id".',
    )
    parameter: str = Field(min_length=1, examples=["cursor"], description="Query parameter that takes the cursor.")
    more: Path | None = Field(
        default=None, description='JMESPath of what is false on the last page, such as "has_more".'
    )

    def ask(self, at: Position | None) -> Ask:
        return Ask() if at is None else Ask({self.parameter: at})

    def after(self, answer: Answer) -> Position | None:
        if self.more and not look(self.more, answer.body):
            return None
        cursor = look(self.cursor, answer.body)
        if self.more and cursor in (None, "", False):
            raise Permanent(f'"{self.more}" says that there is another page, but "{self.cursor}" finds no cursor')
        return _position(cursor, self.cursor)


class CursorInHeader(Table):
    """A header of the response says what the next request's parameter, or header, is."""

    type: Literal["cursor_in_header"]
    header: str = Field(min_length=1, examples=["X-Next-Cursor"], description="Response header with the next cursor.")
    parameter: str | None = Field(default=None, min_length=1, description="Query parameter that takes the cursor.")
    send_header: str | None = Field(default=None, min_length=1, description="Request header that takes it instead.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.parameter is None) == (self.send_header is None):
            raise ValueError("needs exactly one of parameter and send_header: where the cursor goes")
        return self

    def ask(self, at: Position | None) -> Ask:
        if at is None:
            return Ask()
        return Ask({self.parameter: at}) if self.parameter else Ask(headers={str(self.send_header): str(at)})

    def after(self, answer: Answer) -> Position | None:
        return answer.response.headers.get(self.header.lower()) or None


class Offset(Table):
    """A parameter counts the records that were read so far."""

    type: Literal["offset"]
    parameter: str = Field(default="offset", min_length=1, description="Query parameter of the offset.")
    size_parameter: str = Field(default="limit", min_length=1, description="Query parameter of the page's size.")
    size: int = Field(default=100, ge=1, le=100_000, description="Records asked for at once.")
    total: Path | None = Field(default=None, description="JMESPath of the number of all records in the body.")
    total_header: str | None = Field(default=None, description="Response header with that number.")
    short_page_ends: bool = Field(default=False, description="See page_number.")

    def ask(self, at: Position | None) -> Ask:
        return Ask({self.parameter: at or 0, self.size_parameter: self.size})

    def after(self, answer: Answer) -> Position | None:
        read = int(answer.at or 0) + answer.count  # and not `size`: servers cap it
        total = _number(answer, self.total, self.total_header)
        if total is not None and read < total and not answer.count:
            raise Permanent(f"the list ends after {read} records, and is said to have {total}")
        if total is not None:
            return read if read < total else None
        return read if answer.count >= (self.size if self.short_page_ends else 1) else None


class PageNumber(Table):
    """A parameter numbers the pages. Unless something tells how many there are, the last one is the first empty one."""

    type: Literal["page_number"]
    parameter: str = Field(default="page", min_length=1, description="Query parameter of the page's number.")
    first: int = Field(default=1, ge=0, le=1, description="Number of the first page.")
    size_parameter: str = Field(default="per_page", description='Query parameter of the page\'s size, "" for none.')
    size: int = Field(default=100, ge=1, le=100_000, description="Records asked for at once.")
    total_pages: Path | None = Field(default=None, description="JMESPath of the number of all pages in the body.")
    total_pages_header: str | None = Field(default=None, description="Response header with that number.")
    short_page_ends: bool = Field(
        default=False,
        description="A page with fewer records than asked for is the last one: saves a request for each list. Only "
        "where the API never gives fewer otherwise.",
    )

    def ask(self, at: Position | None) -> Ask:
        asked: dict[str, Scalar] = {self.parameter: self.first if at is None else at}
        return Ask(asked | {self.size_parameter: self.size} if self.size_parameter else asked)

    def after(self, answer: Answer) -> Position | None:
        following = (self.first if answer.at is None else int(answer.at)) + 1
        pages = _number(answer, self.total_pages, self.total_pages_header)
        if pages is not None:
            return following if following - self.first < pages else None
        return following if answer.count >= (self.size if self.short_page_ends else 1) else None


class LinkHeader(Table):
    """The `Link` header of the response (RFC 8288) has the next page's URL, of this host."""

    type: Literal["link_header"]
    rel: str = Field(default="next", min_length=1, description="Relation of the next page.")
    host: Host = HOST

    def ask(self, at: Position | None) -> Ask:
        return Ask(url=None if at is None else str(at))

    def after(self, answer: Answer) -> Position | None:
        for url, facts in _LINK.findall(answer.response.headers.get("link", "")):
            rel = _REL.search(facts)
            if rel and self.rel.lower() in rel[1].lower().split():  # RFC 8288, 2.1.1
                return _url(answer, of_header(url), self.host)
        return None


class NextUrl(Table):
    """The body has the next page's URL, of this host."""

    type: Literal["next_url"]
    url: Path = Field(examples=["links.next"], description="JMESPath of the next page's URL in the body.")
    host: Host = HOST

    def ask(self, at: Position | None) -> Ask:
        return Ask(url=None if at is None else str(at))

    def after(self, answer: Answer) -> Position | None:
        found = look(self.url, answer.body)
        if found is None or found == "" or found is False:
            return None
        if not isinstance(found, str):
            raise Permanent(f'"{self.url}" finds no URL but {type(found).__name__}')
        return _url(answer, found, self.host)


Paginator = Annotated[
    NoPages | CursorInBody | CursorInHeader | Offset | PageNumber | LinkHeader | NextUrl, Field(discriminator="type")
]


def _url(answer: Answer, found: str, host: Host) -> str:
    """In full. One of another host stays as it is, and the client refuses it, unless its host is not what counts."""
    url = joined(answer.response.url, found)
    return on_host_of(answer.response.url, url) if host == "own" else url


def _position(cursor: Any, expression: str) -> Position | None:
    if cursor is None or cursor == "" or cursor is False:
        return None
    if isinstance(cursor, bool) or not isinstance(cursor, str | int | float):
        raise Permanent(f'"{expression}" finds no cursor but {type(cursor).__name__}')
    return cursor


def _number(answer: Answer, expression: str | None, header: str | None) -> int | None:
    found = look(expression, answer.body) if expression else None
    if found is None and header:
        found = answer.response.headers.get(header.lower())
    if isinstance(found, str) and re.fullmatch("[0-9]{1,18}", found.strip()):
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
