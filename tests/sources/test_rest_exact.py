"""The texts of what JMESPath finds: of parts of a response, and of objects that an expression makes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawlerd.core.lenient_json import parsed
from crawlerd.sources.rest.exact import texts_of, with_text
from crawlerd.sources.rest.expressions import look

ONE = b'{"id":"1","type":"x","n":955031734.1681486901,"m":1.10,"s":"\\u00eb"}'
OTHER = b'{"id":"2","type":"y","n":1e5}'
BIG = b'{"id":"3","type":"x","n":' + b"7" * 5000 + b"}"
LIST = b"[" + b" , ".join([ONE, OTHER, BIG]) + b"]"
BODY = b'{"shop": ' + ONE + b', "data": ' + LIST + b', "deep": {"er": [{"items": ' + LIST + b'}, {"items": []}]}}'
ODD = BODY.replace(OTHER, b'{"id":"2","type":"y","n":NaN}')


def found(expression: str, body: bytes) -> tuple[list[bytes], dict[int, str]]:
    value = parsed(body)
    texts = texts_of(expression, body, value, look(expression, value))
    return list(texts), dict(texts.problems)


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        ("data", [ONE, OTHER, BIG]),
        ("data[?type=='x']", [ONE, BIG]),
        ("data[1:]", [OTHER, BIG]),
        ("reverse(data)", [BIG, OTHER, ONE]),
        ("sort_by(data, &type)", [ONE, BIG, OTHER]),
        ("[shop]", [ONE]),
        ("[shop, data[2]]", [ONE, BIG]),
        ("deep.er[].items[]", [ONE, OTHER, BIG]),
        ("deep.er[0].items", [ONE, OTHER, BIG]),
        ("values(@)[?type]", [ONE]),
        ("data[?n > `1000000`]", [ONE, BIG]),
        ("not_null(nothing, data)", [ONE, OTHER, BIG]),
    ],
)
def test_parts_of_a_response_keep_their_text(expression: str, texts: list[bytes]) -> None:
    assert found(expression, BODY) == (texts, {})
    kept, problems = found(expression, ODD)
    assert len(kept) == len(texts)
    assert [at for at, text in enumerate(texts) if text == OTHER] == list(problems)
    assert [text for at, text in enumerate(kept) if at not in problems] == [text for text in texts if text != OTHER]


@pytest.mark.parametrize("body", [LIST, b" \n" + LIST + b"\n"])
def test_the_body_itself_is_a_list(body: bytes) -> None:
    assert found("@", body) == ([ONE, OTHER, BIG], {})


def test_what_an_expression_makes_has_exact_numbers() -> None:
    made = [
        b'{"id":"1","price":955031734.1681486901,"all":{"m":1.10}}',
        b'{"id":"2","price":1e5,"all":{"m":null}}',
        b'{"id":"3","price":' + b"7" * 5000 + b',"all":{"m":null}}',
    ]
    assert found("data[].{id: id, price: n, all: {m: m}}", BODY) == (made, {})
    kept, problems = found("data[].{id: id, price: n, all: {m: m}}", ODD)
    assert (list(problems), kept[0], kept[2]) == ([1], made[0], made[2])
    assert found("merge(shop, {more: `1`}) | [@]", BODY) == (
        [ONE[:-1].replace(b"\\u00eb", "ë".encode()) + b',"more":1}'],
        {},
    )


def test_fields_of_a_parent_stand_at_the_end_and_count() -> None:
    record = with_text(msgspec.json.decode(ONE), ONE, {"shop": "é", "n2": None})
    assert record.text == ONE[:-1] + ',"shop":"é","n2":null}'.encode()
    assert record["shop"] == "é"
    record = with_text({"a": 1, "b": 2}, b'{"a":1.0,"b":2.0,"a":3}', {"a": "x"})
    assert record.text == b'{"b":2.0,"a":"x"}'
    assert dict(record) == {"a": "x", "b": 2}
    assert with_text({}, b"{}", {"a": "x"}).text == b'{"a":"x"}'
    assert with_text({}, b"{}").text == b"{}"


def test_functions_take_numbers_that_a_double_rounds() -> None:
    value: Any = parsed(b'{"n": [955031734.1681486901, 1], "w": ' + b"7" * 5000 + b"}")
    assert look("max(n)", value) == 955031734.1681486901
    assert look("type(w)", value) == "number"
    assert str(look("n[0]", value)) == "955031734.1681486901"
    assert len(str(look("w", value))) == 5000
