"""One page of a list: its request, the records in its answer, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.core.lenient_json import encoded
from crawlerd.core.listing import Objects
from crawlerd.source import (
    Api,
    Cursor,
    ForParent,
    NotFound,
    Output,
    ParentRead,
    Permanent,
    Record,
    Response,
    Skip,
    TaskArgs,
)
from crawlerd.sources.rest import reading
from crawlerd.sources.rest.answers import NoPage, decoded, judged, spent
from crawlerd.sources.rest.asking import Asking
from crawlerd.sources.rest.exact import set_aside, texts_of, with_text
from crawlerd.sources.rest.expressions import Unfit, look, plain, text
from crawlerd.sources.rest.incremental import PageMarks, mark_of
from crawlerd.sources.rest.numbered_pages import Again, Next, Step
from crawlerd.sources.rest.page_overlap import START, Place
from crawlerd.sources.rest.paginators import Answer, Offset, PageNumber
from crawlerd.sources.rest.records import FAR_FUTURE, Records, taken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crawlerd.source import Classifier
    from crawlerd.sources.rest.comparing import Comparing
    from crawlerd.sources.rest.description import Description

NOTHING: tuple[list[Any], list[Any]] = ([], [])  # of a response without content
GONE = (404, 410)
MOST_AGAIN = 3  # how often reading of a list starts again in a run


@dataclass(frozen=True)
class Page(TaskArgs, kind="rest.page"):
    """One page of a list.

    wanted: the streams to import of it and below it.
    started: Unix seconds of the run's start.
    swept: the streams whose records are compared as a whole at the end.
    since: by stream, the mark from which on it is read, for those that are incremental in this run.
    parent: the needed fields of the parent.
    of: the parent's key, if it is recorded that its list was read.
    at: the page's position, None for the first.
    place: what must be known about the pages before it.
    second: the list is read once more, since records were missing.
    pages: how many pages of the list were requested before; this does not make it another page.
    only: keys of the only records that count; () for all.
    noted: it counts, and is recorded, below which parents a list was read; False if it is read since a given time.
    """

    wanted: tuple[str, ...]
    started: float
    swept: tuple[str, ...] = ()
    since: dict[str, str] = field(default_factory=dict)
    parent: dict[str, Any] = field(default_factory=dict)
    of: str = ""
    at: str | int | float | None = None
    place: Place | None = None
    second: bool = False
    pages: int = 0
    noted: bool = True
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread(TaskArgs, kind="rest.unread"):
    """Becomes a dead letter: something in a list could not be read, so nothing of it may be taken for deleted."""

    reason: str


class Exact(NamedTuple):
    """A record of a page."""

    number: int  # its index on the page
    record: Any
    key: str | Unfit
    mark: str | None
    problem: str | None  # why it cannot be imported


@dataclass(frozen=True)
class Kinds:
    """An endpoint's kinds of tasks. A parent that is found twice requests the first page twice, which does not matter.
    If any other page is requested twice, its cursor leads in a circle."""

    first: type[Page]
    next: type[Page]
    unread: type[Unread]


def _as_it_comes(place: Place) -> Place:
    """The list from its beginning, using only what the API says about the next page."""
    return Place(again=place.again, reached=place.reached, whole=True)


class Pages:
    """Performs the tasks of an endpoint's pages.

    below: the pages of the endpoints whose parent it is.
    """

    def __init__(
        self,
        description: Description,
        name: str,
        kinds: Kinds,
        comparing: Comparing,
        classify: Classifier | None = None,
    ) -> None:
        """classify: see `endpoints.make`."""
        self.name = name
        self._classify = classify
        self.below: list[Pages] = []
        self.kinds = kinds
        self.spec = description.endpoints[name]
        above = self.spec.parent
        self.records = Records(self.spec, None if above is None else description.endpoints[above])
        self.rules = [*self.spec.errors, *description.errors]
        self._asking = Asking(description, name)
        self._comparing = comparing
        self._paginator = self.spec.paginator or description.paginator
        expressions = [each.removeprefix("parent.") for each in self.spec.asked_fields() if each.startswith("parent.")]
        self._asked = sorted(set(expressions))  # needed fields of the parent's record
        self._given = sorted(set(self.spec.from_parent.values()))

    def judged(self, response: Response) -> Exception | None:
        """The error that a response means; None if the usual mapping of statuses applies."""
        error = judged(self.rules, response)
        return self._classify(response) if error is None and self._classify else error

    def gone(self, response: Response) -> bool:
        """Whether it says that the requested object does not exist."""
        if response.status not in GONE:
            return False
        return self._classify is None or isinstance(self._classify(response), NotFound)

    def streams(self) -> Iterator[str]:
        """Its own stream, and those below it."""
        return (each.name for each in self.tree())

    def tree(self) -> Iterator[Pages]:
        """Itself, and the pages below it."""
        yield self
        for each in self.below:
            yield from each.tree()

    def takes_times(self) -> bool:
        """Whether its records can be requested by the time of their last change."""
        return self.spec.incremental is not None and not self._is_number()

    def belongs(self) -> bool:
        """Whether a record's key includes its parent's, so that it cannot move to another parent."""
        return not set(self.spec.primary_key).isdisjoint(self.spec.from_parent)

    def cursor(self, wanted: tuple[str, ...]) -> str:
        """The name of its cursor. If streams below it can be chosen, each choice has a cursor of its own: a stream that
        is new to an import must be read from the beginning."""
        here = [each for each in self.streams() if each in wanted]
        return self.name if here == [self.name] else f"{self.name}:{','.join(here)}"

    def page(self, api: Api, args: Page) -> Iterator[Output]:
        place = args.place or START
        if args.pages >= self.spec.max_pages:
            raise Permanent(
                f"this would be page {args.pages + 1:,} of the list, and [endpoints.{self.name}] has "
                f"max_pages = {self.spec.max_pages}: the list is endless, or max_pages must be raised"
            )
        try:
            request = self._asking.request(args, place, api.options.get("variables", {}))
        except Unfit as error:
            raise Permanent(f"cannot be requested: {error}") from None
        lost = False

        def classify(response: Response) -> Exception | None:
            nonlocal lost
            error = self.judged(response)
            lost = self._has_token(args) and spent(response, error)
            return error

        try:
            response = api.request(
                "GET", request.path, params=request.parameters, headers=request.headers, classify=classify
            )
        except Permanent as error:
            made = place.counting is not None and not place.exact  # a URL that the API has not made, and may refuse
            if made and not place.whole:
                yield self._next(args, None, _as_it_comes(place))
            elif lost and place.again < MOST_AGAIN:
                yield from self._again(args, place, str(error))
            elif isinstance(error, NoPage):
                yield from self._without_page(args, error)
            else:
                raise
            return
        body = None if response.status == 204 else decoded(response)
        found, came = NOTHING if response.status == 204 else taken(self.spec.records, body)
        added = self.records.from_parent(args.parent)
        records = [self.records.with_parent(item, args.parent) for item in found] if added else found
        keys = [self.records.key(each) for each in records]
        noted = PageMarks(self.spec.incremental, latest=FAR_FUTURE)
        marks = [noted.of(number, each) if isinstance(each, dict) else None for number, each in enumerate(records)]
        page = reading.Page(
            Answer(args.at, len(came), body, response),
            self.records.came(came, args.parent, keys if came is found else None),
            marks,
            request.parameters,
        )
        since = args.since.get(self.name)
        step, chosen = reading.read(
            self._paginator, self.spec.incremental, page, place, since, self._asking.without_key
        )
        yield from noted.told(self.name, chosen, kept=self.name in args.since)
        texts = texts_of(self.spec.records, response.utf8(), body, found) if found else Objects([])
        exact = []
        for n in chosen:
            problem, record = texts.problems.get(n), records[n]
            if problem is None and isinstance(record, dict):  # with the text that the API wrote
                record = with_text(found[n], texts[n], added)
            exact.append(Exact(n, record, keys[n], marks[n], problem))
        yield from self._taken(args, place, exact)
        yield from self._following(args, place, step)

    def same(self, args: Page) -> str:
        """What identifies a page. For a page that the API names, its name: a cursor that comes twice leads in a circle,
        however long. For others, all of its arguments except the number of pages before it."""
        where = args.place
        if not (isinstance(self._paginator, Offset | PageNumber) or where is None or where.counting or where.review):
            where = msgspec.structs.replace(where, before="", idle=0, seen=None)
        return f"{args.kind}\0{encoded(replace(args, place=where, pages=0)).decode()}"

    def _has_token(self, args: Page) -> bool:
        return args.at is not None and not isinstance(self._paginator, Offset | PageNumber)

    def _without_page(self, args: Page, none: NoPage) -> Iterator[Output]:
        """A response that stands for a page without records."""
        if none.skipped and args.swept:
            raise Permanent(f"{none}; without this page, its records would be taken for deleted") from None
        if none.skipped:
            yield Skip(self.name, self._asking.shown(args), str(none))
        yield from self._parent_read(args, whole=False)

    def _taken(self, args: Page, place: Place, records: list[Exact]) -> Iterator[Output]:
        """The output for the records of a page, and the first pages of the lists below them."""
        below = [(each, start) for each in self.below if (start := each.start(args))]
        oldest = self._oldest(args, place)
        shown, wanted = self._asking.shown(args), self.name in args.wanted
        seen: dict[str, Any] = {}
        newest, parent = "", self.records.parent(args.parent)
        missed = parents = 0
        for number, record, key, mark, problem in records:
            if isinstance(key, Unfit) or not isinstance(record, dict):
                yield Skip(self.name, f"{shown} #{number}", str(key))
                missed += bool(args.swept)
                continue
            if key in seen:
                if getattr(seen[key], "text", None) != getattr(record, "text", b""):
                    yield Skip(self.name, key, f"the primary key {self.records.key_name()} repeats within a page")
                continue
            seen[key] = record
            if args.only and key not in args.only:
                continue
            if mark and mark < oldest:
                continue
            if mark and mark > newest:
                newest = mark
            parents += 1
            if wanted:
                yield set_aside(self.name, key, problem) if problem else Record(self.name, key, record, parent)
            for each, start in below:
                output = each.first(record, key, start)
                missed += bool(start.swept and isinstance(output, Skip))
                yield output
        if missed:
            yield self.kinds.unread(f"{missed} of the records of {shown} could not be used: see the skipped ones")
        if newest and not args.second:
            # Changes after the run's start are read again, and a record with a time in the future hides nothing.
            latest = mark_of(datetime.fromtimestamp(args.started, UTC))
            capped = newest if self._is_number() else min(newest, latest)
            yield Cursor(self.cursor(args.wanted), capped, greatest=True)
        if parents > 1:
            yield from self._comparing.spread(args, [each for each, _ in below])

    def _is_number(self) -> bool:
        rule = self.spec.incremental
        return rule is not None and rule.format == "number"

    def _oldest(self, args: Page, place: Place) -> str:
        """The mark of the first record that counts, in a list that begins with the latest change."""
        rule = self.spec.incremental
        if rule is None or rule.order != "descending":
            return ""
        return place.top if place.closing else args.since.get(self.name, "")

    def _following(self, args: Page, place: Place, step: Step) -> Iterator[Output]:
        match step:
            case None:
                yield from self._parent_read(args)
            case Next(at, following):
                yield from self._comparing.paged(args)
                yield self._next(args, at, following)
            case Again(reason):
                yield from self._again(args, place, f"the list moved while it was read: {reason}")

    def _again(self, args: Page, place: Place, reason: str) -> Iterator[Output]:
        """Reads the list from its beginning."""
        if place.again >= MOST_AGAIN:
            said = f"{reason}; this happened each of the {MOST_AGAIN + 1} times that it was read"
            if not args.second:
                raise Permanent(said)
            yield from self._comparing.moved(args, said)
            return
        yield from self._comparing.paged(args)
        yield self._next(args, None, Place(again=place.again + 1, reached=place.reached))

    def _next(self, args: Page, at: str | float | None, place: Place) -> Page:
        return self.kinds.next(**{**vars(args), "at": at, "place": place, "pages": args.pages + 1})

    def _parent_read(self, args: Page, *, whole: bool = True) -> Iterator[Output]:
        if args.of and not args.second:
            yield ParentRead(self.cursor(args.wanted), args.of, whole)

    # below a record

    def start(self, above: Page) -> Page | None:
        """Its first page below a record of a page above, still without the record's fields; None if it is not
        wanted."""
        names = set(self.streams())
        wanted = tuple(each for each in above.wanted if each in names)
        if not wanted:
            return None
        swept = tuple(each for each in above.swept if each in names)
        since = {name: known for name, known in above.since.items() if name in names}
        return self.kinds.first(wanted, above.started, swept, since, second=above.second, noted=above.noted)

    def first(self, record: Mapping[str, Any], key: str, start: Page) -> Output:
        """`start` with the fields of a parent's record, or the reason why it cannot be requested. If a parent's list
        was never read to its end, it is read from the beginning."""
        values: dict[str, Any] = {}
        try:
            for path in self._asked:
                text(values.setdefault(path, look(path, record)), path)
            for path in self._given:
                plain(values.setdefault(path, look(path, record)), path)
        except (Unfit, Permanent) as error:
            return Skip(self.name, key, f"cannot be requested below this record of its parent: {error}")
        if self.spec.incremental is None or not start.noted:
            return replace(start, parent=values)
        page = replace(start, parent=values, of=key)
        if self.name not in start.since:
            return page
        since = {name: mark for name, mark in start.since.items() if name != self.name}
        return ForParent(self.cursor(start.wanted), key, since=page, full=replace(page, since=since))
