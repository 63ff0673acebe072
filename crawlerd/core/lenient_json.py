"""JSON as APIs write it: what makes one record unusable does not take the others of its page with it."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec


class NumberOutOfRange:
    """NaN, an infinity, or a number that is too large: no JSON holds it, so its record is set aside."""


def parsed(body: bytes) -> Any:
    """A body's JSON. What none can hold (NaN, half a surrogate pair, bytes that are no UTF-8) is left in it, and
    fails with the record that has it, when that is serialised. ValueError when the body is not JSON at all,
    RecursionError when it is nested too deeply."""
    try:
        return msgspec.json.decode(body)
    except ValueError:
        text = body.decode("utf-8-sig", errors="surrogateescape")
        return json.loads(text, parse_constant=lambda _: NumberOutOfRange(), parse_float=_number)


def _number(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else NumberOutOfRange()
