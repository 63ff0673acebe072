"""The tables of the figures of runs, part of a migration."""

from __future__ import annotations

FIGURES = """
-- the figures of a run, added up in its commits and pruned with it
-- One table, in the order of runs: a commit changes one or two pages of it, where one for each of the views took six.
CREATE TABLE figure(
    run INTEGER NOT NULL,
    what INTEGER NOT NULL,                             -- the view that a row is in
    a INTEGER NOT NULL,                                -- what the values are of, as the view names it
    b INTEGER NOT NULL DEFAULT 0,
    c INTEGER NOT NULL DEFAULT 0,
    v ANY NOT NULL,
    w ANY NOT NULL DEFAULT 0,
    x ANY NOT NULL DEFAULT 0,
    y ANY NOT NULL DEFAULT 0,
    PRIMARY KEY (run, what, a, b, c)
) STRICT, WITHOUT ROWID;
-- its tasks by kind and level of chain; longest: tasks of the longest chain, up to here
CREATE VIEW run_stage AS
    SELECT run, a AS kind, b AS level, v AS open, w AS done, x AS dead, y AS longest FROM figure WHERE what = 1;
INSERT INTO figure(run, what, a, v, w, x, y)
    SELECT run, 1, kind, sum(open), 0, sum(1 - open), 1 FROM (
        SELECT run, kind, 1 AS open FROM ready UNION ALL SELECT run, kind, 1 FROM delayed
        UNION ALL SELECT run, kind, 1 FROM gather WHERE open > 0 UNION ALL SELECT run, kind, 0 FROM dead
    ) GROUP BY run, kind;
-- what its done tasks have asked for; kind: of the tasks that asked, 0 for the run's start; child: the kind asked for
CREATE VIEW run_asked AS
    SELECT run, a AS kind, b AS level, c AS child, v AS count FROM figure WHERE what = 2;
-- its done tasks by kind and bucket
CREATE VIEW run_served AS SELECT run, a AS kind, b AS bucket, v AS done FROM figure WHERE what = 3;
-- its done tasks in a bucket, those of late weighing most, and the seconds in which they were done
CREATE VIEW run_pace AS SELECT run, a AS bucket, v AS done, w AS seconds, x AS last_at FROM figure WHERE what = 4;
-- attempts of done tasks; bins: crawlerd.core.histogram
CREATE VIEW run_duration AS SELECT run, a AS kind, b AS bin, v AS count FROM figure WHERE what = 5;
-- its requests, and the bytes that came; status 0: no complete answer came
CREATE VIEW run_answer AS SELECT run, a AS status, v AS requests, w AS received FROM figure WHERE what = 6;
CREATE TABLE run_slow(                                 -- its slowest attempts
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    seconds REAL NOT NULL,
    kind INTEGER NOT NULL,
    about TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_event(                                -- what happened to it, the newest
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
"""
