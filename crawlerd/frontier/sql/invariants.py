"""The invariants of every sound frontier, as queries for the rows that break them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXAMPLES = 5  # of one broken invariant, before the rest is only counted

# Nothing is said of the groups of a run that was abandoned, whose tasks are being removed in slices: `removed`.
# `unfolded` is what unfoldings will put into `ready` and `gather`; it has a number, but no bucket and no kind yet.
# `task` is every task; `pile` counts those of one run, bucket, kind, place and group, so that two passes over the tasks
# are enough. Both sort on disk: the memory needed does not grow with the queue.
# How a database reads `stage`: the place of each entry, the group that it is in, and the members of that which it is.
ENTRIES = """
CREATE TEMP VIEW staged_entry AS
    SELECT stage.id, first + key AS place, value->>1 AS inside, value->>2 AS members
    FROM stage, json_each(stage.entries);
"""
SCAN = """
CREATE TEMP VIEW removed AS SELECT id FROM run WHERE state = 'cancelled' AND again > 0;
CREATE TEMP VIEW unfolded AS
    SELECT base + place AS seq, run, CASE WHEN inside > 0 THEN base + inside - 1 ELSE grp END AS grp,
        members >= 0 AS opens
    FROM unfolding JOIN staged_entry ON staged_entry.id = unfolding.stage;
CREATE TEMP VIEW task AS
    SELECT seq, run, bucket, kind, grp, 'ready' AS place FROM ready UNION ALL
    SELECT seq, run, bucket, kind, grp, 'delayed' FROM delayed UNION ALL
    SELECT seq, run, bucket, kind, grp, 'dead' FROM dead UNION ALL
    SELECT id, run, bucket, kind, parent, 'waiting' FROM gather WHERE open > 0 AND submitted < 2 UNION ALL
    SELECT seq, run, NULL, NULL, grp, 'unfolding' FROM unfolded;
CREATE TEMP TABLE pile AS
    SELECT run, bucket, kind, grp, place, count(*) AS tasks, max(seq) AS last
    FROM task GROUP BY run, bucket, kind, grp, place;
