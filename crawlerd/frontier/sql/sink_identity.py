"""Compares sinks with what the frontier knows about them, and drops the sync points of a sink that has changed.

Sync points, and everything else that a run leaves to the next one, belong to an import and its sink. Both the frontier
and the sink store the number of the last group commit that wrote to the sink, so each can tell that the other one is an
older copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierRefused
from crawlerd.frontier.sink_contract import Attached
from crawlerd.frontier.sql.cancel import cancel

if TYPE_CHECKING:
    from collections.abc import Collection

    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.sink import SinkState

_ADOPT = """UPDATE cursor SET sink = ?1 WHERE import = ?2 AND sink = 0
AND stream NOT IN (SELECT own.stream FROM cursor AS own WHERE own.import = ?2 AND own.sink = ?1)"""
RESTORED = 1 << 32  # commits that a restored frontier leaps over, so that no sink's mark is newer than it


class Sinks:
    """See `Frontier`. Used in its transactions."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.frontier: str
        self.frontier, self.commits = db.execute("SELECT id, commits FROM frontier").get

    def attach(self, name: str, state: SinkState, now: float) -> Attached:
        if state.number is not None and state.number > self.commits + 1:
            raise FrontierRefused(
                f"this frontier is older than {name}: its last commit is {self.commits:,}, but the sink has one of "
                f"{state.number:,}. An old copy was put in its place, its -wal file was lost, or `crawlerd frontier "
                "copy` has moved the frontier elsewhere since. Use the newer one; or accept this one with `crawlerd "
                "frontier restore FILE`; or begin with `crawlerd frontier new`"
            )
        known = self._rows("SELECT id, number FROM sink WHERE identity = ?", state.identity)
        others = self._rows("SELECT id FROM sink WHERE name = ? AND identity IS DISTINCT FROM ?", name, state.identity)
        abandoned: list[int] = []
        for (other,) in others:
            abandoned += self.forget(other, now, f"{name} is another {'reader' if state.forgets else 'database'} now")
            self._db.execute("DELETE FROM sink WHERE id = ?", (other,))
        if known:
            ((number, noted),) = known
            news = None
            if (state.number or 0) < noted:
                news = f"{name} is an older copy: it lacks what was imported last"
                if state.number is None:
                    news = f"{name} is an older copy: it has nothing of what was imported"
                abandoned += self.forget(number, now, news)
            self._db.execute(
                "UPDATE sink SET name = ?, number = ?, news = coalesce(?, news) WHERE id = ?",
                (name, state.number or 0, news, number),
            )
            return Attached(number, abandoned, news)
        news = f"{name} is another database than before, or rows were deleted from it" if others else None
        if news and state.forgets:
            news = f"{name} has another reader each time, who has nothing yet"
        adopts = not state.fresh and not others  # takes over sync points of a version that did not know its sinks
        return Attached(self._add(name, state.identity, state.number or 0, news, adopts=adopts), abandoned, news)

    def attach_receiver(self, import_name: str, identity: str | None, now: float) -> Attached:
        name = _receiver(import_name)
        text = None if identity is None else f"{import_name}: {identity}"
        rows = self._rows("SELECT id, identity FROM sink WHERE name = ?", name)
        if not rows:
            return Attached(self._add(name, text, 0, None, adopts=True), [], None)
        ((number, noted),) = rows
        if text is None or noted == text:
            return Attached(number, [], None)
        news = None if noted is None else f"{name} is another one than before"
        abandoned: list[int] = []
        if news:
            abandoned = self.forget(number, now, news)
            self._db.execute("DELETE FROM cursor WHERE import = ?", (import_name,))  # including those for its sink
            rows = self._rows("SELECT id FROM run WHERE state = 'running' AND import = ?", import_name)
            abandoned += self._abandon([run for (run,) in rows], now, news)
        self._db.execute("UPDATE sink SET identity = ?, news = ? WHERE id = ?", (text, news, number))
        return Attached(number, abandoned, news)

    def _add(self, name: str, identity: str | None, number: int, news: str | None, *, adopts: bool) -> int:
        added: int = self._db.execute(
            "INSERT INTO sink(name, identity, number, news, adopts) VALUES (?, ?, ?, ?, ?) RETURNING id",
            (name, identity, number, news, adopts),
        ).get
        return added

    def bind(self, import_name: str, sink: int, now: float, moved: str | None = None) -> Attached:
        """See `Frontier.bind`. moved: why all runs under way are abandoned, whatever their sink; None: they are not."""
        if self._db.execute("SELECT adopts FROM sink WHERE id = ?", (sink,)).get:
            self._db.execute(_ADOPT, (sink, import_name))
            self._db.execute(
                "UPDATE run SET sink = ? WHERE import = ? AND sink = 0 AND state <> 'completed'", (sink, import_name)
            )
        self._db.execute(  # runs begun by a command, which opens no sink
            "UPDATE run SET sink = ? WHERE import = ? AND sink = 0 AND submitted = 1 AND state = 'running'",
            (sink, import_name),
        )
        rows = self._rows("SELECT id FROM run WHERE state = 'running' AND import = ? AND sink <> ?", import_name, sink)
        abandoned = self._abandon([run for (run,) in rows], now, "its import has another sink now")
        if moved:
            rows = self._rows("SELECT id FROM run WHERE state = 'running' AND import = ?", import_name)
            abandoned += self._abandon([run for (run,) in rows], now, moved)
            self._end_letters("import = ?", import_name, moved)
        return Attached(sink, abandoned, moved)

    def forget(self, sink: int, now: float, why: str) -> list[int]:
        """Drops sync points and everything else known for a sink. Abandons and returns the runs that write to it."""
        for table in ("cursor", "last_full"):
            self._db.execute(f"DELETE FROM {table} WHERE sink = ?", (sink,))  # noqa: S608 - our own names
        self._db.execute("UPDATE scope SET dropped = 1 WHERE sink = ? AND dropped = 0", (sink,))
        self._db.execute("DELETE FROM staged WHERE run IN (SELECT id FROM run WHERE sink = ?)", (sink,))
        rows = self._rows("SELECT id FROM run WHERE state = 'running' AND sink = ?", sink)
        self._end_letters("sink = ?", sink, why)
        return self._abandon([run for (run,) in rows], now, why)

    def _end_letters(self, of: str, binding: str | int, why: str) -> None:
        """Removes the dead letters of ended runs: the next run has these tasks again. If they were retried, their run
        would count as complete."""
        cancelled = self._rows(
            "UPDATE run SET state = 'cancelled', ended_why = ?, again = 2 "  # noqa: S608 - our own text
            f"WHERE state <> 'running' AND dead > 0 AND {of} RETURNING id",
            why,
            binding,
        )
        self._db.executemany("DELETE FROM whole WHERE run = ?", cancelled)

    def _rows(self, query: str, *bindings: object) -> list[tuple[Any, ...]]:
        return list(self._db.execute(query, bindings))

    def _abandon(self, runs: list[int], now: float, why: str) -> list[int]:
        cancel(self._db, runs, now, why)
        return runs

    def news(self, import_name: str, sink: int) -> str | None:
        found: str | None = self._db.execute(
            "SELECT max(news) FROM sink WHERE id = ? OR name = ?", (sink, _receiver(import_name))
        ).get
        return found

    def note(self, written: Collection[int]) -> None:
        """Stores that these sinks were written before this commit, with its number as their mark."""
        number = self.commits + 1
        self._db.execute("UPDATE frontier SET commits = ?", (number,))
        self._db.executemany("UPDATE sink SET number = ? WHERE id = ?", [(number, sink) for sink in written])


def _receiver(import_name: str) -> str:
    return f"the receiver of import {import_name}"
