"""Limits that people have lowered for a time, of an account or of one of its buckets. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.task import PART

if TYPE_CHECKING:
    from collections.abc import Iterable


class LimitNote(msgspec.Struct, frozen=True, kw_only=True):
    """
    account: an account's or a part's name.
    bucket: "" for the whole account.
    limits: in the notation of the configuration. They hold together with the configured ones.
    reason: as that person gave it.
    by: the person.
    since, until: Unix seconds; without `until`, it lasts until somebody ends it.
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
        """Such as "limit lowered by ana to 5/second: their request"."""
        return f"limit lowered by {self.by} to {', '.join(self.limits)}: {self.reason}"

    @property
    def detail(self) -> str:
        """For the audit."""
        until = f", until {datetime.fromtimestamp(self.until, UTC):%Y-%m-%d %H:%M:%S} UTC" if self.until else ""
        return f"{', '.join(self.limits)}: {self.reason}{until}"


class Lowered:
    """Those that last, as of one moment."""

    def __init__(self, notes: Iterable[LimitNote] = ()) -> None:
        self.notes = {(note.account, note.bucket): note for note in notes}

    def of(self, account: str, bucket: str = "") -> list[LimitNote]:
        """Of an account, a part of one, or a bucket of either. That of an account is for each of its parts by itself,
        as the configured ones are."""
        if not self.notes:
            return []
        found = [self.notes.get((name, bucket)) for name in dict.fromkeys([account, account.partition(PART)[0]])]
        return [note for note in found if note]

    def all_of(self, account: str) -> list[LimitNote]:
        """Of an account or a part, and of its buckets."""
        names = {account, account.partition(PART)[0]}
        return [note for note in self.notes.values() if note.account in names]

    @property
    def next_end(self) -> float | None:
        """When the first of them ends by itself; Unix seconds."""
        return min((note.until for note in self.notes.values() if note.until is not None), default=None)

    def ended(self, now: float) -> list[LimitNote]:
        """Those whose time is over."""
        return [note for note in self.notes.values() if note.until is not None and note.until <= now]
