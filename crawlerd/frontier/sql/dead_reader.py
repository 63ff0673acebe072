"""Reads dead letters and groups of them, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.outcome import POISON
from crawlerd.core.row_numbers import GREATEST
from crawlerd.frontier.letter_filter import ALL, LetterFilter
from crawlerd.frontier.reader_contract import IMPORTS_LOOKED, KILLERS_LOOKED
from crawlerd.frontier.reports import AttemptReport, DeadGroup, DeadLetter, LetterCount, LetterPage
from crawlerd.frontier.sql.account_reader import AccountReader
from crawlerd.frontier.sql.erasing_notes import count_notes
from crawlerd.frontier.sql.letter_work import COLUMNS, operation_of
from crawlerd.frontier.sql.submission_rows import rejections

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crawlerd.core.erasure import ErasedNotes, ErasureScope
    from crawlerd.frontier.reports import OperationReport
    from crawlerd.frontier.submission_contract import Rejection

NEWEST_LETTERS = 100_000  # an account's newest dead letters are searched among this many of the newest task numbers
_OF_ACCOUNT = """{0}.bucket IN (SELECT bucket.id FROM bucket JOIN account ON account.id = bucket.account
WHERE account.name = {1} OR (account.name > {1} || '/' AND account.name < {1} || '0'))"""
# The conditions of a filter on a row of `dead`: {0} is the row, {1} the value.
_CONDITIONS = {
    "ids": "{0}.seq IN (SELECT value FROM json_each({1}))",
    "import_name": "{0}.run IN (SELECT id FROM run WHERE import = {1})",
    "account": _OF_ACCOUNT,
    "kind": "{0}.kind = (SELECT id FROM kind WHERE name = {1})",
    "stream": "{0}.stream = {1}",
    "group": "{0}.fingerprint = (SELECT id FROM fingerprint WHERE hash = {1})",
    "error": "instr(lower({0}.error), lower({1})) > 0",
    "since": "{0}.at >= {1}",
    "until": "{0}.at < {1}",
    "run": "{0}.run = {1}",
}
_OTHERS = "dead AS other INDEXED BY dead_key CROSS JOIN run AS its ON its.id = other.run"
_SAME = "other.key = dead.key AND dead.key <> x'' AND its.import = run.import"
_DEAD = """
SELECT dead.seq, run.import, dead.run, account.name, dead.stream, kind.name, dead.attempt, dead.denied, dead.error,
       dead.payload, dead.at, fingerprint.hash, {} FROM dead {} CROSS JOIN run ON run.id = dead.run
JOIN bucket ON bucket.id = dead.bucket JOIN account ON account.id = bucket.account
JOIN kind ON kind.id = dead.kind LEFT JOIN fingerprint ON fingerprint.id = dead.fingerprint
"""
_ONE = _DEAD.format("1", "")
_OF_GROUP = "fingerprint = (SELECT id FROM fingerprint WHERE hash = ?1)"
_COUNTED = """
SELECT coalesce(sum(count), 0) FROM letters
WHERE (?1 IS NULL OR fingerprint = (SELECT id FROM fingerprint WHERE hash = ?1))
AND (?2 IS NULL OR run IN (SELECT id FROM run WHERE import = ?2)) AND (?3 IS NULL OR run = ?3)
"""
_IMPORTS = f"""
    (SELECT count(DISTINCT import) FROM (SELECT run FROM letters WHERE letters.fingerprint = fingerprint.id
        ORDER BY run DESC LIMIT {IMPORTS_LOOKED}) AS newest JOIN run ON run.id = newest.run)
"""  # noqa: S608 - our own text
_GROUPS = """
SELECT hash, source, kind, error_class, status, message, tasks,
    {imports},
    runs, first_at, last_at, (SELECT max(seq) FROM dead WHERE dead.fingerprint = fingerprint.id)
