"""Counts and deletes what a frontier stores about an account, an import or a record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from crawlerd.core.erasure import ErasedNotes
from crawlerd.core.traces import mentioning, without_key
from crawlerd.frontier.sql.pause_rows import note_act
from crawlerd.frontier.sync_point_contract import RunUnderWay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.erasure import ErasureScope
    from crawlerd.frontier.reports import Act
    from crawlerd.frontier.sql.database_contract import Database

# The values :accounts, :imports and :streams are JSON lists.
_NAMED = "SELECT value FROM json_each(:{})"
_ACCOUNTS = """SELECT account.id FROM account, json_each(:accounts) AS named
WHERE account.name = named.value OR (account.name > named.value || '/' AND account.name < named.value || '0')"""
_IMPORTS = f"{_NAMED.format('imports')} UNION SELECT import FROM run WHERE account IN ({_ACCOUNTS})"  # noqa: S608 - our own text
_RUNS = f"SELECT id FROM run WHERE import IN ({_IMPORTS})"  # noqa: S608 - our own text
_UNDER_WAY = f"""SELECT import, min(id) FROM run WHERE state = 'running' AND (import IN ({_NAMED.format("imports")})
OR account IN ({_ACCOUNTS}) OR id IN (SELECT run FROM borrowed WHERE account IN ({_ACCOUNTS})))
GROUP BY import LIMIT 1"""  # noqa: S608 - our own text
_LETTERS = f"""SELECT seq, payload, error FROM dead WHERE seq > :after
AND (run IN ({_RUNS}) OR bucket IN (SELECT id FROM bucket WHERE account IN ({_ACCOUNTS})))
AND (:streams = '[]' OR stream IN ({_NAMED.format("streams")})) ORDER BY seq LIMIT :most"""  # noqa: S608 - our own text
_TRIED = "SELECT url || ' ' || error FROM attempt WHERE seq = ?"
_POINTS = f"SELECT import, sink, stream, value FROM cursor WHERE import IN ({_IMPORTS})"  # noqa: S608 - our own text
_OF_IMPORTS = f"import IN ({_IMPORTS})"
# Columns with texts that may quote a record, and the key of their rows.
_TEXTS = (
    ("tally", "skip_reason", "run, stream"),
    ("tally", "unmarked_reason", "run, stream"),
    ("run_event", "text", "run, number"),
    ("attempt", "url", "seq, number"),
    ("attempt", "error", "seq, number"),
    ("audit", "subject", "id"),
    ("audit", "detail", "id"),
    ("run", "why", "id"),
    ("run", "ended_why", "id"),
    ("run_slow", "about", "run, seq"),
    ("bucket", "waits_for", "id"),
    ("outage", "error", "origin, account"),
    ("rejected", "text", "id"),
    ("rejected", "reason", "id"),
    ("operation", "which", "id"),
    ("operation", "reason", "id"),
)
LETTERS = 500  # dead letters that are looked at in one transaction


def check_scope(db: Database, scope: ErasureScope) -> None:
    """Raises RunUnderWay while a run is under way that may write data in the scope."""
    for import_name, run in list(_find(db, _UNDER_WAY, scope)):
        raise RunUnderWay(import_name, run)


def letters_of(db: Database, scope: ErasureScope, after: int) -> tuple[list[int], int | None]:
    """Looks at the next LETTERS dead letters. Returns those in the scope, and the last one read, None at the end."""
    rows = list(_find(db, _LETTERS, scope, after=after, most=LETTERS))
    about = mentioning(scope.key)
    found = [
        seq
        for seq, payload, error in rows
        if about(payload) or about(error) or any(about(text) for (text,) in db.execute(_TRIED, (seq,)))
    ]
    return found, rows[-1][0] if len(rows) == LETTERS else None


def count_notes(db: Database, scope: ErasureScope) -> ErasedNotes:
    letters, after = 0, 0 if scope.imports or scope.accounts else None
    while after is not None:
        found, after = letters_of(db, scope, after)
        letters += len(found)
    points = sum(1 for _ in _points(db, scope))
    return ErasedNotes(dead_letters=letters, sync_points=points, texts=sum(1 for _ in _texts(db, scope)))


def erase_notes(db: Database, scope: ErasureScope, act: Act) -> ErasedNotes:
    """Deletes sync points and texts, and writes a line of the audit. Call it in a transaction, after the dead letters
    were deleted. Returns how many."""
    points, texts = list(_points(db, scope)), list(_texts(db, scope))
    for import_name, sink, stream, _ in points:
        key = (import_name, sink, stream)
        db.execute("DELETE FROM cursor WHERE import = ? AND sink = ? AND stream = ?", key)
        db.execute(
            "DELETE FROM staged WHERE stream = ?2 AND run IN (SELECT id FROM run WHERE import = ?1)",
            (import_name, stream),
        )
    for table, column, where, key, text in texts:
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (text, *key))  # noqa: S608 - our own names
    if scope.key:
        about = mentioning(scope.key)
        for key, body in list(db.execute("SELECT key, body FROM answer")):
            if about(bytes(body).decode(errors="replace")):
                db.execute("DELETE FROM answer WHERE key = ?", (key,))
    else:
        _find(db, f"UPDATE scope SET dropped = 1 WHERE {_OF_IMPORTS} AND {_OF_STREAMS.format('list')}", scope)  # noqa: S608 - our own text
        _find(db, f"DELETE FROM last_full WHERE {_OF_IMPORTS} AND {_OF_STREAMS.format('stream')}", scope)  # noqa: S608 - our own text
        _find(db, f"DELETE FROM attempt WHERE run IN ({_RUNS}) AND :streams = '[]'", scope)  # noqa: S608 - our own text
        if not scope.streams:
            _find(db, f"UPDATE account SET identity = NULL WHERE id IN ({_ACCOUNTS})", scope)  # noqa: S608 - our own text
    for number, letter in list(db.execute("SELECT number, letter FROM unspooled")):
        if scope.of_letter(str(letter).encode()):
            db.execute("DELETE FROM unspooled WHERE number = ?", (number,))
    if scope.inbox and not scope.key and not scope.streams:
        db.execute("DELETE FROM rejected")
    note_act(db, act)
    return ErasedNotes(sync_points=len(points), texts=len(texts))


_OF_STREAMS = f"(:streams = '[]' OR {{}} IN ({_NAMED.format('streams')}))"


def _points(db: Database, scope: ErasureScope) -> Iterator[tuple[Any, ...]]:
    """Yields the sync points in the scope."""
    about = mentioning(scope.key)
    for import_name, sink, stream, value in list(_find(db, _POINTS, scope)):
        first, _, others = stream.partition(":")
        if scope.streams and first not in scope.streams and not set(scope.streams) & set(others.split(",")):
            continue
        if about(value):
            yield import_name, sink, stream, value


def _texts(db: Database, scope: ErasureScope) -> Iterator[tuple[str, str, str, tuple[Any, ...], str | None]]:
    """Yields the texts to change, as (table, column, condition of the row, its values, new text). For a whole account
    or import, these are all texts of reports that quote records."""
    if not scope.key:
        found = f"SELECT run, stream FROM tally WHERE run IN ({_RUNS}) AND {_OF_STREAMS.format('stream')}"  # noqa: S608 - our own text
        slow = f"SELECT run, seq FROM run_slow WHERE run IN ({_RUNS}) AND about <> '{FORGOTTEN}'"  # noqa: S608 - our own text
        for key in list(_find(db, slow, scope)):  # of all streams, since a task has a kind and not a stream
            yield "run_slow", "about", "run = ? AND seq = ?", key, FORGOTTEN
        for column in ("skip_reason", "unmarked_reason"):
            for key in list(_find(db, f"{found} AND {column} <> '{FORGOTTEN}'", scope)):
                yield "tally", column, "run = ? AND stream = ?", key, FORGOTTEN
        return
    about = mentioning(scope.key)
    for table, column, names in _TEXTS:
        where = " AND ".join(f"{name} = ?" for name in names.split(", "))
        for *key, text in list(
            db.execute(
                f"SELECT {names}, {column} FROM {table} WHERE instr({column}, ?) > 0",  # noqa: S608 - our own names
                (scope.key,),
            )
        ):
            if about(text):
                yield table, column, where, tuple(key), without_key(text, scope.key)


FORGOTTEN = "(forgotten)"


def _find(db: Database, statement: str, scope: ErasureScope, **more: int) -> list[tuple[Any, ...]]:
    values = {name: json.dumps(getattr(scope, name)) for name in ("accounts", "imports", "streams")} | more
    return list(db.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement}))
