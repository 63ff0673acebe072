"""The PostgreSQL sink on real servers: what they do to it, what it asks of them, and what users see."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.postgres_server import PASSWORD, PostgresServer, postgres_server, shared
from support.sink_batches import batch_of
from support.small_disks import filled, small_disk_at
from support.tcp_proxy import TcpProxy

from crawlerd.core.configuration import Receiver, SinkSpec
from crawlerd.core.erasure import Erasure
from crawlerd.sink import Delivery, Mark, Refused, SinkError, SinkReplaced, StorageFailed, Totals
from crawlerd.sinks import objects_in, open_sink
from crawlerd.sinks.postgresql import database, statements
from crawlerd.sinks.postgresql.check import check, count_rows
from crawlerd.sinks.postgresql.jsonb import no_jsonb
from crawlerd.sinks.postgresql.relations import relation
from crawlerd.sinks.postgresql.rows import array_of, coded, plain
from crawlerd.sinks.postgresql.sink import postgresql_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.sinks.deliveries import RowSink

FIVE = [(key, {"n": 1}) for key in "abcde"]


def delivery(rows: list[tuple[str, Any]], run: int = 1, **more: Any) -> Delivery:
    return Delivery("stripe", "acme", run, float(run), 1, [batch_of("customers", rows)], **more)


@pytest.fixture
def schema() -> str:
    return shared().schema()


@contextmanager
def opened(schema: str, url: str = "", types: dict[str, str] | None = None, frontier: str = "f") -> Iterator[RowSink]:
    sink = postgresql_sink(url or shared().url(), schema, "pg", types or {})
    with closing(sink):
        if frontier:
            sink.state(frontier)
        yield sink


@pytest.fixture
def sink(schema: str) -> Iterator[RowSink]:
    with opened(schema) as sink:
        yield sink


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """One that a test may stop."""
    with postgres_server() as server:
        yield server


def rows_of(server: PostgresServer, schema: str) -> dict[str, Any]:
    rows = server.query(f"SELECT id, data, deleted_at FROM {schema}.stripe_customers")
    return {key: None if deleted_at else json.loads(data) for key, data, deleted_at in rows}


# outcomes that nobody knows


def is_commit(data: bytes) -> bool:
    """The mark goes with it."""
    return re.search(rb"f-lost(?!/)", data) is not None


def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_counted_twice(
    schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.Connection, "patience", 1.0)
    monkeypatch.setattr(database, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(database, "REST", 0)
    url = shared().url
    with TcpProxy(shared().port) as proxy, opened(schema, url(port=proxy.port), frontier="f-lost") as sink:
        sink.write([delivery(FIVE[:1])], 1.5, Mark("f-lost", 1))
        proxy.swallow = is_commit
        with pytest.raises(SinkError, match="cannot be reached"):
            sink.write([delivery(FIVE)], 1.6, Mark("f-lost", 2))
        assert set(rows_of(shared(), schema)) == set("abcde")  # it was done
        proxy.swallow = lambda _: False
        again = [delivery(FIVE), delivery([("a", {"n": 2}), ("f", {"n": 1})])]
        assert sink.write(again, 1.7, Mark("f-lost", 2)) == {(1, "customers"): Totals(seen=6, new=6)}
        assert sink.state("f-lost").number == 2


def late(schema: str, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """The number of the mark, where a transaction arrives after the one that was sent in its place, and a newer one."""
    monkeypatch.setattr(database, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(database, "REST", 0)
    with TcpProxy(shared().port) as proxy, opened(schema, shared().url(port=proxy.port)) as sink:
        sink.write([delivery(FIVE)], 1.5, Mark("f", 1))
        proxy.hold = lambda data: b"f/pg" in data
        with pytest.raises(SinkError, match="cannot be reached"):
            sink.write([], 1.6, Mark("f", 2))
        proxy.hold = lambda _: False
        sink.write([], 1.7, Mark("f", 2))
        sink.write([delivery([("a", {"n": 2})])], 1.8, Mark("f", 3))
        assert proxy.release()
        until_nobody_writes(schema)
        return sink.state("f").number


def until_nobody_writes(schema: str) -> None:
    """What was released has been read: the server ends the session whose client is gone."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'crawlerd'"
    for _ in range(200):
        if len(shared().query(f"{waiting} AND query NOT LIKE '%pg_stat_activity%'")) <= 1:
            return
        shared().query("SELECT pg_sleep(0.05)")
    raise AssertionError("a session is left")


