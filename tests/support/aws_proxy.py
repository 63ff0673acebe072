"""A throttling proxy before moto's server: AWS' documented token buckets, a cap on requests at once, what moto lacks.

It counts at the server's side.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Rate and burst an account, as documented.
DOCUMENTED = {
    "DescribeAccount": (20, 30),
    "DescribeOrganization": (1, 2),
    "DescribeOrganizationalUnit": (2, 2),
    "DescribePolicy": (2, 2),
    "GetAlternateContact": (10, 15),
    "GetContactInformation": (10, 15),
    "GetPrimaryEmail": (3, 3),
    "ListAccounts": (8, 12),
    "ListAccountsForParent": (5, 8),
    "ListChildren": (6, 10),
    "ListOrganizationalUnitsForParent": (5, 8),
    "ListParents": (5, 8),
    "ListPolicies": (5, 8),
    "ListRoots": (1, 2),
    "ListTagsForResource": (10, 15),
    "ListTargetsForPolicy": (5, 8),
}
# Where moto's answers have no pages: the list in the answer, and how much of it makes a page.
PAGED = {"ListRoots": ("Roots", 1), "ListTagsForResource": ("Tags", 2), "ListTargetsForPolicy": ("Targets", 20)}
RATE = "AWS Organizations can't complete your request because you have sent too many requests in too short a period."
AT_ONCE = "AWS Organizations can't complete your request because another request is already in progress."


class Fault(NamedTuple):
    """An error to answer with."""

    status: int
    code: str
    message: str = "as the test wants it"


class Request(NamedTuple):
    """at: monotonic. at_once: requests that were under way, with it. key: the access key id that signed it. fault: the
    code of what it was refused with."""

    operation: str
    body: dict[str, Any]
    at: float
    at_once: int
    key: str
    fault: str = ""


class AwsProxy:
    """url: its address. limits: (rate, burst) by operation. most_at_once: beyond which requests are refused.

    seen: all requests. fault: asked before a request is passed on. own: may answer it in moto's place. answered: told
    after. changed: makes another answer of moto's. latency: seconds that each takes at least.
    """

    def __init__(
        self,
        moto: str,
        *,
        limits: Mapping[str, tuple[float, int]] = DOCUMENTED,
        most_at_once: int = 100,
        latency: float = 0.0,
    ) -> None:
        self.limits, self.most_at_once, self.latency = dict(limits), most_at_once, latency
        self.seen: list[Request] = []
        self.fault: Callable[[Request], Fault | None] = lambda request: None
        self.answered: Callable[[Request], None] = lambda request: None
        self.own: Callable[[Request], dict[str, Any] | None] = lambda request: None
        self.changed: Callable[[Request, dict[str, Any]], dict[str, Any]] | None = None
        self.paged = dict(PAGED)
        self.contact_information: dict[str, dict[str, Any]] = {}
        self.primary_emails: dict[str, str] = {}
        self.management = ""
        self._moto = moto
        self._tokens: dict[str, tuple[float, float]] = {}
        self._at_once = 0
        self._lock = threading.Lock()

    def __enter__(self) -> AwsProxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self.moto = HTTPConnection(proxy._moto)

            def finish(self) -> None:
                self.moto.close()
                super().finish()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, answer = proxy._answer(self.moto, self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_HEAD = do_PUT = do_DELETE = do_POST  # noqa: N815 - the names that http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                """A client that was killed is no error of ours."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # what it has seen

    @property
    def throttled(self) -> list[Request]:
        return [each for each in self.seen if each.fault == "TooManyRequestsException"]

    def times(self, operation: str) -> list[float]:
        """When each request of an operation came, in order."""
        return sorted(each.at for each in self.seen if each.operation == operation)

    def least_seconds(self) -> float:
        """What the limits alone dictate for the requests that came."""
        counts = {operation: len(self.times(operation)) for operation in self.limits}
        return max((counts[name] - burst) / rate for name, (rate, burst) in self.limits.items())

    @property
    def most_seen_at_once(self) -> int:
        return max(each.at_once for each in self.seen)

    def took(self) -> float:
        """Seconds from the first request to the last."""
        return max(each.at for each in self.seen) - min(each.at for each in self.seen)

    # the server

    def _answer(
        self, moto: HTTPConnection, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        now = time.monotonic()
        operation = _operation(path, headers, body)
        query = json.loads(body) if body.startswith(b"{") and method == "POST" else {}
        with self._lock:
            self._at_once += 1
            key = re.search("Credential=([^/]+)/", headers.get("Authorization", ""))
            request = Request(operation, query, now, self._at_once, key[1] if key else "")
            fault = self._refused(operation, now) or self.fault(request)
            self.seen.append(request._replace(fault=fault.code if fault else ""))
        try:
            if self.latency:
                time.sleep(self.latency)  # as the network would
            if fault:
                return _error(fault)
            if own := self.own(request):
                return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(own).encode()
            answer = self._lacking(operation, query) or _ask(moto, method, path, headers, body)
            answer = self._page(operation, query, answer)
            if self.changed and answer[2].startswith(b"{"):
                answer = (*answer[:2], json.dumps(self.changed(request, json.loads(answer[2]))).encode())
            self.answered(request)
            return answer
        finally:
            with self._lock:
                self._at_once -= 1

    def _refused(self, operation: str, now: float) -> Fault | None:
        status = 429 if operation.startswith("Get") else 400
        if self._at_once > self.most_at_once:
            return Fault(status, "TooManyRequestsException", AT_ONCE)
        if operation not in self.limits:
            return None
        rate, burst = self.limits[operation]
        tokens, since = self._tokens.get(operation, (float(burst), now))
        tokens = min(burst, tokens + (now - since) * rate)
        if tokens < 1:
            self._tokens[operation] = (tokens, now)
            return Fault(status, "TooManyRequestsException", RATE)
        self._tokens[operation] = (tokens - 1, now)
        return None

    def _lacking(self, operation: str, query: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        """What moto has not."""
        if not operation.startswith("Get") or operation == "GetCallerIdentity":
            return None
        account = query.get("AccountId") or self.management
        if query.get("AccountId") == self.management:
            return _error(Fault(403, "AccessDeniedException", "cannot be called from the management account so"))
        if operation == "GetContactInformation":
            found: Any = {"ContactInformation": self.contact_information.get(account)}
        elif operation == "GetPrimaryEmail":
            found = {"PrimaryEmail": self.primary_emails.get(account)}
        else:
            return None
        if None in found.values():
            return _error(Fault(404, "ResourceNotFoundException", "No contact of the given type found."))
        return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()

    def _page(
        self, operation: str, query: dict[str, Any], answer: tuple[int, dict[str, str], bytes]
    ) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = answer
        if operation not in self.paged or status != 200:
            return answer
        items, size = self.paged[operation]
        objects, start = json.loads(body)[items], int(query.get("NextToken", "0"))
        page: dict[str, Any] = {items: objects[start : start + size]}
        if start + size < len(objects):
            page["NextToken"] = str(start + size)
        return status, headers, json.dumps(page).encode()


def _operation(path: str, headers: dict[str, str], body: bytes) -> str:
    target = {name.lower(): value for name, value in headers.items()}.get("x-amz-target", "")
    action = re.match(rb"Action=(\w+)", body)
    if target:
        return target.rpartition(".")[2]
    if action:
        return action[1].decode()
    name = path.partition("?")[0].strip("/")
    return name[:1].upper() + name[1:]


def _error(fault: Fault) -> tuple[int, dict[str, str], bytes]:
    body = {"__type": fault.code, "Message": fault.message, "message": fault.message}
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": fault.code}
    return fault.status, headers, json.dumps(body).encode()


def _ask(
    moto: HTTPConnection, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    moto.request(method, path, body, headers)
    response = moto.getresponse()
    kept = ("content-type", "content-range", "etag", "x-amzn-errortype")
    return (
        response.status,
        {name: value for name, value in response.getheaders() if name.lower() in kept},
        response.read(),
    )


class Organization(NamedTuple):
    """A server of moto's with an organization. address: host:port. truth: see `moto_organization.build`."""

    address: str
    truth: dict[str, Any]

    def client(self, service: str = "organizations") -> Any:
        """Of boto3, for changes beside the proxy."""
        return boto3.client(
            service,
            endpoint_url=f"http://{self.address}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )


@contextmanager
def organization(accounts: int, units: int, policies: int) -> Iterator[Organization]:
    """A process of moto's server on a free port."""
    script = Path(__file__).with_name("moto_organization.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(accounts), str(units), str(policies)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        said = []
        for each in process.stderr:
            said.append(each)
            if match := re.search(r"Running on http://(127\.0\.0\.1:\d+)", each):
                break
        else:
            raise AssertionError(f"moto's server did not start: {''.join(said)}")
        readers = [threading.Thread(target=each.read, daemon=True) for each in (process.stdout, process.stderr)]
        for reader in readers:  # full pipes would stop it
            reader.start()
        yield Organization(match[1], json.loads(line))
    finally:
        process.kill()
        process.wait()
        for each in (process.stdout, process.stderr):
            if each:
                each.close()
