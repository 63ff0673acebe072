"""A frontier on servers and with roles that are not as it needs them: it works, or says what to do."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.postgres_server import shared
from support.tcp_proxy import TcpProxy

from crawlerd.core.errors import FrontierError, FrontierLocked, StorageFailed
from crawlerd.core.outcome import Batch, Complete
from crawlerd.core.task import NewTask
from crawlerd.frontier import moving
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.postgresql import check, holder, maintenance
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.session import Place, Session, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_000_000.5
ODD = {  # as a role or a database may have them
    "array_nulls": "off",
    "transform_null_equals": "on",
    "extra_float_digits": "-15",
    "DateStyle": "German",
    "search_path": "pg_catalog",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "100ms",
    "lock_timeout": "1ms",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "TimeZone": "Asia/Kathmandu",
}


@pytest.fixture
def place() -> Place:
    return Place(shared().url(), shared().schema())


@contextmanager
def opened(place: Place) -> Iterator[PostgresFrontier]:
    with closing(PostgresFrontier(place, now=NOW)) as it:
        yield it


def do_some_work(it: PostgresFrontier) -> None:
    account = it.account("acme", "shop")
    it.start_run("a", account, [NewTask("s.page", "pages", 5, f'{{"n":{n}}}') for n in range(5)], full=True, now=NOW)
    ((bucket, run),) = it.ready_queues(None)
    tasks = it.heads((bucket.id, run), (-1, -1), 5)
    time.sleep(0.2)
    it.commit([Settled(each, 1, Complete([Batch("pages", 1, [], [])])) for each in tasks[:3]], now=NOW)
    assert it.run(run).started_at == NOW


def test_what_a_role_or_database_sets_by_default_changes_nothing(place: Place) -> None:
    options = "%20".join(f"-c%20{key}%3D{value.replace(' ', '%5C%20')}" for key, value in ODD.items())
    odd = Place(f"{place.url}?options={options}", place.schema)
    with closing(psycopg.connect(odd.url, autocommit=True)) as session:
        row = session.execute("SELECT current_setting('array_nulls'), current_setting('TimeZone')").fetchone()
        assert row == ("off", "Asia/Kathmandu")
    with opened(odd) as it:
        do_some_work(it)
    assert check.check(odd) == []


def test_a_role_needs_only_its_schema() -> None:
    server = shared()
    schema = server.schema()
    server.query(f"CREATE ROLE {schema} LOGIN PASSWORD 'its-password'; CREATE SCHEMA {schema} AUTHORIZATION {schema}")
    with opened(Place(server.url(user=schema, password="its-password"), schema)) as it:
        do_some_work(it)
    with pytest.raises(FrontierError, match="the role lacks a right"):
        PostgresFrontier(Place(server.url(user=schema, password="its-password"), server.schema()), now=NOW)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ({"password": "wrong-password"}, "correct the password"),
        ({"database": "missing"}, "create the database"),
    ],
)
def test_a_connection_that_is_refused_says_what_to_do(url: dict[str, Any], advice: str) -> None:
    with pytest.raises(StorageFailed, match=advice):
        PostgresFrontier(Place(shared().url(**url)), now=NOW)


def test_a_database_that_is_read_only_says_what_to_do(place: Place) -> None:
    url = f"{place.url}?options=-cdefault_transaction_read_only%3Don"
    with pytest.raises(StorageFailed, match="name the primary"):
        PostgresFrontier(Place(url, place.schema), now=NOW)


@pytest.mark.parametrize("table", ["version", "delayed"])
def test_tables_that_somebody_dropped_are_reported_and_can_be_set_aside(
    place: Place, tmp_path: Path, table: str
) -> None:
    with opened(place):
        pass
    shared().query(f"DROP TABLE {place.schema}.{table} CASCADE")
    with pytest.raises(FrontierError, match="restore it with pg_restore, or set it aside"):
        PostgresFrontier(place, now=NOW)
    assert maintenance.begin_new(place, tmp_path, tmp_path / "mark", force=True)
    with opened(place) as it:
        do_some_work(it)


def test_a_pooler_that_shares_its_connections_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives a process number of its own, and two clients get the same process of the server."""
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1)
    with opened(place) as it:  # as with a pooler in session mode
        do_some_work(it)
    session = Session.connect(place.url, autocommit=True)
    monkeypatch.setattr(Session, "connect", lambda *_, **__: session)
    with pytest.raises(FrontierError, match="set the pooler to session mode"):
        PostgresFrontier(place, now=NOW)


def test_what_is_in_use_elsewhere_is_left_alone(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a daemon with another state directory, whose lock says nothing here."""
    monkeypatch.setattr(holder, "LEAVING_SECONDS", 0.2)
    with opened(place) as it:
        with pytest.raises(FrontierLocked, match=r"pg_terminate_backend\(\d+\)"):
            maintenance.begin_new(place, tmp_path, tmp_path / "mark", force=True)
        with pytest.raises(FrontierLocked):
            maintenance.vacuum(place, tmp_path)
        with pytest.raises(FrontierLocked):
            moving.to_file(tmp_path, place)
        do_some_work(it)
    assert not list(tmp_path.glob("*.db"))


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with TcpProxy(shared().port) as proxy:
        yield proxy


def test_a_read_without_an_answer_is_sent_again(place: Place, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "patience", 1.0)
    with opened(Place(shared().url(port=proxy.port), place.schema)) as it:
        said: list[str] = []
        it.away = said.append
        proxy.swallow = lambda _: not setattr(proxy, "swallow", lambda _: False)  # type: ignore[func-returns-value]
        assert it.next_due() is None
        assert said == [""]
        do_some_work(it)


def test_a_read_that_the_server_cancels_is_sent_again(place: Place) -> None:
    with opened(place) as it, closing(connect(place)) as other:
        it._db.session.execute("SET lock_timeout = '50ms'")
        other.execute("BEGIN")
        other.execute("LOCK TABLE delayed IN ACCESS EXCLUSIVE MODE")
        release = threading.Timer(0.3, other.execute, ("ROLLBACK",))
        release.start()
        assert it.next_due() is None
        release.join()
        do_some_work(it)


def test_waiting_for_a_server_ends_when_the_process_is_told_to_stop(place: Place) -> None:
    it = PostgresFrontier(place, now=NOW)
    said: list[str] = []

    def away(trouble: str) -> None:
        said.append(trouble)
        if len(said) == 2:
            it.stopping.set()

    it.away = away
    it._place = Place(shared().url(port=1), place.schema)
    it._db.session.close()
    began = time.monotonic()
    with pytest.raises(StorageFailed, match="cannot be reached"):
        it.next_due()
    assert len(said) == 2
    assert time.monotonic() - began < 10
    it.close()
