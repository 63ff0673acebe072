"""The frontier under `kill -9` at random instants, and a second owner."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crawlerd.core.errors import FrontierLocked
from crawlerd.frontier.lock import StateLock

if TYPE_CHECKING:
    from places import Place

KILLS = 12
COMMITTER = """
import json, random, sys
from pathlib import Path
from places import IMPLEMENTATIONS
from support.ready_tasks import all_heads
from crawlerd.core.outcome import Batch, Bury, Complete, Crash, Retry
from crawlerd.core.task import NewGather, NewTask
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.contract import Settled

folder, draw = Path(sys.argv[2]), random.Random(int(sys.argv[3]))
lock = StateLock(folder)
frontier = IMPLEMENTATIONS[sys.argv[1]](folder).open(now=1e6)
account = frontier.account("acme", "shop")


def say(*what):
    print(json.dumps(what), flush=True)


def child(number):
    return NewTask(f"shop.{number % 3}", f"b{number % 5}", number % 10, json.dumps({"n": number}), number % 2 == 0)


def gathers():
    members = [child(draw.randrange(10**15)) for _ in range(draw.choice([0, 1, 3]))]
    return [NewGather(members, child(draw.randrange(10**15)), draw.choice(["run", "fail"]))] * draw.choice([0, 0, 0, 1])


if not frontier.running_runs("shop"):
    tasks = [NewTask("shop.first", f"b{number % 5}", 5, "{}") for number in range(50)]
    say("started", frontier.start_run("shop", account, tasks, full=False, now=1e6).run)
now = 1e6
while True:
    now += 1
    heads = all_heads(frontier, 9, account)
    group = []
    for task in draw.sample(heads, min(len(heads), draw.randint(1, 30))):
        children = [child(draw.randrange(10**15)) for _ in range(draw.choice([0, 1, 2]))]
        batches = [Batch("items", 1, [], [])]
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
        frontier.start_run("shop", account, [child(draw.randrange(10**15)) for _ in range(50)], full=False, now=now)
    frontier.commit(group, now=now)
    say(*[(settled.task.seq, type(settled.outcome).__name__) for settled in group])
"""


def check(place: Place, *, made: int | None = None) -> None:
    """Conservation, and every counter the count of its rows. made: tasks so far, if not all numbers were used."""
    assert place.check(full=True) == []
    ((next_seq,),) = place.query("SELECT value FROM next_seq")
    where = place.query(
        "SELECT seq FROM ready UNION ALL SELECT seq FROM delayed UNION ALL SELECT seq FROM dead "
        "UNION ALL SELECT id FROM gather WHERE open > 0 ORDER BY seq"
    )
    seqs = [seq for (seq,) in where]
    assert len(seqs) == len(set(seqs))
    ((done, closed),) = place.query("SELECT coalesce(sum(done), 0), coalesce(sum(dropped), 0) FROM run")
    assert len(seqs) + done + closed == (next_seq - 1 if made is None else made)
    assert all(1 <= seq < next_seq for seq in seqs)
    for table, counter in (("ready", "open - delayed - waiting"), ("delayed", "delayed"), ("dead", "dead")):
        counted = place.query(f"SELECT run, count(*) FROM {table} GROUP BY run ORDER BY run")
        assert counted == place.query(f"SELECT id, {counter} FROM run WHERE {counter} > 0 ORDER BY id")
    assert place.query("SELECT bucket, count(*) FROM ready GROUP BY bucket ORDER BY bucket") == place.query(
        "SELECT id, ready FROM bucket WHERE ready > 0 ORDER BY id"
    )
    assert place.query("SELECT count(*) FROM run WHERE (state = 'running') <> (open > 0)") == [(0,)]
    assert place.query("SELECT coalesce(sum(records), 0) FROM tally") == [(done,)]


def committer(implementation: str, place: Place, seed: int) -> subprocess.Popen[bytes]:
    """A process that commits what it draws, and then says so, until it is killed."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMITTER, implementation, str(place.state_dir), str(seed)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"},
    )


def test_kill_9_at_random_instants_loses_nothing_that_was_committed(implementation: str, place: Place) -> None:
    draw = random.Random()
    gone: set[int] = set()
    buried: set[int] = set()
    printed = 0
    for _ in range(KILLS):
        seed, lines = draw.randrange(10**9), draw.randint(1, 40)
        with committer(implementation, place, seed) as process:
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
        check(place)
        left = {seq for (seq,) in place.query("SELECT seq FROM ready UNION SELECT seq FROM delayed")}
        assert not left & (gone | buried)
        assert buried <= {seq for (seq,) in place.query("SELECT seq FROM dead")}
        assert place.open().account("acme", "shop") == 1
        place.shut()
        check(place)
    assert printed > KILLS


def test_a_second_owner_is_told_of_the_first_by_pid_until_that_is_killed(implementation: str, place: Place) -> None:
    with committer(implementation, place, 1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(FrontierLocked, match=rf"\(pid {process.pid}\)"):
            StateLock(place.state_dir)
        process.stdout.readline()  # and goes on undisturbed
        process.kill()
        process.stdout.read()
    with StateLock(place.state_dir):
        place.open()
        check(place)
