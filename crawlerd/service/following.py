"""Runs in a daemon that another process has asked for: started over the daemon's socket, and followed to their end."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from crawlerd.frontier import open_reader
from crawlerd.operations.import_report import ImportReport, conclusion, reported
from crawlerd.operations.run_history import RunRequest, RunStarted
from crawlerd.service.control import STARTING_SECONDS, Asked, ask, is_hidden, must_ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.import_report import Stopped


def takes_commands(daemon: Asked) -> bool:
    """Whether a daemon uses the state directory, or is starting there. An import in the foreground takes no
    commands."""
    until = time.monotonic() + STARTING_SECONDS
    while ask(daemon, "GET", "pauses?limit=1", object) is None:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)  # a starting daemon does not signal that it listens
    return True


def start_run(daemon: Asked, name: str, request: RunRequest) -> RunStarted:
    """Asks for a run of an import. If one is under way, that one is the answer."""
    return must_ask(daemon, "POST", f"imports/{quote(name, safe='')}/run", RunStarted, request)


def unfinished(daemon: Asked, runs: Sequence[int]) -> list[RunReport]:
    """The runs that have not ended."""
    with _reader(daemon) as reader:
        return [run for run in reader.runs(runs) if run.ended_at is None] if reader else []


def report_of_runs(
    daemon: Asked, runs: Mapping[str, Sequence[int]], not_started: Mapping[str, str], stopped: Stopped | None = None
) -> ImportReport:
    """A report of runs.

    runs: the numbers of the runs, by import.
    not_started: why others could not start, by import.
    stopped: why the command stopped waiting; None if all runs have ended.
    """
    with _reader(daemon) as reader:
        assert reader is not None  # noqa: S101 - the runs are in it
        reports = {
            name: [(run, reader.streams(run.id)) for run in reader.runs(numbers)] for name, numbers in runs.items()
        }
    every = [run for each in reports.values() for run, _ in each]
    state = conclusion(
        {run.state for run in every},
        started=not not_started,
        cut_off=False,
        complete=all(run.complete for run in every),
        stopped=stopped,
    )
    imports = {name: [reported(run, streams) for run, streams in each] for name, each in reports.items()}
    return ImportReport(state=state, imports=imports, not_started=dict(not_started))


@contextmanager
def _reader(daemon: Asked) -> Iterator[FrontierReader | None]:
    """A reader of the frontier: through the socket if this user may not read the files."""
    if is_hidden(daemon.state_dir):
        from crawlerd.service.remote_reader import remote_reader

        reader: FrontierReader | None = remote_reader(daemon)
    else:
        reader = open_reader(daemon.state_dir)
    try:
        yield reader
    finally:
        if reader:
            reader.close()
