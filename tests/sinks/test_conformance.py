"""What every sink promises. A new sink joins SINKS and is held to all of it."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import pytest

from crawlerd.sink import Batch, Delivery, Sink, SinkError
from crawlerd.sinks.sqlite import SqliteSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Rows = list[tuple[str, Any]]
Contents = dict[tuple[str, str, str], Any]  # (<source>_<stream>, account, key) -> the object, None for a tombstone


@dataclass(frozen=True)
class Kind:
    """How to open a sink in an empty or used directory, and how to read it back without it."""

    open: Callable[[Path], Sink]
    read: Callable[[Path], Contents]


def read_sqlite(directory: Path) -> Contents:
    contents: Contents = {}
    with closing(apsw.Connection(str(directory / "sink.db"), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        for (table,) in database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
        ).fetchall():
            for account, key, data, deleted_at in database.execute(
                f"SELECT account, id, data, deleted_at FROM {table}"
            ):
                contents[str(table), str(account), str(key)] = None if deleted_at else msgspec.json.decode(str(data))
    return contents


SINKS = {"sqlite": Kind(lambda directory: SqliteSink(directory / "sink.db"), read_sqlite)}


def batch(stream: str, rows: Rows) -> Batch:
    fields = dict.fromkeys(field for _, data in rows if data is not None for field in data)
    return Batch(stream, len(rows), msgspec.json.encode(rows).decode(), list(fields))


def delivery(
    rows: Rows, *, source: str = "stripe", stream: str = "customers", account: str = "acme", run: int = 1
) -> Delivery:
    return Delivery(source, account, run, 0.0, 1, [batch(stream, rows)])


@pytest.fixture(params=SINKS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return SINKS[request.param]


@pytest.fixture
def sink(kind: Kind, tmp_path: Path) -> Iterator[Sink]:
    sink = kind.open(tmp_path)
    yield sink
    sink.close()


@pytest.fixture
def contents(kind: Kind, tmp_path: Path) -> Callable[[], Contents]:
    return lambda: kind.read(tmp_path)


def test_a_write_is_readable_by_others_at_once(sink: Sink, contents: Callable[[], Contents]) -> None:
    sink.write([delivery([("cus_1", {"name": "Ada"}), ("cus_2", {"name": "Bob"})])], 1.0)
    assert contents() == {
        ("stripe_customers", "acme", "cus_1"): {"name": "Ada"},
        ("stripe_customers", "acme", "cus_2"): {"name": "Bob"},
    }


def test_the_same_delivery_twice_changes_nothing(sink: Sink, contents: Callable[[], Contents]) -> None:
    twice = [delivery([("a", {"n": 1}), ("b", None), ("c", {"n": 3})])]
    sink.write(twice, 1.0)
    before = contents()
    sink.write(twice, 2.0)
    sink.write(twice + twice, 3.0)
    assert (
        contents()
        == before
        == dict.fromkeys(before)
        | {
            ("stripe_customers", "acme", "a"): {"n": 1},
            ("stripe_customers", "acme", "c"): {"n": 3},
        }
    )


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
    assert contents() == {key: None, ("stripe_customers", "acme", "never_seen"): None}
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
    sink.write([Delivery("stripe", "acme", 1, 0.0, 1, []), delivery([])], 1.0)
    assert contents() == {}


@pytest.mark.parametrize(
    "value",
    [
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
    ],
    ids=lambda value: repr(value)[:20],
)
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
    refused = delivery([], source=name) if part == "source" else delivery([], stream=name)
    with pytest.raises(SinkError):
        sink.write([good, refused, good], 1.0)
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
            for key, data in msgspec.json.decode(each.batches[0].rows):
                contents["stripe_customers", each.account, key] = data
    return contents


@pytest.mark.parametrize("name", SINKS)
def test_killed_at_any_instant_it_holds_whole_writes_and_redelivery_completes_them(name: str, tmp_path: Path) -> None:
    moments = random.Random(name)
    done = 0  # writes that the sink has acknowledged, over all its lives
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, __file__, name, str(tmp_path), str(done)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(moments.randrange(1, 150)):
                done = int(writer.stdout.readline())
            for _ in range(moments.randrange(20_000)):
                pass  # lets it come to some point of its next write
            writer.kill()
            done = [done, *map(int, writer.stdout.read().split())][-1]
        found = SINKS[name].read(tmp_path)
        assert found in (after_writes(done), after_writes(done + 1))
    sink = SINKS[name].open(tmp_path)
    for n in range(max(0, done - 3), done + 3):
        sink.write(nth_write(n), 1.0)
    sink.close()
    assert SINKS[name].read(tmp_path) == after_writes(done + 3)


def write_until_killed(name: str, directory: Path, start: int) -> None:
    sink = SINKS[name].open(directory)
    for n in itertools.count(start):
        sink.write(nth_write(n), 1.0)
        sys.stdout.write(f"{n + 1}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    write_until_killed(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
