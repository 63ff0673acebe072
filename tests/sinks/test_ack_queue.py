"""The file of a queue that other programs share: what they put is read as it is, and only what was read leaves it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.things import PROGRAM, locked, put, taken

from crawlerd.engine.kinds import decoder
from crawlerd.engine.submittable import request_of
from crawlerd.sink import SinkError
from crawlerd.sinks import ack_queue
from crawlerd.sinks.ack_queue import AckQueue
from crawlerd.sources.registry import load_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.sinks.ack_queue import Item


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue"


@pytest.fixture
def queue(path: Path) -> Iterator[AckQueue]:
    with closing(AckQueue(path, 0o600)) as queue:
        yield queue


def all_of(queue: AckQueue, after: int = 0, largest: int = 1_000) -> list[Item]:
    return queue.next(after=after, most=100, most_bytes=1 << 20, largest=largest)


def test_what_the_library_puts_is_read_and_what_is_put_the_library_reads(queue: AckQueue, path: Path) -> None:
    before = queue.version()
    put(path, {"n": 1}, "ü")
    assert queue.version() != before
    assert [each.data for each in all_of(queue)] == [b'{"n": 1}', b'"\\u00fc"']
    assert all_of(queue) == all_of(queue), "to read takes nothing"
    queue.put([b'{"n":2}', b"[]"])
    queue.close()
    assert taken(path) == [{"n": 1}, "ü", {"n": 2}, []]


def test_a_chunk_has_a_limit_of_items_and_of_bytes_and_loads_nothing_that_is_too_large(queue: AckQueue) -> None:
    queue.put([b"x" * 500, b"y" * 5_000, *[b"z" * 500] * 10])
    first, second, *_ = all_of(queue)
    assert (first.size, first.data, second.size, second.data) == (500, b"x" * 500, 5_000, None)
    assert len(queue.next(after=0, most=3, most_bytes=1 << 20, largest=1_000)) == 3
    assert len(queue.next(after=2, most=100, most_bytes=1_500, largest=1_000)) == 3


def test_only_what_was_read_leaves_it(queue: AckQueue, path: Path) -> None:
    queue.put([b"1", b"2", b"3"])
    one, two, three = all_of(queue)
    other_file = (three.number, three.put_at - 1)
    queue.settle([(one.number, one.put_at), other_file], [(two.number, two.put_at)])
    assert [each.data for each in all_of(queue)] == [b"3"]
    with closing(sqlite3.connect(f"file:{path}/data.db?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT data, status FROM ack_queue_default").fetchall()
    assert rows == [(b"2", 9), (b"3", 0)]


def test_what_a_reader_of_the_library_is_at_stays_with_it(path: Path) -> None:
    put(path, 1, 2)
    program = PROGRAM.replace("for line in sys.stdin:\n    queue.put(loads(line))", "queue.get(block=False)")
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    with closing(AckQueue(path, 0o600)) as queue:
        assert [each.data for each in all_of(queue)] == [b"2"]


def test_the_program_of_the_docs_puts_tasks_that_are_taken(path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "other-programs.md").read_text()
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert program
    assert program[1].count("/srv/crawlerd/inbox") == 1
    subprocess.run([sys.executable, "-c", program[1].replace("/srv/crawlerd/inbox", str(path))], check=True)
    with closing(AckQueue(path, 0o600)) as queue:
        requests = [request_of(each.data, each.size) for each in all_of(queue)]
    kinds = load_source("stripe").kinds
    assert [decoder(kinds[each.kind].args)(bytes(each.args).decode()).id for each in requests] == ["cus_42", "cus_43"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("x"), "it is not a directory"),
        (
            lambda path: (path.mkdir(), (path / "data.db").write_bytes(b"no database" * 100)),
            "not a queue of persist-queue",
        ),
        (lambda path: (path.mkdir(), (path / "data.db").symlink_to("/etc/passwd")), "symbolic link"),
        (lambda path: (path.mkdir(), (path / "data.db").touch()), "is empty"),
        (lambda path: (path.mkdir(), table(path, "CREATE TABLE t(x)")), "is a database, but not a queue"),
        (
            lambda path: (path.mkdir(), table(path, "CREATE TABLE ack_queue_default(x)")),
            "is a database, but not a queue",
        ),
    ],
)
def test_what_is_no_queue_is_said_and_left_alone(path: Path, make: object, said: str) -> None:
    make(path)  # type: ignore[operator]
    with pytest.raises(SinkError, match=said), closing(AckQueue(path, 0o600)) as queue:
        all_of(queue)


def test_a_queue_in_a_directory_that_is_a_link(path: Path) -> None:
    path.parent.joinpath("elsewhere").mkdir(parents=True)
    path.symlink_to("elsewhere")
    with closing(AckQueue(path, 0o600)) as queue:
        queue.put([b"1"])
        assert [each.data for each in all_of(queue)] == [b"1"]
        assert queue.scrub() is None


def table(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path / "data.db")) as database:
        database.execute(statement)


def test_a_directory_that_is_not_there(path: Path) -> None:
    with pytest.raises(SinkError, match="there is no directory"):
        AckQueue(path / "below", 0o600)


def test_a_lock_of_another_program(queue: AckQueue, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.put([b"1"])
    with locked(path / "data.db"):
        assert [each.data for each in all_of(queue)] == [b"1"]
        monkeypatch.setattr(ack_queue, "BUSY_SECONDS", 0.05)
        with closing(AckQueue(path, 0o600)) as other, pytest.raises(SinkError, match="locked by another program"):
            other.put([b"2"])
    queue.put([b"2"])
    assert [each.data for each in all_of(queue)] == [b"1", b"2"]


def test_a_table_of_another_class_of_the_library_is_complained_of(queue: AckQueue, path: Path) -> None:
    queue.complain()
    program = PROGRAM.replace("SQLiteAckQueue", "SQLiteQueue").replace(", auto_resume=False", "")
    subprocess.run([sys.executable, "-c", program, str(path)], input="1\n", text=True, check=True)
    with pytest.raises(SinkError, match="has the table queue_default, which is not read"):
        queue.complain()


def test_it_is_made_while_other_programs_open_it(path: Path) -> None:
    programs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ended = 0
    for program in programs:
        assert program.stdin is not None
        program.stdin.write(b"1\n")
        program.stdin.close()
        program.stdin = None
    while ended < len(programs):
        with suppress(SinkError), closing(AckQueue(path, 0o600)) as queue:
            all_of(queue)
        ended = sum(program.poll() is not None for program in programs)
    said = [program.communicate()[1] for program in programs]
    assert [program.returncode for program in programs] == [0] * 4, said
    with closing(AckQueue(path, 0o600)) as queue:
        assert len(all_of(queue)) == 4
    assert sorted(each.name for each in path.iterdir() if each.suffix == ".part") == []


def test_a_file_that_was_replaced_is_not_intact(queue: AckQueue, path: Path) -> None:
    assert queue.intact
    os.replace(path / "data.db", path / "away.db")
    assert not queue.intact


def test_its_files_have_the_rights_that_they_are_to_have(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        with closing(AckQueue(tmp_path / "shared", 0o660)) as queue:
            queue.put([b"1"])
            files = sorted((tmp_path / "shared").iterdir())
            assert {file.stat().st_mode & 0o777 for file in files} == {0o660}
            assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o770
    finally:
        os.umask(mask)
