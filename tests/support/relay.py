"""A relay in front of the local API: notes when each request arrives, and answers or holds those it is told to."""

from __future__ import annotations

import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from support.threaded_server import Handler, ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Answer(NamedTuple):
    """What the relay answers in the API's place."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}


class Seen(NamedTuple):
    """A request. arrived, answered: monotonic seconds. key: what its Authorization says."""

    path: str
    arrived: float
    answered: float
    status: int
    key: str = ""


class Relay(ThreadedServer):
    """script: called with the path of each request on that request's own thread; it may wait there, and returns an
    Answer, or None to ask the API. key: what the API is asked with, instead of the client's. seen: what was answered,
    in that order."""

    def __init__(
        self, target: str, script: Callable[[str], Answer | None] = lambda _: None, *, key: str | None = None
    ) -> None:
        self._netloc = urlsplit(target).netloc
        self._script = script
        self.seen: list[Seen] = []
        relay = self

        class Answering(Handler):
            def respond(self) -> None:
                arrived = time.monotonic()
                path = self.path.partition("?")[0]
                answer = relay._script(path) or relay._ask(
                    self.path, f"Bearer {key}" if key else self.headers["Authorization"]
                )
                with relay._lock:
                    sent_with = self.headers.get("Authorization", "")
                    relay.seen.append(Seen(path, arrived, time.monotonic(), answer.status, sent_with))
                self.answer(answer.status, answer.headers, answer.body)

        super().__init__(Answering)

    def _ask(self, target: str, authorization: str) -> Answer:
        connection = HTTPConnection(self._netloc, timeout=10)
        try:
            connection.request("GET", target, headers={"Authorization": authorization})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def of(self, path: str) -> list[Seen]:
        """The requests for one path, in the order of their answers."""
        with self._lock:
            return [each for each in self.seen if each.path == path]
