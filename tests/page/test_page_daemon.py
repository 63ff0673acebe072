"""The page of a real daemon: an import is started by a form and watched; the demo's daemon shows one."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from support.installation import until
from support.rest_api import Answer, RestApi
from support.shops import SHOP

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation
    from support.rest_api import Request


def ask(address: str, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Status, where it leads to, and text."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    body = None
    if fields is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(fields)
    with closing(HTTPConnection(address, timeout=20)) as connection:
        connection.request(method, path, body, headers)
        with connection.getresponse() as answer:
            return answer.status, answer.headers.get("Location", ""), answer.read().decode()


def test_an_import_is_started_by_a_form_and_watched_moving(install: Callable[..., Installation]) -> None:
    held = threading.Event()

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(30)])
        if int(request.path.split("/")[2]) >= 10:
            held.wait(30)
        return Answer([{"id": "line"}])

    with RestApi(script) as api:
        here = install(accounts=0)
        (here.folder / "source.toml").write_text(SHOP)
        here.config["accounts"]["acme"] = {"source": "rest", "description": "source.toml", "base_url": api.url}
        here.config["imports"]["acme"] = {"account": "acme", "sink": "sink", "streams": ["orders", "lines"]}
        daemon = here.start("run")
        address = daemon.says(r"http://([^/\s]+)/metrics")[1]
        assert "never ran" in ask(address, "GET", "/")[2]
        assert f"<dt>Listens on</dt><dd>{address}</dd>" in ask(address, "GET", "/about")[2]
        status, target, _ = ask(address, "POST", "/imports/acme/run", {"back": "/?q=ac", "key": "once"})
        assert (status, target[:12]) == (303, "/?q=ac&note=")
        assert ask(address, "POST", "/imports/acme/run", {"back": "/", "key": "once"})[0] == 303  # a double click
        assert "Run 1 of acme has started." in ask(address, "GET", target)[2]
        stream = HTTPConnection(address, timeout=20)
        stream.request("GET", "/live?at=%2Fruns%2F1")
        events = stream.getresponse()
        assert events.getheader("Content-Type", "").startswith("text/event-stream")
        done = [0]

        def seen() -> bool:
            line = events.readline().decode()
            done.extend(int(count) for count in re.findall(r"Tasks done</dt><dd>(\d+)", line))
            return done[-1] >= 11

        until(seen)
        held.set()
        until(lambda: "complete" in events.readline().decode())
        events.close()
        stream.close()
        assert here.states() == ["completed"]
        assert "It completed after" in ask(address, "GET", "/runs/1")[2]
        assert ask(address, "GET", "/live?at=/about%3F")[0] == 404


def test_the_demo_goes_on_as_a_daemon_until_it_is_ended(install: Callable[..., Installation]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = f"127.0.0.1:{found.getsockname()[1]}"
    here = install(accounts=0, daemon={"listen": address})
    here.write()
    code = (
        "import sys; from pathlib import Path; from rich.console import Console; "
        "from crawlerd.cli.demo_page import serve; "
        "sys.exit(serve(Path('crawlerd.toml'), sys.argv[1], Console()))"
    )
    with subprocess.Popen([sys.executable, "-c", code, address], cwd=here.folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(3)]
        assert f"The page: http://{address}/\n" in lines
        assert "No import is configured." in ask(address, "GET", "/")[2]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with socket.create_server(("127.0.0.1", int(address.partition(":")[2]))):
        pass  # the daemon has ended with it
