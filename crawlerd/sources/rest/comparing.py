"""Records of a stream that a run has not found: whether they are deleted, or were only missed.

A list that comes in several responses may move between them, so that an existing record is in none. So nothing counts
as deleted after only one such reading. Missing records are requested one by one, if the description says how; otherwise
the lists are read once more, and records that neither reading has found are deleted. A stream that came in one response
needs no second reading.
"""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crawlerd.source import MISSING_KEYS, Api, Gather, Note, NotFound, Output, Record, Response, Sweep, TaskArgs
from crawlerd.sources.rest.answers import NoPage, decoded
from crawlerd.sources.rest.exact import set_aside, texts_of, with_text
from crawlerd.sources.rest.values import ITEM_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crawlerd.source import Source
    from crawlerd.sources.rest.pages import Page, Pages


@dataclass(frozen=True)
class Tombstones(TaskArgs, kind="rest.tombstones"):
    """All of these streams was read. Makes no request, like all the following tasks except Item.

    started: Unix seconds of the run's start.
    only: keys of the records of the topmost list that count, see `Page`.
    """

    streams: tuple[str, ...]
    started: float = 0.0
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Once(TaskArgs, kind="rest.once"):
    """Compares a stream that came in one response."""

    stream: str


@dataclass(frozen=True)
class Several(TaskArgs, kind="rest.several"):
    """Takes the place of a Gone: this reading does not prove what is deleted.

    reason: why no reading does.
    """

    stream: str
    second: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Gone(TaskArgs, kind="rest.gone"):
    """Missing records of a stream are deleted, unless there was a Several before.

    second: after the second reading.
    """

    stream: str
    second: bool = False


@dataclass(frozen=True)
class Missed(TaskArgs, kind="rest.missed"):
    """What the first reading has not found of these streams.

    after: the key up to which missing records were searched for.
    """

    streams: tuple[str, ...]
    started: float
    after: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class ByItself(TaskArgs, kind="rest.by_itself"):
    """Requests each missing record by itself."""

    stream: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item(TaskArgs, kind="rest.item"):
    """Requests one record."""

    stream: str
    key: str


@dataclass(frozen=True)
class ReadAgain(TaskArgs, kind="rest.read_again"):
    """Reads a stream, and the lists above it, once more."""

    stream: str
    started: float
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Second(TaskArgs, kind="rest.second"):
    """Records that neither reading has found are deleted."""

    stream: str


