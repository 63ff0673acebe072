"""The first run over a sink that an earlier version wrote, which did not keep the API's spelling: what differs only in
that is unchanged, and from then on the sink has the API's own text."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import pytest
from support.sink_batches import batch_of

from crawlerd.sink import Delivery, Totals
from crawlerd.sinks.jsonl import JsonlSink
from crawlerd.sinks.persist_queue import queue_sink
from crawlerd.sinks.sqlite.sink import sqlite_sink

if TYPE_CHECKING:
    from pathlib import Path


KINDS = {
    "sqlite": lambda path: sqlite_sink(path / "out.db"),
    "jsonl": lambda path: JsonlSink(path, rotate_bytes=1, rotate_seconds=60.0, compress=False),
    "persist-queue": queue_sink,
}
FILES = {"sqlite": "out.db", "jsonl": ".crawlerd.db", "persist-queue": "data.db"}
SENT = [
    ("number", b'{"n":955031734.1681486901,"m":1e5,"x":1.0,"y":-0}'),
    ("text", b'{"n":"Zo\\u00eb \\/ \\ud83d\\ude00"}'),
    ("twice", b'{"n":1,"n":2}'),
    ("plain", b'{"n":1}'),
]


def delivery(*rows: tuple[str, Any], run: int) -> Delivery:
    return Delivery("shop", "acme", run, float(run), run, [batch_of("items", rows, ["n"])])


def older(kind: str, path: Path, rows: list[tuple[str, bytes]]) -> None:
    """A sink as the earlier version left it."""
    with closing(KINDS[kind](path)) as sink:
        sink.write([delivery(*rows, run=1)], 1.0)
    with closing(apsw.Connection(str(next(path.glob(FILES[kind]))))) as database:
        database.execute("DROP TABLE _crawlerd_respelled")
        for key, text in rows:
            data = msgspec.json.encode(msgspec.json.decode(text)).decode()
            if kind != "sqlite":
                data = f'"{hashlib.blake2b(data.encode(), digest_size=16).hexdigest()}"'
            database.execute("UPDATE shop_items SET data = ? WHERE id = ?", (data, key))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def items(kind: str, path: Path) -> dict[str, str]:
    with closing(apsw.Connection(str(next(path.glob(FILES[kind]))))) as database:
        return dict(database.execute("SELECT id, data FROM shop_items").fetchall())


def put(kind: str, path: Path) -> int:
    """Objects that were handed on so far."""
    if kind == "jsonl":
        return sum(len(each.read_bytes().splitlines()) for each in path.glob("*.jsonl"))
    if kind == "sqlite":
        return 0
    with closing(apsw.Connection(str(path / "data.db"))) as database:
        return int(database.execute("SELECT count(*) FROM ack_queue_default").get)


def test_nothing_is_changed_for_its_spelling_alone(kind: str, tmp_path: Path) -> None:
    older(kind, tmp_path, SENT)
    before = put(kind, tmp_path)
    with closing(KINDS[kind](tmp_path)) as sink:
        again = [*SENT[:-1], ("plain", b'{"n":3}'), ("new", b'{"n":4}')]
        assert sink.write([delivery(*again, run=2)], 2.0) == {
            (2, "items"): Totals(seen=5, new=1, changed=1, unchanged=3)
        }
        assert sink.write([delivery(*again, run=3)], 3.0) == {(3, "items"): Totals(seen=5, unchanged=5)}
    assert put(kind, tmp_path) == (before + 2 if before else 0)
    if kind == "sqlite":
        assert items(kind, tmp_path) == {key: text.decode() for key, text in again}


def test_what_a_double_does_not_see_is_a_change_once_the_text_is_the_apis(kind: str, tmp_path: Path) -> None:
    older(kind, tmp_path, SENT)
    one, other = b'{"n":955031734.1681486901}', b'{"n":955031734.1681486902}'
    with closing(KINDS[kind](tmp_path)) as sink:
        for run, (text, found) in enumerate([(one, "new"), (other, "changed"), (one, "changed")], start=2):
            assert sink.write([delivery(("x", text), run=run)], float(run)) == {
                (run, "items"): Totals(seen=1, **{found: 1})
            }


def test_a_run_that_the_earlier_version_began_goes_on(kind: str, tmp_path: Path) -> None:
    older(kind, tmp_path, SENT)
    with closing(KINDS[kind](tmp_path)) as sink:
        assert sink.write([delivery(*SENT, run=1)], 1.0) == {(1, "items"): Totals(seen=4, new=4)}
        assert sink.write([delivery(*SENT, run=2)], 2.0) == {(2, "items"): Totals(seen=4, unchanged=4)}
