"""Leases whose outcomes come in portions: who waits for whom, and what becomes of a lease that is lost meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from crawlerd.core.outcome import Batch, Portion
from crawlerd.core.task import Task
from crawlerd.engine.leases import Leases
from crawlerd.engine.portioned import Portioned
from crawlerd.engine.queues import Pick
from crawlerd.engine.store_inbox import Outcomes, StoreInbox, Void
from crawlerd.frontier.contract import Ahead
from crawlerd.ratelimit.window import Stamp

if TYPE_CHECKING:
    from crawlerd.engine.worker_process import WorkerProcess

NOW, SECONDS = 1000.0, 60.0


class Named:
    id = 1


class Worker:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.sent: list[Portion] = []
        self.told: list[tuple[int, str]] = []

    def portions(self) -> list[Portion]:
        sent, self.sent = self.sent, []
        return sent

    def answer(self, token: int, refused: str) -> None:
        self.told.append((token, refused))


class Setting:
    def __init__(self) -> None:
        self.leases: Leases[WorkerProcess] = Leases(SECONDS)
        self.store = StoreInbox()
        self.portioned = Portioned(self.leases, self.store)
        self.worker = Worker()

    def issue(self, *numbers: int, bucket: object = Named()) -> int:
        tasks = [Task(number, 1, 5, 1, "s.page", 0, "{}") for number in numbers]
        pick = Pick(cast("Any", Named()), cast("Any", bucket), tasks)
        return self.leases.issue(pick, Stamp(NOW), cast("Any", self.worker), NOW).token

    def send(self, token: int, now: float = NOW, worker: Worker | None = None) -> list[Any]:
        """What comes to the store."""
        worker = worker or self.worker
        batch = Batch("items", 1, ["k"], [b"{}"], [], [], 2)
        worker.sent.append(Portion(token, [batch], entries=[(1, "[1]")], first=3))
        self.portioned.take(cast("Any", worker), now)
        return self.messages()

    def messages(self) -> list[Any]:
        found = []
        while not self.store.messages.empty():
            found.append(self.store.messages.get())
        return found


def test_a_portion_goes_to_the_store_with_its_task() -> None:
    here = Setting()
    token = here.issue(11, 12)
    (message,) = here.send(token + 1)
    assert isinstance(message, Outcomes)
    assert message.portions == 1
    (ahead,) = message.group
    assert isinstance(ahead, Ahead)
    assert (ahead.task.seq, ahead.account, ahead.token) == (12, 1, token + 1)
    assert (ahead.entries, ahead.first) == ([(1, "[1]")], 3)
    assert here.worker.told == []
    assert here.portioned.waits(token + 1)
    assert here.portioned.answered(token + 1, "") is cast("Any", here.worker)
    assert here.worker.told == [(token + 1, "")]
    assert not here.portioned.waits(token + 1)


def test_a_lease_has_its_time_again_with_each_portion() -> None:
    here = Setting()
    token = here.issue(11, 12)
    here.send(token + 1, NOW + 50)
    expired = here.leases.expired(NOW + SECONDS)
    assert expired
    assert expired[0] == token
    here.leases.settle(token)
    assert here.leases.expired(NOW + 50 + SECONDS - 1) is None
    late = here.leases.expired(NOW + 50 + SECONDS)
    assert late
    assert late[0] == token + 1


def test_a_portion_of_a_lease_that_has_ended_or_is_anothers_writes_nothing() -> None:
    here = Setting()
    token = here.issue(11)
    other = Worker()
    assert here.send(token, worker=other) == []
    assert other.told == [(token, "its lease has ended")]
    here.leases.settle(token)
    assert here.send(token) == []
    assert here.worker.told == [(token, "its lease has ended")]


def test_a_check_of_credentials_has_none() -> None:
    here = Setting()
    token = here.issue(0, bucket=None)
    assert here.send(token) == []
    assert here.worker.told == [(token, "its lease has ended")]


def test_a_lost_lease_voids_what_it_has_sent() -> None:
    here = Setting()
    token = here.issue(11, 12)
    here.send(token)
    for back in here.leases.take_back(cast("Any", here.worker)):
        here.portioned.lost(back.token, back.task)
    assert here.messages() == [Void(11, token)]
    assert here.portioned.answered(token, "") is None  # the store's answer comes too late
    assert not here.portioned.unanswered


def test_what_waits_counts_against_the_backlog() -> None:
    here = Setting()
    token = here.issue(11)
    here.worker.sent.append(Portion(token, entries=[(1, "x" * (40 << 20))]))
    here.portioned.take(cast("Any", here.worker), NOW)
    assert here.store.behind
    (message,) = here.messages()
    here.store.committed(1, message.size)
    assert not here.store.behind
