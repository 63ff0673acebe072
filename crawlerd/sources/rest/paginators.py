"""How lists are paged: the request for a page, and what its answer says about the next one. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from crawlerd.config.problems import Table
from crawlerd.core.urls import joined, of_header, on_host_of
from crawlerd.source import Permanent
from crawlerd.sources.rest.expressions import Scalar, checked_path, look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from crawlerd.source import Response

Path = Annotated[str, AfterValidator(checked_path)]
Position = str | int | float
Host = Literal["same", "own"]
HOST: Host = Field(
    default="same",
    description="own: the URL's scheme, host and port are replaced by the account's; for URLs that name an "
    "internal server. same: a URL of another host is a dead letter.",
)

TWICE: bool = Field(
    default=True,
    description="If pages cannot overlap, each but the last is read again after the next one, since a deletion in "
    "between would hide a record. Set it to false if nothing is ever deleted from the list or moved "
    "in it.",
)
LONGEST_TOKEN = 65_536  # characters

# RFC 8288, 3. Apostrophes, which it does not mention, are accepted as quotation marks around a value.
_PARAMETER = re.compile(r"""\s*+;\s*+([^\s=;,"<>]++)(?:\s*+=\s*+("(?:[^"\\]|\\.)*+"?|'[^']*+'|[^\s;,"]*+))?""")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a paginator adds to a request.

    url: replaces path and parameters.
    """

    parameters: dict[str, Scalar] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A page.

    at: its position, None for the first.
    count: the number of records in its list, before any filter.
    """

    at: Position | None
    count: int
    body: Any
    response: Response


class NoPages(Table):
    """All records come in one response."""

    type: Literal["none"]

    def ask(self, at: Position | None, size: int = 0) -> Ask:
        return Ask()

    def after(self, answer: Answer) -> Position | None:
        return None


class CursorInBody(Table):
    """The response's body contains the parameter of the next request."""

    type: Literal["cursor_in_body"]
    cursor: Path = Field(
        examples=["meta.next_cursor"],
        description='JMESPath of the next cursor in the body, such as "meta.next_cursor" or "data[-1].id".',
    )
    parameter: str = Field(min_length=1, examples=["cursor"], description="Query parameter for the cursor.")
    more: Path | None = Field(
        default=None, description='JMESPath of a value that is false on the last page, such as "has_more".'
    )

    def ask(self, at: Position | None, size: int = 0) -> Ask:
        return Ask() if at is None else Ask({self.parameter: at})

    def after(self, answer: Answer) -> Position | None:
        if self.more and not look(self.more, answer.body):
            return None
        cursor = look(self.cursor, answer.body)
        if self.more and cursor in (None, "", False):
            raise Permanent(f'"{self.more}" says that there is another page, but there is no cursor at "{self.cursor}"')
        return _position(cursor, self.cursor)


class CursorInHeader(Table):
    """A header of the response contains the parameter, or the header, of the next request."""

    type: Literal["cursor_in_header"]
    header: str = Field(
        min_length=1, examples=["X-Next-Cursor"], description="Response header that has the next cursor."
    )
    parameter: str | None = Field(default=None, min_length=1, description="Query parameter for the cursor.")
    send_header: str | None = Field(
        default=None, min_length=1, description="Request header for the cursor, in place of a parameter."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.parameter is None) == (self.send_header is None):
            raise ValueError("needs exactly one of parameter and send_header: where the cursor goes")
        return self

    def ask(self, at: Position | None, size: int = 0) -> Ask:
        if at is None:
            return Ask()
        return Ask({self.parameter: at}) if self.parameter else Ask(headers={str(self.send_header): str(at)})

    def after(self, answer: Answer) -> Position | None:
        cursor = answer.response.headers.get(self.header.lower()) or None
        return _position(cursor, self.header)


class Numbered(Table):
    """Pages or records that the client counts. Unless something says where the list ends, it ends with the first empty
    page."""

    short_page_ends: bool = Field(
        default=False,
        description="A page with fewer records than requested is the last one, which saves a request for each "
        "list. Only if the API never returns fewer otherwise.",
    )
    more: Path | None = Field(
        default=None, description='JMESPath of a value that is false on the last page, such as "has_more".'
    )
    more_link: str | None = Field(
        default=None,
        min_length=1,
        examples=["next"],
        description="Relation in the Link header that exists while there is another page.",
    )
    overlap: bool = Field(
        default=True,
        description="Request pages that have records in common, which shows whether records moved between them. "
        "Set it to false if the API does not accept such positions.",
    )

    twice: bool = TWICE

    def goes_on(self, answer: Answer) -> bool | None:
        """Whether the answer says that there is another page; None if it does not say."""
        if self.more is not None:
            return bool(look(self.more, answer.body))
        if self.more_link is not None:
            return link(answer, self.more_link) is not None
        return None


class Offset(Numbered):
    """A parameter counts the records that were read so far."""

    type: Literal["offset"]
    parameter: str = Field(default="offset", min_length=1, description="Query parameter of the offset.")
    first: int = Field(default=0, ge=0, le=1, description="Offset of the first record.")
    size_parameter: str = Field(default="limit", min_length=1, description="Query parameter of the page's size.")
    size: int = Field(default=100, ge=1, le=100_000, description="Records requested at once.")
    total: Path | None = Field(default=None, description="JMESPath of the total number of records in the body.")
    total_header: str | None = Field(default=None, description="Response header with that number.")

    def ask(self, at: Position | None, size: int = 0) -> Ask:
        return Ask({self.parameter: self.first if at is None else at, self.size_parameter: size or self.size})

    def start(self, at: Position | None, size: int) -> int:
        """How many records come before the page."""
        return 0 if at is None else int(at) - self.first

    def at(self, start: int) -> int:
        return start + self.first

    def all(self, answer: Answer) -> int | None:
        """How many records the list has according to the answer."""
        return _number(answer, self.total, self.total_header)


class PageNumber(Numbered):
    """A parameter numbers the pages."""

    type: Literal["page_number"]
    parameter: str = Field(default="page", min_length=1, description="Query parameter of the page's number.")
    first: int = Field(default=1, ge=0, le=1, description="Number of the first page.")
    size_parameter: str = Field(
        default="per_page",
        description='Query parameter of the page\'s size, "" for none. The size varies, so that pages overlap.',
    )
    size: int = Field(default=100, ge=1, le=100_000, description="Most records requested at once.")
    total_pages: Path | None = Field(default=None, description="JMESPath of the total number of pages in the body.")
    total_pages_header: str | None = Field(default=None, description="Response header with that number.")

    def ask(self, at: Position | None, size: int = 0) -> Ask:
        asked: dict[str, Scalar] = {self.parameter: self.first if at is None else at}
        return Ask(asked | {self.size_parameter: size or self.size} if self.size_parameter else asked)

    def start(self, at: Position | None, size: int) -> int:
        """How many records come before the page."""
        return 0 if at is None else (int(at) - self.first) * size

    def all(self, answer: Answer) -> int | None:
        """How many pages of this size the list has according to the answer."""
        return _number(answer, self.total_pages, self.total_pages_header)


class LinkHeader(Table):
    """The `Link` header of the response (RFC 8288) has the next page's URL, on this host."""

    type: Literal["link_header"]
    rel: str = Field(default="next", min_length=1, description="Relation of the next page.")
    host: Host = HOST
    twice: bool = TWICE

    def ask(self, at: Position | None, size: int = 0) -> Ask:
        return Ask(url=None if at is None else str(at))

    def after(self, answer: Answer) -> Position | None:
        return link(answer, self.rel, self.host)


class NextUrl(Table):
    """The body has the next page's URL, on this host."""

    type: Literal["next_url"]
    url: Path = Field(examples=["links.next"], description="JMESPath of the next page's URL in the body.")
    host: Host = HOST
    twice: bool = TWICE

    def ask(self, at: Position | None, size: int = 0) -> Ask:
        return Ask(url=None if at is None else str(at))

    def after(self, answer: Answer) -> Position | None:
        found = look(self.url, answer.body)
        if found is None or found == "" or found is False:
            return None
        if not isinstance(found, str):
            raise Permanent(f'"{self.url}" is not a URL but {type(found).__name__}')
        return _url(answer, found, self.host)


Paginator = Annotated[
    NoPages | CursorInBody | CursorInHeader | Offset | PageNumber | LinkHeader | NextUrl, Field(discriminator="type")
]


def link(answer: Answer, rel: str, host: Host = HOST) -> str | None:
    """The URL of this relation in the `Link` header."""
    for target, facts in _links(answer.response.headers.get("link", "")):
        relations = next((value for name, value in facts if name.lower() == "rel"), "")  # RFC 8288, 3.3: the first
        if rel.lower() in relations.strip("\"'").lower().split():
            return _url(answer, of_header(target), host)
    return None


def _links(header: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The targets with their parameters. Each character is read once, whatever the header contains."""
    end = 0
    while (start := header.find("<", end)) >= 0 and (end := header.find(">", start)) >= 0:
        target, facts, end = header[start + 1 : end], [], end + 1
        while found := _PARAMETER.match(header, end):
            facts.append((found[1], found[2] or ""))
            end = found.end()
        yield target, facts


def _url(answer: Answer, found: str, host: Host) -> str:
    """The full URL. A URL of another host is unchanged, and the client refuses it, unless `host` says to replace its
    host."""
    url = joined(answer.response.url, found)
    url = on_host_of(answer.response.url, url) if host == "own" else url
    return str(_position(url, "the next page's URL"))


def _position(cursor: Any, name: str) -> Position | None:
    if cursor is None or cursor == "" or cursor is False:
        return None
    if isinstance(cursor, bool) or not isinstance(cursor, str | int | float):
        raise Permanent(f'"{name}" is not a cursor but {type(cursor).__name__}')
    if isinstance(cursor, str) and len(cursor) > LONGEST_TOKEN:
        raise Permanent(f'"{name}" has {len(cursor):,} characters, more than a cursor may have ({LONGEST_TOKEN:,})')
    if isinstance(cursor, str) and not cursor.isascii() and any("\ud800" <= each <= "\udfff" for each in cursor):
        raise Permanent(f'"{name}" contains half a surrogate pair')
    return cursor


def _number(answer: Answer, expression: str | None, header: str | None) -> int | None:
    found = look(expression, answer.body) if expression else None
    if found is None and header:
        found = answer.response.headers.get(header.lower())
    if isinstance(found, str) and re.fullmatch("[0-9]{1,18}", found.strip()):
        return int(found)
    # Some APIs return -1 if they have not counted.
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None
