"""Lists that change between any two requests: nothing that lives through a run is missing or marked as deleted after
it, or the run is not complete. Every paginator, in every order that a list can be said to have."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.moving_list import Moving, Run, Server, Shifted, Sink

LIST = '[endpoints.items]\npath = "/items"\nrecords = "data"\n'
OFFSET = 'paginator = { type = "offset", size = SIZE, first = FIRST'
NUMBER = 'paginator = { type = "page_number", size_parameter = "limit", size = SIZE'
WAYS = {
    "none": ("none", 'paginator = { type = "none" }'),
    "offset": ("offset", OFFSET + " }"),
    "offset total": ("offset", OFFSET + ', total = "total" }'),
    "offset more": ("offset", OFFSET + ', more = "more" }'),
    "offset short": ("offset", OFFSET + ", short_page_ends = true }"),
    "number": ("number", NUMBER + " }"),
    "number pages": ("number", NUMBER + ', total_pages = "pages" }'),
    "number more": ("number", NUMBER + ', more = "more" }'),
    "number link": ("numbered_link", NUMBER + ', more_link = "next" }'),
    "number short": ("number", NUMBER + ", short_page_ends = true }"),
    "cursor": ("cursor", 'paginator = { type = "cursor_in_body", cursor = "next", parameter = "after" }'),
    "cursor more": (
        "cursor",
        'paginator = { type = "cursor_in_body", cursor = "next", parameter = "after", more = "more" }',
    ),
    "header": ("cursor", 'paginator = { type = "cursor_in_header", header = "X-Next", send_header = "X-After" }'),
    "link": ("cursor", 'paginator = { type = "link_header" }'),
    "counted link": ("numbered_link", 'paginator = { type = "link_header" }\nparameters = { limit = SIZE }'),
    "counted url": ("numbered_url", 'paginator = { type = "next_url", url = "url" }\nparameters = { limit = SIZE }'),
    "url": ("cursor", 'paginator = { type = "next_url", url = "url" }'),
}
RULES = {
    "rank": "",
    "unsaid": "",  # in ascending order of the time of change, which the description does not say
    "since": 'incremental = { field = "updated_at", parameter = "since", overlap = "10s" }',
    "ascending": 'incremental = { field = "updated_at", parameter = "since", order = "ascending", overlap = "10s" }',
    "latest first": 'incremental = { field = "updated_at", overlap = "10s" }',
    "descending": 'incremental = { field = "updated_at", parameter = "since", order = "descending", overlap = "10s" }',
}
ORDERS = {"rank": "rank", "since": "rank", "latest first": "-updated", "descending": "-updated"}


def description(way: str, rule: str, size: int, first: int = 0, more: str = "tombstones = true") -> str:
    paginator = WAYS[way][1].replace("SIZE", str(size)).replace("FIRST", str(first))
    return f"{LIST}{paginator}\n{RULES[rule]}\n{more}\n"


def checked_run(toml: str, server: Server, sink: Sink, cursors: dict[str, str], *, full: bool) -> Run:
    """A run, after which nothing that lived through it may be missing, old or gone."""
    server.now = server.rows.now
    before = {key: row["revision"] for key, row in server.rows.rows.items()}
    gone = set(sink.gone)
    server.requests.clear()
    run = Run(toml, server, sink, cursors, full=full)
    through = {str(key): revision for key, revision in before.items() if key in server.rows.rows}
    told = run.dead, server.requests
    assert not through.keys() & (sink.gone - gone), ("alive, and marked as deleted", told)
    if run.complete:
        missing = {key for key in through if key not in sink.rows}
        assert not missing, ("alive, and missing", missing, told)
        old = {key for key, revision in through.items() if sink.rows[key]["revision"] < revision}
        assert not old, ("changed before the run, and not read", old, told)
    return run


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=20)
@given(
    rule=st.sampled_from(sorted(RULES)),
    count=st.sampled_from([0, 1, 5, 6, 9, 10, 11, 30, 77]),
    size=st.sampled_from([4, 5, 10, 20]),
    churn=st.sampled_from([0, 1, 2, 6, 20]),
    spread=st.sampled_from([0, 1, 3600]),
    steps=st.sampled_from([(0.0,), (0.0, 0.4, 1.0, 30.0), (1.0,)]),
    inclusive=st.booleans(),
    first=st.sampled_from([0, 1]),
    seed=st.integers(0, 10**6),
)
@example(  # of a full page the tail is at the end
    rule="rank", count=11, size=4, churn=20, spread=0, steps=(0.0,), inclusive=False, first=0, seed=622
)
@example(  # a page of the front that is read again begins after records that were on none, all older
    rule="descending", count=60, size=20, churn=14, spread=3600, steps=(1.0,), inclusive=False, first=1, seed=723586
)
def test_nothing_that_lives_is_lost(
    way: str,
    rule: str,
    count: int,
    size: int,
    churn: int,
    spread: int,
    steps: Any,
    inclusive: bool,
    first: int,
    seed: int,
) -> None:
    if way.startswith(("number", "counted")):
        size = max(size, 10)  # smaller pages have bounds that no other size crosses
    churn = min(churn, size)  # else more comes than can be read
    rows = Moving(random.Random(seed), ORDERS.get(rule, "updated"), count, churn, spread, steps)
    server = Server(rows, WAYS[way][0], size, inclusive=inclusive, first=first)
    toml = description(way, rule, size, first)
    sink, cursors = Sink(), {}
    runs = [checked_run(toml, server, sink, cursors, full=True)]
    rows.now += 3600
    rows.change(10)
    runs.append(checked_run(toml, server, sink, cursors, full=False))
    rows.now += 3600
    rows.change(10)
    runs.append(checked_run(toml, server, sink, cursors, full=True))
    if not churn:  # nor is it held up by what does not move
        assert [run.dead for run in runs] == [[], [], []]
    # Alone, and all that is gone is marked.
    rows.now += 3600
    rows.churn = 0
    last = checked_run(toml, server, sink, cursors, full=True)
    assert last.complete, last.dead
    assert sink.rows == {str(key): row for key, row in rows.rows.items()}


COUNTED = [way for way in WAYS if WAYS[way][0] not in ("none", "cursor")]


@pytest.mark.parametrize("way", COUNTED)
@settings(max_examples=40)
@given(
    count=st.integers(0, 45),
    size=st.sampled_from([10, 11, 15]),
    shifts=st.lists(st.integers(-10, 10), max_size=8),
)
@example(20, 10, [4, -3])  # of a full page the tail is at the end
@example(40, 10, [-4, 4, -4])  # the tail is gone from its place, and is there again
@example(11, 10, [7, -7, -1])  # so it is, after what has come went again
@example(40, 10, [7, 2, -10])  # pages at three offsets have the same records
@example(17, 15, [-4, 3])  # other pages of other sizes, with the same records
def test_wherever_its_pages_are_cut_nothing_is_lost(way: str, count: int, size: int, shifts: list[int]) -> None:
    """Where it is cut shifts before each request but the first, and nothing else is changed."""
    server = Server(Shifted(count, [0, *shifts]), WAYS[way][0], size)
    run = checked_run(description(way, "rank", size), server, Sink(), {}, full=True)
    assert run.complete or any(shifts)


@pytest.mark.parametrize("way", [way for way in WAYS if WAYS[way][0] != "cursor"])
@settings(max_examples=20)
@given(count=st.integers(0, 40), churn=st.sampled_from([0, 1, 5]), seed=st.integers(0, 10**6))
def test_what_can_be_asked_for_by_itself_is_never_taken_for_deleted(
    way: str, count: int, churn: int, seed: int
) -> None:
    """Whatever a list leaves out: this one has no order at all."""
    rows = Moving(random.Random(seed), "none", count, churn, 1, (1.0,))
    server = Server(rows, WAYS[way][0], 10)
    toml = description(way, "rank", 10, more='tombstones = true\nitem = "/items/{key}"')
    sink, cursors = Sink(), {}
    for _ in range(3):
        before = {str(key) for key in rows.rows}
        Run(toml, server, sink, cursors, full=True)
        assert not before & {str(key) for key in rows.rows} & sink.gone
        rows.change(10)
