"""The views of a PostgreSQL sink: a column for each field that its objects have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.sinks.postgresql.relations import companion
from crawlerd.sinks.postgresql.typed_columns import function_of, statement_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.sinks.postgresql.database import Database

OWN_COLUMNS = ("account", "id", "data", "imported_at", "run", "deleted_at", "drift", "change", "parent")
MAX_FIELDS = 495  # columns of a view apart from ours: an API that invents field names must not make it grow without end
LONGEST_COLUMN = 63  # bytes; PostgreSQL cuts longer names, and two could become one

_FIELD = re.compile(r'[^"\\\x00-\x1f\x7f]{1,63}')
_KNOWN = 'SELECT field, "column", type FROM _crawlerd_field WHERE name = %s::text ORDER BY place'
_ADD = "INSERT INTO _crawlerd_field VALUES (%s::text, %s::int, %s::text, %s::text, %s::text)"
_FORGET = "DELETE FROM _crawlerd_field WHERE name = %s::text"
# Converts data to jsonb once per row, whatever the number of columns; NULL if PostgreSQL does not accept it.
_VIEW = """CREATE OR REPLACE VIEW "{table}_view" AS
SELECT t.account, t.id, j.data, CASE WHEN s.found THEN s.imported_at ELSE t.imported_at END AS imported_at,
  CASE WHEN s.found THEN s.run ELSE t.run END AS run, CASE WHEN s.found THEN s.change ELSE t.change END AS change,
  t.deleted_at, t.parent, {drift} AS drift{fields}
FROM "{table}" t
LEFT JOIN (SELECT true AS found, * FROM "{seen}") s ON s.row = t.row AND s.version = t.version
CROSS JOIN LATERAL (SELECT CASE WHEN t.is_jsonb THEN t.data::jsonb END AS data OFFSET 0) j"""
_RIGHTS = """SELECT format('GRANT %%s ON %%I TO %%s%%s', privilege_type, relname,
  CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class, aclexplode(relacl) WHERE oid = to_regclass(%s::text) AND grantee <> relowner"""


class Column(NamedTuple):
    field: str
    name: str
    type: str  # "text" unless configured otherwise


class Views:
    """The views of the streams' tables in one database."""

    def __init__(self, database: Database, types: Mapping[str, str]) -> None:
        """types: the configured types, by field."""
        self._database, self._types = database, types
        self.reset()

    def reset(self) -> None:
        """See `Content.reset`."""
        self._columns: dict[str, dict[str, Column]] = {}  # the columns of each view by field, in order

    def widen(self, table: str, fields: Iterable[str]) -> None:
        """Adds a column to the view for each field that can have one."""
        execute = self._database.execute
        known = self._columns.get(table)
        begun = known is not None
        if known is None:
            rows = execute(_KNOWN, (table,)).fetchall()
            known = self._columns[table] = {field: Column(field, name, type_) for field, name, type_ in rows}
            there = execute("SELECT to_regclass(%s::text) IS NOT NULL", (f'"{table}_view"',)).fetchone()
            begun = bool(there and there[0])
        new = [field for field in fields if field not in known and _FIELD.fullmatch(field)]
        new = new[: max(0, MAX_FIELDS - len(known))]
        other = [each for each in known.values() if each.type != self._types.get(each.field, "text")]
        if begun and not new and not other:
            return
        if other:
            known = {each.field: each._replace(type=self._types.get(each.field, "text")) for each in known.values()}
        taken = {*OWN_COLUMNS, *(each.name.lower() for each in known.values())}
        for field in new:
            known[field] = Column(field, _free(field, taken), self._types.get(field, "text"))
            taken.add(known[field].name.lower())
        self._columns[table] = known
        self._make(table, list(known.values()), rebuild=bool(other))
        if other:
            execute(_FORGET, (table,))
        for place, each in list(enumerate(known.values()))[0 if other else len(known) - len(new) :]:
            execute(_ADD, (table, place, *each))

    def _make(self, table: str, columns: list[Column], *, rebuild: bool) -> None:
        """Makes a view, and keeps the rights on it.

        rebuild: a column has another type, which PostgreSQL cannot change in an existing view.
        """
        execute = self._database.execute
        for type_ in {each.type for each in columns} - {"text"}:
            found = execute("SELECT to_regproc(%s::text) IS NULL", (function_of(type_),)).fetchone()
            if found and found[0]:
                execute(statement_for(type_))
        rights = []
        if rebuild:
            rights = [grant for (grant,) in execute(_RIGHTS, (f'"{table}_view"',)).fetchall()]
            execute(f'DROP VIEW IF EXISTS "{table}_view"')
        execute(_view(table, columns))
        for grant in rights:
            execute(grant)


def _free(field: str, taken: set[str]) -> str:
    """The name of a field's column: the field's own, with underscores added if that is taken."""
    column = _cut(field, LONGEST_COLUMN)
    tail = ""
    while (name := _cut(column, LONGEST_COLUMN - len(tail)) + tail).lower() in taken:
        tail += "_"
    return name


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _view(table: str, columns: Iterable[Column]) -> str:
    fields, drift = "", []
    for each in columns:
        label = each.field.replace("'", "''")
        value = f"j.data ->> '{label}'"
        if each.type != "text":
            value = f"{function_of(each.type)}(j.data -> '{label}')"
            given = f"j.data -> '{label}'"
            drift.append(
                f"CASE WHEN {value} IS NULL AND {given} IS NOT NULL AND jsonb_typeof({given}) <> 'null' "
                f"THEN '{label}' END"
            )
        fields += f',\n  {value} AS "{each.name}"'
    odd = f"nullif(array_remove(ARRAY[{', '.join(drift)}]::text[], NULL), '{{}}')" if drift else "NULL::text[]"
    return _VIEW.format(table=table, seen=companion(table, "seen"), fields=fields, drift=odd)
