"""A frontier on PostgreSQL whose server, network or owner goes away: what was committed is known for certain."""

from __future__ import annotations

import random
import signal
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.postgres_server import PASSWORD, PostgresServer, postgres_server, shared
from support.tcp_proxy import TcpProxy

from crawlerd.core.errors import FrontierError, FrontierLocked, FrontierRefused, StartAgain, StorageFailed
from crawlerd.core.outcome import Batch, Complete
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.postgresql import check, frontier
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.session import Place, Session, named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.core.task import Task

NOW = 1_000_000.0
TASKS = 200


@pytest.fixture
def schema() -> str:
    return shared().schema()


@contextmanager
def opened(place: Place, **options: Any) -> Iterator[PostgresFrontier]:
    found = PostgresFrontier(place, now=NOW, **options)
    with closing(found):
        yield found


def started(it: PostgresFrontier) -> list[Task]:
    """The tasks of a new run."""
    account = it.account("acme", "stripe")
    tasks = [NewTask("s.page", "pages", 5, f'{{"page":{page}}}') for page in range(TASKS)]
    it.start_run("a", account, tasks, full=True, now=NOW)
    ((bucket, run),) = it.ready_queues(None)
    return it.heads((bucket.id, run), (-1, -1), TASKS)


def outcomes(tasks: list[Task]) -> list[Settled]:
    return [Settled(each, 1, Complete([Batch("pages", 1, [], [])])) for each in tasks]


def counts(server: PostgresServer, schema: str) -> tuple[int, int, int]:
    """Tasks that are ready, and what the run says of open and done ones."""
    ((ready,),) = server.query(f"SELECT count(*) FROM {schema}.ready")
    ((left, done),) = server.query(f"SELECT open, done FROM {schema}.run")
    return ready, left, done


def is_commit(data: bytes) -> bool:
    return b"COMMIT" in data


def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_repeated(
    schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "patience", 1.0)
    server = shared()
    with TcpProxy(server.port) as proxy, opened(Place(server.url(port=proxy.port), schema)) as it:
        tasks = started(it)
        proxy.swallow = lambda data: is_commit(data) and not setattr(proxy, "swallow", lambda _: False)
        it.commit(outcomes(tasks[:50]), now=NOW)
        assert counts(server, schema) == (150, 150, 50)
        assert it.commit(outcomes(tasks[50:]), now=NOW).ended == [tasks[0].run]
        assert counts(server, schema) == (0, 0, 200)
    assert check.check(Place(server.url(), schema)) == []


def test_a_connection_that_is_lost_before_it_has_its_epoch_is_not_used(
    schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "patience", 1.0)
    server = shared()
    with TcpProxy(server.port) as proxy, opened(Place(server.url(port=proxy.port), schema)) as it:
        tasks = started(it)
        swallowed: list[bytes] = []

        def swallowing(data: bytes) -> bool:
            found = next((each for each in (b"COMMIT", b"UPDATE node SET epoch") if each in data), None)
            if found is None or found in swallowed:
                return False
            swallowed.append(found)
            return True

        proxy.swallow = swallowing
        it.commit(outcomes(tasks[:50]), now=NOW)
        assert swallowed == [b"COMMIT", b"UPDATE node SET epoch"]
        it.commit(outcomes(tasks[50:]), now=NOW)
        assert counts(server, schema) == (0, 0, 200)


def test_a_commit_that_never_arrives_is_written_when_it_is_tried_again(
    schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "patience", 1.0)
    server = shared()
    with TcpProxy(server.port) as proxy, opened(Place(server.url(port=proxy.port), schema)) as it:
        tasks = started(it)
        proxy.hold = is_commit
        with pytest.raises(StorageFailed, match="cannot be reached"):
            it.commit(outcomes(tasks[:50]), now=NOW)
        proxy.hold = lambda _: False
        it.commit(outcomes(tasks[:50]), now=NOW)
        with suppress(BrokenPipeError):
            proxy.release()  # it arrives now, in an epoch that is over
        it.commit(outcomes(tasks[50:60]), now=NOW)
        assert counts(server, schema) == (140, 140, 60)
    assert check.check(Place(server.url(), schema)) == []


