"""Which JSON texts PostgreSQL can take as `jsonb`: one that it cannot makes every query of its view fail. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# PostgreSQL's `numeric` has up to 131,072 digits before the point and 16,383 after it, and is as long as its exponent
# says: what is far below that is enough for any number that somebody means.
LONGEST_NUMBER = 1_000

# Digits are 0, exponents e, all else is a space; signs are left out.
_SHAPE = bytes(
    ord("0") if chr(each).isdigit() and each < 128 else ord("e") if each in b"eE" else 32 for each in range(256)
)
_SUSPICIOUS = (b"0e0000", b"0" * LONGEST_NUMBER)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONG = re.compile(rb"[eE][+-]?0*[1-9][0-9]{3}|[0-9]{%d}" % LONGEST_NUMBER)
# Of the escapes of one string, in order: a pair is one character, and an escaped backslash begins none.
_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u0000|\\u[dD][89a-fA-F]..|\\.")


def no_jsonb(texts: Sequence[bytes | None]) -> list[int]:
    """The places of those that PostgreSQL cannot take: with \\u0000, half of a surrogate pair, or a number that is out
    of range or longer than LONGEST_NUMBER. Each must be JSON, compact, in UTF-8."""
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
