"""A paused import with a million ready tasks at the head of a bucket that another import shares, seen by the server.

Both imports are of one account, whose limit is all that holds them back. The tasks of the first are more urgent, so
that it has the bucket to itself until it is paused.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from bench.rig.installation import Installation, crawlerd
from bench.rig.process import install_source
from bench.rig.queued import fill
from bench.rig.report import about, parsed, table
from bench.sources.sharing import Ask, sharing
from crawlerd.core.priority import DEFAULT_PRIORITY
from crawlerd.engine import kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.task import NewTask

SETTLE_SECONDS = 1.0  # within which the other import has the limit, and after which it is measured


class Arrivals(ThreadingHTTPServer):
    """heard: the monotonic second and the path of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[tuple[float, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def rate(self, path: str, start: float, seconds: float) -> float:
        """Requests of a path a second."""
        return sum(start <= at < start + seconds and of == path for at, of in self.heard) / seconds

    def first(self, path: str, after: float) -> float:
        """Seconds until the next request of a path; infinity when there was none."""
        return min((at - after for at, of in self.heard if of == path and at > after), default=float("inf"))


class _Handler(BaseHTTPRequestHandler):
    server: Arrivals
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.heard.append((time.monotonic(), self.path))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening() -> Iterator[Arrivals]:
    with Arrivals() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def tasks(who: str, priority: int, count: int) -> Iterator[NewTask]:
    task = kinds.new_task(sharing, Ask(who, 0))
    for number in range(count):
        yield msgspec.structs.replace(task, priority=priority, payload=f'{{"who":"{who}","number":{number}}}')


def command(here: Installation, *words: str) -> float:
    """Runs a command; returns the monotonic second of its end."""
    subprocess.run(crawlerd(*words), cwd=here.place, env=here.environment, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic()


def measure(place: Path, queued: int, rate: int, seconds: float) -> list[tuple[str, str]]:
    install_source(place / "sources", "sharing")
    with listening() as server:
        here = Installation(place, sources=place / "sources")
        url = f"http://127.0.0.1:{server.server_port}"
        here.add("first", "sharing", ["first"], base_url=url, limits=[f"{rate}/second"])
        here.share("second", "first", ["second"])
        for name in ("first", "second"):
            here.repeat(name, "1d")
        here.write()
        ahead, other = DEFAULT_PRIORITY - 1, int(rate * seconds * 8) + 100
        first, second = tasks("first", ahead, queued), tasks("second", ahead + 1, other)
        fill(here, "sharing", {"first": first, "second": second}, "first")
        daemon = subprocess.Popen(crawlerd("run"), cwd=place, env=here.environment, stderr=subprocess.DEVNULL)
        try:
            while len(server.heard) < rate:
                time.sleep(0.05)
            memory = psutil.Process(daemon.pid).memory_info
            before, peak = memory().rss, 0
            paused = command(here, "pause", "import", "first", "--reason", "measured")
            for _ in repeat(None, int((seconds + SETTLE_SECONDS) * 10)):
                time.sleep(0.1)
                peak = max(peak, memory().rss)
            share = server.rate("/second", paused + SETTLE_SECONDS, seconds) / rate
            leaked = server.rate("/first", paused + SETTLE_SECONDS, seconds) * seconds
            asked = time.monotonic()
            command(here, "resume", "import", "first")
            time.sleep(SETTLE_SECONDS)
            return [
                ("share of the limit that the other import has", f"{share:.1%}"),
                ("requests of the paused import meanwhile", f"{leaked:.0f}"),
                ("first request of the other after the pause", f"{server.first('/second', paused):.2f} s"),
                ("first request of the resumed one, command included", f"{server.first('/first', asked):.2f} s"),
                ("memory of the main process, more than before", f"{(peak - before) / 2**20:.1f} MiB"),
            ]
        finally:
            daemon.terminate()
            daemon.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parsed(parser, tasks=500, rate=50, seconds=1.0)
    with tempfile.TemporaryDirectory(dir=".") as name:
        rows = measure(Path(name).resolve(), args.tasks, args.rate, args.seconds)
    print(about("apsw"))
    print(table(("a paused import of", f"{args.tasks:,} tasks"), rows))


if __name__ == "__main__":
    main()
