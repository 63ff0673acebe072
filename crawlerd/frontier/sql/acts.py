"""The operations of people on the frontier, each one transaction with its line in the audit."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from crawlerd.frontier.sql import lowered_rows
from crawlerd.frontier.sql.known_runs import KnownRuns
from crawlerd.frontier.sql.pause_rows import PauseRows, all_pauses, note_act
from crawlerd.frontier.sql.renaming import rename_import

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from crawlerd.core.lowered import LimitNote
    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.frontier.acts_contract import Promise
    from crawlerd.frontier.reports import Act
    from crawlerd.frontier.sql.answer_rows import AnswerRows


class PeoplesActs(KnownRuns):
    """See `Acts`."""

    _answers: AnswerRows
    _pauses: PauseRows

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]: ...

    def answering(self, promise: Promise | None) -> AbstractContextManager[None]:
        return self._answers.answering(promise)

    def keep(self, promise: Promise, result: object) -> None:
        with self._transaction():
            self._answers.keep(promise, result)

    def pauses(self) -> list[PauseNote]:
        with self._errors():
            return all_pauses(self._db)

    def pause(self, *notes: PauseNote) -> list[int]:
        with self._transaction():
            return self._answers.done([run for note in notes for run in self._pauses.pause(note)])

    def lift(self, kind: Pausable, name: str, by: str, now: float) -> list[int] | None:
        with self._transaction():
            runs = self._pauses.lift(kind, name, by, now)
            return None if runs is None else self._answers.done(runs)

    def lowered(self) -> list[LimitNote]:
        with self._errors():
            return lowered_rows.all_lowered(self._db)

    def lower(self, note: LimitNote) -> None:
        with self._transaction():
            lowered_rows.lower(self._db, note)
            self._answers.done(None)

    def end_lowered(self, account: str, bucket: str, by: str, now: float) -> bool:
        with self._transaction():
            found = lowered_rows.end_lowered(self._db, account, bucket, by, now)
            return found and self._answers.done(found)

    def note_act(self, act: Act) -> None:
        with self._transaction():
            note_act(self._db, act)
            self._answers.done(None)

    def rename_import(self, old: str, new: str, act: Act) -> str | None:
        with self._transaction():
            return rename_import(self._db, old, new, act)
