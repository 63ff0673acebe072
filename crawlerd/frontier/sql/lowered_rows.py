"""The limits that people have lowered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.lowered import LimitNote
from crawlerd.frontier.reports import Act
from crawlerd.frontier.sql.pause_rows import note_act

if TYPE_CHECKING:
    from crawlerd.frontier.sql.database_contract import Database


def all_lowered(db: Database) -> list[LimitNote]:
    """The lowered limits, the oldest first."""
    return [
        LimitNote(
            account=account,
            bucket=bucket,
            limits=msgspec.json.decode(limits, type=list[str]),
            reason=reason,
            by=by,
            since=since,
            until=until,
        )
        for account, bucket, limits, reason, by, since, until in db.execute(
            "SELECT account, bucket, limits, reason, by, since, until FROM lowered ORDER BY since, account, bucket"
        )
    ]


def lower(db: Database, note: LimitNote) -> None:
    """Stores a lowered limit. Call it in a transaction."""
    db.execute(
        "INSERT INTO lowered VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (account, bucket) DO UPDATE SET limits = excluded.limits, "
        "reason = excluded.reason, by = excluded.by, since = excluded.since, until = excluded.until",
        (
            note.account,
            note.bucket,
            msgspec.json.encode(note.limits).decode(),
            note.reason,
            note.by,
            note.since,
            note.until,
        ),
    )
    note_act(db, Act(note.since, note.by, "lower limit", note.subject, note.detail, 1))


def end_lowered(db: Database, account: str, bucket: str, by: str, now: float) -> bool:
    """Ends a lowered limit. Call it in a transaction. Returns whether there was one."""
    note = next((each for each in all_lowered(db) if (each.account, each.bucket) == (account, bucket)), None)
    if note is None:
        return False
    db.execute("DELETE FROM lowered WHERE account = ? AND bucket = ?", (account, bucket))
    note_act(db, Act(now, by, "end lowered limit", note.subject, "", 1))
    return True
