"""The workbench on a fake clock: what goes first, what waits for what, and that nobody waits for others."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from concurrent.futures import Future
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bench_partners import Asked, Limits
from support.outages import outages

from crawlerd.core.configuration import LimitSpec
from crawlerd.core.outcome import DONE, Outcome
from crawlerd.core.task import Task
from crawlerd.engine import turns
from crawlerd.engine.queues import Guard, Pick
from crawlerd.engine.run_queue import FIRST_WANT, MOST_WANT, REFILL_SECONDS
from crawlerd.engine.workbench import Workbench
from crawlerd.ratelimit.limiter import parse_limits
from crawlerd.ratelimit.quota import Ask, Grant
from crawlerd.ratelimit.window import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from crawlerd.frontier.waiting_contract import Queue
    from crawlerd.ratelimit.adaptive import Learned

NOW = 1000.0
GUARD = Task(0, 0, 0, 0, "s.guard", 0, "{}")


class Bench(Workbench):
    """A workbench with a note of what it asked for."""

    def __init__(self, specs: dict[int, LimitSpec], **options: Any) -> None:
        asked = Asked()
        self.asked, self.asked_quotas = asked.heads, asked.quotas
        self.seqs = itertools.count(1)
        super().__init__(Limits(specs), asked, outages(), **options)

    def add(
        self, account: int, bucket: int, *priorities: int, kind: str = "s.page", more: bool = False, now: float = NOW,
        blocked_until: float = 0.0,
    ) -> None:  # fmt: skip
        tasks = [Task(next(self.seqs), bucket, priority, 1, kind, 0, "{}") for priority in priorities]
        tasks.sort(key=lambda task: (task.priority, task.seq))  # as the frontier gives them
        self.add_heads(bucket, account, f"b{bucket}", 1, tasks, more=more, blocked_until=blocked_until, now=now)

    def start(self, now: float = NOW, most: int = 1) -> list[Pick]:
        """All that may start now, started."""
        started: list[Pick] = []
        while pick := self.choose(now, most):
            self.charge(pick, now)
            started.append(pick)
        return started

    def taken_back(self, runs: set[int], now: float = NOW) -> list[Task]:
        """Their tasks, and what comes back of them later."""
        tasks: list[Task] = []
        self.withdraw(runs, tasks.extend, now)
        return tasks

    def guard(self, number: int, now: float = NOW) -> None:
        account = self.account(number)
        assert account is not None
        account.check(GUARD)
        self.place(account, now)

    def pause(self, number: int, reason: str | None, now: float = NOW) -> None:
        account = self.account(number)
        assert account is not None
        account.accept() if reason is None else account.refuse(reason)
        self.place(account, now)


FREE = LimitSpec()


def order(picks: Iterable[Pick]) -> list[tuple[int, int]]:
    return [(pick.tasks[0].bucket, pick.tasks[0].priority) for pick in picks]


# what goes first


def test_the_most_urgent_task_of_an_account_goes_first_whatever_its_bucket() -> None:
    bench = Bench({1: LimitSpec(limits=("100/second",), smooth=False)})
    bench.add(1, 1, 5, 0, 9, 1)
    bench.add(1, 2, 3, 7)
    assert order(bench.start()) == [(1, 0), (1, 1), (2, 3), (1, 5), (2, 7), (1, 9)]


def test_among_equals_the_oldest_of_a_bucket_and_the_bucket_that_waited_longest() -> None:
    bench = Bench({1: LimitSpec(limits=("100/second",), smooth=False)})
    for bucket in (1, 2, 3):
        bench.add(1, bucket, 5, 5, 5)
    started = bench.start()
    rounds = [{pick.tasks[0].seq for pick in started[first : first + 3]} for first in (0, 3, 6)]
    assert rounds == [{1, 4, 7}, {2, 5, 8}, {3, 6, 9}]
    assert order(started[:3]) == order(started[3:6]) == order(started[6:])


def test_a_throttled_bucket_does_not_hold_up_less_urgent_tasks_of_another() -> None:
    bench = Bench({1: LimitSpec(bucket_limits=("1/second",), smooth=False)})
    bench.add(1, 1, 0, 0)
    bench.add(1, 2, 9)
    assert order(bench.start()) == [(1, 0), (2, 9)]
    assert bench.next_at() == pytest.approx(NOW + 1, abs=0.1)


def test_accounts_take_turns() -> None:
    bench = Bench({1: FREE, 2: FREE, 3: FREE})
    for account in (1, 2, 3):
        bench.add(account, account, *[5] * 4)
    assert [pick.account.id for pick in bench.start()] == [1, 2, 3] * 4


@pytest.mark.parametrize("most", [1, 4])
def test_turns_are_shared_by_weight(most: int) -> None:
    bench = Bench({1: LimitSpec(weight=3), 2: LimitSpec(weight=1), 3: LimitSpec(weight=0.5)})
    for account in (1, 2, 3):
        bench.add(account, account, *[5] * 400)
    count: Counter[int] = Counter()
    while count.total() < 360:
        pick = bench.choose(NOW, most)
        bench.charge(pick, NOW)
        count[pick.account.id] += len(pick.tasks)
    assert count[1] == pytest.approx(240, abs=2 * most)
    assert count[2] == pytest.approx(80, abs=2 * most)
    assert count[3] == pytest.approx(40, abs=2 * most)


def test_who_comes_late_has_not_saved_up_turns() -> None:
    bench = Bench({1: FREE, 2: FREE})
    bench.add(1, 1, *[5] * 200)
    for _ in range(100):
        bench.choose(NOW, 1)
    bench.add(2, 2, *[5] * 200)
    started = [bench.choose(NOW, 1).account.id for _ in range(20)]
    assert started.count(1) == pytest.approx(10, abs=1)


def test_without_limits_tasks_are_taken_many_at_once_and_with_them_one_by_one() -> None:
    bench = Bench({1: FREE, 2: LimitSpec(limits=("100/second",), smooth=False)})
    bench.add(1, 1, *[5] * 10)
    assert [task.seq for task in bench.choose(NOW, 8).tasks] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [task.seq for task in bench.choose(NOW, 8).tasks] == [9, 10]
    bench.add(2, 2, *[5] * 10)
    assert [task.seq for task in bench.choose(NOW, 8).tasks] == [11]


def test_tasks_leave_in_order_however_they_came() -> None:
    bench = Bench({1: FREE})
    bench.add(1, 1, 3, 5, 5)  # 1 2 3
    bench.add(1, 1, 5, 7)  # 4 5: behind
    bench.add(1, 1, 1)  # 6: before
    bench.add(1, 1, 4, 8)  # 7 8: among
    bench.add(1, 1)
    assert [task.seq for task in bench.choose(NOW, 9).tasks] == [6, 1, 7, 2, 3, 4, 5, 8]


def test_what_was_not_performed_is_as_urgent_as_before() -> None:
    bench = Bench({1: LimitSpec(limits=("100/second",), smooth=False)})
    bench.add(1, 1, 5, 5, 5)
    (first, second, _) = bench.start()
    for pick in (second, first):
        bench.finish(pick, NOW)
        bench.put_back(pick, pick.tasks[0], NOW)
    bench.add(1, 1, 4)
    assert [pick.tasks[0].seq for pick in bench.start()] == [4, 1, 2]


def test_a_task_that_makes_no_request_waits_for_no_limit_and_counts_against_none() -> None:
    bench = Bench({1: LimitSpec(limits=("2/second",), concurrency=2, smooth=False)}, costs={"s.sweep": 0})
    bench.add(1, 1, 5, 5, 5)
    assert len(bench.start()) == 2
    bench.add(1, 2, 5, kind="s.sweep")
    (free,) = bench.start()
    assert free.tasks[0].kind == "s.sweep"
    bench.finish(free, NOW)
    assert bench.start() == []
    (account,) = bench.accounts()
    assert account.limiter.inflight == 2


# what waits


def test_the_tasks_of_a_run_can_be_taken_back_and_the_others_go_on() -> None:
    bench = Bench({1: FREE, 2: FREE})
    bench.add(1, 1, 5, 3, 5)
    bench.add(2, 2, 5)
    others = [Task(next(bench.seqs), 1, 4, 2, "s.page", 0, "{}"), Task(next(bench.seqs), 1, 5, 2, "s.page", 0, "{}")]
    bench.add_heads(1, 1, "b1", 2, others, more=False, blocked_until=0.0, now=NOW)
    assert sorted(task.seq for task in bench.taken_back({1})) == [1, 2, 3, 4]
    assert [task.seq for pick in bench.start(most=9) for task in pick.tasks] == [5, 6]
    assert bench.taken_back({1, 2}) == []


def test_runs_of_one_bucket_take_turns_and_the_urgent_goes_first() -> None:
    bench = Bench({1: LimitSpec(limits=("1/second",))})
    runs = {run: [Task(next(bench.seqs), 1, 5, run, "s.page", 0, "{}") for _ in range(4)] for run in (1, 2, 3)}
    for run, tasks in runs.items():
        bench.add_heads(1, 1, "b1", run, tasks, more=False, blocked_until=0.0, now=NOW)
    urgent = Task(next(bench.seqs), 1, 2, 3, "s.page", 0, "{}")
    now, order = NOW, list[int]()
    while len(order) < 13:
        if len(order) == 4:
            bench.add_heads(1, 1, "b1", 3, [urgent], more=False, blocked_until=0.0, now=now)
        order += [task.run for pick in bench.start(now) for task in pick.tasks]
        now += 1.1
    assert order == [1, 2, 3, 1, 3, 2, 1, 3, 2, 1, 3, 2, 3]


def test_without_limits_a_turn_ends_where_another_run_is_as_urgent() -> None:
    bench = Bench({1: LimitSpec()})
    first = [Task(next(bench.seqs), 1, priority, 1, "s.page", 0, "{}") for priority in (1, 1, 5, 5)]
    second = [Task(next(bench.seqs), 1, 3, 2, "s.page", 0, "{}") for _ in range(2)]
    for run, tasks in ((1, first), (2, second)):
        bench.add_heads(1, 1, "b1", run, tasks, more=False, blocked_until=0.0, now=NOW)
    taken = [[(task.run, task.priority) for task in pick.tasks] for pick in bench.start(most=32)]
    assert taken == [[(1, 1)] * 2, [(2, 3)] * 2, [(1, 5)] * 2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=60),
    st.lists(st.sampled_from(["pick", "add", "withdraw", "serve", "tidy"]), max_size=80),
    st.randoms(use_true_random=False),
)
def test_the_most_urgent_of_the_runs_that_are_served_goes_first(
    tasks: list[tuple[int, int]], acts: list[str], draw: Random
) -> None:
    bench, waiting = (
        Bench({1: LimitSpec()}),
        [Task(n, 1, p, run, "s.page", 0, "{}") for n, (run, p) in enumerate(tasks, 1)],
    )
    here: list[Task] = []
    away: dict[int, list[Task]] = {}
    served_at: Counter[int] = Counter()
    for count, act in enumerate(acts, 1):
        if act == "add" and waiting:
            task = waiting.pop(draw.randrange(len(waiting)))
            if task.run in away:
                away[task.run].append(task)
                continue
            here.append(task)
            bench.add_heads(1, 1, "b1", task.run, [task], more=False, blocked_until=0.0, now=NOW)
        elif act == "withdraw":
            run = draw.randint(1, 4)
            back = bench.taken_back({run})
            assert {task.seq for task in back} == {task.seq for task in here if task.run == run}
            here = [task for task in here if task.run != run]
            away.setdefault(run, []).extend(back)
            served_at[run] = 0
        elif act == "serve" and away:
            run, tasks_of_it = away.popitem()
            tasks_of_it.sort(key=lambda task: (task.priority, task.seq))
            here += tasks_of_it
            bench.add_heads(1, 1, "b1", run, tasks_of_it, more=False, blocked_until=0.0, now=NOW)
        elif act == "tidy":
            bench.tidy(NOW)
            served_at -= Counter({run: served_at[run] for run in served_at if not any(t.run == run for t in here)})
        elif act == "pick":
            pick = bench.choose(NOW, 1)
            assert (pick is None) == (not here)
            if pick is None:
                continue
            bench.charge(pick, NOW)
            (task,) = pick.tasks
            assert task == min(here, key=lambda each: (each.priority, served_at[each.run], each.run, each.seq)) or (
                task.priority == min(each.priority for each in here)
                and served_at[task.run] == min(served_at[each.run] for each in here if each.priority == task.priority)
            )
            served_at[task.run] = count
            here.remove(task)
            bench.finish(pick, NOW)


def test_a_task_of_a_run_that_was_withdrawn_is_given_back_and_not_started() -> None:
    bench = Bench({1: LimitSpec()})
    bench.add(1, 1, 5, 5)
    (pick,) = bench.start(most=1)[:1]
    back = list[Task]()
    bench.withdraw({1}, back.extend, NOW)
    assert [task.seq for task in back] == []
    bench.finish(pick, NOW)
    bench.put_back(pick, pick.tasks[0], NOW)
    assert back == pick.tasks
    assert bench.start() == []


def test_what_was_picked_and_not_performed_is_as_before() -> None:
    bench = Bench({1: LimitSpec(concurrency=1)})
    bench.add(1, 1, 5, 5)
    pick = bench.choose(NOW, 1)
    assert pick is not None
    bench.undo(pick, NOW)
    account = bench.known(1)
    assert account is not None
    assert (account.buckets[1].out, account.limiter.inflight, pick.origin and pick.origin.out) == (0, 0, 0)
    assert [task.seq for each in bench.start() for task in each.tasks] == [1]


def test_each_start_is_counted_against_the_account_and_its_bucket() -> None:
    spec = LimitSpec(limits=("5/second",), bucket_limits=("3/second",), by_bucket={"b2": ("1/second",)}, smooth=False)
    bench = Bench({1: spec})
    for bucket in (1, 2, 3):
        bench.add(1, bucket, *[5] * 9)
    assert Counter(pick.tasks[0].bucket for pick in bench.start()) == {1: 2, 2: 1, 3: 2}
    assert bench.start(NOW + 0.9) == []
    assert Counter(pick.tasks[0].bucket for pick in bench.start(NOW + 1.1)) == {1: 2, 2: 1, 3: 2}


def test_smooth_starts_come_one_by_one_and_next_at_says_when() -> None:
    bench = Bench({1: LimitSpec(limits=("10/second",))})
    bench.add(1, 1, *[5] * 30)
    now, starts = NOW, list[float]()
    for _ in range(30):
        assert len(bench.start(now)) == 1
        starts.append(now)
        now = bench.next_at()
    assert starts[-1] - starts[1] == pytest.approx(28 * 0.1 / 0.985)


def test_a_concurrency_cap_waits_for_an_answer_and_not_for_time() -> None:
    bench = Bench({1: LimitSpec(concurrency=2)})
    bench.add(1, 1, *[5] * 5)
    first, _ = bench.start()
    assert bench.next_at() == math.inf
    assert bench.start(NOW + 1000) == []
    bench.finish(first, NOW + 1000)
    assert len(bench.start(NOW + 1000)) == 1


def test_a_kind_that_costs_more_takes_more_of_each_limit() -> None:
    bench = Bench({1: LimitSpec(limits=("10/second",), smooth=False)}, costs={"s.search": 4})
    bench.add(1, 1, *[5] * 9, kind="s.search")
    assert len(bench.start()) == 2
    bench.add(1, 2, *[9] * 9)
    assert order(bench.start()) == [(2, 9)] * 2


def test_a_bucket_blocked_before_the_restart_stays_so() -> None:
    bench = Bench({1: FREE})
    bench.add(1, 1, 5, blocked_until=NOW + 30)
    bench.add(1, 2, 5)
    assert order(bench.start()) == [(2, 5)]
    assert bench.next_at() == NOW + 30
    assert order(bench.start(NOW + 30)) == [(1, 5)]


def test_a_throttled_account_without_limits_waits_as_well() -> None:
    bench = Bench({1: FREE})
    bench.add(1, 1, *[5] * 3)
    pick = bench.choose(NOW, 1)
    bench.charge(pick, NOW)
    pick.account.limiter.throttled(NOW, NOW, 7.0, 0.5, certain=True)
    bench.finish(pick, NOW)
    bench.put_back(pick, pick.tasks[0], NOW)
    assert bench.start(NOW + 6.9) == []
    assert bench.next_at() == NOW + 7
    probe = bench.choose(NOW + 7, 1)
    assert probe.tasks[0].seq == 1
    stamp = bench.charge(probe, NOW + 7)
    assert bench.start(NOW + 7.5) == []  # nothing is known of the first one yet
    probe.account.limiter.succeeded(stamp, NOW + 7)
    probe.account.limiter.ended(stamp)
    bench.finish(probe, NOW + 8)
    assert [started.tasks[0].seq for started in bench.start(NOW + 8)] == [2, 3]


def test_a_paused_account_starts_nothing_until_it_is_opened() -> None:
    bench = Bench({1: FREE})
    bench.add(1, 1, 5)
    bench.pause(1, "its key was refused")
    bench.add(1, 1, 5)
    bench.add(1, 2, 5)
    assert bench.start(NOW + 1000) == []
    assert bench.next_at() == math.inf
    bench.pause(1, None)
    assert len(bench.start()) == 3


def test_tasks_of_an_account_that_is_not_configured_any_more_stay_on_disk() -> None:
    bench = Bench({1: FREE})
    bench.add(7, 1, 5)
    assert bench.account(7) is None
    assert bench.start() == []
    assert list(bench.accounts()) == []


# questions


QUESTION = Task(0, 0, 0, 0, "s.who", 0, "{}")


def asked(bench: Bench, bucket: int | None = None, task: Task = QUESTION) -> Future[Outcome]:
    account = bench.account(1)
    assert account is not None
    answer: Future[Outcome] = Future()
    account.ask(task, account.buckets[bucket] if bucket else None, False, answer)
    bench.place(account, NOW)
    return answer


def test_a_question_goes_first_and_holds_nothing_up() -> None:
    bench = Bench({1: FREE})
    bench.add(1, 1, 5)
    asked(bench)
    assert [pick.tasks[0].kind for pick in bench.start()] == ["s.who", "s.page"]


def test_a_question_is_asked_of_an_account_that_is_stopped_and_nothing_else() -> None:
    bench = Bench({1: FREE})
    bench.pause(1, "its key was refused")
    bench.add(1, 1, 5)
    asked(bench)
    assert [pick.tasks[0] for pick in bench.start()] == [QUESTION]
    assert bench.next_at() == math.inf


@pytest.mark.parametrize("counted", [True, False])
def test_a_question_counts_against_the_account_and_the_bucket_that_it_reads(counted: bool) -> None:
    bench = Bench({1: LimitSpec(limits=("3/10 seconds",), bucket_limits=("1/10 seconds",), smooth=False)})
    bench.add(1, 1, *[5] * 9)
    bench.add(1, 2, *[5] * 9)
    asked(bench, 1 if counted else None)
    started = bench.start()
    assert started[0].tasks == [QUESTION]
    assert sorted(pick.tasks[0].bucket for pick in started[1:]) == ([2] if counted else [1, 2])
    for pick in started:
        bench.finish(pick, NOW + 1)
    assert bench.start(NOW + 9) == []


def test_who_asks_meanwhile_shares_the_answer_and_who_has_gone_is_not_told() -> None:
    bench = Bench({1: LimitSpec(limits=("1/10 seconds",), smooth=False)})
    first, second, third = asked(bench), asked(bench), asked(bench)
    account = bench.known(1)
    assert account is not None
    assert account.forget(third) is False
    (pick,) = bench.start()
    bench.finish(pick, NOW)
    question = account.question
    assert question is not None
    question.answer(DONE)
    assert (first.result(0), second.result(0), third.done()) == (DONE, DONE, False)


def test_a_question_that_nobody_waits_for_is_not_asked() -> None:
    bench = Bench({1: FREE})
    answer = asked(bench)
    account = bench.known(1)
    assert account is not None
    assert account.forget(answer)
    bench.place(account, NOW)
    assert bench.start() == []


def test_a_question_whose_worker_is_lost_is_asked_again() -> None:
    bench = Bench({1: FREE})
    asked(bench)
    (pick,) = bench.start()
    bench.finish(pick, NOW)
    bench.put_back(pick, QUESTION, NOW)
    assert [again.tasks[0] for again in bench.start()] == [QUESTION]


# the guard


def test_nothing_of_an_account_starts_before_its_guard_has_passed() -> None:
    bench = Bench({1: FREE, 2: FREE})
    bench.guard(1)
    bench.add(1, 1, 0, 0)
    bench.add(2, 2, 9)
    started = bench.start()
    assert [pick.tasks[0] for pick in started if pick.account.id == 1] == [GUARD]
    assert [pick.tasks[0].priority for pick in started if pick.account.id == 2] == [9]
    bench.finish(started[0], NOW)
    bench.add(1, 1, 0)
    assert bench.start(NOW + 1000) == []
    bench.pause(1, None)
    assert len(bench.start()) == 3


def test_a_guard_that_failed_runs_again_at_its_time() -> None:
    bench = Bench({1: FREE})
    bench.guard(1)
    bench.add(1, 1, 5)
    (pick,) = bench.start()
    assert pick.account.guard is not None
    bench.finish(pick, NOW)
    pick.account.guard.at = NOW + 5
    bench.put_back(pick, pick.tasks[0], NOW)
    assert bench.start(NOW + 4) == []
    assert bench.next_at() == NOW + 5
    assert [again.tasks[0] for again in bench.start(NOW + 5)] == [GUARD]


def test_a_guard_counts_against_the_accounts_limit() -> None:
    bench = Bench({1: LimitSpec(limits=("1/10 seconds",), smooth=False)})
    bench.guard(1)
    bench.add(1, 1, 5)
    (pick,) = bench.start()
    bench.finish(pick, NOW)
    bench.pause(1, None)
    assert bench.start(NOW + 9) == []
    assert len(bench.start(NOW + 11)) == 1


def test_a_guard_waits_when_its_account_was_throttled_after_it_was_due() -> None:
    bench = Bench({1: FREE})
    bench.guard(1)
    account = bench.account(1)
    assert account is not None
    account.limiter.throttled(NOW, NOW, 5.0, 0.5, certain=True)  # the answer to an earlier request
    assert bench.start(NOW + 1) == []
    assert [pick.tasks[0] for pick in bench.start(NOW + 5)] == [GUARD]


# nobody waits for others


def test_accounts_that_cannot_start_cost_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in operations on heaps: throttled, paused, guarded, exhausted and full accounts, 2,000 of them."""
    operations = 0

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            nonlocal operations
            operations += 1
            return operation(*arguments)

        return count

    specs = dict.fromkeys(range(2001), FREE)
    specs |= {number: LimitSpec(limits=("1/hour",)) for number in range(1, 2001, 5)}
    specs |= {number: LimitSpec(concurrency=1) for number in range(2, 2001, 5)}
    specs[0] = LimitSpec(limits=("100000/second",), smooth=False)
    bench = Bench(specs)
    for number in range(1, 2001):
        bench.add(number, number, 0, 0)
        account = bench.account(number)
        assert account is not None
        match number % 5:
            case 1 | 2:
                pass
            case 3:
                bench.pause(number, "no key")
            case 4:
                account.limiter.throttled(NOW, NOW, 3600.0, 0.5, certain=True)
                bench.place(account, NOW)
            case _:
                bench.guard(number)
    bench.start()
    bench.add(0, 0, *[9] * 500)
    monkeypatch.setattr(turns, "heappush", counted(heappush))
    monkeypatch.setattr(turns, "heappop", counted(heappop))
    started = 0
    for number in range(500):
        now = NOW + number / 1000
        pick = bench.choose(now, 1)
        assert pick.account.id == 0
        bench.charge(pick, now)
        bench.finish(pick, now)
        bench.next_at()
        started += 1
    assert started == 500
    assert operations <= 500 * 8


