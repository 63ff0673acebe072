"""Writes a change, with one statement for each table, which covers the whole group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.sql import attempt_rows, groups
from crawlerd.frontier.sql.dead_rows import bury

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sql.groups import Execute
    from crawlerd.frontier.sql.queue_rows import QueueRows


def write(change: Change, execute: Execute, queues: QueueRows) -> list[tuple[int, int]]:
    """Writes a change, but for the counters of runs: see `run_end.count`. Returns (run, account) of runs that have got
    their first tasks for an account other than their own."""
    change.count()
    if change.groups:
        groups.settle(change, execute)
    attempt_rows.note(change, execute)
    bury(change, execute)
    execute(
        "INSERT INTO ready(bucket, run, priority, seq, kind, attempt, crashes, payload) SELECT value->>0, "
        "value->>1, value->>2, value->>3, value->>4, value->>5, 0, value->>6 FROM json_each(?)",
        sorted(change.ready),
    )
    execute(
        "INSERT INTO ready(bucket, run, priority, seq, kind, attempt, crashes, payload, grp) SELECT value->>0, "
        "value->>1, value->>2, value->>3, value->>4, value->>5, 0, value->>6, value->>7 FROM json_each(?)",
        sorted(change.grouped),
    )
    execute(
        "INSERT INTO ready SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, 0, value->>6, "
        "value->>7, value->>8, value->>9 FROM json_each(?)",
        sorted(change.rare),
    )
    execute(
        "INSERT INTO delayed SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, "
        "value->>6, value->>7, value->>8, value->>9, value->>10, value->>11 FROM json_each(?)",
        change.delayed,
    )
    execute(
        "UPDATE ready SET crashes = crashes + 1 WHERE (bucket, run, priority, seq) IN "
        "(SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?))",
        change.crashed,
    )
    queues.count(change.queues)
    execute(
        "INSERT INTO tally(run, stream, records, skipped, skip_reason, marked, unmarked, unmarked_reason) "
        "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7 "
        "FROM json_each(?) WHERE true ON CONFLICT (run, stream) DO UPDATE SET "
        "records = tally.records + excluded.records, skipped = tally.skipped + excluded.skipped, "
        "skip_reason = coalesce(excluded.skip_reason, tally.skip_reason), "
        "marked = max(tally.marked, excluded.marked), unmarked = tally.unmarked + excluded.unmarked, "
        "unmarked_reason = coalesce(excluded.unmarked_reason, tally.unmarked_reason)",
        ((*key, *tally.row()) for key, tally in change.tallies.items()),
    )
    execute(
        "UPDATE bucket SET blocked_until = j.value->>1, reason = j.value->>2, waits_for = j.value->>3, "
        "blocked_since = iif(reason = j.value->>2 AND blocked_until >= j.value->>4, blocked_since, j.value->>4) "
        "FROM json_each(?) AS j WHERE bucket.id = j.value->>0",
        ((bucket, *block, change.now) for bucket, block in change.blocked.items()),
    )
    execute(
        "INSERT INTO learned SELECT value->>0, value->1 FROM json_each(?) WHERE true "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        change.learned.items(),
    )
    execute(
        "INSERT INTO tally(run, stream, seen, new, changed, unchanged, tombstoned) "
        "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 "
        "FROM json_each(?) WHERE true "
        "ON CONFLICT (run, stream) DO UPDATE SET seen = excluded.seen, new = excluded.new, "
        "changed = excluded.changed, unchanged = excluded.unchanged, tombstoned = excluded.tombstoned",
        ((*key, *each) for key, each in change.totals.items()),
    )
    stage = "INSERT INTO staged SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true "
    execute(stage + "ON CONFLICT (run, stream) DO UPDATE SET value = excluded.value", _last(change.staged))
    execute(
        stage + "ON CONFLICT (run, stream) DO UPDATE SET value = max(staged.value, excluded.value)",
        _last(sorted(change.greatest)),
    )
    return execute(
        "INSERT INTO borrowed SELECT value->>0, value->>1 FROM json_each(?) WHERE true ON CONFLICT DO NOTHING "
        "RETURNING run, account",
        change.borrowed,
    )


def _last(rows: Iterable[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """Of the values of each run and stream, the last one: a statement may write to a row once."""
    last = {(run, stream): value for run, stream, value in rows}
    return [(*key, value) for key, value in last.items()]
