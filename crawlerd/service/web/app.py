"""Which address is answered by what: metrics and health, the API, the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from crawlerd.core.errors import CrawlerdError
from crawlerd.operations.problem import ProblemCode
from crawlerd.service import page
from crawlerd.service.control import ROOT
from crawlerd.service.health import health, readiness
from crawlerd.service.web.answering import PROBLEM, problem_answer
from crawlerd.service.web.api_resources import refused_parameter
from crawlerd.service.web.callers import FOR_MONITORING, STRANGER, TooManyFailures, bearer
from crawlerd.service.web.guard import UNCOUNTED as HEALTH
from crawlerd.service.web.guard import Guard, own_path
from crawlerd.service.web.happenings import Kind
from crawlerd.service.web.login import LOGIN, LOGOUT, Login, to_login
from crawlerd.service.web.tokens import FAILURE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from crawlerd.service.metrics import Metrics
    from crawlerd.service.web.callers import Callers, Listener
    from crawlerd.service.web.context import PageContext

ASSETS = "/assets/"  # style sheets and scripts, which have no secrets
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="crawlerd"'}
METHODS = ["GET", "POST", "PUT", "DELETE"]


def application(context: PageContext, metrics: Metrics, callers: Callers, listener: Listener) -> ASGIApp:
    """The application behind one listener."""
    routes: list[BaseRoute] = [
        *_Open(context, metrics).routes(),
        Route(f"{ROOT}events", _events(context), methods=["GET"]),
        Route(f"{ROOT}{{path:path}}", _Api(context).answer, methods=METHODS),
    ]
    if context.engine.settings.daemon.page:
        routes += [*Login(callers).routes(), *page.routes(context)]
    return Guard(_Known(router(routes), callers, listener), listener)


def router(routes: list[BaseRoute]) -> ASGIApp:
    """A router that answers errors with problems."""
    app = Starlette(
        routes=routes, exception_handlers={404: _problem, 405: _problem, 500: _fault, TooManyFailures: _too_many}
    )
    app.router.redirect_slashes = False
    return app


class _Known:
    """Lets in people who may look. `state.caller` of the request says who they are."""

    def __init__(self, app: ASGIApp, callers: Callers, listener: Listener) -> None:
        self._app, self._callers, self._listener = app, callers, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            refusal = await self._refusal(request)
        except TooManyFailures as error:
            refusal = await _too_many(request, error)
        await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        path = own_path(request.scope)
        request.state.caller = STRANGER
        if path in HEALTH or path in (LOGIN, LOGOUT) or path.startswith(ASSETS):
            return None
        if path in FOR_MONITORING:
            if await self._callers.may_read_metrics(request, self._listener):
                return None
            return problem_answer(
                ProblemCode.UNAUTHENTICATED, "metrics need the metrics token of the daemon", CHALLENGE
            )
        caller = await self._callers.of(request, self._listener)
        request.state.caller = caller
        request.state.may_still = self._callers.watched(request, self._listener, caller)
        if caller.role != "nobody":
            return None
        if not self._callers.need_tokens:
            return problem_answer(ProblemCode.UNAUTHENTICATED, _strangers_text(caller.name))
        if bearer(request) is None and "text/html" in request.headers.get("accept", "") and not path.startswith(ROOT):
            return to_login(request)
        wrong = "" if bearer(request) is None else "the token of this request is neither; "
        text = f"{wrong}this needs the admin token or the read token of the daemon"
        return problem_answer(ProblemCode.UNAUTHENTICATED, text, CHALLENGE)


def _strangers_text(name: str) -> str:
    who = f"{name} is not the daemon's user" if name else "it is unknown who you are"
    return (
        f"{who}: write an admin_token in the configuration, or ask over the daemon's socket "
        "(`ssh -L 9464:SOCKET HOST` takes a browser there)"
    )


class _Open:
    """The addresses for monitoring."""

    def __init__(self, context: PageContext, metrics: Metrics) -> None:
        self._engine, self._metrics = context.engine, metrics

    def routes(self) -> list[Route]:
        return [
            Route("/metrics", self._whole),
            Route("/metrics/imports", self._imports),
            Route("/healthz", self._health),
            Route("/readyz", self._readiness),
        ]

    def _whole(self, request: Request) -> Response:
        return self._exposed(request, whole=True)

    def _imports(self, request: Request) -> Response:
        return self._exposed(request, whole=False)

    async def _health(self, request: Request) -> Response:
        return _judged(health(self._engine))

    async def _readiness(self, request: Request) -> Response:
        return _judged(readiness(self._engine))

    def _exposed(self, request: Request, *, whole: bool) -> Response:
        accept = ",".join(request.headers.getlist("accept"))
        try:
            body, kind = self._metrics.exposition(accept) if whole else self._metrics.imports(accept)
        except CrawlerdError as error:
            return _judged(str(error))
        return Response(body, headers={"Content-Type": kind})


def _judged(problem: str | None) -> Response:
    return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)


def _events(context: PageContext) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        kinds = [each for each in request.query_params.get("kinds", "").split(",") if each]
        if wrong := sorted(set(kinds) - set(get_args(Kind))):
            return problem_answer(
                ProblemCode.INVALID, f"kinds: {wrong[0]} is not a kind; use {', '.join(get_args(Kind))}"
            )
        return context.stream(request, context.happenings.messages(request.headers.get("last-event-id"), kinds))

    return answer


class _Api:
    """Everything below `/api/v1/`."""

    def __init__(self, context: PageContext) -> None:
        self._context = context

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._answered, request, body)

    def _answered(self, request: Request, body: bytes) -> Response:
        raw: bytes = request.scope["raw_path"]
        root = request.scope["root_path"].encode()
        query: bytes = request.scope["query_string"]
        target = (raw.removeprefix(root) + (b"?" + query if query else b"")).decode("ascii")
        key = request.headers.get("idempotency-key")
        method = "GET" if request.method == "HEAD" else request.method
        names = parse_qs(query.decode("ascii"), keep_blank_values=True)
        if text := refused_parameter(method, raw.removeprefix(root).decode("ascii").removeprefix(ROOT), names):
            return problem_answer(ProblemCode.INVALID, text)
        found = self._context.ask(request, method, target, body, key, request.headers.get("if-match"))
        headers = {"ETag": found.tag} if found.tag else None
        return Response(found.body, found.status, headers, "application/json" if found.status < 300 else PROBLEM)


async def _too_many(request: Request, error: Exception) -> Response:
    text = "too many wrong tokens came from your address; try again in a minute"
    return problem_answer(ProblemCode.TOO_MANY_FAILURES, text, {"Retry-After": str(int(FAILURE_SECONDS))})


async def _fault(request: Request, error: Exception) -> Response:
    """A fault in crawlerd; the guard logs it."""
    return problem_answer(ProblemCode.INTERNAL, f"{type(error).__name__}; the daemon's log says more")


async def _problem(request: Request, error: Exception) -> Response:
    detail = f"there is no {request.method} {request.url.path[:200]}; try /, /metrics, /healthz, /readyz or {ROOT}"
    status = error.status_code if isinstance(error, HTTPException) else 404
    return problem_answer(ProblemCode.of_status(status), detail)
