"""JSON as APIs write it, as Python values: exact numbers, and one unusable record does not take its page with it."""

from __future__ import annotations

import json
import sys
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from crawlerd.core.jsontext import DEEPEST, shallow

ALWAYS_EXACT = 15  # significant digits that a double holds, whatever they are
MOST_DIGITS = 20_000  # of a whole number that is read as one; the time for more grows with their square
PAGE_LEVELS = 100  # of nesting around the records of a page


class NotInJson:
    """NaN, an infinity, or what is nested too deeply: no JSON holds it, so its record is set aside."""


class ExactFloat(float):
    """A number that a double rounds; `text` is how the API wrote it, and what becomes of it in JSON."""

    __slots__ = ("text",)
    text: str

    def __str__(self) -> str:
        return self.text


class ExactInt(int):
    """A whole number of more digits than Python reads or writes; `text` is how the API wrote it."""

    text: str

    def __str__(self) -> str:
        return self.text


ExactFloat.__name__, ExactInt.__name__ = "float", "int"  # by which JMESPath knows numbers


def number(text: str) -> float:
    """A decimal number of a JSON text."""
    value = float(text)
    if len(text) <= ALWAYS_EXACT + 1 and "e" not in text and "E" not in text:
        return value
    return value if _is_same(text, value) else spelled(text)


def spelled(text: str) -> ExactFloat:
    """The number that keeps its spelling."""
    value = ExactFloat(text)
    value.text = text
    return value


def _is_same(text: str, value: float) -> bool:
    try:
        return Decimal(text) == Decimal(repr(value))
    except InvalidOperation:  # an exponent that no Decimal has
        return False


def _whole(text: str) -> float:
    if len(text) <= sys.int_info.str_digits_check_threshold:
        return int(text)
    if len(text) > MOST_DIGITS:
        return spelled(text)
    value = ExactInt(Decimal(text))
    value.text = text
    return value


_exact = msgspec.json.Decoder(float_hook=number).decode
_spelled = msgspec.json.Decoder(float_hook=spelled).decode


def parsed(body: bytes) -> Any:
    """The values of a JSON text in UTF-8. Numbers that Python would round are an ExactFloat or ExactInt, which
    `encoded` writes as they came.

    What no JSON can hold (NaN, half a surrogate pair, bytes that are no UTF-8, more than 1,000 levels) is left in it,
    and fails with the record that has it, when that is serialized. ValueError when the body is not JSON at all.
    """
    try:
        return _exact(body)
    except (ValueError, RecursionError):
        return _leniently(body, number)


def spelled_out(text: bytes) -> Any:
    """The same, of valid JSON, with the spelling of each decimal number."""
    try:
        return _spelled(text)
    except (ValueError, RecursionError):
        return _leniently(text, spelled)


def _leniently(body: bytes, parse_float: Any) -> Any:
    text = body.decode("utf-8-sig", errors="surrogateescape")
    reader = json.JSONDecoder(
        parse_constant=lambda _: NotInJson(), parse_float=parse_float, parse_int=_whole, strict=False
    )
    try:
        return reader.decode(text)
    except RecursionError:
        limited = shallow(body, DEEPEST + PAGE_LEVELS)
        return reader.decode(limited.decode("utf-8-sig", errors="surrogateescape"))


def _text_of(value: Any) -> msgspec.Raw:
    if isinstance(value, ExactFloat | ExactInt):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"no JSON holds a {type(value).__name__}")


# JSON in UTF-8, compact; numbers as `parsed` found them. ValueError, TypeError, OverflowError or RecursionError for
# what no JSON holds. The bare method: it is called for each record.
encoded = msgspec.json.Encoder(enc_hook=_text_of).encode
