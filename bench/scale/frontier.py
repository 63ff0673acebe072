"""A queue of 10M tasks over 100,000 accounts and one of 20,000: enqueue, disk, memory, start, throughput, lease.

With `--postgresql`, the queues are in a database of a server of its own.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.rig.fsync import Fsync
from bench.rig.installation import Installation
from bench.rig.process import environment, install_source, part
from bench.rig.queued import URL
from bench.rig.report import about, parsed, spread, table
from bench.rig.testbed import PostgresServer, postgres_server
from bench.scale.filling import Found

SERVER = {"shared_buffers": "256MB", "max_wal_size": "4GB"}  # of PostgreSQL
IMPORTS = 100  # running, about, the first account's among them: to start each of 100,000 takes minutes
THROTTLED = 2_000  # accounts, of which nine tenths are throttled
FILLING, RUNNING = "bench.scale.filling", "bench.scale.running"  # the parts that have a process of their own

FILL_COLUMNS = {
    "tasks/s": ("rate", 0),
    "CPU µs/task": ("cpu", 1),
    "bytes written/task": ("written", 0),
    "file bytes/task": ("size", 0),
}
RUN_COLUMNS = {
    "tasks/s": ("rate", ",.0f"),
    "main process µs/task": ("cpu", ",.0f"),
    "lease µs p50": ("p50", ".1f"),
    "p99": ("p99", ".1f"),
    "p99.9": ("p999", ",.0f"),
    "most": ("most", ",.0f"),
    "MiB settings": ("rss settings", ",.0f"),
    "engine": ("rss engine", ",.0f"),
    "running": ("rss", ",.0f"),
    "a worker": ("rss worker", ",.0f"),
    "s to the first lease": ("s first lease", ".2f"),
    "s to start all imports": ("s imports", ".1f"),
    "s under way": ("s under way", ".1f"),
}
START_COLUMNS = {
    "s to read it": ("s settings", 2),
    "to open the frontier": ("s engine", 2),
    "to the first lease, in all": ("s first lease", 2),
    "MiB before": ("rss bare", 0),
    "after reading it": ("rss settings", 0),
    "running": ("rss", 0),
}
LEASE_COLUMNS = ("µs p50", "p99", "p99.9", "most")


def median(found: Iterable[Found]) -> Found:
    rounds = list(found)
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


class Bench:
    """The tables, each printed as soon as it is measured. args: the command line's."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self._folder, self._args = folder, args
        install_source(folder / "sources", "steady")
        self._environment = environment(folder / "sources")
        self._free = environment(folder / "sources", base=Fsync(folder).environment(0))
        self.server: PostgresServer | None = None
        self._filled: dict[tuple[int, int], Path] = {}  # by accounts and tasks

    def _fill(self, place: Path, tasks: int, accounts: int) -> Found:
        """A queue. Seeding it is made cheap, since an account's first transaction is not what is measured."""
        place.mkdir()
        if self.server:
            (place / URL).write_text(self.server.database(f"q_{tasks}_{accounts}"))
            (place / URL).chmod(0o600)
            self._serve(fsync="off")
        part(FILLING, "seed", self._free, place=place, tasks=tasks, accounts=accounts)
        if self.server:
            self._serve(fsync="on")
        return part(FILLING, "enqueue", self._environment, place=place, tasks=tasks, accounts=accounts)

    def _serve(self, fsync: str) -> None:
        assert self.server
        self.server.stop(signal.SIGINT)
        self.server.start(fsync=fsync, **SERVER)

    def _run(
        self, place: Path, tasks: int, accounts: int, *, every: int, seconds: float = 0.0, toml: bool = False
    ) -> Found:
        """See `running.run`. seconds: 0 takes the command line's."""
        return part(
            RUNNING,
            "run",
            self._environment,
            place=place,
            tasks=tasks,
            accounts=accounts,
            seconds=seconds or self._args.seconds,
            spawned=time.monotonic(),
            toml=toml,
            every=every,
            warm=self._args.warm,
        )

    def enqueue(self) -> None:
        print("Enqueue, in transactions of 10,000\n", flush=True)
        rows = []
        for accounts in self._args.accounts:
            for tasks in self._args.sizes:
                place = self._filled[accounts, tasks] = self._folder / f"{tasks}-{accounts}"
                found = self._fill(place, tasks, accounts)
                figures = (f"{found[key]:,.{digits}f}" for key, digits in FILL_COLUMNS.values())
                rows.append((f"{tasks:,}", f"{accounts:,}", *figures))
        print(table(("tasks", "accounts", *FILL_COLUMNS), rows), "\n", flush=True)

    def engine(self) -> None:
        engine_rows, start_rows = [], []
        for (accounts, tasks), place in self._filled.items():
            which = (f"{tasks:,}", f"{accounts:,}")
            every = max(1, min(accounts, tasks // 2) // IMPORTS)
            rounds = [self._run(place, tasks, accounts, every=every) for _ in range(self._args.rounds)]
            figures = (spread((each[key] for each in rounds), form) for key, form in RUN_COLUMNS.values())
            engine_rows.append((*which, *figures))
            daemon: dict[str, Any] = {"frontier": {"file": URL}} if self.server else {}
            here = Installation(place, state_dir=".", **daemon)
            for number in range(accounts):
                here.add(f"a{number}", "steady", ["nothing"], limits=[])
            here.write()
            found = self._run(place, tasks, accounts, every=every, seconds=min(1.0, self._args.seconds), toml=True)
            start_rows.append((*which, *(f"{found[key]:,.{digits}f}" for key, digits in START_COLUMNS.values())))
        print("The engine, 2 worker processes, tasks without limits that yield one more each\n")
        print(table(("tasks", "accounts", *RUN_COLUMNS), engine_rows), "\n", flush=True)
        print("Its start, from a configuration file\n")
        print(table(("tasks", "accounts", *START_COLUMNS), start_rows), "\n", flush=True)

    def lease(self) -> None:
        rows = []
        for accounts in self._args.accounts:
            for limited, throttled in ((False, False), (True, False), (True, True)):
                options = {"limited": limited, "throttled": throttled, "leases": self._args.leases}
                found = part(RUNNING, "lease", self._environment, accounts=accounts, **options)
                kind = "100/second, buckets 25/second" if limited else "none"
                kind += ", 90% throttled" if throttled else ""
                rows.append((f"{accounts:,}", kind, *(f"{each:,.1f}" for each in found.values())))
        print("A lease alone\n")
        print(table(("accounts", "limits", *LEASE_COLUMNS), rows), "\n", flush=True)

    def throttled(self, accounts: int) -> None:
        """The throughput of a tenth of the accounts, alone and while the other nine tenths are throttled."""
        place, tasks = self._folder / "throttled", 10 * accounts
        self._fill(place, tasks, accounts)
        part(FILLING, "throttle", self._environment, place=place, accounts=accounts)
        found: dict[int, list[Found]] = {10: [], 1: []}
        for _ in range(self._args.rounds):
            for every, rounds in found.items():
                rounds.append(self._run(place, tasks, accounts, every=every))
        rows = [
            (
                "alone" if every == 10 else f"with {accounts * 9 // 10:,} throttled accounts",
                spread((each["rate"] for each in rounds), ",.0f"),
                f"{median(rounds)['rate'] / median(found[10])['rate']:.1%}",
                spread((each["cpu"] for each in rounds), ",.0f"),
            )
            for every, rounds in found.items()
        ]
        header = (f"{accounts // 10:,} accounts", "tasks/s", "of those alone", "main process µs/task")
        print(f"Throttled accounts, {tasks:,} tasks\n")
        print(table(header, rows), flush=True)
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 1_000_000, 10_000_000])
    parser.add_argument("--accounts", type=int, nargs="+", default=[10, 100_000], help="the first of which holds half")
    parser.add_argument("--seconds", type=float, default=10.0, help="of running, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=10_000, help="tasks that are performed before those measured")
    parser.add_argument("--leases", type=int, default=200_000, help="that are timed alone")
    parser.add_argument("--postgresql", action="store_true", help="not in a file")
    parser.add_argument("--place", type=Path, default=Path(), help="a directory with a few free GB")
    args = parsed(parser, sizes=[400], accounts=[100], seconds=0.4, rounds=1, warm=50, leases=200)
    print(about("apsw"), "\n")
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=args.place))
        bench = Bench(Path(name).resolve(), args)
        if args.postgresql:
            bench.server = stack.enter_context(postgres_server(**SERVER))
        bench.enqueue()
        bench.engine()
        bench.lease()
        if max(args.accounts) >= 100:
            bench.throttled(min(max(args.accounts), THROTTLED))


if __name__ == "__main__":
    main()
