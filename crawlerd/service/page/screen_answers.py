"""A screen as the answer to a request, and the files that it loads."""

from __future__ import annotations

import logging
import platform
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.version import __version__
from crawlerd.core.wording import agreeing
from crawlerd.operations.history import History
from crawlerd.operations.problem import Changed, Refused, Unknown
from crawlerd.operations.pulse import SERIES
from crawlerd.operations.recent_rates import RecentRates
from crawlerd.service.control import ROOT
from crawlerd.service.health import health
from crawlerd.service.page.asked import Asked, Shown
from crawlerd.service.page.live_stream import LiveStreams
from crawlerd.service.page.page_forms import Forms, local
from crawlerd.service.page.page_sampler import PageSampler
from crawlerd.service.page.page_texts import duration
from crawlerd.service.page.rendering import FILES, asset, asset_path, render
from crawlerd.service.page.screens import PLACES, SCREENS
from crawlerd.service.parameters import Parameters
from crawlerd.service.web.callers import COOKIE, SECURE_COOKIE
from crawlerd.service.web.guard import METHODS

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.service.page.asked import Screen
    from crawlerd.service.web.context import PageContext

log = logging.getLogger(__name__)

HTML = "text/html; charset=utf-8"

HEADINGS = {
    404: "Not found",
    409: "Changed in the meantime",
    503: "Not possible now",
    504: "No answer in time",
}
CONFIRM = "confirm"  # the template of screens that only have a form
NO_ANSWER = "the daemon's dispatcher does not answer; see its log, and restart it: nothing is lost"
A_YEAR = "public, max-age=31536000, immutable"
LIVE = "crawlerd-live"  # the cookie that remembers that a person wants no automatic updates


