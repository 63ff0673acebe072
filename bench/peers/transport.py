"""Where a worker's CPU time for a page of 100 records goes, and what libcurl under `requests`' API would save."""

from __future__ import annotations

import argparse
import gc
import time
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import msgspec
import pycurl
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest
from requests.models import Response as Answer
from urllib3 import HTTPHeaderDict, HTTPResponse

from bench.rig.meters import Others
from bench.rig.report import about, parsed, table
from crawlerd.clients.deadline import Deadline
from crawlerd.clients.http import HttpClient, read_body
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.listing import Listing, listing
from crawlerd.core.outcome import Complete, Result
from crawlerd.core.task import Task
from crawlerd.demo.server import Server, running
from crawlerd.engine.attempt import attempt
from crawlerd.engine.wire import Done, frame
from crawlerd.engine.worker import GARBAGE_OBJECTS
from crawlerd.sources.stripe import stripe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STREAM = "charges"
DEADLINE = 60_000  # ms


class CurlAdapter(BaseAdapter):
    """The least that `requests`' API asks of a transport, on one libcurl handle: of the caps and times that the real
    one needs, only those that libcurl has of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._curl = pycurl.Curl()
        self._curl.setopt(pycurl.NOSIGNAL, 1)
        self._curl.setopt(pycurl.TIMEOUT_MS, DEADLINE)
        self._curl.setopt(pycurl.PROXY, "")

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Answer:
        curl, body = self._curl, bytearray()
        lines: list[bytes] = []
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in request.headers.items()])
        curl.setopt(pycurl.WRITEFUNCTION, body.extend)
        curl.setopt(pycurl.HEADERFUNCTION, lines.append)
        curl.perform()
        headers = HTTPHeaderDict()
        for line in lines[1:-1]:
            name, value = line.decode("latin-1").split(":", 1)
            headers.add(name, value.strip())
        answer = Answer()
        answer.status_code = curl.getinfo(pycurl.RESPONSE_CODE)
        answer.raw = HTTPResponse(BytesIO(body), headers, answer.status_code, preload_content=False)
        return answer

    def get(self, url: str, headers: list[str]) -> bytes:
        """libcurl alone."""
        body = BytesIO()
        self._curl.setopt(pycurl.URL, url)
        self._curl.setopt(pycurl.HTTPHEADER, headers)
        self._curl.setopt(pycurl.WRITEDATA, body)
        self._curl.perform()
        return body.getvalue()

    def close(self) -> None:
        self._curl.close()


class Ready:
    """An Api whose page has come already, or comes from `bring`."""

    sent_at = done_at = 0.0
    mode = "test"

    def __init__(self, bring: Callable[[], bytes]) -> None:
        self._bring = bring

    def listing(
        self, *_: Any, at: str | None = "", wanted: Sequence[str] = ("id",), also: Sequence[str] = ()
    ) -> Listing:
        found = listing(self._bring(), at, wanted=wanted, also=also)
        assert found is not None
        return found


def measures(server: Server) -> dict[str, Callable[[], object]]:
    """What is measured, by name, each once."""
    spec = AccountSpec(name="a1", source="stripe", base_url=server.url, secret=Server.key(1))
    task = Task(0, 0, 0, 0, f"stripe.{STREAM}", 0, f'{{"streams": ["{STREAM}"]}}')
    client, over_curl, curl = HttpClient(connections=1), HttpClient(connections=1), CurlAdapter()
    over_curl._adapter = curl  # type: ignore[assignment]  # what `crawlerd[fast]` would do

    def perform(api: Any) -> bytes:
        outcome = attempt(stripe, spec, api, task, jitter=0.0)
        assert isinstance(outcome, Complete), outcome
        assert sum(batch.count for batch in outcome.batches) == 100, outcome
        return frame(Done([Result(1, outcome)]))

    params = {"limit": 100, "starting_after": None, "expand[]": None, "created[gte]": None, "created[lte]": None}
    api = client.open(stripe, spec)
    response = api.request("GET", f"/v1/{STREAM}", params=params)
    page, headers = msgspec.json.decode(response.body), api._headers({})
    lines = [f"{name}: {value}" for name, value in headers.items()]
    records = [(each["id"], each) for each in page["data"]]

    def prepare() -> PreparedRequest:
        request = PreparedRequest()
        request.prepare_method("GET")
        request.prepare_url(f"{server.url}/v1/{STREAM}", params)
        request.prepare_headers(headers)
        request.prepare_body(None, None, None)
        return request

    prepared = prepare()

    def transport() -> bytes:
        deadline = Deadline(60)
        client._deadlines.start(deadline)
        try:
            return read_body(client._adapter.send(prepared, stream=True, timeout=None).raw, 1 << 26)
        finally:
            client._deadlines.stop(deadline)

    return {
        "a page, whole": lambda: perform(client.open(stripe, spec)),
        "a page, libcurl under requests' API": lambda: perform(over_curl.open(stripe, spec)),
        "a page, libcurl alone": lambda: perform(Ready(partial(curl.get, response.url, lines))),
        "a page that is there already": lambda: perform(Ready(lambda: response.body)),
        "- prepare": prepare,
        "- requests' adapter, urllib3 and sockets": transport,
        "- the same, libcurl alone": partial(curl.get, response.url, lines),
        "- client, all but JSON": lambda: client.open(stripe, spec).request("GET", f"/v1/{STREAM}", params=params),
        "- JSON, decode": lambda: msgspec.json.decode(response.body),
        "- JSON, encode": lambda: msgspec.json.encode(records).decode(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--times", type=int, default=25, help="of each a round")
    args = parsed(parser, rounds=1, times=1)
    print(about("requests", "urllib3", "msgspec"), pycurl.version, "\n")
    others = Others()
    with running(accounts=1, customers=500, rate=0) as server:
        found = measures(server)
        least = dict.fromkeys(found, float("inf"))
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS)
        for _ in range(args.rounds):
            for name, measure in found.items():
                before = time.thread_time()
                for _ in range(args.times):
                    measure()
                least[name] = min(least[name], (time.thread_time() - before) / args.times)
        whole = next(iter(least.values()))
        rows = [
            (name, f"{each * 1e6:,.0f}", *((f"{1 / each:,.0f}", f"{whole / each:.2f}") if name[0] == "a" else ("", "")))
            for name, each in least.items()
        ]
    print(table(("", "least CPU µs", "a second per core", "times as many"), rows))
    print(f"\n{others}")


if __name__ == "__main__":
    main()