# refills


def test_more_tasks_are_asked_for_in_time_and_not_twice() -> None:
    bench = Bench({1: LimitSpec(limits=("100/second",), smooth=False)})
    bench.add(1, 1, more=True)
    assert bench.asked == [(1, FIRST_WANT)]
    bench.add(1, 1, *[5] * 4, more=True, now=NOW + 1)
    assert bench.asked == [(1, FIRST_WANT)]
    bench.choose(NOW + 1, 1)
    assert bench.asked == [(1, FIRST_WANT)]
    bench.choose(NOW + 1, 1)
    assert bench.asked == [(1, FIRST_WANT)] * 2
    bench.start(NOW + 1)
    assert len(bench.asked) == 2
    bench.add(1, 1, more=False)
    bench.start(NOW + 1)
    assert len(bench.asked) == 2  # there are no more


def test_a_bucket_that_runs_dry_quickly_is_given_more_at_once_and_a_slow_one_less() -> None:
    bench = Bench({1: FREE})
    now = NOW
    for _ in range(20):
        bench.add(1, 1, 5, more=True, now=now)
        bench.start(now)
        now += REFILL_SECONDS / 2
    assert bench.asked[-1] == (1, MOST_WANT)
    for _ in range(20):
        bench.add(1, 1, 5, more=True, now=now)
        bench.start(now)
        now += 60
    assert bench.asked[-1] == (1, FIRST_WANT)


