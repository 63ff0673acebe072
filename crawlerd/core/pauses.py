"""What people have paused: an import, an account, a bucket, or all accounts of a source. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from crawlerd.core.reasons import Reason, Waiting
from crawlerd.core.task import PART

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Pausable = Literal["import", "account", "bucket", "source"]


class PauseNote(msgspec.Struct, frozen=True, kw_only=True):
    """A pause that a person has set.

    kind: what kind of thing is paused.
    name: its name; ACCOUNT/BUCKET for a bucket.
    reason: the reason that the person gave.
    by: the person.
    since, until: Unix seconds; without `until`, it lasts until a person ends it.
    """

    kind: Pausable
    name: str
    reason: str
    by: str
    since: float
    until: float | None = None

    def waiting(self, who: str) -> Waiting:
        """Explains that `who` waits for the end of the pause."""
        cure = f"To end the pause: `crawlerd resume {self.kind} {self.name}`."
        return Waiting(who=who, reason=Reason.PAUSED, text=self.text, since=self.since, until=self.until, cure=cure)

    @property
    def text(self) -> str:
        return f"{self.kind} {self.name} is {self.words}"

    @property
    def words(self) -> str:
        """Who has paused it, and why, as text."""
        return f"paused by {self.by}: {self.reason}"


class Pauses:
    """The pauses in force at one moment."""

    def __init__(self, notes: Iterable[PauseNote], source_of: Callable[[str], str | None]) -> None:
        """source_of: returns the source of an account, by the account's name."""
        self.notes = {(note.kind, note.name): note for note in notes}
        self._source_of = source_of

    def of_import(self, name: str) -> PauseNote | None:
        return self.notes.get(("import", name))

    def of_account(self, name: str) -> PauseNote | None:
        """The pause that covers an account or part: its own, or that of the whole account, or that of its source."""
        if not self.notes:
            return None
        owner = name.partition(PART)[0]
        source = self._source_of(owner)
        return (
            self.notes.get(("account", name))
            or self.notes.get(("account", owner))
            or (self.notes.get(("source", source)) if source else None)
        )

    def of_bucket(self, account: str, bucket: str) -> PauseNote | None:
        """The pause of the bucket itself."""
        return self.notes.get(("bucket", f"{account}/{bucket}")) if self.notes else None

    @property
    def next_end(self) -> float | None:
        """When the first of them ends by itself; Unix seconds, None when none does."""
        return min((note.until for note in self.notes.values() if note.until is not None), default=None)

    def ended(self, now: float) -> list[PauseNote]:
        """The pauses whose time is over."""
        return [note for note in self.notes.values() if note.until is not None and note.until <= now]


def parse_time(text: str, now: float) -> float:
    """The Unix seconds of an RFC 3339 time or date, in UTC if it has no zone. Raises ValueError for other texts.

    now: an earlier time is an error.
    """
    try:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f'"{text}" is not a date or time, such as 2026-01-31 or 2026-01-31T09:30:00Z') from None
    if seconds <= now:
        raise ValueError(f"{text} is over")
    return seconds
