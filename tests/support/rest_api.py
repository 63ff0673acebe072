"""A small REST API on loopback that pages its lists in every way there is, and notes what it was asked."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from support.threaded_server import Handler, ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Request(NamedTuple):
    """query: the last value of each parameter. headers: names in lower case. at: monotonic seconds. target: path and
    query as they were sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float
    target: str = ""


class Answer(NamedTuple):
    """body: bytes as they are, or a value for JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


def objects(count: int, prefix: str = "o") -> list[dict[str, Any]]:
    return [{"id": f"{prefix}{number}", "number": number} for number in range(count)]


class RestApi(ThreadedServer):
    """lists: records by path; `/p/*/c` is the list below each record of `/p`, whose records the function of the
    record's id makes. A request is answered by `script`, if it returns an Answer, else with a page of the list; `page`
    pages it. requests: all that were answered.
    """

    def __init__(self, script: Callable[[Request], Answer | None] = lambda _: None) -> None:
        self.lists: dict[str, list[dict[str, Any]] | Callable[[str], list[dict[str, Any]]]] = {}
        self.script = script
        self.requests: list[Request] = []
        api = self

        class Answering(Handler):
            def respond(self) -> None:
                parts = urlsplit(self.path)
                request = Request(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query, keep_blank_values=True)),
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(int(self.headers.get("Content-Length", 0))),
                    time.monotonic(),
                    self.path,
                )
                with api._lock:
                    api.requests.append(request)
                answer = api.script(request) or api.page(request)
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.answer(answer.status, answer.headers, body)

        super().__init__(Answering)

    def page(self, request: Request) -> Answer:
        """The way of paging is the path's first part: /offset/items is the list /items, paged by offset."""
        way, _, rest = request.path.lstrip("/").partition("/")
        records = self.records(f"/{rest}", request.query)
        if records is None:
            return Answer({"message": "no such list"}, 404)
        size = min(int(request.query.get("limit", 10)), 50)
        page, first = request.query.get("page"), 0
        first = (int(page) - 1) * size if page else int(request.query.get("from", request.query.get("offset", 0)))
        found, following = records[first : first + size], first + size
        more = following < len(records)
        again = {name: value for name, value in request.query.items() if name not in ("from", "offset", "page")}
        url = f"{request.path}?{urlencode({**again, 'from': following})}"
        match way:
            case "body":
                return Answer({"data": found, "meta": {"next": str(following) if more else None, "more": more}})
            case "header":
                return Answer(found, headers={"X-Next": str(following)} if more else {})
            case "offset":
                return Answer({"items": found, "total": len(records)})
            case "number":
                return Answer(found, headers={"X-Pages": str(-(-len(records) // size))})
            case "link":
                link = f'<{self.url}/elsewhere>; rel="prev", <{self.url}{url}>; title="a, b"; rel="next"'
                return Answer(found, headers={"Link": link} if more else {})
            case "url":
                return Answer({"value": found, "next": url if more else ""})
        return Answer(records)

    def records(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]] | None:
        found = self.lists.get(path)
        parts = path.strip("/").split("/")
        if found is None and len(parts) == 3:
            below = self.lists.get(f"/{parts[0]}/*/{parts[2]}")
            known = {each["id"] for each in self.lists.get(f"/{parts[0]}") or ()}  # type: ignore[union-attr]
            found = below(parts[1]) if callable(below) and parts[1] in known else None
        if not isinstance(found, list):
            return None
        since = query.get("since")
        return [each for each in found if since is None or each["updated_at"] >= since]

    def asked(self, path: str) -> list[Request]:
        with self._lock:
            return [each for each in self.requests if each.path == path]


def running(**lists: Any) -> Iterator[RestApi]:
    """For fixtures."""
    with RestApi() as api:
        api.lists.update({f"/{name}": records for name, records in lists.items()})
        yield api
