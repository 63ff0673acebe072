"""The operations of a frontier on sync points, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crawlerd.core.errors import CrawlerdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.frontier.reports import Act


class RunUnderWay(CrawlerdError):
    """A run of the import is under way, which reads and stages sync points, so that these cannot be changed now."""

    def __init__(self, import_name: str, run: int) -> None:
        super().__init__(
            f"run {run} of import {import_name} is under way, or was interrupted and goes on: let it end, or end it "
            f"with `crawlerd run cancel {run}`"
        )


class SyncPointStore(Protocol):
    """Reads and changes sync points for people. Part of `Frontier`."""

    def sync_points(self, import_name: str, sink_name: str) -> dict[str, str] | None:
        """See `FrontierReader`."""
        ...

    def change_sync_points(self, import_name: str, sink_name: str, changes: Mapping[str, str | None], act: Act) -> None:
        """Sets sync points of an import that has used the sink, and deletes those whose new value is None, with its
        line in the audit. Ended runs, if retried, do not publish these names any more. Raises RunUnderWay, and writes
        nothing, while a run of the import is under way. One transaction."""
        ...
