"""What all screens have in common."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from crawlerd.service.page.page_forms import local
from crawlerd.service.page.rendering import FILES, asset, asset_path
from crawlerd.service.page.screens import SCREENS

if TYPE_CHECKING:
    from conftest import World

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e" + "n" * 2_000
PLAIN = [screen.path for screen in SCREENS if "{" not in screen.path]


class Looked(HTMLParser):
    """What a content security policy would object to, or an attribute of a name that came from outside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and not (names.get("src") or "").startswith("/")):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or re.match(r"on|hx-on", name)]


@pytest.mark.parametrize("path", PLAIN)
def test_a_screen_needs_nothing_inline_and_is_whole_before_anything_was_imported(world: World, path: str) -> None:
    answer = world.get(path)
    assert answer.status == 200
    assert Looked(answer.text).found == []
    assert answer.text.count("<h1>") == 1
    assert 'aria-current="page"' in answer.text


@pytest.mark.parametrize("path", PLAIN)
def test_texts_of_others_are_texts(world: World, path: str) -> None:
    world.run(HOSTILE)
    answer = world.get(path)
    assert answer.status == 200
    assert "<script>alert" not in answer.text
    assert "\x1b" not in answer.text
    assert "\u202e" not in answer.text
    assert "n" * 1_000 not in re.sub(r'(href|value)="[^"]*"', "", answer.text)


def test_runs_are_found_by_a_filter_which_the_pages_keep(world: World) -> None:
    numbers = [world.run(name) for name in ("acme", "umbrella") for _ in range(51)]
    answer = world.get("/runs?import=umbrella&state=running")
    shown = [int(number) for number in re.findall(r'href="/runs/(\d+)"', answer.text)]
    assert shown == numbers[:51:-1]
    (older,) = re.findall(r'rel="next" href="([^"]*)"', answer.text)
    rest = world.get(older.replace("&amp;", "&"))
    assert re.findall(r'href="/runs/(\d+)"', rest.text) == [str(numbers[51])]
    assert "No run matches" in world.get("/runs?import=nobody").text


def test_files_are_kept_by_browsers_since_their_path_changes_with_them(world: World) -> None:
    for name in FILES:
        answer = world.get(asset_path(name))
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    assert world.get(f"/assets/123/{name}").status == 404
    assert len(asset("style.css")) <= 8_192


def test_the_address_below_which_a_proxy_has_the_page_is_in_every_link(world: World) -> None:
    world.run()
    text = world.get("/runs", root="/crawlerd").text
    links = [link for link in re.findall(r'(?:href|src|action)="([^"]*)"', text) if not link.startswith(("#", "?"))]
    assert len(links) > 10
    assert all(link.startswith("/crawlerd/") for link in links)


def test_that_somebody_wants_a_page_that_stands_still_is_remembered(world: World) -> None:
    answer = world.get("/runs?import=a&live=0")
    assert (answer.status, answer.headers["location"]) == (303, "/runs?import=a")
    assert "crawlerd-live=0" in answer.headers["set-cookie"]


def test_a_form_asks_the_api_and_leads_back_to_where_one_was(world: World) -> None:
    world.answer = world.answer._replace(body=b'{"runs": [7], "resumed": false}')
    answer = world.post("/imports/a%2Fb/run", {"back": "/runs?import=a&state=failed", "key": "k1"})
    assert answer.status == 303
    assert world.asked == [("POST", "/api/v1/imports/a%2Fb/run", b'{"full":false,"streams":[]}', "k1")]
    assert answer.headers["location"].startswith("/runs?import=a&state=failed&note=")
    assert "Run 7 of a/b has started." in world.get(answer.headers["location"]).text


def test_what_the_api_refuses_is_said(world: World) -> None:
    world.may = False
    answer = world.post("/runs/3/cancel", {"back": "/runs", "reason": "wrong account"})
    assert answer.status == 403
    assert "You may look, but not change anything." in answer.text
    assert world.post("/runs/3/cancel", {"back": "/runs", "reason": " "}).status == 400


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb"]
)
def test_no_form_leads_to_another_place(target: str) -> None:
    assert local(target) == "/"


def test_a_daemon_that_is_stuck_says_so_on_every_screen(world: World) -> None:
    world.engine.store.progress_at = 0.0
    for path in PLAIN:
        assert "The daemon is stuck: the store has made no progress for" in world.get(path).text


def test_a_daemon_that_is_stopping_says_so_on_every_screen(world: World) -> None:
    world.engine.dispatcher.draining, world.engine.dispatcher.leased = True, 2
    for path in PLAIN:
        assert "The daemon is stopping: 2 tasks are still under way." in world.get(path).text


def test_a_dispatcher_that_does_not_answer_is_told_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(accounts: object) -> None:
        raise TimeoutError

    run = world.run()
    monkeypatch.setattr(world.insight, "explain", hanging)
    answer = world.get(f"/runs/{run}")
    assert answer.status == 504
    assert "dispatcher does not answer" in answer.text


def test_what_there_is_not_is_a_page_for_browsers_and_a_problem_for_programs(world: World) -> None:
    answer = world.get("/nothing", {"accept": "text/html"})
    assert answer.status == 404
    assert "There is no page /nothing." in answer.text
    assert "<html" not in world.get("/nothing").text