CREATE INDEX {temporary}pile_run ON pile(run);
CREATE INDEX {temporary}pile_bucket ON pile(bucket);
CREATE INDEX {temporary}pile_group ON pile(grp);
CREATE TEMP TABLE opened AS SELECT id, run FROM gather UNION ALL SELECT seq, run FROM unfolded WHERE opens;
CREATE INDEX {temporary}opened_id ON opened(id);
"""


class Invariant(NamedTuple):
    """An invariant.

    broken: the text about one row that breaks it.
    rows: a query for the rows that break it.
    """

    broken: str
    rows: str


INVARIANTS = (
    Invariant(
        "task {} lies in {} places: {}",
        "SELECT seq, count(*), string_agg(place, ', ' ORDER BY place) FROM task GROUP BY seq HAVING count(*) > 1",
    ),
    Invariant(
        "the next new task would have the number {}, but there is a task {}",
        "SELECT value, last FROM next_seq CROSS JOIN (SELECT max(last) AS last FROM pile) AS newest "
        "WHERE value <= last",
    ),
    Invariant(
        "{} numbers are noted for the next new task, instead of one",
        "SELECT count(*) FROM next_seq HAVING count(*) <> 1",
    ),
    Invariant(
        "run {} counts {:,} open tasks, but {:,} are ready, delayed, waiting or unfolding",
        "SELECT * FROM (SELECT id, open, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place <> 'dead') AS counted "
        "FROM run) AS each WHERE open <> counted",
    ),
    Invariant(
        "run {} counts {:,} delayed tasks, but there are {:,}",
        "SELECT * FROM (SELECT id, delayed, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'delayed') AS counted "
        "FROM run) AS each WHERE delayed <> counted",
    ),
    Invariant(
        "run {} counts {:,} waiting tasks, but there are {:,}",
        "SELECT * FROM (SELECT id, waiting, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'waiting') AS counted "
        "FROM run) AS each WHERE waiting <> counted",
    ),
    Invariant(
        "run {} counts {:,} dead tasks, but there are {:,}",
        "SELECT * FROM (SELECT id, dead, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'dead') AS counted "
        "FROM run) AS each WHERE dead <> counted",
    ),
    Invariant(
        "the figures of run {} count {:,} open and {:,} dead tasks, but the run counts {:,} and {:,}",
        "SELECT * FROM (SELECT id, coalesce(sum(run_stage.open), 0) AS its, "
        "coalesce(sum(run_stage.dead), 0) AS letters, "
        "run.open, run.dead FROM run LEFT JOIN run_stage ON run_stage.run = run.id WHERE state <> 'cancelled' "
        "AND run.open = (SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place <> 'dead') "
        "AND run.dead = (SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'dead') "  # else said
        "GROUP BY id) AS each WHERE its <> open OR letters <> dead",
    ),
    Invariant(
        "the figures of run {} count {:,} tasks that are done, but the run counts {:,}",
        "SELECT id, sum(run_stage.done), run.done FROM run JOIN run_stage ON run_stage.run = run.id "
        "GROUP BY id HAVING sum(run_stage.done) > run.done OR min(run_stage.open) < 0 OR min(run_stage.dead) < 0",
    ),
    Invariant(
        "{:,} figures are kept of run {}, which does not exist",
        "SELECT count(*), run FROM run_stage WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    ),
    Invariant(
        "bucket {} counts {:,} ready tasks, but its queues count {:,}",
        "SELECT * FROM (SELECT id, ready, "
        "(SELECT coalesce(sum(queue.ready), 0) FROM queue WHERE bucket = bucket.id AND queue.paused = 0) AS counted "
        "FROM bucket) AS each WHERE ready <> counted",
    ),
    Invariant(
        "the queue of run {} in bucket {} counts {:,} ready tasks, but there are {:,}",
        "SELECT * FROM (SELECT run, bucket, ready, (SELECT coalesce(sum(tasks), 0) FROM pile "
        "WHERE pile.bucket = queue.bucket AND pile.run = queue.run AND place = 'ready') AS counted "
        "FROM queue) AS each WHERE ready <> counted "
        "UNION ALL SELECT run, bucket, 0, sum(tasks) FROM pile WHERE place = 'ready' "
        "AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.bucket = pile.bucket AND queue.run = pile.run) "
        "GROUP BY run, bucket",
    ),
    Invariant(
        "the queue of run {} in bucket {} is {}, but its run is {}",
        "SELECT run, bucket, iif(queue.paused = 1, 'paused', 'not paused'), iif(run.paused = 1, 'paused', 'not') "
        "FROM queue JOIN run ON run.id = run "
        "WHERE queue.paused <> run.paused",
    ),
    Invariant(
        "group {} counts {:,} open tasks, but there are {:,}",
        "SELECT * FROM (SELECT id, open, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE grp = gather.id AND place <> 'dead') AS counted "
        "FROM gather WHERE run NOT IN (SELECT id FROM removed)) AS each WHERE open <> counted",
    ),
    Invariant(
        "group {} counts {:,} dead tasks, but there are {:,}",
        "SELECT * FROM (SELECT id, dead, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE grp = gather.id AND place = 'dead') AS counted "
        "FROM gather WHERE run NOT IN (SELECT id FROM removed)) AS each WHERE dead <> counted",
    ),
    Invariant(
        "group {} has nothing open, but the task that waits for that is not {}",
        "SELECT id, CASE if_dead WHEN 'fail' THEN 'dead' ELSE 'ready' END FROM gather "
        "WHERE open = 0 AND submitted < 2 AND run NOT IN (SELECT id FROM removed) AND "
        "(if_dead <> 'fail' OR dead = 0 OR NOT EXISTS (SELECT 1 FROM dead WHERE seq = gather.id AND grp = parent))",
    ),
    Invariant(
        "group {} is inside of group {}, which is not older",
        "SELECT id, parent FROM gather WHERE parent >= id",
    ),
    Invariant(
        "run {} counts {:,} records, but its streams count {:,}",
        "SELECT * FROM (SELECT id, records, "
        "(SELECT coalesce(sum(records), 0) FROM tally WHERE run = run.id) AS counted "
        "FROM run) AS each WHERE records <> counted",
    ),
    Invariant(
        "run {} is {}, with {:,} open tasks",
        "SELECT id, state, open FROM run WHERE (state = 'running') <> (open > 0) "
        "AND id NOT IN (SELECT id FROM removed)",
    ),
    Invariant(
        "run {} is {}, with {} time of its end",
        "SELECT id, state, CASE WHEN ended_at IS NULL THEN 'no' ELSE 'a' END FROM run "
        "WHERE (state = 'running') <> (ended_at IS NULL)",
    ),
    Invariant(
        "run {} is completed, with {:,} dead tasks",
        "SELECT id, dead FROM run WHERE state = 'completed' AND dead > 0",
    ),
    Invariant(
        "run {} counts {:,} dead letters of fingerprint {}, but there are {:,}",
        "SELECT * FROM (SELECT run, count, fingerprint, "
        "(SELECT count(*) FROM dead AS d WHERE d.fingerprint = letters.fingerprint AND d.run = letters.run) AS counted "
        "FROM letters) AS each WHERE count <> counted UNION ALL SELECT run, 0, fingerprint, count(*) FROM dead "
        "WHERE (fingerprint, run) NOT IN (SELECT fingerprint, run FROM letters) GROUP BY fingerprint, run",
    ),
    Invariant(
        "fingerprint {} is {}",
        "SELECT id, 'kept without dead letters' FROM fingerprint WHERE id NOT IN (SELECT fingerprint FROM letters) "
        "UNION ALL SELECT DISTINCT fingerprint, 'unknown, but has dead letters' FROM letters "
        "WHERE fingerprint NOT IN (SELECT id FROM fingerprint)",
    ),
    Invariant(
        "{:,} dead letters have a higher number than {:,}, that of the last one",
        "SELECT count(*), value FROM dead, buried WHERE number > value GROUP BY value",
    ),
    Invariant(
        "{:,} {} tasks are of run {}, which does not exist",
        "SELECT sum(tasks), place, run FROM pile WHERE run NOT IN (SELECT id FROM run) GROUP BY run, place",
    ),
    Invariant(
        "{:,} {} tasks are in bucket {}, which does not exist",
        "SELECT sum(tasks), place, bucket FROM pile WHERE bucket NOT IN (SELECT id FROM bucket) GROUP BY bucket, place",
    ),
    Invariant(
        "{:,} {} tasks are of kind {}, which does not exist",
        "SELECT sum(tasks), place, kind FROM pile WHERE kind NOT IN (SELECT id FROM kind) GROUP BY kind, place",
    ),
    Invariant(
        "{:,} {} tasks of run {} are in bucket {}, which is another account's",
        "SELECT sum(tasks), place, run, bucket FROM pile JOIN run ON run.id = run JOIN bucket ON bucket.id = bucket "
        "WHERE run.account <> bucket.account AND (run, bucket.account) NOT IN (SELECT run, account FROM borrowed) "
        "GROUP BY run, bucket, place",
    ),
    Invariant(
        "{:,} {} tasks of run {} are in group {}, which {}",
        "SELECT sum(tasks), place, pile.run, grp, coalesce('is of run ' || opened.run, 'does not exist') "
        "FROM pile LEFT JOIN opened ON opened.id = grp WHERE grp > 0 AND pile.run IS DISTINCT FROM opened.run "
        "AND pile.run NOT IN (SELECT id FROM removed) "
        "GROUP BY pile.run, grp, place, opened.run",
    ),
    Invariant(
        "stage {} unfolds and has {:,} entries left, but {:,} are there, and its portions count {:,}",
        "SELECT * FROM (SELECT stage, count, "
        "(SELECT count(*) FROM staged_entry WHERE staged_entry.id = unfolding.stage) AS found, "
        "(SELECT coalesce(sum(count), 0) FROM stage WHERE id = unfolding.stage) AS counted FROM unfolding) AS each "
        "WHERE count <> found OR count <> counted",
    ),
    Invariant(
        "stage {} unfolds for run {}, which is {}",
        "SELECT stage, unfolding.run, coalesce(state, 'not there') FROM unfolding "
        "LEFT JOIN run ON run.id = unfolding.run WHERE state IS DISTINCT FROM 'running'",
    ),
    Invariant(
        "{} {} is of account {}, which does not exist",
        "SELECT 'run', id, account FROM run WHERE account NOT IN (SELECT id FROM account) UNION ALL "
        "SELECT 'bucket', id, account FROM bucket WHERE account NOT IN (SELECT id FROM account) UNION ALL "
        "SELECT 'a task of run', run, account FROM borrowed WHERE account NOT IN (SELECT id FROM account) UNION ALL "
        "SELECT 'what unfolds of run', run, account FROM unfolding WHERE account NOT IN (SELECT id FROM account)",
    ),
    Invariant(
        "{:,} cursors are staged by run {}, which {}",
        "SELECT count(*), staged.run, CASE WHEN state IS NULL THEN 'does not exist' ELSE 'is ' || state END "
        "FROM staged LEFT JOIN run ON run.id = staged.run WHERE state IS NULL OR state = 'completed' "
        "GROUP BY staged.run, state",
    ),
    Invariant(
        "{:,} streams are reported of run {}, which does not exist",
        "SELECT count(*), run FROM tally WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    ),
    Invariant(
        "{:,} accounts are noted for run {}, which does not exist",
        "SELECT count(*), run FROM borrowed WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    ),
    Invariant(
        "{:,} keys of unique tasks are kept for run {}, which does not exist",
        "SELECT count(*), run FROM seen WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    ),
    Invariant(
        "{:,} streams are {} run {}, which does not exist",
        "SELECT count(*), 'read in full by', run FROM whole WHERE run NOT IN (SELECT id FROM run) GROUP BY run "
        "UNION ALL SELECT count(*), 'doubted of', run FROM doubt WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    ),
    Invariant(
        "{:,} streams are noted as read in full by run {}, which is {}",
        "SELECT count(*), run, state FROM whole JOIN run ON run.id = run WHERE state IN ('completed', 'cancelled') "
        "GROUP BY run, state",
    ),
    Invariant(
        "{:,} parents are noted in scope {}, which does not exist",
        "SELECT count(*), scope FROM parent WHERE scope NOT IN (SELECT id FROM scope) GROUP BY scope",
    ),
    Invariant(
        "{:,} parents in scope {} are noted by a hash that is not 16 bytes long",
        "SELECT count(*), scope FROM parent WHERE length(hash) <> 16 GROUP BY scope",
    ),
    Invariant(
        "scope {} is of sink {}, which does not exist",
        "SELECT id, sink FROM scope WHERE dropped = 0 AND sink > 0 AND sink NOT IN (SELECT id FROM sink)",
    ),
)


def broken_lines(invariant: Invariant, rows: Iterator[Sequence[Any]]) -> Iterator[str]:
    """What is said of the rows that break an invariant."""
    for row in islice(rows, EXAMPLES):
        yield invariant.broken.format(*row)
    if more := sum(1 for _ in rows):
        yield f"… and {more:,} more like this one"
