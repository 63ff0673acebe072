"""Metrics of the frontier: tasks, accounts, pauses. They are read at the scrape."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, get_args

from crawlerd.core.metric_labels import TaskState
from crawlerd.core.pauses import Pausable
from crawlerd.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import Told
    from crawlerd.service.metric_families import Scrape

WORST = 20  # number of accounts that get a series of their own


def add_frontier(scrape: Scrape, engine: Engine, reader: FrontierReader, told: Sequence[Told] | None) -> None:
    """Adds the metrics.

    told: what the accounts in memory wait for; None if the dispatcher does not answer.
    """
    for state, count in zip(TaskState, reader.totals(), strict=True):
        scrape.set("tasks", count, state)
    paused = Counter(note.kind for note in reader.pauses())
    for kind in get_args(Pausable):
        scrape.set("paused", paused[kind], kind)
    for account, tasks in reader.most_ready(WORST):
        scrape.set("account_backlog_tasks", tasks, account)
    if told is not None:
        stuck = {run: reason for run, (reason, _) in engine.insight.stuck_runs().items()}
        waits = reader.wait_counts(time.time(), told, stuck)
        for reason in Reason:
            scrape.set("accounts", waits.get(reason, 0), reason)