def test_a_transaction_that_arrives_late_writes_nothing(schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert late(schema, monkeypatch) == 3


def test_without_the_epoch_it_would(schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(schema):
        unfenced = f"""CREATE OR REPLACE FUNCTION {schema}._crawlerd_begin(its_identity text, its_writer text,
        its_epoch bigint) RETURNS void LANGUAGE sql AS 'SELECT'"""
        shared().query(unfenced)
    assert late(schema, monkeypatch) == 2  # as if the sink were an older one


def test_a_second_writer_of_the_same_frontier_ends_the_first_ones_turn(schema: str) -> None:
    with opened(schema) as first, opened(schema) as second:
        with pytest.raises(SinkError, match="another crawlerd"):
            first.write([delivery(FIVE)], 1.5, Mark("f", 1))
        assert second.write([delivery(FIVE)], 1.5, Mark("f", 1))[1, "customers"].new == 5


# servers that are away


def test_a_server_that_crashes_and_comes_back_holds_the_sink_up_and_nothing_more(own: PostgresServer) -> None:
    name = own.schema()
    with opened(name, own.url()) as sink:
        sink.write([delivery(FIVE[:2])], 1.5, Mark("f", 1))
        before = sink.state("f").identity
        own.stop(signal.SIGQUIT)
        with pytest.raises(SinkError, match=r"cannot be reached|has crashed|is ending its sessions") as failure:
            sink.write([delivery(FIVE)], 1.6, Mark("f", 2))
        assert not isinstance(failure.value, SinkReplaced)
        with pytest.raises(SinkError, match="cannot be reached"):
            sink.write([delivery(FIVE)], 1.6, Mark("f", 2))
        assert sink.intact()
        own.start()
        while True:
            try:
                totals = sink.write([delivery(FIVE)], 1.7, Mark("f", 2))
            except SinkError:
                continue  # it rests after a failure
            break
        assert totals == {(1, "customers"): Totals(seen=5, new=5)}
        assert sink.state("f").identity == before
    assert set(rows_of(own, name)) == set("abcde")


def standby_of(primary: PostgresServer) -> PostgresServer:
    standby = PostgresServer(primary.data.parent / "standby")
    address = f"host=127.0.0.1 port={primary.port} user=owner password={PASSWORD}"
    standby.run("pg_basebackup", "-D", standby.data, "-d", address, "-R", "-X", "stream", "-c", "fast")
    standby.start()
    return standby


@pytest.mark.parametrize("lossy", [False, True])
def test_after_a_failover_it_goes_on_or_knows_what_is_lost(lossy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "REST", 0)
    with postgres_server() as primary, closing(standby_of(primary)) as standby:
        name = primary.schema()
        url = f"postgresql://owner:{PASSWORD}@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/crawl"
        with opened(name, url) as sink:  # the first host is read-only
            sink.write([delivery(FIVE[:1])], 1.5, Mark("f", 1))
            caught_up = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
            while primary.query(caught_up) != [(1,)]:
                pass
            if lossy:
                standby.stop()
                sink.write([delivery(FIVE[:2])], 1.6, Mark("f", 2))
            primary.stop()
            if lossy:
                standby.start()
            standby.run("pg_ctl", "promote", "-D", standby.data, "-w")
            with pytest.raises(SinkError):
                sink.write([delivery(FIVE)], 1.7, Mark("f", 3))
            if lossy:
                with pytest.raises(SinkReplaced, match="restored to an older state"):
                    sink.write([delivery(FIVE)], 1.7, Mark("f", 3))
                assert not sink.intact()
            else:
                totals = sink.write([delivery(FIVE)], 1.7, Mark("f", 3))
                assert totals == {(1, "customers"): Totals(seen=5, new=5)}
        if lossy:
            with opened(name, url) as sink:
                assert sink.state("f").number == 1  # by which the frontier knows


def test_a_lock_of_another_session_is_waited_for_shortly(schema: str, sink: RowSink) -> None:
    sink.write([delivery(FIVE)], 1.5, Mark("f", 1))
    with closing(psycopg.connect(shared().url())) as other:
        other.execute(f"LOCK TABLE {schema}.stripe_customers IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SinkError, match="held a lock for too long"):
            sink.write([delivery(FIVE, 2)], 2.5, Mark("f", 2))
        other.rollback()
    assert sink.write([delivery(FIVE, 2)], 2.6, Mark("f", 2))[2, "customers"].unchanged == 5


def test_a_session_that_keeps_the_writers_turn_is_ended(schema: str) -> None:
    with opened(schema) as first:
        first.write([delivery(FIVE[:1])], 1.5, Mark("f", 1))
        connection = first._rows.database._connection
        assert connection
        connection.execute("BEGIN")  # as a daemon that was frozen in a transaction
        connection.execute("SELECT _crawlerd_begin(%s, 'f/pg', 1)", (first.state.__self__._rows.database.identity,))
        with pytest.raises(SinkError, match="held a lock"):
            opened(schema).__enter__()
        with opened(schema) as second:
            assert second.write([delivery(FIVE)], 1.6, Mark("f", 2))[1, "customers"].new == 5


def test_a_statement_timeout_of_the_role_holds_it_up(own: PostgresServer) -> None:
    name = own.schema()
    own.query(f"CREATE ROLE hasty LOGIN PASSWORD 'x'; CREATE SCHEMA {name} AUTHORIZATION hasty")
    with opened(name, own.url(user="hasty", password="x")) as sink:
        sink.write([delivery(FIVE[:1])], 1.5, Mark("f", 1))
    own.query("ALTER ROLE hasty SET statement_timeout = '1ms'")
    many = delivery([(str(number), {"text": "x" * 2000}) for number in range(5000)])
    with (
        pytest.raises(SinkError, match="raise statement_timeout"),
        opened(name, own.url(user="hasty", password="x")) as s,
    ):
        s.write([many], 1.6, Mark("f", 2))
    own.query("ALTER ROLE hasty RESET statement_timeout")
    with opened(name, own.url(user="hasty", password="x")) as sink:
        assert sink.write([many], 1.7, Mark("f", 2))[1, "customers"].new == 5001


def test_a_full_disk_holds_it_up_until_there_is_space(own: PostgresServer, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):  # the server is another user
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    name = own.schema()
    with small_disk_at(tmp_path / "disk") as disk:
        disk.chmod(0o777)
        (disk / "space").mkdir()
        own._give(disk / "space")
        own.query(f"CREATE TABLESPACE {name} LOCATION '{disk / 'space'}'")
        own.query(f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT CREATE ON TABLESPACE {name} TO {name}")
        own.query(f"ALTER ROLE {name} SET default_tablespace = {name}; CREATE SCHEMA {name} AUTHORIZATION {name}")
        with opened(name, own.url(user=name, password="x")) as sink:
            sink.write([delivery(FIVE[:1])], 1.5, Mark("f", 1))
            text = "".join(map(chr, range(0x4E00, 0x4E00 + 500)))
            many = delivery([(str(number), {"text": text}) for number in range(200)])
            with filled(disk), pytest.raises(StorageFailed, match="free space on the server's disk"):
                sink.write([many], 1.6, Mark("f", 2))
            assert sink.write([many], 1.7, Mark("f", 2))[1, "customers"].new == 201
        own.query(f"DROP SCHEMA {name} CASCADE")
        own.query(f"DROP TABLESPACE {name}")


# rights and secrets


def test_a_role_needs_no_more_than_a_schema_of_its_own(own: PostgresServer) -> None:
    name = own.schema()
    own.query(f"CREATE ROLE r_{name} LOGIN PASSWORD 'secret-of-it' NOINHERIT; CREATE SCHEMA {name}")
    url = own.url(user=f"r_{name}", password="secret-of-it")
    with pytest.raises(SinkError, match=r"lacks a right.*docs/how-to/postgresql"):
        opened(name, url).__enter__()
    own.query(f"ALTER SCHEMA {name} OWNER TO r_{name}")
    with opened(name, url, {"n": "bigint"}) as sink:
        sink.write([delivery(FIVE)], 1.5, Mark("f", 1))
        sink.forget(Erasure(accounts=("acme",), key="a"), 10)
        sink.forget(Erasure(accounts=("acme",), key="a"), 10)
        assert sink.scrub(None) is None
    assert check(url, name) == []


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("postgresql://owner:{wrong}@127.0.0.1:{port}/crawl", "authentication failed"),
        ("postgresql://owner:{wrong}@127.0.0.1:1/crawl", "cannot be reached"),
        ("postgresql://owner:{wrong}@127.0.0.1:{port}/none", "authentication failed"),
        ("postgresql://owner:{wrong}@127.0.0.1:{port}/crawl?nonsense={wrong}", "URL of the sink cannot be read"),
        ("postgresql://owner:{wrong}%zz@127.0.0.1:{port}/crawl", "URL of the sink cannot be read"),
    ],
)
def test_no_message_has_the_password(url: str, match: str) -> None:
    wrong = "wr0ng-Secret"
    url = url.format(wrong=wrong, port=shared().port)
    for function in (lambda: opened("s", url).__enter__(), lambda: check(url, "s")):
        with pytest.raises(SinkError) as failure:
            function()
        text = f"{failure.value} {failure.value!r}"
        assert re.search(match, text)
        assert wrong not in text


# what users see


ODD = [b'{"a":"\\u0000"}', b'{"a":"\\ud800"}', b'{"a":"\\udc00\\ud800"}', b'{"n":1e200000}', b'{"n":-1E-200000}',
       b'{"n":[' + b"9" * 140_000 + b"]}"]  # fmt: skip
GOOD = [b'{"a":"\\\\u0000"}', b'{"a":"\\ud83d\\ude00"}', b'{"a":"1e200000"}', b'{"a":"\\"1e200000"}', b'{"n":1e20}',
        b'{"n":0.1,"h":"3e12345"}', b'{"a":"\\\\\\\\u0000"}']  # fmt: skip


def test_a_view_has_jsonb_where_postgresql_can_take_it(schema: str, sink: RowSink) -> None:
    rows = [(str(place), text) for place, text in enumerate([*GOOD, *ODD, b"{}"])]
    sink.write([Delivery("stripe", "acme", 1, 1.0, 1, [batch_of("customers", rows, ["a", "n"])])], 1.5)
    found = dict(shared().query(f"SELECT id::int, data FROM {schema}.stripe_customers_view"))
    assert [found[place] is None for place in range(len(rows))] == [False] * len(GOOD) + [True] * len(ODD) + [False]
    stored = dict(shared().query(f"SELECT id, data FROM {schema}.stripe_customers"))
    assert {key: stored[key].encode() for key, _ in rows} == dict(rows)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
ESCAPES = st.lists(
    st.sampled_from(["\\u0000", "\\\\", "\\ud83d", "\\ude00", "\\u0041", "u0000", '\\"', "1e99999", "e", "\\uD800"])
).map("".join)
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,7})?\Z")
TEXTS = st.one_of(
    JSON.map(json.dumps), ESCAPES.map(lambda text: f'["{text}"]'), NUMBERS.map(lambda text: f'{{"n":{text}}}')
)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=20))
def test_what_is_taken_for_jsonb_is_jsonb(texts: list[str]) -> None:
    odd = no_jsonb([text.encode() for text in texts])
    good = [text for place, text in enumerate(texts) if place not in odd]
    shared().query("SELECT t::jsonb FROM unnest(%(t)s::text[]) AS t", t=good)
    for place in odd:  # and what is not cannot be, or is far out of what anybody means
        text = texts[place]
        if not re.search("[eE][+-]?[0-9]{4}", text):
            with pytest.raises(psycopg.Error):
                shared().query("SELECT %(t)s::text::jsonb", t=text)


