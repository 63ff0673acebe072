"""The operations of people on a frontier, each with its line in the audit, and the stored answers to their requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from crawlerd.core.erasure import ErasedNotes, ErasureScope
    from crawlerd.core.lowered import LimitNote
    from crawlerd.core.pauses import Pausable, PauseNote
    from crawlerd.frontier.reports import Act

KEPT_SECONDS = 86_400.0  # how long an answer is kept


class Promise(NamedTuple):
    """Stores the answer to a request, so that the same request, sent twice, is done once and gets the same answer.

    key: the key of the request, chosen by its sender.
    digest: a digest of the whole request.
    at: when it was made; Unix seconds.
    answer: makes the body of the answer from the result of the frontier's method.
    """

    key: str
    digest: str
    at: float
    answer: Callable[[Any], bytes]


class KeptAnswer(NamedTuple):
    """A stored answer, see `Promise`."""

    digest: str
    body: bytes


class Acts(Protocol):
    """See `Frontier`."""

    def answering(self, promise: Promise | None) -> AbstractContextManager[None]:
        """A block in which the first act that changes something stores its answer, in the same transaction. Acts are
        `pause`, `lift`, `lower`, `end_lowered`, `cancel_run`, `retry_dead`, `begin_operation`, `change_sync_points` and
        `start_run`."""
        ...

    def keep(self, promise: Promise, result: object) -> None:
        """Stores the answer to a request that was done elsewhere, or that changed nothing. One transaction."""
        ...

    def pauses(self) -> list[PauseNote]:
        """The pauses in force, the oldest first."""
        ...

    def pause(self, *notes: PauseNote) -> list[int]:
        """Adds pauses, or replaces earlier ones of the same things, each with its line in the audit. Returns the runs
        under way of paused imports. One transaction."""
        ...

    def lift(self, kind: Pausable, name: str, by: str, now: float) -> list[int] | None:
        """Ends a pause, with its line in the audit. Returns the runs of the import that go on. Returns None, and writes
        nothing, when there was no such pause. One transaction."""
        ...

    def lowered(self) -> list[LimitNote]:
        """The lowered limits in force, the oldest first."""
        ...

    def lower(self, note: LimitNote) -> None:
        """Lowers limits, or replaces earlier lowered limits of the same account or bucket. One transaction."""
        ...

    def end_lowered(self, account: str, bucket: str, by: str, now: float) -> bool:
        """Restores the configured limits. Returns False, and writes nothing, if none were lowered. One transaction."""
        ...

    def forget_letters(self, scope: ErasureScope, after: int) -> tuple[int, int | None]:
        """Looks at the next dead letters after the number `after`, and deletes those in the scope, with their attempts.
        Returns how many, and the last number looked at, None at the end. Raises RunUnderWay, and writes nothing, while
        a run is under way that may write such data again. One transaction."""
        ...

    def forget_notes(self, scope: ErasureScope, act: Act) -> ErasedNotes:
        """Deletes sync points and other notes in the scope, with its line in the audit. Raises RunUnderWay, and writes
        nothing, like `forget_letters`. One transaction."""
        ...

    def check_scope(self, scope: ErasureScope) -> None:
        """Raises RunUnderWay while a run is under way that may write data in the scope."""
        ...

    def scrub(self, most_bytes: int | None) -> str | None:
        """Removes deleted data from the free space of the database as well. Returns why it may still be there, or None.

        most_bytes: the largest database to rewrite at once, which holds up all imports; None for any size.
        """
        ...

    def note_act(self, act: Act) -> None:
        """Writes a line of the audit for something that was done elsewhere. One transaction."""
        ...

    def rename_import(self, old: str, new: str, act: Act) -> str | None:
        """Gives an import another name everywhere, with its line in the audit. Returns None; or, having written
        nothing, why it cannot be done. One transaction."""
        ...
