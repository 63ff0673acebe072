"""The HTTP client against real sockets that misbehave in every way."""

from __future__ import annotations

import contextlib
import gc
import json
import select
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import traceback
import tracemalloc
import weakref
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests.adapters
import responses
from hypothesis import given
from hypothesis import strategies as st

from crawlerd import __version__
from crawlerd.clients.http import HttpApi, HttpClient, prepare_url, query_of
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.errors import Permanent, Throttled, Transient, Unauthorized
from crawlerd.source import Api, KeyInQuery, Response, Source

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "sk_test_a/b+c=12345"
SHORT = 0.3  # seconds of a deadline that is meant to pass
PLAIN = Source("plain", auth=lambda secret: {"Authorization": f"Bearer {secret}"}, headers={"X-Version": "7"})


class Server:
    """Answers each request on a loopback port with `script(connection, request)`, and keeps what it received."""

    def __init__(self, script: Callable[[socket.socket, bytes], None], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._script = script
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.settimeout(10)
            wrapped = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with wrapped:
                while request := self._receive(wrapped):
                    self.requests.append(request.decode())
                    self._script(wrapped, request)
        connection.close()

    def _receive(self, connection: socket.socket) -> bytes:
        request = b""
        length = 0
        while len(request.partition(b"\r\n\r\n")[2]) < length or b"\r\n\r\n" not in request:
            more = connection.recv(65536)
            if not more or self.stopping.is_set():
                return b""
            request += more
            length = int(request.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return request

    def close(self) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in self._threads), "the client left a connection open"


Serve = Callable[..., Server]


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=4)
    yield client
    client.close()


@pytest.fixture
def serve(client: HttpClient) -> Iterator[Serve]:
    """Starts servers that end with the test, after the client has let go of their connections."""
    servers: list[Server] = []

    def start(script: Callable[[socket.socket, bytes], None] | bytes, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server((lambda c, _: c.sendall(script)) if isinstance(script, bytes) else script, tls))
        return servers[-1]

    yield start
    client._adapter.close()
    for server in servers:
        server.close()


def api_of(client: HttpClient, url: str, source: Source = PLAIN, **account: Any) -> HttpApi:
    spec: dict[str, Any] = {"name": "acme", "source": "plain", "base_url": url, "secret": SECRET} | account
    return client.open(source, AccountSpec(**spec))


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


# ---- what is sent, and what comes back


def test_sends_query_credentials_and_headers_and_returns_parsed_json(client: HttpClient, serve: Serve) -> None:
    server = serve(answer(b'{"data": [1, 12345678901234567890123]}'))
    api: Api = api_of(client, server.url + "/3.0/")
    page = api.get("/v1/custo mers", {"limit": 100, "created[gte]": 5, "starting_after": None, "q": "é&="})
    assert page == {"data": [1, 12345678901234567890123]}
    head, *lines = server.requests[0].split("\r\n")
    assert head == "GET /3.0/v1/custo%20mers?limit=100&created%5Bgte%5D=5&q=%C3%A9%26%3D HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["user-agent"] == f"crawlerd/{__version__}"
    assert headers["accept-encoding"] == "gzip, deflate"
    assert headers["x-version"] == "7"


def test_request_sends_json_and_own_headers_and_returns_the_response(client: HttpClient, serve: Serve) -> None:
    server = serve(answer(b"made", "X-Seen: 1", "x-seen: 2", status="201 Created"))
    response = api_of(client, server.url).request("post", "/items", json={"a": [1]}, headers={"Idempotency-Key": "k1"})
    assert (response.status, response.body, response.headers["x-seen"]) == (201, b"made", "1, 2")
    assert server.requests[0].startswith("POST /items HTTP/1.1\r\n")
    assert server.requests[0].endswith('\r\n\r\n{"a": [1]}')
    assert "Idempotency-Key: k1\r\n" in server.requests[0]
    assert "Content-Type: application/json\r\n" in server.requests[0]


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_decodes_what_it_accepts(client: HttpClient, serve: Serve, encoding: str, window: int) -> None:
    body = json.dumps({"text": "abc" * 100_000}).encode()
    packer = zlib.compressobj(wbits=window)
    server = serve(answer(packer.compress(body) + packer.flush(), f"Content-Encoding: {encoding}"))
    assert api_of(client, server.url).get("/") == json.loads(body)


