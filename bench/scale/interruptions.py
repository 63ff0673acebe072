"""What holds up leasing: `python -m bench.scale.interruptions`.

A daemon asks as often as a limit that it was told permits, evenly. The server notes when each request arrives; the gaps
between them say how long nothing was leased. They are compared while nothing else goes on, while /metrics is scraped
each second, and while the configuration of many accounts is reloaded, with one account changed and with all.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import requests

from bench.rig.installation import Installation, crawlerd
from bench.rig.local_server import serving
from bench.rig.meters import Others
from bench.rig.process import install_source
from bench.rig.report import about, parsed, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATE = 200  # requests a second
START_SECONDS = 120.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Api:
    """Answers at once, on a thread of this process. arrivals: monotonic seconds."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.url = serving(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.arrivals.append(time.monotonic())
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Gaps(NamedTuple):
    """Milliseconds between two requests that arrive."""

    p50: float
    p99: float
    longest: float
    number: int

    @classmethod
    def of(cls, arrivals: list[float]) -> Gaps:
        gaps = sorted(1e3 * (later - earlier) for earlier, later in pairwise(arrivals))
        return cls(gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.99)], gaps[-1], len(gaps))


class Daemon:
    """One that runs, with `accounts` besides the one that is in use."""

    def __init__(self, here: Installation, accounts: int, api: Api) -> None:
        self._here, self._accounts = here, accounts
        here.add("a", "asking", ["nothing"], base_url=api.url, limits=[f"{RATE}/second"], bucket_limits=[])
        config = here.write()
        with config.open("a") as file:
            file.write('[[accounts_csv]]\nfile = "accounts.csv"\nsource = "asking"\nbase_url = "http://127.0.0.1:9"\n')
        self.write_accounts(5)
        self._process = subprocess.Popen(
            crawlerd("run"), cwd=here.place, env=here.environment, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"http://[\d.]+:\d+", line):
                self.url = found[0]
                break
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self._command("import", "a", "--no-wait")

    def write_accounts(self, rate: int, last: int | None = None) -> None:
        """rate: the limit of each. last: of the last one."""
        rates = [rate] * (self._accounts - 1) + [last or rate]
        rows = [f"a{number},{each}/second\n" for number, each in enumerate(rates)]
        (self._here.place / "accounts.csv").write_text("name,limits\n" + "".join(rows))

    def reload(self) -> None:
        self._command("reload")

    def scrape(self) -> None:
        requests.get(f"{self.url}/metrics", timeout=60).raise_for_status()

    def _command(self, *words: str) -> None:
        subprocess.run(
            crawlerd(*words), cwd=self._here.place, env=self._here.environment, check=True, stdout=subprocess.DEVNULL
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def running(folder: Path, accounts: int, api: Api) -> Iterator[Daemon]:
    install_source(folder / "sources", "asking")
    here = Installation(folder / "here", sources=folder / "sources", worker_processes=1, drain_seconds=1)
    daemon = Daemon(here, accounts, api)
    try:
        until = time.monotonic() + START_SECONDS
        while len(api.arrivals) < RATE:
            assert time.monotonic() < until, "it does not import"
            time.sleep(0.1)
        yield daemon
    finally:
        daemon.stop()


def measured(api: Api, seconds: float, act: Callable[[], object] | None, every: float) -> Gaps:
    """act: is done each `every` seconds; at once again where that is 0."""
    api.arrivals.clear()
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        if act is not None:
            act()
        if act is None or every:
            time.sleep(max(0.0, min(now + (every or seconds), until) - time.monotonic()))
    return Gaps.of(list(api.arrivals))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="that each is measured for, at least")
    args = parsed(parser, accounts=20, seconds=0.5)
    print(about(), "\n")
    api, others, rows = Api(), Others(), []
    with tempfile.TemporaryDirectory(dir=".") as name, running(Path(name).resolve(), args.accounts, api) as daemon:
        turn = 0

        def changed(*, all_of_them: bool) -> None:
            nonlocal turn
            turn = 1 - turn
            daemon.write_accounts(5 + turn if all_of_them else 5, None if all_of_them else 6 + turn)
            daemon.reload()

        for what, act, every in (
            ("nothing else", None, 0.0),
            ("/metrics is scraped each second", daemon.scrape, 1.0),
            ("one account differs", lambda: changed(all_of_them=False), 0.0),
            ("all accounts differ", lambda: changed(all_of_them=True), 0.0),
            ("nothing else, again", None, 0.0),
        ):
            found = measured(api, args.seconds, act, every)
            rows.append((what, found.number, f"{found.p50:.1f}", f"{found.p99:.1f}", f"{found.longest:.1f}"))
    print(table((f"{args.accounts:,} accounts; meanwhile", "gaps", "ms p50", "p99", "longest"), rows))
    print(f"\nThe limit permits a request each {1e3 / RATE:g} ms. {others}")


if __name__ == "__main__":
    main()