def test_columns_have_the_types_that_are_wished_and_name_what_does_not_fit(schema: str) -> None:
    types = {"amount": "bigint", "at": "timestamptz", "day": "date", "ok": "boolean", "rate": "double precision",
             "exact": "numeric", "all": "jsonb"}  # fmt: skip
    good = {"amount": "12", "at": 1700000000, "day": "2024-02-29", "ok": True, "rate": 1.5, "exact": 0.1, "all": [1]}
    rows: list[tuple[str, Any]] = [
        ("good", good),
        ("iso", {"at": "2024-02-29T10:00:00+02:00", "amount": -(2**63), "rate": 0}),
        ("no zone", {"at": "2024-02-29 10:00:00", "amount": 3.0}),
        ("odd", {"amount": 2**63, "at": "2023-02-29T10:00:00Z", "day": "2024-13-01", "ok": "yes", "rate": 10**400}),
        ("odder", {"amount": 1.5, "at": "now", "day": "2024-04-31", "ok": 1, "exact": "x", "rate": "1e5"}),
        ("null", dict.fromkeys(types)),
    ]
    with opened(schema, types=types) as sink:
        sink.write([delivery(rows)], 1.5)
    moment = "(at AT TIME ZONE 'UTC')::text"
    view = f'SELECT id, amount, {moment}, day::text, ok, rate, exact, "all", drift FROM {schema}.stripe_customers_view'
    found = {row[0]: row[1:] for row in shared().query(view)}
    assert found["good"] == (12, "2023-11-14 22:13:20", "2024-02-29", True, 1.5, Decimal("0.1"), [1], None)
    assert found["iso"][:2] == (-(2**63), "2024-02-29 08:00:00")
    assert found["no zone"][:2] == (3, "2024-02-29 10:00:00")
    assert found["odd"] == (None,) * 7 + (found["odd"][-1],)
    assert sorted(found["odd"][-1]) == ["amount", "at", "day", "ok", "rate"]
    assert sorted(found["odder"][-1]) == ["amount", "at", "day", "exact", "ok", "rate"]
    assert found["null"] == (None,) * 8
    assert "stripe_customers: in 2 records, day does not have its type from `columns`" in check(shared().url(), schema)


