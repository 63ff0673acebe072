"""Logging in: a token is exchanged for a cookie, so that the token appears in no address and no script."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from crawlerd.service import page
from crawlerd.service.web.callers import COOKIE, SECURE_COOKIE
from crawlerd.service.web.tokens import SESSION_SECONDS

if TYPE_CHECKING:
    from starlette.requests import Request

    from crawlerd.service.web.callers import Callers

LOGIN, LOGOUT = "/login", "/logout"
MOST_FIELDS = 10


class Login:
    """The login of a listener."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def routes(self) -> list[Route]:
        return [
            Route(LOGIN, self._form, methods=["GET"]),
            Route(LOGIN, self._begin, methods=["POST"]),
            Route(LOGOUT, self._end, methods=["POST"]),
        ]

    async def _form(self, request: Request) -> Response:
        if not self._callers.need_tokens:
            return RedirectResponse(request.scope["root_path"] + "/", 303)
        return _page(request, 200, "Log in", "The admin token permits changes; the read token only permits looking.")

    async def _begin(self, request: Request) -> Response:
        try:
            fields = dict(parse_qsl((await request.body()).decode(errors="replace"), max_num_fields=MOST_FIELDS))
        except ValueError:
            return _page(request, 400, "Log in", f"A login has {MOST_FIELDS} fields at most.")
        cookie = await self._callers.begin_session(request, fields.get("token", "").strip())
        if cookie is None:
            return _page(request, 401, "Log in", "This is not a token of this daemon.", fields.get("next", "/"))
        response = RedirectResponse(request.scope["root_path"] + local_target(fields.get("next", "/")), 303)
        is_secure = self._callers.is_secure(request)
        response.set_cookie(
            SECURE_COOKIE if is_secure else COOKIE,
            cookie,
            max_age=int(SESSION_SECONDS),
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="strict",
        )
        return response

    async def _end(self, request: Request) -> Response:
        response = RedirectResponse(request.scope["root_path"] + LOGIN, 303)
        for name in (COOKIE, SECURE_COOKIE):
            if cookie := request.cookies.get(name):
                self._callers.sessions.end(cookie)
                response.delete_cookie(name, secure=name == SECURE_COOKIE, httponly=True, samesite="strict")
        return response


def to_login(request: Request) -> Response:
    """Sends a browser without a cookie to the login."""
    path = request.url.path.removeprefix(request.scope["root_path"])
    wanted = path + (f"?{request.url.query}" if request.url.query else "")
    query = urlencode({"next": wanted}) if wanted != "/" else ""
    return RedirectResponse(f"{request.scope['root_path']}{LOGIN}{'?' * bool(query)}{query}", 303)


def local_target(target: str) -> str:
    """A path and query of this page; "/" for anything else, so that a form never leads to another host."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_ours = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if is_ours and not parts.scheme and not parts.netloc else "/"


def _page(request: Request, status: int, title: str, detail: str, wanted: str | None = None) -> Response:
    wanted = request.query_params.get("next", "/") if wanted is None else wanted
    root: str = request.scope["root_path"]
    return HTMLResponse(page.login(root, title, detail, local_target(wanted), failed=status >= 400), status)
