"""JMESPath over pages: what it finds is as jmespath has it, and it ends."""

from __future__ import annotations

import jmespath
import pytest

from crawlerd.source import Permanent
from crawlerd.sources.rest import expressions
from crawlerd.sources.rest.expressions import look

PAGE = {"data": [{"id": n, "tags": [{"name": f"t{m}"} for m in range(3)]} for n in range(2000)], "next": None}


@pytest.mark.parametrize(
    "expression", ["data[*].id", "data[].tags[].name", "sort_by(data, &id)[-1].id", "next", "gone"]
)
def test_an_expression_finds_what_it_says(expression: str) -> None:
    assert look(expression, PAGE) == jmespath.search(expression, PAGE)


def test_one_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "SECONDS", 0.0)
    with pytest.raises(Permanent, match="an expression took more than 0 s of CPU for one page; make it simpler"):
        look("data[?length(tags[?starts_with(name, 't')]) > `2`].id", PAGE)