FROM (
    SELECT fingerprint, sum(count) AS tasks, count(*) AS runs, min(first_at) AS first_at, max(last_at) AS last_at
    FROM {letters} GROUP BY fingerprint
) AS found JOIN fingerprint ON fingerprint.id = found.fingerprint {after} ORDER BY {order}, hash LIMIT :limit
"""
_OF_IMPORT = "run CROSS JOIN letters ON letters.run = run.id WHERE run.import = :import"
_LETTERS = {  # by whether there is an import, and a run
    (False, False): "letters",
    (True, False): _OF_IMPORT,
    (False, True): "letters WHERE run = :run",
    (True, True): f"{_OF_IMPORT} AND run.id = :run",
}
_AFTER = "WHERE tasks < :tasks OR (tasks = :tasks AND hash > :hash)"
_KILLERS = """
SELECT DISTINCT kind.name FROM (SELECT kind, error FROM dead INDEXED BY dead_run WHERE run = ?1 LIMIT ?2) AS letter
JOIN kind ON kind.id = letter.kind WHERE substr(error, 1, ?3) = ?4 ORDER BY kind.name
"""


class DeadReader(AccountReader):
    """Reads dead letters. Part of `FrontierReader`."""

    def _found(self, statement: str, bindings: dict[str, Any] | tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._errors():
            return list(self._db.execute(statement, bindings))

    def dead_letters(
        self, which: LetterFilter = ALL, *, after: int = 0, limit: int = 100, one_each: bool = False
    ) -> list[DeadLetter]:
        count, where, values = _one_each(which) if one_each else ("1", *matching(which, "dead"))
        rows = self._found(
            f"{_DEAD.format(count, _way(which))} WHERE dead.seq > :after AND {where} ORDER BY dead.seq LIMIT :limit",
            {**values, "after": after, "limit": limit},
        )
        return [_letter(row) for row in rows]

    def newest_letters(self, which: LetterFilter, *, before: int | None, limit: int, most_read: int) -> LetterPage:
        way, least = self._way_down(which, before, most_read)
        count, where, values = _one_each(which)
        rows = self._found(
            f"{_DEAD.format(count, way)} WHERE dead.seq > :least AND dead.seq < :before AND {where} "
            "ORDER BY dead.seq DESC LIMIT :limit",
            {**values, "least": least, "before": GREATEST if before is None else before, "limit": limit},
        )
        letters = [_letter(row) for row in rows]
        full = len(letters) == limit
        return LetterPage(letters, letters[-1].id if full else least + 1 if least else None, cut=not full and least > 0)

    def _way_down(self, which: LetterFilter, before: int | None, most_read: int) -> tuple[str, int]:
        """The index by which to read the newest letters first, and the number of the letter to stop at, or 0."""
        group = (which.group, most_read)
        narrow = [which.run, which.import_name]
        if which.group is None and narrow != [None, None] and self._counted(which) <= most_read:
            return "INDEXED BY dead_run", 0
        rows = self._found(
            f"SELECT seq FROM dead {_way(which)} "  # noqa: S608 - our own text
            f"WHERE seq < ?3 AND {_OF_GROUP if which.group else '?1 IS NULL'} ORDER BY seq DESC LIMIT 1 OFFSET ?2",
            (*group, GREATEST if before is None else before),
        )
        return _way(which), rows[0][0] if rows else 0

    def quick_count(self, which: LetterFilter, most_read: int) -> LetterCount:
        ((last,),) = self._found("SELECT value FROM buried")
        if which == LetterFilter(group=which.group, import_name=which.import_name, run=which.run):
            return LetterCount(self._counted(which), last)
        way, least = self._way_down(which, None, most_read)
        where, values = matching(which, "dead")
        ((count,),) = self._found(
            f"SELECT count(*) FROM dead {way} WHERE seq > :least AND {where}",  # noqa: S608 - our own text
            {**values, "least": least},
        )
        return LetterCount(count, last, more=least > 0)

    def _counted(self, which: LetterFilter) -> int:
        """Counts letters by group, import and run, from counters; ignores the rest of the filter."""
        ((count,),) = self._found(_COUNTED, (which.group, which.import_name, which.run))
        return int(count)

    def count_letters(self, which: LetterFilter, through: int | None = None) -> LetterCount:
        ((last,),) = self._found("SELECT value FROM buried")
        through = last if through is None else min(through, last)
        where, values = matching(which, "dead")
        ((count,),) = self._found(
            f"SELECT count(*) FROM dead WHERE number <= :through AND {where}",  # noqa: S608 - our own text
            {**values, "through": through},
        )
        return LetterCount(count, through)

    def next_letters(self, which: LetterFilter, *, through: int, after: int, most: int) -> list[int]:
        where, values = matching(which, "dead")
        rows = self._found(
            f"SELECT seq FROM dead {_way(which)} "  # noqa: S608 - our own text
            f"WHERE seq > :after AND number <= :through AND {where} ORDER BY seq LIMIT :most",
            {**values, "after": after, "through": through, "most": most},
        )
        return [number for (number,) in rows]

    def dead_groups(
        self,
        *,
        import_name: str | None = None,
        run: int | None = None,
        limit: int = 100,
        newest: bool = False,
        after: tuple[int, str] | None = None,
    ) -> list[DeadGroup]:
        letters = _LETTERS[import_name is not None, run is not None]
        values = {"limit": limit, "import": import_name, "run": run}
        wanted = {name: value for name, value in values.items() if value is not None}
        rows = self._found(
            _GROUPS.format(
                letters=letters,
                imports=_IMPORTS if letters == "letters" else "1",
                order="last_at DESC" if newest else "tasks DESC",
                after=_AFTER if after else "",
            ),
            wanted | ({"tasks": after[0], "hash": after[1]} if after else {}),
        )
        return [DeadGroup(*row) for row in rows]

    def operations(self, *, before: int | None = None, limit: int = 100) -> list[OperationReport]:
        rows = self._found(
            f"SELECT {COLUMNS} FROM operation WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",  # noqa: S608 - our own text
            (before, limit),
        )
        return [operation_of(row) for row in rows]

    def operation(self, number: int) -> OperationReport | None:
        rows = self._found(f"SELECT {COLUMNS} FROM operation WHERE id = ?", (number,))  # noqa: S608 - our own text
        return operation_of(rows[0]) if rows else None

    def rejections(self, most: int, before: int | None = None) -> list[Rejection]:
        return rejections(self._found, most, before)

    def last_errors(self, account: str, most: int) -> list[DeadLetter]:
        rows = self._found(
            f"{_ONE} WHERE dead.seq > (SELECT max(seq) FROM dead) - ?3 AND account.name = ?1 "  # noqa: S608 - our own text
            "ORDER BY dead.seq DESC LIMIT ?2",
            (account, most, NEWEST_LETTERS),
        )
        return [_letter(row) for row in rows]

    def killers(self, run: int) -> list[str]:
        rows = self._found(_KILLERS, (run, KILLERS_LOOKED, len(POISON), POISON))
        return [name for (name,) in rows]

    def dead_letter(self, number: int) -> DeadLetter | None:
        rows = self._found(f"{_ONE} WHERE dead.seq = ?", (number,))
        if not rows:
            return None
        tried = self._found(
            "SELECT at, seconds, status, method, url, error FROM attempt WHERE seq = ? ORDER BY number", (number,)
        )
        return msgspec.structs.replace(_letter(rows[0]), history=[AttemptReport(*row) for row in tried])

    def count_notes(self, scope: ErasureScope) -> ErasedNotes:
        with self._errors():
            return count_notes(self._db, scope)

    def known_dead(self, numbers: Iterable[int]) -> list[int]:
        asked = list(dict.fromkeys(numbers))
        rows = self._found("SELECT seq FROM dead WHERE seq IN (SELECT value FROM json_each(?))", (_json(asked),))
        known = {number for (number,) in rows}
        return [number for number in asked if number in known]


def _way(which: LetterFilter) -> str:
    """The index that reads letters in the order of their numbers, beginning anywhere: reading page after page must not
    read all letters each time."""
    return "NOT INDEXED" if which.group is None else "INDEXED BY dead_fingerprint"


def _one_each(which: LetterFilter) -> tuple[str, str, dict[str, Any]]:
    """To read only the newest letter of each task: the expression of its count, the condition, and its values."""
    where, values = matching(which, "dead")
    others, more = matching(which, "other")
    same = f"SELECT {{}} FROM {_OTHERS} WHERE {_SAME} AND {others}"  # noqa: S608 - our own text
    where += f" AND NOT EXISTS ({same.format('1')} AND other.seq > dead.seq)"
    return f"max(1, ({same.format('count(*)')}))", where, values | more


def matching(which: LetterFilter, table: str) -> tuple[str, dict[str, Any]]:
    """The filter as an SQL condition on the table `dead`, which the statement calls `table`, and its values by name."""
    said = {name: getattr(which, name) for name in _CONDITIONS}
    wanted = {name: value for name, value in said.items() if value not in (None, [])}
    conditions = [_CONDITIONS[name].format(table, f":{name}") for name in wanted]
    values = {name: _json(value) if isinstance(value, list) else value for name, value in wanted.items()}
    return " AND ".join(conditions) or "true", values


def _letter(row: Sequence[Any]) -> DeadLetter:
    return msgspec.convert(dict(zip(DeadLetter.__struct_encode_fields__, row, strict=False)), DeadLetter, strict=False)


def _json(values: list[int]) -> str:
    return msgspec.json.encode(values).decode()
