"""Requests to an ASGI application, in process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


def get(app: ASGIApp, target: str, headers: Mapping[str, str] | None = None, root: str = "") -> Response:
    """target: path and query."""
    return asyncio.run(_asked(app, "GET", target, b"", headers or {}, root))


def post(app: ASGIApp, target: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Response:
    """A form."""
    typed = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
    return asyncio.run(_asked(app, "POST", target, urlencode(fields).encode(), typed, ""))


async def _asked(
    app: ASGIApp, method: str, target: str, body: bytes, headers: Mapping[str, str], root: str
) -> Response:
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root + unquote(path),
        "raw_path": (root + path).encode(),
        "query_string": query.encode(),
        "root_path": root,
        "headers": [(b"host", b"localhost"), *((key.encode(), value.encode()) for key, value in headers.items())],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(each for each in sent if each["type"] == "http.response.start")
    text = b"".join(each.get("body", b"") for each in sent if each["type"] == "http.response.body")
    return Response(start["status"], {key.decode(): value.decode() for key, value in start["headers"]}, text.decode())
