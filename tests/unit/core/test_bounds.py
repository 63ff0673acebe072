"""Responses that no worker has memory for are refused by their bound, before they are read."""

from __future__ import annotations

import pytest

from crawlerd.core import jsontext, listing
from crawlerd.core.errors import Permanent
from crawlerd.core.jsontext import MOST_ELEMENTS, MOST_VALUES
from crawlerd.source import Response


def test_a_response_of_too_many_values_is_refused() -> None:
    body = b"[" + b"1," * MOST_VALUES + b"1]"
    with pytest.raises(Permanent, match="holds about 8,000,002 values; at most 8,000,000 can be read: ask"):
        Response(200, {}, body).utf8()
    few = b'["' + b"x" * 2 * MOST_VALUES + b'"]'
    assert Response(200, {}, few).utf8() is few


@pytest.mark.parametrize("body", [b"[{},{},{}]", b"[1,2,3]", b'["a",,{}]'])
def test_a_list_of_too_many_elements_is_refused(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ELEMENTS > 1_000_000
    monkeypatch.setattr(jsontext, "MOST_ELEMENTS", 2)
    if b",," in body:
        body = b'[{"a":1e999999999999},"\xff",{}]'
    with pytest.raises(Permanent, match="the list has 3 elements; at most 2 can be read: ask for smaller pages"):
        listing.listing(body, "")
