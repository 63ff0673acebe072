"""What is made of a record for others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core import template
from crawlerd.core.lenient_json import encoded, spelled_out

DATA = spelled_out(
    b'{"id":7,"name":"Zo\xc3\xab","none":null,"yes":true,"price":1.10,"address":{"city":"Z","lines":["a","b"]},"key":"k"}'
)
OWN = {"$key": "l/1", "$stream": "things", "$account": "acme"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("id", "7"),
        ("none", "null"),
        ("missing.path", "null"),
        ("name.of.text", "null"),
        ("price", "1.10"),
        ("address", '{"city":"Z","lines":["a","b"]}'),
        ("address.lines.1", '"b"'),
        ("address.lines.2", "null"),
        ("address.lines.x", "null"),
        ("key", '"k"'),
        ("$key", '"l/1"'),
        ("$key.more", "null"),
        ("{name} <{$account}>", '"Zoë <acme>"'),
        ("{id}", '"7"'),
        ("{price}/{yes}/{none}/{missing}", '"1.10/true//"'),
        ("{address.lines}", '"[\\"a\\",\\"b\\"]"'),
        ("{{{id}}}", '"{7}"'),
        ("'a {constant}'", '"a {constant}"'),
        ("''", '""'),
        (7, "7"),
        (False, "false"),
        ({"a": {"b": "id"}, "c": ["'x'", "id", 1.5]}, '{"a":{"b":7},"c":["x",7,1.5]}'),
    ],
)
def test_a_template_is_filled(given: Any, expected: str) -> None:
    template.check(given)
    assert encoded(template.fill(given, DATA, OWN)).decode() == expected


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", '"" is not a dotted path'),
        ("a..b", '"a..b" is not a dotted path'),
        ("{}", '"" is not a dotted path'),
        ("{a.}", '"a." is not a dotted path'),
        ("a {b", "has a brace alone"),
        ("a}", "has a brace alone"),
        ("$keys", '"$keys" is not one of $key, $stream, $account'),
        ({"x": {"y": "{$id}"}}, 'x: y: "$id" is not one of'),
        (["a", "{"], "has a brace alone"),
        (None, "must be text, a number"),
    ],
)
def test_what_is_no_template(given: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("$", r"\$").replace(".", r"\.")):
        template.check(given)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/contacts", "/contacts"),
        ("/contacts/{id}", "/contacts/7"),
        ("/{$stream}/{$key}?x={name}", "/things/l%2F1?x=Zo%C3%AB"),
        ("/contacts/{none}", None),
        ("/contacts/{missing}", None),
    ],
)
def test_each_field_of_a_path_is_one_segment(path: str, expected: str | None) -> None:
    template.check_path(path)
    assert template.fill_path(path, DATA, OWN) == expected


@given(key=st.text())
def test_no_record_leads_elsewhere(key: str) -> None:
    path = template.fill_path("/contacts/{$key}/x", {}, {"$key": key})
    if path is None:
        assert key in ("", ".", "..") or not key.isprintable()
    else:
        assert path.count("/") == 3
        assert not {"?", "#", "..", "."}.intersection(path.split("/"))
        assert path.isascii()


@pytest.mark.slow
@given(
    st.recursive(
        st.text() | st.integers() | st.booleans(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
    )
)
def test_what_is_checked_can_be_filled(given: Any) -> None:
    try:
        template.check(given)
    except ValueError:
        return
    encoded(template.fill(given, DATA, OWN))