@pytest.mark.parametrize("counted", [True, False])
def test_connections_that_are_cut_at_random_change_nothing(
    schema: str, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    """Without the count of commits, an answer that was lost behind its COMMIT is taken for a failure."""
    if not counted:
        monkeypatch.setattr(PostgresFrontier, "_committed", lambda _: False)
    server, draw = shared(), random.Random(7)
    with TcpProxy(server.port) as proxy, opened(Place(server.url(port=proxy.port), schema)) as it:
        tasks = started(it)[:60]
        wrong = lost = 0
        while tasks:
            group = tasks[: draw.randint(2, 16)]
            where = draw.choice([b"COMMIT", b"INSERT", b"UPDATE", b"", b"nowhere"]) if counted else b"COMMIT"
            behind = draw.random() < 0.5 or not counted

            def cutting(data: bytes, where: bytes = where, behind: bool = behind) -> bool:
                if where in data:
                    proxy.swallow = lambda _: False
                    if behind:
                        return True
                    proxy.cut()
                return False

            proxy.swallow = cutting
            monkeypatch.setattr(Session, "patience", 0.3)
            try:
                it.commit(outcomes(group), now=NOW)
            except StorageFailed:
                lost += 1
                continue  # the same group again
            except FrontierError:
                wrong += 1
                break
            del tasks[: len(group)]
        proxy.swallow = lambda _: False
    assert lost
    if counted:
        assert not wrong
        assert counts(server, schema) == (TASKS - 60, TASKS - 60, 60)
        assert check.check(Place(server.url(), schema)) == []
    else:
        assert wrong


def test_a_server_that_crashes_is_waited_for(schema: str) -> None:
    with postgres_server(fsync="on") as server, opened(Place(server.url(), schema)) as it:
        tasks = started(it)
        for crash in range(3):
            it.commit(outcomes(tasks[20 * crash : 20 * crash + 20]), now=NOW)
            server.stop(signal.SIGQUIT)
            with pytest.raises(StorageFailed) as refused:
                it.commit(outcomes(tasks[100:120]), now=NOW)
            assert refused.value.full  # tried again, not the end
            assert PASSWORD not in str(refused.value)
            server.start()
        it.commit(outcomes(tasks[100:120]), now=NOW)
        assert counts(server, schema) == (120, 120, 80)


def test_what_is_not_known_in_time_ends_the_process(schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier, "UNKNOWN_SECONDS", 1.0)
    server = shared()
    with TcpProxy(server.port) as proxy:
        it = PostgresFrontier(Place(server.url(port=proxy.port), schema), now=NOW)
        tasks = started(it)
        monkeypatch.setattr(Session, "patience", 0.3)

        def gone(data: bytes) -> bool:
            if is_commit(data):
                proxy.swallow = lambda _: True
            return is_commit(data)

        proxy.swallow = gone
        with pytest.raises(StartAgain, match="start again, which finds out"):
            it.commit(outcomes(tasks[:50]), now=NOW)
        it.close()
    assert counts(server, schema) == (150, 150, 50)


def test_of_two_owners_the_later_one_is_refused_and_one_that_was_taken_for_dead_writes_nothing(schema: str) -> None:
    server = shared()
    place = Place(server.url(), schema)
    with opened(place) as first:
        tasks = started(first)
        with pytest.raises(FrontierLocked, match=r"is in use by another crawlerd at 127[.]0[.]0[.]1"):
            PostgresFrontier(place, now=NOW)
        server.query(
            f"SELECT pg_terminate_backend(pid) FROM {schema}.node"
        )  # as the server does with a connection that is dead
        with opened(place) as second:
            second.commit(outcomes(tasks[:10]), now=NOW)
            with suppress(StorageFailed):  # its connection is gone; the next try opens another
                first.commit(outcomes(tasks[10:20]), now=NOW)
            for _ in range(2):
                with pytest.raises(FrontierRefused, match="another crawlerd has taken it over"):
                    first.commit(outcomes(tasks[10:20]), now=NOW)
            second.commit(outcomes(tasks[20:30]), now=NOW)  # on its connection, which nobody has ended
            assert counts(server, schema) == (180, 180, 20)


def test_an_old_backup_in_the_place_of_the_newest_state_ends_the_process(schema: str) -> None:
    server = shared()
    with opened(Place(server.url(), schema)) as it:
        tasks = started(it)
        it.commit(outcomes(tasks[:10]), now=NOW)
        server.query(f"UPDATE {schema}.node SET commits = commits - 1")
        it._db.session.close()
        with pytest.raises(StartAgain, match="went back to an older state"):
            it.commit(outcomes(tasks[10:20]), now=NOW)


@pytest.mark.parametrize("code", ["25P03", "25P04", "40P01", "53100", "53300", "55P03", "57014", "57P01", "58030"])
def test_what_the_server_may_do_to_a_session_is_tried_again(code: str) -> None:
    """Such as timeouts of the role, after which nothing was written."""
    place = Place("postgresql://owner:hunter2@db/crawl")
    error = named(place, psycopg.errors.lookup(code)("the server's words"))
    assert isinstance(error, StorageFailed)
    assert error.full


def test_another_database_than_before_is_refused(schema: str, tmp_path: Path) -> None:
    server, mark = shared(), tmp_path / "frontier.id"
    with opened(Place(server.url(), schema), mark=mark):
        pass
    with pytest.raises(FrontierRefused, match="is another frontier than the one that was used"):
        PostgresFrontier(Place(server.url(), shared().schema()), now=NOW, mark=mark)


def test_counters_are_updated_within_their_pages(schema: str) -> None:
    """HOT updates: the indexes of a table are not written for each change of a counter."""
    server = shared()
    with opened(Place(server.url(), schema)) as it:
        tasks = started(it)
        for number in range(100):
            it.commit(outcomes(tasks[number : number + 1]), now=NOW)
    with closing(psycopg.connect(server.url(), autocommit=True)) as session:
        session.execute("SELECT pg_stat_force_next_flush()") if session.info.server_version >= 15_00_00 else None
        rows = session.execute(
            "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = %s "
            "AND relname IN ('bucket', 'run', 'queue', 'node', 'next_seq')",
            (schema,),
        ).fetchall()
    shares = {name: (updated, within) for name, updated, within in rows}
    for name in ("bucket", "run", "queue", "node"):
        updated, within = shares[name]
        assert updated >= 99, shares
        assert within >= 0.8 * updated, shares
