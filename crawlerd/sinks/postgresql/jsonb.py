"""Which JSON texts PostgreSQL accepts as `jsonb`: one that it does not accept makes every query of its view fail.
Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# PostgreSQL's `numeric` has up to 131,072 digits before the point and 16,383 after it, and takes as much space as its
# exponent says. A much lower bound is enough for any meaningful number.
LONGEST_NUMBER = 1_000

# Digits become 0, exponents e, and everything else a space; signs are left out.
_SHAPE = bytes(
    ord("0") if chr(each).isdigit() and each < 128 else ord("e") if each in b"eE" else 32 for each in range(256)
)
_SUSPICIOUS = (b"0e0000", b"0" * LONGEST_NUMBER)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONG = re.compile(rb"[eE][+-]?0*[1-9][0-9]{3}|[0-9]{%d}" % LONGEST_NUMBER)
# The escapes of one string, in order: a pair is one character, and an escaped backslash does not begin an escape.
_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u0000|\\u[dD][89a-fA-F]..|\\.")


def no_jsonb(texts: Sequence[bytes | None]) -> list[int]:
    """The indexes of texts that PostgreSQL does not accept: with \\u0000, half of a surrogate pair, or a number that is
    out of range or longer than LONGEST_NUMBER. Each text must be compact JSON in UTF-8."""
    if not _may_be(b"".join(filter(None, texts))):
        return []
    return [place for place, text in enumerate(texts) if text and _may_be(text) and _is(text)]


def _may_be(text: bytes) -> bool:
    if b"\\u" in text:
        return True
    shape = text.translate(_SHAPE, b"+-")
    return any(each in shape for each in _SUSPICIOUS)


def _is(text: bytes) -> bool:
    if b"\\u" in text:
        for found in _ESCAPE.finditer(text):
            escape = found[0].lower()
            if escape == b"\\u0000" or (len(escape) == 6 and escape.startswith(b"\\ud")):
                return True
    return _LONG.search(_STRING.sub(b"", text)) is not None
