"""What the page and the API cost: `python -m bench.page`.

Each route's time to answer, over a frontier with as many accounts, runs and dead letters as asked; then what 100 open
event streams, and a reader of the page each second, cost: memory, gaps between requests that a limit spaces evenly, and
the time that a stop takes with them.
"""

from __future__ import annotations

import argparse
import re
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import requests

from bench.rig.installation import crawlerd
from bench.rig.meters import Others
from bench.rig.report import about, parsed, table
from bench.scale.glance import fill
from bench.scale.interruptions import RATE, Api, Daemon, Gaps, measured, running
from crawlerd.core.outcome import Bury
from crawlerd.core.task import NewTask
from crawlerd.frontier import open_frontier
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.waiting_contract import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = 100
LIMIT_MS = 100  # that each route has for 95 of 100 answers
CHUNK = 10_000  # dead letters of a run
ERRORS = ("Permanent: the order is gone", "HttpError: 404 not found", "unexpected KeyError: 'data'")
MIB = 1 << 20
API = "/api/v1/"
ROUTES = (
    *("status", "top", "imports", "imports?after=import5&limit=500", "imports/import1", "imports/import1/runs", "runs"),
    *("runs?state=completed&limit=500", "runs/7", "runs/7/streams", "accounts", "accounts?limit=500&after=a000500"),
    *("accounts?needs_a_look=true", "accounts/a000001", "why/account/a000001", "schedule", "pauses", "audit"),
    *(
        "dead",
        "dead?import=letters&limit=500",
        "dead?error=key",
        "dead/groups",
        "dead/7",
        "operations",
        "config",
        "info",
    ),
)
SCREENS: tuple[str, ...] = ("/", "/imports", "/imports/import1", "/runs", "/runs/7", "/accounts", "/accounts/a000001")
SCREENS += ("/dead", "/dead/7", "/operations", "/audit", "/about", "/metrics")


def bury(state_dir: Path, letters: int) -> None:
    """Dead letters of an import of their own, as the daemon would write them."""
    frontier = open_frontier(state_dir, now=time.time())
    account = frontier.account("letters", "shop")
    for start in range(0, letters, CHUNK):
        many = min(CHUNK, letters - start)
        tasks = [NewTask("shop.order", "orders", 5, f'{{"id":{start + each}}}') for each in range(many)]
        run = frontier.start_run("letters", account, tasks, full=True, now=time.time(), streams=["orders"]).run
        place = (frontier.bucket_number(account, "orders"), run)
        heads = frontier.heads(place, FIRST, many)
        buried = [Settled(each, account, Bury(ERRORS[n % 3], stream="orders")) for n, each in enumerate(heads)]
        frontier.commit(buried, now=time.time())
    frontier.close()


