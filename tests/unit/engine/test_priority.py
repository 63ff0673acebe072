"""Which task goes first, simulated in virtual time on the real workbench: one account, one limit, chains and leaves."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import pytest
from support.bench_partners import Asked, Limits
from support.outages import outages

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.priority import DEFAULT_PRIORITY, SEQUENTIAL_PRIORITY
from crawlerd.core.task import Task
from crawlerd.engine.workbench import Workbench

if TYPE_CHECKING:
    from crawlerd.engine.queues import Pick

LATENCY = 0.25
RATE = 100
PAGES = 400
CHILDREN = 10_000


def makespan(chain_priority: int) -> tuple[float, int]:
    """Seconds until a chain of pages, each of which yields its successor and an even share of the children, is done;
    and the most tasks queued at once."""
    bench = Workbench(Limits(LimitSpec(limits=(f"{RATE}/second",))), Asked(), outages())
    running: list[tuple[float, int, Pick]] = []
    now, seq, pages, queued, most = 0.0, 0, 0, 0, 0

    def add(bucket: int, kind: str, priority: int, count: int) -> None:
        nonlocal seq, queued
        tasks = [Task(seq + n, bucket, priority, 1, kind, 0, "{}") for n in range(count)]
        seq += count
        queued += count
        bench.add_heads(bucket, 1, str(bucket), 1, tasks, more=False, blocked_until=0.0, now=now)

    add(1, "page", chain_priority, 1)
    while queued or running:
        while pick := bench.choose(now, 1):
            bench.charge(pick, now)
            queued -= 1
            heappush(running, (now + LATENCY, pick.tasks[0].seq, pick))
        now = min(bench.next_at(), running[0][0] if running else now + 1)
        while running and running[0][0] <= now:
            _, _, pick = heappop(running)
            bench.finish(pick, now)
            if pick.tasks[0].kind == "page":
                pages += 1
                add(1, "child", DEFAULT_PRIORITY, CHILDREN // PAGES)
                if pages < PAGES:
                    add(1, "page", chain_priority, 1)
        most = max(most, queued)
    return now, most


def test_a_long_chain_beside_many_children_ends_near_its_bound() -> None:
    bound = max(PAGES * LATENCY, (PAGES + CHILDREN) / RATE)
    chain_first, _ = makespan(SEQUENTIAL_PRIORITY)
    assert chain_first <= bound * 1.07


@pytest.mark.slow
def test_without_priority_the_chain_is_left_over_at_the_end() -> None:
    """What the priority is for: first in, first out takes markedly longer, so the test above can fail."""
    fifo, _ = makespan(DEFAULT_PRIORITY)
    assert fifo >= makespan(SEQUENTIAL_PRIORITY)[0] * 1.15


@pytest.mark.parametrize(("deep", "first"), [(False, "folder"), (True, "leaf")])
def test_a_wide_task_goes_first_only_while_the_queue_is_shallow(deep: bool, first: str) -> None:
    bench = Workbench(Limits(LimitSpec(limits=("1/second",))), Asked(), outages(), wide=["folder"])
    leaf = Task(1, 1, DEFAULT_PRIORITY, 1, "leaf", 0, "{}")
    folder = Task(2, 2, DEFAULT_PRIORITY, 1, "folder", 0, "{}")
    bench.add_heads(1, 1, "leaves", 1, [leaf], more=deep, blocked_until=0.0, now=0.0)
    bench.add_heads(2, 1, "folders", 1, [folder], more=False, blocked_until=0.0, now=0.0)
    assert bench.choose(0.0, 1).tasks[0].kind == first


def test_an_explicit_priority_wins() -> None:
    bench = Workbench(Limits(LimitSpec(limits=("1/second",))), Asked(), outages(), wide=["folder"])
    bench.add_heads(1, 1, "a", 1, [Task(1, 1, 3, 1, "folder", 0, "{}")], more=False, blocked_until=0.0, now=0.0)
    bench.add_heads(2, 1, "b", 1, [Task(2, 2, 1, 1, "leaf", 0, "{}")], more=True, blocked_until=0.0, now=0.0)
    assert bench.choose(0.0, 1).tasks[0].priority == 1
