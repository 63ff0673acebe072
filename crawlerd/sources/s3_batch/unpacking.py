"""Reads gzip in pieces: of any size and ratio, in limited memory, from any place where it stopped. Pure; see
`inflating`."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from typing import NamedTuple

import msgspec

from crawlerd.sources.s3_batch.inflating import (
    WINDOW,
    Bits,
    between_symbols,
    bits_at,
    decoder,
    header,
    last_bit,
    lead,
)

STEP = 1 << 20  # bytes of text between two places within a block
SLICE = 16 << 10  # bytes given to zlib at once
MOST_BLOCKS = 10_000  # in one go: each costs some 50 µs
MAGIC = b"\x1f\x8b"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A place from which to continue.

    at, bit: in the object; the first `bit` bits of that byte are used already.
    text: bytes of text before it.
    inside: it is inside a member of the file.
    crc, size: of this member's text so far.
    window: the end of that text, deflated.
    block, bits: the header of the current block, and how many bits it has; empty between blocks.
    """

    at: int = 0
    bit: int = 0
    text: int = 0
    inside: bool = False
    crc: int = 0
    size: int = 0
    window: bytes = b""
    block: bytes = b""
    bits: int = 0


class _Mark(NamedTuple):
    """A place that may be needed.

    text: how much of the text since the beginning of this piece comes before it.
    member: where this member's text begins; negative if it begins before this piece.
    """

    text: int
    at: int
    bit: int
    inside: bool
    member: int
    block: Bits | None = None


class _Short(Exception):
    """The piece ends in the middle of something."""


