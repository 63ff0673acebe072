"""What every sink promises. A new sink joins SINKS and is held to all of it."""

from __future__ import annotations

import gzip
import itertools
import math
import os
import random
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.postgres_server import shared
from support.sink_batches import batch_of

from crawlerd.core.configuration import AccountSpec, Receiver, SinkSpec, SinkType
from crawlerd.core.outcome import Complete
from crawlerd.core.task import Task
from crawlerd.engine.attempt import attempt
from crawlerd.sink import (
    MISSING_KEYS,
    Batch,
    Delivery,
    Mark,
    Refused,
    Sink,
    SinkError,
    SinkReplaced,
    SinkState,
    Skipped,
    Totals,
)
from crawlerd.sinks import open_sink
from crawlerd.sinks.postgresql.rows import plain
from crawlerd.source import Record, Source, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Rows = list[tuple[str, Any]]
Contents = dict[tuple[str, str, str], Any]  # (<source>_<stream>, account, key) -> the object, None for a tombstone


@dataclass(frozen=True)
class Kind:
    """How a sink is configured, and how its directory is read without it."""

    type: SinkType
    read: Callable[[Path], Contents]
    options: dict[str, Any] = field(default_factory=dict)

    def spec(self, directory: Path) -> SinkSpec:
        options = dict(self.options)
        if self.type == "postgresql":
            options |= {"url": server_url(), "schema": schema_of(directory)}
        return SinkSpec(name="sink", type=self.type, path=directory / "sink", **options)

    def open(self, directory: Path) -> Sink:
        return open_sink(self.spec(directory))


