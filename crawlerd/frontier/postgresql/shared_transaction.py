"""The transaction of a commit, in which sinks of the same database write before the frontier does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg

_SET = "SELECT set_config(key, value, true) FROM unnest(%s::text[], %s::text[]) AS s(key, value)"


class ServerTransaction:
    """See `crawlerd.sink.SharedTransaction`. Each sink writes after a savepoint, so an error of one undoes only what
    that one has written."""

    def __init__(
        self,
        begin: Callable[[], psycopg.Connection[Any]],
        roll_back: Callable[[], None],
        backend: Callable[[], tuple[int, str]],
        settings: Mapping[str, str],
    ) -> None:
        """begin: begins the transaction unless it has begun; returns its session, in pipeline mode.
        roll_back: undoes a transaction that `begin` has begun and no commit has ended. Raises nothing.
        backend: the number and the start of the server's process for the session.
        settings: of the session, for the frontier's statements.
        """
        self._begin, self._roll_back, self.backend, self._settings = begin, roll_back, backend, settings
        self._parts: dict[Callable[[bool], None], None] = {}
        self.begun = False

    @contextmanager
    def part(self, settings: Mapping[str, str], ended: Callable[[bool], None]) -> Iterator[psycopg.Connection[Any]]:
        session = self._begin()
        self.begun = True
        with session.transaction("part"), session.pipeline():  # of this pipeline, all answers are here at the end
            self._set(session, settings)
            yield session
            session.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what fails at a COMMIT would be the frontier's error
            self._set(session, {key: value for key, value in self._settings.items() if key in settings})
        self._parts[ended] = None

    @contextmanager
    def together(self, ended: Callable[[bool], None]) -> Iterator[None]:
        session = self._begin()
        self.begun = True
        before = ended in self._parts
        try:
            with session.transaction("together"):
                yield
        except BaseException:
            if not before and self._parts.pop(ended, self) is None:
                ended(False)
            raise

    def give_up(self) -> None:
        if self.begun:
            self._roll_back()
            self.end(written=False)

    def end(self, *, written: bool) -> None:
        """The transaction has ended."""
        parts, self._parts = self._parts, {}
        self.begun = False
        for ended in parts:
            ended(written)

    @staticmethod
    def _set(session: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
        session.execute(_SET, (list(settings), list(settings.values())))
