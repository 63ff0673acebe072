"""What the page may use of the daemon: a reader, who is asking, and the API's resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier import open_reader
from crawlerd.operations.problem import ProblemCode
from crawlerd.service import resources
from crawlerd.service.resources import Answer, problem
from crawlerd.service.web.callers import Caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.service.notifying import Notifier
    from crawlerd.service.repeated import Keys
    from crawlerd.service.web.happenings import Happenings
    from crawlerd.service.web.streams import Streams

READING = ("GET", "HEAD")


class PageContext:
    """One daemon's context, for all requests.

    Endpoints that read the frontier or call `ask` are plain functions, which run on a thread. `async` endpoints run on
    the event loop and must not block. Requests from people who may not look at anything never reach an endpoint.

    keys: the keys of requests under way.
    happenings: the source of server-sent events.
    """

    def __init__(
        self, engine: Engine, notifier: Notifier, keys: Keys, streams: Streams, happenings: Happenings
    ) -> None:
        self.engine, self.notifier, self.keys = engine, notifier, keys
        self.happenings, self._streams = happenings, streams

    def open_reader(self) -> FrontierReader | None:
        """A reader of the frontier; None before the first import. The caller closes it. Not for the event loop."""
        return open_reader(self.engine.settings.daemon.state_dir)

    def caller(self, request: HTTPConnection) -> Caller:
        found: Caller = request.state.caller
        return found

    def by(self, request: HTTPConnection) -> str:
        """The name of the sender, for the audit."""
        return self.caller(request).name

    def may_look(self, request: HTTPConnection) -> bool:
        """Whether the sender may look at anything; strangers may not, although some addresses are open to them."""
        return self.caller(request).role != "nobody"

    def may_act(self, request: HTTPConnection) -> bool:
        """Whether the sender may change anything; if not, the page shows no forms."""
        return self.caller(request).role == "admin"

    def may_see_payloads(self, request: HTTPConnection) -> bool:
        """Whether the sender may see the payloads of dead letters."""
        return self.caller(request).role == "admin"

    def ask(
        self,
        request: HTTPConnection | Caller,
        method: str,
        target: str,
        body: bytes = b"",
        key: str | None = None,
        match: str | None = None,
    ) -> Answer:
        """The API's answer for the sender. Not for the event loop: it may wait for disks and other threads.

        target: path and query, such as `/api/v1/imports/NAME/run`.
        body: JSON.
        key: the request's key, if it may be sent again.
        match: the `tag` of the answer that is to be changed.
        """
        caller = request if isinstance(request, Caller) else self.caller(request)
        if method not in READING and caller.role != "admin":
            return problem(
                ProblemCode.READ_ONLY, f"{caller.name} may look, but not change anything; the admin token may"
            )
        return resources.answer(
            self.engine,
            self.notifier,
            self.keys,
            method,
            target,
            body,
            caller.name,
            key,
            match=match,
            whole=caller.role == "admin",
        )

    def stream(self, request: Request, messages: AsyncIterator[bytes]) -> Response:
        """Server-sent events, until `messages` ends, the browser disconnects, its token or session ends, or the daemon
        ends; 503 if too many streams are open. For `async` endpoints.

        messages: complete messages, each with the empty line at its end; must be made without blocking.
        """
        return self._streams.response(request, messages, request.state.may_still)