def test_a_view_grows_at_its_end_and_keeps_its_rights(schema: str) -> None:
    server = shared()
    if not server.query("SELECT 1 FROM pg_roles WHERE rolname = 'reader'"):
        server.query("CREATE ROLE reader")
    with opened(schema) as sink:
        sink.write([delivery(FIVE)], 1.5)
        server.query(f"GRANT SELECT ON {schema}.stripe_customers_view TO reader")
        server.query(f"CREATE VIEW {schema}.mine AS SELECT id, n FROM {schema}.stripe_customers_view")
        sink.write([delivery([("z", {"n": 1, "new": 2, "id": 3, "é" * 40: 4, "é" * 41: 5, "a%b": 6})])], 1.6)
        assert server.query(f"SELECT * FROM {schema}.mine WHERE id = 'z'") == [("z", "1")]
        row = server.query(f"SELECT new, id_, \"a%b\" FROM {schema}.stripe_customers_view WHERE id = 'z'")
        assert row == [("2", "3", "6")]
    with opened(schema, types={"n": "bigint"}) as sink:
        with pytest.raises(SinkError, match="a view of yours reads one that must change"):
            sink.write([delivery(FIVE, 2)], 2.5)
        server.query(f"DROP VIEW {schema}.mine")
        sink.write([delivery(FIVE, 2)], 2.5)
    assert server.query(f"SELECT n FROM {schema}.stripe_customers_view WHERE id = 'z'") == [(1,)]
    granted = f"SELECT has_table_privilege('reader', '{schema}.stripe_customers_view', 'SELECT')"
    assert server.query(granted) == [(True,)]