class Pages:
    """The pages of one daemon."""

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._began = time.monotonic()
        self._history = History(SERIES)
        self._runs, self._accounts = RecentRates[int](end=True), RecentRates[str](end=False)
        self._sampler = PageSampler(context.engine, self._history, self._runs, self._accounts)
        self._sampler.start()
        self._streams = LiveStreams()
        self._live_routes = [(screen, Route(screen.path, self._asset)) for screen in SCREENS if screen.live]
        self._forms = Forms(context, self._failed)

    def routes(self) -> list[BaseRoute]:
        made: list[BaseRoute] = [
            Route(screen.path, partial(self._shown, screen), methods=["GET"], name=screen.path) for screen in SCREENS
        ]
        made += self._forms.routes()
        made.append(Route("/live", self._live, methods=["GET"], name="live"))
        made.append(Route("/assets/{digest}/{name}", self._asset, methods=["GET"], name="assets"))
        made.append(Route("/{path:path}", self._nothing, methods=list(METHODS), name="nothing"))
        return made

    def _shown(self, screen: Screen, request: Request) -> Response:
        if (wanted := request.query_params.get("live")) in ("0", "1"):
            return self._toggled(request, live=wanted == "1")
        reader = None
        try:
            reader = self._context.open_reader()
            asked = self.asked(request, reader)
            shown = screen.show(asked)
            if shown.template == CONFIRM and not asked.may_act:
                return self._failed(request, screen.place, Refused("you may look, but not change anything"), 403)
            return self._answer(request, screen.place, shown, asked.now, live=screen.live, dead=_dead(reader))
        except (Unknown, Refused, Changed, msgspec.ValidationError, ValueError, CrawlerdError) as error:
            return self._failed(request, screen.place, error)
        except TimeoutError:
            return self._failed(request, screen.place, CrawlerdError(NO_ANSWER), 504)
        finally:
            if reader:
                reader.close()

    def asked(self, request: Request, reader: FrontierReader | None) -> Asked:
        return Asked(
            self._context,
            reader,
            request.path_params,
            Parameters(request.url.query),
            time.time(),
            self._history,
            self._runs,
            self._accounts,
            self._context.may_act(request),
            self._context.may_see_payloads(request),
        )

    def _answer(
        self,
        request: Request,
        place: str,
        shown: Shown,
        now: float,
        *,
        live: bool = False,
        dead: int | None = None,
    ) -> Response:
        """dead: how many dead letters there are; None if unknown."""
        values = self.values(request, place, shown, now, live=live) | {"dead_count": dead}
        return Response(render(shown.template, values), shown.status, media_type=HTML)

    def values(self, request: Request, place: str, shown: Shown, now: float, *, live: bool) -> dict[str, object]:
        """The values for a template, without the count of dead letters."""
        root = request.scope.get("root_path", "")
        query = {key: value for key, value in request.query_params.items() if key not in ("live", "note")}
        back = quote(request.url.path.removeprefix(root), safe="/:@") + (f"?{urlencode(query)}" if query else "")
        return {
            **shown.values,
            "title": shown.title,
            "json": shown.json and f"{root}{ROOT.rstrip('/')}{shown.json}",
            "here": place,
            "places": PLACES,
            "now": now,
            "zone": None,
            "root": root,
            "back": shown.values.get("back", back),
            "note": self._forms.note(request.query_params.get("note")),
            "may_act": self._context.may_act(request),
            "may_log_out": any(name in request.cookies for name in (COOKIE, SECURE_COOKIE)),
            "banner": _banner(self._context.engine),
            "daemon_line": self._daemon_line(now),
            "stream": f"{root}/live?{urlencode({'at': back})}" if live else None,
            "live": request.cookies.get(LIVE) != "0",
            "go_live": f"?{urlencode({**query, 'live': 1})}",
            "stop_live": f"?{urlencode({**query, 'live': 0})}",
        }

    def _daemon_line(self, now: float) -> str:
        zone = datetime.fromtimestamp(now).astimezone().tzname()
        up = duration(time.monotonic() - self._began)
        return f"{platform.node()} · {__version__} · up {up} · times: {zone}"

    def _failed(
        self, request: Request, place: str, error: Exception, status: int | None = None, back: str = ""
    ) -> Response:
        """The page about an error.

        back: where the link leads; "" for the page itself.
        """
        if status is None:
            status = 404 if isinstance(error, Unknown) else 400 if isinstance(error, (Refused, ValueError)) else 503
        heading = HEADINGS.get(status, "That cannot be done")
        values: dict[str, object] = {"heading": heading, "detail": _sentence(str(error)), "links": []}
        values |= {"back": back} if back else {}
        shown = Shown("error", heading, values, status=status)
        return self._answer(request, place, shown, time.time())

    def _toggled(self, request: Request, *, live: bool) -> Response:
        query = {key: value for key, value in request.query_params.items() if key != "live"}
        response = RedirectResponse(request.url.path + (f"?{urlencode(query)}" if query else ""), 303)
        response.set_cookie(LIVE, str(int(live)), max_age=365 * 86_400, httponly=True, samesite="strict")
        return response

    async def _live(self, request: Request) -> Response:
        """The updates of the page whose path and query is `at`."""
        parts = urlsplit(local(request.query_params.get("at", "/")))
        if (found := self._live_screen(request, parts.path)) is None:
            return Response("there is no such page\n", 404)
        screen, words = found
        root = request.scope.get("root_path", "")
        looked = {
            **request.scope,
            "path": root + unquote(parts.path),
            "raw_path": (root + parts.path).encode(),
            "query_string": parts.query.encode(),
            "path_params": words,
        }
        page = Request(looked)

        def make() -> str:
            body = self._shown(screen, page).body
            return bytes(body).decode()

        rights = self._context.may_act(request), self._context.may_see_payloads(request)
        key = (root, parts.path, parts.query, *rights)
        return self._context.stream(request, self._streams.messages(key, make))

    def _nothing(self, request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", "") or not self._context.may_look(request):
            raise HTTPException(404)  # a page would name the machine and the version to strangers
        return self._failed(request, "", Unknown(f"there is no page {request.url.path[:200]}"))

    def _live_screen(self, request: Request, path: str) -> tuple[Screen, dict[str, str]] | None:
        """The screen at a path, with the words of the path; None if there is none."""
        for screen, route in self._live_routes:
            match, child = route.matches({**request.scope, "path": unquote(path), "root_path": ""})
            if match is Match.FULL:
                return screen, child["path_params"]
        return None

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES or request.url.path.removeprefix(request.scope.get("root_path", "")) != asset_path(name):
            return Response("there is no such file\n", 404)
        return Response(asset(name), headers={"Cache-Control": A_YEAR}, media_type=FILES[name][1])


def _dead(reader: FrontierReader | None) -> int:
    return reader.totals()[3] if reader else 0


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _banner(engine: Engine) -> str | None:
    """What everybody who looks at a screen must see; None for nothing."""
    if engine.dispatcher.draining:
        count = agreeing(engine.dispatcher.leased, "task", "are")
        return (
            f"The daemon is stopping: {count} still under way. Nothing is lost; the rest continues at the next start."
        )
    if problem := health(engine):
        return f"The daemon is stuck: {problem}. See its log; nothing is lost by a restart."
    return None
