"""Stored answers, for requests that may be sent twice."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from crawlerd.frontier.acts_contract import KEPT_SECONDS, KeptAnswer, Promise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from crawlerd.frontier.sql.database_contract import Database

    T = TypeVar("T")
_KEEP = """INSERT INTO answer(key, digest, at, body) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, at = excluded.at, body = excluded.body"""


def kept_answer(db: Database, key: str, now: float) -> KeptAnswer | None:
    """The answer of the last 24 hours with this key, if any. now: Unix seconds."""
    row = db.execute("SELECT digest, body FROM answer WHERE key = ? AND at > ?", (key, now - KEPT_SECONDS)).fetchone()
    return KeptAnswer(*row) if row else None


class AnswerRows:
    """Stores answers to requests of people. Used on the frontier's thread."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._promise: Promise | None = None

    @contextmanager
    def answering(self, promise: Promise | None) -> Iterator[None]:
        self._promise = promise
        try:
            yield
        finally:
            self._promise = None

    def done(self, result: T) -> T:
        """Stores the answer; call it in the transaction of an act that has changed something. Returns `result`."""
        promise, self._promise = self._promise, None
        if promise is not None:
            self.keep(promise, result)
        return result

    def keep(self, promise: Promise, result: object) -> None:
        """Stores an answer, and deletes old ones. Call it in a transaction."""
        self._db.execute("DELETE FROM answer WHERE at <= ?", (promise.at - KEPT_SECONDS,))
        row = (promise.key, promise.digest, promise.at, promise.answer(result))
        self._db.execute(_KEEP, row)
