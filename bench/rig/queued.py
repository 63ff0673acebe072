"""A queue that is filled in advance."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from crawlerd.core.configuration import SinkSpec
from crawlerd.core.outcome import Complete
from crawlerd.frontier import locate, open_reader
from crawlerd.frontier import open_frontier as opened
from crawlerd.frontier.contract import Frontier, Settled
from crawlerd.frontier.waiting_contract import FIRST
from crawlerd.sinks import open_sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from bench.rig.installation import Installation
    from crawlerd.core.task import NewTask

CHUNK = 10_000  # tasks a transaction
URL = "frontier.url"  # a file in the state directory; without it, the frontier is a file too


def open_frontier(place: Path) -> Frontier:
    """The frontier of a state directory, where a benchmark has put it."""
    locate(place, lambda: frontier_url(place))
    return opened(place, now=time.time())


def frontier_url(place: Path) -> str:
    """ "" for a file."""
    return (place / URL).read_text() if (place / URL).exists() else ""


def attached(frontier: Frontier, sink_path: Path) -> int:
    """The frontier's number of the sink `warehouse`: a run goes on only into the sink that it was begun for."""
    sink = open_sink(SinkSpec(name="warehouse", type="sqlite", path=sink_path))
    number = frontier.attach("sinks.warehouse", sink.state(frontier.mark.frontier), time.time()).id
    sink.close()
    return number


def fill(here: Installation, source: str, tasks: Mapping[str, Iterable[NewTask]], of: str = "") -> int:
    """Queues tasks by import, each as an interrupted run of the account of the import's own name, or of `of`.

    It goes through the frontier's own door: of each chunk but an account's first, one task is performed in advance.
    Returns how many are queued.
    """
    here.state_dir.mkdir(exist_ok=True)
    frontier = open_frontier(here.state_dir)
    sink = attached(frontier, here.sink_path)
    for name, wanted in tasks.items():
        account = frontier.account(of or name, source)
        rest = iter(wanted)
        frontier.start_run(name, account, list(islice(rest, CHUNK)), full=True, now=time.time(), sink=sink)
        queue = max((bucket.id, run) for bucket, run in frontier.ready_queues(account))  # the newest run's
        while chunk := list(islice(rest, CHUNK)):
            (parent,) = frontier.heads(queue, FIRST, 1)
            frontier.commit([Settled(parent, account, Complete(children=chunk))], now=time.time())
    frontier.close()
    return queued(here.state_dir)


def queued(state_dir: Path) -> int:
    """How many tasks are ready."""
    locate(state_dir, lambda: frontier_url(state_dir))
    reader = open_reader(state_dir)
    assert reader is not None
    ready, *_ = reader.totals()
    reader.close()
    return ready
