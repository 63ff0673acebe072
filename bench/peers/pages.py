"""Pages of 100 records a second into the SQLite sink: `crawlerd import`, and the same handlers on a thread pool."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psutil
import requests
from requests.adapters import HTTPAdapter

from bench.rig.installation import Installation, crawlerd
from bench.rig.meters import Others, cpu_seconds
from bench.rig.process import install_source
from bench.rig.report import about, parsed, table
from bench.sources.lists import lists
from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.listing import Listing, Objects
from crawlerd.core.outcome import Complete
from crawlerd.core.task import NewTask, Task
from crawlerd.demo.server import Server, running
from crawlerd.engine import kinds
from crawlerd.engine.attempt import attempt
from crawlerd.sink import Delivery
from crawlerd.sinks.sqlite.sink import sqlite_sink
from crawlerd.source import RunPlan

if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS = ["customers", "charges", "payment_intents", "balance_transactions", "events"]
CUSTOMERS = 500  # of each account: 40 pages, all of them full
PAGES = 40


class Found(NamedTuple):
    """One import. seconds: from the first request to the last commit. CPU seconds: of the server, of the process that
    commits (and, in the peer, does everything), and of worker processes."""

    seconds: float
    server: float
    main: float
    workers: float


class Session:
    """What a script would use for an API: `requests`, at its leanest. Serves all threads; one account an `open`."""

    def __init__(self, connections: int) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0))

    def open(self, _: object, account: AccountSpec) -> Any:
        return _Api(self._session, account)


class _Api(NamedTuple):
    session: requests.Session
    account: AccountSpec

    def get(self, path: str, params: dict[str, Any]) -> Any:
        url, headers = self.account.base_url + path, {"Authorization": f"Bearer {self.account.secret}"}
        response = self.session.get(url, params=params, headers=headers, timeout=60, allow_redirects=False)
        response.raise_for_status()
        return msgspec.json.decode(response.content)

    def listing(self, path: str, params: dict[str, Any], *, at: str, also: tuple[str, ...] = ()) -> Any:
        page = self.get(path, params)
        return Listing(Objects.of(map(msgspec.json.encode, page[at]), wanted=("id",)), page)


def spent_by(process: subprocess.Popen[bytes]) -> dict[int, float]:
    """CPU seconds of a process and its children, by id; nothing when it ends meanwhile."""
    try:
        main = psutil.Process(process.pid)
        return {each.pid: cpu_seconds(each) for each in (main, *main.children())}
    except psutil.Error:
        return {}


def first_request(server: Server) -> float:
    """Monotonic seconds."""
    return min(seen.first for seen in server.stats().accounts.values() if seen.first is not None)


def threads_import(server: Server, accounts: int, threads: int, client: Any, path: Path) -> Found:
    """The peer, in this process: handlers on a thread pool, children submitted as they are yielded, and one thread
    that writes whatever has come since its last commit, so that it commits in groups as crawlerd does."""
    specs = [
        AccountSpec(name=f"a{number}", source="lists", base_url=server.url, secret=Server.key(number))
        for number in range(1, accounts + 1)
    ]
    done: SimpleQueue[tuple[str, Complete]] = SimpleQueue()
    server.reset()
    before = cpu_seconds(psutil.Process(server.pid)), time.process_time()
    with ThreadPoolExecutor(threads) as pool:

        def perform(spec: AccountSpec, task: NewTask) -> None:
            alone = Task(0, 0, 0, 0, task.kind, 0, task.payload)
            outcome = attempt(lists, spec, client.open(lists, spec), alone, jitter=0.0)
            assert isinstance(outcome, Complete), outcome
            for child in outcome.children:
                pool.submit(perform, spec, child)
            done.put((spec.name, outcome))

        for spec in specs:
            for task in kinds.first(lists, RunPlan(STREAMS, full=True, started_at=time.time())).children:
                pool.submit(perform, spec, task)
        sink = sqlite_sink(path)
        left = accounts * PAGES
        while left:
            group = [done.get()]
            while not done.empty() and len(group) < 500:
                group.append(done.get())
            sink.write([Delivery("lists", name, 1, 0.0, 0, outcome.batches) for name, outcome in group], time.time())
            left -= len(group)
        end = time.monotonic()
        sink.close()
    after = cpu_seconds(psutil.Process(server.pid)), time.process_time()
    return Found(end - first_request(server), after[0] - before[0], after[1] - before[1], 0.0)


def crawlerd_import(server: Server, accounts: int, processes: int, threads: int, place: Path) -> Found:
    """The installed command, in processes of its own."""
    shutil.rmtree(place, ignore_errors=True)
    here = Installation(place, sources=place.parent, worker_processes=processes, threads_per_process=threads)
    for number in range(1, accounts + 1):
        key = Server.key(number)
        here.add(f"a{number}", "lists", STREAMS, key=key, base_url=server.url, limits=[], bucket_limits=[])
    here.write()
    server.reset()
    server_before = cpu_seconds(psutil.Process(server.pid))
    with (place / "report.json").open("wb") as report:
        command = crawlerd("import", "--all", "--json")
        process = subprocess.Popen(command, cwd=place, env=here.environment, stdout=report)
    while not any(seen.requests for seen in server.stats().accounts.values()):
        time.sleep(0.01)
    before = spent_by(process)
    latest = before
    while process.poll() is None:
        latest = latest | spent_by(process)
        time.sleep(0.1)
    assert process.returncode == 0, process.returncode
    runs = [run for runs in json.loads((place / "report.json").read_bytes())["imports"].values() for run in runs]
    assert sum(run["records"] for run in runs) == accounts * PAGES * 100
    end = max(run["ended_at"] for run in runs) - time.time() + time.monotonic()
    main = latest.pop(process.pid) - before.pop(process.pid)
    server_spent = cpu_seconds(psutil.Process(server.pid)) - server_before
    return Found(end - first_request(server), server_spent, main, sum(latest.values()) - sum(before.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100, help=f"of {PAGES} pages each")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16, help="of each of crawlerd's worker processes")
    parser.add_argument("--peer-threads", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    args = parsed(parser, accounts=2, peer_threads=[2], rounds=1)
    pages = args.accounts * PAGES
    print(about("requests"), "\n")
    others = Others()
    with (
        tempfile.TemporaryDirectory(dir=".") as name,
        running(accounts=args.accounts, customers=CUSTOMERS, rate=0, cache_mb=4000) as server,
    ):
        folder = Path(name).resolve()
        install_source(folder, "lists")

        def peer(threads: int, client: type[HttpClient] | type[Session]) -> Found:
            for old in folder.glob("peer.db*"):
                old.unlink()
            return threads_import(server, args.accounts, threads, client(connections=threads), folder / "peer.db")

        systems: dict[str, Callable[[], Found]] = {
            f"crawlerd import, {args.processes} processes of {args.threads} threads": lambda: crawlerd_import(
                server, args.accounts, args.processes, args.threads, folder / "crawlerd"
            )
        }
        for threads in args.peer_threads:
            systems[f"one process, {threads} threads, crawlerd's client"] = partial(peer, threads, HttpClient)
            systems[f"one process, {threads} threads, requests.Session"] = partial(peer, threads, Session)
        peer(8, HttpClient)  # fills the server's cache of rendered pages
        found: dict[str, list[Found]] = {system: [] for system in systems}
        for _ in range(args.rounds):
            for system, measure in systems.items():
                found[system].append(measure())
    # What else runs on the machine only ever slows, so the best round says most.
    rate = {system: pages / min(each.seconds for each in all_) for system, all_ in found.items()}
    ours = next(iter(rate.values()))
    rows = [
        (
            system,
            f"{rate[system]:,.0f}",
            f"{pages / statistics.median(each.seconds for each in all_):,.0f}",
            f"{ours / rate[system]:.2f}",
            *(f"{min(getattr(e, who) for e in all_) / pages * 1000:.2f}" for who in Found._fields[1:]),
        )
        for system, all_ in found.items()
    ]
    print(
        table(
            ("", "pages/s", "median", "crawlerd is … times that", "least CPU ms a page: server", "main", "workers"),
            rows,
        )
    )
    print(f"\n{others}")


if __name__ == "__main__":
    main()