def test_times_of_the_request(client: HttpClient, serve: Serve) -> None:
    api = api_of(client, serve(answer(b"{}")).url)
    assert (api.sent_at, api.done_at) == (0.0, 0.0)
    before = time.monotonic()
    api.get("/")
    assert before <= api.sent_at <= api.done_at <= time.monotonic()


@pytest.mark.parametrize(
    ("method", "response"),
    [
        ("GET", answer(b"{}")),
        ("GET", answer(b"")),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        ("HEAD", answer(b"", length=5)),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", answer(b"{}", status="404 Not Found")),
    ],
)
def test_keeps_its_connection_whatever_the_answer(
    client: HttpClient, serve: Serve, method: str, response: bytes
) -> None:
    server = serve(response)
    for _ in range(3):
        with contextlib.suppress(Permanent):
            api_of(client, server.url).request(method, "/items/1")
    assert (len(server.requests), server.connections) == (3, 1)


def test_one_request_a_task(client: HttpClient, serve: Serve) -> None:
    server = serve(answer(b"{}"))
    api = api_of(client, server.url)
    api.get("/")
    with pytest.raises(RuntimeError, match="a task makes one request"):
        api.get("/")
    assert len(server.requests) == 1


def test_threads_share_connections_and_nothing_else(client: HttpClient, serve: Serve) -> None:
    def echo(connection: socket.socket, request: bytes) -> None:
        key = request.decode().partition("Authorization: Bearer ")[2].split()[0]
        connection.sendall(
            answer(json.dumps({"key": key, "cookie": b"Cookie:" in request}).encode(), "Set-Cookie: a=b")
        )

    server = serve(echo)

    def ask(number: int) -> bool:
        seen = api_of(client, server.url, secret=f"key-{number:06}").get("/")
        return bool(seen == {"key": f"key-{number:06}", "cookie": False})

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(80)))
    assert server.connections <= 4


