"""How many records a second the PostgreSQL sink takes, next to a plain upsert of the same rows in the same run.

Next to it: COPY into an empty table, and dlt, which merges by key, if it is installed (`pip install 'dlt[postgres]'`).
CPU is that of the server and of this process, since the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import tempfile
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import psutil
import psycopg

from bench.rig.meters import Others
from bench.rig.report import about, parsed, table
from bench.rig.testbed import PostgresServer, postgres_server
from bench.scale.sinks import GROUP, deliveries
from crawlerd.sinks.postgresql.sink import postgresql_sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.sink import Delivery

TABLE = """CREATE TABLE plain(account text COLLATE "C", id text COLLATE "C", data text NOT NULL, run bigint NOT NULL,
imported_at timestamptz NOT NULL, PRIMARY KEY (account, id))"""
UPSERT = """INSERT INTO plain VALUES (%s, %s, %s, %s, now()) ON CONFLICT (account, id) DO UPDATE
SET data = excluded.data, run = excluded.run, imported_at = excluded.imported_at"""
# By how much more than the plain upsert, at least.
GOALS = {"new": 1.2, "unchanged": 2.0, "changed": 0.8}


def upsert(connection: psycopg.Connection[tuple[object, ...]], group: list[Delivery]) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        for each in group:
            batch = each.batches[0]
            cursor.executemany(
                UPSERT,
                [
                    (each.account, key, (data or b"").decode(), each.run)
                    for key, data in zip(batch.keys, batch.data, strict=True)
                ],
            )


def cpu_of(server: PostgresServer) -> float:
    """Seconds of this process and of the server's, since the machine is others' as well."""
    own = time.process_time()
    for each in server.processes():
        with suppress(psutil.Error):
            times = each.cpu_times()
            own += times.user + times.system
    return own


def copied(url: str, work: list[Delivery]) -> float:
    """Into an empty table without an index: what no upsert can reach."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE copied(account text, id text, data text)")
        began = time.perf_counter()
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for each in work:
                batch = each.batches[0]
                for key, data in zip(batch.keys, batch.data, strict=True):
                    copy.write_row((each.account, key, (data or b"").decode()))
        return time.perf_counter() - began


def merged(url: str, folder: str, work: list[Delivery]) -> float:
    """By dlt: into a staging table, then by key into the table itself; as text, which it need not look into."""
    import dlt

    pipeline = dlt.pipeline(
        "bench", destination=dlt.destinations.postgres(url), dataset_name="merged", pipelines_dir=folder
    )
    rows = (
        {"account": each.account, "id": key, "data": (data or b"").decode()}
        for each in work
        for key, data in zip(each.batches[0].keys, each.batches[0].data, strict=True)
    )
    began = time.perf_counter()
    pipeline.run(rows, table_name="records", primary_key=("account", "id"), write_disposition="merge")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    options = parsed(parser, records=2_000)
    print(about("psycopg"), "\n")
    others, rows = Others(), []
    numbers = list(range(options.records))
    random.Random(1).shuffle(numbers)
    runs = {
        "new": deliveries(numbers, 0),
        "unchanged": deliveries(numbers, 0),
        "changed": deliveries(numbers, 2),
        "unchanged again": deliveries(numbers, 2),
    }
    with postgres_server(fsync="on", shared_buffers="128MB") as server:
        sink = postgresql_sink(server.url(), "crawlerd", "bench", {})
        with closing(sink), closing(psycopg.connect(server.url(), autocommit=True)) as connection:
            connection.execute(TABLE)
            for run, (what, work) in enumerate(runs.items(), start=1):
                its = [type(each)(each.source, each.account, run, 10.0 * run, each.task, each.batches) for each in work]
                now = 10.0 * run + 1
                writes: dict[str, Callable[[list[Delivery]], object]] = {
                    "sink": lambda group, now=now: sink.write(group, now),  # type: ignore[misc] # mypy cannot infer a default of a lambda
                    "upsert": lambda group: upsert(connection, group),
                }
                spent, used = dict.fromkeys(writes, 0.0), dict.fromkeys(writes, 0.0)
                for number, at in enumerate(range(0, len(its), GROUP)):  # by turns: others use the machine as well
                    for name in sorted(writes, reverse=bool(number % 2)):
                        began, cpu = time.perf_counter(), cpu_of(server)
                        writes[name](its[at : at + GROUP])
                        spent[name] += time.perf_counter() - began
                        used[name] += cpu_of(server) - cpu
                rates = {name: options.records / seconds for name, seconds in spent.items()}
                goal = GOALS.get(what.split()[0], 0.0)
                ratios = [rates["sink"] / rates["upsert"], used["upsert"] / max(used["sink"], 1e-9)]
                cpu_each = [1e6 * used[name] / options.records for name in ("sink", "upsert")]
                figures = [f"{rates['sink']:,.0f}", f"{rates['upsert']:,.0f}", *(f"{each:.1f}" for each in cpu_each)]
                rows.append([what, *figures, *(f"{each:.2f}" for each in ratios), f"{goal:.1f}"])
            rate = options.records / copied(server.url(), runs["new"])
            rows.append(["COPY", "", f"{rate:,.0f}", "", "", "", "", ""])
            if importlib.util.find_spec("dlt"):
                os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
                with tempfile.TemporaryDirectory() as folder:
                    for what in ("new", "unchanged"):
                        rate = options.records / merged(server.url(), folder, runs[what])
                        rows.append([f"dlt, {what}", "", f"{rate:,.0f}", "", "", "", "", ""])
    columns = [
        "sink, records/s",
        "upsert, records/s",
        "sink, µs of CPU a record",
        "upsert, µs",
        "of the rate",
        "of CPU",
    ]
    print(table(["run", *columns, "goal"], rows))
    print(f"\n{others}")


if __name__ == "__main__":
    main()
