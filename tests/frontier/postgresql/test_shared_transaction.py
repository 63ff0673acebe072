"""Records of a sink in the transaction of the frontier's commit: durable with it, or undone and written again."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.postgres_server import PostgresServer, shared
from support.tcp_proxy import TcpProxy

from crawlerd.core.errors import StorageFailed
from crawlerd.core.outcome import Batch, Complete
from crawlerd.core.task import NewTask
from crawlerd.engine.sink_target import Target
from crawlerd.engine.sink_writer import SinkWriter
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.session import Place, Session
from crawlerd.sink import Delivery, SinkError
from crawlerd.sinks.postgresql.sink import postgresql_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.task import Task
    from crawlerd.engine.sink_writer import Delivered
    from crawlerd.sinks.deliveries import RowSink

NOW = 1_000_000.0
REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 'k15' THEN RAISE EXCEPTION 'no row may have the key %', NEW.id; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON stripe_pages DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse();
"""


class Both(NamedTuple):
    frontier: PostgresFrontier
    writer: SinkWriter
    sink: RowSink
    schema: str
    tasks: list[Task]

    def outcomes(self, first: int, last: int) -> list[Settled]:
        """Of these tasks, each with a record."""
        return [
            Settled(task, 1, Complete([Batch("pages", 1, [f"k{place}"], [b'{"a": 1}'])]))
            for place, task in enumerate(self.tasks[first:last], first)
        ]

    def deliver(self, group: list[Settled]) -> Delivered:
        return self.writer.deliver(group, NOW, 0.0, self.frontier.mark)

    def commit(self, delivered: Delivered) -> None:
        self.frontier.commit(delivered.group, now=NOW, totals=delivered.totals, written=delivered.written)

    def state(self, server: PostgresServer) -> tuple[int, int, int]:
        """Records, what the sink says of them, and tasks that are done."""
        ((there,),) = server.query(f"SELECT to_regclass('{self.schema}.stripe_pages') IS NOT NULL")
        records = f"(SELECT count(*) FROM {self.schema}.stripe_pages_view)" if there else "0"
        tallied = f"(SELECT coalesce(sum(new), 0)::int FROM {self.schema}._crawlerd_tally)"
        return server.query(f"SELECT {records}, {tallied}, done FROM {self.schema}_f.run")[0]  # type: ignore[return-value]


@contextmanager
def both(server: PostgresServer, *, port: int = 0) -> Iterator[Both]:
    schema = server.schema()
    url = server.url(port=port)
    sink = postgresql_sink(server.url(), schema, "sink", {})
    with closing(PostgresFrontier(Place(url, f"{schema}_f"), now=NOW)) as it, closing(sink):
        number = it.attach("sinks.sink", sink.state(it.mark.frontier), NOW).id
        sink.join(it.shared)
        account = it.account("acme", "stripe")
        new = [NewTask("s.page", "pages", 5, f'{{"page":{page}}}') for page in range(40)]
        run = it.start_run("a", account, new, full=True, now=NOW, sink=number).run
        writer = SinkWriter()
        writer.serve(run, Target(sink, "stripe", "acme", sink_name="sink", sink_id=number), NOW)
        ((bucket, _),) = it.ready_queues(None)
        yield Both(it, writer, sink, schema, it.heads((bucket.id, run), (-1, -1), 40))


def test_records_are_seen_with_their_acknowledgement() -> None:
    server = shared()
    with both(server) as it:
        delivered = it.deliver(it.outcomes(0, 10))
        assert server.query(f"SELECT to_regclass('{it.schema}.stripe_pages') IS NULL") == [(True,)]
        it.commit(delivered)
        assert it.state(server) == (10, 10, 10)
        it.commit(it.deliver(it.outcomes(10, 40)))
        assert it.state(server) == (40, 40, 40)
        assert it.writer.undone() == set()


@pytest.mark.parametrize("already", [0, 10])
def test_what_is_undone_with_a_commit_is_written_again(already: int) -> None:
    """Also the tables that were made in it."""
    server = shared()
    with both(server) as it:
        if already:
            it.commit(it.deliver(it.outcomes(0, already)))
        (pid, _) = it.frontier.shared.backend()
        delivered = it.deliver(it.outcomes(already, 40))
        server.query(f"SELECT pg_terminate_backend({pid}, 5000)")
        with pytest.raises(StorageFailed):
            it.commit(delivered)
        undone = it.writer.undone()
        assert len(undone) == 1
        records = it.writer.records
        again = it.writer.deliver_again(undone, delivered.group, delivered, NOW, it.frontier.mark)
        assert it.writer.records == records == 40
        it.commit(again)
        assert it.state(server) == (40, 40, 40)
        assert it.writer.undone() == set()


