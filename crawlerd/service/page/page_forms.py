"""What people can do on the page. Each form sends a request to a resource of the API, as the person who submitted it.
Afterwards the browser returns to the same page and filter."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Route

from crawlerd.operations.problem import Problem, Refused
from crawlerd.service.control import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from crawlerd.service.web.context import PageContext

MOST_NOTES = 100  # how many notes about what was done are kept until somebody reads them
OK = range(200, 300)


@dataclass(frozen=True)
class Form:
    """A form.

    path: the path it is sent to, in the form that starlette uses.
    place: its entry in the navigation.
    method, target: of the resource; the target is below the API's root, with the words of the path in braces.
    body: makes the body for the resource, from the form's fields and the words of the path. Raises Refused if something
        is missing.
    said: a sentence about what was done, made from the words of the path and the answer.
    """

    path: str
    place: str
    method: str
    target: str
    body: Callable[[Mapping[str, str]], Any]
    said: Callable[[Mapping[str, str], Any], str]


class Forms:
    def __init__(self, context: PageContext, failed: Callable[..., Response]) -> None:
        """failed: makes the page for an error, from the request, the place, the error and a status."""
        self._context, self._failed = context, failed
        self._notes: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def routes(self) -> list[BaseRoute]:
        from crawlerd.service.page.actions import FORMS

        return [Route(form.path, partial(self._sent, form), methods=["POST"], name=form.path) for form in FORMS]

    def note(self, number: str | None) -> str | None:
        """What was done last, for the page to which the browser returns."""
        with self._lock:
            return self._notes.get(number) if number else None

    async def _sent(self, form: Form, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._done, form, request, body)

    def _done(self, form: Form, request: Request, body: bytes) -> Response:
        root, back = request.scope.get("root_path", ""), "/"
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
            back = local(fields.get("back", ""))
            wanted = form.body({**fields, **{name: str(word) for name, word in request.path_params.items()}})
        except (Refused, ValueError) as error:
            return self._failed(request, form.place, error, 400, back)
        words = {name: quote(str(word), safe="") for name, word in request.path_params.items()}
        target = ROOT.rstrip("/") + form.target.format(**words)
        answer = self._context.ask(request, form.method, target, msgspec.json.encode(wanted), fields.get("key"))
        if answer.status not in OK:
            problem = msgspec.json.decode(answer.body, type=Problem)
            return self._failed(request, form.place, Refused(problem.detail), answer.status, back)
        said = form.said(request.path_params, msgspec.json.decode(answer.body))
        return RedirectResponse(root + with_note(back, self._noted(said)), 303)

    def _noted(self, text: str) -> str:
        number = secrets.token_hex(8)
        with self._lock:
            self._notes[number] = text
            while len(self._notes) > MOST_NOTES:
                self._notes.popitem(last=False)
        return number


def local(target: str) -> str:
    """A path and a query of this page; "/" for anything else, so that a form never leads to another host."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    clean = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if clean and not parts.scheme and not parts.netloc else "/"


def with_note(target: str, number: str) -> str:
    """A path that shows the note."""
    parts = urlsplit(target)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "note"]
    return f"{parts.path}?{urlencode([*query, ('note', number)])}"
