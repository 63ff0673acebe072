"""The frontier's tables: the statements that bring a database from one version to the next."""

from __future__ import annotations

from crawlerd.frontier.sqlite.figure_tables import FIGURES
from crawlerd.frontier.sqlite.letter_tables import LETTERS

# A task's state is the table that it is in: ready, delayed or dead. A completed task is deleted. A lease is not stored:
# it is in the memory of the process that holds the lock, and ends with it. A row of `gather` is a group together with
# the task that waits for its end; both have the same number. When the group has failed, that task is in `dead` instead.
#
# The tasks that a large outcome yields are first in `stage`, and belong to no run yet. When the outcome is committed, a
# row of `unfolding` refers to them: they are counted, have numbers, and become ready, or rows of `gather`, in slices.
#
#   run.open     tasks ready, delayed, waiting, unfolding queue.ready    rows of `ready` of the run in the bucket
#                                                         bucket.ready   those of its runs that are not paused
#   run.delayed  rows of `delayed`                        run.dead       rows of `dead`
#   run.waiting  rows of `gather` that have not failed
#   gather.open  ready, delayed and unfolding tasks of the group, and groups right inside it that have not failed; 0: it
#                has failed
#   gather.dead  rows of `dead` of the group
MIGRATIONS = [
    """
CREATE TABLE account(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    identity TEXT,                                     -- who its credentials belong to, as the source's guard saw it
    paused TEXT                                        -- why nothing of it is leased
) STRICT;
CREATE TABLE bucket(
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    name TEXT NOT NULL,
    ready INTEGER NOT NULL DEFAULT 0 CHECK (ready >= 0),
    blocked_until REAL NOT NULL DEFAULT 0,             -- Unix seconds; survives a restart, as Retry-After must
    UNIQUE (account, name)
) STRICT;
CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE run(
    id INTEGER PRIMARY KEY,
    import TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account,
    "full" INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running','completed','completed with dead letters','failed','cancelled')),
    started_at REAL NOT NULL,
    ended_at REAL,
    open INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
    delayed INTEGER NOT NULL DEFAULT 0 CHECK (delayed BETWEEN 0 AND open),
    done INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    retried INTEGER NOT NULL DEFAULT 0,
    throttled INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX run_import ON run(import, id);
CREATE INDEX run_running ON run(id) WHERE state = 'running';
CREATE INDEX run_dead ON run(id) WHERE dead > 0;
CREATE TABLE tally(                                    -- the report of a run, by stream
    run INTEGER NOT NULL REFERENCES run,
    stream TEXT NOT NULL,
    records INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    skip_reason TEXT,
    PRIMARY KEY (run, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE ready(
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (bucket, priority, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE delayed(
    due_at REAL NOT NULL,
    seq INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    error TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (due_at, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead(
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    denied INTEGER NOT NULL,
    stream TEXT NOT NULL,
    error TEXT NOT NULL,
    payload TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX dead_run ON dead(run, stream);
CREATE TABLE seen(
    run INTEGER NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursor(
    import TEXT NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (import, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE staged(
    run INTEGER NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE quota(                                    -- starts charged to windows of a minute and longer
    key TEXT NOT NULL,
    at REAL NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (key, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE learned(                                  -- limits that were found by being throttled
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE next_seq(value INTEGER NOT NULL) STRICT;
INSERT INTO next_seq VALUES (1);
""",
    """
CREATE TABLE gather(
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    parent INTEGER NOT NULL,                           -- the group that it is inside of, 0 for none
    open INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    if_dead TEXT NOT NULL CHECK (if_dead IN ('run','fail','skip')),
    bucket INTEGER NOT NULL,                           -- of the task that waits, as the following
    priority INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX gather_parent ON gather(parent) WHERE parent > 0;
ALTER TABLE ready ADD COLUMN grp INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delayed ADD COLUMN grp INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead ADD COLUMN grp INTEGER NOT NULL DEFAULT 0;
CREATE INDEX dead_group ON dead(grp) WHERE grp > 0;
ALTER TABLE run ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0 CHECK (waiting BETWEEN 0 AND open - delayed);
CREATE TABLE borrowed(                                 -- accounts that a run has had tasks for beside its own
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (run, account)
) STRICT, WITHOUT ROWID;
""",
    """
ALTER TABLE tally ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;      -- from here on: as the sink has last said
ALTER TABLE tally ADD COLUMN new INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN unchanged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN tombstoned INTEGER NOT NULL DEFAULT 0;
""",
    """
CREATE INDEX bucket_ready ON bucket(blocked_until, id) WHERE ready > 0;
""",
    """
CREATE TABLE sink(                                     -- what the frontier believes of each sink that it has written
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,                                -- in the configuration, when it was opened last
    identity TEXT UNIQUE,                              -- made once, by the sink itself
    number INTEGER NOT NULL DEFAULT 0,                 -- of the group commit that wrote to it last
    news TEXT,                                         -- why nothing is believed of it, when that was last so
    adopts INTEGER NOT NULL DEFAULT 0                  -- it takes over what was noted before sinks had identities
) STRICT;
CREATE TABLE frontier(id TEXT NOT NULL, commits INTEGER NOT NULL) STRICT;     -- made once; commits that wrote to sinks
INSERT INTO frontier VALUES (lower(hex(randomblob(16))), 0);
ALTER TABLE run ADD COLUMN sink INTEGER NOT NULL DEFAULT 0;        -- where its records go, 0 for nowhere
ALTER TABLE run ADD COLUMN why TEXT;                               -- why it is full, where nobody asked for that
ALTER TABLE run ADD COLUMN ended_why TEXT;                         -- of one that was cancelled
ALTER TABLE run ADD COLUMN again INTEGER NOT NULL DEFAULT 0;       -- cancelled, tasks removed; 1: to begin again
CREATE TABLE synced(                                   -- sync points: `cursor` with the sink that they belong to
    import TEXT NOT NULL,
    sink INTEGER NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (import, sink, stream)
) STRICT, WITHOUT ROWID;
INSERT INTO synced SELECT import, 0, stream, value FROM cursor;
DROP TABLE cursor;
ALTER TABLE synced RENAME TO cursor;
ALTER TABLE tally ADD COLUMN marked INTEGER NOT NULL DEFAULT 0;    -- the next run can ask for changes only
ALTER TABLE tally ADD COLUMN unmarked INTEGER NOT NULL DEFAULT 0;  -- records with no time that could be read
ALTER TABLE tally ADD COLUMN unmarked_reason TEXT;
CREATE TABLE scope(                                    -- a list below parents, as an import has read it into a sink
    id INTEGER PRIMARY KEY,
    import TEXT NOT NULL,
    sink INTEGER NOT NULL,
    list TEXT NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0                 -- 1: nothing of it counts any more, and it goes, in slices
) STRICT;
CREATE UNIQUE INDEX scope_list ON scope(import, sink, list) WHERE dropped = 0;
CREATE INDEX scope_dropped ON scope(id) WHERE dropped = 1;
-- parents whose list was read to its end, by their hash
CREATE TABLE parent(scope INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (scope, hash)) STRICT, WITHOUT ROWID;
ALTER TABLE run ADD COLUMN shrink INTEGER NOT NULL DEFAULT 0;      -- however little it sees is not doubted
CREATE TABLE whole(                                    -- streams that a run reads in full, until it has ended clean
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,
    stream TEXT NOT NULL,
    seen INTEGER,                                      -- records, when a sweep last counted them
    held INTEGER NOT NULL,                             -- 1: a sweep was held back
    PRIMARY KEY (run, account, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE origin(                                   -- where the records of an import come from
    import TEXT NOT NULL,
    stream TEXT NOT NULL,
    digest TEXT NOT NULL,                              -- of account, address, and what is asked for
    news TEXT,                                         -- what was another one, when that was last so
    PRIMARY KEY (import, stream)
) STRICT, WITHOUT ROWID;
-- what an import was told to read, as a digest
CREATE TABLE setup(import TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE last_full(                                -- what the last full run has seen
    import TEXT NOT NULL,
    sink INTEGER NOT NULL,
    account INTEGER NOT NULL,
    stream TEXT NOT NULL,
    seen INTEGER NOT NULL,                             -- records, of the last run that was not doubted
    doubted INTEGER,                                   -- records, of the last run if it was
    PRIMARY KEY (import, sink, account, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE outage(                                   -- under way
    origin TEXT NOT NULL,
    account INTEGER NOT NULL,                          -- 0: the whole origin
    since REAL NOT NULL,
    next_at REAL NOT NULL,                             -- of the next probe
    delay REAL NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (origin, account)
) STRICT, WITHOUT ROWID;
CREATE TABLE doubt(                                    -- what the report of a run says is doubted
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,
    stream TEXT NOT NULL,
    seen INTEGER NOT NULL,
    before INTEGER NOT NULL,
    PRIMARY KEY (run, account, stream)
) STRICT, WITHOUT ROWID;
-- attempts that were refused while others of the bucket passed
ALTER TABLE ready ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delayed ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
CREATE TABLE stage(                                    -- tasks and groups of outcomes that come in portions
    id INTEGER NOT NULL,                               -- one for each lease that sends some
    first INTEGER NOT NULL,                            -- place of the first of these entries in the outcome
    task INTEGER NOT NULL,                             -- whose outcome
    count INTEGER NOT NULL,                            -- entries
    entries TEXT NOT NULL,                             -- as JSON
    PRIMARY KEY (id, first)
) STRICT;
CREATE TABLE unfolding(                                -- a stage whose task is done: it becomes ready, in slices
    stage INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,                          -- of the task that asked for them
    grp INTEGER NOT NULL,                              -- that it was in
    base INTEGER NOT NULL,                             -- number of the entry at place 0
    count INTEGER NOT NULL CHECK (count > 0),          -- entries that are left
    priority INTEGER                                   -- of all, where the import wants one
) STRICT;
ALTER TABLE run ADD COLUMN warn_at INTEGER;            -- tasks done at which it is told that it is long; NULL: never
ALTER TABLE run ADD COLUMN ad_hoc TEXT;                -- how a command has changed its import for it; NULL: not at all
ALTER TABLE dead ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;       -- 1: a sink has all that it is about
ALTER TABLE run ADD COLUMN added TEXT NOT NULL DEFAULT ''; -- streams of extensions that it asks for, with commas
ALTER TABLE run ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;      -- 1: a person has paused its import
CREATE TABLE ready_of_run(                             -- `ready` in the order of queues: each run's tasks by themselves
    bucket INTEGER NOT NULL,
    run INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    payload TEXT NOT NULL,
    grp INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, run, priority, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO ready_of_run
    SELECT bucket, run, priority, seq, kind, attempt, crashes, payload, grp, refused FROM ready ORDER BY 1, 2, 3, 4;
DROP TABLE ready;
ALTER TABLE ready_of_run RENAME TO ready;
CREATE TABLE queue(                                    -- a run's ready tasks in a bucket; goes when the run has ended
    bucket INTEGER NOT NULL,
    run INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    paused INTEGER NOT NULL,                           -- as its run is
    PRIMARY KEY (bucket, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_run ON queue(run);
INSERT INTO queue SELECT bucket, run, count(*), 0 FROM ready GROUP BY bucket, run;
ALTER TABLE account RENAME COLUMN paused TO refused;   -- why its credentials do not work
ALTER TABLE bucket ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;   -- 1: a person has paused it, its account or source
DROP INDEX bucket_ready;
CREATE INDEX bucket_ready ON bucket(blocked_until, id) WHERE ready > 0 AND paused = 0;
CREATE TABLE pause(                                    -- by people
    kind TEXT NOT NULL CHECK (kind IN ('import','account','bucket','source')),
    name TEXT NOT NULL,                                -- of a bucket: ACCOUNT/BUCKET
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    since REAL NOT NULL,
    until REAL,                                        -- NULL: until somebody resumes it
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit(                                    -- what people did, for a year
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    by TEXT NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    count INTEGER NOT NULL                             -- what it was done to
) STRICT;
CREATE INDEX audit_at ON audit(at);
ALTER TABLE run ADD COLUMN began TEXT NOT NULL DEFAULT ''; -- who or what has started it
ALTER TABLE run ADD COLUMN sample INTEGER;             -- records of each stream that it takes; NULL: all
ALTER TABLE run ADD COLUMN part TEXT;                  -- of its import's streams, those that it reads; NULL: all
CREATE TABLE schedule(                                 -- what outlives the daemon of an import's schedule
    import TEXT NOT NULL PRIMARY KEY,
    key TEXT NOT NULL,                                 -- the schedule's text and time zone
    settled REAL NOT NULL,                             -- up to then, all starts were made or skipped
    catch_up_at REAL,                                  -- when one start makes up for missed ones
    skipped INTEGER NOT NULL,
    skipped_at REAL,                                   -- the last one that was skipped
    skipped_why TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE lowered(                                  -- limits, by people
    account TEXT NOT NULL,
    bucket TEXT NOT NULL,                              -- '' for the whole account
    limits TEXT NOT NULL,                              -- a JSON array of them
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    since REAL NOT NULL,
    until REAL,                                        -- NULL: until somebody ends it
    PRIMARY KEY (account, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE answer(                                   -- to requests that may come again, for a day
    key TEXT PRIMARY KEY,
    digest TEXT NOT NULL,                              -- of the request
    at REAL NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_at ON answer(at);
-- runs that may be forgotten, by age (by number: below); the last full run of an import
CREATE INDEX run_prunable_at ON run(import, ended_at) WHERE state <> 'running' AND dead = 0 AND open = 0;
CREATE INDEX run_full ON run(import, id) WHERE "full" = 1 AND state IN ('completed', 'completed with dead letters');
-- tasks of the same kind of which each has asked for the next one, the last one for this
ALTER TABLE ready ADD COLUMN chain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delayed ADD COLUMN chain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead ADD COLUMN chain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bucket ADD COLUMN reason TEXT;             -- why it is blocked; from here on: of its last block
ALTER TABLE bucket ADD COLUMN waits_for TEXT;          -- the same in words
ALTER TABLE bucket ADD COLUMN blocked_since REAL;
DROP INDEX bucket_ready;
CREATE INDEX bucket_ready ON bucket(blocked_until, id, account, reason) WHERE ready > 0 AND paused = 0;
CREATE INDEX bucket_paused ON bucket(account) WHERE paused = 1;
CREATE INDEX run_of_account ON run(account, id) WHERE state = 'running';
CREATE INDEX account_refused ON account(id) WHERE refused IS NOT NULL;
ALTER TABLE run ADD COLUMN submitted INTEGER NOT NULL DEFAULT 0;   -- 1: it has nothing but what others have submitted
CREATE INDEX run_submitted ON run(import, submitted, id);
CREATE INDEX run_unclean ON run(state, id) WHERE state IN ('failed', 'cancelled', 'completed with dead letters');
CREATE INDEX run_prunable ON run(import, submitted, id) WHERE state <> 'running' AND dead = 0 AND open = 0;
-- 1: a group of tasks that others have submitted to a run; 2: all such of the run, which nothing follows
ALTER TABLE gather ADD COLUMN submitted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX gather_submitted ON gather(run) WHERE submitted > 0;
CREATE TABLE inbox_item(                               -- of the last chunk of the inbox, until they have left its file
    number INTEGER NOT NULL,                           -- in that file
    put_at REAL NOT NULL,
    rejected INTEGER NOT NULL,
    PRIMARY KEY (number, put_at)
) STRICT, WITHOUT ROWID;
CREATE TABLE rejected(                                 -- what was put into the inbox and is no task, the newest
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    item INTEGER NOT NULL,                             -- its number in the inbox's file
    put_at REAL NOT NULL,
    text TEXT NOT NULL,                                -- what was put, cut
    reason TEXT NOT NULL
) STRICT;
"""  # noqa: S608 - our own text
    + FIGURES
    + LETTERS,
]
