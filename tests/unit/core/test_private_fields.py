"""Which fields are dropped and hashed, in any shape of records, and what is left of them nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.private_fields import FieldRules, RunFields, Shaped, branch_of, names_of
from crawlerd.core.traces import Traces

KEY = "a key of hashes that nobody knows"


def shaped(data: Any, *, drop: tuple[str, ...] = (), hashes: tuple[str, ...] = (), key: str = KEY) -> Any:
    fields = RunFields({"people": FieldRules(drop, hashes)}, key)
    text, _ = Shaped(fields).shaped(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(), "people")
    return json.loads(text)


@pytest.mark.parametrize(
    ("data", "drop", "left"),
    [
        ({"id": 1, "email": "x"}, "email", {"id": 1}),
        ({"id": 1}, "email", {"id": 1}),
        ({"a": {"b": {"c": 1, "d": 2}}}, "a.b.c", {"a": {"b": {"d": 2}}}),
        ({"a": [{"b": 1, "c": 2}, {"b": 3}]}, "a.b", {"a": [{"c": 2}, {}]}),
        ({"a": [[{"b": 1}], 5, None, "b"]}, "a.b", {"a": [[{}], 5, None, "b"]}),
        ({"a": "text"}, "a.b", {"a": "text"}),
        ({"a.b": 1, "a": {"b": 2}}, '"a.b"', {"a": {"b": 2}}),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", {"a.b": 1, "a": {}}),
        ({"a": {"x": {"c": 1}, "y": {"c": 2, "d": 3}}}, "a.*.c", {"a": {"x": {}, "y": {"d": 3}}}),
        ({"id": 1, "x": 2}, "*", {}),
        ({"Müller": 1, "two words": 2}, "two words", {"Müller": 1}),
    ],
)
def test_a_path_leads_into_objects_and_lists(data: Any, drop: str, left: Any) -> None:
    assert shaped(data, drop=(drop,)) == left


def test_what_is_kept_is_kept_as_the_api_wrote_it() -> None:
    fields = RunFields({"people": FieldRules(("email",), ())})
    text, _ = Shaped(fields).shaped(b'{"n":1.10000000000000000001,"email":"x","s":"\\u00fc","m":1e400}', "people")
    assert text == b'{"n":1.10000000000000000001,"s":"\\u00fc","m":1e400}'


def test_a_name_is_known_however_it_is_escaped_and_repeated() -> None:
    fields = RunFields({"people": FieldRules(("email",), ())})
    text, _ = Shaped(fields).shaped(b'{"em\\u0061il":"a@b.example","x":1,"email":"c@d.example"}', "people")
    assert json.loads(text) == {"x": 1}


def test_a_hash_is_stable_and_of_a_key() -> None:
    one = shaped({"phone": "+49 170"}, hashes=("phone",))
    assert one["phone"] == shaped({"x": 1, "phone": "+49 170"}, hashes=("phone",))["phone"]
    assert one["phone"] != shaped({"phone": "+49 170"}, hashes=("phone",), key="another key of 16 or more")["phone"]
    assert one["phone"] != shaped({"phone": "+49 171"}, hashes=("phone",))["phone"]
    assert len(one["phone"]) == 32


def test_a_hash_of_other_values() -> None:
    found = shaped({"a": 12345, "b": "12345", "c": None, "d": ["12345", None], "e": {"x": 1}}, hashes=(*"abcde",))
    assert found["a"] == found["b"] == found["d"][0]
    assert found["c"] is None
    assert found["d"][1] is None
    assert isinstance(found["e"], str)


def test_rules_of_all_streams_join_those_of_one() -> None:
    fields = RunFields({"*": FieldRules(("email",), ()), "people": FieldRules(("name",), ())})
    assert Shaped(fields).shaped(b'{"email":1,"name":2,"id":3}', "people")[0] == b'{"id":3}'
    assert Shaped(fields).shaped(b'{"email":1,"name":2,"id":3}', "orders")[0] == b'{"name":2,"id":3}'


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", '"a', 'a"b', " a", ".".join("a" * 21)])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match=r"is not the path|more than"):
        names_of(path)


@pytest.mark.parametrize(
    ("drop", "hashes", "words"), [(("a", "a.b"), (), "inside"), (("a",), ("a",), "both"), (("a.b",), ("a",), "inside")]
)
def test_rules_that_meet_are_refused(drop: tuple[str, ...], hashes: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        branch_of([FieldRules(drop, hashes)])


def test_what_was_taken_away_is_known_with_its_field() -> None:
    found = Shaped(RunFields({"people": FieldRules(("a.email", "flag", "n"), ())}))
    found.shaped(b'{"a":[{"email":"jane@b.example"}],"flag":true,"n":1234567,"x":"kept"}', "people")
    assert found.values == {"jane@b.example": "email in a of people", "1234567": "n of people"}


def test_an_answer_is_looked_into_wherever_a_path_begins() -> None:
    found = Shaped(RunFields({"people": FieldRules(("address.line1",), ())}))
    found.look_into(b'{"page":{"data":[{"address":{"line1":"Main Street 5","city":"Berlin"}}]}}')
    assert set(found.values) == {"Main Street 5"}
    found.look_into(b"no JSON")


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12)
NAMES = st.sampled_from(["a", "b", "email", "c d", "x.y", "ü"])
VALUES = st.recursive(SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=3))


@pytest.mark.slow
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_the_rest_of_any_record_stays_as_it_is(data: dict[str, Any]) -> None:
    assert shaped(data, drop=("email",)) == {name: each for name, each in data.items() if name != "email"}
    assert shaped(data, drop=("nothing.of.it",)) == data


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.text(min_size=6, max_size=20))
def test_a_dropped_value_is_in_no_record(data: dict[str, Any], value: str) -> None:
    marked = f"marker-{value}-marker"
    text = json.dumps(shaped({**data, "email": {"deep": [marked]}}, drop=("email",)), ensure_ascii=False)
    assert "marker-" not in text


@pytest.mark.parametrize(
    ("value", "text", "left"),
    [
        ("jane@b.example", '{"e":"jane@b.example"}', '{"e":"***"}'),
        ("jane@b.example", "/p?e=jane%40b.example&x=1", "/p?e=***&x=1"),
        ("Jürgen Ö", "/p?n=J%C3%BCrgen+%C3%96", "/p?n=***"),
        ("Jürgen Ö", '"J\\u00fcrgen \\u00d6"', '"***"'),
        ("Main 5", "Main 55", "Main 55"),
        ("jane@b.example", "/p?next=%2Fq%3Fe%3Djane%2540b.example", "/p?next=%2Fq%3Fe%3D***"),
        ("jane@b.example", "e=jane&#64;b.example;", "e=***;"),
        ("日本語太郎", "/p?n=%E6%97%A5%E6%9C%AC%E8%AA%9E%E5%A4%AA%E9%83%8E", "/p?n=***"),
        ("日本語太郎", "名は日本語太郎。", "名は日本語太郎。"),
        ("日本語太郎", '{"n":"日本語太郎"}', '{"n":"***"}'),
        ("anne", "joanne", "joanne"),
        ('say "hi"', '{"x":"say \\"hi\\""}', '{"x":"***"}'),
    ],
)
def test_traces_of_a_value(value: str, text: str, left: str) -> None:
    traces = Traces([value])
    assert traces.text(text) == left
    assert traces.found(text) == (value if left != text else None)
