"""The tests of the page see what they look for: each fault is planted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.axe import findings
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.chromium import Chromium

HEAD = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>t</title>'
    '<link rel="icon" href="data:,">'
)
POLICY = "default-src 'none'; script-src 'self'; img-src data:; form-action 'self'"
PAGES = {
    "/good": "<main><h1>Good</h1><p>text</p></main>",
    "/inline": "<main><h1>Inline</h1><p style='color: red'>text</p><script>alert(1)</script></main>",
    "/axe": "<main><h1>Axe</h1><input></main>",
    "/wide": "<main><h1>Wide</h1><p><code>" + "x" * 400 + "</code></p></main>",
    "/boxed": "<main><h1>Boxed</h1><p><svg width=1000 height=9></svg></main>",
    "/script": "<main><h1>Script</h1><p>quiet</p></main><script src='/a.js'></script>",
    "/form": (
        "<main><h1>Form</h1><form><label>Reason <input name=reason></label><button>Go <b>on</b></button></form></main>"
    ),
}


def page(request: Request) -> Answer:
    if request.path == "/a.js":
        return Answer(
            b"document.querySelector('p').textContent = 'loud'; undefined.x",
            headers={"Content-Type": "text/javascript"},
        )
    body = (HEAD + PAGES[request.path]).encode()
    return Answer(body, headers={"Content-Type": "text/html", "Content-Security-Policy": POLICY})


@pytest.fixture
def seeing(chromium: Chromium) -> Iterator[Chromium]:
    with RestApi(page) as api:
        chromium.fresh(api.url)
        yield chromium
        chromium.fresh("")


def test_a_good_page_is_good(seeing: Chromium) -> None:
    seeing.open("/good")
    assert findings(seeing) == []
    assert seeing.complaints() == []
    seeing.size(360, 740)
    assert seeing.too_wide() == []


def test_a_violation_of_the_policy_is_seen(seeing: Chromium) -> None:
    seeing.open("/inline")
    style, script = seeing.complaints()
    assert "inline style violates the following Content Security Policy" in style
    assert "inline script violates the following Content Security Policy" in script


def test_an_error_of_a_script_is_seen_and_what_is_expected_is_none(seeing: Chromium) -> None:
    seeing.open("/script")
    assert "loud" in seeing.text
    (error,) = seeing.complaints()
    assert "javascript: " in error
    assert "TypeError" in error
    seeing.expect("TypeError")
    assert seeing.complaints() == []
    seeing.without_script()
    seeing.open("/script")
    assert "quiet" in seeing.text


def test_what_axe_finds_is_seen(seeing: Chromium) -> None:
    seeing.open("/axe")
    assert [each.partition(":")[0] for each in findings(seeing)] == ["label"]


@pytest.mark.parametrize("path", ["/wide", "/boxed"])
def test_what_is_too_wide_is_seen(seeing: Chromium, path: str) -> None:
    seeing.size(360, 740)
    seeing.open(path)
    assert seeing.too_wide()


def test_elements_are_found_by_their_names(seeing: Chromium) -> None:
    seeing.open("/form")
    seeing.type("reason", "key is old")
    assert len(seeing.tabbed()) == 2
    seeing.click("button", "go on")
    assert seeing.path == "/form?reason=key+is+old"