# quotas


def test_a_quota_is_asked_for_and_its_answer_starts_what_waits() -> None:
    bench = Bench({1: LimitSpec(limits=("1000/day",)), 2: FREE})
    bench.add(1, 1, *[5] * 20)
    bench.add(2, 2, 5)
    assert order(bench.start()) == [(2, 5)]
    (ask,) = bench.asked_quotas
    bench.grant(Grant(ask.quota, 10, 0.0), NOW + 864, NOW)
    assert len(bench.start()) == 10
    bench.grant(Grant(ask.quota, 0, 0.0), NOW + 500, NOW)
    assert bench.start(NOW + 499) == []
    assert bench.next_at() == NOW + 500
    bench.give_back_quotas()
    assert [each.unused for each in bench.asked_quotas] == [0, 0]


def test_what_is_granted_and_not_used_is_given_back_at_the_end() -> None:
    bench = Bench({1: LimitSpec(limits=("1000/day",), bucket_limits=("500/day",))})
    bench.add(1, 1, 5)
    bench.start()
    while bench.asked_quotas:
        ask = bench.asked_quotas.pop()
        bench.grant(Grant(ask.quota, 10, 0.0), NOW + 864, NOW)
        bench.start()
    bench.give_back_quotas()
    assert [(ask.cost, ask.unused) for ask in bench.asked_quotas] == [(0, 9), (0, 9)]


