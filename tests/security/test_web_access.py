"""Who gets in over TCP: users of the machine, tokens, cookies, proxies; against a real daemon."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from support.other_user import as_nobody, needs_root
from support.web_site import ADMIN, METRICS, READ, Site, bearer, with_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

PAUSE = {"kind": "source", "names": ["stripe"], "reason": "test"}
AS_NOBODY = """
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(b"GET %s HTTP/1.0\\r\\n\\r\\n" % sys.argv[2].encode())
print(b"".join(iter(lambda: connection.recv(4096), b"")).decode())
"""


@pytest.fixture
def here(install: Callable[..., Installation]) -> Installation:
    return install(accounts=1, url="http://127.0.0.1:9")


def audited(here: Installation) -> list[str]:
    return [each["by"] for each in here.run("audit", "--json").json]


def test_the_daemons_own_user_needs_no_token_on_loopback(here: Installation) -> None:
    site = Site(here.start("run"))
    assert site.ask("GET", "/api/v1/status").status == 200
    assert site.ask("POST", "/api/v1/pauses", PAUSE).status == 200
    assert len(audited(here)) == 1
    for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"):  # it may come from anywhere
        assert site.ask("GET", "/api/v1/status", **{header: "127.0.0.1"}).status == 401
    assert site.ask("POST", "/api/v1/pauses", PAUSE, Sec_Fetch_Site="cross-site").code == "foreign_site"
    assert site.ask("GET", "/api/v1/status", Host="evil.example").code == "wrong_host"


@needs_root
def test_other_users_of_the_machine_need_one(here: Installation) -> None:
    site = Site(here.start("run"))
    assert " 200 " in as_nobody(AS_NOBODY, site.port, "/healthz")
    assert " 200 " in as_nobody(AS_NOBODY, site.port, "/metrics")
    for path in ("/api/v1/status", "/", "/api/v1/dead"):
        answer = as_nobody(AS_NOBODY, site.port, path)
        assert " 401 " in answer
        assert "nobody is not the daemon's user" in answer


def test_tokens(here: Installation) -> None:
    daemon = with_tokens(here, listen="0.0.0.0:0")
    site = Site(daemon)
    assert "allow_remote" not in daemon.stderr
    assert site.ask("GET", "/healthz").status == 200
    assert site.ask("GET", "/metrics").status == 401
    assert site.ask("GET", "/metrics", **bearer(METRICS)).status == 200
    assert site.ask("GET", "/api/v1/status", **bearer(METRICS)).status == 401
    nobody = site.ask("GET", "/api/v1/status")
    assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, 'Bearer realm="crawlerd"')
    assert site.ask("GET", "/api/v1/status", **bearer(READ)).status == 200
    refused = site.ask("POST", "/api/v1/pauses", PAUSE, **bearer(READ))
    assert (refused.status, json.loads(refused.text)["title"]) == (403, "Forbidden")
    assert site.ask("POST", "/api/v1/reader/dead_letters", {}, **bearer(READ)).code == "read_only"
    assert site.ask("POST", "/api/v1/pauses", PAUSE, **bearer(ADMIN)).status == 200
    assert audited(here) == ["admin token, 127.0.0.1"]
    form = site.ask("POST", "/api/v1/pauses", "kind=source", **bearer(ADMIN))
    assert form.status == 403  # not JSON, and not from the page
    for text in (ADMIN, READ, METRICS):
        assert text not in daemon.stderr
        assert text not in site.ask("GET", "/metrics", **bearer(ADMIN)).text


def test_a_token_becomes_a_cookie(here: Installation) -> None:
    site = Site(with_tokens(here))
    sent = site.ask("GET", "/dead?x=1", Accept="text/html")
    assert (sent.status, sent.headers["Location"]) == (303, "/login?next=%2Fdead%3Fx%3D1")
    assert 'value="/dead?x=1"' in site.ask("GET", sent.headers["Location"]).text
    assert site.log_in("wrong").status == 401
    logged_in = site.log_in(READ)
    assert (logged_in.status, logged_in.headers["Location"]) == (303, "/dead?x=1")
    cookie = logged_in.headers["Set-Cookie"]
    assert {each.strip().lower() for each in cookie.split(";")[1:]} == {
        "httponly",
        "samesite=strict",
        "path=/",
        "max-age=43200",
    }
    assert READ not in cookie
    value = cookie.partition(";")[0]
    assert site.ask("GET", "/api/v1/status", Cookie=value).status == 200
    own = {"Cookie": value, "Sec_Fetch_Site": "same-origin"}
    assert site.ask("POST", "/api/v1/pauses", PAUSE, **own).status == 403  # may look
    value = site.log_in(ADMIN).headers["Set-Cookie"].partition(";")[0]
    own["Cookie"] = value
    assert site.ask("POST", "/api/v1/pauses", PAUSE, Cookie=value, Sec_Fetch_Site="same-site").status == 403
    assert site.ask("POST", "/api/v1/pauses", PAUSE, **own).status == 200
    assert site.ask("POST", "/logout", "", **own).status == 303
    assert site.ask("GET", "/api/v1/status", Cookie=value).status == 401


def test_wrong_tokens_are_counted(here: Installation) -> None:
    site = Site(with_tokens(here, trusted_proxies=["127.0.0.1"]))
    statuses = [site.ask("GET", "/api/v1/status", **bearer(f"{n}")).status for n in range(11)]
    assert statuses == [401] * 10 + [429]
    late = site.ask("GET", "/api/v1/status", **bearer(ADMIN))  # the right one is not looked at either
    assert (late.status, late.headers["Retry-After"]) == (429, "60")
    assert site.log_in(ADMIN).status == 429
    assert site.ask("GET", "/api/v1/status", X_Forwarded_For="10.0.0.7", **bearer(ADMIN)).status == 200
    assert site.ask("GET", "/healthz").status == 200


def test_a_proxy_that_is_trusted_says_who_asks(here: Installation) -> None:
    daemon = with_tokens(
        here, trusted_proxies=["127.0.0.1"], root_path="/crawler/", allowed_hosts=["crawler.example.com"]
    )
    site = Site(daemon)
    proxied = {"Host": "crawler.example.com", "X_Forwarded_For": "6.6.6.6, 10.0.0.7", "X_Forwarded_Proto": "https"}
    assert site.ask("POST", "/api/v1/pauses", PAUSE, **proxied, **bearer(ADMIN)).status == 200
    assert audited(here) == ["admin token, 10.0.0.7"]  # what is before it, anybody can write
    assert site.ask("GET", "/healthz", **proxied).status == 200
    sent = site.ask("GET", "/runs", Accept="text/html", **proxied)
    assert sent.headers["Location"] == "/crawler/login?next=%2Fruns"
    fields = urlencode({"token": ADMIN})
    logged_in = site.ask("POST", "/login", fields, Sec_Fetch_Site="same-origin", **proxied)
    assert re.match("__Host-crawlerd=[^;]+;.*[Ss]ecure", logged_in.headers["Set-Cookie"])
    assert logged_in.headers["Location"] == "/crawler/"


def test_read_only_and_no_page(here: Installation) -> None:
    site = Site(with_tokens(here, read_only=True, page=False))
    assert site.ask("GET", "/api/v1/status", **bearer(ADMIN)).status == 200
    assert site.ask("POST", "/api/v1/pauses", PAUSE, **bearer(ADMIN)).status == 403
    assert site.ask("GET", "/", **bearer(ADMIN)).status == 404
    assert site.ask("POST", "/login", "token=x", Sec_Fetch_Site="none").status == 404
    assert here.run("pause", "source", "stripe", "--reason", "by the socket").code == 0


@pytest.mark.parametrize(
    ("daemon", "said"),
    [
        ({"listen": "0.0.0.0:0"}, "write an admin_token"),
        ({"trusted_proxies": ["127.0.0.1"]}, "write an admin_token or a read_token as well"),
        ({"trusted_proxies": ["proxy"]}, "must be an address"),
        ({"root_path": "x"}, 'must be a path, such as "/crawlerd"'),
        ({"admin_token": {"env": "SHORT"}}, "fewer than 32 characters"),
    ],
)
def test_what_lets_anybody_in_is_refused(here: Installation, daemon: dict[str, object], said: str) -> None:
    here.environment["SHORT"] = "x" * 31
    here.config["daemon"].update(daemon)
    done = here.run("config", "check")
    assert done.code == 78
    assert said in done.stderr


def test_a_socket_is_asked_by_no_other_name_either(here: Installation) -> None:
    """`ssh -L` puts it where a browser is."""
    here.start("run").says("pid ")
    for host, status in (("localhost:9464", 200), ("127.0.0.1", 200), ("evil.example", 421)):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(here.state_dir / "crawlerd.sock"))
            connection.sendall(f"GET /api/v1/info HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            assert int(connection.recv(4096).split()[1]) == status


def test_a_form_over_http_from_elsewhere_is_known_by_its_origin(here: Installation) -> None:
    site = Site(with_tokens(here, listen="0.0.0.0:0"))
    assert site.ask("GET", "/login").headers["Referrer-Policy"] == "same-origin"
    assert site.log_in(ADMIN).status == 303


def test_a_stream_comes_again_after_a_kill(here: Installation) -> None:
    daemon = here.start("run")
    site = Site(daemon)
    here.config["daemon"]["listen"] = f"127.0.0.1:{site.port}"
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request("GET", "/api/v1/events")
    answer = connection.getresponse()
    while not (line := answer.readline().decode()).startswith("id: "):
        pass
    daemon.kill()
    with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
        answer.read()
    connection.close()
    Site(here.start("run"))
    connection.request("GET", "/api/v1/events", headers={"Last-Event-ID": line.removeprefix("id: ").strip()})
    answer = connection.getresponse()
    while not (line := answer.readline().decode()).startswith("event: "):
        pass
    assert line == "event: reset\n"  # another process: what was missed is not known
    connection.close()


def test_open_streams_do_not_hold_up_the_end(here: Installation) -> None:
    daemon = here.start("run")
    site = Site(daemon)
    opened = []
    for _ in range(100):
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
        connection.request("GET", "/api/v1/events")
        answer = connection.getresponse()
        assert answer.status == 200
        opened.append((connection, answer))
    assert site.ask("GET", "/api/v1/events").status == 503
    assert site.ask("GET", "/api/v1/status").status == 200
    began = time.monotonic()
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    assert time.monotonic() - began < 10  # the whole end; of the streams, see tests/unit/service/test_serving.py
    for connection, _ in opened:
        connection.close()