def test_what_did_not_change_is_not_written_again(schema: str, sink: RowSink) -> None:
    rows = [(f"cus_{number}", {"text": "x" * 500}) for number in range(500)]
    place = f"SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM {schema}.stripe_customers"
    sink.write([delivery(rows)], 1.5)
    before = shared().query(place)
    for run in (2, 3):
        assert sink.write([delivery(rows, run)], run + 0.5)[run, "customers"] == Totals(500, 0, 0, 500, 0)
    assert shared().query(place) == before
    assert shared().query(f"SELECT DISTINCT run, change FROM {schema}.stripe_customers_view") == [(3, "unchanged")]


def test_long_names_have_tables_of_their_own(schema: str, sink: RowSink) -> None:
    streams = [f"{'s' * 61}{end}" for end in "ab"]
    for stream in streams:
        sink.write([Delivery("x" * 60, "acme", 1, 1.0, 1, [batch_of(stream, [("a", {"of": stream})])])], 1.5)
    for stream in streams:
        view = relation("x" * 60 + "_" + stream) + "_view"
        assert shared().query(f"SELECT of FROM {schema}.{view}") == [(stream,)]


def test_a_key_that_no_index_takes_is_refused_alone(sink: RowSink) -> None:
    choose = random.Random(1).randrange
    long = "".join(chr(choose(0x4E00, 0x9FFF)) for _ in range(4000))
    bad = Delivery("stripe", "acme", 1, 1.0, 7, [batch_of("customers", [(long, {})])])
    with pytest.raises(Refused) as refusal:
        sink.write([delivery(FIVE), bad], 1.5, Mark("f", 1))
    assert refusal.value.task == 7
    assert sink.write([delivery(FIVE)], 1.6, Mark("f", 1))[1, "customers"].new == 5