def test_a_commit_whose_answer_is_lost_has_written_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "patience", 1.0)
    server = shared()
    with TcpProxy(server.port) as proxy, both(server, port=proxy.port) as it:
        delivered = it.deliver(it.outcomes(0, 40))
        proxy.swallow = lambda data: b"COMMIT" in data and not setattr(proxy, "swallow", lambda _: False)
        it.commit(delivered)
        assert it.writer.undone() == set()
        assert it.state(server) == (40, 40, 40)


def test_an_error_of_the_sink_costs_its_own_records_alone() -> None:
    server = shared()
    with both(server) as it:
        it.commit(it.deliver(it.outcomes(0, 10)))
        server.query(f"ALTER TABLE {it.schema}.stripe_pages RENAME TO gone")
        delivered = it.deliver(it.outcomes(10, 20))
        assert delivered.group == []
        assert list(it.writer.stuck()) == [it.tasks[0].run]
        it.frontier.commit([], now=NOW)
        server.query(f"ALTER TABLE {it.schema}.gone RENAME TO stripe_pages")
        it.commit(it.writer.deliver([], NOW, 5.0, it.frontier.mark))
        assert it.state(server) == (20, 20, 20)
        it.commit(it.deliver(it.outcomes(20, 40)))  # with statements that are prepared again
        assert it.state(server) == (40, 40, 40)


def delivery(it: Both, first: int, last: int) -> Delivery:
    """As one task's, of a stream that the sink has no table of yet."""
    keys = [f"k{number}" for number in range(first, last)]
    batch = Batch("parts", len(keys), keys, [b'{"a": 1}'] * len(keys))
    return Delivery("stripe", "acme", it.tasks[0].run, NOW, 1_000 + first, [batch])


@pytest.mark.parametrize("made", [False, True], ids=["with a table that it makes", "with a table that is there"])
def test_an_error_undoes_all_writes_of_a_sink_that_belong_together(made: bool) -> None:
    server = shared()
    with both(server) as it:
        sink, mark = it.sink, it.frontier.mark
        if made:
            sink.write([delivery(it, 0, 1)], NOW, mark)
            it.frontier.commit([], now=NOW)
        there = f"SELECT coalesce(to_regclass('{it.schema}.stripe_parts')::text, '')"
        before = server.query(there)
        with suppress(SinkError), sink.together():
            sink.write([delivery(it, 1, 5)], NOW, it.frontier.mark)
            sink.write([delivery(it, 5, 9)], NOW, it.frontier.mark)
            raise SinkError("no more")
        it.commit(it.deliver(it.outcomes(0, 10)))
        assert server.query(there) == before
        sink.write([delivery(it, 1, 9)], NOW, it.frontier.mark)
        it.frontier.commit([], now=NOW)
        kept = server.query(f"SELECT count(*) FROM {it.schema}.stripe_parts_view")
        assert kept == [(9 if made else 8,)]
        assert it.state(server)[::2] == (10, 10)


def test_a_deferred_constraint_of_a_user_is_the_sink_s_error() -> None:
    """It would fail at the COMMIT, which is the frontier's."""
    server = shared()
    with both(server) as it:
        it.commit(it.deliver(it.outcomes(0, 10)))
        server.query(f"SET search_path TO {it.schema}; {REFUSES}")
        assert it.deliver(it.outcomes(10, 20)).group == []
        ((reason),) = it.writer.stuck().values()
        assert "no row may have the key k15" in reason
        it.frontier.commit([], now=NOW)
        assert it.state(server) == (10, 10, 10)
        server.query(f"DROP FUNCTION {it.schema}.refuse() CASCADE")
        it.commit(it.writer.deliver([], NOW, 5.0, it.frontier.mark))
        assert it.state(server) == (20, 20, 20)


def test_a_transaction_that_is_given_up_is_written_again() -> None:
    server = shared()
    with both(server) as it:
        it.commit(it.deliver(it.outcomes(0, 10)))
        delivered = it.deliver(it.outcomes(10, 30))
        it.frontier.shared.give_up()
        assert it.writer.undone() == {it.sink}
        it.frontier.commit([], now=NOW)  # of something else: nothing of the sink is in it
        assert it.state(server) == (10, 10, 10)
        it.commit(it.writer.deliver_again(it.writer.undone(), delivered.group, delivered, NOW, it.frontier.mark))
        assert it.state(server) == (30, 30, 30)


def test_closing_undoes_what_no_commit_has_ended() -> None:
    server = shared()
    with both(server) as it:
        it.commit(it.deliver(it.outcomes(0, 10)))
        it.deliver(it.outcomes(10, 30))
        it.frontier.close()
        assert it.writer.undone() == {it.sink}
        assert it.state(server) == (10, 10, 10)
        assert server.query("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == [(0,)]