@contextmanager
def serving(place: Path) -> Iterator[str]:
    """The address of a daemon over the state directory in `place`, without imports."""
    (place / "crawlerd.toml").write_text(
        '[daemon]\nstate_dir = "var"\nlisten = "127.0.0.1:0"\nworker_processes = 1\ndrain_seconds = 1\n'
    )
    process = subprocess.Popen(crawlerd("run"), cwd=place, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = None
    try:
        for line in process.stderr:
            if found := re.search(r"(http://[\d.]+:\d+)/metrics", line):
                break
        assert found, "the daemon does not listen"
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def timed(url: str, rounds: int) -> list[float]:
    """Milliseconds that each answer took."""
    took = []
    with requests.Session() as session:
        for _ in range(rounds + 1):
            start = time.perf_counter()
            answer = session.get(url, timeout=60, headers={"Accept": "text/html"})
            took.append(1e3 * (time.perf_counter() - start))
            answer.raise_for_status()
    return took[1:]  # the first one opens the connection


def routes(args: argparse.Namespace) -> None:
    rows = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        place = Path(name).resolve()
        (place / "var").mkdir(mode=0o700)
        fill(place / "var", args.accounts, args.runs, min(100, args.accounts), 20, args.tasks // args.accounts)
        bury(place / "var", args.letters)
        with serving(place) as url:
            letter = requests.get(f"{url}{API}dead?limit=1", timeout=60).json()["letters"][0]["id"]
            for each in (*(API + each for each in ROUTES), *SCREENS):
                path = each.replace("dead/7", f"dead/{letter}")
                if each in SCREENS and requests.get(url + path, timeout=60).status_code == 404:
                    continue  # a screen that there is not (yet), or nothing is there to show
                took = timed(url + path, args.rounds)
                p95 = quantiles(took, n=20)[-1]
                late = "" if p95 <= LIMIT_MS else "late"
                rows.append((f"`{path}`", f"{sorted(took)[len(took) // 2]:.1f}", f"{p95:.1f}", late))
    head = f"{args.accounts:,} accounts, {args.tasks:,} tasks, {args.runs:,} runs, {args.letters:,} dead letters"
    print(table((head, "ms p50", "p95", f"over {LIMIT_MS}"), rows), "\n", flush=True)


def opened(url: str) -> socket.socket:
    """An event stream, with its first bytes read."""
    where = urlsplit(url)
    made = socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=20)
    made.sendall(f"GET {API}events HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
    assert b" 200 " in made.recv(4096)
    return made


def drained(streams: list[socket.socket], over: threading.Event) -> None:
    for each in streams:
        each.setblocking(False)
    while not over.wait(0.2):
        for each in streams:
            try:
                each.recv(1 << 16)
            except BlockingIOError:
                continue


@contextmanager
def held_open(url: str, count: int) -> Iterator[None]:
    """Event streams that are read all the while."""
    with ExitStack() as held:
        streams = [held.enter_context(opened(url)) for _ in range(count)]
        over = threading.Event()
        reader = threading.Thread(target=drained, args=(streams, over), daemon=True)
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join()


def streams(args: argparse.Namespace) -> None:
    """With streams and without, in turns, since machines change from minute to minute; then with them all along."""
    api, rows = Api(), []
    with tempfile.TemporaryDirectory(dir=".") as name, ExitStack() as held:
        daemon: Daemon = held.enter_context(running(Path(name).resolve(), args.accounts, api))
        process = psutil.Process(daemon.pid)
        some = f"{args.streams} streams"

        def overview() -> None:
            requests.get(f"{daemon.url}{API}top", timeout=60)

        def row(what: str, found: list[Gaps]) -> None:
            p99 = sorted(each.p99 for each in found)
            spread = f" ({p99[0]:.1f}-{p99[-1]:.1f})" if len(p99) > 1 else ""
            rows.append(
                (
                    *(what, f"{process.memory_info().rss / MIB:.1f}", sum(each.number for each in found)),
                    *(f"{median(each.p50 for each in found):.1f}", f"{median(p99):.1f}{spread}"),
                    f"{max(each.longest for each in found):.1f}",
                )
            )

        without, with_them = [], []
        for _ in range(args.turns):
            without.append(measured(api, args.seconds / args.turns, None, 1.0))
            with held_open(daemon.url, args.streams):
                with_them.append(measured(api, args.seconds / args.turns, None, 1.0))
        row("nothing else, in turns with", without)
        row(some, with_them)
        with held_open(daemon.url, args.streams):
            row(f"{some} all along", [measured(api, args.seconds, None, 1.0)])
            row("and the overview each second", [measured(api, args.seconds, overview, 1.0)])
            start = time.monotonic()
            daemon.stop()
            stopping = time.monotonic() - start
    print(table(("meanwhile", "MiB of the main process", "gaps", "ms p50", "p99", "longest"), rows))
    print(f"\nThe limit permits a request each {1e3 / RATE:g} ms; p99 of several turns: median (range).")
    print(f"With all streams open, the daemon stopped in {stopping:.1f} s.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=500_000)
    parser.add_argument("--tasks", type=int, default=10_000_000)
    parser.add_argument("--letters", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40, help="requests of each route")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--seconds", type=float, default=300.0, help="that each is measured for with open streams")
    parser.add_argument("--turns", type=int, default=10, help="with and without streams")
    args = parsed(parser, accounts=600, runs=1_000, tasks=1_200, letters=200, rounds=2, streams=5, seconds=1, turns=2)
    others = Others()
    print(about("starlette", "uvicorn"), "\n")
    routes(args)
    streams(args)
    print(others)


if __name__ == "__main__":
    main()