def test_a_guard_does_not_use_a_grant_that_has_expired_while_workers_were_busy() -> None:
    bench = Bench({1: LimitSpec(limits=("1000/day",))})
    bench.guard(1)
    (ask,) = bench.asked_quotas
    bench.grant(Grant(ask.quota, 10, 0.0), NOW + 864, NOW)
    assert bench.start(NOW + 865) == []
    assert bench.asked_quotas[-1].unused == 10


# tidying


def test_what_is_drained_and_has_nothing_to_remember_is_dropped() -> None:
    bench = Bench({1: LimitSpec(limits=("5/second",), bucket_limits=("2/second",), smooth=False), 2: FREE})
    for bucket in range(1, 50):
        bench.add(1, bucket, 5)
    now = NOW
    while started := bench.start(now):
        for pick in started:
            bench.finish(pick, now)
        now += 1.01
    bench.add(2, 99, 5, more=True, now=now)
    bench.tidy(now)
    assert [account.id for account in bench.accounts()] == [2]


@pytest.mark.parametrize("smooth", [True, False])
def test_dropping_forgets_no_limit(smooth: bool) -> None:
    bench = Bench({1: LimitSpec(limits=("5/second",), bucket_limits=("2/second",), smooth=smooth)})
    now, starts = NOW, list[float]()
    for step in itertools.cycle([0.05, 0.9, 0.01, 0.35, 2.0]):
        bench.add(1, 1, 5, 5, now=now)
        for pick in bench.start(now):
            bench.finish(pick, now)
            starts.append(now)
        bench.tidy(now)
        now += step
        if len(starts) > 40:
            break
    assert all(after - before >= 1 for before, after in zip(starts, starts[2:], strict=False))