def test_ignores_proxies_of_the_environment(
    client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = serve(answer(b"{}"))
    assert api_of(client, server.url).get("/") == {}
    assert f"Bearer {SECRET}" in server.requests[0]


# ---- where it goes


def test_follows_a_full_url_of_its_own_origin(client: HttpClient, serve: Serve) -> None:
    server = serve(answer(b"{}"))
    api_of(client, server.url + "/3.0").get(f"http://127.0.0.1:{server.port}/3.0/next?page=2", {"count": 5})
    assert server.requests[0].startswith("GET /3.0/next?page=2&count=5 ")


LINKS = [
    "/v1/a%2fb%2Fc/%7Euser?sig=a%2bb%2F%3d&b=1&a=2&a=1&a&=&&q=x+y%20z&e=%e4",
    "/p?page[number]=2&f='x'(1)*;v=1,2:3@4!$&t={a}|b^c`d",
    "/a/../b/./c//d?next=http://other/?x=1",
    "//double?x",
    "/p?",
    "?x=1",
    "",
]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("auth", [PLAIN.auth, KeyInQuery("key")], ids=["header", "query"])
def test_a_link_is_sent_byte_for_byte(client: HttpClient, serve: Serve, link: str, auth: Any) -> None:
    server = serve(answer(b"{}"))
    source = Source("links", auth=auth)
    api = client.open(source, AccountSpec(name="a", source="links", base_url=f"{server.url}/base", secret=SECRET))
    response = api.request("GET", f"{server.url}{link}#fragment", params={})
    whole = link if link.startswith("/") else f"/{link}"
    assert response.url == server.url + whole
    key = f"{'&' if '?' in link else '?'}key=sk_test_a%2Fb%2Bc%3D12345" if isinstance(auth, KeyInQuery) else ""
    assert server.requests[0].partition(" HTTP/1.1")[0] == f"GET {whole}{key}"


def test_what_no_request_can_carry_is_encoded(client: HttpClient, serve: Serve) -> None:
    server = serve(answer(b"{}"))
    api_of(client, server.url).get(f'{server.url}/ä b?q="<é>\\&n=1')
    assert server.requests[0].startswith("GET /%C3%A4%20b?q=%22%3C%C3%A9%3E%5C&n=1 HTTP/1.1")


@pytest.mark.parametrize(
    "path",
    [
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://127.0.0.1/",
        "http://127.0.0.1:{port}.evil.example/",
        "//127.0.0.1:{other}@evil.example",
        ".evil.example/",
        "@evil.example/",
        "http://[bad/",
        "v1/customers",
        "",
    ],
)
def test_refuses_to_carry_credentials_elsewhere(client: HttpClient, serve: Serve, path: str) -> None:
    server = serve(answer(b"{}"))
    if path.startswith("//"):  # is a path: it stays with the account's host
        assert api_of(client, server.url).get(path) == {}
        return
    api = api_of(client, server.url)
    with pytest.raises(Permanent, match="not a path"):
        api.get(path.format(port=server.port))
    assert (server.connections, api.sent_at, api.done_at) == (0, 0.0, 0.0)


def test_a_url_that_parsers_read_differently_stays_with_the_account(client: HttpClient, serve: Serve) -> None:
    server, other = serve(answer(b"{}")), serve(answer(b"{}"))
    with contextlib.suppress(Permanent):
        api_of(client, server.url).get(f"http://127.0.0.1:{other.port}\\@127.0.0.1:{server.port}/")
    assert other.connections == 0


def test_does_not_follow_redirects(client: HttpClient, serve: Serve) -> None:
    target = serve(answer(b"{}"))
    server = serve(answer(b"", f"Location: {target.url}/?token=abc", status="302 Found"))
    with pytest.raises(Permanent, match=r"^HTTP 302: redirects to 127\.0\.0\.1, which is not followed$"):
        api_of(client, server.url).get("/")
    assert target.connections == 0


# ---- time

DRIPS = {  # what comes at once, and what comes again and again
    "silence": (b"", b""),
    "status line": (b"HTTP/1.1 200 O", b"x"),
    "headers": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "body to the end of the connection": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


def dripping(what: str) -> Callable[[socket.socket, bytes], None]:
    """Answers drop by drop until the client has gone."""

    def script(connection: socket.socket, _: bytes) -> None:
        first, then = DRIPS[what]
        connection.sendall(first)
        while not select.select([connection], [], [], 0.02)[0]:
            connection.sendall(then)

    return script


def assert_cut(api: HttpApi) -> None:
    before = time.monotonic()
    with pytest.raises(Transient, match=r"^no complete response from https?://127\.0\.0\.1:\d+ within 0\.3 s$"):
        api.get("/")
    assert SHORT <= time.monotonic() - before < 10 * SHORT
    assert 0 < api.sent_at < api.done_at


@pytest.mark.parametrize("what", DRIPS)
def test_the_deadline_covers_the_whole_response(client: HttpClient, serve: Serve, what: str) -> None:
    assert_cut(api_of(client, serve(dripping(what)).url, request_seconds=SHORT))


def test_a_short_deadline_need_not_wait_for_a_long_one(client: HttpClient, serve: Serve) -> None:
    waiting, release = threading.Event(), threading.Event()

    def script(connection: socket.socket, _: bytes) -> None:
        waiting.set()
        release.wait(10)
        connection.sendall(answer(b"{}"))

    long = serve(script)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(lambda: api_of(client, long.url).get("/"))
        assert waiting.wait(10)
        assert_cut(api_of(client, serve(dripping("silence")).url, request_seconds=SHORT))
        release.set()
        assert future.result() == {}


def test_a_deadline_ends_one_request_only(client: HttpClient, serve: Serve) -> None:
    def script(connection: socket.socket, request: bytes) -> None:
        if b"/slow" in request:
            dripping("body")(connection, request)
        connection.sendall(answer(b"{}"))

    server = serve(script)
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(lambda: api_of(client, server.url, request_seconds=SHORT).get("/slow"))
        while not slow.done():
            assert api_of(client, server.url).get("/") == {}
        assert isinstance(slow.exception(), Transient)
    assert api_of(client, server.url, request_seconds=SHORT).get("/") == {}


def test_the_deadline_covers_all_addresses_of_a_host(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as sockets:  # a full backlog: further connections hang
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 5)
        api = api_of(client, "http://many.example", request_seconds=SHORT)
        before = time.monotonic()
        with pytest.raises(Transient):
            api.get("/")
        assert time.monotonic() - before < 3 * SHORT
        assert (api.sent_at, api.done_at) == (0.0, 0.0)


def test_tries_the_next_address_of_a_host(client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(answer(b"{}"))
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (closed_port(), server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert api_of(client, "http://two.example").get("/") == {}


# ---- size


@pytest.mark.parametrize("framing", ["Content-Length", "chunked", "close"])
def test_a_bomb_is_not_inflated(client: HttpClient, serve: Serve, framing: str) -> None:
    packer = zlib.compressobj(9, wbits=31)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = block + again * 255  # 256 MB in 260 kB
    head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
    body = {
        "Content-Length": f"Content-Length: {len(bomb)}\r\n\r\n".encode() + bomb,
        "chunked": f"Transfer-Encoding: chunked\r\n\r\n{len(bomb):x}\r\n".encode() + bomb + b"\r\n0\r\n\r\n",
        "close": b"Connection: close\r\n\r\n" + bomb,
    }[framing]
    server = serve(head.encode() + body)
    tracemalloc.start()
    try:
        with pytest.raises(Permanent, match="the response is larger than 1000000 bytes"):
            api_of(client, server.url, max_body_bytes=1_000_000).get("/")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_the_cap_itself_is_permitted(client: HttpClient, serve: Serve) -> None:
    server = serve(answer(b'"' + b"x" * 98 + b'"'))
    assert api_of(client, server.url, max_body_bytes=100).get("/") == "x" * 98
    with pytest.raises(Permanent, match="larger than 99 bytes"):
        api_of(client, server.url, max_body_bytes=99).get("/")


# ---- what breaks on the way


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def hang_up(start: bytes, *, reset: bool = False) -> Callable[[socket.socket, bytes], None]:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        else:
            connection.shutdown(socket.SHUT_RDWR)

    return script


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (hang_up(answer(b'{"data": []}', length=13)), "the response ended early"),
        (hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[1, 2"), "the response ended early"),
        (hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n"), "the response is broken"),
        (hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "the response ended early"),
        (hang_up(b""), "closed without a response"),
        (hang_up(b"HTTP/1.1 200 OK\r\nConte", reset=True), "connection reset by peer"),
        (hang_up(answer(b"not gzip", "Content-Encoding: gzip")), "the response's body does not decode"),
        (hang_up(b"SSH-2.0-OpenSSH_9\r\n"), "the response is broken"),
    ],
)
def test_a_broken_response_is_transient(
    client: HttpClient, serve: Serve, script: Callable[[socket.socket, bytes], None], says: str
) -> None:
    server = serve(script)
    with pytest.raises(Transient) as caught:
        api_of(client, server.url).get("/")
    assert str(caught.value) == f"lost the connection to {server.url}: {says}"


def test_nobody_there_is_transient(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    api = api_of(client, f"http://127.0.0.1:{port}")
    with pytest.raises(Transient) as caught:
        api.get("/")
    assert str(caught.value) == f"cannot reach http://127.0.0.1:{port}: connection refused"
    assert (api.sent_at, api.done_at) == (0.0, 0.0)

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Transient, match=r"^cannot reach https://api\.example: name or service not known$"):
        api_of(client, "https://api.example").get("/")


@pytest.mark.parametrize("url", ["", "api.stripe.com", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://[bad"])
def test_a_base_url_that_is_none_is_permanent(client: HttpClient, url: str) -> None:
    with pytest.raises(Permanent, match="cannot send the request"):
        api_of(client, url).get("/v1")


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_an_error_is_freed_with_its_last_user(client: HttpClient, serve: Serve, status: str) -> None:
    """A circle of error and frames would keep bodies of many megabytes until the garbage collector comes."""
    server = serve(answer(b"{}" * 100, status=status))
    gc.disable()
    try:
        try:
            api_of(client, server.url, max_body_bytes=150 if status.startswith("200") else 1000).get("/")
        except Permanent as error:
            remains = weakref.ref(error)
        assert remains() is None
    finally:
        gc.enable()


# ---- TLS


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("makes its certificate with openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_an_untrusted_certificate_is_no_answer(client: HttpClient, serve: Serve, tls: ssl.SSLContext) -> None:
    server = serve(answer(b"{}"), tls)
    with pytest.raises(Transient, match=r"^cannot trust https://127\.0\.0\.1:\d+: self.signed certificate$") as caught:
        api_of(client, server.url).get("/")
    assert caught.value.fault == "connection"
    assert server.requests == []


def test_deadlines_over_tls(
    client: HttpClient, serve: Serve, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "certificate.pem"))
    good = serve(answer(b"{}"), tls)
    assert [api_of(client, good.url).get("/") for _ in range(2)] == [{}, {}]
    assert good.connections == 1
    for what in ("silence", "headers", "body", "body to the end of the connection"):
        assert_cut(api_of(client, serve(dripping(what), tls).url, request_seconds=SHORT))


def test_the_deadline_covers_the_tls_handshake(client: HttpClient, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        api = api_of(client, f"https://127.0.0.1:{mute.getsockname()[1]}", request_seconds=SHORT)
        before = time.monotonic()
        with pytest.raises(Transient):
            api.get("/")
        assert time.monotonic() - before < 10 * SHORT


# ---- what is no JSON


@pytest.mark.parametrize(
    "body",
    [
        b"<html>\n<title>Maintenance</title>" + b" " * 5000,
        b'{"amount": nan}',
        b'{"name": "\xff',
        b"[" * 100_000,
        b'{"data": [',
        b"",
    ],
)
def test_a_body_that_is_not_json_is_transient(client: HttpClient, serve: Serve, body: bytes) -> None:
    server = serve(answer(body, "Content-Type: text/html; charset=utf-8"))
    with pytest.raises(Transient, match=r"^HTTP 200, text/html; charset=utf-8, is not JSON: ") as caught:
        api_of(client, server.url).get("/")
    said = str(caught.value).partition("not JSON: ")[2]
    assert said == " ".join(body.decode(errors="replace").split())[:80]


@pytest.mark.parametrize(
    "odd", [b'{"n": NaN}', b'{"n": [-1e999]}', b'{"n": "\\ud800"}', b'{"\\udc00": 1}', b'{"n": "\xff"}']
)
def test_what_no_json_holds_fails_with_its_record_alone(client: HttpClient, serve: Serve, odd: bytes) -> None:
    server = serve(answer(b'\xef\xbb\xbf{"data": [' + odd + b', {"n": "\xc3\xa9"}]}'))
    first, second = api_of(client, server.url).get("/")["data"]
    with pytest.raises((TypeError, ValueError)):
        msgspec.json.encode(first)
    assert second == {"n": "é"}


# ---- secrets


def texts_of(error: BaseException) -> str:
    seen = [error.__cause__, error.__context__]
    assert seen == [None, None], "an exception of the transport, with the request's headers, hangs on it"
    return f"{error!s} {error!r} " + "".join(traceback.format_exception(error))


@pytest.mark.parametrize("secret", ["sk_test_1\n", "sk_test_1\r\nX-Evil: 1", "sk\N{EN DASH}test", "ключ"])
def test_a_secret_that_no_header_can_carry(client: HttpClient, serve: Serve, secret: str) -> None:
    server = serve(answer(b"{}"))
    with pytest.raises(Unauthorized, match="characters that a header cannot contain") as caught:
        api_of(client, server.url, secret=secret).get("/")
    assert secret not in texts_of(caught.value)
    assert server.connections == 0


# ---- what a source may say about a response


@responses.activate
def test_throttling_carries_what_the_header_asks_for(client: HttpClient) -> None:
    responses.get("http://api.example/", status=429, headers={"Retry-After": "3"}, json={"error": {"message": "slow"}})
    with pytest.raises(Throttled, match=r"^HTTP 429: slow$") as caught:
        api_of(client, "http://api.example").get("/")
    assert caught.value.retry_after == 3.0


@responses.activate
def test_a_source_may_judge_a_response_itself(client: HttpClient) -> None:
    def classify(response: Response) -> Exception | None:
        return Throttled("busy", scope="account") if response.body == b'{"ok": false}' else None

    source = Source("own", classify=classify)
    responses.get("http://api.example/a", body='{"ok": false}', headers={"Retry-After": "4"})
    responses.get("http://api.example/b", body='{"ok": true}')
    with pytest.raises(Throttled, match=r"^busy$") as caught:
        api_of(client, "http://api.example", source).get("/a")
    assert (caught.value.retry_after, caught.value.scope) == (4.0, "account")
    assert api_of(client, "http://api.example", source).get("/b") == {"ok": True}


PATHS = st.text(alphabet="abZ09/._~-%? é\\#", max_size=12).map(lambda text: "/" + text)
PARAMS = st.dictionaries(
    st.text(max_size=5),
    st.none()
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=3) | st.none()),
    max_size=3,
)
BASES = st.sampled_from(
    ["http://h.example", "https://H.example:443", "http://h.example:8080/a//b/../c", "http://ü.example"]
)


@given(BASES, PATHS, PARAMS)
def test_a_url_is_what_requests_makes_of_it(base: str, path: str, params: dict[str, Any]) -> None:
    ours, theirs = requests.PreparedRequest(), requests.PreparedRequest()
    try:
        theirs.prepare_url(base + path, params)
    except requests.RequestException:
        return
    prepare_url(ours, base + path, query_of(params))
    assert ours.url == theirs.url


def test_a_list_in_any_charset_comes_as_it_is(client: HttpClient, serve: Serve) -> None:
    for charset in ("utf-8", "iso-8859-1", "windows-1252", "utf-16"):
        body = '{"more":false,"data":[{"id":"a","name":"Zoë"},{"id":"b","n":1.10}]}'.encode(charset)
        server = serve(answer(body, f"Content-Type: application/json; charset={charset}"))
        found = api_of(client, server.url).listing("/x", at="data", also=["more"])
        assert list(found.objects) == ['{"id":"a","name":"Zoë"}'.encode(), b'{"id":"b","n":1.10}']
        assert (found.objects.column("id"), found.also) == (["a", "b"], {"more": False})
        server = serve(answer(body, f"Content-Type: application/json; charset={charset}"))
        assert api_of(client, server.url).get("/x")["data"][0] == {"id": "a", "name": "Zoë"}


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data":{}}', b'{"data":null}', b"<html>", b'{"data":[{"id":', b""])
def test_a_body_without_the_list_is_asked_for_again(client: HttpClient, serve: Serve, body: bytes) -> None:
    with pytest.raises(Transient, match=r"is not JSON|no list 'data' of objects"):
        api_of(client, serve(answer(body)).url).listing("/x", at="data")


def test_json_text_is_sent_as_it_is(client: HttpClient, serve: Serve) -> None:
    server = serve(answer(b"{}"))
    text = b'{"n":955031734.1681486901}'
    api_of(client, server.url).request("POST", "/x", json=msgspec.Raw(text))
    head, _, body = server.requests[0].partition("\r\n\r\n")
    assert body.encode() == text
    assert "Content-Type: application/json" in head
