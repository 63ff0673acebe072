"""The last failed attempts at tasks, for people who look at a dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sql.dead_rows import Execute

MOST = 10  # attempts of a task that are kept
_NOTE = """INSERT INTO attempt(seq, number, run, at, seconds, status, method, url, error)
SELECT value->>0, 1 + coalesce((SELECT max(number) FROM attempt WHERE seq = value->>0), 0), value->>1, value->>2,
value->>3, value->>4, value->>5, value->>6, value->>7 FROM json_each(?)"""
_TRIM = f"""DELETE FROM attempt WHERE (seq, number) IN (SELECT seq, max(number) - {MOST} FROM attempt
WHERE seq IN (SELECT value->>0 FROM json_each(?)) GROUP BY seq)"""  # noqa: S608 - our own number
_FORGET = "DELETE FROM attempt WHERE seq IN (SELECT value->>0 FROM json_each(?))"


def note(change: Change, execute: Execute) -> None:
    """Writes the failed attempts, at most one of each task. Call it before dead letters are written."""
    execute(_NOTE, change.attempts)
    execute(_TRIM, ((row[0],) for row in change.attempts))
    execute(_FORGET, ((seq,) for seq in change.succeeded))
