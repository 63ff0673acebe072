"""What of the frontier is in memory: each ready task is given to the dispatcher once, whatever comes in which order."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from crawlerd.core.outcome import Bury, Complete, Crash, Retry
from crawlerd.core.task import NewTask, Task
from crawlerd.engine import prefetch
from crawlerd.engine.clock import Clock
from crawlerd.engine.prefetch import Prefetch
from crawlerd.frontier import open_frontier
from crawlerd.frontier.contract import Settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from crawlerd.frontier.contract import Committed
    from crawlerd.frontier.waiting_contract import Bucket, Queue

BUCKETS = "abc"


class Receiver:
    """The dispatcher, as far as Prefetch knows it. hands: tasks that it has. more: queues that have others."""

    def __init__(self) -> None:
        self.sleeping = False
        self.hands: dict[int, Task] = {}
        self.more: set[Queue] = set()

    def heads(self, bucket: Bucket, run: int, tasks: Sequence[Task], *, more: bool) -> None:
        assert not self.hands.keys() & {task.seq for task in tasks}
        assert {(task.bucket, task.run) for task in tasks} <= {(bucket.id, run)}
        self.hands |= {task.seq: task for task in tasks}
        (self.more.add if more else self.more.discard)((bucket.id, run))

    def asleep(self, bucket: Bucket, *, agreed: bool) -> None: ...
    def woken(self) -> None: ...


class Crawl:
    """A run whose tasks are settled as the store does it. made: how many tasks there have been."""

    def __init__(self, place: Path) -> None:
        self.clock = Clock()
        self.frontier = open_frontier(place, now=self.clock.now())
        self.receiver, self.serving, self.made, self.done = Receiver(), set[int](), 0, 0
        self.prefetch = Prefetch(self.frontier, self.clock, self.serving, self.receiver)
        self.account = self.frontier.account("acme", "stripe")

    def begin(self, tasks: list[NewTask]) -> None:
        self.made += len(tasks)
        self.serving.add(self.frontier.start_run("acme", self.account, tasks, full=True, now=self.clock.now()).run)
        self.prefetch.offer(self.account)

    def settle(self, *settled: Settled) -> Committed:
        committed = self.frontier.commit(settled, now=self.clock.now())
        for each in settled:
            del self.receiver.hands[each.task.seq]
            if isinstance(each.outcome, Complete):
                self.done += 1
                self.made += len(each.outcome.children)
        touched = self.prefetch.done(settled)
        self.prefetch.arrived(committed)
        self.prefetch.drop_empty(touched)
        return committed

    def refill(self, queue: Queue, count: int) -> None:
        self.receiver.more.discard(queue)
        self.prefetch.refill({queue: count})

    def complete(self, task: Task, *children: NewTask) -> Settled:
        return Settled(task, self.account, Complete(children=list(children)))


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[Crawl]:
    crawl = Crawl(tmp_path)
    with closing(crawl.frontier):
        yield crawl


def page(number: int, bucket: str = "a", priority: int = 5) -> NewTask:
    return NewTask("list.page", bucket, priority, str(number))


@pytest.mark.parametrize("seed", range(30))
def test_each_task_is_given_once(seed: int, crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(prefetch, "HELD_MOST", dice.choice([2, 5, 4096]))
    crawl.begin([page(number, dice.choice(BUCKETS)) for number in range(dice.randrange(1, 40))])
    while crawl.receiver.hands or crawl.receiver.more:
        if crawl.receiver.more and (not crawl.receiver.hands or dice.random() < 0.3):
            crawl.refill(dice.choice(sorted(crawl.receiver.more)), dice.randrange(1, 20))
            continue
        hands = list(crawl.receiver.hands.values())
        group = dice.sample(hands, min(len(hands), dice.randrange(1, 6)))
        many = dice.choice([0, 0, 1, 1, 2, 6]) if crawl.made < 400 else 0
        crawl.settle(
            *(
                Settled(task, crawl.account, dice.choice([Retry(0.0, "later"), Crash("died")]))
                if dice.random() < 0.1 and not task.crashes
                else crawl.complete(task, *(page(n, dice.choice(BUCKETS), dice.randrange(3, 7)) for n in range(many)))
                for task in group
            )
        )
        crawl.settle()  # what was delayed is due
    assert crawl.done == crawl.made
    assert crawl.frontier.ready_queues(None) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_runs_that_are_not_served_are_not_read_and_come_whole_when_they_are(
    seed: int, crawl: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(prefetch, "HELD_MOST", dice.choice([2, 5, 4096]))
    for _ in range(3):
        crawl.begin([page(number, dice.choice(BUCKETS), dice.randrange(3, 7)) for number in range(20)])
    runs, receiver = set(crawl.serving), crawl.receiver
    while receiver.hands or receiver.more or crawl.serving != runs:
        assert {run for _, run in receiver.more} <= crawl.serving
        if dice.random() < 0.2 and len(crawl.serving) > 1:
            run = dice.choice(sorted(crawl.serving))
            crawl.serving.remove(run)
            receiver.more = {queue for queue in receiver.more if queue[1] != run}
            back = [
                task for task in receiver.hands.values() if task.run == run and dice.random() < 0.7
            ]  # others are out
            for task in back:
                del receiver.hands[task.seq]
            crawl.prefetch.withdrawn(back)
        elif dice.random() < 0.3 and crawl.serving != runs:
            run = dice.choice(sorted(runs - crawl.serving))
            crawl.serving.add(run)
            crawl.prefetch.offer_runs([run])
        elif receiver.more and dice.random() < 0.5:
            crawl.refill(dice.choice(sorted(receiver.more)), dice.randrange(1, 20))
        elif receiver.hands:
            away = [task for task in receiver.hands.values() if task.run not in crawl.serving]
            task = dice.choice(away if away and dice.random() < 0.7 else list(receiver.hands.values()))
            many = dice.choice([0, 0, 1, 2, 6]) if crawl.made < 300 else 0
            crawl.settle(
                crawl.complete(task, *(page(n, dice.choice(BUCKETS), dice.randrange(3, 7)) for n in range(many)))
            )
    assert crawl.done == crawl.made
    assert crawl.frontier.ready_queues(None) == []


def test_a_chains_next_page_is_not_read(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl.begin([page(0)])
    crawl.refill((1, 1), 4)
    for name in ("heads", "heads_many", "bucket", "buckets"):
        monkeypatch.setattr(crawl.frontier, name, None)
    for number in range(1, 10):
        (task,) = crawl.receiver.hands.values()
        crawl.settle(crawl.complete(task, page(number)))
    (task,) = crawl.receiver.hands.values()
    assert (task.kind, task.payload, task.attempt) == ("list.page", "9", 0)


def test_what_a_queue_got_before_it_was_served_again_is_not_skipped(crawl: Crawl) -> None:
    crawl.begin([page(0), page(1), page(2, "b")])
    for queue in sorted(crawl.receiver.more):
        crawl.refill(queue, 4)
    (run,) = crawl.serving
    crawl.serving.clear()
    back = [task for task in crawl.receiver.hands.values() if task.bucket == 1]
    for task in back:
        del crawl.receiver.hands[task.seq]
    crawl.prefetch.withdrawn(back)
    crawl.serving.add(run)
    (other,) = crawl.receiver.hands.values()
    crawl.settle(crawl.complete(other, page(9)))
    crawl.prefetch.offer_runs([run])
    while crawl.receiver.hands or crawl.receiver.more:
        for queue in sorted(crawl.receiver.more):
            crawl.refill(queue, 4)
        crawl.settle(*(crawl.complete(task) for task in list(crawl.receiver.hands.values())))
    assert crawl.done == 4


def test_a_dead_letter_that_is_ready_again_while_its_run_goes_on_is_given(crawl: Crawl) -> None:
    crawl.begin([page(number) for number in range(40)])
    crawl.refill((1, 1), 4)
    first, *_ = crawl.receiver.hands.values()
    crawl.settle(Settled(first, crawl.account, Bury("HTTP 404")))
    assert crawl.frontier.retry_dead([first.seq])[0] == 1
    crawl.prefetch.offer(crawl.account)
    while crawl.receiver.hands or crawl.receiver.more:
        for queue in sorted(crawl.receiver.more):
            crawl.refill(queue, 4)
        crawl.settle(*(crawl.complete(task) for task in list(crawl.receiver.hands.values())))
    assert crawl.done == 40
    assert crawl.frontier.ready_queues(None) == []