def test_an_account_is_kept_while_it_is_paused_guarded_or_throttled() -> None:
    bench = Bench({1: FREE, 2: FREE, 3: FREE})
    bench.pause(1, "no key")
    bench.guard(2)
    account = bench.account(3)
    assert account is not None
    account.limiter.throttled(NOW, NOW, 100.0, 0.5, certain=True)
    bench.tidy(NOW + 1)
    assert [account.id for account in bench.accounts()] == [1, 2, 3]
    bench.tidy(NOW + 101)
    assert [account.id for account in bench.accounts()] == [1, 2]


@pytest.mark.parametrize("spec", [FREE, LimitSpec(limits=("5/second",), smooth=False), LimitSpec(concurrency=3)])
def test_a_task_that_is_out_can_come_back_however_late(spec: LimitSpec) -> None:
    """Its account must be the one that is paused or opened later, not one made anew beside it."""
    bench = Bench({1: spec})
    bench.add(1, 1, 5)
    (pick,) = bench.start()
    bench.tidy(NOW + 100)
    bench.finish(pick, NOW + 100)
    bench.put_back(pick, pick.tasks[0], NOW + 100)
    bench.pause(1, "its key was refused", NOW + 100)
    assert bench.start(NOW + 100) == []
    bench.pause(1, None, NOW + 100)
    assert [again.tasks[0] for again in bench.start(NOW + 100)] == [pick.tasks[0]]
    bench.finish(pick, NOW + 100)
    bench.tidy(NOW + 1000)
    assert list(bench.accounts()) == []


