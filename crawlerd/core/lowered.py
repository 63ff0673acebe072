"""Limits that people have lowered for a time, for an account or one of its buckets. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.task import PART

if TYPE_CHECKING:
    from collections.abc import Iterable


class LimitNote(msgspec.Struct, frozen=True, kw_only=True):
    """A lowered limit.

    account: the name of an account or part.
    bucket: the name of a bucket; "" for the whole account.
    limits: in the notation of the configuration. They apply in addition to the configured ones.
    reason: the reason that the person gave.
    by: the person.
    since, until: Unix seconds; without `until`, it lasts until a person ends it.
    """

    account: str
    bucket: str = ""
    limits: list[str]
    reason: str
    by: str
    since: float
    until: float | None = None

    @property
    def subject(self) -> str:
        return f"account {self.account}" if not self.bucket else f"bucket {self.account}/{self.bucket}"

    @property
    def text(self) -> str:
        """A text such as "limit lowered by ana to 5/second: their request"."""
        return f"limit lowered by {self.by} to {', '.join(self.limits)}: {self.reason}"

    @property
    def detail(self) -> str:
        """The details for the audit."""
        until = f", until {datetime.fromtimestamp(self.until, UTC):%Y-%m-%d %H:%M:%S} UTC" if self.until else ""
        return f"{', '.join(self.limits)}: {self.reason}{until}"


class Lowered:
    """The lowered limits in force at one moment."""

    def __init__(self, notes: Iterable[LimitNote] = ()) -> None:
        self.notes = {(note.account, note.bucket): note for note in notes}

    def of(self, account: str, bucket: str = "") -> list[LimitNote]:
        """The lowered limits of an account, of a part, or of a bucket of either. Like configured limits, those of an
        account also apply to each of its parts separately."""
        if not self.notes:
            return []
        found = [self.notes.get((name, bucket)) for name in dict.fromkeys([account, account.partition(PART)[0]])]
        return [note for note in found if note]

    def all_of(self, account: str) -> list[LimitNote]:
        """The lowered limits of an account or part, and of its buckets."""
        names = {account, account.partition(PART)[0]}
        return [note for note in self.notes.values() if note.account in names]

    @property
    def next_end(self) -> float | None:
        """When the first of them ends by itself; Unix seconds, None when none does."""
        return min((note.until for note in self.notes.values() if note.until is not None), default=None)

    def ended(self, now: float) -> list[LimitNote]:
        """The lowered limits whose time is over."""
        return [note for note in self.notes.values() if note.until is not None and note.until <= now]
