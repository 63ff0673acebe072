"""A process of moto's server that counts: `python -m bench.rig.batch_server [RECORDS BYTES]`.

It says its address on stdout. `GET /.seen` answers what it has seen, and its CPU seconds, and forgets the former.
With RECORDS, the object `in/large.json` and the items of any batch "large" are its own: a formula and a file take the
place of moto's memory, which could not hold them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

PAGE = 1 << 20  # bytes of items that a Query answers at most, as DynamoDB does
HEAD, TAIL = b'{"records":[', b"]}"

Environ = dict[str, Any]
Start = Callable[..., Any]


def record(number: int, size: int) -> dict[str, Any]:
    """The record of a number, `size` bytes as compact JSON; noise, since real data do not shrink to nothing."""
    noise = base64.b64encode(hashlib.shake_128(b"%d" % number).digest(size)).decode()
    empty = {"itemNo": f"{number:09}", "price": f"{number % 97:02}", "noise": ""}
    return {**empty, "noise": noise[: size - len(json.dumps(empty, separators=(",", ":")))]}


class Counting:
    """Notes of each request when it came, how long it took, and whether it was throttled."""

    def __init__(self, app: Callable[[Environ, Start], Iterable[bytes]]) -> None:
        self._app = app
        self._seen: list[tuple[str, float, float, int]] = []

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/.seen":
            seen, self._seen = self._seen, []
            return _answer(start_response, {"seen": seen, "cpu": time.process_time()})
        began, status = time.time(), [0]

        def start(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            status[0] = int(line.split()[0])
            return start_response(line, headers, *rest)

        body = self._app(environ, start)
        target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        self._seen.append((target or f"S3 {environ['REQUEST_METHOD']}", began, time.time() - began, status[0]))
        return body


class Large:
    """What is too large for moto."""

    def __init__(self, app: Callable[[Environ, Start], Iterable[bytes]], records: int, size: int) -> None:
        self._app, self._records, self._size = app, records, size
        self._total = len(HEAD) + records * (size + 1) - 1 + len(TAIL)
        self._folder = tempfile.TemporaryDirectory()
        self._lock = threading.Lock()
        self._items = sqlite3.connect(f"{self._folder.name}/items.db", check_same_thread=False, isolation_level=None)
        self._items.execute("PRAGMA synchronous = OFF")
        self._items.execute("CREATE TABLE item (number INTEGER PRIMARY KEY, data TEXT)")

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith("/in/large.json"):
            return self._range(environ, start_response)
        if target not in ("BatchWriteItem", "Query"):
            return self._app(environ, start_response)
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        if target == "Query":
            return _answer(start_response, self._page(asked))
        ((_, requests),) = asked["RequestItems"].items()
        items = [each["PutRequest"]["Item"] for each in requests]
        with self._lock:
            self._items.execute("BEGIN")
            self._items.executemany(
                "REPLACE INTO item VALUES (?, ?)", [(int(each["index"]["N"]), json.dumps(each)) for each in items]
            )
            self._items.execute("COMMIT")
        return _answer(start_response, {"UnprocessedItems": {}})

    def _range(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", environ["HTTP_RANGE"])
        assert found
        begin, end = int(found[1]), min(int(found[2]) + 1, self._total)
        width = self._size + 1
        first, last = max(0, begin - len(HEAD)) // width, (end - len(HEAD)) // width
        numbers = range(first, min(last + 1, self._records))
        text = b"".join(
            json.dumps(record(each, self._size), separators=(",", ":")).encode()
            + (b"," if each < self._records - 1 else TAIL)
            for each in numbers
        )
        offset = len(HEAD) + first * width
        if first == 0:
            text, offset = HEAD + text, 0
        data = text[begin - offset : end - offset]
        headers = [
            ("Content-Length", str(len(data))),
            ("Content-Range", f"bytes {begin}-{end - 1}/{self._total}"),
            ("ETag", environ["HTTP_IF_MATCH"]),
        ]
        start_response("206 Partial Content", headers)
        return [data]

    def _page(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Items from `:from` on, or those after all of them, up to a page."""
        values = asked["ExpressionAttributeValues"]
        first = int((values.get(":from") or values[":count"])["N"])
        last = int(values[":to"]["N"]) if ":to" in values else 1 << 60
        items: list[Any] = []
        size = 0
        with self._lock:
            for number, data in self._items.execute(
                "SELECT number, data FROM item WHERE number BETWEEN ? AND ? ORDER BY number", (first, last)
            ):
                items.append(json.loads(data))
                size += len(data)
                if size > PAGE and number < last:
                    key = {"batchId": {"S": "large"}, "index": {"N": str(number)}}
                    return {"Items": items, "LastEvaluatedKey": key}
        return {"Items": items}


def _answer(start_response: Start, value: Any) -> Iterable[bytes]:
    data = json.dumps(value).encode()
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(data)))]
    start_response("200 OK", headers)
    return [data]


class Handler(MotoRequestHandler):
    """Logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: Any) -> None:
        pass


def main() -> None:
    app: Any = DomainDispatcherApplication(create_backend_app)
    if len(sys.argv) > 1:
        app = Large(app, int(sys.argv[1]), int(sys.argv[2]))
    server = make_server("127.0.0.1", 0, Counting(app), threaded=True, request_handler=Handler)
    print(f"127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
