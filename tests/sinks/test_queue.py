"""The persist-queue sink, consumed by another process with nothing but that library."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.sink_batches import batch_of

from crawlerd.sink import Delivery, SinkError
from crawlerd.sinks.persist_queue import queue_sink

if TYPE_CHECKING:
    from pathlib import Path

# As docs/reference.md has it, but that it ends, or dies, when it has had so many.
CONSUMER = """
import json as text, os, sys, persistqueue
from persistqueue.serializers import json
queue = persistqueue.SQLiteAckQueue(sys.argv[1], serializer=json)
for number in range(int(sys.argv[2])):
    item = queue.get(raw=True)
    print(text.dumps(item), flush=True)
    if number == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    queue.ack(id=item["pqid"])
    queue.clear_acked_data(keep_latest=0)
print(queue.qsize(), queue.acked_count())
"""


def customers(*keys: str, run: int = 1) -> Delivery:
    return Delivery("stripe", "acme", run, 0.0, 1, [batch_of("customers", [(key, {"n": 1}) for key in keys])])


def consume(path: Path, count: int, *, dies_at: int = -1) -> tuple[list[Any], str]:
    done = subprocess.run(
        [sys.executable, "-c", CONSUMER, path, str(count), str(dies_at)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == (0 if dies_at < 0 else -9), done.stderr
    lines = done.stdout.splitlines()
    return [json.loads(line) for line in (lines if dies_at >= 0 else lines[:-1])], lines[-1]


def test_another_program_consumes_while_we_write(tmp_path: Path) -> None:
    with closing(queue_sink(tmp_path / "queue")) as sink:
        sink.write([customers("a", "b")], 1767225600.0)
        items, left = consume(tmp_path / "queue", 1)
        assert left == "1 0"
        assert items[0]["data"] == {
            "source": "stripe", "stream": "customers", "account": "acme", "id": "a", "run": 1,
            "imported_at": "2026-01-01T00:00:00.000Z", "data": {"n": 1},
        }  # fmt: skip
        sink.write([customers("a", "b", "c", run=2)], 1.0)
        items, left = consume(tmp_path / "queue", 2)
        assert [(item["data"]["id"], item["data"]["run"]) for item in items] == [("b", 1), ("c", 2)]
        assert left == "0 0"


def test_a_consumer_that_dies_gets_its_item_again_under_the_same_number(tmp_path: Path) -> None:
    with closing(queue_sink(tmp_path)) as sink:
        sink.write([customers("a", "b", "c")], 0.0)
    before, _ = consume(tmp_path, 3, dies_at=1)
    with closing(queue_sink(tmp_path)) as sink:  # opening it does not give out again what a consumer has
        sink.write([customers("d")], 0.0)
    after, left = consume(tmp_path, 3)
    assert [item["data"]["id"] for item in before + after] == ["a", "b", "b", "c", "d"]
    assert before[1]["pqid"] == after[0]["pqid"]
    assert left == "0 0"


def test_what_is_no_queue_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.db").write_text("not a database" * 1000)
    with pytest.raises(SinkError, match=f"{tmp_path}/data.db is no intact database"):
        queue_sink(tmp_path)
