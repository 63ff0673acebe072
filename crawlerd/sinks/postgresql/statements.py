"""The statements that write and read the rows of a stream. Each finds rows by an index, whatever the planner knows
about the tables.

A statement may be prepared while its tables are empty, and be used when they have millions of rows. So the settings of
the connection leave the planner no other choice, OFFSET 0 keeps it from joining whole tables, and no UPDATE or DELETE
is a join: with the account as the only condition, an index would lead to all rows of the account.

If the table of seen rows has an entry with a row's version, `run`, `imported_at` and `change` are taken from there.
"""

from __future__ import annotations

from functools import lru_cache

from crawlerd.sinks.postgresql.relations import companion

SEPARATOR = b"\x1e"  # between JSON texts, which contain no control characters
PINS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "enable_memoize": "off",
    "enable_bitmapscan": "off",
    "from_collapse_limit": "8",  # PostgreSQL's own; the frontier's sessions have another
    "join_collapse_limit": "8",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}

_LATEST = """LEFT JOIN LATERAL (SELECT true AS found, s.run, s.imported_at, s.change FROM "{seen}" s
  WHERE s.row = {of}.row AND s.version = {of}.version OFFSET 0) s ON true"""

# What happens to an existing row: `wide` if the row itself changes, `narrow` if only the entry in the table of seen
# rows does. For the first write in a run, its previous state decides; later writes know from `change` whether it
# existed before the run ('new' and NULL: it did not).
_PUT = (
    """WITH incoming AS (
  SELECT i.id, i.data, i.place <> ALL (%(odd)s::int[]) AS is_jsonb, nullif(i.parent, '') AS parent
  FROM unnest(%(keys)s::text[], string_to_array(%(data)s::text, E'\\x1e', ''), %(parents)s::text[])
    WITH ORDINALITY AS i(id, data, parent, place)
), met AS (
  SELECT i.*, o.found, o.row, o.version, o.gone, o.same, o.moved,
    CASE WHEN s.found THEN s.run ELSE o.run END AS run, CASE WHEN s.found THEN s.change ELSE o.change END AS change
  FROM incoming i
  LEFT JOIN LATERAL (SELECT true AS found, t.row, t.version, t.run, t.change, t.deleted_at IS NOT NULL AS gone,
      t.data IS NOT DISTINCT FROM coalesce(i.data, t.data) AS same,
      t.parent IS DISTINCT FROM coalesce(i.parent, t.parent) AS moved
    FROM "{table}" t WHERE t.account = %(account)s::text AND t.id = i.id OFFSET 0) o ON true
  """
    + _LATEST.replace("{of}", "o")
    + """
), judged AS MATERIALIZED (
  SELECT m.id, m.data, m.is_jsonb, m.parent, m.row, m.version, m.found IS NULL AS fresh,
    m.found AND (NOT m.same OR m.moved OR m.gone <> (m.data IS NULL)) AS wide,
    m.found AND m.run <> %(run)s::bigint AS other,
    CASE WHEN m.run = %(run)s::bigint THEN m.change END AS before,
    CASE
      WHEN m.found IS NULL
        OR CASE WHEN m.run = %(run)s::bigint THEN m.change IS NULL OR m.change = 'new' ELSE m.gone END
        THEN CASE WHEN m.data IS NOT NULL THEN 'new' END
      WHEN m.data IS NULL THEN 'tombstoned'
      WHEN m.same AND (m.run <> %(run)s::bigint OR m.change IN ('unchanged', 'skipped')) THEN 'unchanged'
      ELSE 'changed'
    END AS change
  FROM met m
), written AS (
  INSERT INTO "{table}" AS t (account, id, data, imported_at, run, deleted_at, change, parent, is_jsonb)
  SELECT %(account)s::text, j.id, j.data, %(at)s::timestamptz, %(run)s::bigint,
    CASE WHEN j.data IS NULL THEN %(at)s::timestamptz END, j.change, j.parent, j.is_jsonb
  FROM judged j WHERE j.fresh OR j.wide
  ON CONFLICT (account, id) DO UPDATE SET data = coalesce(excluded.data, t.data), imported_at = excluded.imported_at,
    run = excluded.run, change = excluded.change, parent = coalesce(excluded.parent, t.parent), version = t.version + 1,
    deleted_at = CASE WHEN excluded.data IS NULL THEN coalesce(t.deleted_at, excluded.deleted_at) END,
    is_jsonb = CASE WHEN excluded.data IS NULL THEN t.is_jsonb ELSE excluded.is_jsonb END
), noted AS (
  INSERT INTO "{seen}" AS s (row, version, run, imported_at, change)
  SELECT j.row, j.version, %(run)s::bigint, %(at)s::timestamptz, j.change FROM judged j WHERE j.other AND NOT j.wide
  ON CONFLICT (row) DO UPDATE SET version = excluded.version, run = excluded.run, imported_at = excluded.imported_at,
    change = excluded.change
)
SELECT {counts} FROM judged j WHERE j.fresh OR j.wide OR j.other"""
)
_COUNTS = ", ".join(
    f"coalesce(sum((j.change IS NOT DISTINCT FROM '{each}')::int - (j.before IS NOT DISTINCT FROM '{each}')::int), 0)"
    "::bigint"
    for each in ("new", "changed", "unchanged", "tombstoned")
)

