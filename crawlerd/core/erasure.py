"""What to forget: the records of an account, of an import, or with one key. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.traces import mentioning

if TYPE_CHECKING:
    from collections.abc import Collection


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What to forget in one sink. Records must match all fields.

    accounts: names of accounts, with their parts; empty for all.
    source: name of the source, "" for all.
    streams: names of streams, empty for all.
    key: the key of a record; also selects the records below it; "" for all.
    """

    accounts: tuple[str, ...] = ()
    source: str = ""
    streams: tuple[str, ...] = ()
    key: str = ""

    def of_table(self, table: str, stream: str) -> bool:
        """Whether rows of this table may match."""
        if self.source and table != f"{self.source}_{stream}":
            return False
        return not self.streams or stream in self.streams

    def of_account(self, account: str) -> bool:
        """Whether records of this account or part match."""
        return not self.accounts or account.partition("/")[0] in self.accounts or account in self.accounts

    @property
    def whole(self) -> bool:
        """Whether everything of an account is forgotten, including its identity."""
        return bool(self.accounts) and not self.streams and not self.key


class ErasureScope(msgspec.Struct, frozen=True, kw_only=True):
    """What to forget in a frontier.

    accounts: names of accounts to forget completely, with their parts.
    imports: with a key: the imports that may have this record. Without: the imports to forget completely.
    streams: only these streams; empty for all.
    key: the key of a record, "" to forget everything.
    inbox: the inbox belongs to one of these imports.
    """

    accounts: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    key: str = ""
    inbox: bool = False

    def of_letter(self, letter: bytes) -> bool:
        """Whether a copy of a dead letter, from the spool or an export, is in the scope. letter: as JSON."""
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
        """Whether an item that another program has put into the inbox is in the scope."""
        if not self.key:
            return self.inbox and not self.streams
        return mentioning(self.key)(item.decode(errors="replace"))


class LetterHead(msgspec.Struct, frozen=True, rename={"import_name": "import"}):
    """The fields of a copy of a dead letter that are compared with the scope."""

    import_name: str
    account: str
    stream: str


_letter = msgspec.json.Decoder(LetterHead).decode


class ErasedNotes(msgspec.Struct, frozen=True, kw_only=True):
    """How many things in a frontier match, or were deleted."""

    dead_letters: int = 0
    sync_points: int = 0
    texts: int = 0  # texts of reports, events and the audit that quote a record


class Erased(NamedTuple):
    """The result of deleting one slice.

    deleted: how many rows or lines were deleted.
    more: there may be more to delete.
    """

    deleted: int
    more: bool


class LineHead(msgspec.Struct, frozen=True):
    """The first fields of a line of a sink that passes records on."""

    source: str
    stream: str
    account: str
    id: str


_head = msgspec.json.Decoder(LineHead).decode


class LineMatcher:
    """Finds the lines to delete in a sink that passes records on."""

    def __init__(self, which: Erasure, keys: Collection[tuple[str, str, str]] = ()) -> None:
        """keys: (table, account, key) of the records below the key."""
        self._which, self._keys = which, frozenset(keys)

    def matches(self, line: bytes) -> bool:
        """Whether a line must be deleted; False for a line that crawlerd has not written."""
        try:  # this can only be the beginning of the data: no JSON string contains an unescaped quotation mark
            head = _head(line.partition(b',"data":')[0] + b"}")
        except msgspec.DecodeError:
            return False
        table = f"{head.source}_{head.stream}"
        if not self._which.of_account(head.account):
            return False
        if not self._which.of_table(table, head.stream):
            return False
        return self._which.key in ("", head.id) or (table, head.account, head.id) in self._keys
