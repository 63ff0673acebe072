"""The local API in a process of its own, which also notes when each request arrived, and for which stream.

`python -m bench.rig.recording OPTIONS`: a JSON object of the API's options, and `shape` (see `SHAPES`).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec
import requests
from aiohttp import web

from bench.rig.process import environment, module
from crawlerd.demo.api import LocalApi, serve
from crawlerd.demo.objects import SPAN, START, Stream
from crawlerd.demo.server import Options, Server
from crawlerd.demo.stripe import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BURSTS = sorted(Random(1).sample(range(SPAN), 200))  # the seconds in which they begin; each takes ten minutes
SHAPES: dict[str, Callable[[float], float]] = {  # when an object was created, of two years, by its place in the list
    "growing": lambda place: place**0.5,
    "shrinking": lambda place: place**2,
    "one peak": lambda place: NormalDist(0.5, 0.05).inv_cdf(min(max(place, 1e-9), 1 - 1e-9)),
    "200 bursts": lambda place: (BURSTS[int(place * 200)] + place * 200 % 1 * 600) / SPAN,
}


def shape(name: str) -> None:
    """Gives the objects of this process's local API other times than evenly spread ones."""

    def created(self: Stream, index: int, customers: int) -> int:
        return START + int(SPAN * SHAPES[name](index / self.count(customers)))

    Stream.created = created  # type: ignore[method-assign]  # the local API has no such option, and needs none


class Recording(LocalApi):
    """Answers `/_arrivals` with the monotonic second and the stream of each request."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.arrivals: list[tuple[float, str]] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/_arrivals":
            return web.json_response(self.arrivals)
        if request.raw_path.startswith("/v1/"):
            self.arrivals.append((time.monotonic(), split(request.path).stream))
        return await super().handle(request)


@contextmanager
def recording(shape: str = "", **options: float) -> Iterator[Server]:
    """shape: a name of SHAPES, or any other for evenly spread objects. options: the local API's."""
    asked = json.dumps({"shape": shape, "parent": os.getpid(), **options})
    command = module("bench.rig.recording", asked)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.fullmatch(r"listening on (\S+)\n", process.stdout.readline())
            assert found is not None
            yield Server(found[1], process.pid)
        finally:
            process.terminate()


def arrivals(server: Server) -> list[tuple[float, str]]:
    """Of all requests so far, in order: the monotonic second, and the stream."""
    answer = requests.get(f"{server.url}/_arrivals", timeout=10).content
    return msgspec.json.decode(answer, type=list[tuple[float, str]])


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    if (name := asked.pop("shape")) in SHAPES:
        shape(name)
    asyncio.run(serve(Options(**asked), Recording))