class Comparing:
    """The kinds of tasks that compare the streams of a description.

    pages: by endpoint.
    top: the topmost endpoint above each.
    """

    def __init__(self, name: str, pages: Mapping[str, Pages], top: Mapping[str, str]) -> None:
        self._pages, self._top = pages, top
        made: dict[type[TaskArgs], Any] = {}
        for each in (Once, Several, Gone, Missed, ByItself, Item, ReadAgain, Second):
            kind = f"{name}.compare.{each.kind.removeprefix('rest.')}"  # no endpoint has a name with a dot
            made[each] = types.new_class(each.__name__, (each,), {"kind": kind})
        self._once, self._several, self._gone = made[Once], made[Several], made[Gone]
        self._missed, self._by_itself, self._item = made[Missed], made[ByItself], made[Item]
        self._read_again, self._second = made[ReadAgain], made[Second]

    def register(self, source: Source) -> None:
        free: dict[str, Any] = {"bucket": "tombstones", "cost": 0}
        source.handles(self._once, **free)(self.once)
        # Of a Several and a Gone of the same stream and reading, only the first one is made.
        source.handles(self._several, unique=_reading, **free)(self.several)
        source.handles(self._gone, unique=_reading, **free)(self.gone)
        source.handles(self._missed, **free)(self.missed)
        source.handles(self._by_itself, **free)(self.by_itself)
        source.handles(self._item, unique=True, bucket=lambda args: args.stream)(self.item)
        source.handles(self._read_again, unique=True, **free)(self.read_again)
        source.handles(self._second, **free)(self.second)
        for kind in [each for each in source.kinds if each.startswith(f"{source.name}.compare.")]:
            before = kind.replace(".compare.", ".")  # the name in the frontier of an earlier version
            if before.removeprefix(f"{source.name}.") not in self._pages:
                source.kinds[before] = source.kinds[kind]

    # called by the pages

    def paged(self, args: Page) -> Iterator[Output]:
        """A list has a second page: the list and those below it come in several responses."""
        if args.at is None and not args.second:
            for stream in args.swept:
                yield self._several(stream)

    def spread(self, args: Page, below: Sequence[Pages]) -> Iterator[Output]:
        """Several parents have lists below them, and a record may move from one to another."""
        for each in (each for pages in below for each in pages.tree()):
            if each.name in args.swept and not args.second and not each.belongs():
                yield self._several(each.name)

    def moved(self, args: Page, reason: str) -> Iterator[Output]:
        """The second reading cannot be completed, although the first one was."""
        for stream in args.swept:
            yield self._several(stream, second=True, reason=reason)

    # what is done at the end

    def tombstones(self, api: Api, args: Tombstones) -> Iterator[Output]:
        checks = [self._once(stream) for stream in args.streams]
        yield Gather(checks, then=self._missed(args.streams, args.started, only=args.only))

    def once(self, api: Api, args: Once) -> Iterator[Output]:
        yield Sweep(args.stream, otherwise=self._gone(args.stream))

    def several(self, api: Api, args: Several) -> Iterator[Output]:
        if args.reason:
            yield Note(args.stream, f"not compared: {args.reason}")

    def gone(self, api: Api, args: Gone) -> Iterator[Output]:
        yield Sweep(args.stream)

    def missed(self, api: Api, args: Missed) -> Iterator[Output]:
        for stream in args.streams:
            if self._pages[stream].spec.item is None:
                yield Sweep(stream, otherwise=self._read_again(stream, args.started, args.only))
            else:
                yield Sweep(stream, otherwise=self._by_itself(stream), after=args.after)

    def by_itself(self, api: Api, args: ByItself) -> Iterator[Output]:
        for key in args.missing:
            yield self._item(args.stream, key)
        if len(args.missing) == MISSING_KEYS:
            yield self._missed((args.stream,), 0.0, args.missing[-1])

    def item(self, api: Api, args: Item) -> Iterator[Output]:
        """Writes the record if it exists, in the form that it has in the list."""
        pages = self._pages[args.stream]

        def classify(response: Response) -> Exception | None:
            if pages.gone(response):
                return NotFound(f"HTTP {response.status}")
            if 300 <= response.status < 400:
                return NoPage(f"HTTP {response.status}", skipped=False)
            return pages.judged(response)

        try:
            response = api.request("GET", self.path(args, api.options.get("variables", {})), classify=classify)
        except NotFound:
            yield Record(args.stream, args.key, None)
            return
        except NoPage:  # it is elsewhere, or the response has a meaning by the description: no proof
            return
        record = decoded(response)
        if not pages.spec.from_parent and pages.records.key(record) == args.key:
            texts = texts_of("[@]", response.utf8(), record, [record])
            problem = texts.problems.get(0)
            yield (
                set_aside(args.stream, args.key, problem)
                if problem
                else Record(args.stream, args.key, with_text(record, texts[0]))
            )

    def path(self, args: Item, variables: Mapping[str, str]) -> str:
        spec = self._pages[args.stream].spec
        values = {"key": args.key, **{f"variables.{name}": value for name, value in variables.items()}}
        if len(spec.primary_key) > 1:
            parts = [re.sub("%(25|2F)", lambda found: chr(int(found[1], 16)), each) for each in args.key.split("/")]
            values |= {f"key.{path}": part for path, part in zip(spec.primary_key, parts, strict=False)}
        return ITEM_FIELD.sub(lambda found: quote(values[found[1]], safe=""), spec.item or "")

    def read_again(self, api: Api, args: ReadAgain) -> Iterator[Output]:
        top = self._pages[self._top[args.stream]]
        first = top.kinds.first((args.stream,), args.started, (args.stream,), second=True, only=args.only)
        yield Gather([first], then=self._second(args.stream), if_dead="fail")

    def second(self, api: Api, args: Second) -> Iterator[Output]:
        yield Sweep(args.stream, otherwise=self._gone(args.stream, second=True))


def _reading(args: Several | Gone) -> str:
    return f"no reading has shown what is deleted: {args.stream} {args.second}"
