"""The tables of dead letters: fingerprints, attempts, operations, and copies for the spool."""

from __future__ import annotations

LETTERS = """
CREATE TABLE fingerprint(                              -- a group of dead letters: the same failure
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,                         -- see `crawlerd.core.fingerprint`
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    error_class TEXT NOT NULL,
    status INTEGER,
    message TEXT NOT NULL
) STRICT;
CREATE TABLE letters(                                  -- how many dead letters a run has of a fingerprint
    fingerprint INTEGER NOT NULL,
    run INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_at REAL NOT NULL,                            -- since there were none
    last_at REAL NOT NULL,
    PRIMARY KEY (fingerprint, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX letters_run ON letters(run);
CREATE TABLE buried(value INTEGER NOT NULL) STRICT;    -- the number of the last dead letter
INSERT INTO buried VALUES (0);
ALTER TABLE dead ADD COLUMN fingerprint INTEGER NOT NULL DEFAULT 0; -- 0: not known yet
ALTER TABLE dead ADD COLUMN key BLOB NOT NULL DEFAULT x'';          -- of account, kind and arguments
ALTER TABLE dead ADD COLUMN number INTEGER NOT NULL DEFAULT 0;      -- higher than those of all that died before
CREATE INDEX dead_fingerprint ON dead(fingerprint, seq);
CREATE INDEX dead_key ON dead(key, seq);
CREATE TABLE attempt(                                  -- the last ones that failed, of tasks that are not done
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    run INTEGER NOT NULL,
    at REAL NOT NULL,                                  -- when it was noted
    seconds REAL,                                      -- that its request took, if there was one
    status INTEGER,                                    -- of HTTP, if there was an answer
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_run ON attempt(run);
CREATE TRIGGER dead_came AFTER INSERT ON dead BEGIN
    INSERT INTO letters VALUES (NEW.fingerprint, NEW.run, 1, NEW.at, NEW.at)
    ON CONFLICT DO UPDATE SET count = count + 1, last_at = max(last_at, excluded.last_at);
END;
CREATE TRIGGER dead_known AFTER UPDATE OF fingerprint ON dead BEGIN
    INSERT INTO letters VALUES (NEW.fingerprint, NEW.run, 1, NEW.at, NEW.at)
    ON CONFLICT DO UPDATE SET count = count + 1, last_at = max(last_at, excluded.last_at);
END;
CREATE TRIGGER dead_gone AFTER DELETE ON dead BEGIN
    UPDATE letters SET count = count - 1 WHERE fingerprint = OLD.fingerprint AND run = OLD.run;
    DELETE FROM letters WHERE fingerprint = OLD.fingerprint AND run = OLD.run AND count = 0;
    DELETE FROM attempt WHERE seq = OLD.seq;
END;
CREATE TRIGGER letters_gone AFTER DELETE ON letters
WHEN NOT EXISTS (SELECT 1 FROM letters WHERE fingerprint = OLD.fingerprint) BEGIN
    DELETE FROM fingerprint WHERE id = OLD.fingerprint;
END;
ALTER TABLE run ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0; -- dead letters that left without being done
CREATE TABLE operation(                                -- what people do to dead letters that match a filter
    id INTEGER PRIMARY KEY,
    act TEXT NOT NULL CHECK (act IN ('retry','drop')),
    which TEXT NOT NULL,                               -- the filter, as JSON
    through INTEGER NOT NULL,                          -- the last burial that counts
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running','done','cancelled','failed')),
    error TEXT,                                        -- why it has failed, or cannot go on at the moment
    began_at REAL NOT NULL,
    ended_at REAL,
    total INTEGER NOT NULL,                            -- letters that matched when it began
    seen INTEGER NOT NULL DEFAULT 0,                   -- letters that it has come to
    done INTEGER NOT NULL DEFAULT 0,                   -- letters that it has changed
    last INTEGER NOT NULL DEFAULT 0                    -- the last letter that it has come to
) STRICT;
CREATE INDEX operation_running ON operation(id) WHERE state = 'running';
CREATE TABLE spooling(value INTEGER NOT NULL) STRICT;  -- 1: each letter that dies is copied for the spool
INSERT INTO spooling VALUES (0);
CREATE TABLE unspooled(                                -- copies that are not in the spool yet
    number INTEGER PRIMARY KEY,                        -- as of `dead`
    letter TEXT NOT NULL                               -- as `dead show` has it, without its attempts
) STRICT;
CREATE TRIGGER dead_copied AFTER INSERT ON dead WHEN (SELECT value FROM spooling) BEGIN
    INSERT INTO unspooled SELECT NEW.number, json_object(
        'id', NEW.seq, 'import', run.import, 'run', NEW.run, 'account', account.name, 'stream', NEW.stream,
        'kind', kind.name, 'attempts', NEW.attempt, 'denied', json(iif(NEW.denied, 'true', 'false')),
        'error', NEW.error, 'payload', NEW.payload, 'at', NEW.at, 'group', coalesce(fingerprint.hash, '')
    ) FROM run JOIN bucket ON bucket.id = NEW.bucket JOIN account ON account.id = bucket.account
    JOIN kind ON kind.id = NEW.kind LEFT JOIN fingerprint ON fingerprint.id = NEW.fingerprint WHERE run.id = NEW.run;
END;
"""
