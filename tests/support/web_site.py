"""The daemon's page and API as a client over TCP sees them."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from crawlerd.operations.problem import ProblemCode

if TYPE_CHECKING:
    from support.installation import Installation, Running

ADMIN, READ, METRICS = "a" * 43, "r" * 43, "m" * 43


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def code(self) -> str:
        """Of the problem; "" if it is none."""
        is_problem = self.headers.get_content_type() == "application/problem+json"
        return str(json.loads(self.text)["code"]) if is_problem and self.text else ""


class Site:
    """The daemon's, over TCP. An error that is a problem has a code of its status."""

    def __init__(self, daemon: Running) -> None:
        self.port = int(daemon.says(r"http://\S+:(\d+)/metrics")[1])

    def ask(self, method: str, path: str, body: object = None, /, **headers: str) -> Answer:
        """headers: with underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        if body is not None and not isinstance(body, str):
            sent["Content-Type"] = "application/json"
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read().decode())
        connection.close()
        if found.code:
            assert ProblemCode[found.code.upper()].status == json.loads(found.text)["status"] == found.status
        return found

    def log_in(self, token: str, **headers: str) -> Answer:
        fields = urlencode({"token": token, "next": "/dead?x=1"})
        return self.ask("POST", "/login", fields, Origin=f"http://127.0.0.1:{self.port}", **headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def with_tokens(here: Installation, **daemon: object) -> Running:
    names = {"admin_token": ADMIN, "read_token": READ, "metrics_token": METRICS}
    for name, token in names.items():
        path = here.folder / name
        path.write_text(token + "\n")
        path.chmod(0o600)
        here.config["daemon"][name] = {"file": name}
    here.config["daemon"].update(daemon)
    return here.start("run")
