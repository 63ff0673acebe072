"""A sink and the frontier in one PostgreSQL database: records and acknowledgements are one transaction."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.installation import until
from support.postgres_server import shared
from support.rest_api import RestApi
from support.shops import shop, with_lines
from test_postgresql_frontier import database, located

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

ORDERS = 200
# Records and acknowledged tasks of one moment: a task for the orders, and one for the lines of each.
MOMENT = """SELECT (SELECT count(*) FROM crawl.shop_lines), (SELECT count(*) FROM crawl.shop_orders),
(SELECT coalesce(sum(done), 0) FROM crawlerd_frontier.run)"""


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi(with_lines(ORDERS)) as api:
        yield api


@pytest.fixture
def url() -> Iterator[str]:
    with database(shared()) as url:
        yield url


def into(url: str, here: Installation) -> Installation:
    here.environment["WAREHOUSE_URL"] = url
    here.config["sinks"]["sink"] = {"type": "postgresql", "url": {"env": "WAREHOUSE_URL"}, "schema_name": "crawl"}
    return located(here, url)


@pytest.fixture
def here(install: Callable[..., Installation], api: RestApi, url: str) -> Installation:
    return into(url, shop(install, api, {"orders": ["orders", "lines"]}, limits=["200/second"]))


def exact(here: Installation, url: str) -> None:
    with closing(psycopg.connect(url)) as session:
        lines = Counter(key for (key,) in session.execute("SELECT id FROM crawl.shop_lines"))
        assert lines == Counter(f"l{number}" for number in range(ORDERS))
        tallies = session.execute("SELECT stream, new, changed FROM crawl._crawlerd_tally ORDER BY stream").fetchall()
        assert tallies == [("lines", ORDERS, 0), ("orders", ORDERS, 0)]
    checked = here.run("frontier", "check")
    assert checked.stdout.endswith("every invariant holds\n"), checked.stdout


class Watcher:
    """Looks at every moment, from another connection, whether each acknowledged task has its records, and no other.

    moments: (lines, orders, acknowledged tasks), where they have changed.
    """

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self.moments: list[tuple[int, int, int]] = []
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        with closing(psycopg.connect(self._url, autocommit=True)) as session:
            while not self._over.is_set():
                try:
                    ((lines, orders, done),) = session.execute(MOMENT).fetchall()
                except psycopg.errors.UndefinedTable:
                    continue
                if (moment := (lines, orders, int(done))) not in self.moments[-1:]:
                    self.moments.append(moment)


def test_no_moment_has_records_without_their_acknowledgement(here: Installation, url: str) -> None:
    with Watcher(url) as watcher:
        for _ in range(3):
            importing = here.start("import", "orders")
            before = len(watcher.moments)
            until(lambda running=importing, before=before: len(watcher.moments) > before + 2 or not running.running)
            importing.kill()
        assert here.run("import", "orders").code == 0
    assert len(watcher.moments) > 5
    assert [each for each in watcher.moments if each[2] != each[0] + (each[1] > 0)] == []
    exact(here, url)


def test_sessions_that_the_server_ends_lose_and_repeat_nothing(here: Installation, api: RestApi, url: str) -> None:
    over, draw = threading.Event(), random.Random()

    def terminate() -> None:
        with closing(psycopg.connect(url, autocommit=True)) as session:
            while not over.wait(draw.uniform(0.1, 1.0)):
                session.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crawlerd' "
                    "AND datname = current_database() AND random() < 0.5"
                )

    here.config["accounts"]["acme"]["limits"] = ["60/second"]
    importing = here.start("import", "orders")
    until(lambda: api.requests)
    terminating = threading.Thread(target=terminate)
    terminating.start()
    try:
        until(lambda: len(api.requests) > ORDERS * 3 // 4 or not importing.running, seconds=60)
    finally:
        over.set()
        terminating.join()
    done = importing.finish()
    assert done.code == 0, done.stderr
    exact(here, url)


def test_a_table_that_somebody_locks_holds_up_its_own_runs_alone(here: Installation, url: str) -> None:
    here.config["accounts"]["acme"]["limits"] = ["60/second"]
    here.config["sinks"]["file"] = {"type": "sqlite", "path": "other.db"}
    here.config["accounts"]["other"] = {**here.config["accounts"]["acme"]}
    here.config["imports"]["other"] = {"account": "other", "sink": "file", "streams": ["orders"]}
    for each in here.config["imports"].values():
        each["schedule"] = "1d"
    daemon = here.start("run")

    def state(name: str) -> Any:
        runs = here.run("status", "--json").json["runs"]
        return next((run["state"] for run in runs if run["import"] == name), None)

    with closing(psycopg.connect(url, autocommit=True)) as analyst:
        until(lambda: analyst.execute("SELECT to_regclass('crawl.shop_lines') IS NOT NULL").fetchone() == (True,))
        analyst.execute("BEGIN")
        analyst.execute("LOCK TABLE crawl.shop_lines IN ACCESS EXCLUSIVE MODE")
        daemon.says("another session has held a lock for too long")
        until(lambda: state("other") == "completed", seconds=60)
        assert state("orders") == "running"
        analyst.execute("ROLLBACK")
    until(lambda: state("orders") == "completed", seconds=60)
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    exact(here, url)


def test_a_sink_in_another_database_has_its_own_transactions(here: Installation) -> None:
    with database(shared()) as elsewhere:
        here.environment["WAREHOUSE_URL"] = elsewhere
        assert here.run("import", "orders").code == 0
        exact(here, elsewhere)
