"""The imports: when each last ran, how old its data are, and when it starts next."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import msgspec

from crawlerd.frontier.reports import RunReport
from crawlerd.operations.schedules import next_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.configured import Configured
    from crawlerd.operations.live_facts import Live

MOST_NAMES = 100_000  # imports that are no longer configured and are searched for
UNKNOWN = "it is not configured"


class ImportsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which imports to list.

    after: the name after which to continue.
    limit: how many.
    """

    after: str = ""
    limit: int = 100


class ImportLine(msgspec.Struct, frozen=True, kw_only=True):
    """An import in a list.

    account: None if unknown.
    last: its run under way, or the newest one; None if it has not run yet.
    fresh_at: when its newest completed run began, in Unix seconds; None if there is none.
    every: seconds between starts; None for on demand.
    next_at: when it starts next, if a crawlerd runs; Unix seconds.
    configured: None if the configuration was not read.
    refusal: why its last start failed; "" if it did not.
    """

    name: str
    account: str | None
    last: RunReport | None
    fresh_at: float | None
    every: float | None
    next_at: float | None
    configured: bool | None
    refusal: str = ""


class Imports(msgspec.Struct, frozen=True, kw_only=True):
    """A page of imports.

    imports: by name.
    next: the name after which to continue; None on the last page.
    """

    imports: list[ImportLine]
    next: str | None = None


def imports(
    reader: FrontierReader | None, live: Live | None, configured: Configured, request: ImportsRequest, now: float
) -> Imports:
    """The configured imports, and those that have run and are no longer configured.

    reader: None while there is no frontier.
    now: Unix seconds.
    """
    known = reader.known_imports(MOST_NAMES) if reader else []
    names = sorted({*configured.imports, *known})
    start = bisect_right(names, request.after) if request.after else 0
    shown = names[start : start + request.limit]
    more = start + request.limit < len(names)
    return Imports(imports=import_lines(reader, live, configured, shown, now), next=shown[-1] if more else None)


def import_lines(
    reader: FrontierReader | None, live: Live | None, configured: Configured | None, names: Sequence[str], now: float
) -> list[ImportLine]:
    """Lines about some imports.

    configured: None if the configuration was not read.
    """
    fresh = reader.fresh(names) if reader else {}
    notes = reader.schedule_notes(names) if reader else {}
    refusals = live.refusals() if live else {}
    lines = []
    for name in names:
        last = reader.latest(name) if reader else None
        spec = configured.imports.get(name) if configured else None
        account = spec.account if spec else last.account if last else None
        lines.append(
            ImportLine(
                name=name,
                account=account,
                last=last,
                fresh_at=fresh.get(name),
                every=spec.every if spec else None,
                next_at=next_start(name, spec.schedule, notes.get(name), last, now)
                if live and spec and not (last and last.state == "running")
                else None,
                configured=spec is not None if configured else None,
                refusal=refusals.get(name, ""),
            )
        )
    return lines
