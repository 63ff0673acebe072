"""From a description to a Source: a kind of task for each endpoint's pages."""

from __future__ import annotations

import hashlib
import re
import types
from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from crawlerd.source import (
    Api,
    ClientCredentials,
    Cursor,
    Gather,
    KeyInQuery,
    Output,
    Permanent,
    Record,
    Response,
    RunPlan,
    Skip,
    Source,
    Sweep,
    TaskArgs,
)
from crawlerd.sources.rest.answers import NoPage, decoded, judged
from crawlerd.sources.rest.description import Basic, Bearer, Description, KeyHeader, KeyParameter, OAuth2
from crawlerd.sources.rest.exact import set_aside, texts_of, with_text
from crawlerd.sources.rest.expressions import Unfit, fill, kind_of, look, plain, text
from crawlerd.sources.rest.incremental import bound, mark, parameter
from crawlerd.sources.rest.paginators import Answer, Offset, PageNumber

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crawlerd.source import Auth

ABOVE, BELOW = 3, 5  # priority of lists: most of those below others end on their first page, and drain the queue


@dataclass(frozen=True)
class Page(TaskArgs, kind="rest.page"):
    """One page of a list. wanted: the streams to be imported of it and below it. since: of those that are incremental
    in this run, the mark from which on. started: Unix seconds of the run's start. parent: the parent's fields that are
    used. at: where the page starts, None for the first. before: what the page before had, where its place is counted.
    swept: the streams whose records are compared as a whole at the end.
    """

    wanted: tuple[str, ...]
    started: float
    swept: tuple[str, ...] = ()
    since: dict[str, str] = field(default_factory=dict)
    parent: dict[str, Any] = field(default_factory=dict)
    at: str | int | float | None = None
    before: str = ""


@dataclass(frozen=True)
class Tombstones(TaskArgs, kind="rest.tombstones"):
    """What the run has not found of these streams is gone. Makes no request."""

    streams: tuple[str, ...]


@dataclass(frozen=True)
class Unread(TaskArgs, kind="rest.unread"):
    """A dead letter to be: something of a list could not be read, so that nothing of it may be taken for deleted."""

    reason: str


class Request(NamedTuple):
    """What a page is asked with."""

    path: str
    parameters: dict[str, Any]
    headers: dict[str, str]


def make(document: dict[str, Any]) -> Source:
    """The source that a checked description describes."""
    description = Description.model_validate(document, context=document)
    lists = {name: List(description, name) for name in description.endpoints}
    for each in lists.values():
        each.below = [lists[name] for name in description.children(each.name)]
    source = Source(
        description.name,
        base_url=description.base_url,
        streams=list(lists),
        limits=description.limits,
        bucket_limits=description.bucket_limits,
        by_bucket={name: each.limits for name, each in description.endpoints.items() if each.limits is not None},
        concurrency=description.concurrency,
        bucket_concurrency={
            name: each.concurrency for name, each in description.endpoints.items() if each.concurrency is not None
        },
        auth=_auth(description),
        headers=description.headers,
    )
    for each in lists.values():
        each.register(source)

    @source.starts
    def first_pages(plan: RunPlan) -> Iterable[TaskArgs | Gather]:
        for name in description.children(None):
            yield from lists[name].first_page(plan)

    return source


def _auth(description: Description) -> Auth | None:
    match description.auth:
        case Bearer():
            return lambda key: {"Authorization": f"Bearer {key}"}
        case Basic(user=user):
            return lambda key: {"Authorization": _basic(key if user is None else f"{user}:{key}")}
        case KeyHeader(name=name, prefix=prefix):
            return lambda key: {name: prefix + key}
        case KeyParameter(name=name):
            return KeyInQuery(name)
        case OAuth2() as oauth2:
            return ClientCredentials(oauth2.token_url, oauth2.scope, oauth2.parameters, oauth2.client == "body")
    return None


