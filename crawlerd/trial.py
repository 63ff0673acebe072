"""One page of a source, asked for and explained: what it was taken for, and what would be asked next."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from crawlerd.clients.http import HttpClient
from crawlerd.core.errors import CrawlerdError, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.problems import one_line
from crawlerd.source import Cursor, Record, Response, RunPlan, Skip, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crawlerd.core.account import AccountSpec
    from crawlerd.source import Api, Output, Source

SHOWN = 5  # of keys, records that are set aside, kinds of tasks
SHOWN_FIELDS = 30
WIDTH = 300  # characters of a line


class Trial(NamedTuple):
    """lines: for people, without secrets. good: the page was understood, and nothing in it set aside."""

    lines: list[str]
    good: bool


def try_page(source: Source, account: AccountSpec, stream: str) -> Trial:
    """Fetches the first page of a stream; for one below others, also theirs, and goes on below their first record."""
    client = HttpClient(connections=1)
    lines: list[str] = []
    try:
        first = source.first(RunPlan((stream,), full=True, started_at=time.time()), lambda _: None)
        (task,) = [*first.children, *(task for gather in first.gathers for task in gather.tasks)]
        kind, payload = task.kind, task.payload
        while True:
            here = source.kinds[kind].stream
            page = _Asked(client.open(source, account))
            outputs, error = _perform(source, page, kind, payload)
            lines += [f"{here}: GET {page.shown}", *_answered(page, error)]
            if error is not None:
                return Trial([one_line(line)[:WIDTH] for line in lines], good=False)
            tasks = [each for each in outputs if isinstance(each, TaskArgs) and _would_ask(source, account, each)]
            below = [each for each in tasks if source.kinds[each.kind].stream != here]
            if here == stream or not below:
                lines += _understood(source, account, outputs, tasks)
                good = here == stream and not any(isinstance(each, Skip) for each in outputs)
                if here != stream:
                    lines.append(f"  no record leads further down to {stream}")
                return Trial([one_line(line)[:WIDTH] for line in lines], good)
            lines.append(f"  leads to {len(below):,} lists below; going on with the first")
            kind, payload = below[0].kind, msgspec.json.encode(below[0]).decode()
    finally:
        client.close()


class _Asked:
    """An Api that notes what is asked of it. Without one to pass it on to, nothing is sent."""

    def __init__(self, api: Api | None, options: Mapping[str, Any] | None = None) -> None:
        self._api = api
        self.mode = ""
        self.options = api.options if api else options or {}
        self.shown = ""
        self.response: Response | None = None

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return msgspec.json.decode(self.request("GET", path, params=params).body)

    def request(self, method: str, path: str, **options: Any) -> Response:
        query = urlencode(options.get("params") or {}, doseq=True)
        self.shown = f"{path}?{query}" if query else path
        if self._api is None:
            raise Permanent("nothing is sent")
        self.response = self._api.request(method, path, **options)
        return self.response


def _perform(source: Source, api: Any, kind: str, payload: str) -> tuple[list[Output], CrawlerdError | None]:
    try:
        return list(source.perform(api, kind, payload)), None
    except CrawlerdError as error:
        return [], error


def _answered(page: _Asked, error: CrawlerdError | None) -> Iterator[str]:
    if page.response is not None:
        kind = page.response.headers.get("content-type", "no content type")
        yield f"  HTTP {page.response.status}, {len(page.response.body):,} bytes, {kind}"
    match error:
        case None:
            return
        case Unauthorized():
            meaning = "the account would be paused"
        case Throttled(retry_after=seconds):
            meaning = f"it would be asked again after {seconds:g} s" if seconds else "it would be asked again, slower"
        case Transient():
            meaning = "it would be tried again"
        case _:
            meaning = "it would be a dead letter"
    yield f"  {error}"
    yield f"  {meaning}"


def _understood(source: Source, account: AccountSpec, outputs: list[Output], tasks: list[TaskArgs]) -> Iterator[str]:
    records = [each for each in outputs if isinstance(each, Record)]
    aside = [each for each in outputs if isinstance(each, Skip)]
    yield f"  {len(records):,} records, {len(aside):,} set aside"
    if records:
        fields = list(dict.fromkeys(name for each in records for name in each.data or ()))
        more = f" and {len(fields) - SHOWN_FIELDS} more" if len(fields) > SHOWN_FIELDS else ""
        yield f"  keys: {', '.join(each.key for each in records[:SHOWN])}{', …' if len(records) > SHOWN else ''}"
        yield f"  fields: {', '.join(map(str, fields[:SHOWN_FIELDS]))}{more}"
    for each in aside[:SHOWN]:
        yield f"  set aside: {each.key}: {each.reason}"
    for cursor in outputs:
        if isinstance(cursor, Cursor):
            yield f"  the latest change is of {cursor.value}"
    here = {each.stream for each in records}
    next_pages = [
        each for each in tasks if source.kinds[each.kind].stream in here or source.kinds[each.kind].sequential
    ]
    below = [each for each in tasks if each not in next_pages]
    yield f"  next page: GET {_would_ask(source, account, next_pages[0])}" if next_pages else "  no next page"
    for stream, count in Counter(source.kinds[each.kind].stream for each in below).items():
        first = next(each for each in below if source.kinds[each.kind].stream == stream)
        yield f"  below: {count:,} of {stream}, the first: GET {_would_ask(source, account, first)}"


def _would_ask(source: Source, account: AccountSpec, task: TaskArgs) -> str:
    """What a task would ask for; "" when it makes no request."""
    asked = _Asked(None, account.options)
    _perform(source, asked, task.kind, msgspec.json.encode(task).decode())
    return asked.shown
