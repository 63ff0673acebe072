"""The frontier under `kill -9` at random instants, a second owner, and a disk that is really full."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from crawlerd.core.errors import FrontierLocked, StorageFailed
from crawlerd.core.outcome import Batch, Bury, Complete, Outcome, Retry
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.sqlite import maintenance
from crawlerd.frontier.sqlite.frontier import Frontier
from crawlerd.frontier.sqlite.schema import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_000_000.0
KILLS = 12
COMMITTER = """
import json, random, sys
from pathlib import Path
from crawlerd.core.outcome import Batch, Bury, Complete, Crash, Retry
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite.frontier import Frontier

folder, draw = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
lock = StateLock(folder)
frontier = Frontier(folder, now=1e6)
account = frontier.account("acme", "shop")


def say(*what):
    print(json.dumps(what), flush=True)


def child(number):
    return NewTask(f"shop.{number % 3}", f"b{number % 5}", number % 10, json.dumps({"n": number}), number % 2 == 0)


def gathers():
    members = [child(draw.randrange(10**6)) for _ in range(draw.choice([0, 1, 3]))]
    return [NewGather(members, child(draw.randrange(10**6)), draw.choice(["run", "fail"]))] * draw.choice([0, 0, 0, 1])


if not frontier.running_runs("shop"):
    tasks = [NewTask("shop.first", f"b{number % 5}", 5, "{}") for number in range(50)]
    say("started", frontier.start_run("shop", account, tasks, full=False, now=1e6).run)
now = 1e6
while True:
    now += 1
    heads = [head for bucket in frontier.ready_buckets(account) for head in frontier.heads(bucket.id, (-1, -1), 9)]
    group = []
    for task in draw.sample(heads, min(len(heads), draw.randint(1, 30))):
        children = [child(draw.randrange(10**6)) for _ in range(draw.choice([0, 1, 2]))]
        batches = [Batch("items", 1, b"[]", [])]
        outcome = draw.choice(
            [
                Complete(batches, children),
                Complete(batches, children, gathers=gathers()),
                Retry(5.0, "reset"),
                Bury("gone"),
                Crash("died"),
            ]
        )
        group.append(Settled(task, account, outcome))
    if not heads:
        frontier.start_run("shop", account, [child(draw.randrange(10**6)) for _ in range(50)], full=False, now=now)
    frontier.commit(group, now=now)
    say(*[(settled.task.seq, type(settled.outcome).__name__) for settled in group])
