"""crawlerd: a durable disk-queue crawler daemon for rate-limited APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.version import __version__

if TYPE_CHECKING:
    import os

    from crawlerd.operations.import_report import ImportReport

__all__ = ["__version__", "run_import"]


def run_import(
    config: str | os.PathLike[str],
    *names: str,
    full: bool = False,
    allow_shrink: bool = False,
    outage_seconds: float = 300.0,
    timeout: float | None = None,
) -> ImportReport:
    """Runs imports to their end, as `crawlerd import` does, and returns what they brought.

    For notebooks and for tasks of Airflow or Dagster. It blocks, works from any thread, and leaves signals, logging and
    stdout alone. An interrupted run is resumed. KeyboardInterrupt lets requests under way finish, for
    `daemon.drain_seconds` at most, and is raised again.

    While a daemon uses the state directory, it is asked for the runs, and they are followed: what ends the call does
    not end them. The keys are the daemon's then, and it waits for an API that is away.

    config: path of the configuration file.
    names: of imports in it; one at least.
    full: read everything, not only what has changed.
    allow_shrink: accept that a full run sees far fewer records than the last one.
    outage_seconds: how long an API may not answer before the call returns; the next one resumes the run. Not of a
        daemon's runs.
    timeout: seconds after which the call returns, complete or not; the next one resumes the run. None: no limit.

    The report has the `state` of the whole, `complete`, and in `imports` the runs of each import with their streams.
    Dead letters and refused accounts are in the report, and raise nothing. Raises, of `crawlerd.core.errors`:

    ConfigurationError: the configuration is wrong, or has no such import.
    FrontierLocked: another import uses the state directory.
    FrontierError: the state directory cannot be used.
    SinkError: a sink cannot be used.
    StorageFailed: a disk is full or fails.
    WorkersFailed: no worker process can start.
    Unauthorized, Transient and other CrawlerdErrors: the API kept a single import from starting.
    """
    if not names:
        raise ValueError("name at least one import")
    from crawlerd.service.library import run_import

    return run_import(
        config, names, full=full, allow_shrink=allow_shrink, outage_seconds=outage_seconds, timeout=timeout
    )
