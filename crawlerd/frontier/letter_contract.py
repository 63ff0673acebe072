"""The part of a frontier about dead letters: what is done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reports import Act, OperationReport


class Stepped(NamedTuple):
    """What a step of an operation has done.

    done: dead letters.
    imports: of runs that go on.
    """

    done: int
    imports: list[str]


class FirstLetter(NamedTuple):
    """A dead letter that no other of its run has the fingerprint of.

    seq: of the task.
    account, kind: their names.
    """

    seq: int
    run: int
    account: str
    kind: str
    stream: str
    error: str
    fingerprint: str


class Copied(NamedTuple):
    """A dead letter that is to be put into the spool.

    number: of its burial, higher than those of all that died before.
    letter: a `DeadLetter` with its attempts, as JSON.
    """

    number: int
    letter: bytes


class LetterFrontier(Protocol):
    """See `crawlerd.frontier.contract.Frontier`."""

    def retry_dead(self, numbers: Sequence[int], act: Act | None = None) -> tuple[int, list[str]]:
        """Makes dead letters ready again, with all their attempts; ended runs run again. Returns how many there were,
        and the names of their imports. Groups that have failed for them wait again. One transaction."""
        ...

    def begin_operation(self, operation: OperationReport, act: Act) -> OperationReport:
        """Notes what is to be done to dead letters, and the act in the audit. With its number."""
        ...

    def running_operations(self) -> list[OperationReport]:
        """Those that have not ended, the oldest first."""
        ...

    def step_operation(self, operation: int, numbers: Sequence[int], now: float) -> Stepped | None:
        """Does what an operation is about to these letters, as far as they had died when it began, and notes that in
        the same transaction; ends it when there are none. None when it has ended already."""
        ...

    def end_operation(self, operation: int, error: str | None, act: Act | None, now: float) -> bool:
        """Ends it as failed, or, without an error, as cancelled; what was done stays done. Whether it was running."""
        ...

    def copy_letters(self, on: bool) -> int:
        """Whether each letter that dies from now on is copied for the spool, in the transaction in which it dies.
        Turned off, the copies that nobody has taken are deleted: how many. One transaction, if anything changes."""
        ...

    def copied_letters(self, most: int, most_bytes: int) -> list[Copied]:
        """The first copies that nobody has taken: at most so many, and not many more bytes."""
        ...

    def spooled(self, through: int) -> None:
        """Deletes copies up to this number: they are in the spool. One transaction."""
        ...
