"""A group of outcomes costs one round trip: all of its transaction is sent before any answer is waited for."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.installation import until
from support.postgres_server import shared
from support.tcp_proxy import TcpProxy

from crawlerd.core.outcome import Batch, Complete, Retry
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.session import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.task import Task

NOW = 1_000_000.0


def child(task: Task) -> Settled:
    return Settled(
        task, 1, Complete([Batch("pages", 1, [], [])], children=[NewTask("s.page", "pages", 5, task.payload)])
    )


def retried(task: Task) -> Settled:
    return Settled(task, 1, Retry(60.0, "reset"))


def completed(task: Task) -> Settled:
    return Settled(task, 1, Complete([Batch("pages", 1, [], [])]))


@pytest.mark.parametrize("outcome", [child, retried, completed])
def test_a_group_is_sent_to_its_end_before_the_server_has_answered_anything(
    outcome: Callable[[Task], Settled],
) -> None:
    server = shared()
    with TcpProxy(server.port) as proxy:
        place = Place(server.url(port=proxy.port), server.schema())
        with closing(PostgresFrontier(place, now=NOW)) as it:
            account = it.account("acme", "stripe")
            tasks = [NewTask("s.page", "pages", 5, f'{{"page":{page}}}') for page in range(200)]
            it.start_run("a", account, tasks, full=True, now=NOW)
            ((bucket, run),) = it.ready_queues(None)
            tasks = it.heads((bucket.id, run), (-1, -1), 200)
            it.commit([child(each) for each in tasks[:50]], now=NOW)  # what is remembered of a run is read once
            it.next_due()
            kept: list[bytes] = []
            proxy.hold = lambda data: kept.append(data) is None
            committing = threading.Thread(
                target=it.commit, args=([outcome(each) for each in tasks[50:100]],), kwargs={"now": NOW}
            )
            committing.start()
            try:
                until(lambda: b"COMMIT" in b"".join(kept))
            finally:
                proxy.hold = lambda _: False
                proxy.release()
                committing.join(30)
            ((open_, delayed),) = server.query(f"SELECT open, delayed FROM {place.schema}.run")
            assert (open_, delayed) == {child: (200, 0), retried: (200, 50), completed: (150, 0)}[outcome]