"""


def read(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(folder / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        return list(database.execute(statement))


def check(folder: Path, *, made: int | None = None) -> None:
    """Conservation, and every counter the count of its rows. made: tasks so far, if not all numbers were used."""
    assert maintenance.check(folder / FILE_NAME, full=True) == []
    ((next_seq,),) = read(folder, "SELECT value FROM next_seq")
    where = read(
        folder,
        "SELECT seq FROM ready UNION ALL SELECT seq FROM delayed UNION ALL SELECT seq FROM dead "
        "UNION ALL SELECT id FROM gather WHERE open > 0 ORDER BY seq",
    )
    seqs = [seq for (seq,) in where]
    assert len(seqs) == len(set(seqs))
    ((done,),) = read(folder, "SELECT coalesce(sum(done), 0) FROM run")
    assert len(seqs) + done == (next_seq - 1 if made is None else made)
    assert all(1 <= seq < next_seq for seq in seqs)
    for table, counter in (("ready", "open - delayed - waiting"), ("delayed", "delayed"), ("dead", "dead")):
        counted = read(folder, f"SELECT run, count(*) FROM {table} GROUP BY run ORDER BY run")
        assert counted == read(folder, f"SELECT id, {counter} FROM run WHERE {counter} > 0 ORDER BY id")
    assert read(folder, "SELECT bucket, count(*) FROM ready GROUP BY bucket ORDER BY bucket") == read(
        folder, "SELECT id, ready FROM bucket WHERE ready > 0 ORDER BY id"
    )
    assert read(folder, "SELECT count(*) FROM run WHERE (state = 'running') <> (open > 0)") == [(0,)]
    assert read(folder, "SELECT coalesce(sum(records), 0) FROM tally") == [(done,)]


def test_kill_9_at_random_instants_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    draw = random.Random()
    gone: set[int] = set()
    buried: set[int] = set()
    printed = 0
    for _ in range(KILLS):
        seed, lines = draw.randrange(10**9), draw.randint(1, 40)
        with subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(tmp_path), str(seed)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(lines)]
            process.kill()
            said += process.stdout.readlines()
        for line in said:
            assert line, "the committer ended by itself"
            if not line.endswith(b"\n"):  # it was killed as it said so
                continue
            for seq, outcome in (said for said in json.loads(line) if isinstance(said, list)):
                printed += 1
                if outcome == "Complete":
                    assert seq not in gone, f"task {seq} was done and came back (seed {seed}, {lines} lines)"
                    gone.add(seq)
                elif outcome == "Bury":
                    buried.add(seq)
        check(tmp_path)
        left = {seq for (seq,) in read(tmp_path, "SELECT seq FROM ready UNION SELECT seq FROM delayed")}
        assert not left & (gone | buried)
        assert buried <= {seq for (seq,) in read(tmp_path, "SELECT seq FROM dead")}
        frontier = Frontier(tmp_path, now=NOW)
        assert frontier.account("acme", "shop") == 1
        frontier.close()
        check(tmp_path)
    assert printed > KILLS


def test_a_second_owner_is_told_of_the_first_by_pid_until_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", COMMITTER, str(tmp_path), "1"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(FrontierLocked, match=rf"\(pid {process.pid}\)"):
            StateLock(tmp_path)
        process.stdout.readline()  # and goes on undisturbed
        process.kill()
        process.stdout.read()
    with StateLock(tmp_path), closing(Frontier(tmp_path, now=NOW)):
        check(tmp_path)


# a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 5 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=5m", "crawlerd-test", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("NOT TESTED: a disk that is really full; mounting one needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def ballast(folder: Path) -> Iterator[None]:
    """Fills the disk to the last byte."""
    file = folder / "ballast"
    with open(file, "wb", buffering=0) as out:
        for size in (65536, 4096, 1):
            try:
                while out.write(b"x" * size) == size:
                    pass
            except OSError:
                pass
    yield
    file.unlink()


def big(number: int) -> NewTask:
    return NewTask("shop.page", "pages", 5, json.dumps({"n": number, "text": "x" * 2000}))


def heads(frontier: Frontier) -> list[Any]:
    return frontier.heads(1, (-1, -1), 10_000)


@pytest.mark.parametrize(
    "last",
    [
        Complete([Batch("items", 1, b"[]", [])], [big(number) for number in range(200)]),
        Retry(1.0, "x" * 500),
        Bury("gone"),
    ],
)
def test_a_full_disk_takes_a_commit_back_and_it_works_when_there_is_space_again(
    small_disk: Path, last: Outcome
) -> None:
    frontier = Frontier(small_disk, now=NOW)
    account = frontier.account("acme", "shop")
    frontier.start_run("shop", account, [big(number) for number in range(200)], full=False, now=NOW)
    before = heads(frontier)
    group = [Settled(task, account, last) for task in before[:100]]
    if isinstance(last, Complete):
        group = group[:1]
    with ballast(small_disk):
        for _ in range(3):
            with pytest.raises(StorageFailed, match=f"holds {small_disk}/{FILE_NAME} is full") as failure:
                frontier.commit(group, now=NOW)
            assert failure.value.full
            assert heads(frontier) == before
        with pytest.raises(StorageFailed):
            frontier.start_run("other", account, [big(1)], full=False, now=NOW)
        with pytest.raises(StorageFailed):
            frontier.account("zenith", "shop")
        assert frontier.latest_run("other") is None
    frontier.commit(group, now=NOW)
    done = {settled.task.seq for settled in group}
    assert [task for task in heads(frontier) if task.seq <= 200] == [task for task in before if task.seq not in done]
    assert frontier.account("zenith", "shop") == account + 1
    frontier.start_run("other", account, [NewTask("shop.new", "new", 5, "{}")], full=False, now=NOW)
    made = 200 + 1 + (len(last.children) if isinstance(last, Complete) else 0)
    check(small_disk, made=made)
    frontier.close()
    check(small_disk, made=made)


def test_starting_on_a_full_disk_says_so_and_leaves_what_there_is(small_disk: Path) -> None:
    with ballast(small_disk):
        with pytest.raises(StorageFailed, match="No space left on device") as failure:
            StateLock(small_disk)
        assert failure.value.full
        with pytest.raises(StorageFailed) as failure:
            Frontier(small_disk, now=NOW)
        assert failure.value.full
    StateLock(small_disk).close()
    frontier = Frontier(small_disk, now=NOW)
    frontier.start_run("shop", frontier.account("acme", "shop"), [big(1)], full=False, now=NOW)
    before = heads(frontier)
    frontier.close()
    with ballast(small_disk):
        StateLock(small_disk).close()
        with pytest.raises(StorageFailed) as failure:
            Frontier(small_disk, now=NOW).pause(1, "no key")
        assert failure.value.full
    frontier = Frontier(small_disk, now=NOW)
    assert heads(frontier) == before
    frontier.close()
    check(small_disk)
