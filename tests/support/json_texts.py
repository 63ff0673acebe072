"""JSON in all the ways in which an API may write it, for property tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

BLANKS = st.text(alphabet=" \t\r\n", max_size=2)
# Numbers as text: what no double holds, other spellings of what it does, and some that are out of its range.
NUMBERS = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?\Z"),
    st.sampled_from(["1.0", "1", "1e5", "1E+05", "-0", "-0.0", "1e999", "0.10", "1" * 5000, "955031734.1681486901"]),
)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
SPACED_TEXTS = st.text(alphabet='ab ,:"{}[]1t\\\n\t é', max_size=12)


@dataclass(frozen=True)
class Number:
    text: str


def json_values(depth: int = 3) -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | NUMBERS.map(Number) | TEXTS | SPACED_TEXTS
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | SPACED_TEXTS, inner, max_size=3),
        max_leaves=8,
    )


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(TEXTS | SPACED_TEXTS, json_values(), max_size=4)


@st.composite
def json_texts(draw: st.DrawFn, value: Any, *, spaced: bool | None = None) -> bytes:
    """One of the texts of a value, in UTF-8."""
    spaced = draw(st.booleans()) if spaced is None else spaced
    escape_all = draw(st.booleans())

    def blank() -> str:
        return draw(BLANKS) if spaced else ""

    def written(part: Any) -> str:
        match part:
            case Number():
                return part.text
            case None:
                return "null"
            case bool():
                return "true" if part else "false"
            case str():
                text = json.dumps(part, ensure_ascii=escape_all)
                return text.replace("/", "\\/") if escape_all else text
            case list():
                return "[" + blank() + (blank() + "," + blank()).join(map(written, part)) + blank() + "]"
            case dict():
                members = (written(name) + blank() + ":" + blank() + written(each) for name, each in part.items())
                return "{" + blank() + (blank() + "," + blank()).join(members) + blank() + "}"
        raise TypeError(type(part))

    return written(value).encode()


def exactly(text: bytes | str) -> Any:
    """The value of a JSON text with each number as it is written: equal for texts that differ only in whitespace and
    in how characters of strings are escaped."""

    def number(written: str) -> tuple[str, str]:
        return "number", written

    return json.loads(text, parse_float=number, parse_int=number, object_pairs_hook=lambda pairs: ("object", pairs))


def value_of(text: bytes | str) -> Any:
    """The same with each number by its value, whatever its spelling."""

    def number(written: str) -> tuple[str, Decimal]:
        return "number", Decimal(written)

    return json.loads(text, parse_float=number, parse_int=number)
