"""Doubts about full runs: how many records the last one has seen, by import, sink, account and stream, and which
streams are in doubt because a run has seen too few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.doubt import Expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.groups import Execute

# Records of a part belong to the part; records of other accounts for which a run has tasks belong to the run's account.
_PARTS = (
    "EXISTS (SELECT 1 FROM borrowed JOIN account ON account.id = borrowed.account "
    "WHERE borrowed.run = run.id AND instr(account.name, '/') > 0)"
)
_EXPECTED = f"""
SELECT iif(run.shrink = 1, 0, coalesce(last_full.seen, 0)), last_full.doubted, NOT {_PARTS} FROM run
JOIN whole ON whole.run = run.id AND whole.account = run.account AND whole.stream = ?3
LEFT JOIN last_full ON last_full.import = run.import AND last_full.sink = run.sink AND last_full.account = ?2
    AND last_full.stream = whole.stream
WHERE run.id = ?1
"""  # noqa: S608 - our own text
# If a run has records of parts, only its sweeps show to which part they belong.
_SEEN = f"""
SELECT run.id, run.import, run.sink, whole.account, whole.stream,
    iif({_PARTS}, whole.seen, coalesce(tally.seen, 0)), whole.held,
    iif(run.shrink = 1, 0, coalesce(last_full.seen, 0)), last_full.doubted
FROM json_each(?) AS j JOIN run ON run.id = j.value->>0 JOIN whole ON whole.run = run.id
LEFT JOIN tally ON tally.run = run.id AND tally.stream = whole.stream
LEFT JOIN last_full ON last_full.import = run.import AND last_full.sink = run.sink
    AND last_full.account = whole.account AND last_full.stream = whole.stream
WHERE run.dropped = 0 AND NOT EXISTS (
    SELECT 1 FROM dead WHERE dead.run = run.id AND kept = 0 AND (denied = 0 OR dead.stream = whole.stream)
)
"""  # noqa: S608 - our own text
_LEARN = """
INSERT INTO last_full SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM json_each(?)
WHERE true ON CONFLICT (import, sink, account, stream) DO UPDATE SET seen = excluded.seen, doubted = excluded.doubted
"""
_DOUBT = """
INSERT INTO doubt SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)
"""
_STANDING = """
INSERT INTO doubt SELECT run.id, last_full.account, last_full.stream, last_full.doubted, last_full.seen
FROM json_each(?) AS j JOIN run ON run.id = j.value->>0
JOIN last_full ON last_full.import = run.import AND last_full.sink = run.sink AND last_full.doubted IS NOT NULL
WHERE run.ad_hoc IS NULL ON CONFLICT DO NOTHING
"""
_SETUP = """
INSERT INTO setup SELECT import, ?2 FROM run WHERE id = ?1
ON CONFLICT (import) DO UPDATE SET digest = excluded.digest WHERE setup.digest <> excluded.digest RETURNING 1
"""
_ACCEPT = """
UPDATE last_full SET seen = doubted, doubted = NULL
WHERE (import, sink) IN (SELECT import, sink FROM run WHERE id = ?1) AND doubted IS NOT NULL
"""
# Doubts about streams that the import does not read any more.
_DROP = """
UPDATE last_full SET doubted = NULL
WHERE (import, sink) IN (SELECT import, sink FROM run WHERE id = ?1) AND doubted IS NOT NULL
AND stream NOT IN (SELECT value FROM json_each(?2))
"""


class Doubts:
    """Counts the records of full runs, and knows which streams are in doubt. Used in the frontier's transactions."""

    def __init__(self, db: Database, execute: Execute) -> None:
        self._db, self._execute = db, execute

    def begin(self, run: int, streams: Sequence[str], whole: Sequence[str], *, setup: str, shrink: bool) -> None:
        """Call for a new run.

        streams: the streams that it reads.
        whole: the streams among them that it reads in full.
        setup: a digest of the import's options. After a change, no number of records is expected.
        shrink: accept it without a doubt when it sees few records, and forget earlier doubts.
        """
        if list(self._db.execute(_SETUP, (run, setup))):
            self._db.execute("DELETE FROM last_full WHERE import = (SELECT import FROM run WHERE id = ?)", (run,))
        self._execute(
            "INSERT INTO whole SELECT run.id, run.account, j.value->>1, NULL, 0 FROM json_each(?) AS j "
            "JOIN run ON run.id = j.value->>0 WHERE run.sink > 0",
            ((run, stream) for stream in dict.fromkeys(whole)),
        )
        if shrink:
            self._db.execute("UPDATE run SET shrink = 1 WHERE id = ?", (run,))
            self._db.execute(_ACCEPT, (run,))
        self._db.execute(_DROP, (run, msgspec.json.encode(list(streams)).decode()))

    def expected(self, run: int, account: int, stream: str) -> Expected | None:
        """How many records the run should see of a stream that it reads in full; None for other streams."""
        for before, doubted, alone in self._db.execute(_EXPECTED, (run, account, stream)):
            return Expected(before, doubted, bool(alone))
        return None

    def count(self, rows: Iterable[tuple[int, int, str, int, bool]]) -> None:
        """(run, account, stream, records seen so far, whether a sweep was held back)."""
        last: dict[tuple[int, int, str], tuple[int, bool]] = {}  # a statement may write to a row once
        for run, account, stream, seen, held in rows:
            before = last.get((run, account, stream), (0, False))
            last[run, account, stream] = seen, held or before[1]
        self._execute(
            "INSERT INTO whole SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?) "
            "WHERE true ON CONFLICT (run, account, stream) DO UPDATE SET seen = excluded.seen, "
            "held = max(whole.held, excluded.held)",
            [(*key, *each) for key, each in last.items()],
        )

    def standing(self, import_name: str, sink: int) -> set[str]:
        """The streams of an import that are in doubt."""
        rows = self._db.execute(
            "SELECT DISTINCT stream FROM last_full WHERE import = ? AND sink = ? AND doubted IS NOT NULL",
            (import_name, sink),
        )
        return {stream for (stream,) in rows}


def note(ended: Sequence[tuple[int, str]], execute: Execute) -> None:
    """Stores how many records ended runs have seen of the streams that they read in full, and which are in doubt.
    Leaves out streams that have not come to a clean end. ended: (run, state)."""
    learned: list[tuple[object, ...]] = []
    doubts: list[tuple[object, ...]] = []
    for run, name, sink, account, stream, seen, held, before, doubted in execute(_SEEN, ended):
        if seen is None:
            continue
        then = Expected(before, doubted).after(seen, held=bool(held))
        if then.doubted is not None:
            doubts.append((run, account, stream, seen, before))
        if then.doubted is not None or seen or before:
            learned.append((name, sink, account, stream, then.before, then.doubted))
    execute("DELETE FROM doubt WHERE run IN (SELECT value->>0 FROM json_each(?))", ended)
    execute(_LEARN, learned)
    execute(_DOUBT, doubts)
    execute(_STANDING, ended)
    completed = ((run,) for run, state in ended if state == "completed")
    execute("DELETE FROM whole WHERE run IN (SELECT value->>0 FROM json_each(?))", completed)
