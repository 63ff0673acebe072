"""The stdout sink alone: what it writes, and that what could not be written goes first the next time."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.sink_batches import batch_of
from test_conformance import VALUES, delivery

from crawlerd.core.errors import ReaderGone
from crawlerd.sink import SinkError, StorageFailed, Totals
from crawlerd.sinks.stdout import StdoutSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def lines(fd: int) -> list[Any]:
    size = os.fstat(fd).st_size
    return [json.loads(line) for line in os.pread(fd, size, 0).splitlines()]


def test_a_delivery_that_comes_again_writes_nothing_again(tmp_path: Path, out: int) -> None:
    sink = StdoutSink(tmp_path / "sink", out)
    first = [delivery([("a", {"n": 1}), ("b", {"n": 2})])]
    totals = sink.write(first, 1.0)
    assert sink.write(first, 2.0) == totals == {(1, "customers"): Totals(seen=2, new=2)}
    sink.write([delivery([("a", {"n": 3}), ("b", None), ("never", None)])], 3.0)
    assert [(each["id"], each["data"]) for each in lines(out)] == [
        ("a", {"n": 1}),
        ("b", {"n": 2}),
        ("a", {"n": 3}),
        ("b", None),
    ]
    sink.close()
    assert not (tmp_path / "sink").exists()


def test_what_lies_below_a_parent_that_is_gone_is_told_once(tmp_path: Path, out: int) -> None:
    sink = StdoutSink(tmp_path / "sink", out)
    sink.write([delivery([("a", {}), ("b", {})], parent="p"), delivery([("c", {})], parent="q")], 1.5)
    assert sink.missing(delivery([], run=2), "customers", "", "a", "p") == ["b"]
    last = [delivery([("b", {})], run=2, parent="q"), delivery([], run=2, orphans=["p"])]
    totals = sink.write(last, 2.5)
    assert sink.write(last, 2.5) == totals == {(2, "customers"): Totals(seen=1, unchanged=1, tombstoned=1)}
    assert [(each["id"], each["data"]) for each in lines(out)] == [("a", {}), ("b", {}), ("c", {}), ("a", None)]
    sink.close()


def test_each_opening_is_another_sink_that_has_nothing(tmp_path: Path, out: int) -> None:
    found = []
    for _ in range(2):
        sink = StdoutSink(tmp_path / "sink", out)
        found.append(sink.state("frontier"))
        sink.write([delivery([("a", {"n": 1})])], 1.0)
        sink._sink.close()  # as good as killed: its files are left
    first, second = found
    assert first.fresh
    assert second.fresh
    assert first.forgets
    assert first.identity != second.identity
    assert [each["id"] for each in lines(out)] == ["a", "a"]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_come_back_as_they_went(value: Any, tmp_path: Path, out: int) -> None:
    sink = StdoutSink(tmp_path / "sink", out)
    sink.write([delivery([("a", {"value": value})])], 1.0)
    sink.close()
    assert [each["data"] for each in lines(out)] == [json.loads(batch_of("x", [("a", {"value": value})]).data[0])]


def test_what_could_not_be_written_goes_first_the_next_time(tmp_path: Path, out: int) -> None:
    """The engine repeats the same delivery, which is no news then."""
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = StdoutSink(tmp_path / "sink", fd)
    with pytest.raises(StorageFailed, match="stdout cannot be written"):
        sink.write([delivery([("a", {"n": 1})])], 1.0)
    os.dup2(out, fd)
    sink.write([delivery([("a", {"n": 1})]), delivery([("b", {"n": 2})])], 2.0)
    assert [each["id"] for each in lines(out)] == ["a", "b"]
    sink.close()
    os.close(fd)


def test_a_reader_that_is_slow_gets_all_and_one_that_is_gone_is_told(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    sink = StdoutSink(tmp_path / "sink", writing)
    got: list[bytes] = []

    def read() -> None:
        while sum(map(len, got)) < 3_000_000 and (data := os.read(reading, 1000)):
            got.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    sink.write([delivery([(str(number), {"text": "x" * 10_000}) for number in range(300)])], 1.0)
    reader.join()
    assert [int(json.loads(line)["id"]) for line in b"".join(got).splitlines()[:290]] == list(range(290))
    os.close(reading)
    with pytest.raises(ReaderGone):
        sink.write([], 2.0)
    sink.close()
    os.close(writing)


def test_a_wait_for_a_reader_can_be_ended_and_loses_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    sink = StdoutSink(tmp_path / "sink", writing)
    rows = [(str(number), {"text": "x" * 10_000}) for number in range(30)]
    sink.release()
    with pytest.raises(SinkError, match="reads nothing"):
        sink.write([delivery(rows)], 1.0)
    got = b""
    while got.count(b"\n") < 30:
        got += os.read(reading, 1 << 20)
        try:
            sink.write([delivery(rows)], 2.0)
        except SinkError:
            continue
    assert [json.loads(line)["id"] for line in got.splitlines()] == [key for key, _ in rows]
    sink.close()
    os.close(reading)
    os.close(writing)