class Unpacked:
    """The text from a place on.

    ended: the object ends with it.
    problem: why reading cannot go on, otherwise "".
    """

    def __init__(self, piece: bytes, place: Place, *, final: bool, most: int) -> None:
        """piece: of the object, from `place.at` on.
        final: the object ends with the piece.
        most: bytes of text after which it stops, soon.
        """
        self.problem = ""
        self.ended = False
        self._piece, self._place, self._final, self._most = piece, place, final, most
        self._before = zlib.decompress(place.window) if place.window else b""
        self._out = bytearray(self._before)
        self._at, self._bit = 0, place.bit
        self._inside, self._member = place.inside, -1
        self._stopped = False
        self._marks: list[_Mark] = []
        try:
            self._run()
        except _Short:
            if final:
                self.problem = "its gzip data ends too early"
        except (ValueError, zlib.error) as error:
            self.problem = f"its gzip data is damaged: {error}"

    @property
    def used(self) -> int:
        """How many bytes of the piece it has read, up to the last place."""
        return self._marks[-1].at if self._marks else len(self._piece)

    @property
    def text(self) -> bytes:
        return bytes(memoryview(self._out)[len(self._before) :])

    def place(self, most: int) -> tuple[Place, int]:
        """The last place with at most `most` bytes of the text before it, and how much of the text is between them."""
        number = bisect_right([each.text for each in self._marks], most) - 1
        if number < 0:
            return self._place, most
        mark, first = self._marks[number], len(self._before)
        crc, size, window = 0, 0, b""
        if mark.inside:
            crc, size = self._sums(mark.text, mark.member)
            start = first + mark.member if mark.member >= 0 else 0
            window = zlib.compress(self._out[max(start, first + mark.text - WINDOW) : first + mark.text], 1)
        block = mark.block or Bits(0, 0)
        place = Place(
            self._place.at + mark.at,
            mark.bit,
            self._place.text + mark.text,
            mark.inside,
            crc,
            size,
            window,
            block.value.to_bytes((block.width + 7) // 8, "little"),
            block.width,
        )
        return place, most - mark.text

    def _run(self) -> None:
        if self._place.bits:
            self._bytes(1, 0)
            begun = Bits(int.from_bytes(self._place.block, "little"), self._place.bits)
            self._codes(lead(begun, self._piece, 0, self._bit), 0, begun.value)
        for _ in range(MOST_BLOCKS):
            if not self._inside and self._begin():
                return
            if self._stopped or self._written >= self._most:
                return
            self._block()

    @property
    def _written(self) -> int:
        return len(self._out) - len(self._before)

    def _sums(self, text: int, member: int) -> tuple[int, int]:
        """Checksum and size of a member's text up to `text`."""
        crc, size = (self._place.crc, self._place.size) if member < 0 else (0, 0)
        with memoryview(self._out) as out:
            first = len(self._before)
            return zlib.crc32(out[first + max(member, 0) : first + text], crc), size + text - max(member, 0)

    def _begin(self) -> bool:
        """Reads the header of a member, if there is one. Returns whether the object ends here."""
        piece, at = self._piece, self._at
        first = not self._place.at and not at
        if not first and not piece[at:].strip(b"\0"):  # some writers fill the last block of a tape
            self.ended = self._final
            if not self._final:
                raise _Short
            return True
        if not MAGIC.startswith(piece[at : at + 2]):
            self.ended = True
            self.problem = "bytes that are not gzip follow the end of its gzip data"
            return True
        head = self._bytes(10, at)
        if head[2] != 8 or head[3] & 0xE0:
            raise ValueError("an unknown method")
        flags, at = head[3], at + 10
        if flags & 4:
            at += 2 + int.from_bytes(self._bytes(2, at), "little")
        for flag in (8, 16):
            if flags & flag:
                at = piece.find(b"\0", at) + 1
                if not at:
                    raise _Short
        if flags & 2:
            at += 2
        if at > len(piece):
            raise _Short
        self._at, self._inside, self._member = at, True, self._written
        return False

    def _bytes(self, count: int, at: int) -> bytes:
        if at + count > len(self._piece):
            raise _Short
        return self._piece[at : at + count]

    def _block(self) -> None:
        if (len(self._piece) - self._at) * 8 - self._bit < 3:
            raise _Short
        bits = bits_at(self._piece, self._at, self._bit)
        kind = bits >> 1 & 3
        if kind == 3:
            raise ValueError("an unknown kind of block")
        if kind == 0:
            at = self._at + (self._bit + 3 + 7) // 8
            sizes = self._bytes(4, at)
            size = int.from_bytes(sizes[:2], "little")
            if size ^ int.from_bytes(sizes[2:], "little") != 0xFFFF:
                raise ValueError("the lengths of a block differ")
            self._out += self._bytes(size, at + 4)
            self._end(at + 4 + size, 0, last=bool(bits & 1))
            return
        over, bit = divmod(self._bit + 1, 8)  # after the first bit, which `lead` replaces
        self._codes(lead(Bits(1, 1), self._piece, self._at + over, bit), self._at + over, bits)

    def _codes(self, data: bytes, at: int, bits: int) -> None:
        """Reads a block to its end, or stops inside it.

        data: for the decoder, up to the byte `at` of the piece.
        bits: begin with the block's header.
        """
        start = len(self._before) + self._member if self._member >= 0 else 0
        state = decoder(bytes(self._out[max(start, len(self._out) - WINDOW) :]))
        last = bool(bits & 1)
        while True:
            saved = state.copy()
            text = state.decompress(data, STEP)
            self._out += text
            at -= len(state.unused_data) + len(state.unconsumed_tail)
            data = data[: len(data) - len(state.unused_data) - len(state.unconsumed_tail)]
            if len(text) == STEP and not state.eof:
                self._out += state.decompress(b"")
                text = b""
                while not state.eof:
                    (byte,) = self._bytes(1, at + 1)
                    block, end = header(bits)
                    if found := between_symbols(state, byte, end):
                        self._marks.append(
                            _Mark(self._written + len(found[1]), at + 1, found[0], True, self._member, block)
                        )
                        text = found[1]
                        break
                    saved, data, at = state.copy(), self._piece[at + 1 : at + 2], at + 1
                    self._out += state.decompress(data)
                if not state.eof and self._written >= self._most:
                    self._out += text
                    self._stopped = True
                    return
            if state.eof:
                over, bit = divmod(last_bit(saved, data) + 1, 8)
                self._end(at + over, bit, last=last)
                return
            data = self._piece[at + 1 : at + 1 + SLICE]
            at += len(data)
            if not data:
                raise _Short

    def _end(self, at: int, bit: int, *, last: bool) -> None:
        """Handles the end of a block."""
        self._at, self._bit = at, bit
        if last:
            at += bool(bit)
            said = self._bytes(8, at)
            crc, size = self._sums(self._written, self._member)
            if said != crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"):
                raise ValueError("its checksum is wrong")
            self._at, self._bit, self._inside = at + 8, 0, False
        self._marks.append(_Mark(self._written, self._at, self._bit, self._inside, self._member))
