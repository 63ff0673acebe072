"""Any JSON text, in any charset, on any page: what is valid is kept as it is, what is not is set aside alone."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.json_texts import exactly, json_objects, json_texts, json_values, value_of

from crawlerd.core import jsontext
from crawlerd.core.charset import utf8
from crawlerd.core.jsontext import (
    compact,
    elements,
    is_spaced,
    members,
    nesting,
    shallow,
    usable,
    with_members,
    without,
)
from crawlerd.core.lenient_json import encoded, parsed, spelled_out
from crawlerd.core.listing import Objects, listing

ODD = {
    "NaN": b'{"id":"odd","n":NaN}',
    "an infinity": b'{"id":"odd","n":[-Infinity]}',
    "half a surrogate pair": b'{"id":"odd","n":"\\ud800x"}',
    "two second halves": b'{"id":"odd","n":"\\udc00\\udc00"}',
    "no UTF-8": b'{"id":"odd","n":"\xff\xfe"}',
    "half a UTF-8 character": b'{"id":"odd","n":"\xc3"}',
    "a surrogate in UTF-8": b'{"id":"odd","n":"\xed\xa0\x80"}',
    "1,001 levels": b'{"id":"odd","n":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "100,000 levels": b'{"id":"odd","n":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a control character": b'{"id":"odd","n":"\x01\n"}',
    "a wrong escape": b'{"id":"odd","n":"\\x41"}',
    "no number": b'{"id":"odd","n":01}',
}
DEEPEST = b'{"id":"deep","n":' + b"[" * 999 + b"]" * 999 + b"}"


@given(json_values().flatmap(lambda value: json_texts(value)))
@example(b"[1, 2]")
@example(b"[1,  2]")
@example(b"[{}, true]")
@example(b"[true , -1]")
@example(b'{"a": 1}')
@example(b'{"a":1 }')
@example(b' "a"')
@example(b'[" a, b: [ { x", "1, 2"]')
def test_compact_text_is_the_text_but_for_whitespace(text: bytes) -> None:
    kept = compact(text)
    assert exactly(kept) == exactly(text)
    assert kept == json_minus_blanks(text)
    assert kept == text or is_spaced(text)


def json_minus_blanks(text: bytes) -> bytes:
    """Slowly, character by character."""
    kept, inside, escaped = bytearray(), False, False
    for each in text:
        if inside or each not in b" \t\r\n":
            kept.append(each)
        if escaped:
            escaped = False
        elif inside and each == ord("\\"):
            escaped = True
        elif each == ord('"'):
            inside = not inside
    return bytes(kept)


@given(json_objects().flatmap(lambda value: json_texts(value)))
def test_an_object_is_usable_as_it_is(text: bytes) -> None:
    assert usable(text) == compact(text)


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_json_in_utf8_is_not_usable(what: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        usable(ODD[what])
    assert usable(DEEPEST) == DEEPEST


@given(st.lists(json_values(), max_size=4), st.data())
def test_an_array_is_cut_into_its_elements(values: list[Any], data: st.DataObject) -> None:
    texts = [data.draw(json_texts(each)) for each in values]
    found = elements(b" [" + b" ,".join(texts) + b"\n]")
    assert found is not None
    assert [each.strip() for each in texts] == found


@given(json_objects(), st.data())
def test_an_object_is_cut_into_its_members(value: dict[str, Any], data: st.DataObject) -> None:
    text = data.draw(json_texts(value))
    found = members(text)
    assert found is not None
    assert [(json.loads(name), exactly(each)) for name, each in found] == exactly(text)[1]
    some = frozenset(list(value)[::2])
    kept = [pair for pair in exactly(text)[1] if pair[0] not in some]
    assert exactly(without(text, some)) == ("object", kept)
    assert exactly(with_members(compact(text), {"é": b"1.0"})) == (
        "object",
        [*exactly(text)[1], ("é", ("number", "1.0"))],
    )


@pytest.mark.parametrize(
    "text", [b"", b"[", b"[1", b"[1,]", b"[,]", b"[1}", b"[1] 2", b"{}", b'["', b'["\\', b'["a]', b"null"]
)
def test_what_is_no_array_has_no_elements(text: bytes) -> None:
    assert elements(text) is None
    assert members(text) in (None, [])


def test_an_end_of_a_string_that_never_comes_costs_no_time() -> None:
    assert elements(b'["' + b'\\"' * 500_000) is None
    assert members(b'{"' + b'\\"' * 500_000) is None


@given(st.integers(1, 40), st.integers(1, 40))
def test_what_is_nested_deeper_is_cut_off(levels: int, most: int) -> None:
    text = b'["]",' * (levels - 1) + b'["["]' + b",1]" * (levels - 1)
    assert nesting(text, 0) == levels
    cut = shallow(text, most)
    assert nesting(cut, 0) == min(levels, most)
    assert (b"NaN" in cut) == (levels > most)


@given(json_values().flatmap(lambda value: json_texts(value)))
@example(b"[955031734.1681486901,12345678901234567890.123456789,1e999,-1e999,0.1000000000000000000001]")
@example(b"[" + b"7" * 5000 + b"]")
@example(b"[-" + b"7" * 50_000 + b"]")
def test_values_keep_their_numbers(text: bytes) -> None:
    assert value_of(encoded(parsed(text))) == value_of(text)
    assert exactly_floats(encoded(spelled_out(text))) == exactly_floats(text)


def exactly_floats(text: bytes) -> Any:
    return json.loads(text, parse_float=lambda each: ("float", each), parse_int=lambda each: value_of(each))


@given(st.lists(json_objects(), max_size=5), st.data(), st.sampled_from(["", "data"]))
def test_a_list_is_each_objects_own_text(objects: list[dict[str, Any]], data: st.DataObject, at: str) -> None:
    spaced = data.draw(st.booleans())
    texts = [data.draw(json_texts(each | {"id": f"o{n}"}, spaced=spaced)) for n, each in enumerate(objects)]
    odd = data.draw(st.none() | st.sampled_from([*ODD.values(), b"5", b"[]", b'"x"', b"null"]))
    place = data.draw(st.integers(0, len(texts)))
    if odd is not None:
        texts.insert(place, odd)
    body = b"[" + b",".join(texts) + b"]"
    if at:
        body = b'{"more": 1.50, "data" : ' + body + b"}"
    found = listing(body, at, kind="test", wanted=("id", "n"), also=("more",))
    assert found is not None
    assert list(found.objects.problems) == ([] if odd is None else [place])
    assert found.also["more"] == (1.5 if at else None)
    kept = [each for at, each in enumerate(found.objects) if at not in found.objects.problems]
    assert kept == [compact(each) for each in texts if each is not odd]
    assert [each for each in found.objects.column("id") if each not in ("odd", None)] == [
        f"o{n}" for n in range(len(objects))
    ]
    if odd in ODD.values() and b"\\x" not in odd and b":01" not in odd:
        assert found.objects.column("id")[place] == "odd"
    assert found.objects.fields() == {name for each in objects for name in (*each, "id")}
    half = found.objects[: len(texts) // 2]
    assert half.fields() == Objects.of(list(half)).fields()


def test_fields_that_appear_are_found_wherever_they_appear() -> None:
    for number in range(50):
        texts = [b'{"id":"%d","a":1}' % each for each in range(20)]
        texts[number % 20] = b'{"id":"x","new%d":1}' % number
        assert Objects(texts, "appearing", ("id",)).fields() == {"id", "a", f"new{number}"}
        assert Objects(texts[:1] * 2, "appearing", ("id",)).fields() == (
            {"id", "a"} if number % 20 else {"id", f"new{number}"}
        )


def test_fields_without_end_are_found_all() -> None:
    for start in range(0, 2000, 100):
        texts = [b'{"f%d":1,"q\\"":{"x":[2]}}' % each for each in range(start, start + 100)]
        assert Objects(texts, "endless").fields() == {'q"', *(f"f{each}" for each in range(start, start + 100))}


CHARSETS = [
    "utf-8",
    "iso-8859-1",
    "windows-1252",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "shift_jis",
    "gb18030",
    "koi8-r",
]


@given(json_values().flatmap(lambda value: json_texts(value)), st.sampled_from(CHARSETS), st.booleans())
def test_any_charset_is_read(text: bytes, charset: str, quoted: bool) -> None:
    text = b'{"a":' + text + b"}"
    try:
        body = text.decode().encode(charset)
        body.decode(charset)
    except UnicodeError:
        return
    declared = f'application/json; Charset="{charset.upper()}"' if quoted else f"text/x; a=b;charset={charset}; c"
    assert utf8(body, declared) == body.decode(charset).encode()


@given(json_values().flatmap(lambda value: json_texts(value)))
def test_a_byte_order_mark_and_the_zeros_of_utf16_tell_as_much(text: bytes) -> None:
    text = b'{"a":' + text + b"}"
    for charset in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        assert utf8(text.decode().encode(charset), "application/json; charset=iso-8859-1") == text
    for mark, charset in ((b"\xfe\xff", "utf-16-be"), (b"\x00\x00\xfe\xff", "utf-32-be")):
        assert utf8(mark + text.decode().encode(charset)) == text


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (b'[{"id":"a"},{"id":"\x81"},{"id":"b"}]', "windows-1252"),
        (b'[{"id":"a"},{"id":"\x80\xff"},{"id":"b"}]', "shift_jis"),
        ('[{"id":"a"},{"id":"\ud800"},{"id":"b"}]'.encode("utf-16-le", "surrogatepass"), "utf-16-le"),
        (b'[{"id":"a"},{"id":"\xff"},{"id":"b"}]', "utf-8"),
        (b'[{"id":"a"},{"id":"\xff"},{"id":"b"}]', "klingon"),
        (b'[{"id":"a"},{"id":"\xff"},{"id":"b"}]', "rot13"),
        (b'[{"id":"a"},{"id":"\xff"},{"id":"b"}]', "us-ascii"),
    ],
)
def test_what_is_not_valid_in_its_charset_is_set_aside_alone(body: bytes, charset: str) -> None:
    found = listing(utf8(body, f"application/json;charset={charset}"), "", wanted=("id",))
    assert found is not None
    assert list(found.objects.problems) == [1]
    assert "UTF-8" in found.objects.problems[1]


def test_text_without_charset_is_utf8_even_where_ascii_is_said() -> None:
    text = '{"a":"ż"}'.encode()
    for declared in ("", "application/json", "application/json; charset=us-ascii", "application/json; charset="):
        assert utf8(text, declared) == text


def test_a_body_that_is_cut_off_is_no_json() -> None:
    for body in (b'{"data":[{"id":"a"},{"id":NaN', b"<html>", b"", b'[{"id":"a"}', b'{"data":[{"id":"a"}]'):
        for at in ("", "data"):
            with pytest.raises(ValueError, match=r"."):
                listing(body, at)
    assert (
        listing(b"[]", "data")
        is listing(b"{}", "data")
        is listing(b'{"data":{}}', "data")
        is listing(b"{}", "")
        is None
    )


def test_the_deepest_object_is_read_from_any_depth_of_calls() -> None:
    def called(levels: int) -> Any:
        if levels:
            return called(levels - 1)
        found = listing(b"[" + DEEPEST + b"]", "", wanted=("id",))
        assert found is not None
        return found.objects.problems, found.objects.column("id"), nesting(encoded(parsed(DEEPEST)), 0)

    assert called(400) == ({}, ["deep"], 1000)
    assert jsontext.DEEPEST == 1000
    assert msgspec.json.decode(DEEPEST)["id"] == "deep"