def _basic(credentials: str) -> str:
    return f"Basic {b64encode(credentials.encode()).decode()}"


class List:
    """An endpoint of a description. below: the endpoints whose parent it is."""

    def __init__(self, description: Description, name: str) -> None:
        self.name = name
        self.below: list[List] = []
        self._spec = description.endpoints[name]
        self._parameters = {**description.parameters, **self._spec.parameters}
        self._paginator = self._spec.paginator or description.paginator
        self._rules = [*self._spec.errors, *description.errors]
        self._auth = description.auth
        expressions = [each.removeprefix("parent.") for each in self._spec.asked_fields() if each.startswith("parent.")]
        self._asked = sorted(set(expressions))  # of the parent's record, and needed
        self._given = sorted(set(self._spec.from_parent.values()))
        # A parent that is found twice asks for the first page twice, which is nothing to tell; any other page that is
        # asked for twice is a cursor that leads round in a circle.
        self._first: type[Page] = types.new_class("FirstPage", (Page,), {"kind": f"{description.name}.{name}"})
        self._next: type[Page] = types.new_class("NextPage", (Page,), {"kind": f"{description.name}.next.{name}"})
        sweep, unread = f"{description.name}.tombstones.{name}", f"{description.name}.unread.{name}"
        self._sweep: type[Tombstones] = types.new_class("Sweep", (Tombstones,), {"kind": sweep})
        self._unread: type[Unread] = types.new_class("UnreadPage", (Unread,), {"kind": unread})

    def register(self, source: Source) -> None:
        priority = BELOW if self._spec.parent else ABOVE
        facts: dict[str, Any] = {"stream": self.name, "cost": self._spec.cost, "priority": priority}
        source.handles(self._first, unique=True, **facts)(self.page)
        source.handles(self._next, sequential=True, **facts)(self.page)
        source.handles(self._sweep, bucket="tombstones", cost=0)(self.tombstones)
        source.handles(self._unread, bucket="tombstones", cost=0)(self.unread)

    # what a run asks for first

    def streams(self) -> Iterator[str]:
        """Its own, and those below it."""
        yield self.name
        for each in self.below:
            yield from each.streams()

    def first_page(self, plan: RunPlan) -> Iterator[TaskArgs | Gather]:
        """Its first page, if the run wants it or something below it."""
        wanted = tuple(each for each in self.streams() if each in plan.streams)
        if not wanted:
            return
        cursors = {} if plan.full else plan.cursors
        since = {each.name: known for each in self._lists() if (known := each.since(wanted, cursors))}
        swept = tuple(each for each in self._whole(since) if each in wanted)
        first = self._first(wanted, plan.started_at, swept, since)
        yield Gather([first], then=self._sweep(swept), if_dead="fail") if swept else first

    def _whole(self, since: Mapping[str, str]) -> Iterator[str]:
        """The lists with tombstones that are read as a whole, with all above them."""
        if self.name not in since:
            if self._spec.tombstones:
                yield self.name
            for each in self.below:
                yield from each._whole(since)

    def _lists(self) -> Iterator[List]:
        yield self
        for each in self.below:
            yield from each._lists()

    def since(self, wanted: tuple[str, ...], cursors: Mapping[str, str]) -> str | None:
        """The mark from which on it is read; None for all of it."""
        rule = self._spec.incremental
        cursor = cursors.get(self._cursor(wanted))
        return bound(rule, cursor) if rule and cursor else None

    def _cursor(self, wanted: tuple[str, ...]) -> str:
        """The name of its cursor. Where streams below it come and go, each choice of them has one of its own: a stream
        that is new to an import must be read from the beginning."""
        here = [each for each in self.streams() if each in wanted]
        return self.name if here == [self.name] else f"{self.name}:{','.join(here)}"

    # one page

    def request(self, args: Page, variables: Mapping[str, str]) -> Request:
        """What the page is asked with. Unfit when a field's value cannot stand there."""
        ask = self._paginator.ask(args.at)
        if ask.url is not None:
            return Request(ask.url, {}, ask.headers)
        values: dict[str, Any] = {f"variables.{name}": value for name, value in variables.items()}
        values |= {f"parent.{name}": value for name, value in args.parent.items()}
        parameters: dict[str, Any] = {name: _filled(each, values) for name, each in self._parameters.items()}
        rule = self._spec.incremental
        if rule and rule.parameter:
            since = args.since.get(self.name)
            if since or rule.start:
                parameters[rule.parameter] = parameter(rule, since) if since else rule.start
        parameters |= {name: text(value, name) for name, value in ask.parameters.items()}
        return Request(fill(self._spec.path, values, in_path=True), parameters, ask.headers)

    def page(self, api: Api, args: Page) -> Iterator[Output]:
        try:
            request = self.request(args, api.options.get("variables", {}))
        except Unfit as error:
            raise Permanent(f"cannot be asked for: {error}") from None
        try:
            response = api.request(
                "GET", request.path, params=request.parameters, headers=request.headers, classify=self._classify
            )
        except NoPage as none:
            if none.skipped and args.swept:
                raise Permanent(f"{none}; without this page, what is on it would be taken for deleted") from None
            if none.skipped:
                yield Skip(self.name, self._shown(args), str(none))
            return
        if response.status == 204:
            return
        body = decoded(response)
        found = look(self._spec.records, body)
        if not isinstance(found, list):
            raise Permanent(self._no_records(body, found))
        texts = texts_of(self._spec.records, response.utf8(), body, found)
        below = [(each, start) for each in self.below if (start := each._start(args))]
        keys: dict[str, Any] = {}
        older = False
        newest = ""
        missed = 0
        for number, item in enumerate(found):
            record = self._with_parent(item, args)
            key = self._key(record)
            if isinstance(key, Unfit) or not isinstance(record, dict):
                yield Skip(self.name, f"{self._shown(args)} #{number}", str(key))
                missed += bool(args.swept)
                continue
            problem = texts.problems.get(number)
            record = with_text(item, texts[number], self._from_parent(args)) if problem is None else record
            if key in keys:
                if getattr(keys[key], "text", None) != getattr(record, "text", b""):
                    yield Skip(self.name, key, f"the primary key {self._key_name()} repeats within a page")
                continue
            keys[key] = record
            at = self._mark(record, args)
            if self._is_older(at, args):
                older = True
                continue
            newest = max(newest, at or "")
            if self.name in args.wanted:
                yield set_aside(self.name, key, problem) if problem else Record(self.name, key, record)
            for each, start in below:
                output = each._below(record, key, start)
                missed += bool(start.swept and isinstance(output, Skip))
                yield output
        if missed:
            yield self._unread(f"{missed} of the records of {self._shown(args)} could not be used: see what is skipped")
        if newest:
            yield Cursor(self._cursor(args.wanted), newest, greatest=True)
        if not older:
            yield from self._following(Answer(args.at, len(found), body, response), args, keys)

    def _following(self, answer: Answer, args: Page, keys: Mapping[str, Any]) -> Iterator[Output]:
        """The next page, unless this was the last one. Permanent when the API gives the same page again."""
        before = ""
        if isinstance(self._paginator, Offset | PageNumber):
            content = "\0".join(keys).encode() or answer.response.body
            before = hashlib.blake2b(content, digest_size=6).hexdigest()
            if answer.count and before == args.before:
                raise Permanent(
                    f"the page that starts at {args.at} has the same records as the one before: the API does not know "
                    f'the parameter "{self._paginator.parameter}", or repeats its last page (say how many there are)'
                )
        at = self._paginator.after(answer)
        if at is not None:
            yield self._next(**{**vars(args), "at": self._without_key(at), "before": before})

    def _without_key(self, at: Any) -> Any:
        """A next page's URL that repeats the key must not lie in the frontier; the client adds it to each request."""
        if not isinstance(self._auth, KeyParameter) or not isinstance(at, str) or "?" not in at:
            return at
        name = self._auth.name
        parts = urlsplit(at)
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != name]
        return urlunsplit(parts._replace(query=urlencode(query)))

    def tombstones(self, api: Api, args: Tombstones) -> Iterator[Output]:
        for stream in args.streams:
            yield Sweep(stream)

    def unread(self, api: Api, args: Unread) -> Iterator[Output]:
        raise Permanent(args.reason)

    # records

    def _with_parent(self, item: Any, args: Page) -> Any:
        if not isinstance(item, dict) or not self._spec.from_parent:
            return item
        return {**item, **self._from_parent(args)}

    def _from_parent(self, args: Page) -> dict[str, Any]:
        return {name: args.parent.get(path) for name, path in self._spec.from_parent.items()}

    def _key(self, record: Any) -> str | Unfit:
        """The record's key, of one or several fields; Unfit when it has none."""
        if not isinstance(record, dict):
            return Unfit(f"is no object but {kind_of(record)}")
        parts = []
        try:
            for path in self._spec.primary_key:
                value = look(path, record)
                if isinstance(value, bool | float):
                    raise Unfit(f'"{path}" is {value}')
                parts.append(text(value, path))
        except Unfit as error:
            return Unfit(f"has no primary key: {error}")
        except Permanent as error:
            return Unfit(str(error))
        if len(parts) == 1:
            return parts[0]
        return "/".join(re.sub("[%/]", lambda found: f"%{ord(found[0]):02X}", part) for part in parts)

    def _key_name(self) -> str:
        return ", ".join(f'"{each}"' for each in self._spec.primary_key)

    def _mark(self, record: Mapping[str, Any], args: Page) -> str | None:
        rule = self._spec.incremental
        return mark(rule, look(rule.field, record), latest=args.started) if rule else None

    def _is_older(self, at: str | None, args: Page) -> bool:
        """A list that cannot be asked for changes gives the latest first."""
        rule = self._spec.incremental
        since = args.since.get(self.name)
        return bool(rule and not rule.parameter and since and at and at < since)

    def _start(self, above: Page) -> Page | None:
        """Its first page below a record of a page above, as yet without the record's fields; None when it is not
        wanted."""
        names = set(self.streams())
        wanted = tuple(each for each in above.wanted if each in names)
        if not wanted:
            return None
        swept = tuple(each for each in above.swept if each in names)
        since = {name: known for name, known in above.since.items() if name in names}
        return self._first(wanted, above.started, swept, since)

    def _below(self, record: Mapping[str, Any], key: str, start: Page) -> Output:
        """`start` with the fields of a parent's record, or why there is none."""
        values: dict[str, Any] = {}
        try:
            for path in self._asked:
                text(values.setdefault(path, look(path, record)), path)
            for path in self._given:
                plain(values.setdefault(path, look(path, record)), path)
        except (Unfit, Permanent) as error:
            return Skip(self.name, key, f"cannot be asked for below this record of its parent: {error}")
        return replace(start, parent=values)

    # what goes wrong

    def _classify(self, response: Response) -> Exception | None:
        return judged(self._rules, response)

    def _shown(self, args: Page) -> str:
        """Where a page is, for people."""
        where = ", ".join(f"{name} {value}" for name, value in args.parent.items())
        return f"{where or self.name} at {args.at}" if args.at is not None else where or self.name

    def _no_records(self, body: Any, found: Any) -> str:
        keys = f" with {', '.join(map(str, list(body)[:20]))}" if isinstance(body, dict) else ""
        there = f"not a list, in the response: {kind_of(body)}{keys}"
        return f'records = "{self._spec.records}" finds {kind_of(found)}, {there}'[:300]


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """A parameter as it stands in the query; lists make it stand there several times."""
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    return fill(value, values) if isinstance(value, str) else text(value, "")
