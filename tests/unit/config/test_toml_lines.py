"""Every key of a TOML text has its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.config.toml_lines import Key, lines

EVERYTHING = '''\
# a comment [not.a.header]
title = "x # no comment"   # a comment
'lit eral' = 'C:\\'
"quo\\"ted" = """
[accounts.no]
two "" quotes" and \\""" more
"""
when = 1979-05-27 07:32:00   # a date with a blank
dotted.key.here = 1

[accounts."a.b"]
limits = [
  "25/second",  # each ]
  [1, [2]],
]
inline = { x = 1, "y z" = { deep = ['}', "]"] } }
text = \'\'\'
x = 1
'quoted' ''\'\'\'
[[rows]]
n = 1
[rows.inner]
m = 1
[[rows]]
n = 2
[[rows.many]]
k = 3
[ spaced . header ]
last = true'''


def keys(value: Any, at: Key = ()) -> set[Key]:
    """All keys of a parsed document, with tables and places in lists."""
    found: set[Key] = {at} if at else set()
    if isinstance(value, dict):
        for name, each in value.items():
            found |= keys(each, (*at, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            found |= keys(each, (*at, number))
    return found


def test_each_key_is_on_its_line() -> None:
    found = lines(EVERYTHING)
    assert set(found) == keys(tomli.loads(EVERYTHING))
    for key in found:
        name = next(part for part in reversed(key) if isinstance(part, str))
        near = "\n".join(EVERYTHING.splitlines()[found[key] - 1 - 4 * isinstance(key[-1], int) : found[key]])
        assert name.replace('"', '\\"') in near, key
    assert found["accounts", "a.b", "limits", 1, 1] == 14
    assert found["rows", 1, "many", 0, "k"] == 27
    assert found["spaced", "header", "last"] == 29


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[3].glob("config/**/*.toml")), ids=str)
def test_of_the_examples(path: Path) -> None:
    assert set(lines(path.read_text())) == keys(tomli.loads(path.read_text()))


def test_line_ends_of_windows() -> None:
    assert lines('a = 1\r\n\r\n[b]\r\nc = """x\r\ny"""\r\nd = 1\r\n') == {
        ("a",): 1,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "d"): 6,
    }


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=4)
SCALARS = st.one_of(
    st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False, width=16), NAMES
)


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(name, ensure_ascii=False)} = {inline(each)}" for name, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(inline, value)) + "\n]"
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.slow
@given(
    st.dictionaries(NAMES, st.recursive(SCALARS, lambda of: st.lists(of) | st.dictionaries(NAMES, of), max_leaves=6))
)
def test_of_any_document(document: dict[str, Any]) -> None:
    text, at = "", {}
    for name, value in document.items():
        at[name,] = text.count("\n") + 1
        text += f"{json.dumps(name, ensure_ascii=False)} = {inline(value)}\n"
    found = lines(text)
    assert set(found) == keys(tomli.loads(text))
    assert {key: found[key] for key in at} == at
