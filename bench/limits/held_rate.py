"""How much of a permitted rate is used, and with how many 429s: `crawlerd import` and a script with `limits`."""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from bench.peers.pages import Session
from bench.rig.installation import Installation
from bench.rig.meters import Others
from bench.rig.process import install_source
from bench.rig.report import about, parsed, table
from bench.sources.lists import lists
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.outcome import Complete, Defer
from crawlerd.core.task import NewTask, Task
from crawlerd.demo.server import AccountStats, Server, running
from crawlerd.engine import kinds
from crawlerd.engine.attempt import attempt
from crawlerd.source import RunPlan

THREADS = 10  # of the script, for each account


def crawlerd(server: Server, args: argparse.Namespace, place: Path) -> dict[int, AccountStats]:
    install_source(place, "lists")
    here = Installation(place, sources=place)
    for number in range(1, args.accounts + 1):
        limit = f"{args.rate}/second"
        account = {"base_url": server.url, "limits": [limit], "bucket_limits": limit}
        here.add(f"a{number}", "lists", ["payment_methods"], key=Server.key(number), **account)
    here.write()
    here.import_all()
    return server.stats().accounts


def script(server: Server, args: argparse.Namespace) -> dict[int, AccountStats]:
    """The peer, in this process: a thread pool an account, each thread waiting for the account's moving window."""
    clients = Session(THREADS * args.accounts)

    def import_account(number: int) -> None:
        spec = AccountSpec(name=f"a{number}", source="lists", base_url=server.url, secret=Server.key(number))
        limiter, limit = MovingWindowRateLimiter(MemoryStorage()), parse(f"{args.rate}/second")
        open_tasks, changed = 0, threading.Condition()

        def perform(task: NewTask) -> None:
            nonlocal open_tasks
            outcome: object = Defer("")
            while not isinstance(outcome, Complete):
                while not limiter.hit(limit):
                    time.sleep(max(0.001, limiter.get_window_stats(limit).reset_time - time.time()))
                alone = Task(0, 0, 0, 0, task.kind, 0, task.payload)
                outcome = attempt(lists, spec, clients.open(lists, spec), alone, jitter=0.0)
            for child in outcome.children:
                submit(child)
            with changed:
                open_tasks -= 1
                changed.notify()

        def submit(task: NewTask) -> None:
            nonlocal open_tasks
            with changed:
                open_tasks += 1
            pool.submit(perform, task)

        with ThreadPoolExecutor(THREADS) as pool:
            for task in kinds.first(lists, RunPlan(["payment_methods"], full=True, started_at=time.time())).children:
                submit(task)
            with changed:
                changed.wait_for(lambda: not open_tasks)

    accounts = [threading.Thread(target=import_account, args=(n,)) for n in range(1, args.accounts + 1)]
    for account in accounts:
        account.start()
    for account in accounts:
        account.join()
    return server.stats().accounts


def seconds(seen: AccountStats) -> float:
    """From the first request to the last."""
    assert seen.first is not None
    assert seen.last is not None
    return seen.last - seen.first


def rows(system: str, found: dict[int, AccountStats], rate: int, *, each: bool) -> list[tuple[str, ...]]:
    def row(name: str, seen: list[AccountStats]) -> tuple[str, ...]:
        shares = [(one.served - 1) / seconds(one) / rate for one in seen]
        return (
            system,
            name,
            f"{sum(one.requests for one in seen):,}",
            f"{max(map(seconds, seen)):.1f}",
            f"{min(shares):.1%}",
            f"{sum(shares) / len(shares):.1%}",
            f"{sum(sum(one.throttled.values()) for one in seen):,}",
            str(max(one.most_arrived for one in seen)),
        )

    lines = [row(f"account {number}", [seen]) for number, seen in found.items()] if each else []
    return [*lines, row(f"all {len(found)}", list(found.values()))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10)
    parser.add_argument("--rate", type=int, default=25, help="a second and account, enforced by the server")
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--customers", type=int, default=1000, help="of each account: one request each, and a few more")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="a line for each account")
    args = parsed(parser, accounts=2, customers=20)
    print(about("limits"), "\n")
    others = Others()
    lines: list[tuple[str, ...]] = []
    for _ in range(args.rounds):
        for system in ("crawlerd", "script"):
            with (
                tempfile.TemporaryDirectory(dir=".") as name,
                running(
                    accounts=args.accounts, customers=args.customers, rate=args.rate, latency=args.latency
                ) as server,
            ):
                found = crawlerd(server, args, Path(name).resolve()) if system == "crawlerd" else script(server, args)
            lines += rows(system, found, args.rate, each=args.each)
    header = ("", "", "requests", "seconds", "least share", "mean share", "429s", "most in 1 s")
    print(table(header, lines))
    print(f"\n{others}")


if __name__ == "__main__":
    main()
