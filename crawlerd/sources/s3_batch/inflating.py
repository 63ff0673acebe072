"""Decodes deflate data from any bit on: what must be known about a place, and how a place is found. Pure.

zlib cannot save the state of a decoder, and a byte offset is not enough to continue: a block of deflate begins and ends
    at any bit, refers to the 32 KiB before it, and may be as long as the whole object. So a place is a bit offset, the
    text before it, and, within a block, the block's header, which is read again. zlib itself decodes all data; three
    things that it does not offer are made from what it does:

* To begin at any bit, blocks without text are put in front, whose lengths in bits add up to the missing ones.
* To stop at the end of a block, its header is changed to say that it is the last one: zlib then returns the bytes that
  follow.
* To learn at which bit of a byte it ended, the bits of that byte are flipped from the top: those after the end change
  nothing, and the last bit of a block's end code always does, since another code stands for text, or for nothing.

Within a block, its end code is put after the first bits of a byte: if the block then ends with exactly that code, the
code began where one symbol ends and the next one begins.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW = 32768  # bytes that deflate may refer back to
LONGEST_HEADER = 600  # bytes; of a block: 74 bits, and 320 lengths in 14 bits each
FIXED_END = (0, 7)  # the end code of a block with the fixed codes
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)


class Bits(NamedTuple):
    """Bits in the order of deflate: the first one is the lowest."""

    value: int
    width: int

    def __add__(self, other: Bits) -> Bits:  # type: ignore[override]  # a tuple's own is not wanted
        return Bits(self.value | other.value << self.width, self.width + other.width)


def _joined(parts: Iterable[tuple[int, int]]) -> Bits:
    whole = Bits(0, 0)
    for part in parts:
        whole += Bits(*part)
    return whole


_EMPTY = Bits(0b010, 10)  # a block with the fixed codes and no text
# A block with codes of its own and no text, of an odd number of bits. Lengths of the codes: 256 times 0, 1, and 0.
_ODD = _joined(
    [
        *((0b100, 3), (0, 5), (0, 5), (14, 4)),
        *(({18: 2, 0: 1, 1: 2}.get(symbol, 0), 3) for symbol in _ORDER[:18]),
        *((0b11, 2), (127, 7), (0b11, 2), (107, 7)),  # 138 and 118 times 0
        *((0b01, 2), (0, 1), (0, 1)),
    ]
)


def filler(remainder: int) -> Bits:
    """Blocks without text whose number of bits, divided by 8, leaves this remainder."""
    odd = remainder % 2
    even = (remainder - odd * _ODD.width) % 8 // 2
    return _joined([_ODD] * odd + [_EMPTY] * even)


def bits_at(piece: bytes, at: int, bit: int) -> int:
    """The bits from a place on, as many as a header may have."""
    return int.from_bytes(piece[at : at + LONGEST_HEADER + 1], "little") >> bit


class Header(NamedTuple):
    """The header of a block with codes.

    bits: unchanged; the first one says whether the block is the last one.
    end: its end code.
    """

    bits: Bits
    end: Bits


def header(bits: int) -> Header:
    """The header at the beginning of `bits`, which zlib has accepted."""
    if bits >> 1 & 3 == 1:
        return Header(Bits(bits & 7, 3), Bits(*FIXED_END))
    at = 3

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> at - count & (1 << count) - 1

    literals, distances, given = take(5) + 257, take(5) + 1, take(4) + 4
    sizes = [0] * 19
    for symbol in _ORDER[:given]:
        sizes[symbol] = take(3)
    symbols = {code: symbol for symbol, code in _codes(sizes).items()}
    lengths: list[int] = []
    while len(lengths) < literals + distances:
        code = Bits(0, 0)
        while code not in symbols:
            code += Bits(take(1), 1)
        symbol = symbols[code]
        if symbol < 16:
            lengths.append(symbol)
        elif symbol == 16:
            lengths += lengths[-1:] * (3 + take(2))
        else:
            lengths += [0] * (3 + take(3) if symbol == 17 else 11 + take(7))
    return Header(Bits(bits & (1 << at) - 1, at), _codes(lengths[:literals])[256])


def _codes(lengths: list[int]) -> dict[int, Bits]:
    """The code of each symbol that has one: canonical, its highest bit first."""
    codes: dict[int, Bits] = {}
    code = 0
    for length in range(1, 16):
        for symbol in [symbol for symbol, each in enumerate(lengths) if each == length]:
            codes[symbol] = Bits(int(f"{code:0{length}b}"[::-1], 2), length)
            code += 1
        code <<= 1
    return codes


def decoder(before: bytes) -> Any:
    """A decoder.

    before: the text before the place, WINDOW bytes of it or all.
    """
    return zlib.decompressobj(wbits=-15, zdict=before) if before else zlib.decompressobj(wbits=-15)


def lead(begun: Bits, piece: bytes, at: int, bit: int) -> bytes:
    """The first bytes for a decoder: the beginning of a block, changed to be the last one, and the rest of the byte at
    the place, with its bits where they are."""
    whole = filler((bit - begun.width) % 8) + begun._replace(value=begun.value | 1)
    whole += Bits(piece[at] >> bit, 8 - bit)
    return whole.value.to_bytes(whole.width // 8, "little")


def last_bit(before: Any, data: bytes) -> int:
    """The bit of the last byte of `data` with which the block ends.

    before: the decoder that ends with `data`, as it was before that.
    """
    if len(data) > 1:
        before.decompress(data[:-1])
    ended = _tried(before, data[-1:])
    return next(bit for bit in range(7, -1, -1) if _tried(before, bytes([data[-1] ^ 1 << bit])) != ended)


def between_symbols(state: Any, byte: int, end: Bits) -> tuple[int, bytes] | None:
    """The first bit of the next byte before which a symbol ends, and the text of this byte's bits before it; None if no
    symbol ends in it."""
    for bit in range(8):
        whole = Bits(byte & (1 << bit) - 1, bit) + end
        size = (whole.width + 7) // 8
        others = (1 << size * 8) - (1 << whole.width)  # bits after the end code, which must not matter
        flipped = 1 << whole.width - 1  # its last bit, which must
        found, same, different = (
            _tried(state, (whole.value ^ change).to_bytes(size, "little")) for change in (0, others, flipped)
        )
        if found is not None and found == same != different:
            return bit, found
    return None


def _tried(state: Any, data: bytes) -> bytes | None:
    """The text with which the block ends in `data`; None if it does not end with its last byte."""
    tried = state.copy()
    try:
        text: bytes = tried.decompress(data)
    except zlib.error:
        return None
    return text if tried.eof and not tried.unused_data else None