# Two imports may share a stream. first: the first key; past: what sorts after the last one; since: when the run began.
_SWEPT = (
    """SELECT t.id, t.ctid AS tid, CASE WHEN s.found THEN s.run ELSE t.run END AS its_run,
  CASE WHEN s.found THEN s.change ELSE t.change END AS its_change
FROM "{table}" t """
    + _LATEST.replace("{of}", "t")
    + """
WHERE t.account = %(account)s::text AND {id} >= %(first)s::text {below} AND t.deleted_at IS NULL
  AND {whose}"""
)
_OF_RUN = "CASE WHEN s.found THEN s.run ELSE t.run END"
_BEFORE = "CASE WHEN s.found THEN s.imported_at ELSE t.imported_at END < %(since)s::timestamptz"
_SWEEP = (
    """WITH swept AS MATERIALIZED ({swept} FOR UPDATE OF t), updated AS (
  UPDATE "{table}" t SET imported_at = %(at)s::timestamptz, run = %(run)s::bigint, deleted_at = %(at)s::timestamptz,
    version = t.version + 1,
    change = (SELECT {change} FROM (
      SELECT CASE WHEN s.found THEN s.run ELSE t.run END AS its_run,
        CASE WHEN s.found THEN s.change ELSE t.change END AS its_change
      FROM (SELECT 1) one """
    + _LATEST.replace("{of}", "t")
    + """) w)
  WHERE t.ctid = ANY (ARRAY(SELECT w.tid FROM swept w))
)
SELECT {counts} FROM (
  SELECT CASE WHEN w.its_run = %(run)s::bigint THEN w.its_change END AS before, {change} AS change FROM swept w) j"""
)
_SWEPT_CHANGE = """CASE WHEN w.its_run = %(run)s::bigint AND (w.its_change IS NULL OR w.its_change = 'new') THEN NULL
  ELSE 'tombstoned' END"""
_FIND = "SELECT id FROM ({swept} ORDER BY t.id LIMIT %(most)s::bigint) w ORDER BY id"
_SEEN = """SELECT count(*) FROM "{table}" t {latest} WHERE t.account = %(account)s::text
  AND CASE WHEN s.found THEN s.run ELSE t.run END = %(run)s::bigint
  AND CASE WHEN s.found THEN s.change ELSE t.change END IN ('new', 'changed', 'unchanged')"""
_SPARE = """WITH spared AS (
  INSERT INTO "{seen}" AS n (row, version, run, imported_at, change)
  SELECT t.row, t.version, %(run)s::bigint, CASE WHEN s.found THEN s.imported_at ELSE t.imported_at END, 'skipped'
  FROM "{table}" t {latest}
  WHERE t.account = %(account)s::text AND t.id = %(key)s::text AND t.deleted_at IS NULL
    AND CASE WHEN s.found THEN s.run ELSE t.run END <> %(run)s::bigint
  ON CONFLICT (row) DO UPDATE SET version = excluded.version, run = excluded.run, imported_at = excluded.imported_at,
    change = excluded.change
) SELECT 0, 0, 0, 0"""


@lru_cache(maxsize=1000)
def put(table: str) -> str:
    """The statement that writes rows. It returns the changes of the run's totals: new, changed, unchanged, tombstoned.

    Its parameters keys, data, parents and odd describe the rows; `data` has the texts with SEPARATOR between them, ""
    for a tombstone.
    """
    return _PUT.format(table=table, seen=companion(table, "seen"), counts=_COUNTS)


@lru_cache(maxsize=1000)
def sweep(table: str, *, bounded: bool, parent: bool, own: bool) -> str:
    """The statement that sweeps rows. It returns the same as that of `put`."""
    swept = _swept(table, bounded=bounded, parent=parent, own=own)
    return _SWEEP.format(table=table, seen=companion(table, "seen"), swept=swept, change=_SWEPT_CHANGE, counts=_COUNTS)


@lru_cache(maxsize=1000)
def find(table: str, *, bounded: bool, parent: bool, own: bool) -> str:
    """The statement that finds the keys which `sweep` would tombstone."""
    return _FIND.format(swept=_swept(table, bounded=bounded, parent=parent, own=own))


@lru_cache(maxsize=1000)
def seen(table: str) -> str:
    return _SEEN.format(table=table, latest=_LATEST.format(seen=companion(table, "seen"), of="t"))


@lru_cache(maxsize=1000)
def spare(table: str) -> str:
    latest = _LATEST.format(seen=companion(table, "seen"), of="t")
    return _SPARE.format(table=table, seen=companion(table, "seen"), latest=latest)


def _swept(table: str, *, bounded: bool, parent: bool, own: bool) -> str:
    key = "(t.id || '')" if parent else "t.id"  # the few rows below a parent are found by the index of parents
    below = f"AND {key} < %(past)s::text" if bounded else ""
    if parent:
        below += " AND t.parent = %(parent)s::text"
    whose = f"({_OF_RUN} = %(run)s::bigint OR {_BEFORE})" if own else f"{_OF_RUN} <> %(run)s::bigint AND {_BEFORE}"
    return _SWEPT.format(table=table, seen=companion(table, "seen"), id=key, below=below, whose=whose)