# what is deleted


def test_what_is_forgotten_is_gone_and_the_sink_is_the_same(schema: str, sink: RowSink) -> None:
    below = Delivery("stripe", "acme/part", 1, 1.0, 2, [batch_of("cards", [("k", {}), ("l", {})])])
    below.batches[0] = type(below.batches[0])("cards", 2, ["k", "l"], [b"{}", b"{}"], parents=["a", ""])
    sink.write([delivery(FIVE), below], 1.5, Mark("f", 1))
    sink.write([delivery(FIVE, 2)], 2.5, Mark("f", 2))
    identity = sink.state("f").identity
    one = Erasure(accounts=("acme",), key="a")
    assert count_rows(shared().url(), schema, one) == {"stripe_customers": 1, "stripe_cards": 1}
    for which, left in ((one, 5), (Erasure(accounts=("acme",)), 0)):
        while sink.forget(which, 2).more:
            pass
        counts = [shared().query(f"SELECT count(*) FROM {schema}.{table}")[0][0] for table in TABLES_OF_IT]
        assert sum(counts[:2]) == left
    assert counts == [0, 0, 0]
    assert sink.scrub(None) is None
    assert sink.scrub(0) is not None
    assert check(shared().url(), schema) == []
    assert sink.state("f").identity == identity


