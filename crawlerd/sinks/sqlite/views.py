"""The views of an SQLite sink: a column for each field that its objects have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.sinks.sqlite.database import Database

OWN_COLUMNS = ("account", "id", "data", "imported_at", "run", "deleted_at")
# columns of a view apart from ours, 500 in all: an API that invents field names must not make it grow without end
MAX_FIELDS = 495

_FIELD = re.compile(r'[^"\\\x00-\x1f\x7f]{1,63}')  # valid as a quoted label of a JSON path in any version of SQLite
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# With the name of its column, which may itself look like a field.
_FIELD_IN_VIEW = re.compile(r"""json_extract\(data, '\$\.(?:(\w+)|"([^"]+)")'\)(?: END AS "[^"]*")?""")

# json_extract, not ->>, which SQLite before 3.38 cannot parse: it would refuse to open the whole file.
_VIEW = """CREATE VIEW IF NOT EXISTS "{table}_view" AS
SELECT account, id, {fields}imported_at, run, deleted_at FROM "{table}" """
_VIEW_FIELD = """CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.{label}') END AS "{column}", """


class Views:
    """The views of the streams' tables in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reset()

    def reset(self) -> None:
        """See `Content.reset`."""
        self._fields: dict[str, dict[str, None]] = {}  # the fields of each view, in order

    def widen(self, table: str, fields: Iterable[str]) -> None:
        """Adds a column to the view for each field that can have one."""
        execute = self._database.connection.execute
        known = self._fields.get(table)
        if known is None:
            execute(_view(table, ()))
            view = execute("SELECT sql FROM sqlite_schema WHERE name = ?", (f"{table}_view",)).get
            found = (plain or odd.replace("''", "'") for plain, odd in _FIELD_IN_VIEW.findall(view))
            known = self._fields[table] = dict.fromkeys(found)
        new = [field for field in fields if field not in known and _FIELD.fullmatch(field)]
        columns = dict.fromkeys([*known, *new][:MAX_FIELDS]) if new else known
        if len(columns) > len(known):
            execute(f'DROP VIEW IF EXISTS "{table}_view"; {_view(table, columns)}')
            self._fields[table] = columns


def _view(table: str, fields: Iterable[str]) -> str:
    """The statement that makes the view. Earlier fields keep their columns when later ones are added."""
    taken = set(OWN_COLUMNS)
    columns = ""
    for field in fields:
        column = field
        while column.lower() in taken:
            column += "_"
        taken.add(column.lower())
        label = field if _PLAIN.fullmatch(field) else '"{}"'.format(field.replace("'", "''"))
        columns += _VIEW_FIELD.format(label=label, column=column)
    return _VIEW.format(table=table, fields=columns)
