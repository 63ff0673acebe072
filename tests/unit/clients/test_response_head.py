"""The head of a response is what `http.client` makes of it, however odd it is."""

from __future__ import annotations

import http.client
import io
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from crawlerd.clients.response_head import Reply

NAMES = st.sampled_from(
    [
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "X-Y",
        "Link",
    ]
)
VALUES = st.sampled_from(
    [
        "0",
        "5",
        "-1",
        "5, 5",
        " 7 ",
        "chunked",
        "Chunked",
        "gzip, chunked",
        "close",
        "Keep-Alive",
        "",
        "é",
        "a\tb",
        ": x",
        "\x00",
    ]
)
LINES = st.one_of(
    st.tuples(NAMES, st.sampled_from([":", ": ", ":\t ", " : "]), VALUES).map("".join),
    st.sampled_from(["no colon", " folded", "\tfolded: too", ": no name", "x y: z", "From me", "a:b\rc:d"]),
)

STATUSES = [
    "HTTP/1.1 200 OK",
    "HTTP/1.0 200",
    "HTTP/1.1 204 None",
    "HTTP/1.1 304 x",
    "HTTP/1.1 101 Switching",
    "HTTP/1.2 500 Oops",
    "HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK",
    "HTTP/2 200 OK",
    "HTTP/0.9 200 x",
    "x",
    "",
]


class Socket:
    def __init__(self, sent: bytes) -> None:
        self._file = io.BufferedReader(io.BytesIO(sent))  # type: ignore[arg-type]

    def makefile(self, mode: str) -> Any:
        return self._file


def head(kind: type[http.client.HTTPResponse], sent: bytes, method: str) -> Any:
    response: Any = kind(Socket(sent), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return type(error), str(error)
    facts = (response.status, response.reason, response.version, response.chunked, response.length, response.will_close)
    try:
        body = response.read()
    except http.client.HTTPException as error:
        body = type(error)
    return facts, response.headers.items(), body


@given(
    st.sampled_from(STATUSES),
    st.lists(LINES, max_size=4),
    st.sampled_from(["\r\n", "\n"]),
    st.sampled_from(["\r\n", "\n", ""]),
    st.sampled_from(["GET", "HEAD", "POST"]),
)
@example("HTTP/1.1 200 OK", ["X: y"] * 101, "\r\n", "\r\n", "GET")
@example("HTTP/1.1 200 OK", ["X: " + "y" * 65_536], "\r\n", "\r\n", "GET")
def test_a_head_is_read_as_http_client_reads_it(
    status: str, lines: list[str], ends: str, end: str, method: str
) -> None:
    text = "".join(each + ends for each in [status, *lines]) + end + "5\r\nhello\r\n0\r\n\r\n"
    sent = text.encode("latin-1")
    assert head(Reply, sent, method) == head(http.client.HTTPResponse, sent, method)
