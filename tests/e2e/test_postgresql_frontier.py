"""crawlerd with its frontier in PostgreSQL, as users have it."""

from __future__ import annotations

import random
import signal
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.installation import until
from support.postgres_server import PASSWORD, postgres_server, shared
from support.rest_api import Answer, RestApi
from support.shops import shop, with_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation
    from support.postgres_server import PostgresServer

ORDERS = 60


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi(with_lines(ORDERS)) as api:
        yield api


@contextmanager
def database(server: PostgresServer) -> Iterator[str]:
    """The URL of a database of the test's own."""
    name = server.schema()
    with closing(psycopg.connect(server.url("postgres"), autocommit=True)) as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
        yield server.url(name)
        session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def located(here: Installation, url: str) -> Installation:
    here.environment["FRONTIER_URL"] = url
    here.config["daemon"]["frontier"] = {"env": "FRONTIER_URL"}
    return here


@pytest.fixture
def here(install: Callable[..., Installation], api: RestApi) -> Iterator[Installation]:
    with database(shared()) as url:
        yield located(shop(install, api, {"orders": ["orders", "lines"]}), url)


def complete(here: Installation) -> None:
    assert len(here.imported("acme", "orders", "shop")) == ORDERS
    assert len(here.imported("acme", "lines", "shop")) == ORDERS
    checked = here.run("frontier", "check")
    assert checked.code == 0, checked.stdout
    assert checked.stdout.endswith("every invariant holds\n")


def test_commands_work_as_with_a_file(here: Installation) -> None:
    done = here.run("import", "orders")
    assert done.code == 0, done.stderr
    complete(here)
    assert not [each for each in here.state_dir.iterdir() if each.suffix == ".db"]
    said = [here.run(*words) for words in (["status"], ["why", "orders"], ["run", "show", "1"], ["dead", "list"])]
    assert [each.code for each in said] == [0, 0, 0, 0], said
    assert "completed" in said[0].stdout
    assert here.run("syncpoint", "show", "orders").code == 0
    vacuumed = here.run("frontier", "vacuum")
    assert vacuumed.code == 0, vacuumed.stderr
    backup = here.run("frontier", "backup", "copy")
    assert backup.code == 1
    assert "pg_dump --format=custom --schema=crawlerd_frontier" in backup.stderr
    assert here.run("frontier", "new").code == 1  # it is usable
    new = here.run("frontier", "new", "--force")
    assert new.code == 0, new.stderr
    assert "crawlerd_frontier_2" in new.stdout
    again = here.run("import", "orders")
    assert again.code == 0, again.stderr
    complete(here)
    assert PASSWORD not in "".join(
        f"{each.stdout}{each.stderr}" for each in (done, *said, vacuumed, backup, new, again)
    )


def test_a_daemon_that_is_killed_again_and_again_ends_exact(here: Installation, api: RestApi) -> None:
    here.config["accounts"]["acme"]["limits"] = ["60/second"]
    draw = random.Random()
    for _ in range(4):
        importing = here.start("import", "orders")
        until(lambda running=importing: api.requests or not running.running)
        time.sleep(draw.uniform(0.1, 0.6))  # wherever that is
        importing.kill()
    done = here.run("import", "orders")
    assert done.code == 0, done.stderr
    complete(here)


def test_a_server_that_crashes_holds_up_imports_and_loses_nothing(
    install: Callable[..., Installation], api: RestApi
) -> None:
    with postgres_server() as server:
        here = located(shop(install, api, {"orders": ["orders", "lines"]}), server.url())
        here.config["accounts"]["acme"]["limits"] = ["20/second"]
        importing = here.start("import", "orders")
        until(lambda: len(api.requests) > 10)
        server.stop(signal.SIGQUIT)
        importing.says("trying again every second")
        server.start()
        done = importing.finish()
        assert done.code == 0, done.stderr
        complete(here)
        assert "recovered" in done.stderr


def test_a_second_crawlerd_on_the_same_database_is_refused(
    here: Installation, install: Callable[..., Installation], api: RestApi
) -> None:
    daemon = here.start("run")
    daemon.says("pid ")
    other = located(shop(install, api, {"orders": ["orders"]}), here.environment["FRONTIER_URL"])
    refused = other.run("import", "orders")
    assert refused.code != 0
    assert "is in use by another crawlerd" in refused.stderr


def test_what_the_url_lacks_is_explained(here: Installation) -> None:
    here.environment["FRONTIER_URL"] = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"
    for words in (["import", "orders"], ["status"]):
        done = here.run(*words)
        assert done.code != 0
        assert "the frontier in PostgreSQL 127.0.0.1:1/nothing cannot be reached" in done.stderr
        assert "hunter2" not in done.stderr
    del here.environment["FRONTIER_URL"]
    done = here.run("status")
    assert done.code == 78
    assert "daemon.frontier" in done.stderr
    assert "FRONTIER_URL" in done.stderr


def test_a_frontier_moves_there_and_back(install: Callable[..., Installation], api: RestApi) -> None:
    failing = {"/orders/3/lines": Answer({}, 422), "/orders/5/lines": Answer({}, 422)}
    api.script = lambda request: failing.get(request.path) or with_lines(ORDERS)(request)
    here = shop(install, api, {"orders": ["orders", "lines"]}, limits=["100/second"], retry_base="20ms")
    importing = here.start("import", "orders")
    until(lambda: len(api.requests) > 30)
    importing.kill()  # with tasks that wait, and dead letters
    file = here.state_dir / "frontier.db"
    with database(shared()) as url:
        located(here, url)
        moved = here.run("frontier", "copy", "--to", "postgresql")
        assert moved.code == 0, moved.stderr
        assert file.exists()
        again = here.run("frontier", "copy", "--to", "postgresql")
        assert again.code == 1
        assert "has a frontier already" in again.stderr
        assert here.run("frontier", "check").code == 0
        assert here.run("import", "orders").code == 3
        assert here.run("dead", "retry", "--all", "--yes").code == 0
        refused = here.run("frontier", "copy", "--to", "file")
        assert refused.code == 1
        assert "there is a frontier already: move away " in refused.stderr
        for each in here.state_dir.glob("frontier.db*"):
            each.rename(here.folder / each.name)
        assert here.run("frontier", "copy", "--to", "file").code == 0
        assert not list(here.state_dir.glob("*.part*"))
    del here.config["daemon"]["frontier"]
    api.script = with_lines(ORDERS)
    done = here.run("import", "orders")
    assert done.code == 0, done.stderr
    complete(here)
    dead = here.run("dead", "list", "--json")
    assert dead.json == []