TABLES_OF_IT = ("stripe_customers", "stripe_cards", "_crawlerd_seen_stripe_customers")


def test_old_tombstones_go(schema: str) -> None:
    sink = postgresql_sink(shared().url(), schema, "pg", {}, retain_tombstones=100.0)
    with closing(sink):
        sink.write([delivery([(key, {}) for key in "abc"])], 1.5)
        sink.write([delivery([("a", None), ("b", None)], 2)], 2.5)
        identity = sink.state("f").identity
        assert not sink.expire(50.0, 10)
        assert len(rows_of(shared(), schema)) == 3
        assert sink.expire(200.0, 2)
        assert not sink.expire(200.0, 2)
        assert rows_of(shared(), schema) == {"c": {}}
        assert sink.state("f").identity == identity
    assert check(shared().url(), schema) == []


@pytest.mark.parametrize(("deletion", "left"), [("DELETE FROM {} WHERE id = 'a'", 4), ("TRUNCATE {}", 0)])
def test_whoever_deletes_rows_makes_another_sink_whatever_their_rights(
    schema: str, sink: RowSink, deletion: str, left: int
) -> None:
    server = shared()
    if not server.query("SELECT 1 FROM pg_roles WHERE rolname = 'janitor'"):
        server.query("CREATE ROLE janitor LOGIN PASSWORD 'x'")
    sink.write([delivery(FIVE)], 1.5, Mark("f", 1))
    server.query(f"GRANT USAGE ON SCHEMA {schema} TO janitor")
    server.query(f"GRANT SELECT, DELETE, TRUNCATE ON {schema}.stripe_customers TO janitor")
    with closing(psycopg.connect(server.url(user="janitor", password="x"), autocommit=True)) as other:
        other.execute(deletion.format(f"{schema}.stripe_customers").encode())
    with pytest.raises(SinkReplaced, match="something was deleted"):
        sink.write([delivery(FIVE)], 1.6, Mark("f", 2))
    [problem] = check(server.url(), schema)
    assert problem == f"customers: {left} records are there, but the runs have left 5"


def test_its_objects_can_be_read_by_commands_and_delivered_by_another_sink(schema: str, tmp_path: Path) -> None:
    receiver = Receiver(account="crm", base_url="https://crm.example.com", path="/x")
    crm = SinkSpec(name="crm", type="http", path=tmp_path / "outbox.db", receiver=receiver)
    spec = SinkSpec(name="pg", type="postgresql", path=tmp_path / "pg", url=shared().url(), schema=schema)
    both = msgspec.structs.replace(spec, name="pg + crm", beside=crm)
    with closing(open_sink(both)) as pair, closing(open_sink(spec)) as alone:  # alone: of another import
        for sink in (alone, pair):
            sink.state("f")
        for number in (1, 2):
            alone.write([delivery(FIVE[:2])], 1.5, Mark("f", number))
            pair.write([delivery(FIVE, 2)], 2.5, Mark("f", number))
        assert pair.state("f").number == 2
    assert list(objects_in(spec, "stripe", "customers", "acme")) == [{"n": 1}] * 5
    assert list(objects_in(spec, "stripe", "never", "acme")) == []
    assert msgspec.structs.replace(spec, url=f"x{PASSWORD}").__repr__().count(PASSWORD) == 0


