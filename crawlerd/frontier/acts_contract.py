"""What people do to a frontier, each act with its line in the audit; and the answers that they got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from crawlerd.core.erasure import ErasedNotes, ErasureScope
    from crawlerd.core.lowered import LimitNote
    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.frontier.reports import Act

KEPT_SECONDS = 86_400.0  # for which an answer is kept


class Promise(NamedTuple):
    """That a request which comes again gets its first answer, and is not done again.

    key: of the request, as whoever asks has chosen it.
    digest: of all that was asked for.
    at: Unix seconds.
    answer: the body, from what the frontier's method has returned.
    """

    key: str
    digest: str
    at: float
    answer: Callable[[Any], bytes]


class KeptAnswer(NamedTuple):
    """See `Promise`."""

    digest: str
    body: bytes


class Acts(Protocol):
    """See `Frontier`."""

    def answering(self, promise: Promise | None) -> AbstractContextManager[None]:
        """Within it, the first act that does something keeps its answer, in its transaction. These are acts: `pause`,
        `lift`, `lower`, `end_lowered`, `cancel_run`, `retry_dead`, `begin_operation`, `change_sync_points` and
        `start_run`."""
        ...

    def keep(self, promise: Promise, result: object) -> None:
        """Keeps the answer of what was done elsewhere, or needed nothing to be done. One transaction."""
        ...

    def pauses(self) -> list[PauseNote]:
        """Those that last, the oldest first."""
        ...

    def pause(self, *notes: PauseNote) -> list[int]:
        """Adds pauses, or replaces those of the same, each with its line in the audit. Returns the runs of imports that
        are under way. One transaction."""
        ...

    def lift(self, kind: Pausable, name: str, by: str, now: float) -> list[int] | None:
        """Ends a pause, with its line in the audit. Returns the runs of the import that go on; None, and nothing is
        written, where there was no such pause. One transaction."""
        ...

    def lowered(self) -> list[LimitNote]:
        """The lowered limits that last, the oldest first."""
        ...

    def lower(self, note: LimitNote) -> None:
        """Lowers limits, or replaces what was lowered of the same. One transaction."""
        ...

    def end_lowered(self, account: str, bucket: str, by: str, now: float) -> bool:
        """The configured limits alone hold again. False, and nothing is written, where none were lowered. One
        transaction."""
        ...

    def forget_letters(self, scope: ErasureScope, after: int) -> tuple[int, int | None]:
        """Deletes, of the next dead letters after a number, those that are meant, with their attempts. How many, and
        the last one that was looked at, None at the end. RunUnderWay, and nothing is written, while a run is that may
        write of what is forgotten. One transaction."""
        ...

    def forget_notes(self, scope: ErasureScope, act: Act) -> ErasedNotes:
        """Deletes sync points and what else is noted of what is forgotten, with its line in the audit. RunUnderWay, and
        nothing is written, as of `forget_letters`. One transaction."""
        ...

    def check_scope(self, scope: ErasureScope) -> None:
        """RunUnderWay while a run is that may write of it."""
        ...

    def scrub(self, most_bytes: int | None) -> str | None:
        """Sees to it that what was deleted is not in free space of the database either. Why it may still be, if so.

        most_bytes: of a database that is written anew at once, which holds up all imports; None for any size.
        """
        ...

    def note_act(self, act: Act) -> None:
        """Writes a line of the audit for what was done elsewhere. One transaction."""
        ...

    def rename_import(self, old: str, new: str, act: Act) -> str | None:
        """Moves all that is noted of an import to another name, with its line in the audit. Why it cannot be done, and
        nothing is written; else None. One transaction."""
        ...
