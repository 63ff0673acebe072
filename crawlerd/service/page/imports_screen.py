"""All imports, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.wording import counted
from crawlerd.operations import import_facts
from crawlerd.operations.overview import import_row
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.overview_screen import strip
from crawlerd.service.page.page_texts import by_state
from crawlerd.service.page.pause_screen import paused

if TYPE_CHECKING:
    from crawlerd.operations.overview import ImportRow
    from crawlerd.service.page.asked import Asked

LIMIT = 30


def imports(asked: Asked) -> Shown:
    after = asked.query.get("after", "")
    prefix = asked.query.get("prefix", "")
    request = import_facts.ImportsRequest(after=max(after, _before(prefix)), limit=LIMIT)
    found = import_facts.imports(asked.reader, asked.live, asked.settings, request, asked.now)
    names = [line.name for line in found.imports if line.name.startswith(prefix)]
    next_ = found.next if len(names) == len(found.imports) else None
    rows = [import_row(asked.reader, asked.live, asked.settings, name, asked.now) for name in names]
    return context_of(rows, paused(asked, rows), next_, prefix, first=not after)


def context_of(
    rows: list[ImportRow],
    pauses: dict[str, tuple[str, str] | None],
    next_: str | None,
    prefix: str,
    *,
    first: bool,
) -> Shown:
    """next_: the name after which the next page begins."""
    heading = f"Imports {prefix}…" if prefix else "Imports"
    states, tone = by_state(row.state for row in rows)
    worst = states.split(", ")[0]
    count = counted(len(rows), "import")
    return Shown(
        "imports",
        f"{heading}: {worst}" if worst else heading,
        {
            "heading": heading,
            "verdict": f"{count if first and next_ is None else f'These {count}'}: {states}.",
            "tone": tone,
            "rows": rows,
            "paused": pauses,
            "strips": {row.line.name: strip(row) for row in rows},
            "next": next_,
            "first": first,
            "query": {"prefix": prefix},
        },
        json="/imports",
    )


def _before(prefix: str) -> str:
    """A text that sorts just before all names with this prefix."""
    return prefix[:-1] + chr(max(ord(prefix[-1]) - 1, 0)) + "\U0010ffff" if prefix else ""
