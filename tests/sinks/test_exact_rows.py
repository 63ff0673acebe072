"""Any JSON object, from a handler to each sink: it comes out as it was written, and whitespace is no change."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.json_texts import exactly, json_objects, json_texts

from crawlerd.core.jsontext import compact
from crawlerd.core.listing import Objects
from crawlerd.engine.batches import StreamRows
from crawlerd.sink import Delivery, Totals
from crawlerd.sinks.jsonl import JsonlSink
from crawlerd.sinks.persist_queue import queue_sink
from crawlerd.sinks.sqlite.sink import sqlite_sink
from crawlerd.source import Records

KINDS: dict[str, Any] = {
    "sqlite": lambda path: sqlite_sink(path / "out.db"),
    "jsonl": lambda path: JsonlSink(path, rotate_bytes=1, rotate_seconds=60.0, compress=False),
    "persist-queue": queue_sink,
}
DEEP = b'{"n":' + b"[" * 999 + b"]" * 999 + b"}"


def delivery(texts: list[bytes], run: int) -> Delivery:
    rows = StreamRows()
    rows.add_all(Records("items", [f"o{n}" for n in range(len(texts))], Objects.of(texts, "items")))
    return Delivery("shop", "acme", run, float(run), run, [rows.batch("items", [])])


def rows_of(path: Path, database: str, query: str) -> list[Any]:
    with closing(apsw.Connection(str(path / database))) as connection:
        return [row[0] for row in connection.execute(query)]


def held(kind: str, path: Path) -> list[bytes]:
    """The texts that the sink has, in the order in which they were written."""
    if kind == "sqlite":
        return [str(data).encode() for data in rows_of(path, "out.db", "SELECT data FROM shop_items ORDER BY rowid")]
    if kind == "jsonl":
        lines = [line for file in sorted(path.glob("*.jsonl")) for line in file.read_bytes().split(b"\n")[:-1]]
    else:
        lines = [bytes(data) for data in rows_of(path, "data.db", "SELECT data FROM ack_queue_default ORDER BY _id")]
    return [line.partition(b',"data":')[2][:-1] for line in lines]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(st.lists(json_objects(), min_size=1, max_size=3), st.data())
def test_an_object_comes_out_as_it_was_written(kind: str, objects: list[Any], data: st.DataObject) -> None:
    plain = [data.draw(json_texts(each, spaced=False)) for each in objects]
    spaced = [b" \n" + text.replace(b"{", b"{\t", 1) if text != b"{}" else b"{ }" for text in plain]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with closing(KINDS[kind](path)) as sink:
            first = sink.write([delivery(spaced, 1)], 1.0)
            assert first == {(1, "items"): Totals(seen=len(objects), new=len(objects))}
            assert sink.write([delivery(plain, 2)], 2.0) == {
                (2, "items"): Totals(seen=len(objects), unchanged=len(objects))
            }
        texts = held(kind, path)
        assert texts == [compact(text) for text in plain]
        assert list(map(exactly, texts)) == list(map(exactly, plain))


@pytest.mark.parametrize("kind", KINDS)
def test_the_deepest_and_the_widest_come_out_as_they_were_written(kind: str, tmp_path: Path) -> None:
    wide = b'{"n":[' + b",".join([b"{}"] * 5000) + b'],"s":"' + b"[" * 5000 + b'"}'
    with closing(KINDS[kind](tmp_path)) as sink:
        sink.write([delivery([DEEP, wide], 1)], 1.0)
    deep, whole = held(kind, tmp_path)
    assert whole == wide
    assert deep == (DEEP if kind == "sqlite" else b'"' + DEEP.replace(b'"', b'\\"') + b'"')
    if kind == "sqlite":
        assert rows_of(tmp_path, "out.db", "SELECT json_valid(data) FROM shop_items") == [1, 1]
        assert rows_of(tmp_path, "out.db", "SELECT json_array_length(n) FROM shop_items_view WHERE id = 'o1'") == [5000]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 49, 100, 101, 999, 1000, 1001, 2500])
def test_a_page_of_any_size_is_written_whole_and_in_order(count: int, tmp_path: Path) -> None:
    texts = [b'{"n":%d}' % number for number in range(count)]
    with closing(sqlite_sink(tmp_path / "out.db")) as sink:
        sink.write([delivery(texts, 1)], 1.0)
    assert held("sqlite", tmp_path) == texts
