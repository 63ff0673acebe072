"""What is left of tasks that are done, in a frontier in PostgreSQL: its size after many cycles, and beside a long
transaction of somebody else, which keeps every row that has been deleted since.

    python -m bench.scale.postgresql_vacuum [--tasks 200000] [--cycles 2000000] [--seconds 600]
"""

from __future__ import annotations

import argparse
import logging
import time
from contextlib import closing

import psycopg

from bench.rig.meters import MIB
from bench.rig.report import about, parsed, table
from bench.rig.testbed import PostgresServer, postgres_server
from bench.scale.postgresql_frontier import cycled, filled
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.session import Place

STEP = 100_000  # cycles between two looks


class Warnings(logging.Handler):
    """Keeps what was logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def size(server: PostgresServer) -> int:
    """Bytes of the tasks that are ready, with their index and what is dead."""
    ((found,),) = server.query("SELECT pg_total_relation_size('crawlerd_frontier.ready')")
    return int(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=200_000)
    parser.add_argument("--cycles", type=int, default=2_000_000)
    parser.add_argument("--seconds", type=float, default=600.0, help="that the long transaction lasts")
    given = parsed(parser, tasks=1_000, cycles=1_000, seconds=0.2)
    warnings = Warnings(logging.WARNING)
    logging.getLogger("crawlerd").addHandler(warnings)
    rows = []
    with postgres_server(fsync="on", shared_buffers="128MB") as server:
        it = PostgresFrontier(Place(server.url()), now=time.time())
        with closing(it):
            queues = filled(it, given.tasks)
            server.query("VACUUM FULL crawlerd_frontier.ready")
            live, step = size(server), min(STEP, given.cycles)

            def look(what: str, rate: float) -> None:
                now = size(server)
                rows.append([what, f"{rate:,.0f}", f"{now / MIB:,.0f}", f"{now / live:.2f}"])

            look("filled", 0)
            rates = [cycled(it, queues, step) for _ in range(given.cycles // step)]
            usual = sum(rates) / len(rates)
            look(f"{given.cycles:,} cycles", usual)
            with closing(psycopg.connect(server.url())) as other:
                other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                other.execute("SELECT count(*) FROM crawlerd_frontier.run")
                began, done = time.monotonic(), 0
                while time.monotonic() < began + given.seconds:
                    cycled(it, queues, min(10_000, step))
                    done += min(10_000, step)
                held = done / (time.monotonic() - began)
                pid = other.info.backend_pid
            look(f"{given.seconds:g} s beside a transaction", held)
    print(about("psycopg"))
    print(table(["after", "cycles/s", "MiB of `ready`", "of what is live"], rows))
    print(f"\nBeside the transaction: {held / usual:.0%} of the rate; process {pid} of the server had it. Warnings:")
    print(*(warnings.texts or ["none"]), sep="\n")


if __name__ == "__main__":
    main()
