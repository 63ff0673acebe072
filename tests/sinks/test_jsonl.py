"""The JSONL sink: when lines become a file, what is in it, and what a crash or a full disk leaves behind."""

from __future__ import annotations

import gzip
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.sink_batches import batch_of

from crawlerd.sink import Delivery, SinkError
from crawlerd.sinks.jsonl import JsonlSink


def make(path: Path, *, rotate_bytes: int = 1 << 20, rotate_seconds: float = 60.0, compress: bool = False) -> JsonlSink:
    return JsonlSink(path, rotate_bytes=rotate_bytes, rotate_seconds=rotate_seconds, compress=compress)


def customers(*keys: str, size: int = 1, run: int = 1) -> Delivery:
    return Delivery("stripe", "acme", run, 0.0, 1, [batch_of("customers", [(key, {"n": "x" * size}) for key in keys])])


def files(path: Path) -> dict[str, list[str]]:
    """The keys in each file, by its name."""
    return {
        file.name: [msgspec.json.decode(line)["id"] for line in file.read_bytes().splitlines()]
        for file in sorted(path.glob("*.jsonl"))
    }


def test_a_line_is_as_documented(tmp_path: Path) -> None:
    with closing(make(tmp_path / "out")) as sink:
        sink.write([customers("cus_1", run=7)], 1767225600.0625)
    assert (tmp_path / "out/stripe_customers-000000000001.jsonl").read_bytes() == (
        b'{"source":"stripe","stream":"customers","account":"acme","id":"cus_1","run":7,'
        b'"imported_at":"2026-01-01T00:00:00.062Z","data":{"n":"x"}}\n'
    )


def test_what_is_nested_too_deep_for_usual_readers_is_text(tmp_path: Path) -> None:
    shallow, deep = ('{"n":' + "[" * levels + "]" * levels + "}" for levels in (499, 500))
    rows = [("a", shallow.encode()), ("b", deep.encode()), ("c", {"n": "[" * 1000})]
    with closing(make(tmp_path)) as sink:
        sink.write([Delivery("stripe", "acme", 1, 0.0, 1, [batch_of("customers", rows, ["n"])])], 1.0)
    (file,) = tmp_path.glob("*.jsonl")
    data: list[Any] = [msgspec.json.decode(line)["data"] for line in file.read_bytes().splitlines()]
    assert data == [msgspec.json.decode(shallow), deep, {"n": "[" * 1000}]


def test_lines_become_a_file_by_size_by_age_and_at_the_end_of_a_run(tmp_path: Path) -> None:
    with closing(make(tmp_path, rotate_bytes=3_000, rotate_seconds=10.0)) as sink:
        sink.write([customers("a", "b", size=1_000)], 0.0)
        assert files(tmp_path) == {}
        sink.write([customers("c", size=1_000)], 1.0)
        sink.write([customers("d")], 2.0)
        assert list(files(tmp_path).values()) == [["a", "b", "c"]]
        sink.write([customers("e")], 11.9)
        assert len(files(tmp_path)) == 1
        sink.write([customers("f")], 12.0)
        assert list(files(tmp_path).values()) == [["a", "b", "c"], ["d", "e"]]
        sink.ended(1)
        assert list(files(tmp_path).values()) == [["a", "b", "c"], ["d", "e"], ["f"]]
        sink.ended(1)
        sink.write([customers("g")], 13.0)
    assert list(files(tmp_path).values())[3:] == [["g"]]


def test_what_a_dead_process_left_becomes_files_at_the_next_start(tmp_path: Path) -> None:
    make(tmp_path).write([customers("a", "b")], 0.0)  # never closed
    (tmp_path / ".stripe_customers-000000000001.part").write_text('{"sou')
    make(tmp_path)
    assert files(tmp_path) == {"stripe_customers-000000000001.jsonl": ["a", "b"]}
    assert list(tmp_path.glob(".*.part")) == []


@pytest.mark.parametrize("compress", [False, True])
def test_a_crash_between_the_file_and_its_note_makes_the_same_file_again(
    compress: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(fd: int) -> None:
        if list(tmp_path.glob("*.jsonl*")):  # the directory, after the rename
            raise KeyboardInterrupt
        real(fd)

    real = os.fsync
    sink = make(tmp_path, compress=compress)
    sink.write([customers("a", "b")], 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            sink.ended(1)
    (file,) = tmp_path.glob("*.jsonl*")
    content = file.read_bytes()
    again = make(tmp_path, compress=compress)
    assert list(tmp_path.glob("*.jsonl*")) == [file]
    assert file.read_bytes() == content
    again.write([customers("a", "b", "c")], 1.0)
    again.close()
    lines = content if not compress else gzip.decompress(content)
    assert lines.count(b"\n") == 2
    assert len(list(tmp_path.glob("*.jsonl*"))) == 2


def test_files_that_were_taken_away_stay_away(tmp_path: Path) -> None:
    with closing(make(tmp_path)) as sink:
        sink.write([customers("a")], 0.0)
    for file in tmp_path.glob("*.jsonl"):
        file.unlink()
    with closing(make(tmp_path)) as sink:
        sink.write([customers("a", "b")], 1.0)
    assert files(tmp_path) == {"stripe_customers-000000000002.jsonl": ["b"]}


def test_a_file_that_cannot_be_written_is_an_error_and_its_lines_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    sink = make(tmp_path, rotate_bytes=1)
    sink.write([customers("a")], 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(SinkError, match="is full"):
            sink.write([customers("b")], 1.0)
        sink.ended(1)
    assert files(tmp_path) == {}
    sink.write([customers("b")], 2.0)
    sink.close()
    assert list(files(tmp_path).values()) == [["a"], ["b"]]
