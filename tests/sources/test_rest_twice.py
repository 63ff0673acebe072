"""Lists in pages that cannot overlap: nothing that lives is lost where something is deleted between two of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.moving_list import API, Answers, Moving, Run, Server, Sink

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST = '[endpoints.items]\npath = "/items"\nrecords = "data"\ntombstones = true\n'
PAGES = 'paginator = { type = "page_number", size_parameter = "%s", size = SIZE%s }'
WAYS = {
    "pages without size": ("number", PAGES % ("", "")),
    "pages, and how many": ("number", PAGES % ("", ', total_pages = "pages"')),
    "pages that are not to overlap": ("number", PAGES % ("limit", ", overlap = false")),
    "pages whose size is the API's": ("own size", PAGES % ("limit", "")),
    "larger pages than the API's": ("own size", PAGES.replace("SIZE", "100") % ("limit", "")),
    "offsets that are not to overlap": ("offset", 'paginator = { type = "offset", size = SIZE, overlap = false }'),
    "links of pages": ("numbered_link", 'paginator = { type = "link_header" }'),
    "links of offsets": ("numbered_url", 'paginator = { type = "next_url", url = "url" }'),
}
RULES = {
    "none": "",
    "since": 'incremental = { field = "updated_at", parameter = "since", overlap = "10s" }',
    "ascending": 'incremental = { field = "updated_at", parameter = "since", order = "ascending", overlap = "10s" }',
    "latest first": 'incremental = { field = "updated_at", overlap = "10s" }',
}


class Calm(Moving):
    """One thing changes at a time, and not with each request."""

    requests = 0

    def change(self, most: int) -> None:
        self.requests += 1
        if most > 1 or (most and self.requests % 3 == 0):
            super().change(most)


class Own(Server):
    """An API whose pages have a size of their own."""

    def page(self, path: str, query: dict[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, str], Any]:
        if self.way != "own size":
            return super().page(path, query, headers)
        self.way = "number"
        try:
            return super().page(path, {**query, "limit": str(self.most)}, headers)
        finally:
            self.way = "own size"


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30)
@given(
    rule=st.sampled_from(sorted(RULES)),
    count=st.sampled_from([0, 1, 5, 10, 11, 30, 77]),
    size=st.sampled_from([4, 5, 10, 20]),
    churn=st.sampled_from([0, 1, 1, 1]),
    spread=st.sampled_from([1, 3600]),
    seed=st.integers(0, 10**6),
)
def test_nothing_that_lives_is_lost(
    way: str, rule: str, count: int, size: int, churn: int, spread: int, seed: int
) -> None:
    order = {"none": "rank", "since": "rank", "ascending": "updated", "latest first": "-updated"}[rule]
    rows = Calm(random.Random(seed), order, count, churn, spread, (0.0, 1.0, 30.0))
    server = Own(rows, WAYS[way][0], size)
    toml = f"{LIST}{WAYS[way][1].replace('SIZE', str(size))}\n{RULES[rule]}\n"
    sink, cursors = Sink(), {}
    for full in (True, False, True):
        server.now = rows.now
        before, gone = set(rows.rows), set(sink.gone)
        run = Run(toml, server, sink, cursors, full=full)
        through = {str(key) for key in before & rows.rows.keys()}
        assert not through & (sink.gone - gone), server.requests
        if run.complete:
            assert through <= sink.rows.keys(), server.requests
        assert churn or run.complete, run.dead
        rows.now += 3600
        rows.change(10)


def counted(rows: list[int], at: dict[int, list[int]]) -> Any:
    """Pages of 10. at: what is deleted before each request."""
    requests = 0

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        nonlocal requests
        requests += 1
        for number in at.get(requests, []):
            rows.remove(number)
        page = int(query.get("page", 1))
        found = rows[page * 10 - 10 : page * 10]
        url = f"{API}/items?page={page + 1}"
        return 200, {"link": f'<{url}>; rel="next"'} if rows[page * 10 :] else {}, {"data": [{"id": n} for n in found]}

    return answer


@pytest.mark.parametrize("way", [PAGES % ("", ""), WAYS["links of pages"][1]], ids=["pages", "links"])
@pytest.mark.parametrize(
    "at",
    [{2: [0]}, {2: [9]}, {2: list(range(9))}, {4: [3, 4]}, {2: [0], 4: [1], 6: [2]}, {3: [5]}, {6: [0]}, {7: [0]}],
)
def test_what_a_deletion_hides_is_found(way: str, at: dict[int, list[int]]) -> None:
    rows = list(range(35))
    server = Answers(counted(rows, at))
    run = Run(f"{LIST}{way.replace('SIZE', '10')}", server, Sink(), {}, full=True)
    assert run.dead == []
    assert {str(number) for number in rows} <= run.sink.rows.keys()


@pytest.mark.parametrize("way", [PAGES % ("", ""), WAYS["links of pages"][1]], ids=["pages", "links"])
def test_a_list_of_which_a_page_is_deleted_is_begun_again(way: str) -> None:
    rows = list(range(45))
    server = Answers(counted(rows, {2: list(range(12))}))
    run = Run(f"{LIST}{way.replace('SIZE', '10')}", server, Sink(), {}, full=True)
    assert run.dead == []
    assert {str(number) for number in rows} <= run.sink.rows.keys()


@pytest.mark.parametrize(
    ("count", "asked", "size"),
    [(0, 1, ""), (9, 3, ""), (10, 3, ""), (35, 9, ""), (0, 1, "limit"), (9, 2, "limit")],
)
def test_what_it_costs(count: int, asked: int, size: str) -> None:
    """What is empty, or has no successor, is asked for once; so is what is less than was asked for, and all."""
    server = Answers(counted(list(range(count)), {}))
    Run(f"{LIST}{(PAGES % (size, '')).replace('SIZE', '10')}", server, Sink(), {}, full=True)
    assert len(server.requests) == asked


def test_what_does_not_count_is_read_once() -> None:
    """Tokens stand for a place in the list, whatever they look like."""

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query.get("page", 100))
        url = f"{API}/items?page={at + 37}"
        return 200, {"link": f'<{url}>; rel="next"'} if at < 300 else {}, {"data": [{"id": at}, {"id": at + 1}]}

    server = Answers(answer)
    assert Run(f"{LIST}{WAYS['links of pages'][1]}", server, Sink(), {}, full=True).complete
    assert len(server.requests) == len(set(server.requests))


@pytest.mark.parametrize("way", WAYS)
def test_of_what_is_said_never_to_move_no_page_is_asked_for_after_the_next(way: str) -> None:
    name, paginator = WAYS[way]
    asked = []
    for twice in ("true", "false"):
        server = Own(Moving(random.Random(1), "rank", 35, 0, 3600, (0.0,)), name, 10)
        toml = f"{LIST}{paginator[:-1]}, twice = {twice} }}".replace("SIZE", "10")
        assert Run(toml, server, Sink(), {}, full=True).complete
        asked.append(len(server.requests))
    assert asked[1] < asked[0] or (way == "links of offsets" and asked[1] == asked[0])  # these overlap
