"""A local API that receives deliveries, and counts how often it has applied each version of each record."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from support.local_server import LocalServer, reset

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "receivers-token"


class Receiver(LocalServer):
    """Takes POSTs of lists of records, each batch once by its `Idempotency-Key`.

    misbehave: what a request meets, called with its number (0 first) and its key: "reset" (after the batch was
    applied), "429", "500", "503" (before), "fewer" (the last record is not applied, and not counted as accepted), or
    None. latency: seconds. Records have the fields list, id and revision.
    """

    def __init__(
        self,
        misbehave: Callable[[int, str], str | None] = lambda number, key: None,
        *,
        latency: float = 0.0,
    ) -> None:
        super().__init__()
        self.misbehave, self.latency = misbehave, latency
        self.applied: Counter[tuple[str, int]] = Counter()
        self.held: dict[str, Any] = {}
        self.attempts: list[tuple[float, str]] = []
        self.sizes: list[int] = []
        self.paths: Counter[str] = Counter()
        self._answers: dict[str, int] = {}

    def tries(self) -> dict[str, list[float]]:
        """When each batch came, by its key."""
        found: dict[str, list[float]] = {}
        for at, key in self.attempts:
            found.setdefault(key, []).append(at)
        return found

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        number, key = len(self.attempts), request.headers.get("Idempotency-Key", "")
        self.attempts.append((time.monotonic(), key))
        if self.latency:
            await asyncio.sleep(self.latency)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        try:
            body = msgspec.json.decode(await request.read())
        except ConnectionError:  # a client that was killed is part of the tests
            return web.Response()
        fault = self.misbehave(number, key)
        match fault:
            case "500" | "503":
                return web.Response(status=int(fault), text="<html>oops</html>")
            case "429":
                return web.Response(status=429, headers={"Retry-After": "0"})
        records = body[:-1] if fault == "fewer" else body
        if key not in self._answers:
            if fault != "fewer":
                self._answers[key] = len(records)
                self.sizes.append(len(records))
                self.paths[request.path] += 1
            for record in records:
                name = f"{record['list']}/{record['id']}"
                self.applied[name, record["revision"]] += 1
                self.held[name] = record
        if fault == "reset":
            return reset(request)
        accepted = self._answers.get(key, len(records))
        return web.Response(body=msgspec.json.encode({"accepted": accepted}), content_type="application/json")
