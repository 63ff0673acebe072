"""Whole sinks, in a backup."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from crawlerd.core.configuration import Receiver, SinkSpec
from crawlerd.sink import SinkError
from crawlerd.sinks import open_sink
from crawlerd.sinks.jsonl import JsonlSink, published
from crawlerd.sinks.saving import DATABASE, check_saved, place, save
from crawlerd.sinks.sqlite.copying import copy

if TYPE_CHECKING:
    from pathlib import Path


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(path))) as database:
        return list(database.execute(statement))


def test_a_batch_that_was_handed_out_after_the_frontier_was_copied_is_handed_out_again(tmp_path: Path) -> None:
    """Its task is in no frontier: it was to come with a commit that the copy does not have."""
    receiver = Receiver(account="b", base_url="http://127.0.0.1:9", path="/items")
    spec = SinkSpec(name="out", type="http", path=tmp_path / "out.db", receiver=receiver)
    open_sink(spec).close()
    batch = "INSERT INTO _crawlerd_batch VALUES (?, lower(hex(randomblob(16))), 1, ?, ?, 1, 0)"
    with closing(apsw.Connection(str(spec.path))) as database:
        database.executemany(batch, [(1, "f", 7), (2, "f", 8), (3, "f", 9), (4, "another", 9)])
    saved = tmp_path / "saved"
    saved.mkdir()
    save(spec, saved)
    for left in tmp_path.glob("out.db*"):
        left.unlink()
    place(spec, saved, "f", 7)
    assert rows(spec.path, "SELECT id, number FROM _crawlerd_batch ORDER BY id") == [(1, 7), (2, 0), (3, 0), (4, 9)]


def test_a_sink_that_is_older_than_its_frontier_is_refused(tmp_path: Path) -> None:
    spec = SinkSpec(name="rows", type="sqlite", path=tmp_path / "rows.db")
    open_sink(spec).close()
    ((identity,),) = rows(spec.path, "SELECT identity FROM _crawlerd_sink")
    with closing(apsw.Connection(str(spec.path))) as database:
        database.execute("INSERT INTO _crawlerd_frontier VALUES ('f', 6)")
    saved = tmp_path / "saved"
    saved.mkdir()
    save(spec, saved)
    for noted in ({}, {str(identity): 6}, {str(identity): 5}, {"another": 9}):
        check_saved(saved, "f", noted)
    with pytest.raises(SinkError, match="older than the frontier of the backup: its last commit is 6"):
        check_saved(saved, "f", {str(identity): 7})
    (saved / DATABASE).write_bytes(b"no database")
    with pytest.raises(SinkError):
        check_saved(saved, "f", {})


def test_files_that_appear_after_the_copy_of_the_index_are_not_in_the_backup(tmp_path: Path) -> None:
    """Nor those whose lines are in the copy and become a file while it is looked for: they become that again."""
    sink = JsonlSink(tmp_path / "lines", rotate_bytes=1, rotate_seconds=60, compress=False)
    index = tmp_path / "lines" / ".crawlerd.db"
    lines = "INSERT INTO _crawlerd_line(name, line) VALUES (?, x'78')"

    def put(*names: str) -> None:
        with closing(apsw.Connection(str(index))) as database:
            database.executemany(lines, [(name,) for name in names])

    put("shop_a", "shop_a", "shop_b")
    sink._publish("shop_a")
    sink._publish("shop_b")
    put("shop_a", "shop_b")
    copy(index, tmp_path / "copy.db", mode=0o600, force=False)
    put("shop_a")
    sink._publish("shop_a")  # with lines of before and after
    put("shop_a")
    sink._publish("shop_a")
    found = published(tmp_path / "lines", tmp_path / "copy.db")
    assert [each.name for each in found] == ["shop_a-000000000001.jsonl", "shop_b-000000000003.jsonl"]
    assert len(list((tmp_path / "lines").glob("*.jsonl"))) == 4
    sink.close()