def test_without_its_driver_it_says_how_to_get_it(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path\n"
        "from crawlerd.core.configuration import SinkSpec\n"
        "from crawlerd.sinks import check_sink, open_sink\n"
        "spec = SinkSpec(name='pg', type='postgresql', path=Path('x'), url='postgresql://h/d', schema='s')\n"
        "for function in (open_sink, check_sink):\n"
        "    try: function(spec)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count("SinkError sinks of the type postgresql need a driver: pip install") == 2


# plans


BINDINGS: dict[str, Any] = {
    "account": "acme", "at": "2024-01-01T00:00:00Z", "run": 9, "since": "1970-01-01T00:00:00Z", "parent": "p",
    "first": "k100", "past": "k101", "most": 10, "key": "k500", "odd": "{}", "parents": "{}",
    "keys": array_of([f"k{number}" for number in range(100, 110)]), "data": "\x1e".join(["{}"] * 10),
}  # fmt: skip
STATEMENTS = {
    "put": statements.put("stripe_customers"),
    "spare": statements.spare("stripe_customers"),
    **{
        f"{name}, {shape}": make("stripe_customers", bounded=True, own=False, **shape)
        for name, make in (("sweep", statements.sweep), ("find", statements.find))
        for shape in ({"parent": False}, {"parent": True})
    },
}
ROWS = 3_000


def most_rows(plan: dict[str, Any]) -> int:
    """That any node reads, what it throws away included."""
    removed = sum(plan.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Join Filter", "Index Recheck"))
    own = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    return max([own, *map(most_rows, plan.get("Plans", ()))])


def nodes(plan: dict[str, Any]) -> set[str]:
    return {plan["Node Type"], *(each for child in plan.get("Plans", ()) for each in nodes(child))}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_prepared_on_empty_tables_finds_rows_by_key_in_full_ones(name: str, schema: str) -> None:
    statement, values = STATEMENTS[name], []

    def numbered(found: re.Match[str]) -> str:
        if found[1] not in values:
            values.append(found[1])
        return f"${values.index(found[1]) + 1}"

    text = re.sub(r"%\((\w+)\)s", numbered, statement)
    with opened(schema) as sink:
        sink.write([delivery([])], 1.5)
    with closing(psycopg.connect(shared().url(), autocommit=True, prepare_threshold=None)) as connection:
        for key, value in {"search_path": schema, **statements.PINS}.items():
            connection.execute("SELECT set_config(%s, %s, false)", (key, value))
        connection.execute(f"PREPARE it AS {text}")
        literals = ", ".join("'" + str(BINDINGS[value]).replace("'", "''") + "'" for value in values)
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE it({literals})".encode()
        for stage in ("empty", "full", "analyzed"):
            if stage == "full":
                shared().query(
                    f"""INSERT INTO {schema}.stripe_customers(account, id, data, imported_at, run, change, parent)
                    SELECT 'acme', 'k' || n, '{{}}', now(), 1, 'new', CASE WHEN n = 1005 THEN 'p' ELSE 'q' END
                    FROM generate_series(1, {ROWS}) n"""
                )
                shared().query(
                    f"INSERT INTO {schema}._crawlerd_seen_stripe_customers "
                    f"SELECT row, version, 2, imported_at, 'unchanged' FROM {schema}.stripe_customers"
                )
            if stage == "analyzed":
                shared().query(f"ANALYZE {schema}.stripe_customers")
            with connection.transaction(force_rollback=True):
                [(found,)] = connection.execute(explain).fetchall()
            plan = found[0]["Plan"]
            assert most_rows(plan) <= 150, (stage, json.dumps(plan, indent=1))
            assert not nodes(plan) & {"Seq Scan", "Hash Join", "Merge Join", "Bitmap Heap Scan"}, stage


@given(st.text(alphabet="\0\1\2ab\U0010ffff"), st.text(alphabet="\0\1\2ab"))
def test_keys_are_coded_in_their_order_with_their_beginnings(one: str, other: str) -> None:
    assert plain(coded(one)) == one
    assert "\0" not in coded(one)
    assert (one.encode() < other.encode()) == (coded(one).encode() < coded(other).encode())
    assert one.startswith(other) == coded(one).startswith(coded(other))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet='",\\{} aé\1', max_size=6), max_size=6))
def test_an_array_literal_is_the_list(texts: list[str]) -> None:
    assert shared().query("SELECT %(a)s::text::text[]", a=array_of(texts)) == [(texts,)]
