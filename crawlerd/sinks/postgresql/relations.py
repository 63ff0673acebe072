"""Tables and functions of a PostgreSQL sink."""

from __future__ import annotations

from hashlib import blake2b

from crawlerd.sinks.postgresql.failures import ANOTHER, FENCED

FORMAT = 1
LONGEST_NAME = 63 - len("_view")  # bytes of a table's name; PostgreSQL cuts longer ones, and two names could become one

# All names begin with an underscore, which no stream's table does.
#
# _crawlerd_sink: the identity of the sink.
# _crawlerd_frontier: the last mark of each frontier, see `crawlerd.sink.Mark`.
# _crawlerd_writer: the connection that may write for a configured sink: the one that took the last epoch.
# _crawlerd_run: numbers of runs: the frontier's number, unless another run has it already.
# _crawlerd_tally: what each run has done to each stream.
# _crawlerd_stream: the tables. counted: every change of it is in the tallies; -1: it was dropped.
# _crawlerd_field: the columns of the views.
# _crawlerd_account: the owner of each account, from whom its records come.
TABLES = """
CREATE TABLE IF NOT EXISTS _crawlerd_sink(identity text NOT NULL, format int NOT NULL);
INSERT INTO _crawlerd_sink SELECT replace(gen_random_uuid()::text, '-', ''), 1
  WHERE NOT EXISTS (SELECT 1 FROM _crawlerd_sink);
CREATE TABLE IF NOT EXISTS _crawlerd_frontier(frontier text PRIMARY KEY, number bigint NOT NULL)
  WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS _crawlerd_writer(name text PRIMARY KEY, epoch bigint NOT NULL, pid int NOT NULL);
CREATE TABLE IF NOT EXISTS _crawlerd_run(
  id bigint PRIMARY KEY, run bigint NOT NULL, started float8 NOT NULL, UNIQUE (run, started));
CREATE TABLE IF NOT EXISTS _crawlerd_tally(
  run bigint NOT NULL, stream text NOT NULL, new bigint NOT NULL DEFAULT 0, changed bigint NOT NULL DEFAULT 0,
  unchanged bigint NOT NULL DEFAULT 0, tombstoned bigint NOT NULL DEFAULT 0, PRIMARY KEY (run, stream))
  WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS _crawlerd_stream(
  name text PRIMARY KEY, source text NOT NULL, stream text NOT NULL, counted int NOT NULL);
CREATE TABLE IF NOT EXISTS _crawlerd_field(
  name text NOT NULL, place int NOT NULL, field text NOT NULL, "column" text NOT NULL, type text NOT NULL,
  PRIMARY KEY (name, place));
CREATE TABLE IF NOT EXISTS _crawlerd_account(
  source text NOT NULL, account text NOT NULL, identity text NOT NULL, PRIMARY KEY (source, account));
"""
# The first statement of each transaction. A transaction of a connection that was given up must not be written after one
# of its successor, however late it arrives.
_BEGIN = f"""
CREATE OR REPLACE FUNCTION _crawlerd_begin(its_identity text, its_writer text, its_epoch bigint) RETURNS void
LANGUAGE plpgsql SET search_path = "{{schema}}", pg_temp AS $$
BEGIN
  PERFORM 1 FROM _crawlerd_sink WHERE identity = its_identity FOR SHARE;
  IF NOT FOUND THEN RAISE EXCEPTION 'another sink is here' USING ERRCODE = '{ANOTHER}'; END IF;
  IF its_writer <> '' THEN
    PERFORM 1 FROM _crawlerd_writer WHERE name = its_writer AND epoch = its_epoch FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'another connection writes here' USING ERRCODE = '{FENCED}'; END IF;
  END IF;
END $$;
"""
# The rows are part of the sink's identity: deleting an existing row makes it another sink. SECURITY DEFINER, since
# whoever may delete rows need not have rights on our own tables.
_DELETED = """
CREATE OR REPLACE FUNCTION _crawlerd_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = "{schema}", pg_temp AS $$
BEGIN
  IF coalesce(current_setting('crawlerd.forgets', true), '') = 'on' THEN RETURN NULL; END IF;
  IF TG_OP = 'DELETE' THEN
    PERFORM 1 FROM gone WHERE deleted_at IS NULL LIMIT 1;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  UPDATE _crawlerd_sink SET identity = replace(gen_random_uuid()::text, '-', '');
  RETURN NULL;
END $$;
"""
FUNCTIONS = (_BEGIN, _DELETED)  # by `schema`

# If the table of seen rows has an entry with a row's version, the row was seen again without a change. So a run that
# finds no change writes 60 bytes, not the whole object.
STREAM = """
CREATE TABLE IF NOT EXISTS "{table}" (
  account     text COLLATE "C" NOT NULL,
  id          text COLLATE "C" NOT NULL,
  data        text,
  imported_at timestamptz NOT NULL,
  run         bigint NOT NULL,
  deleted_at  timestamptz,
  change      text,
  parent      text COLLATE "C",
  row         bigint GENERATED ALWAYS AS IDENTITY (CACHE 1000),
  version     int NOT NULL DEFAULT 0,
  is_jsonb    boolean NOT NULL DEFAULT true,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
);
CREATE INDEX IF NOT EXISTS "{below}" ON "{table}"(account, parent, id) WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{gone}" ON "{table}"(deleted_at) WHERE deleted_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS "{seen}" (
  row         bigint PRIMARY KEY,
  version     int NOT NULL,
  run         bigint NOT NULL,
  imported_at timestamptz NOT NULL,
  change      text
) WITH (fillfactor = 45);
CREATE OR REPLACE TRIGGER _crawlerd_deleted AFTER DELETE ON "{table}" REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION _crawlerd_deleted();
CREATE OR REPLACE TRIGGER _crawlerd_truncated AFTER TRUNCATE ON "{table}"
  FOR EACH STATEMENT EXECUTE FUNCTION _crawlerd_deleted()
"""


def relation(table: str) -> str:
    """The name of a stream's table in PostgreSQL: its own, or a shorter one. `_crawlerd_stream` has both."""
    if len(table) <= LONGEST_NAME:
        return table
    digest = blake2b(table.encode(), digest_size=5).hexdigest()
    return f"{table[: LONGEST_NAME - len(digest) - 1]}_{digest}"


def companion(table: str, what: str) -> str:
    """The name of an object that belongs to a table. No stream's table can have that name."""
    digest = blake2b(table.encode(), digest_size=5).hexdigest() if len(table) > 40 else ""
    return f"_crawlerd_{what}_{table[:40]}{digest}"


def stream_statements(table: str) -> list[str]:
    names = {what: companion(table, what) for what in ("seen", "below", "gone")}
    return [each.strip() for each in STREAM.format(table=table, **names).split(";\n") if each.strip()]
