"""The SQLite sink: what its tables and views look like, exact text, and disks and programs that get in the way."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import pytest
from support.installation import until
from support.sink_batches import batch_of
from support.small_disks import SMALL_DISK_KIB

from crawlerd.sink import Batch, Delivery, SinkError, SinkReplaced, StorageFailed, SyncFailed, Totals
from crawlerd.sinks.sqlite import database, tallies, wal
from crawlerd.sinks.sqlite.sink import sqlite_sink

if TYPE_CHECKING:
    from crawlerd.sinks.deliveries import RowSink

Query = Callable[..., list[tuple[Any, ...]]]


def customers(*rows: tuple[str, dict[str, Any] | None], run: int = 1, fields: list[str] | None = None) -> Delivery:
    if fields is None:
        fields = list(dict.fromkeys(field for _, data in rows if data is not None for field in data))
    return Delivery("stripe", "acme", run, 0.0, 1, [batch_of("customers", rows, fields)])


def raw(*rows: tuple[str, str]) -> Delivery:
    pairs = [(key, None if data == "null" else data.encode()) for key, data in rows]
    return Delivery("stripe", "acme", 1, 0.0, 1, [batch_of("customers", pairs, ["n"])])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.db"


@pytest.fixture
def sink(path: Path) -> Iterator[RowSink]:
    sink = sqlite_sink(path)
    yield sink
    sink.close()


@pytest.fixture
def query(path: Path) -> Query:
    """Reads as another program would: through another SQLite, while the sink has the file open."""

    def run(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return db.execute(sql, values).fetchall()

    return run


def columns(query: Query, name: str = "stripe_customers_view") -> list[str]:
    return [row[0] for row in query("SELECT name FROM pragma_table_info(?)", name)]


def test_the_table_is_as_documented(sink: RowSink, query: Query) -> None:
    sink.write([customers(("cus_1", {"email": "a@example.com"}), run=7)], 1767225600.0625)
    assert query("SELECT name, type, pk FROM pragma_table_info('stripe_customers')") == [
        ("account", "TEXT", 1),
        ("id", "TEXT", 2),
        ("data", "TEXT", 0),
        ("imported_at", "TEXT", 0),
        ("run", "INTEGER", 0),
        ("deleted_at", "TEXT", 0),
        ("change", "TEXT", 0),
    ]
    assert query("SELECT * FROM stripe_customers") == [
        ("acme", "cus_1", '{"email":"a@example.com"}', "2026-01-01T00:00:00.062Z", 7, None, "new")
    ]
    assert query("SELECT unixepoch(imported_at) FROM stripe_customers") == [(1767225600,)]


def test_the_view_has_the_top_level_fields_as_sql_values(sink: RowSink, query: Query) -> None:
    data = {"email": "a ü", "n": -(2**63), "x": 1.5, "yes": True, "no": None, "nested": {"a": [1]}, "order": '\\"'}
    sink.write([customers(("a", data), ("b", {"email": "b"}))], 0.0)
    assert columns(query) == ["account", "id", *data, "imported_at", "run", "deleted_at"]
    assert query("SELECT email FROM stripe_customers_view") == [("a ü",), ("b",)]
    assert query("SELECT * FROM stripe_customers_view") == [
        ("acme", "a", "a ü", -(2**63), 1.5, 1, None, '{"a":[1]}', '\\"', "1970-01-01T00:00:00.000Z", 1, None),
        ("acme", "b", "b", None, None, None, None, None, None, "1970-01-01T00:00:00.000Z", 1, None),
    ]


def test_the_view_follows_new_fields_also_after_reopening(path: Path, query: Query) -> None:
    for data in ({"a": 1}, {"b": 2}, {"a": 3, "c": 3}):
        with closing(sqlite_sink(path)) as sink:
            sink.write([customers((str(data), data))], 0.0)
            sink.write([customers((str(data), {"later": 1, **data}))], 0.0)
    assert columns(query)[2:-3] == ["a", "later", "b", "c"]
    assert query("SELECT a, b, c, later FROM stripe_customers_view") == [
        (1, *2 * (None,), 1),
        (None, 2, None, 1),
        (3, None, 3, 1),
    ]


def test_a_failed_write_leaves_the_view_to_be_widened_by_the_next(sink: RowSink, query: Query) -> None:
    sink.write([customers(("a", {"a": 1}))], 0.0)
    wider = customers(("b", {"b": 2}))
    with pytest.raises(SinkError):
        sink.write([wider, Delivery("no name", "acme", 1, 0.0, 1, wider.batches)], 0.0)
    assert columns(query)[2:-3] == ["a"]
    sink.write([wider], 0.0)
    assert columns(query)[2:-3] == ["a", "b"]


def test_fields_named_like_other_columns_get_underscores(path: Path, query: Query) -> None:
    data = {"id": 1, "ID": 2, "id_": 3, "Email": 4, "email": 5, "data": 6, "Account": 7, "run": 8}
    with closing(sqlite_sink(path)) as sink:
        sink.write([customers(("key", data))], 0.0)
    with closing(sqlite_sink(path)) as sink:
        sink.write([customers(("key", {**data, "eMail": 9, "deleted_at": 10}))], 0.0)
    named = ["id_", "ID__", "id___", "Email", "email_", "data_", "Account_", "run_", "eMail__", "deleted_at_"]
    assert columns(query) == ["account", "id", *named, "imported_at", "run", "deleted_at"]
    assert query(f"SELECT id, {', '.join(named)}, deleted_at FROM stripe_customers_view") == [
        ("key", *range(1, 11), None)
    ]


ODD_NAMES = [
    "a b", "a.b", "1a", "ü", "日本", "'", "it's", "a') AS z, (SELECT 1) AS y --", "$", "$.n", "[0]", "{x}", "a]b",
    "select", "'$.evil'", "json_extract(data, '$.evil') END AS", "x" * 63,
]  # fmt: skip


def test_fields_of_any_name_have_columns_also_after_reopening(path: Path, query: Query) -> None:
    data = {name: at for at, name in enumerate(ODD_NAMES)}
    for more in ("n", "later on"):
        with closing(sqlite_sink(path)) as sink:
            sink.write([customers(("a", {**data, more: more}))], 0.0)
    assert columns(query) == ["account", "id", *data, "n", "later on", "imported_at", "run", "deleted_at"]
    for name, value in {**data, "later on": "later on", "n": None}.items():
        assert query(f'SELECT "{name}" FROM stripe_customers_view') == [(value,)], name


def test_names_that_no_json_path_can_say_have_no_columns(sink: RowSink, query: Query) -> None:
    odd = ["", "x\n", '"', "a\\b", "x" * 64, "a\x00"]
    sink.write([customers(("a", {**dict.fromkeys(odd, 1), "_ok9": 2}))], 0.0)
    assert columns(query) == ["account", "id", "_ok9", "imported_at", "run", "deleted_at"]
    assert msgspec.json.decode(query("SELECT data FROM stripe_customers")[0][0]).keys() >= set(odd)


def test_a_view_has_at_most_500_columns(sink: RowSink, query: Query) -> None:
    for start in range(0, 700, 70):
        sink.write([customers(("a", {f"f{n}": n for n in range(start, start + 70)}))], 0.0)
    assert len(columns(query)) == 500
    assert columns(query)[2:-3] == [f"f{n}" for n in range(495)]
    assert query("SELECT json_extract(data, '$.f699') FROM stripe_customers") == [(699,)]


@pytest.mark.parametrize(
    "data",
    [
        '{"n":1.10}',
        '{"n":1e999}',
        '{"n":-0.0}',
        '{"n":1E+2}',
        '{"n":123456789012345678901234567890}',
        '{"n":0.1234567890123456789012345}',
        '{"n":"\\u0000 \\ud83d\\ude00 \\/ \\b\\f\\n"}',
        '{"n":1,"n":2}',
        '{"n":"null"}',
        "{}",
    ],
)
def test_the_text_of_an_object_is_kept_exactly(sink: RowSink, query: Query, data: str) -> None:
    sink.write([raw(("a", data))], 0.0)
    assert query("SELECT data FROM stripe_customers") == [(data,)]
    assert len(query("SELECT * FROM stripe_customers_view")) == 1


def nested(levels: int) -> str:
    return '{"n":' * levels + '"],[}\\"{"' + "}" * levels


@pytest.mark.parametrize("levels", [1, 501, 1000])
def test_any_depth_is_kept_beside_its_neighbours(sink: RowSink, query: Query, levels: int) -> None:
    rows = [("before", '{"n":1.10}'), ('"],[\\', nested(levels)), ("gone", "null"), ("after", '{"n":2}')]
    for now in (0.0, 1.0):  # the second time nothing changes
        sink.write([raw(*rows)], now)
        assert query("SELECT id, CAST(data AS TEXT), deleted_at IS NULL FROM stripe_customers") == [
            (key, None if data == "null" else data, data != "null") for key, data in rows
        ]
        assert query("SELECT DISTINCT imported_at FROM stripe_customers") == [("1970-01-01T00:00:00.000Z",)]
    assert [n for (n,) in query("SELECT n FROM stripe_customers_view")][::3] == [1.1, 2]
    assert query("SELECT data FROM stripe_customers WHERE id = 'before'") == [('{"n":1.10}',)]


PAIRS = [Batch("customers", 1, [], []), Batch("customers", 1, ["a"], []), Batch("customers", 1, ["a", "b"], [b"{}"])]


@pytest.mark.parametrize("odd", PAIRS)
def test_rows_that_are_no_pairs_are_refused_whole(sink: RowSink, query: Query, odd: Batch) -> None:
    good = customers(("good", {"n": 1}))
    with pytest.raises(SinkError, match="customers"):
        sink.write([good, Delivery("stripe", "acme", 1, 0.0, 1, [odd])], 0.0)
    sink.write([good], 0.0)
    assert query("SELECT id FROM stripe_customers") == [("good",)]


def test_a_tombstone_keeps_the_last_data_and_the_first_time(sink: RowSink, query: Query) -> None:
    sink.write([customers(("known", {"n": 1}))], 1.0)
    sink.write([customers(("known", None), ("unknown", None))], 2.0)
    sink.write([customers(("known", None), ("unknown", None), run=2)], 3.0)
    at = "1970-01-01T00:00:0{}.000Z".format
    assert query("SELECT id, data, imported_at, run, deleted_at FROM stripe_customers") == [
        ("known", '{"n":1}', at(3), 2, at(2)),
        ("unknown", None, at(3), 2, at(2)),
    ]
    assert query("SELECT id, n FROM stripe_customers_view WHERE deleted_at IS NOT NULL") == [
        ("known", 1),
        ("unknown", None),
    ]
    sink.write([customers(("known", {"n": 1}), ("unknown", {"n": 2}), run=2)], 4.0)
    assert query("SELECT id, n, imported_at, deleted_at FROM stripe_customers_view") == [
        ("known", 1, at(4), None),
        ("unknown", 2, at(4), None),
    ]


def test_a_repeated_delivery_writes_nothing_at_all(sink: RowSink, path: Path, query: Query) -> None:
    deliveries = [customers(("a", {"n": 1}), ("b", None), ("c", {"n": 3}))]
    sink.write(deliveries, 1.0)
    before = query("SELECT * FROM stripe_customers"), wal_bytes(path)
    sink.write(deliveries, 2.0)
    assert (query("SELECT * FROM stripe_customers"), wal_bytes(path)) == before


@pytest.mark.parametrize(
    ("first", "second"), [(("a_b", "c"), ("a", "b_c")), (("a", "b"), ("a", "b_view")), (("a", "b_view"), ("a", "b"))]
)
def test_streams_never_share_a_table(
    sink: RowSink, first: tuple[str, str], second: tuple[str, str], query: Query
) -> None:
    with pytest.raises(SinkError, match="share"):
        sink.write(
            [Delivery(source, "acme", 1, 0.0, 1, [Batch(stream, 0, [], [])]) for source, stream in (first, second)],
            0,
        )
    assert query("SELECT name FROM sqlite_schema WHERE name NOT LIKE '%\\_crawlerd\\_%' ESCAPE '\\'") == []


def wal_bytes(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def test_the_wal_is_bounded(path: Path, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr(wal, "AHEAD_BYTES", 200_000)
    with closing(sqlite_sink(path)) as sink:
        for n in range(60):
            sink.write([customers((str(n), {"n": "x" * 50_000}))], 0.0)
            assert wal_bytes(path) < 600_000
        assert query("SELECT count(*) FROM stripe_customers") == [(60,)]


def test_most_of_the_wal_is_moved_beside_the_transactions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes its time over that holds none of them up."""
    monkeypatch.setattr(wal, "CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr(wal, "LITTLE_BYTES", 100_000)
    go_on, move = threading.Event(), wal.Wal._move
    monkeypatch.setattr(wal.Wal, "_move", lambda self: go_on.wait(60) and move(self))
    with closing(sqlite_sink(path)) as sink:
        for n in range(60):
            sink.write([customers((str(n), {"n": "x" * 50_000}))], 0.0)
        before = wal_bytes(path)
        assert before > 60 * 50_000 > path.stat().st_size
        go_on.set()
        until(lambda: path.stat().st_size > 60 * 50_000)

        numbers = itertools.count()

        def started_anew() -> bool:
            sink.write([customers((f"after {next(numbers)}", {}))], 0.0)
            return wal_bytes(path) < before

        until(started_anew)


@pytest.mark.parametrize("ahead", [0, 900_000])
def test_a_long_reader_stops_writing_before_the_wal_fills_the_disk(
    ahead: int, path: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr(wal, "LITTLE_BYTES", 50_000)
    monkeypatch.setattr(wal, "AHEAD_BYTES", ahead)
    monkeypatch.setattr(wal, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(wal, "WAIT_SECONDS", 0.001)
    with closing(sqlite_sink(path)) as sink:
        sink.write([customers(("first", {}))], 0.0)
        written = 1
        with closing(apsw.Connection(str(path))) as reader, reader:
            assert reader.execute("SELECT count(*) FROM stripe_customers").get == 1
            with pytest.raises(SinkError, match="end that program's transaction"):  # noqa: PT012 - some write of these
                for n in range(100):
                    sink.write([customers((str(n), {"n": "x" * 50_000}))], 0.0)
                    written += 1
            assert 1_000_000 <= wal_bytes(path) < 1_100_000
            with pytest.raises(SinkError):
                sink.write([customers(("late", {}))], 0.0)
            assert query("SELECT count(*) FROM stripe_customers") == [(written,)]
        for n in range(20):
            sink.write([customers((f"after {n}", {"n": "x" * 50_000}))], 0.0)
        assert query("SELECT count(*) FROM stripe_customers") == [(written + 20,)]
        assert wal_bytes(path) <= 400_000 + ahead


def test_closing_leaves_one_file(path: Path, query: Query) -> None:
    with closing(sqlite_sink(path)) as sink:
        sink.write([customers(("a", {}))], 0.0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert query("SELECT id FROM stripe_customers") == [("a",)]


def test_closing_empties_the_wal_also_while_others_have_the_file_open(path: Path) -> None:
    sink = sqlite_sink(path)
    with closing(apsw.Connection(str(path))) as other:
        sink.write([customers(("a", {}))], 0.0)
        assert other.execute("SELECT id FROM stripe_customers").get == "a"
        sink.close()
        with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as without_wal:
            assert without_wal.execute("SELECT id FROM stripe_customers").fetchall() == [("a",)]


@pytest.mark.parametrize("free_kib", [0, 16, 40, 100, 700])
def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_space(small_disk: Path, free_kib: int) -> None:
    other = small_disk / "other"
    path = small_disk / "warehouse.db"
    other.write_bytes(b"x" * (SMALL_DISK_KIB - free_kib) * 1024)
    written = []
    sink: RowSink | None = None
    with pytest.raises(StorageFailed, match=r"warehouse\.db is full") as failure:  # noqa: PT012 - whichever write it is
        sink = sqlite_sink(path)
        for n in range(100):
            sink.write([customers((f"{n}", {"n": "x" * 10_000})), customers((f"{n}b", {"n": "x" * 10_000}))], 0.0)
            written += [f"{n}", f"{n}b"]
    assert failure.value.full
    other.unlink()
    with closing(sink or sqlite_sink(path)) as sink:
        sink.write([customers(("after", {}))], 0.0)
    with closing(apsw.Connection(str(path))) as db:
        assert {row[0] for row in db.execute("SELECT id FROM stripe_customers")} == {*written, "after"}
        assert db.pragma("integrity_check") == "ok"


def test_a_disk_that_does_not_write_is_not_called_full(sink: RowSink, query: Query) -> None:
    sink.write([customers(("a", {}))], 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFailed, match=r"warehouse\.db fails .*File too large") as failure:
            sink.write([customers(("b", {})), customers(("c", {"n": "x" * 300_000}))], 0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not failure.value.full
    sink.write([customers(("d", {}))], 0.0)
    assert query("SELECT id FROM stripe_customers") == [("a",), ("d",)]


class Disk(apsw.VFS):
    """The real file system, counting fsyncs, which can be made to fail."""

    def __init__(self) -> None:
        super().__init__("counted", "unix", makedefault=True)
        self.syncs = 0
        self.broken = False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self.disk = disk

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        if self.disk.broken:
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        self.disk.syncs += 1
        super().xSync(flags)


@contextmanager
def watched_disk() -> Iterator[Disk]:
    disk = Disk()
    try:
        yield disk
    finally:
        disk.unregister()


def test_a_write_is_one_fsync_and_a_failing_one_is_not_called_full(path: Path, query: Query) -> None:
    with watched_disk() as disk, closing(sqlite_sink(path)) as sink:
        sink.write([customers(("a", {}))], 0.0)
        disk.syncs = 0
        sink.write([customers(("b", {})), customers(("c", {}))], 0.0)
        assert disk.syncs == 1
        disk.broken = True
        with pytest.raises(StorageFailed, match="fails") as failure:
            sink.write([customers(("d", {}))], 0.0)
        assert not failure.value.full
        disk.broken = False
        with pytest.raises(SyncFailed, match="fails"):  # nothing that follows may look like success
            sink.write([customers(("e", {}))], 0.0)
    with closing(sqlite_sink(path)) as sink:
        sink.write([customers(("e", {}))], 0.0)
        assert {*query("SELECT id FROM stripe_customers")} >= {("a",), ("b",), ("c",), ("e",)}


def test_another_writer_is_waited_for(path: Path, query: Query) -> None:
    for n in range(2):  # the second sink finds its table made, so it reads before it writes
        with closing(sqlite_sink(path)) as sink, closing(apsw.Connection(str(path))) as other:
            other.execute(f"BEGIN IMMEDIATE; CREATE TABLE theirs_{n} (x)")
            end = threading.Timer(0.05, lambda other=other: other.execute("COMMIT"))
            end.start()
            sink.write([customers((str(n), {}))], 0.0)
            end.join()
    assert query("SELECT id FROM stripe_customers") == [("0",), ("1",)]


def test_another_writer_that_does_not_end_is_named(path: Path, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    with closing(sqlite_sink(path)) as sink, closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SinkError, match=r"warehouse\.db is locked") as failure:
            sink.write([customers(("a", {}))], 0.0)
        assert not isinstance(failure.value, StorageFailed)
        other.execute("COMMIT")
        sink.write([customers(("b", {}))], 0.0)
        assert query("SELECT id FROM stripe_customers") == [("b",)]


def test_files_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database" * 1000)
    for path, reason in (
        (text, "no intact database"),
        (tmp_path / "none" / "x.db", "no directory"),
        (tmp_path, "name a file"),
    ):
        with pytest.raises(SinkError, match=f"{path}.*{reason}"):
            sqlite_sink(path)
    assert text.read_text() == "not a database" * 1000


def test_damage_is_named(path: Path) -> None:
    with closing(sqlite_sink(path)) as sink:
        sink.write([customers(*((str(n), {"n": "x" * 1000}) for n in range(100)))], 0.0)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(SinkError, match="no intact database"), closing(sqlite_sink(path)) as sink:
        sink.write([customers(("a", {}))], 0.0)


@pytest.mark.parametrize("dropped", ["TABLE stripe_customers", "VIEW stripe_customers_view"])
def test_what_a_user_drops_is_made_again(path: Path, sink: RowSink, query: Query, dropped: str) -> None:
    sink.write([customers(("a", {"n": 1}))], 0.0)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(f"DROP {dropped}")
    if dropped.startswith("TABLE"):
        with pytest.raises(SinkError, match="no such table"):
            sink.write([customers(("b", {"n": 2, "m": 2}))], 0.0)
        with pytest.raises(SinkReplaced):
            sink.write([customers(("b", {"n": 2, "m": 2}))], 0.0)
        with closing(sqlite_sink(path)) as again:
            again.write([customers(("b", {"n": 2, "m": 2}))], 0.0)
    else:
        sink.write([customers(("b", {"n": 2, "m": 2}))], 0.0)
    assert query("SELECT n, m FROM stripe_customers_view")[-1] == (2, 2)


def test_a_foreign_table_of_the_same_name_is_left_alone(path: Path, query: Query) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE stripe_customers (mine)")
    with closing(sqlite_sink(path)) as sink, pytest.raises(SinkError, match="stripe_customers has no column"):
        sink.write([customers(("a", {}))], 0.0)
    assert query("SELECT * FROM stripe_customers") == []


def test_a_database_of_before_is_upgraded_when_its_stream_is_written(path: Path, query: Query) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "CREATE TABLE stripe_customers (account TEXT NOT NULL, id TEXT NOT NULL, data TEXT, "
            "imported_at TEXT NOT NULL, run INTEGER NOT NULL, deleted_at TEXT, PRIMARY KEY (account, id));"
            "CREATE VIEW stripe_customers_view AS SELECT account, id, json_extract(data, '$.n') AS n, imported_at, "
            "run, deleted_at FROM stripe_customers;"
            "INSERT INTO stripe_customers VALUES ('acme', 'a', '{\"n\":1}', '1970-01-01T00:00:00.000Z', 1, NULL),"
            "('acme', 'b', '{\"n\":1}', '1970-01-01T00:00:00.000Z', 1, NULL),"
            "('acme', 'c', '{\"n\":1}', '1970-01-01T00:00:00.000Z', 1, '1970-01-01T00:00:00.000Z')"
        )
    with closing(sqlite_sink(path)) as sink:
        totals = sink.write([customers(("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 1}), run=2)], 1.0)
        assert totals == {(2, "customers"): Totals(seen=3, new=1, changed=1, unchanged=1)}
    assert query("SELECT id, n FROM stripe_customers_view") == [("a", 1), ("b", 2), ("c", 1)]
    assert query("SELECT change FROM stripe_customers") == [("unchanged",), ("changed",), ("new",)]


def test_the_totals_and_the_changes_can_be_read(sink: RowSink, query: Query) -> None:
    sink.write([customers(("a", {"n": 1}), ("b", {"n": 1}))], 1.0)
    sink.write([customers(("a", {"n": 2}), ("b", None), ("c", None), run=2)], 2.0)
    assert query("SELECT * FROM _crawlerd_tally") == [(1, "customers", 2, 0, 0, 0), (2, "customers", 0, 1, 0, 1)]
    assert query("SELECT id, change FROM stripe_customers") == [("a", "changed"), ("b", "tombstoned"), ("c", None)]


def test_another_programs_changes_are_not_counted(sink: RowSink, path: Path, query: Query) -> None:
    sink.write([customers(("a", {"n": 1}), ("b", {"n": 1}))], 1.0)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("DELETE FROM stripe_customers WHERE id = 'a'; UPDATE stripe_customers SET change = NULL")
    assert query("SELECT * FROM _crawlerd_tally") == [(1, "customers", 2, 0, 0, 0)]


CHECK = """
import sys
from pathlib import Path
from crawlerd.sinks.sqlite.check import check
print(check(Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everything")
@pytest.mark.parametrize("rows", [1, 2])
def test_who_may_only_read_a_database_may_check_it(tmp_path: Path, rows: int) -> None:
    folder = tmp_path / "a folder?#%"
    folder.mkdir()
    path = folder / "sink.db"
    with closing(sqlite_sink(path)) as sink:
        sink.write([customers(("a", {"n": 1}), ("b", {"n": 2}))], 1.0)
    if rows == 1:
        with closing(apsw.Connection(str(path))) as db:
            db.execute("DELETE FROM stripe_customers WHERE id = 'b'")
    path.chmod(0o444)
    folder.chmod(0o555)
    command = [sys.executable, "-c", CHECK, str(path)]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override", *command]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert found.returncode == 0, found.stderr
    lost = ["customers: 1 records are there, but the runs have left 2"]
    assert found.stdout == f"{lost if rows == 1 else []}\n"
    assert sorted(each.name for each in folder.iterdir()) == ["sink.db"]


def test_of_many_small_runs_few_are_remembered_and_all_are_counted(
    sink: RowSink, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "KNOWN_RUNS", 5)
    for run in range(1, 31):
        written = sink.write([customers(("a", {"run": run}), run=run)], 1.0)
        assert written == {(run, "customers"): Totals(seen=1, new=int(run == 1), changed=int(run > 1))}
    kept = sink._rows._tallies  # type: ignore[attr-defined]
    assert len(kept._runs) <= 5
    assert len(kept._streams) <= 5
    assert query("SELECT count(*), sum(new), sum(changed) FROM _crawlerd_tally") == [(30, 1, 29)]


def test_rows_below_a_parent_are_found_by_their_own_index(sink: RowSink) -> None:
    """By that of keys, each deletion would look at all rows of the account."""
    rows = batch_of("customers", [(f"k{number}", {"n": 1}) for number in range(10)])
    sink.write([Delivery("stripe", "acme", 1, 1.0, 1, [msgspec.structs.replace(rows, parents=["p"] * 10)])], 2.0)
    connection = sink._rows.database.connection  # type: ignore[attr-defined] # of SQLite
    asked: list[tuple[str, Any]] = []

    def trace(cursor: Any, statement: str, bindings: Any) -> bool:
        asked.append((statement, bindings))
        return True

    connection.exec_trace = trace
    last = Delivery("stripe", "acme", 2, 3.0, 1, [], orphans=[("customers", "p")])
    assert len(sink.missing(last, "customers", "", "k3", "p")) == 6
    sink.write([last], 4.0)
    connection.exec_trace = None
    of_parents = [(statement, bindings) for statement, bindings in asked if "parent = :parent" in statement]
    assert len(of_parents) == 2
    for statement, bindings in of_parents:
        plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", bindings)]
        assert "USING INDEX _crawlerd_below_stripe_customers (account=? AND parent=?)" in plan[0]


def test_two_sinks_of_one_file_know_when_its_log_begins_again(path: Path) -> None:
    one, other = sqlite_sink(path), sqlite_sink(path)
    one.write([customers(("a", {"n": 1}))], 1.0)
    other.write([customers(("b", {"n": 1}), run=2)], 1.0)
    one.idle()  # it moves the log, which is the other's as well, and makes its file empty
    assert other.intact()
    other.write([customers(("c", {"n": 1}), run=2)], 1.0)
    one.close()
    other.close()
