"""The outages under way, stored for the next process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.contract import OutageNote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.frontier.sql.database_contract import Database


def all_outages(db: Database) -> list[OutageNote]:
    return [OutageNote(*row) for row in db.execute("SELECT * FROM outage")]


def note_outages(db: Database, outages: Mapping[tuple[str, int], OutageNote | None]) -> None:
    """Stores outages, by origin and account; None deletes one that is over."""
    db.executemany("DELETE FROM outage WHERE origin = ? AND account = ?", list(outages))
    db.executemany("INSERT INTO outage VALUES (?, ?, ?, ?, ?, ?)", [each for each in outages.values() if each])