def read_rows(directory: Path) -> Contents:
    contents: Contents = {}
    with closing(apsw.Connection(str(directory / "sink"), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        for (table,) in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
        ).fetchall():
            for account, key, data, deleted_at in db.execute(f"SELECT account, id, data, deleted_at FROM {table}"):
                contents[str(table), str(account), str(key)] = None if deleted_at else msgspec.json.decode(str(data))
    return contents


def server_url() -> str:
    """Of the server of this session of tests, also in a process that a test starts."""
    return os.environ.get("CRAWLERD_TEST_POSTGRESQL") or shared().url()


def schema_of(directory: Path) -> str:
    return f"s_{blake2b(str(directory).encode(), digest_size=12).hexdigest()}"


def read_tables(directory: Path) -> Contents:
    contents: Contents = {}
    with closing(psycopg.connect(server_url(), autocommit=True)) as db:
        db.execute(f"SET search_path = {schema_of(directory)}")
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (table,) in tables:
            if table.startswith("_"):
                continue
            if db.execute("SELECT to_regclass(%s)", (f"{table}_view",)).fetchone() == (None,):
                assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
                continue
            rows = db.execute(f"SELECT account, id, data, deleted_at FROM {table}").fetchall()
            seen = db.execute(f"SELECT account, id, data, deleted_at FROM {table}_view").fetchall()
            assert len(rows) == len(seen), "the view has other rows"
            for account, key, data, deleted_at in rows:
                contents[table, plain(account), plain(key)] = None if deleted_at else msgspec.json.decode(data)
    return contents


def replay(lines: Iterable[bytes]) -> Contents:
    """What a reader of the lines ends up with; no line may say what is known already."""
    contents: Contents = {}
    for text in lines:
        line = msgspec.json.decode(text)
        key = f"{line['source']}_{line['stream']}", line["account"], line["id"]
        if line["data"] is None:
            assert contents[key] is not None, f"two lines say the same: {text[:200]!r}"
        else:
            assert contents.get(key) != line["data"], f"two lines say the same: {text[:200]!r}"
        contents[key] = line["data"]
    return contents


def read_files(directory: Path) -> Contents:
    lines: list[bytes] = []
    files = [path for path in (directory / "sink").iterdir() if not path.name.startswith(".")]
    for path in sorted(files, key=lambda path: path.name.rsplit("-", 1)[1]):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert content.endswith(b"\n")
        lines += content.removesuffix(b"\n").split(b"\n")
    return replay(lines)


def read_queue(directory: Path) -> Contents:
    """With our own SQLite: the library's, in this process, would break the sink's locks; test_queue.py has it."""
    with closing(apsw.Connection(str(directory / "sink/data.db"), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return replay([bytes(data) for (data,) in db.execute("SELECT data FROM ack_queue_default ORDER BY _id")])


def read_outbox(directory: Path) -> Contents:
    """Of a sink that delivers, nothing of which has been delivered yet."""
    contents: Contents = {}
    with closing(apsw.Connection(str(directory / "sink"), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        for *key, text in db.execute("SELECT name, account, key, data FROM _crawlerd_line ORDER BY id"):
            data = None if text is None else msgspec.json.decode(text)
            assert data != contents.get(tuple(key)), f"two lines say the same: {key}"
            contents[tuple(key)] = data
    return contents


RECEIVER = Receiver(account="crm", base_url="https://crm.example.com", path="/x", gone_path="/x/{key}")
FILES = {
    "sqlite": Kind("sqlite", read_rows),
    "jsonl": Kind("jsonl", read_files),
    "jsonl, small and compressed": Kind("jsonl", read_files, {"rotate_bytes": 3_000, "compress": True}),
    "persist-queue": Kind("persist-queue", read_queue),
    "http": Kind("http", read_outbox, {"receiver": RECEIVER}),
}
SINKS = FILES | {"postgresql": Kind("postgresql", read_tables)}
MODELED = ["sqlite", "jsonl", "persist-queue", "postgresql"]


VALUES: list[Any] = [
    "Zoë ☃ 😀 \u2028 \ufffe",
    "\x00 \x01 \x1f \x7f \\ \" ' /",
    "'); DROP TABLE stripe_customers; --",
    10**30,
    -(2**63),
    0.1 + 0.2,
    5e-324,
    True,
    None,
    [],
    {},
    [[], {"": {"": None}}],
    {"$.a": 1, "a.b": 2, '"': 3, "deleted_at": 4},
    "x" * 10_000_000,
]


def batch(stream: str, rows: Rows) -> Batch:
    return batch_of(stream, rows)


def decoded(batch: Batch) -> Rows:
    return [(key, data and msgspec.json.decode(data)) for key, data in zip(batch.keys, batch.data, strict=True)]


def delivery(
    rows: Rows,
    *,
    source: str = "stripe",
    stream: str = "customers",
    account: str = "acme",
    run: int = 1,
    started: float | None = None,
    task: int = 1,
    sweeps: Iterable[str] = (),
    skipped: Iterable[str] = (),
    parent: str = "",
    orphans: Iterable[str] = (),
) -> Delivery:
    """A run begins at the second of its number, unless said. parent: of all rows. orphans: of these parents."""
    return Delivery(
        source,
        account,
        run,
        float(run) if started is None else started,
        task,
        [msgspec.structs.replace(batch(stream, rows), parents=[parent] * len(rows) if parent else [])],
        [(stream, prefix) for prefix in sweeps],
        [Skipped(stream, key, "cannot be serialized") for key in skipped],
        orphans=[(stream, each) for each in orphans],
    )


@pytest.fixture(params=SINKS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return SINKS[request.param]


@pytest.fixture(params=FILES)
def file_kind(request: pytest.FixtureRequest) -> Kind:
    return FILES[request.param]


@pytest.fixture
def sink(kind: Kind, tmp_path: Path) -> Iterator[Sink]:
    sink = kind.open(tmp_path)
    yield sink
    sink.close()


@pytest.fixture
def contents(kind: Kind, tmp_path: Path, sink: Sink) -> Callable[[], Contents]:
    """All that has been written, at the latest when a run ends."""

    def read() -> Contents:
        sink.ended(1)
        return kind.read(tmp_path)

    return read


def test_what_was_written_is_readable_by_others(sink: Sink, contents: Callable[[], Contents]) -> None:
    sink.write([delivery([("cus_1", {"name": "Ada"}), ("cus_2", {"name": "Bob"})])], 1.0)
    assert contents() == {
        ("stripe_customers", "acme", "cus_1"): {"name": "Ada"},
        ("stripe_customers", "acme", "cus_2"): {"name": "Bob"},
    }


def test_the_same_delivery_twice_changes_nothing(sink: Sink, contents: Callable[[], Contents]) -> None:
    twice = [delivery([("a", {"n": 1}), ("b", None), ("c", {"n": 3})], sweeps=["c"], skipped=["a", "d"])]
    totals = sink.write(twice, 2.0)
    before = contents()
    assert sink.write(twice, 3.0) == sink.write(twice + twice, 4.0) == totals
    assert contents() == before
    assert {key: data for key, data in before.items() if data is not None} == {
        ("stripe_customers", "acme", "a"): {"n": 1},
        ("stripe_customers", "acme", "c"): {"n": 3},
    }
    assert totals == {(1, "customers"): Totals(seen=2, new=2)}


def test_the_last_of_a_key_wins(sink: Sink, contents: Callable[[], Contents]) -> None:
    sink.write([delivery([("a", {"n": 1}), ("a", {"n": 2})]), delivery([("a", {"n": 3}), ("b", {"n": 1})])], 1.0)
    sink.write([delivery([("b", {"n": 2})], run=2)], 2.0)
    assert contents() == {
        ("stripe_customers", "acme", "a"): {"n": 3},
        ("stripe_customers", "acme", "b"): {"n": 2},
    }


def test_tombstones_delete_and_later_records_bring_back(sink: Sink, contents: Callable[[], Contents]) -> None:
    key = ("stripe_customers", "acme", "a")
    sink.write([delivery([("a", {"n": 1})])], 1.0)
    sink.write([delivery([("a", None), ("never_seen", None)])], 2.0)
    found = contents()  # of what was never there, there may or may not be a tombstone
    assert found.pop(("stripe_customers", "acme", "never_seen"), None) is None
    assert found == {key: None}
    sink.write([delivery([("a", {"n": 1})])], 3.0)
    assert contents()[key] == {"n": 1}
    sink.write([delivery([("a", None), ("a", {"n": 4})])], 4.0)
    assert contents()[key] == {"n": 4}


def test_accounts_streams_and_sources_are_kept_apart(sink: Sink, contents: Callable[[], Contents]) -> None:
    where = [("stripe", "customers"), ("stripe", "charges"), ("mailchimp", "customers")]
    accounts = ["acme", "Acme", "größe ☃", "o'neil\"; --", ""]
    sink.write(
        [
            delivery([("same", {"of": [source, stream, account]})], source=source, stream=stream, account=account)
            for source, stream in where
            for account in accounts
        ],
        1.0,
    )
    assert contents() == {
        (f"{source}_{stream}", account, "same"): {"of": [source, stream, account]}
        for source, stream in where
        for account in accounts
    }


def test_empty_batches_deliveries_and_writes(sink: Sink, contents: Callable[[], Contents]) -> None:
    sink.write([], 1.0)
    sink.write([Delivery("stripe", "acme", 1, 1.0, 1, []), delivery([])], 1.0)
    assert contents() == {}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_and_keys_come_back_as_they_went(sink: Sink, contents: Callable[[], Contents], value: Any) -> None:
    data = {"value": value, "list": [value]}
    key = (value if isinstance(value, str) else repr(value))[:1000]
    sink.write([delivery([("before", {}), (key, data), ("after", {})])], 1.0)
    assert contents() == {
        ("stripe_customers", "acme", "before"): {},
        ("stripe_customers", "acme", key): data,
        ("stripe_customers", "acme", "after"): {},
    }


@pytest.mark.parametrize(
    "field", ["", " ", "a b", "a.b", "ü", 'x"y', "x'y", "$", "x); DROP TABLE t; --", "x" * 10_000, "\x00", "select"]
)
def test_field_names_may_be_anything(sink: Sink, contents: Callable[[], Contents], field: str) -> None:
    sink.write([delivery([("a", {field: 1, "plain": 2})])], 1.0)
    assert contents() == {("stripe_customers", "acme", "a"): {field: 1, "plain": 2}}


@pytest.mark.parametrize("name", ["", "a b", "a-b", "A", 'x"', "x'; --", "ü", "1a", "../a", "a\n", "a\x00", "x" * 64])
@pytest.mark.parametrize("part", ["source", "stream"])
def test_refused_names_write_nothing(sink: Sink, contents: Callable[[], Contents], part: str, name: str) -> None:
    good = delivery([("a", {"n": 1})])
    refused = delivery([], source=name, task=7) if part == "source" else delivery([], stream=name, task=7)
    with pytest.raises(Refused) as refusal:
        sink.write([good, refused, good], 1.0)
    assert refusal.value.task == 7
    assert contents() == {}
    sink.write([good], 2.0)
    assert contents() == {("stripe_customers", "acme", "a"): {"n": 1}}


def test_reopening_goes_on_where_it_was(kind: Kind, tmp_path: Path) -> None:
    for n in range(3):
        sink = kind.open(tmp_path)
        sink.write([delivery([(str(n), {f"field_{n}": n}), ("same", {"n": n})], run=n)], float(n))
        sink.close()
    assert kind.read(tmp_path) == {
        ("stripe_customers", "acme", "same"): {"n": 2},
        **{("stripe_customers", "acme", str(n)): {f"field_{n}": n} for n in range(3)},
    }


def nth_write(n: int) -> list[Delivery]:
    """Creates, changes and deletes overlapping keys of three accounts, and brings a field along now and then."""
    return [
        delivery(
            [(str(key % 50), None if (n + key) % 7 == 0 else {"n": n, f"f{n // 20 % 9}": "x" * 200})],
            account=account,
            run=n // 100,
        )
        for account in ("a", "b", "c")
        for key in range(n, n + 10)
    ]


def after_writes(count: int) -> Contents:
    contents: Contents = {}
    for n in range(count):
        for each in nth_write(n):
            for key, data in decoded(each.batches[0]):
                if data is not None or ("stripe_customers", each.account, key) in contents:
                    contents["stripe_customers", each.account, key] = data
    return contents


def there(contents: Contents) -> Contents:
    return {key: data for key, data in contents.items() if data is not None}


@pytest.mark.parametrize("name", SINKS)
def test_killed_at_any_instant_it_holds_whole_writes_and_redelivery_completes_them(name: str, tmp_path: Path) -> None:
    moments, kind = random.Random(name), SINKS[name]
    done = 0  # writes that the sink has acknowledged, over all its lives
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, __file__, name, str(tmp_path), str(done)],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "CRAWLERD_TEST_POSTGRESQL": server_url() if name == "postgresql" else "",
            },
        ) as writer:
            assert writer.stdout is not None
            for _ in range(moments.randrange(1, 150 if name in FILES else 40)):
                done = int(writer.stdout.readline())
            for _ in range(moments.randrange(20_000)):
                pass  # lets it come to some point of its next write
            writer.kill()
            done = [done, *map(int, writer.stdout.read().split())][-1]
        kind.open(tmp_path).close()
        assert there(kind.read(tmp_path)) in (there(after_writes(done)), there(after_writes(done + 1)))
    sink, model = kind.open(tmp_path), Model()
    for n in range(max(0, done - 3), done + 3):
        totals = sink.write(nth_write(n), 1.0)
    sink.close()
    assert there(kind.read(tmp_path)) == there(after_writes(done + 3))
    for n in range(done + 3):
        expected = model.write(nth_write(n), 1.0)
    assert totals == expected


# what a run has done


@dataclass
class Model:
    """What a sink's totals are to be."""

    there: Contents = field(default_factory=dict)
    written: dict[tuple[str, str, str], tuple[tuple[int, float], float, str]] = field(default_factory=dict)
    begun: set[tuple[int, float, str]] = field(default_factory=set)
    parents: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def write(self, deliveries: list[Delivery], now: float) -> dict[tuple[int, str], Totals]:
        for each in deliveries:
            for one in each.batches:
                self.begun.add((each.run, each.started, one.stream))
                for (key, data), parent in zip(decoded(one), one.parents or itertools.repeat(""), strict=False):
                    self.put(each, (f"{each.source}_{one.stream}", each.account, key), data, now, parent)
            for skipped in each.skipped:
                key = (f"{each.source}_{skipped.stream}", each.account, skipped.key)
                run = each.run, each.started
                if self.there.get(key) is not None and self.written[key][0] != run:
                    self.written[key] = run, self.written[key][1], "skipped"
            for stream, prefix in each.sweeps:
                self.begun.add((each.run, each.started, stream))
                for key, data in list(self.there.items()):
                    run, at, _ = self.written[key]
                    here = key[:2] == (f"{each.source}_{stream}", each.account) and key[2].startswith(prefix)
                    if here and data is not None and run != (each.run, each.started) and at < each.started:
                        self.put(each, key, None, now)
            for stream, parent in each.orphans:
                self.begun.add((each.run, each.started, stream))
                for key, data in list(self.there.items()):
                    run, at, _ = self.written[key]
                    here = key[:2] == (f"{each.source}_{stream}", each.account) and self.parents.get(key) == parent
                    if here and data is not None and (run == (each.run, each.started) or at < each.started):
                        self.put(each, key, None, now)
        return {
            (run, stream): self.totals(run, started, stream)
            for run, started in {(each.run, each.started) for each in deliveries}
            for begun, its, stream in self.begun
            if (begun, its) == (run, started)
        }

    def put(self, each: Delivery, key: tuple[str, str, str], data: Any, now: float, parent: str = "") -> None:
        run = each.run, each.started
        moved = parent != "" and self.parents.get(key) != parent
        if parent:
            self.parents[key] = parent
        last, _, change = self.written.get(key, (None, 0.0, ""))
        before = self.there.get(key)
        was_there = change in ("changed", "unchanged", "tombstoned", "skipped") if last == run else before is not None
        if data is None:
            change = "tombstoned" if was_there else ""
        elif not was_there:
            change = "new"
        elif before == data and (last != run or change in ("unchanged", "skipped")):
            change = "unchanged"
        else:
            change = "changed"
        if last != run or before != data or moved:
            self.there[key], self.written[key] = data, (run, now, change)

    def totals(self, run: int, started: float, stream: str) -> Totals:
        changes = [
            change
            for (table, _, _), (its, _, change) in self.written.items()
            if its == (run, started) and table.endswith(f"_{stream}")
        ]
        new, changed, unchanged, tombstoned = map(changes.count, ("new", "changed", "unchanged", "tombstoned"))
        return Totals(new + changed + unchanged, new, changed, unchanged, tombstoned)


KEYS = st.sampled_from(["a", "ab", "abc", "b", "\ud7ff", "\ue000", "\U0010ffff", "\U0010ffffz", "'; --", "%", "\x00"])
PARCELS = st.lists(
    st.builds(
        delivery,
        st.lists(st.tuples(KEYS, st.sampled_from([None, {"n": 1}, {"n": 2}])), max_size=6),
        account=st.sampled_from(["acme", "globex"]),
        source=st.sampled_from(["stripe", "shop"]),
        sweeps=st.lists(st.one_of(st.just(""), KEYS), max_size=1),
        skipped=st.lists(KEYS, max_size=1),
        parent=st.sampled_from(["", "p", "q"]),
        orphans=st.lists(st.sampled_from("pq"), max_size=1),
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", MODELED)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(st.lists(PARCELS, max_size=3), max_size=4), reopened=st.booleans())
def test_totals_are_those_of_the_model_whatever_comes_again(
    name: str, tmp_path_factory: pytest.TempPathFactory, runs: list[list[list[Delivery]]], reopened: bool
) -> None:
    directory, kind, model = tmp_path_factory.mktemp("sink"), SINKS[name], Model()
    sink = kind.open(directory)
    now = 1.0
    for number, writes in enumerate(runs, start=1):
        started, now = now + 1, now + 2
        for parcel in writes:
            its = [msgspec.structs.replace(each, run=number % 3, started=started) for each in parcel]
            now += 1
            expected = model.write(its, now)
            assert sink.write(its, now) == expected
            if reopened:
                sink.close()
                sink = kind.open(directory)
            model.write(its, now)  # a whole write again is one that was not acknowledged
            assert sink.write(its, now) == model.write(its, now)
    sink.close()
    assert there(kind.read(directory)) == there(model.there)


def test_each_key_counts_once_a_run_by_its_last_word(sink: Sink) -> None:
    first = sink.write([delivery([(key, {"n": 1}) for key in "abcd"]), delivery([("a", {"n": 1})])], 1.0)
    assert first == {(1, "customers"): Totals(seen=4, new=4)}
    sink.write([delivery([("a", {"n": 1}), ("b", {"n": 1}), ("c", None)], run=2)], 3.0)
    second = sink.write([delivery([("b", {"n": 2}), ("b", {"n": 2}), ("e", {"n": 1})], run=2)], 3.0)
    assert second == {(2, "customers"): Totals(seen=3, new=1, changed=1, unchanged=1, tombstoned=1)}


def test_a_sweep_tombstones_what_its_run_has_not_written(sink: Sink, contents: Callable[[], Contents]) -> None:
    mine, others = [("a/1", {"n": 1}), ("a/2", {"n": 1}), ("b/1", {"n": 1})], {"account": "globex"}
    sink.write([delivery(mine), delivery(mine, **others), delivery(mine, stream="charges")], 1.5)
    last = delivery([("a/2", {"n": 1})], run=2, sweeps=["a/"])
    totals = sink.write([delivery([("a/3", {"n": 1})], run=2), last], 2.5)
    assert totals == {(2, "customers"): Totals(seen=2, new=1, unchanged=1, tombstoned=1)}
    found = contents()
    assert {key for key, data in found.items() if data is None} == {("stripe_customers", "acme", "a/1")}
    assert len(found) == 10
    assert sink.write([last], 2.75) == totals
    assert sink.write([delivery([("a/1", {"n": 1})], run=3, sweeps=[""])], 5.0) == {
        (3, "customers"): Totals(seen=1, new=1, tombstoned=3)
    }
    assert contents()["stripe_customers", "acme", "a/1"] == {"n": 1}


def test_a_sweep_spares_what_another_run_writes_meanwhile_and_what_was_set_aside(
    sink: Sink, contents: Callable[[], Contents]
) -> None:
    sink.write([delivery([(key, {"n": 1}) for key in "abc"])], 1.5)
    sink.write([delivery([("a", {"n": 1})], run=3)], 3.5)
    totals = sink.write([delivery([], run=2, skipped=["b", "unknown"], sweeps=[""])], 4.0)
    assert totals == {(2, "customers"): Totals(tombstoned=1)}
    assert {key for (_, _, key), data in contents().items() if data is None} == {"c"}


def test_a_sweep_of_what_was_never_written_says_zero(sink: Sink) -> None:
    assert sink.write([delivery([], sweeps=[""])], 1.0) == {(1, "customers"): Totals()}


def below(sink: Sink, run: int, parent: str, after: str = "") -> list[str]:
    return sink.missing(delivery([], run=run), "customers", "", after, parent)


def test_what_lies_below_a_parent_that_is_gone_is_tombstoned(sink: Sink, contents: Callable[[], Contents]) -> None:
    def write(rows: str, parent: str = "", run: int = 2, **more: Any) -> dict[tuple[int, str], Totals]:
        return sink.write([delivery([(key, {"n": 1}) for key in rows], run=run, parent=parent, **more)], run + 0.5)

    write("xy", run=1)  # as by a version that knew of no parents
    write("abcd", "p", run=1)
    write("ef", "q", run=1)
    write("ag", "p", run=1, account="globex")
    write("ab", "p", run=1, stream="charges")
    write("b", "q")  # moved
    write("c", "p")  # read again by this run
    write("h", "p")  # new in it
    write("i", "p", run=4)  # read by another one since it began
    write("e")  # where a batch has no parents, they stay
    assert below(sink, 2, "p") == ["a", "d"]  # what can be asked for
    assert below(sink, 2, "q", "e") == ["f"]
    assert below(sink, 2, "nobody") == below(sink, 2, "p", "d") == []
    last = delivery([("d", None)], run=2, orphans=["p", "nobody"])
    totals = sink.write([last], 2.75)
    assert totals[2, "customers"] == Totals(seen=2, unchanged=2, tombstoned=3)  # and h has never been there
    gone = {key for key, data in contents().items() if data is None}
    assert gone == {("stripe_customers", "acme", key) for key in "acdh"}
    assert sink.write([last], 3.0) == totals  # as after a crash
    assert write("", run=5, orphans=["p"]) == {(5, "customers"): Totals(tombstoned=1)}
    write("a", "q", run=6)
    assert write("", run=7, orphans=["p"]) == {(7, "customers"): Totals()}
    assert {key for _, account, key in there(contents()) if account == "acme"} == set("abefxy")


def test_of_a_stream_without_parents_nothing_is_below_any(sink: Sink) -> None:
    sink.write([delivery([("a", {"n": 1})])], 1.5)
    assert below(sink, 2, "p") == []
    assert sink.write([delivery([], run=2, orphans=["p"])], 2.5) == {(2, "customers"): Totals()}


def test_parents_are_known_after_a_crash_and_a_write_that_was_refused(kind: Kind, tmp_path: Path) -> None:
    with closing(kind.open(tmp_path)) as sink:
        with pytest.raises(Refused):
            sink.write([delivery([("a", {})], parent="p"), delivery([], stream="no stream")], 1.0)
        sink.write([delivery([("a", {}), ("b", {})], parent="p")], 1.5)
        assert below(sink, 2, "p") == ["a", "b"]
    with closing(kind.open(tmp_path)) as sink:
        assert below(sink, 2, "p") == ["a", "b"]
        sink.write([delivery([("b", {})], run=2, parent="q")], 2.5)
        assert below(sink, 3, "p") == ["a"]


def missing(sink: Sink, run: int, prefix: str = "", after: str = "", account: str = "acme") -> list[str]:
    return sink.missing(delivery([], run=run, account=account), "customers", prefix, after)


def test_what_a_run_has_not_written_is_missing_in_the_order_of_keys(
    sink: Sink, contents: Callable[[], Contents]
) -> None:
    keys = ["b/2", "a", "b", "b/1", "c", "b/\U0010ffff", "b/\ue000", ""]
    sink.write([delivery([(key, {"n": 1}) for key in keys]), delivery([("d", {}), ("e", {})], account="globex")], 1.5)
    last = delivery([("a", {"n": 1}), ("c", None)], run=2, skipped=["b"])
    sink.write([last], 2.5)
    before = contents()
    assert sink.missing(last, "customers", "", "") == ["", "b/1", "b/2", "b/\ue000", "b/\U0010ffff"]
    assert missing(sink, 2, "b/") == ["b/1", "b/2", "b/\ue000", "b/\U0010ffff"]
    assert missing(sink, 2, "b/", after="b/2") == missing(sink, 2, after="b/2") == ["b/\ue000", "b/\U0010ffff"]
    assert missing(sink, 2, "b/", after="a") == missing(sink, 2, "b/")
    assert missing(sink, 2, "x") == missing(sink, 2, after="c") == missing(sink, 2, account="nobody") == []
    assert sink.missing(delivery([], run=2), "never_written", "", "") == []
    assert contents() == before  # it tombstones nothing
    sink.write([delivery([], run=2, sweeps=[""])], 3.0)
    assert missing(sink, 2) == []


def test_what_is_missing_is_told_up_to_a_limit_and_from_there_on(sink: Sink) -> None:
    keys = [f"k{number:05}" for number in range(2 * MISSING_KEYS + 5)]
    sink.write([delivery([(key, {}) for key in keys])], 1.5)
    sink.write([delivery([("k00000", {})], run=2)], 2.5)
    found: list[list[str]] = [missing(sink, 2)]
    while len(found[-1]) == MISSING_KEYS:
        found.append(missing(sink, 2, after=found[-1][-1]))
    assert [len(each) for each in found] == [MISSING_KEYS, MISSING_KEYS, 4]
    assert [key for each in found for key in each] == keys[1:]


def test_what_another_run_has_written_meanwhile_is_not_missing(sink: Sink) -> None:
    sink.write([delivery([("a", {}), ("b", {})])], 1.5)
    sink.write([delivery([("a", {})], run=3)], 3.5)
    assert missing(sink, 2) == ["b"]


def test_what_is_missing_is_the_same_after_a_crash(kind: Kind, tmp_path: Path) -> None:
    """Between the sink and the frontier: the delivery comes again, and the same question with it."""
    with closing(kind.open(tmp_path)) as sink:
        sink.write([delivery([("a", {}), ("b", {})])], 1.5)
        sink.write([delivery([("a", {})], run=2)], 2.5)
        assert missing(sink, 2) == ["b"]
    with closing(kind.open(tmp_path)) as sink:
        sink.write([delivery([("a", {})], run=2)], 3.5)
        assert missing(sink, 2) == ["b"]


@pytest.mark.parametrize("name", MODELED)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parcels=st.lists(PARCELS, max_size=3), prefix=KEYS | st.just(""), after=KEYS | st.just(""))
def test_a_sweep_tombstones_what_was_said_to_be_missing(
    name: str, tmp_path_factory: pytest.TempPathFactory, parcels: list[list[Delivery]], prefix: str, after: str
) -> None:
    with closing(SINKS[name].open(directory := tmp_path_factory.mktemp("sink"))) as sink:
        for number, parcel in enumerate(parcels, start=1):
            its = [msgspec.structs.replace(each, run=number % 2, started=float(number)) for each in parcel]
            sink.write(its, number + 0.5)
        last = delivery([], run=9)
        sink.write([last], 9.0)
        told = sink.missing(last, "customers", prefix, "")
        assert sink.missing(last, "customers", prefix, after) == [key for key in told if key > after or not after]
        sink.ended(9)
        before = there(SINKS[name].read(directory))
        sink.write([delivery([], run=9, sweeps=[prefix])], 10.0)
        sink.ended(9)
        gone = before.keys() - there(SINKS[name].read(directory)).keys()
        assert sorted(gone) == [("stripe_customers", "acme", key) for key in told]


def test_what_a_run_has_seen_of_an_account_is_counted(sink: Sink) -> None:
    sink.write([delivery([(key, {"n": 1}) for key in "abcde"])], 1.5)
    mine = delivery([("a", {"n": 1}), ("b", {"n": 2}), ("c", None), ("f", {}), ("b", {"n": 2})], run=2, skipped=["d"])
    others = delivery([(key, {}) for key in "xyz"], run=2, account="globex")
    totals = sink.write([mine, others], 2.5)
    assert sink.seen(mine, "customers") == 3
    assert sink.seen(others, "customers") == 3
    assert totals[2, "customers"].seen == 6
    assert sink.seen(delivery([], run=3), "customers") == sink.seen(mine, "never_written") == 0


def test_a_frontier_that_begins_anew_does_not_go_on_with_the_runs_of_the_last(kind: Kind, tmp_path: Path) -> None:
    rows: Rows = [("a", {"n": 1}), ("b", {"n": 1})]
    with closing(kind.open(tmp_path)) as sink:
        sink.write([delivery(rows, run=1, started=1.0)], 1.0)
    with closing(kind.open(tmp_path)) as sink:
        again = sink.write([delivery(rows[:1], run=1, started=9.0, sweeps=[""])], 9.0)
        assert again == {(1, "customers"): Totals(seen=1, unchanged=1, tombstoned=1)}


def test_totals_of_a_run_come_whole_with_its_first_write_after_a_restart(kind: Kind, tmp_path: Path) -> None:
    with closing(kind.open(tmp_path)) as sink:
        sink.write([delivery([("a", {})]), delivery([("b", {})], stream="charges")], 1.0)
    with closing(kind.open(tmp_path)) as sink:
        assert sink.write([delivery([("a", {})])], 2.0) == {
            (1, "customers"): Totals(seen=1, new=1),
            (1, "charges"): Totals(seen=1, new=1),
        }


# hostile payloads


@dataclass(frozen=True)
class Fetch(TaskArgs, kind="hostile.fetch"):
    pass


def nested(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


def test_what_a_handler_yields_arrives_or_is_set_aside(sink: Sink, contents: Callable[[], Contents]) -> None:
    source = Source("stripe")
    good = {
        "not a number": {"n": math.nan, "m": -math.inf},
        "long": {"text": "x" * 10_000_000},
        "'); DROP TABLE stripe_customers; --": {"'); DROP TABLE stripe_customers; --": 1, '"': 2, "\x00": 3},
        "../../etc/passwd": {"a/b": "\u2028\r\n"},
        "deep": {"n": nested(480)},
        "k" * 100_000: {},
    }
    bad = {"lone": {"text": "\ud800"}, "\udfff": {}, "object": {"n": object()}, "deepest": {"n": nested(100_000)}}

    @source.handles(Fetch)
    def fetch(api: Any, args: Fetch) -> Iterator[Record]:
        yield from (Record("customers", key, data) for key, data in (good | bad).items())

    task = Task(1, 1, 5, 1, "hostile.fetch", 0, "{}")
    outcome = attempt(source, AccountSpec(name="acme", source="stripe"), None, task, jitter=0.5)  # type: ignore[arg-type]
    assert isinstance(outcome, Complete)
    assert len(outcome.skipped) == len(bad)
    totals = sink.write([Delivery("stripe", "acme", 1, 1.0, 1, outcome.batches, [], outcome.skipped)], 1.0)
    assert totals == {(1, "customers"): Totals(seen=len(good), new=len(good))}
    expected = good | {"not a number": {"n": None, "m": None}}  # as JSON has it
    assert contents() == {("stripe_customers", "acme", key): data for key, data in expected.items()}


def test_a_key_twice_in_an_object_is_kept_as_it_came(sink: Sink, contents: Callable[[], Contents]) -> None:
    sink.write([Delivery("stripe", "acme", 1, 1.0, 1, [batch_of("customers", [("a", b'{"n":1,"n":2}')], ["n"])])], 1.0)
    assert contents() == {("stripe_customers", "acme", "a"): {"n": 2}}


PAIRS = [Batch("customers", 1, [], []), Batch("customers", 1, ["a"], []), Batch("customers", 1, ["a", "b"], [b"{}"])]


@pytest.mark.parametrize("odd", PAIRS)
def test_rows_that_are_no_pairs_are_refused_alone(sink: Sink, contents: Callable[[], Contents], odd: Batch) -> None:
    good = delivery([("good", {"n": 1})])
    with pytest.raises(Refused, match="customers") as refusal:
        sink.write([good, Delivery("stripe", "acme", 1, 1.0, 9, [odd])], 1.0)
    assert refusal.value.task == 9
    assert sink.write([good], 1.0) == {(1, "customers"): Totals(seen=1, new=1)}
    assert contents() == {("stripe_customers", "acme", "good"): {"n": 1}}


def test_a_place_that_cannot_be_used_is_named(file_kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for directory in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(Exception, match=f"{directory}/sink") as failure:
            file_kind.open(directory)
        assert type(failure.value).__name__ == "SinkError"


def write_until_killed(name: str, directory: Path, start: int) -> None:
    sink = SINKS[name].open(directory)
    for n in itertools.count(start):
        sink.write(nth_write(n), 1.0)
        sys.stdout.write(f"{n + 1}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    write_until_killed(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))


# who a sink is


def test_a_sink_has_an_identity_that_it_keeps_and_no_other_has(kind: Kind, tmp_path: Path) -> None:
    with closing(kind.open(tmp_path)) as sink:
        state = sink.state("f1")
        assert state.number is None
        assert state.fresh
    with closing(kind.open(tmp_path)) as sink:
        assert sink.state("f1") == state
    (tmp_path / "other").mkdir()
    with closing(kind.open(tmp_path / "other")) as other:
        assert other.state("f1").identity != state.identity


def test_the_mark_is_there_with_the_records_or_not_at_all(kind: Kind, tmp_path: Path) -> None:
    good = Delivery("s", "acme", 1, 0.0, 1, [Batch("items", 1, ["a"], [b'{"n":1}'], ["n"])])
    with closing(kind.open(tmp_path)) as sink:
        sink.write([good], 0.0, Mark("f1", 7))
        assert sink.state("f1") == SinkState(sink.state("f1").identity, 7, fresh=False)
        assert sink.state("f2").number is None
        with pytest.raises(Refused):
            sink.write([good, Delivery("no name", "acme", 1, 0.0, 2, good.batches)], 0.0, Mark("f1", 8))
        assert sink.state("f1").number == 7
        sink.write([], 0.0, Mark("f2", 3))
    with closing(kind.open(tmp_path)) as sink:
        assert (sink.state("f1").number, sink.state("f2").number) == (7, 3)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("way", ["deleted", "another", "moved"])
def test_a_sink_whose_file_goes_while_it_is_open_says_so_for_good(
    file_kind: Kind, tmp_path: Path, suffix: str, way: str
) -> None:
    good = Delivery("s", "acme", 1, 0.0, 1, [Batch("items", 1, ["a"], [b'{"n":1}'], ["n"])])
    path = file_kind.spec(tmp_path).database
    file = path.with_name(path.name + suffix)
    with suppress(SinkReplaced), closing(file_kind.open(tmp_path)) as sink:  # lines that wait are gone with the file
        sink.write([good], 0.0, Mark("f1", 1))
        assert sink.intact()
        if way == "moved":
            file.rename(tmp_path / "moved")
        else:
            file.unlink()
        if way == "another":
            file.write_bytes(b"")
        assert not sink.intact()
        for _ in range(2):
            with pytest.raises(SinkReplaced, match="deleted, moved or replaced while it was in use"):
                sink.write([good], 0.0, Mark("f1", 2))
    if way == "moved" and not suffix:
        assert not path.exists()


PAGES = [
    Delivery("s", "acme", 1, 0.0, 1, [Batch("items", 2, ["a", "b"], [b'{"n":1}', b'{"n":2}'], ["n"])]),
    Delivery("s", "acme", 1, 0.0, 2, [Batch("orders", 2, ["x", "y"], [b'{"n":1}', None], ["n"])]),
]
LOSSES = {
    "a row": "DELETE FROM s_items WHERE id = 'b'",
    "all rows": "DELETE FROM s_orders",
    "a table": "DROP TABLE s_items",
    "a table with its name": "ALTER TABLE s_orders RENAME TO kept",
}
NO_LOSSES = {
    "what was gone": "DELETE FROM s_orders WHERE deleted_at IS NOT NULL",
    "an index": "CREATE INDEX mine ON s_items(imported_at)",
    "space": "VACUUM",
}


def sql(kind: Kind, tmp_path: Path, statement: str) -> None:
    """Of another program."""
    if kind.type == "postgresql":
        with closing(psycopg.connect(server_url(), autocommit=True)) as server:
            server.execute(f"SET search_path = {schema_of(tmp_path)}")
            for each in statement.split(";"):
                server.execute(f"{each} CASCADE" if each.startswith("DROP") else each)
        return
    with closing(apsw.Connection(str(kind.spec(tmp_path).database))) as db:
        db.execute(statement)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sink_that_has_lost_rows_is_another_one(kind: Kind, tmp_path: Path, loss: str) -> None:
    with closing(kind.open(tmp_path)) as sink:
        sink.write(PAGES, 0.0, Mark("f1", 1))
        before = sink.state("f1").identity
    sql(kind, tmp_path, LOSSES[loss])
    with closing(kind.open(tmp_path)) as sink:
        after = sink.state("f1").identity
        assert after != before
    with closing(kind.open(tmp_path)) as sink:  # once; what is not read any more is not missed at each opening
        assert sink.state("f1").identity == after
        sink.write(PAGES, 0.0, Mark("f1", 2))
        assert sink.state("f1").identity == after
    sql(kind, tmp_path, "DELETE FROM s_items; DELETE FROM s_orders")
    with closing(kind.open(tmp_path)) as sink:
        assert sink.state("f1").identity not in (before, after)


@pytest.mark.parametrize("change", NO_LOSSES)
def test_what_loses_nothing_leaves_a_sink_as_it_is(kind: Kind, tmp_path: Path, change: str) -> None:
    with closing(kind.open(tmp_path)) as sink:
        sink.write(PAGES, 0.0, Mark("f1", 1))
        before = sink.state("f1").identity
    sql(kind, tmp_path, NO_LOSSES[change])
    with closing(kind.open(tmp_path)) as sink:
        sink.write(PAGES, 0.0, Mark("f1", 2))
        assert sink.state("f1").identity == before


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sink_that_loses_rows_while_it_is_open_says_so_for_good(kind: Kind, tmp_path: Path, loss: str) -> None:
    with suppress(SinkReplaced), closing(kind.open(tmp_path)) as sink:
        sink.write(PAGES, 0.0, Mark("f1", 1))
        sql(kind, tmp_path, LOSSES[loss])
        if "table" in loss:
            with pytest.raises(SinkError, match=r"no such table|does not exist"):
                sink.write(PAGES, 0.0, Mark("f1", 2))
        for _ in range(2):
            with pytest.raises(SinkReplaced, match="deleted from it"):
                sink.write(PAGES, 0.0, Mark("f1", 2))


@pytest.mark.parametrize("left", [0, 32, 5000, -1])
def test_a_sink_whose_log_is_cut_while_it_is_open_says_so_for_good(file_kind: Kind, tmp_path: Path, left: int) -> None:
    path = file_kind.spec(tmp_path).database
    log = path.with_name(f"{path.name}-wal")
    with suppress(SinkReplaced), closing(file_kind.open(tmp_path)) as sink:
        sink.write(PAGES, 0.0, Mark("f1", 1))
        assert sink.intact()
        os.truncate(log, left if left >= 0 else log.stat().st_size - 1)
        assert not sink.intact()
        with pytest.raises(SinkReplaced):
            sink.write(PAGES, 0.0, Mark("f1", 2))
    with closing(file_kind.open(tmp_path)) as sink:  # an older one, and not a damaged one
        assert (sink.state("f1").number or 0) < 2
        sink.write(PAGES, 0.0, Mark("f1", 3))
    assert file_kind.read(tmp_path)["s_items", "acme", "a"] == {"n": 1}


def test_a_clean_opening_leaves_no_log_unmoved(file_kind: Kind, tmp_path: Path) -> None:
    """What an earlier process left in the log may be in the page cache alone."""
    script = (
        "import json, os, sys, msgspec\n"
        "from crawlerd.core.configuration import SinkSpec\n"
        "from crawlerd.sinks import open_sink\n"
        "from crawlerd.sink import Batch, Delivery, Mark\n"
        "spec = json.loads(sys.argv[1])\n"
        "sink = open_sink(msgspec.convert(spec, SinkSpec, dec_hook=lambda kind, value: kind(value)))\n"
        "sink.write([Delivery('s', 'acme', 1, 0.0, 1, [Batch('items', 1, ['a'], [b'{}'])])], 0.0, Mark('f', 1))\n"
        "os._exit(0)\n"
    )
    facts = {"name": "sink", "type": file_kind.type, "path": str(file_kind.spec(tmp_path).path), **file_kind.options}
    spec = msgspec.json.encode(facts).decode()
    subprocess.run([sys.executable, "-c", script, spec], check=True)
    path = file_kind.spec(tmp_path).database
    log = path.with_name(f"{path.name}-wal")
    assert log.stat().st_size
    with closing(file_kind.open(tmp_path)) as sink:
        copy = tmp_path / "copy"
        copy.write_bytes(path.read_bytes())  # without its log
        assert sink.state("f").number == 1
    with closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)) as db:
        db.pragma("journal_mode")
        assert db.execute("SELECT number FROM _crawlerd_frontier").get == 1
