"""Requests that want the daemon to fail, to lock out others, or to go on for those who may no longer look."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from support.other_user import as_nobody, needs_root
from support.web_site import ADMIN, METRICS, READ, Site, bearer, with_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

HTML = {"Accept": "text/html"}
OWN = {"Sec_Fetch_Site": "same-origin"}
WRONG_TOKENS = """
for number in range(11):
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    connection.sendall(b"GET /metrics HTTP/1.0\\r\\nAuthorization: Bearer %d\\r\\n\\r\\n" % number)
    print(connection.recv(4096).split()[1].decode())
"""


@pytest.fixture
def here(install: Callable[..., Installation]) -> Installation:
    return install(accounts=1, url="http://127.0.0.1:9")


def test_strangers_cause_no_fault(here: Installation) -> None:
    """Whatever is open to them is answered, and everything next to it does not exist for them."""
    daemon = with_tokens(here)
    site = Site(daemon)
    for method, path in (("GET", "/assets/x/y/z"), ("POST", "/assets/x"), ("GET", "/logout"), ("PUT", "/login")):
        answer = site.ask(method, path, **HTML, **OWN)
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"  # no page, which names the machine
    accept = "application/openmetrics-text; version=x; q=y"
    metrics = site.ask("GET", "/metrics", Accept=accept, **bearer(METRICS))
    assert (metrics.status, metrics.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    many = urlencode({f"field{number}": "" for number in range(20)})
    assert site.ask("POST", "/login", many, **OWN).status == 400
    assert "Traceback" not in daemon.stderr


def stream(site: Site, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=40)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.readline() == b": crawlerd\n"
    return answer


def test_numbers_and_texts_out_of_bounds_cause_no_fault(here: Installation) -> None:
    daemon = with_tokens(here)
    site, admin = Site(daemon), bearer(ADMIN)
    for digits in ("9" * 30, "9" * 5000, "%D9%A1"):
        for path in ("/dead/", "/runs/", "/operations/", "/api/v1/dead/", "/api/v1/operations/"):
            assert site.ask("GET", path + digits, **HTML, **admin).status == 404
        assert site.ask("POST", f"/operations/{digits}/cancel", "", **OWN, **admin).status == 404
    stream(site, "/live?at=//[", **admin).close()
    for far in (1e300, -1e300, 253402300800):
        letters = {"filter": {"since": far}}
        assert site.ask("POST", "/api/v1/dead/retry", letters, **admin).status == 400
        assert site.ask("POST", "/dead/drop", f"since={far}&reason=x", **OWN, **admin).status == 400
        assert site.ask("GET", f"/dead?until={far}", **HTML, **admin).status == 400
    deep = '{"filter":' + "[" * 200_000 + "]" * 200_000 + "}"
    for path in ("/api/v1/pauses", "/api/v1/dead/retry", "/api/v1/imports/a1/tasks", "/api/v1/imports/a1/run"):
        assert site.ask("POST", path, deep, Content_Type="application/json", **admin).status in (400, 404)
    for name, given in (("runs", {}), ("runs", {"return": 1}), ("dead_letter", {"number": 10**30})):
        assert site.ask("POST", f"/api/v1/reader/{name}", given, **admin).status == 400
    assert "Traceback" not in daemon.stderr


@pytest.mark.parametrize("path", ["/api/v1/events", "/live?at=/runs"])
def test_a_stream_ends_with_its_token_or_session(here: Installation, path: str) -> None:
    site = Site(with_tokens(here))
    cookie = site.log_in(READ).headers["Set-Cookie"].partition(";")[0]
    by_token = stream(site, path, **bearer(READ))
    by_cookie = stream(site, path, Cookie=cookie)
    by_session = stream(site, path, Cookie=(gone := site.log_in(READ).headers["Set-Cookie"].partition(";")[0]))
    stays = stream(site, path, **bearer(ADMIN))
    assert site.ask("POST", "/logout", "", Cookie=gone, **OWN).status == 303
    by_session.read()  # to its end
    (here.folder / "read_token").write_text("n" * 43)
    assert here.run("reload").code == 0
    by_token.read()
    by_cookie.read()
    assert stays.readline()
    for each in (by_token, by_cookie, by_session, stays):
        each.close()


@needs_root
def test_another_user_locks_nobody_out(here: Installation) -> None:
    site = Site(with_tokens(here))
    assert as_nobody(WRONG_TOKENS, site.port).split() == ["401"] * 10 + ["429"]
    assert site.ask("GET", "/metrics", **bearer(METRICS)).status == 200
    assert site.ask("GET", "/api/v1/status", **bearer(ADMIN)).status == 200
    assert site.log_in(ADMIN).status == 303


@pytest.mark.parametrize("ending", [":4711", ""])
def test_visitors_of_a_proxy_have_a_count_each(here: Installation, ending: str) -> None:
    """Also if the proxy adds ports, and over a socket of IPv6, to which its address is another one."""
    daemon = with_tokens(here, listen="[::]:0", trusted_proxies=["127.0.0.1"])
    site = Site(daemon)
    for number in range(11):
        last = site.ask("GET", "/api/v1/status", X_Forwarded_For=f"10.0.0.6{ending}", **bearer(f"{number}"))
    assert last.status == 429
    other = site.ask("GET", "/api/v1/status", X_Forwarded_For=f"10.0.0.7{ending}", **bearer(ADMIN))
    assert other.status == 200
    assert site.ask("GET", "/api/v1/status", X_Forwarded_For=f"127.0.0.1{ending}", **bearer(READ)).status == 200
    assert "trusted_proxies" not in daemon.stderr


def test_a_proxy_that_is_not_trusted_is_a_warning(here: Installation) -> None:
    daemon = with_tokens(here)
    site = Site(daemon)
    for _ in range(2):
        assert site.ask("GET", "/api/v1/status", X_Forwarded_For="10.0.0.6", **bearer(ADMIN)).status == 200
    assert daemon.stderr.count("WARNING requests come through a proxy at 127.0.0.1 that is not among") == 1


@pytest.mark.parametrize("header", ["X-Forwarded-Proto", "X-Forwarded-Server", "CF-Connecting-IP", "X-Client-IP"])
def test_what_a_proxy_passes_on_needs_a_token(here: Installation, header: str) -> None:
    site = Site(here.start("run"))
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(f"GET /api/v1/status HTTP/1.0\r\n{header}: x\r\n\r\n".encode())
        assert connection.recv(4096).split()[1] == b"401"


def test_a_request_under_way_is_not_cut_off_by_others(here: Installation) -> None:
    """Those who only connect make room for one another."""
    with socket.create_server(("127.0.0.1", 0)) as api:
        here.config["accounts"]["a1"]["base_url"] = f"http://127.0.0.1:{api.getsockname()[1]}"
        site = Site(here.start("run"))
        asking = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
        asking.request("POST", "/api/v1/accounts/a1/test", b"{}", {"Content-Type": "application/json"})
        asked, _ = api.accept()
        idle = [socket.create_connection(("127.0.0.1", site.port), timeout=20) for _ in range(100)]
        assert idle[0].recv(1) == b""
        asked.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        assert json.loads(asking.getresponse().read())["name"] == "a1"
        for each in (*idle, asked):
            each.close()
        asking.close()
