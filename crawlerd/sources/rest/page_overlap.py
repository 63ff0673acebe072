"""The position in a list that is being read: how the next page is joined to what was read, although the list changes.
Pure."""

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
LEAST_TAIL = 3  # up to this many records, a tail is compared only by keys, so that an edited record cannot be missed
MOST_TAIL = 100  # records that a page shares with the one before
MOST_KNOWN = 1024  # records of a list that are remembered: all of a small one, an even selection of a large one
SIZES_TRIED = 256
SAMPLE = 20  # least number of keys of a page by which it is recognized
ENTRY = Struct("4s4s")  # of Known


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A page that was read, and may have to be read again: its position, and some of its keys.

    short: it had fewer records than it would if another one followed.
    """

    at: str | int | float | None
    size: int
    reached: str
    keys: str
    short: bool = False


class Review(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A page that is read again.

    keys: some of its keys.
    at, place: the position after it, where reading continues.
    """

    keys: str
    at: str | int | float | None = None
    place: Place | None = None


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a page of a list must know about the pages before it.

    again: how often reading has started again from the beginning.
    size: number of records requested, if it differs from the description.
    tail: the last records that were read; one of them must be on this page, or the list has moved.
    known: records that were read, see `Known`.
    before: digest of the page before; a page that comes twice shows that the API does not know a parameter. If the API
        names its pages, the digest of its last record.
    idle: how many pages before this one, in a row, were empty or ended with the same record.
    most: the most records that a page had.
    whole: pages are taken as the API divides them, since it does not divide them otherwise.
    exact: a page has overlapped with the one before, or had another size, so the API divides pages as requested.
    doubt: it seems that the API does not; this page, or the one that `back` leads to, will show.
    back, moves: how far, and how often, reading has gone back in the list to find the tail.
    total: the list's length according to the first page, if pages do not overlap.
    counting: how the URLs of the list's pages count, if they do.
    reached: the mark up to which a list in ascending order was read.
    then: the mark from which to continue. For a list that begins with the latest change, the latest on its first page.
    front, behind: digest of the records that are not older than that one; whether older ones have begun.
    closing: how often the front of such a list was read again, for records that have come there in the meantime.
    seen: the page before this one, which is going to be read again.
    review: this page is read again.
    top, last: `then` and `front` of the previous reading; now everything that is not older than `top` is read.
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
    """Identifies a record without a key. Others of the list may be equal."""

    __slots__ = ()


class Came:
    """The records of a page, before any filter, as short digests.

    items: digests of their content.
    identities: their keys, or `Unkeyed`; computed only if needed, which is if the client counts pages or records.
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
        """A digest of the keys, in their order."""
        return blake2b(b"\0".join(self._texts), digest_size=KEY_BYTES).hexdigest()

    def last(self) -> str:
        """A digest of the last record's content."""
        return blake2b(self.text(len(self) - 1), digest_size=KEY_BYTES).hexdigest() if self._items else ""

    def entry(self, number: int) -> str:
        """The key and the content of a record: an edited one may be at another position."""
        return b64encode(self._key(number) + self._version(number)).decode()

    def chained(self, digest: str, numbers: Iterable[int]) -> str:
        """A digest of earlier records and of these."""
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
        """Whether one of the keys is on the page."""
        keys = b64decode(sample)
        wanted = {keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)}
        return any(self._key(number) in wanted for number in range(len(self)))

    def after(self, tail: Sequence[str]) -> int | None:
        """The position on the page after the tail; None if the tail is not on it.

        A record of the tail is recognized if it has not changed. If something differs in each answer (a counter, a
        time), the keys of the whole tail must be next to each other, in their order.
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
        """Whether the page has only records of the tail, perhaps changed ones."""
        known = {b64decode(each[:KEY_LENGTH]) for each in tail}
        return 0 < len(self) <= len(tail) and all(self._key(number) in known for number in range(len(self)))

    def old(self, tail: Sequence[str]) -> set[int]:
        """The unchanged records of the tail, which were read already."""
        if not tail or self._begins_with(tail):
            return set(range(len(tail)))
        wanted = {b64decode(each[:KEY_LENGTH]) for each in tail}
        return {n for n in range(len(self)) if self._key(n) in wanted and self.entry(n) in tail}

    def _begins_with(self, tail: Sequence[str]) -> bool:
        """Whether the page begins with the tail, as it nearly always does."""
        return len(self) >= len(tail) and all(self.entry(number) == each for number, each in enumerate(tail))

    def noted(self, known: str, first: int) -> tuple[str, bool]:
        """`known` with the new records from `first` on, and whether one of these was known before, unchanged. In that
        case the order of the list changes without edits, so a record may have moved to a position that was read
        already.

        A key that repeats within the page does not show that, nor does a record without a key that is equal to another.
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
        """The content of a record as text."""
        try:
            return msgspec.json.encode(self._items[number])
        except (ValueError, TypeError, OverflowError, RecursionError):  # values that JSON does not have
            return repr(self._items[number]).encode(errors="backslashreplace")


class Known:
    """Records of a list, each by checksums of key and content. Of a large list, only those are kept whose checksum
    begins with a number of zero bits, which limits their number."""

    def __init__(self, text: str) -> None:
        bits, _, entries = text.partition(":")
        self._bits = int(bits or 0)
        self._entries: dict[bytes, bytes] = dict(ENTRY.iter_unpack(b64decode(entries)))

    def __len__(self) -> int:
        return len(self._entries)

    def text(self) -> str:
        return f"{self._bits}:{b64encode(b''.join(chain.from_iterable(self._entries.items()))).decode()}"

    def add(self, key: bytes, came: Came, number: int) -> bool:
        """Adds a record. Returns whether it was there with the same content."""
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
    """How many of a page's records the next page repeats; never all, or reading would not go on."""
    return min(count // 2, MOST_TAIL, max(LEAST_TAIL, count // 10))


def window(read: int, most: int, tail: int) -> tuple[int, int] | None:
    """The number (from 0) and size of a page of at most `most` records. It begins before the end of the first `read`
    records, by `tail` of them if possible, and reaches as far as possible. None if there is none."""
    best, found = (0, 0), None
    for size in range(most, max(0, most - SIZES_TRIED, most // 2 - 1), -1):
        common = read % size
        merit = min(common, tail), size - common
        if common and merit > best:
            best, found = merit, (read // size, size)
    return found
