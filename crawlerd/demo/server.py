"""Starts the local API as a process of its own, and defines the messages for it: options, statistics, orders."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from typing import IO, TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

FaultKind = Literal["500", "reset", "truncated", "html", "drip", "403", "429"]


@dataclass(frozen=True, slots=True)
class Options:
    """How the API behaves; each is also an option of `python -m crawlerd.demo.api`. Times in seconds, 0 = no limit.

    port: 0 takes a free one.
    accounts: keys sk_test_account_1 and up; rk_test_account_1-charges-events is a restricted one that may not read
        these.
    customers: of each account; all other counts follow from it.
    connected: accounts that are connected to each one, named by `Stripe-Account`, with limits of their own.
    rate, endpoint_rate: most accepted requests in any window of 1 s, of an account and of one of its endpoints.
    concurrency: most requests of an account at once.
    retry_after: what a 429 asks for, a number or "date" for an HTTP date, empty for no such header, as at Stripe.
    latency, jitter: before each answer, jitter at most and evenly spread.
    faults: a share of the accepted requests, spread evenly over 500, reset, truncated, html and drip, or shares by
        kind, "reset=0.1,html=0.2".
    drip_seconds: how long a dripped body takes.
    seed: of faults and jitter.
    cache_mb: rendered pages kept in memory.
    parent: the API exits when the process of this id does; 0 = never.
    """

    port: int = 0
    accounts: int = 10
    customers: int = 500
    connected: int = 0
    rate: int = 25
    endpoint_rate: int = 0
    concurrency: int = 0
    retry_after: str = ""
    latency: float = 0.0
    jitter: float = 0.0
    faults: str = ""
    drip_seconds: float = 20.0
    seed: int = 0
    cache_mb: int = 64
    parent: int = 0


class EndpointStats(msgspec.Struct):
    """served: whole, right answers.
    most_accepted, most_arrived: requests in any window of 1 s, by arrival.
    """

    served: int = 0
    most_accepted: int = 0
    most_arrived: int = 0


class AccountStats(msgspec.Struct):
    """What the API saw of one account. Every answered request is served, refused, throttled or a fault.

    refused: 4xx except 429.
    throttled: 429s of its limits, by reason.
    most_accepted, most_arrived: requests in any window of 1 s, by arrival, without and with the throttled ones.
    first, last: arrivals, monotonic seconds.
    """

    requests: int = 0
    served: int = 0
    refused: int = 0
    throttled: dict[str, int] = {}
    faults: dict[str, int] = {}
    most_accepted: int = 0
    most_arrived: int = 0
    most_concurrent: int = 0
    first: float | None = None
    last: float | None = None
    endpoints: dict[str, EndpointStats] = {}


class Stats(msgspec.Struct):
    """What the API saw.

    unauthorized: requests without a known key, which belong to no account.
    """

    accounts: dict[int, AccountStats]
    unauthorized: int = 0


class Add(msgspec.Struct, tag="add", tag_field="do", forbid_unknown_fields=True):
    """Adds objects, created now, and the events about them. Not for child streams."""

    account: int
    stream: str
    count: int = 1


class Edit(msgspec.Struct, tag="edit", tag_field="do", forbid_unknown_fields=True):
    """Raises `metadata.revision` of objects. Not for invoice lines."""

    account: int
    stream: str
    ids: list[str]


class Delete(msgspec.Struct, tag="delete", tag_field="do", forbid_unknown_fields=True):
    """Deletes objects, or detaches payment methods. What is below a deleted object cannot be reached any more. Not for
    invoice lines."""

    account: int
    stream: str
    ids: list[str]


class Fault(msgspec.Struct, tag="fault", tag_field="do", forbid_unknown_fields=True):
    """The next `count` matching requests get this answer.

    account, endpoint: None matches all.

    Endpoints have the names of streams, or are "account". 403 means a key that may not read this; 429 one that no
    limiter sent.
    """

    kind: FaultKind
    count: int = 1
    account: int | None = None
    endpoint: str | None = None


Order = Add | Edit | Delete | Fault


class Server:
    """A running local API.

    url: without a slash at its end.
    """

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    @staticmethod
    def key(number: int) -> str:
        """The key of an account."""
        return f"sk_test_account_{number}"

    def stats(self) -> Stats:
        """What it saw since it started or was reset."""
        return msgspec.json.decode(self._call("GET", "/_stats"), type=Stats)

    def reset(self) -> None:
        """Clears the statistics; the limits continue to count."""
        self._call("POST", "/_reset")

    def control(self, order: Order) -> list[dict[str, Any]]:
        """Gives an order; returns the objects that it concerned, as they are now (deleted ones as they were)."""
        return msgspec.json.decode(
            self._call("POST", "/_control", msgspec.json.encode(order)), type=list[dict[str, Any]]
        )

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer.decode())
        return answer


@contextmanager
def running(*, ready_seconds: float = 20.0, **options: Any) -> Iterator[Server]:
    """Runs the API with `Options(**options)`, from when it listens to the end of the block.

    It also ends with this process. Raises RuntimeError if it does not listen within ready_seconds.
    """
    arguments = asdict(Options(**{"parent": os.getpid(), **options}))
    command = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, without a shell
        [sys.executable, "-P", "-m", "crawlerd.demo.api", *command], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            stdout = cast("IO[str]", process.stdout)
            ready, _, _ = select.select([stdout], [], [], ready_seconds)
            found = re.fullmatch(r"listening on (\S+)\n", stdout.readline() if ready else "")
            if found is None:
                raise RuntimeError("the local API did not start")
            yield Server(found[1], process.pid)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