# all of it at once

SPECS = st.sampled_from(
    [
        FREE,
        LimitSpec(limits=("5/second",)),
        LimitSpec(limits=("5/second",), smooth=False, weight=2),
        LimitSpec(limits=("5/second", "20/10 seconds"), bucket_limits=("2/second",)),
        LimitSpec(bucket_limits=("3/second",), by_bucket={"b0": ("1/second",)}, smooth=False),
        LimitSpec(limits=("5/second",), concurrency=2, smooth=False),
        LimitSpec(concurrency=1),
    ]
)
ENDS = st.sampled_from(["done"] * 6 + ["throttled", "retry after", "account throttled", "refused"])


class World:
    """A store, workers and an API around a workbench, in virtual time, that check whatever it starts."""

    def __init__(self, specs: list[LimitSpec], tasks: list[tuple[int, int, int]], ends: list[str]) -> None:
        self.now = NOW
        self.specs = dict(enumerate(specs))
        self.bench = Workbench(Limits(self.specs), self, outages())
        self.disk: dict[Queue, list[tuple[int, int, Task]]] = defaultdict(list)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.ties = itertools.count()
        self.ends = itertools.cycle(ends)
        self.running: Counter[int] = Counter()
        self.starts: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        self.blocked: defaultdict[int, float] = defaultdict(float)
        self.account_of: dict[int, int] = {}
        self.done: set[int] = set()
        self.opened: set[int] = set()
        for seq, (account, bucket, priority) in enumerate(tasks):
            account %= len(specs)
            number = 10 * account + bucket
            self.account_of[number] = account
            run = seq % 3
            heappush(self.disk[number, run], (priority, seq, Task(seq, number, priority, run, "s.page", 0, "{}")))
        self.left = len(tasks)

    def ask_quota(self, ask: Ask) -> None: ...
    def remember(self, key: str, learned: Learned) -> None: ...

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        heappush(self.events, (self.now + seconds, next(self.ties), event))

    def refill(self, queue: Queue, count: int) -> None:
        self.at(0.003, lambda: self.deliver(queue, count))

    def deliver(self, queue: Queue, count: int) -> None:
        rows = self.disk[queue]
        tasks = [heappop(rows)[2] for _ in range(min(count, len(rows)))]
        bucket, run = queue
        account, name = self.account_of[bucket], f"b{bucket % 10}"
        self.bench.add_heads(
            bucket, account, name, run, tasks, more=bool(rows), blocked_until=self.blocked[bucket], now=self.now
        )

    def run(self) -> None:
        for queue in self.disk:
            self.deliver(queue, 0)
        for number in self.specs:
            account = self.bench.account(number)
            assert account is not None
            account.guard = Guard(GUARD)
            self.bench.place(account, self.now)
        while len(self.done) < self.left:
            while pick := self.bench.choose(self.now, 3):
                self.bench.charge(pick, self.now)
                for task in pick.tasks:
                    self.start(pick, task)
            self.nothing_is_forgotten()
            wake_at = min(self.bench.next_at(), self.events[0][0] if self.events else math.inf)
            assert wake_at < NOW + 10_000, "it stands still"
            self.now = max(self.now, wake_at)
            while self.events and self.events[0][0] <= self.now:
                heappop(self.events)[2]()
            if int(self.now * 7) % 3 == 0:
                self.bench.tidy(self.now)

    def start(self, pick: Pick, task: Task) -> None:
        account = pick.account
        assert account.refused is None
        self.running[account.id] += 1
        assert self.running[account.id] <= (account.spec.concurrency or math.inf)
        self.starts["account", account.id].append(self.now)
        if task is GUARD:
            assert account.id not in self.opened
        else:
            assert account.id in self.opened
            self.starts["bucket", task.bucket].append(self.now)
            assert self.now >= self.blocked[task.bucket]
        end = "done" if task is GUARD else next(self.ends)
        self.at(0.05 if end == "done" else 0.2, lambda: self.end(pick, task, end))

    def end(self, pick: Pick, task: Task, end: str) -> None:
        account, bucket = pick.account, pick.bucket
        self.running[account.id] -= 1
        if bucket is None:
            self.bench.finish(pick, self.now)
            if account.guard is not None:  # it was not paused meanwhile
                self.opened.add(account.id)
                account.guard = None
                self.bench.place(account, self.now)
            return
        match end:
            case "throttled":
                bucket.limiter.throttled(self.now - 0.2, self.now, None, 0.5, certain=True)
            case "retry after":
                bucket.limiter.throttled(self.now - 0.2, self.now, 3.0, 0.5, certain=True)
                self.blocked[bucket.id] = self.now + 3.0
            case "account throttled":
                account.limiter.throttled(self.now - 0.2, self.now, 2.0, 0.5, certain=True)
            case "refused" if account.refused is None:
                account.refuse("refused")
                self.opened.discard(account.id)
                self.at(5.0, lambda: self.check_again(account.id))
            case "refused":
                pass
            case _:
                bucket.limiter.succeeded(Stamp(self.now), self.now)
                account.limiter.succeeded(Stamp(self.now), self.now)
                assert task.seq not in self.done
                self.done.add(task.seq)
        self.bench.finish(pick, self.now)
        if end != "done":
            self.bench.put_back(pick, task, self.now)

    def check_again(self, number: int) -> None:
        account = self.bench.account(number)
        assert account is not None
        account.check(GUARD)
        self.bench.place(account, self.now)

    def nothing_is_forgotten(self) -> None:
        """What a look at everything would start now."""
        for account in self.bench.accounts():
            if account.refused is not None:
                continue
            if account.guard is not None:
                assert account.guard.leased or account.limiter.free_at(self.now) > self.now
                continue
            for bucket in account.buckets.values():
                if bucket.heads:
                    assert max(bucket.limiter.free_at(self.now), account.limiter.free_at(self.now)) > self.now
                for queue in bucket.queues.values():
                    assert queue.heads or queue.asked or not queue.more

    def check_limits(self) -> None:
        for (what, number), starts in self.starts.items():
            if what == "account":
                limits = self.specs[number].limits
            else:
                spec = self.specs[number // 10]
                limits = spec.by_bucket.get(f"b{number % 10}", spec.bucket_limits)
            for item in parse_limits(limits):
                for before, after in zip(starts, starts[item.amount :], strict=False):
                    assert after - before >= item.get_expiry(), f"{what} {number}: {starts}"


@settings(max_examples=150, deadline=None)
@given(
    specs=st.lists(SPECS, min_size=1, max_size=4),
    tasks=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=40),
    ends=st.lists(ENDS, min_size=1, max_size=10).map(lambda ends: [*ends, "done"]),
)
def test_everything_is_done_once_in_time_within_limits(
    specs: list[LimitSpec], tasks: list[tuple[int, int, int]], ends: list[str]
) -> None:
    world = World(specs, tasks, ends)
    world.run()
    assert world.done == set(range(len(tasks)))
    world.check_limits()
