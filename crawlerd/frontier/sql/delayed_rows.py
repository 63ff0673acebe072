"""Tasks that wait for their next attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sql.database_contract import Database

_TAKE = """DELETE FROM delayed WHERE (due_at, seq) IN
(SELECT due_at, seq FROM delayed WHERE due_at <= ? ORDER BY due_at, seq LIMIT ?)
RETURNING seq, bucket, priority, run, kind, attempt, payload, grp, refused, chain"""


def wake(db: Database, change: Change, most: int) -> None:
    """Delayed tasks that are due become ready, at most so many."""
    for seq, bucket, priority, run, kind, attempt, payload, group, refused, chain in db.execute(
        _TAKE, (change.now, most)
    ):
        change.make_ready(bucket, priority, seq, run, kind, attempt, payload, group, refused, chain)
        change.runs[run].delayed -= 1
