"""Parses JSON as APIs write it: numbers stay exact, and an invalid record does not make its whole page fail."""

from __future__ import annotations

import json
import sys
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from crawlerd.core.jsontext import DEEPEST, shallow

ALWAYS_EXACT = 15  # a double can represent any number with this many significant digits
MOST_DIGITS = 20_000  # most digits of a whole number that is parsed; the time grows with their square
PAGE_LEVELS = 100  # levels of nesting around the records of a page


class NotInJson:
    """Stands for NaN, an infinity, or a value that is nested too deeply: these are invalid in JSON, so the record that
    contains one is skipped."""


class ExactFloat(float):
    """A number that a double rounds. `text` is how the API wrote it, and how it is written to JSON."""

    __slots__ = ("text",)
    text: str

    def __str__(self) -> str:
        return self.text


class ExactInt(int):
    """A whole number with more digits than Python reads or writes. `text` is how the API wrote it."""

    text: str

    def __str__(self) -> str:
        return self.text


ExactFloat.__name__, ExactInt.__name__ = "float", "int"  # JMESPath recognizes numbers by these names


def number(text: str) -> float:
    """The value of a decimal number in a JSON text, as an ExactFloat if a double would round it."""
    value = float(text)
    if len(text) <= ALWAYS_EXACT + 1 and "e" not in text and "E" not in text:
        return value
    return value if _is_same(text, value) else spelled(text)


def spelled(text: str) -> ExactFloat:
    """The number, with the text that the API wrote."""
    value = ExactFloat(text)
    value.text = text
    return value


def _is_same(text: str, value: float) -> bool:
    try:
        return Decimal(text) == Decimal(repr(value))
    except InvalidOperation:  # the exponent is too large for a Decimal
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
    """Parses a JSON text in UTF-8. Numbers that Python would round become an ExactFloat or ExactInt, which `encoded`
    writes as the API did. Raises ValueError when the body is not JSON at all.

    Invalid values (NaN, half a surrogate pair, bytes that are not UTF-8, more than 1,000 levels) stay in the result:
    only the record that contains one fails, when it is serialized.
    """
    try:
        return _exact(body)
    except (ValueError, RecursionError):
        return _leniently(body, number)


def spelled_out(text: bytes) -> Any:
    """Like `parsed`, for valid JSON, but each decimal number has the text that the API wrote."""
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
    raise TypeError(f"JSON cannot contain a {type(value).__name__}")


# Encodes a value as compact JSON in UTF-8, with numbers as `parsed` found them. Raises ValueError, TypeError,
# OverflowError or RecursionError for values that are invalid in JSON. Not wrapped, since it is called for each record.
encoded = msgspec.json.Encoder(enc_hook=_text_of).encode
