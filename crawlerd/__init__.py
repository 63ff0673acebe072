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
    """Runs imports to their end, as `crawlerd import` does, and returns the report.

    For notebooks, and for tasks of Airflow or Dagster. The call blocks, works from any thread, and leaves signals,
    logging and stdout alone. An interrupted run is resumed. On KeyboardInterrupt, requests under way may finish, for
    `daemon.drain_seconds` at most; then it is raised again.

    If a daemon uses the state directory, it is asked for the runs, and the call waits for them: ending the call does
    not end them. The daemon uses its own keys, and waits for an API that does not answer.

    config: path of the configuration file.
    names: the imports to run; at least one.
    full: read everything, not only what has changed.
    allow_shrink: accept that a full run sees far fewer records than the last one.
    outage_seconds: seconds for which an API may fail to answer before the call returns; the next call resumes the run.
        Not used for runs in a daemon.
    timeout: seconds after which the call returns, complete or not; the next call resumes the run. None: no limit.

    Returns a report with the `state` of all runs together, `complete`, and in `imports` the runs of each import with
    their streams. Dead letters and refused accounts are in the report, and raise nothing.

    Raises ValueError without a name, and these errors of `crawlerd.core.errors`:

    ConfigurationError: the configuration is wrong, or has no such import.
    FrontierLocked: another import uses the state directory.
    FrontierError: the state directory cannot be used.
    SinkError: a sink cannot be used.
    StorageFailed: a disk is full or fails.
    WorkersFailed: no worker process can start.
    Unauthorized, Transient and other CrawlerdErrors: the API kept the only import from starting.
    """
    if not names:
        raise ValueError("name at least one import")
    from crawlerd.service.library import run_import

    return run_import(
        config, names, full=full, allow_shrink=allow_shrink, outage_seconds=outage_seconds, timeout=timeout
    )
