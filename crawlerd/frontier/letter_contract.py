"""The operations of a frontier on dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.reports import Act, OperationReport


class Stepped(NamedTuple):
    """The result of one step of an operation.

    done: how many dead letters it has changed.
    imports: the imports whose runs have tasks again.
    """

    done: int
    imports: list[str]


class FirstLetter(NamedTuple):
    """A dead letter that is the first of its run with its fingerprint.

    seq: the number of the task.
    account, kind: the names of its account and its kind.
    """

    seq: int
    run: int
    account: str
    kind: str
    stream: str
    error: str
    fingerprint: str


class Copied(NamedTuple):
    """A copy of a dead letter that waits for the spool.

    number: a number that grows with each new dead letter.
    letter: a `DeadLetter` with its attempts, as JSON.
    """

    number: int
    letter: bytes


class LetterFrontier(Protocol):
    """See `crawlerd.frontier.contract.Frontier`."""

    def retry_dead(self, numbers: Sequence[int], act: Act | None = None) -> tuple[int, list[str]]:
        """Makes dead letters ready again, with all their attempts; their ended runs go on, and their failed groups wait
        again. Returns how many there were, and the names of their imports. One transaction."""
        ...

    def begin_operation(self, operation: OperationReport, act: Act) -> OperationReport:
        """Stores an operation on dead letters, with its line in the audit. Returns it with its number."""
        ...

    def running_operations(self) -> list[OperationReport]:
        """The operations that have not ended, the oldest first."""
        ...

    def step_operation(self, operation: int, numbers: Sequence[int], now: float) -> Stepped | None:
        """Carries an operation out on those of these letters that existed when it began, and stores how far it has
        come. Ends it when there are no numbers. Returns None when it has ended already. One transaction."""
        ...

    def end_operation(self, operation: int, error: str | None, act: Act | None, now: float) -> bool:
        """Ends an operation as failed, or as cancelled if `error` is None. Letters changed so far stay changed. Returns
        whether it was running."""
        ...

    def copy_letters(self, on: bool) -> int:
        """Turns copies for the spool on or off: each new dead letter is copied in the transaction that adds it. Turning
        them off deletes the copies that are not in the spool yet; returns how many. One transaction, if anything
        changes."""
        ...

    def copied_letters(self, most: int, most_bytes: int) -> list[Copied]:
        """The first copies that are not in the spool yet, up to this number and about this size."""
        ...

    def spooled(self, through: int) -> None:
        """Deletes the copies up to this number, which are in the spool now. One transaction."""
        ...
