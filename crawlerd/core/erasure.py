"""What is to be forgotten: the records of an account, of an import, or under one key. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.traces import mentioning

if TYPE_CHECKING:
    from collections.abc import Collection


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """Of one sink.

    accounts: names of accounts, each with its parts; empty for all.
    source: name of the source, "" for all.
    streams: empty for all.
    key: of a record, and what others lie below; "" for all.
    """

    accounts: tuple[str, ...] = ()
    source: str = ""
    streams: tuple[str, ...] = ()
    key: str = ""

    def of_table(self, table: str, stream: str) -> bool:
        """Whether it may be about rows of the table."""
        if self.source and table != f"{self.source}_{stream}":
            return False
        return not self.streams or stream in self.streams

    def of_account(self, account: str) -> bool:
        """Whether it is meant, or a part of one that is."""
        return not self.accounts or account.partition("/")[0] in self.accounts or account in self.accounts

    @property
    def whole(self) -> bool:
        """All that there is of an account, and so also who it was."""
        return bool(self.accounts) and not self.streams and not self.key


class ErasureScope(msgspec.Struct, frozen=True, kw_only=True):
    """Of a frontier.

    accounts: names of accounts, each with its parts, that all is forgotten of.
    imports: with a key, those that may know of it; else those that all is forgotten of.
    streams: only of these; empty for all.
    key: of a record, "" where all is forgotten.
    inbox: what other programs put into the inbox is for one of the imports.
    """

    accounts: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    key: str = ""
    inbox: bool = False

    def of_letter(self, letter: bytes) -> bool:
        """Whether a copy of a dead letter is meant, as it lies in the spool or an export."""
        try:
            head = _letter(letter)
        except msgspec.DecodeError:
            return False
        if self.streams and head.stream not in self.streams:
            return False
        if self.key:
            return head.import_name in self.imports and mentioning(self.key)(letter.decode(errors="replace"))
        own = head.account.partition("/")[0]
        return head.import_name in self.imports or own in self.accounts or head.account in self.accounts

    def of_inbox(self, item: bytes) -> bool:
        """Whether what another program has put into the inbox is meant."""
        if not self.key:
            return self.inbox and not self.streams
        return mentioning(self.key)(item.decode(errors="replace"))


class LetterHead(msgspec.Struct, frozen=True, rename={"import_name": "import"}):
    """What a copy of a dead letter says of itself."""

    import_name: str
    account: str
    stream: str


_letter = msgspec.json.Decoder(LetterHead).decode


class ErasedNotes(msgspec.Struct, frozen=True, kw_only=True):
    """How much a frontier has, or had, of what is forgotten."""

    dead_letters: int = 0
    sync_points: int = 0
    texts: int = 0  # of reports, events and the audit, that quote it


class Erased(NamedTuple):
    """A slice of it is done.

    deleted: how many rows, or lines.
    more: there may be more to delete.
    """

    deleted: int
    more: bool


class LineHead(msgspec.Struct, frozen=True):
    """The beginning of a line of a sink that hands records on."""

    source: str
    stream: str
    account: str
    id: str


_head = msgspec.json.Decoder(LineHead).decode


class LineMatcher:
    """Which lines of a sink that hands records on are meant."""

    def __init__(self, which: Erasure, keys: Collection[tuple[str, str, str]] = ()) -> None:
        """keys: table, account and key of the records that lie below the key."""
        self._which, self._keys = which, frozenset(keys)

    def matches(self, line: bytes) -> bool:
        """What is no line of ours does not."""
        try:  # no string of JSON has an unescaped quotation mark, so that this is where the data begins
            head = _head(line.partition(b',"data":')[0] + b"}")
        except msgspec.DecodeError:
            return False
        table = f"{head.source}_{head.stream}"
        if not self._which.of_account(head.account):
            return False
        if not self._which.of_table(table, head.stream):
            return False
        return self._which.key in ("", head.id) or (table, head.account, head.id) in self._keys
