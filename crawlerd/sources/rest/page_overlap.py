"""Where a list is being read: how its next page is joined to what was read, though it changes meanwhile. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from crawlerd.sources.rest.counting_urls import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

KEY_BYTES, VERSION_BYTES = 6, 3
KEY_LENGTH = 8  # characters of KEY_BYTES in base64
LEAST_TAIL = 3  # records of a tail that are told by their keys alone; by so few, an edit in a list cannot be missed
MOST_TAIL = 100  # records that a page has in common with the one before
MOST_KNOWN = 1024  # records of a list that are remembered: all of a small one, an even choice of a large one
SIZES_TRIED = 256
SAMPLE = 20  # keys of a page, at least, by which it is known again
ENTRY = Struct("4s4s")  # of Known


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A page that was read, and may have to be read again: what it was asked with, and some of its keys. short: it had
    fewer records than there would be if another one followed."""

    at: str | int | float | None
    size: int
    reached: str
    keys: str
    short: bool = False


class Review(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """keys: some of a page that is asked for again. at, place: of what follows, where the list goes on."""

    keys: str
    at: str | int | float | None = None
    place: Place | None = None


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a page of a list has to know of those before it.

    again: how often the list was begun again.
    size: records asked for, where that is not what the description says.
    tail: the last records that were read; one of them must be on this page, or the list has moved.
    known: records that were read, see `Known`.
    before: digest of the page before; one that comes twice shows a parameter that the API does not know. Where the API
    names its pages, of its last record.
    idle: pages before this one, one after the other, that were empty or ended with the same record.
    most: the most records that a page had.
    whole: pages are taken as the API cuts them, because it does not cut them otherwise.
    exact: a page has overlapped with the one before, or was of another size, so the API cuts pages as it is asked to.
    doubt: it seems that it does not; this page, or the one that `back` leads to, shows.
    back, moves: how far, and how often, the list was gone back in to find the tail.
    total: what the first page said of the list's length, where pages do not overlap.
    counting: how the URLs of the list's pages count, if they do.
    reached: the mark up to which a list in ascending order was read.
    then: the mark from which to go on. Of a list with the latest change first, the latest on its first page.
    front, behind: digest of what is not older than that one; what is older has begun.
    closing: how often the front of such a list was read again, for what has come there meanwhile.
    seen: the page before this one, which is to be asked for again.
    review: this page is asked for again.
    top, last: what `then` and `front` were the time before; now all that is not older than `top` is read.
    """

    again: int = 0
    size: int = 0
    tail: tuple[str, ...] = ()
    known: str = ""
    before: str = ""
    idle: int = 0
    most: int = 0
    whole: bool = False
    exact: bool = False
    doubt: bool = False
    back: int = 0
    moves: int = 0
    total: int | None = None
    counting: Counting | None = None
    reached: str = ""
    then: str = ""
    top: str = ""
    front: str = ""
    behind: bool = False
    closing: int = 0
    last: str = ""
    seen: Seen | None = None
    review: Review | None = None


START = Place()


class Unkeyed(str):
    """What a record without a key is told apart by. Others of the list may be the same."""

    __slots__ = ()


class Came:
    """The records that a page brought, before any filter, as short digests.

    items: what they hold.
    identities: their keys, or `Unkeyed`; asked for when they are needed, which is where the client counts pages or
    records.
    """

    def __init__(self, items: Sequence[Any], identities: Callable[[], Sequence[str]]) -> None:
        self._items, self._identities = items, identities
        self._found: tuple[Sequence[str], int | None] = (), 0

    @cached_property
    def _known_by(self) -> Sequence[str]:
        return self._identities()

    @cached_property
    def _texts(self) -> list[bytes]:
        return [each.encode(errors="surrogatepass") for each in self._known_by]

    def __len__(self) -> int:
        return len(self._items)

    def digest(self) -> str:
        """Of the keys, in their order."""
        return blake2b(b"\0".join(self._texts), digest_size=KEY_BYTES).hexdigest()

    def last(self) -> str:
        """Of what the last record holds."""
        return blake2b(self.text(len(self) - 1), digest_size=KEY_BYTES).hexdigest() if self._items else ""

    def entry(self, number: int) -> str:
        """The key and what the record holds: what is edited may stand elsewhere."""
        return b64encode(self._key(number) + self._version(number)).decode()

    def chained(self, digest: str, numbers: Iterable[int]) -> str:
        """A digest of what came before and of these."""
        for number in numbers:
            digest = blake2b(f"{digest}{self.entry(number)}".encode(), digest_size=KEY_BYTES).hexdigest()
        return digest

    def tail(self, length: int) -> tuple[str, ...]:
        return tuple(self.entry(number) for number in range(max(0, len(self) - length), len(self)))

    def sample(self) -> str:
        """Some of the keys, evenly chosen; see `has_any`."""
        step = max(1, len(self) // SAMPLE)
        return b64encode(b"".join(self._key(number) for number in range(0, len(self), step))).decode()

    def has_any(self, sample: str) -> bool:
        """Whether one of the keys is there."""
        keys = b64decode(sample)
        wanted = {keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)}
        return any(self._key(number) in wanted for number in range(len(self)))

    def after(self, tail: Sequence[str]) -> int | None:
        """Where the page goes on after the tail; None when the tail is not on it.

        A record of the tail is found again when nothing in it has changed. Where each answer differs in something (a
        counter, a time), it is enough that all of the tail are there, next to each other and in their order.
        """
        if self._found[0] != tail:
            self._found = tail, self._after(tail)
        return self._found[1]

    def _after(self, tail: Sequence[str]) -> int | None:
        if self._begins_with(tail):
            return len(tail)
        wanted = [b64decode(each[:KEY_LENGTH]) for each in tail]
        keys = [self._key(number) for number in range(len(self))]
        found = [number for number, key in enumerate(keys) if key in wanted]
        if exact := [number for number in found if self.entry(number) in tail]:
            return exact[-1] + 1
        if len(tail) >= LEAST_TAIL:
            starts = (number for number in found if keys[number : number + len(wanted)] == wanted)
            return next((number + len(wanted) for number in starts), None)
        return None

    def only(self, tail: Sequence[str]) -> bool:
        """Whether there is nothing on the page but records of the tail, perhaps changed."""
        known = {b64decode(each[:KEY_LENGTH]) for each in tail}
        return 0 < len(self) <= len(tail) and all(self._key(number) in known for number in range(len(self)))

    def old(self, tail: Sequence[str]) -> set[int]:
        """Those of the tail, unchanged: they were read."""
        if not tail or self._begins_with(tail):
            return set(range(len(tail)))
        wanted = {b64decode(each[:KEY_LENGTH]) for each in tail}
        return {n for n in range(len(self)) if self._key(n) in wanted and self.entry(n) in tail}

    def _begins_with(self, tail: Sequence[str]) -> bool:
        """As nearly always."""
        return len(self) >= len(tail) and all(self.entry(number) == each for number, each in enumerate(tail))

    def noted(self, known: str, first: int) -> tuple[str, bool]:
        """`known` with what is new from `first` on, and whether one of those was known before, as it is now: then the
        order of the list changes by itself, and another record has taken a place that was read.

        A key that repeats within the page is no sign of that, nor is a record without a key that is like another.
        """
        records, repeated, here = Known(known), False, set(self._texts[:first])
        for number in range(first, len(self)):
            text = self._texts[number]
            if text not in here and not isinstance(self._known_by[number], Unkeyed):
                repeated |= records.add(text, self, number)
            here.add(text)
        return records.text(), repeated

    def _key(self, number: int) -> bytes:
        return blake2b(self._texts[number], digest_size=KEY_BYTES).digest()

    def _version(self, number: int) -> bytes:
        return blake2b(self.text(number), digest_size=VERSION_BYTES).digest()

    def text(self, number: int) -> bytes:
        """What a record holds."""
        try:
            return msgspec.json.encode(self._items[number])
        except (ValueError, TypeError, OverflowError, RecursionError):  # what no JSON can hold
            return repr(self._items[number]).encode(errors="backslashreplace")


class Known:
    """Records of a list, each by checksums of key and content: of a large list those whose checksum begins with so many
    zero bits, so that there is a bound."""

    def __init__(self, text: str) -> None:
        bits, _, entries = text.partition(":")
        self._bits = int(bits or 0)
        self._entries: dict[bytes, bytes] = dict(ENTRY.iter_unpack(b64decode(entries)))

    def __len__(self) -> int:
        return len(self._entries)

    def text(self) -> str:
        return f"{self._bits}:{b64encode(b''.join(chain.from_iterable(self._entries.items()))).decode()}"

    def add(self, key: bytes, came: Came, number: int) -> bool:
        """Whether it was there with the same content."""
        checksum = crc32(key)
        if self._bits and checksum >> (32 - self._bits):
            return False
        entry, content = checksum.to_bytes(4, "big"), crc32(came.text(number)).to_bytes(4, "big")
        before = self._entries.get(entry)
        self._entries[entry] = content
        while len(self._entries) > MOST_KNOWN:
            self._bits += 1
            chosen = 1 << (32 - self._bits)
            self._entries = {each: of for each, of in self._entries.items() if int.from_bytes(each, "big") < chosen}
        return before == content


def tail_length(count: int) -> int:
    """How many records the next page has in common with one of so many; never all, or nothing would go on."""
    return min(count // 2, MOST_TAIL, max(LEAST_TAIL, count // 10))


def window(read: int, most: int, tail: int) -> tuple[int, int] | None:
    """The page, numbered from 0, and its size, of at most `most` records: one that begins before the first `read`
    records of the list end, by `tail` of them if possible, and goes on as far as can be. None when there is none."""
    best, found = (0, 0), None
    for size in range(most, max(0, most - SIZES_TRIED, most // 2 - 1), -1):
        common = read % size
        merit = min(common, tail), size - common
        if common and merit > best:
            best, found = merit, (read // size, size)
    return found
