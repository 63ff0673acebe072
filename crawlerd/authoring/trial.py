"""Requests one page of a source and explains it: how it was understood, and what would be requested next."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from crawlerd.clients.http import HttpClient
from crawlerd.core.errors import CrawlerdError, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.lenient_json import encoded, parsed
from crawlerd.core.outcome import Skipped
from crawlerd.core.redaction import cut, redacting
from crawlerd.engine import kinds
from crawlerd.engine.batches import StreamRows
from crawlerd.engine.redacting import of as redaction_of
from crawlerd.source import Cursor, ForParent, Marks, Record, Response, RunPlan, Skip, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crawlerd.clients.http import HttpApi
    from crawlerd.core.configuration import AccountSpec
    from crawlerd.source import Api, Output, Source

SHOWN = 5  # keys, skipped records, and kinds of tasks that are shown
SHOWN_FIELDS = 30
WIDTH = 300  # characters of a line


class Trial(NamedTuple):
    """The result of trying a page."""

    lines: list[str]  # for people, without secrets
    good: bool  # the page was understood, and no record in it was skipped


def try_page(source: Source, account: AccountSpec, stream: str) -> Trial:
    """Fetches the first page of a stream. For a stream below others, fetches their first pages too, and continues below
    their first records."""
    client = HttpClient(connections=1)
    api = client.open(source, account)
    try:
        with redacting(lambda: redaction_of(account, api)):
            lines, good = _tried(client, source, account, stream)
            return Trial([cut(line, WIDTH) for line in lines], good)
    finally:
        client.close()


def _tried(client: HttpClient, source: Source, account: AccountSpec, stream: str) -> tuple[list[str], bool]:
    lines: list[str] = []
    first = kinds.first(source, RunPlan((stream,), full=True, started_at=time.time()))
    (task,) = [*first.children, *(task for gather in first.gathers for task in gather.tasks)]
    kind, payload = task.kind, task.payload
    while True:
        here = source.kinds[kind].stream
        api = client.open(source, account)
        page = _RecordingApi(api)
        outputs, error = _perform(source, page, kind, payload)
        lines += [f"{here}: GET {page.shown}", *_answered(page, error)]
        if error is not None:
            return lines, False
        begun = (each.full if isinstance(each, ForParent) else each for each in outputs)
        tasks = [each for each in begun if isinstance(each, TaskArgs) and _would_ask(source, account, each).shown]
        below = [each for each in tasks if source.kinds[each.kind].stream != here]
        if here == stream or not below:
            aside = [skip for each in outputs if (skip := _aside(each))]
            lines += _understood(outputs, aside)
            follows, refused = _following(source, account, api, outputs, tasks)
            lines += follows
            unmarked = any(isinstance(each, Marks) and not each.read for each in outputs)
            good = here == stream and not aside and not refused and not unmarked
            if here != stream:
                lines.append(f"  no record leads to {stream} below it")
            return lines, good
        lines.append(f"  leads to {len(below):,} lists below; continuing with the first")
        kind, payload = below[0].kind, encoded(below[0]).decode()


class _RecordingApi:
    """An Api that records the requests made through it. Without an Api to pass them on to, nothing is sent."""

    def __init__(self, api: Api | None, options: Mapping[str, Any] | None = None) -> None:
        self._api = api
        self.mode = ""
        self.options = api.options if api else options or {}
        self.path = self.shown = ""
        self.response: Response | None = None

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return parsed(self.request("GET", path, params=params).utf8())

    def request(self, method: str, path: str, **options: Any) -> Response:
        query = urlencode(options.get("params") or {}, doseq=True)
        headers = "".join(f", {name}: {value}" for name, value in (options.get("headers") or {}).items())
        self.path = path
        self.shown = (f"{path}?{query}" if query else path) + headers
        if self._api is None:
            raise Permanent("nothing is sent")
        self.response = self._api.request(method, path, **options)
        return self.response


def _perform(source: Source, api: Any, kind: str, payload: str) -> tuple[list[Output], CrawlerdError | None]:
    try:
        return list(kinds.perform(source, api, kind, payload)), None
    except CrawlerdError as error:
        return [], error


def _answered(page: _RecordingApi, error: CrawlerdError | None) -> Iterator[str]:
    if page.response is not None:
        kind = page.response.headers.get("content-type", "no content type")
        yield f"  HTTP {page.response.status}, {len(page.response.body):,} bytes, {kind}"
    match error:
        case None:
            return
        case Unauthorized():
            meaning = "the account would be paused"
        case Throttled(retry_after=seconds):
            meaning = (
                f"the request would be repeated after {seconds:g} s"
                if seconds
                else "the request would be repeated, at a slower rate"
            )
        case Transient():
            meaning = "the request would be retried"
        case _:
            meaning = "it would be a dead letter"
    yield f"  {error}"
    yield f"  {meaning}"


def _aside(output: Output) -> Skip | None:
    """Why a record would not be imported; None if it would."""
    if isinstance(output, Skip):
        return output
    if isinstance(output, Record):
        rows, aside = StreamRows(), list[Skipped]()
        rows.add(output)
        rows.batch(output.stream, aside)
        if aside:
            return Skip(output.stream, output.key, aside[0].reason)
    return None


def _understood(outputs: list[Output], aside: list[Skip]) -> Iterator[str]:
    records = [each for each in outputs if isinstance(each, Record) and not _aside(each)]
    yield f"  {len(records):,} records, {len(aside):,} set aside"
    if records:
        fields = list(dict.fromkeys(name for each in records for name in _names(each)))
        more = f" and {len(fields) - SHOWN_FIELDS} more" if len(fields) > SHOWN_FIELDS else ""
        yield f"  keys: {', '.join(each.key for each in records[:SHOWN])}{', …' if len(records) > SHOWN else ''}"
        yield f"  fields: {', '.join(map(str, fields[:SHOWN_FIELDS]))}{more}"
    for skip in aside[:SHOWN]:
        yield f"  set aside: {skip.key}: {skip.reason}"
    if len(aside) > SHOWN:
        yield f"  set aside: {len(aside) - SHOWN:,} more"
    for each in outputs:
        if isinstance(each, Marks):
            others = f"; in the others, it cannot be read: {each.why}" if each.unread else ""
            yield f"  the time of change can be read in {each.read:,} of {each.read + each.unread:,} records{others}"
            if not each.read and not each.kept:
                yield "  no time of change: each run would read the whole list"
        if isinstance(each, Cursor):
            number = each.value.isdecimal()  # for a list ordered by number; it has leading zeros so that it sorts
            yield f"  the latest change is of {int(each.value) if number else each.value}"


def _names(record: Record) -> Iterable[str]:
    return record.data if isinstance(record.data, Mapping) else ()


def _following(
    source: Source, account: AccountSpec, api: HttpApi, outputs: list[Output], tasks: list[TaskArgs]
) -> tuple[list[str], bool]:
    """What would be requested next, and whether nothing is wrong with that."""
    here = {each.stream for each in outputs if isinstance(each, Record)}
    next_pages = [
        each for each in tasks if source.kinds[each.kind].stream in here or source.kinds[each.kind].sequential
    ]
    lines, refused = ["  no next page"], False
    if next_pages:
        asked = _would_ask(source, account, next_pages[0])
        lines = [f"  next page: GET {asked.shown}"]
        try:
            api.url(asked.path)
        except Permanent as error:
            lines, refused = [*lines, f"  it would be a dead letter: {error}"], True
    below = [each for each in tasks if each not in next_pages]
    for stream, count in Counter(source.kinds[each.kind].stream for each in below).items():
        first = next(each for each in below if source.kinds[each.kind].stream == stream)
        lines.append(f"  below: {count:,} of {stream}, the first: GET {_would_ask(source, account, first).shown}")
    return lines, refused


def _would_ask(source: Source, account: AccountSpec, task: TaskArgs) -> _RecordingApi:
    """The request that a task would make; "" if it makes none."""
    asked = _RecordingApi(None, account.options)
    _perform(source, asked, task.kind, encoded(task).decode())
    return asked
