"""The invariants of every sound frontier, as queries for the rows that break them."""

from __future__ import annotations

from typing import NamedTuple

# `removed` are the runs whose tasks are being removed in slices; the groups of these runs are not checked.
# `unfolded` are the tasks that unfoldings will put into `ready` and `gather`; they have numbers, but no bucket or kind
# yet. `task` are all tasks. `pile` counts the tasks of one run, bucket, kind, place and group, so that two passes over
# the tasks are enough. Both sort on disk: the memory needed does not grow with the queue.
SCAN = """
CREATE TEMP VIEW removed AS SELECT id FROM run WHERE state = 'cancelled' AND again > 0;
CREATE TEMP VIEW unfolded AS
    SELECT base + first + key AS seq, run, iif(value->>1 > 0, base + (value->>1) - 1, grp) AS grp,
        value->>2 >= 0 AS opens
    FROM unfolding JOIN stage ON stage.id = unfolding.stage, json_each(stage.entries);
CREATE TEMP VIEW task AS
    SELECT seq, run, bucket, kind, grp, 'ready' AS place FROM ready UNION ALL
    SELECT seq, run, bucket, kind, grp, 'delayed' FROM delayed UNION ALL
    SELECT seq, run, bucket, kind, grp, 'dead' FROM dead UNION ALL
    SELECT id, run, bucket, kind, parent, 'waiting' FROM gather WHERE open > 0 AND submitted < 2 UNION ALL
    SELECT seq, run, NULL, NULL, grp, 'unfolding' FROM unfolded;
CREATE TEMP TABLE pile AS
    SELECT run, bucket, kind, grp, place, count(*) AS tasks, max(seq) AS last
    FROM task GROUP BY run, bucket, kind, grp, place;
CREATE INDEX temp.pile_run ON pile(run);
CREATE INDEX temp.pile_bucket ON pile(bucket);
CREATE INDEX temp.pile_group ON pile(grp);
CREATE TEMP TABLE opened AS SELECT id, run FROM gather UNION ALL SELECT seq, run FROM unfolded WHERE opens;
CREATE INDEX temp.opened_id ON opened(id);
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
        "SELECT seq, count(*), group_concat(place, ', ' ORDER BY place) FROM task GROUP BY seq HAVING count(*) > 1",
    ),
    Invariant(
        "the next new task would have the number {}, but there is a task {}",
        "SELECT value, (SELECT max(last) FROM pile) AS last FROM next_seq WHERE value <= last",
    ),
    Invariant(
        "{} numbers are noted for the next new task, instead of one",
        "SELECT count(*) FROM next_seq HAVING count(*) <> 1",
    ),
    Invariant(
        "run {} counts {:,} open tasks, but {:,} are ready, delayed, waiting or unfolding",
        "SELECT id, open, (SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place <> 'dead') AS counted "
        "FROM run WHERE open <> counted",
    ),
    Invariant(
        "run {} counts {:,} delayed tasks, but there are {:,}",
        "SELECT id, delayed, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'delayed') AS counted "
        "FROM run WHERE delayed <> counted",
    ),
    Invariant(
        "run {} counts {:,} waiting tasks, but there are {:,}",
        "SELECT id, waiting, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'waiting') AS counted "
        "FROM run WHERE waiting <> counted",
    ),
    Invariant(
        "run {} counts {:,} dead tasks, but there are {:,}",
        "SELECT id, dead, (SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'dead') AS counted "
        "FROM run WHERE dead <> counted",
    ),
    Invariant(
        "the figures of run {} count {:,} open and {:,} dead tasks, but the run counts {:,} and {:,}",
        "SELECT id, coalesce(sum(run_stage.open), 0) AS its, coalesce(sum(run_stage.dead), 0) AS letters, "
        "run.open, run.dead FROM run LEFT JOIN run_stage ON run_stage.run = run.id WHERE state <> 'cancelled' "
        "AND run.open = (SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place <> 'dead') "
        "AND run.dead = (SELECT coalesce(sum(tasks), 0) FROM pile WHERE run = run.id AND place = 'dead') "  # else said
        "GROUP BY id HAVING its <> run.open OR letters <> run.dead",
    ),
    Invariant(
        "the figures of run {} count {:,} tasks that are done, but the run counts {:,}",
        "SELECT id, sum(run_stage.done) AS counted, run.done FROM run JOIN run_stage ON run_stage.run = run.id "
        "GROUP BY id HAVING counted > run.done OR min(run_stage.open) < 0 OR min(run_stage.dead) < 0",
    ),
    Invariant(
        "{:,} figures are kept of run {}, which does not exist",
        "SELECT count(*), run FROM run_stage WHERE run NOT IN (SELECT id FROM run) GROUP BY run",
    ),
    Invariant(
        "bucket {} counts {:,} ready tasks, but its queues count {:,}",
        "SELECT id, ready, "
        "(SELECT coalesce(sum(queue.ready), 0) FROM queue WHERE bucket = bucket.id AND NOT paused) AS counted "
        "FROM bucket WHERE ready <> counted",
    ),
    Invariant(
        "the queue of run {} in bucket {} counts {:,} ready tasks, but there are {:,}",
        "SELECT run, bucket, ready, (SELECT coalesce(sum(tasks), 0) FROM pile "
        "WHERE pile.bucket = queue.bucket AND pile.run = queue.run AND place = 'ready') AS counted "
        "FROM queue WHERE ready <> counted "
        "UNION ALL SELECT run, bucket, 0, sum(tasks) FROM pile WHERE place = 'ready' "
        "AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.bucket = pile.bucket AND queue.run = pile.run) "
        "GROUP BY run, bucket",
    ),
    Invariant(
        "the queue of run {} in bucket {} is {}, but its run is {}",
        "SELECT run, bucket, iif(queue.paused, 'paused', 'not paused'), iif(run.paused, 'paused', 'not') "
        "FROM queue JOIN run ON run.id = run "
        "WHERE queue.paused <> run.paused",
    ),
    Invariant(
        "group {} counts {:,} open tasks, but there are {:,}",
        "SELECT id, open, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE grp = gather.id AND place <> 'dead') AS counted "
        "FROM gather WHERE open <> counted AND run NOT IN removed",
    ),
    Invariant(
        "group {} counts {:,} dead tasks, but there are {:,}",
        "SELECT id, dead, "
        "(SELECT coalesce(sum(tasks), 0) FROM pile WHERE grp = gather.id AND place = 'dead') AS counted "
        "FROM gather WHERE dead <> counted AND run NOT IN removed",
    ),
    Invariant(
        "group {} has nothing open, but the task that waits for that is not {}",
        "SELECT id, CASE if_dead WHEN 'fail' THEN 'dead' ELSE 'ready' END FROM gather "
        "WHERE open = 0 AND submitted < 2 AND run NOT IN removed AND "
        "(if_dead <> 'fail' OR dead = 0 OR NOT EXISTS (SELECT 1 FROM dead WHERE seq = gather.id AND grp = parent))",
    ),
    Invariant(
        "group {} is inside of group {}, which is not older",
        "SELECT id, parent FROM gather WHERE parent >= id",
    ),
    Invariant(
        "run {} counts {:,} records, but its streams count {:,}",
        "SELECT id, records, (SELECT coalesce(sum(records), 0) FROM tally WHERE run = run.id) AS counted "
        "FROM run WHERE records <> counted",
    ),
    Invariant(
        "run {} is {}, with {:,} open tasks",
        "SELECT id, state, open FROM run WHERE (state = 'running') <> (open > 0) AND id NOT IN removed",
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
        "SELECT run, count, fingerprint, "
        "(SELECT count(*) FROM dead AS d WHERE d.fingerprint = letters.fingerprint AND d.run = letters.run) AS counted "
        "FROM letters WHERE count <> counted UNION ALL SELECT run, 0, fingerprint, count(*) FROM dead "
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
        "SELECT count(*), value FROM dead, buried WHERE number > value HAVING count(*) > 0",
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
        "WHERE run.account <> bucket.account AND (run, bucket.account) NOT IN borrowed GROUP BY run, bucket, place",
    ),
    Invariant(
        "{:,} {} tasks of run {} are in group {}, which {}",
        "SELECT sum(tasks), place, pile.run, grp, coalesce('is of run ' || opened.run, 'does not exist') "
        "FROM pile LEFT JOIN opened ON opened.id = grp WHERE grp > 0 AND pile.run IS NOT opened.run "
        "AND pile.run NOT IN removed "
        "GROUP BY pile.run, grp, place",
    ),
    Invariant(
        "stage {} unfolds and has {:,} entries left, but {:,} are there, and its portions count {:,}",
        "SELECT stage, count, "
        "(SELECT count(*) FROM stage, json_each(entries) WHERE stage.id = unfolding.stage) AS found, "
        "(SELECT coalesce(sum(count), 0) FROM stage WHERE id = unfolding.stage) AS counted FROM unfolding "
        "WHERE count <> found OR count <> counted",
    ),
    Invariant(
        "stage {} unfolds for run {}, which is {}",
        "SELECT stage, unfolding.run, coalesce(state, 'not there') FROM unfolding "
        "LEFT JOIN run ON run.id = unfolding.run WHERE state IS NOT 'running'",
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
        "GROUP BY staged.run",
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
        "GROUP BY run",
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
