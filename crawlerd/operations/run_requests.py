"""Runs that people request: how the import is changed for one run, and whether that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.config.ad_hoc import for_run
from crawlerd.core.errors import ConfigurationError, CrawlerdError
from crawlerd.operations.problem import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.run_history import RunRequest


class OtherRun(CrawlerdError):
    """A run is under way, but with other options than those requested."""

    def __init__(self, run: RunReport) -> None:
        super().__init__(
            f"run {run.id} of import {run.import_name} is under way, and the options are for new runs: ask again when "
            f"it has ended, or end it with `crawlerd run cancel {run.id}`"
        )


def changed(settings: Settings, name: str, request: RunRequest, now: float) -> ImportSpec | None:
    """The import with the changes for the run; None if it is as configured. Raises Refused for an invalid request.

    now: Unix seconds.
    """
    if not request.changes:
        return None
    if request.streams and not request.whole and request.since is None:
        raise Refused("streams can only be given with full, since or sample")
    if request.full and request.since is not None:
        raise Refused("full reads everything, since reads what has changed since a time; not both")
    if request.since is not None and not 0 <= request.since <= now:
        raise Refused("since: give a time in Unix seconds that has passed")
    try:
        return for_run(settings, name, streams=request.streams, since=request.since, sample=request.sample)
    except ConfigurationError as error:
        raise Refused("; ".join(error.problems)) from None


def agree(request: RunRequest, runs: Sequence[RunReport]) -> None:
    """Raises OtherRun if one of the runs under way is not as requested."""
    for run in runs:
        whole = run.full and run.ad_hoc is None and run.part is None
        if request.changes or (request.full and not whole):
            raise OtherRun(run)
