"""Gzip is read to the last byte, however it was made and wherever its reading is interrupted, and never more of it at
once than asked for."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlerd.sources.s3_batch import unpacking
from crawlerd.sources.s3_batch.inflating import bits_at, decoder, filler, header
from crawlerd.sources.s3_batch.unpacking import STEP, Place, Unpacked

pytestmark = pytest.mark.slow


def unpacked(data: bytes, piece: int, most: int, step: int) -> tuple[bytes, str, int]:
    """All text, read by tasks that know the place of the one before alone, `step` bytes of text further at most; what
    is wrong; and how many tasks there were."""
    place, skip, text, tasks, ask = Place(), 0, b"", 0, piece
    while True:
        tasks += 1
        part = data[place.at : place.at + ask]
        found = Unpacked(part, place, final=place.at + len(part) == len(data), most=skip + most)
        fresh = found.text[skip:]
        if found.problem or (found.ended and len(fresh) <= step):
            return text + fresh, found.problem, tasks
        text += fresh[:step]
        before = place
        place, skip = found.place(skip + len(fresh[:step]))
        place = msgspec.json.decode(msgspec.json.encode(place), type=Place)  # as in a task's arguments
        assert place.text + skip == len(text)
        ask = ask * 2 if place == before and not fresh else piece


def packed(text: bytes, level: int, strategy: int, memory: int, flushes: int, mode: int) -> bytes:
    made = zlib.compressobj(level, zlib.DEFLATED, 31, memory, strategy)
    size = len(text) // (flushes + 1) + 1
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return b"".join(made.compress(part) + made.flush(mode) for part in parts) + made.flush()


def texts(seed: int, size: int) -> bytes:
    chance = random.Random(seed)
    kinds = [
        lambda: chance.randbytes(chance.randrange(1, 3000)),
        lambda: bytes([chance.randrange(256)]) * chance.randrange(1, 9000),
        lambda: b'{"itemNo": %d, "price": %d}\n' % (chance.randrange(10**6), chance.randrange(100)),
        lambda: "é".encode() * chance.randrange(1, 40),
    ]
    text = b""
    while len(text) < size:
        text += chance.choice(kinds)()
    return text[:size]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**32),
            st.integers(0, 70_000),
            st.integers(0, 9),
            st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FILTERED]),
            st.integers(1, 9),
            st.integers(0, 5),
            st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK]),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(50, 30_000),
    st.integers(300, 60_000),
    st.integers(0, 3),
)
def test_all_text_comes_from_any_interruption(
    members: list[tuple[int, int, int, int, int, int, int]], piece: int, most: int, padding: int
) -> None:
    before = unpacking.STEP
    unpacking.STEP = 257  # so that there are places within blocks
    try:
        data = b"".join(packed(texts(seed, size), *how) for seed, size, *how in members) + bytes(padding)
        text, problem, _ = unpacked(data, piece, most, max(100, most // 2))
        assert not problem
        assert text == gzip.decompress(data)
    finally:
        unpacking.STEP = before


@given(st.integers(0, 7))
def test_a_filler_has_no_text(remainder: int) -> None:
    bits = filler(remainder)
    assert bits.width % 8 == remainder
    state = decoder(b"before")
    last = bits.value | 0b011 << bits.width  # an end follows
    assert state.decompress(last.to_bytes((bits.width + 10 + 7) // 8, "little")) == b""
    assert state.eof


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 9))
def test_a_header_is_as_long_as_zlib_has_it(text: bytes, level: int) -> None:
    """With its own end code behind it, a block has no text."""
    made = zlib.compressobj(level, zlib.DEFLATED, -15)
    bits = bits_at(made.compress(text * 3) + made.flush(), 0, 0)
    if bits >> 1 & 3:
        whole = header(bits).bits + header(bits).end
        state = zlib.decompressobj(wbits=-15)
        assert state.decompress(whole.value.to_bytes((whole.width + 7) // 8, "little")) == b""
        assert state.eof


def test_what_is_damaged_says_so_after_what_is_whole() -> None:
    text = texts(1, 100_000)
    data = gzip.compress(text[:60_000], 6) + gzip.compress(text[60_000:], 6)
    for cut in (1, 4, 9, 40, 3000, len(data) - 5):
        found, problem, _ = unpacked(data[:-cut], 4000, 20_000, 20_000)
        assert "too early" in problem
        assert text.startswith(found)
    for garbage in (b"\n", b"{}", b"\x1f", gzip.compress(b"x")[:3], bytes(9) + b"x"):
        found, problem, _ = unpacked(data + garbage, 4000, 20_000, 20_000)
        assert "too early" in problem or "not gzip" in problem
        assert found == text
    spoiled = bytearray(data)
    for at in (-1, -5, -7, 3, 2):
        spoiled[at] ^= 0xFF
        assert "damaged" in unpacked(bytes(spoiled), 4000, 20_000, 20_000)[1]
        spoiled[at] ^= 0xFF


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), st.integers(0, 20_000), st.integers(1, 255))
def test_no_flipped_bits_go_unseen(seed: int, at: int, change: int) -> None:
    """A damaged file ends with a problem, or has the text that it had."""
    data = bytearray(gzip.compress(texts(seed, 20_000), 6, mtime=0))
    at = 10 + at % (len(data) - 10)
    data[at] ^= change
    found, problem, _ = unpacked(bytes(data), 3000, 5000, 5000)
    assert problem or found == texts(seed, 20_000)


def test_headers_with_all_that_they_may_have() -> None:
    made = gzip.compress(b"text", mtime=0)
    extra = b"\x1f\x8b\x08\x1f" + bytes(6) + b"\x05\x00extra" + b"name\0" + b"a comment\0" + b"\x12\x34"
    for piece in (1, 7, 100):
        assert unpacked((extra + made[10:]) * 2, piece, 50, 50)[:2] == (b"texttext", "")


@pytest.mark.parametrize("inner", [b"\0", b'{"a": 1}\n'])
def test_a_bomb_is_unpacked_in_bounded_memory(inner: bytes) -> None:
    data = gzip.compress(inner * ((1 << 28) // len(inner)), 9)
    assert len(data) < 1 << 20
    tracemalloc.start()
    found = Unpacked(data, Place(), final=True, most=4 << 20)
    size = len(found.text)
    assert 4 << 20 <= size < (4 << 20) + STEP + 300
    place, skip = found.place(size)
    assert skip < STEP + 300
    assert len(msgspec.json.encode(place)) < 60_000
    again = Unpacked(data[place.at :], place, final=True, most=skip + (1 << 20))
    assert again.text.startswith(found.text[place.text :])
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()


def test_blocks_without_text_are_read_some_at_a_time() -> None:
    made = zlib.compressobj(6, zlib.DEFLATED, 31)
    data = made.compress(b"text") + b"".join(made.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    empty = b"\0\0\0\xff\xff"
    data = data + empty * 25_000 + made.flush()
    text, problem, tasks = unpacked(data, 1 << 20, 1 << 20, 1 << 20)
    assert (text, problem, tasks) == (b"text", "", 3)


def test_a_block_longer_than_any_piece_is_gone_on_within() -> None:
    """As some packers write it: the whole text is one block. Each letter's code has 8 bits."""
    text = texts(2, 100_000).translate(bytes(byte & 0x7F for byte in range(256))) * 60
    codes = bytes(int(f"{byte + 0x30:08b}"[::-1], 2) for byte in range(144)) + bytes(112)
    block = int.from_bytes(text.translate(codes), "little") << 3 | 0b011
    body = block.to_bytes((3 + 8 * len(text) + 7 + 7) // 8, "little")
    sums = zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    data = gzip.compress(b"")[:10] + body + sums
    assert gzip.decompress(data) == text
    found, problem, tasks = unpacked(data, 2 << 20, 1 << 20, 1 << 20)
    assert (found == text, problem) == (True, "")
    assert 5 < tasks < 16
