"""JSON as text: splits it into parts without parsing, compacts it, and checks that it is valid JSON and UTF-8."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 1000  # most levels of nesting of an object, as in SQLite and the usual JSON parsers
MOST_VALUES = 8_000_000  # most values of a response; each takes 50 to 100 bytes in a worker
MOST_ELEMENTS = 2_500_000  # most elements of a list; each takes some 750 bytes in a worker until it is processed
RECURSION = 3000  # the recursion limit that Python's JSON parsers need for DEEPEST levels

if sys.getrecursionlimit() < RECURSION:
    sys.setrecursionlimit(RECURSION)

# A string, even without an end; or a character of the structure.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_KEY = re.compile(rb'\s*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:', re.DOTALL)
_BLANK = b" \t\n\r"
# Spaces that may be insignificant, and spaces that are, since they are next to a token outside of strings. The second
# is exact except for strings that begin or end with a space, or contain text that looks like JSON.
_MAYBE_SPACED = re.compile(rb' (?:(?<=[\[{}\]":,] )|[\]},:\[{" ])')
_SPACED = re.compile(rb' (?:(?<=[\[{}\]"] )|(?<=": )|(?=[\]},:\[{"])|(?<=, )(?=-?[0-9]|true|false|null| ))')


def bounded(text: bytes) -> bytes:
    """Returns the text. Raises Permanent when it may have more values than fit into a worker's memory; commas in
    strings count as well."""
    if len(text) > MOST_VALUES:
        values = 1 + text.count(b",") + text.count(b"[") + text.count(b"{")
        if values > MOST_VALUES:
            what = f"the response holds about {values:,} values; at most {MOST_VALUES:,} can be read"
            raise Permanent(f"{what}: ask for smaller pages")
    return text


def bounded_list(count: int) -> None:
    """Raises Permanent when a list has more elements than fit into a worker's memory."""
    if count > MOST_ELEMENTS:
        what = f"the list has {count:,} elements; at most {MOST_ELEMENTS:,} can be read"
        raise Permanent(f"{what}: ask for smaller pages")


def is_spaced(text: bytes) -> bool:
    """Whether there may be insignificant whitespace. If False, valid JSON has none."""
    if b"\n" in text or b"\r" in text or b"\t" in text:  # these are not allowed in strings
        return True
    found = _MAYBE_SPACED.search(text)
    return found is not None and _SPACED.search(text, found.start()) is not None


def compact(text: bytes) -> bytes:
    """Valid JSON without insignificant whitespace, otherwise unchanged. Raises ValueError when it is not JSON, and
    RecursionError when it is nested too deeply. Does not check that strings are UTF-8."""
    return msgspec.json.format(text, indent=-1)


def usable(text: bytes) -> bytes:
    """The text of an object as it is stored. Raises ValueError with the reason when it is not valid."""
    try:
        kept = compact(text)
        kept.decode()
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST:,} levels") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not valid UTF-8 ({error.reason})") from None
    except msgspec.DecodeError as error:
        raise ValueError(_why(text, error)) from None
    if not kept.startswith(b"{"):
        raise ValueError(f"not an object but {kept[:40].decode(errors='replace')}")
    if nesting(kept) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST:,} levels")
    return kept


def _why(text: bytes, error: Exception) -> str:
    odd = re.search(rb"\b(?:NaN|Infinity)\b", re.sub(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', b"", text))
    if odd:
        return f"{odd[0].decode()} is not allowed in JSON"
    with suppress(ValueError, RecursionError):
        json.loads(text)  # it accepts half a surrogate pair, which msgspec does not
        return "not valid JSON (half a surrogate pair)"
    return f"not valid JSON ({error})"


def nesting(text: bytes, more_than: int = DEEPEST) -> int:
    """The levels of nesting; 0 when it is clear without counting that they are not more than `more_than`."""
    if len(text) <= 2 * more_than or text.count(b"{") + text.count(b"[") <= more_than:
        return 0
    deepest = level = 0
    for token in _TOKEN.finditer(text):
        if token[0] in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif token[0] in b"]}":
            level -= 1
    return deepest


def elements(text: bytes) -> list[bytes] | None:
    """The texts of an array's elements, which are not checked; None when it is not an array."""
    return _parts(text, b"[", b"]")


def members(text: bytes) -> list[tuple[bytes, bytes]] | None:
    """The (name, value) texts of an object's members, in their order. Names are as written, with quotation marks;
    values are not checked. None when it is not an object."""
    parts = _parts(text, b"{", b"}")
    keys = [_KEY.match(part) for part in parts or ()]
    if parts is None or not all(keys):
        return None
    return [(key[1], part[key.end() :].strip(_BLANK)) for key, part in zip(keys, parts, strict=True) if key]


def _parts(text: bytes, opening: bytes, closing: bytes) -> list[bytes] | None:
    """The texts between the commas of an array or object. Unlike a parser, it does not recurse or check them."""
    text = text.strip(_BLANK)
    if not text.startswith(opening):
        return None
    parts: list[bytes] = []
    start, level = 1, 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"[" | b"{":
                level += 1
            case b"," if level == 1:
                parts.append(text[start : token.start()].strip(_BLANK))
                start = token.end()
            case b"]" | b"}":
                level -= 1
                if not level:
                    if token[0] != closing or token.end() < len(text):
                        return None
                    last = text[start : token.start()].strip(_BLANK)
                    if last or parts:
                        parts.append(last)
                    return parts if all(parts) else None
    return None


def without(text: bytes, names: frozenset[str]) -> bytes:
    """An object's text without the members of these names; the others are unchanged."""
    kept = [key + b":" + value for key, value in members(text) or () if msgspec.json.decode(key) not in names]
    return b"{" + b",".join(kept) + b"}"


def with_members(text: bytes, added: dict[str, bytes]) -> bytes:
    """A compact object's text with more members at its end."""
    more = b",".join(msgspec.json.encode(name) + b":" + value for name, value in added.items())
    return text if not more else b"{" + more + b"}" if text == b"{}" else text[:-1] + b"," + more + b"}"


def shallow(text: bytes, levels: int) -> bytes:
    """The text with the constant NaN, which is invalid in JSON, in place of everything that is nested deeper."""
    return b"".join(_shallow(text, levels))


def _shallow(text: bytes, levels: int) -> Iterator[bytes]:
    kept, level = 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in b"[{":
            level += 1
            if level == levels + 1:
                yield text[kept : token.start()]
                yield b"NaN"
        elif token[0] in b"]}":
            level -= 1
            if level == levels:
                kept = token.end()
    if level <= levels:
        yield text[kept:]
