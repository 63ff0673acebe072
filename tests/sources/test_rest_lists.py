"""Whole lists of declared sources, against APIs of a few lines: where a list ends, what shows that it has moved, what
proves that a record is gone, and which parents' lists are read in full."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.moving_list import API, Answers, Run, Sink

from crawlerd.sources.rest import counting_urls, reading
from crawlerd.sources.rest.page_overlap import MOST_KNOWN, Came, Known, tail_length, window
from crawlerd.sources.rest.records import taken

ITEMS = '[endpoints.items]\npath = "/items"\nrecords = "data"\n'


def ids(numbers: Any) -> list[dict[str, int]]:
    return [{"id": number} for number in numbers]


def queries(server: Answers) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(url).query)) for url in server.requests]


def imported(toml: str, answer: Any, sink: Sink | None = None, **more: Any) -> tuple[Run, Answers]:
    server = Answers(answer)
    return Run(toml, server, sink or Sink(), more.pop("cursors", {}), **{"full": True, **more}), server


def keys(run: Run) -> set[int]:
    return {int(key) for key in run.sink.rows}


# ---- numbered pages


def offsets(rows: list[int], most: int = 10, first: int = 0, **more: Any) -> Any:
    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at, size = int(query["offset"]) - first, min(most, int(query["limit"]))
        return 200, {}, {"data": ids(rows[at : at + size]), "total": len(rows), **more}

    return answer


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 25])
def test_offsets_that_begin_with_1_have_the_last_record(count: int) -> None:
    rows = list(range(count))
    for end in ("", ', total = "total"', ", short_page_ends = true"):
        toml = f'{ITEMS}paginator = {{ type = "offset", first = 1, size = 10{end} }}'
        run, server = imported(toml, offsets(rows, first=1))
        assert (run.complete, keys(run)) == (True, set(rows))
        assert queries(server)[0]["offset"] == "1"


def of_something_else(way: str) -> Any:
    """Pages of 10 of 35 records, with a total that is not theirs."""

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        size = int(query.get("limit") or query["per_page"])
        at = int(query["offset"]) if "offset" in query else (int(query["page"]) - 1) * size
        found = list(range(35))[at : at + size]
        total: Any = {
            "unknown": -1,
            "none yet": 0,
            "of the page": len(found),
            "capped": 20,
            "stale": 15,
            "what is left": 35 - at,
            "what is left behind": max(0, 35 - at - size),
            "last number": -(-35 // size) - 1,
            "of pages of 20": 2,
        }[way]
        return 200, {}, {"data": ids(found), "total": total}

    return answer


@pytest.mark.parametrize(
    ("way", "paginator"),
    [
        *((way, "offset") for way in ("unknown", "none yet", "of the page", "capped", "stale")),
        *((way, "offset") for way in ("what is left", "what is left behind")),
        *((way, "page_number") for way in ("unknown", "none yet", "last number", "of pages of 20")),
    ],
)
def test_a_total_that_answers_contradict_is_not_the_end(way: str, paginator: str) -> None:
    total = "total" if paginator == "offset" else "total_pages"
    toml = f'{ITEMS}paginator = {{ type = "{paginator}", size = 10, {total} = "total" }}'
    run, server = imported(toml, of_something_else(way))
    assert (run.dead, keys(run)) == ([], set(range(35)))
    assert len(server.requests) <= 8


@pytest.mark.parametrize("count", [10, 30, 45])
@pytest.mark.parametrize("paginator", ['"offset"', '"page_number", size_parameter = "limit"'])
def test_a_last_page_that_is_given_for_ever_is_a_dead_letter(paginator: str, count: int) -> None:
    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        size = int(query["limit"])
        at = int(query["offset"]) if "offset" in query else (int(query["page"]) - 1) * size
        at = min(at, count - 10 if "offset" in query else (count - 1) // size * size)
        return 200, {}, {"data": ids(range(count)[at : at + size])}

    run, server = imported(f"{ITEMS}paginator = {{ type = {paginator}, size = 10 }}", answer)
    assert "repeats its last page" in run.dead[0]
    assert keys(run) == set(range(count))
    assert len(server.requests) <= 12


@pytest.mark.parametrize("found", [[], [1, 2, 3]])
def test_cursors_that_lead_nowhere_come_to_an_end(found: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_IDLE", 40)
    toml = ITEMS + 'paginator = { type = "cursor_in_body", cursor = "next", parameter = "after" }'

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query.get("after", 0))
        return 200, {}, {"data": ids(found if at > 30 else [at] if at % 30 == 0 else []), "next": at + 1}

    run, server = imported(toml, answer)
    assert "lead nowhere" in run.dead[0]
    assert 70 <= len(server.requests) <= 73  # 29 empty pages in the middle are none


def test_pages_overlap_by_records_that_are_found_again() -> None:
    run, server = imported(
        f'{ITEMS}paginator = {{ type = "offset", size = 100, total = "total" }}', offsets(list(range(250)), 100)
    )
    assert [each["offset"] for each in queries(server)] == ["0", "90", "180"]
    assert run.complete
    toml = f'{ITEMS}paginator = {{ type = "offset", size = 100, total = "total", overlap = false'
    for more, asked in ((" }", ["0", "100", "0", "200", "100"]), (", twice = false }", ["0", "100", "200"])):
        run, server = imported(toml + more, offsets(list(range(250)), 100))
        assert [each["offset"] for each in queries(server)] == asked
        assert (run.complete, keys(run)) == (True, set(range(250)))


@pytest.mark.parametrize("record", [{"name": "no key"}, {"id": None}, {"id": 7}, {"id": 1e300}, "text"])
def test_records_that_are_alike_are_no_sign_of_a_list_that_moves(record: Any) -> None:
    """Two of a page have no key, or the same one."""
    rows: list[Any] = ids(range(250))
    for number in (7, 57, 60, 107, 157, 207):
        rows[number] = record if number < 100 or record != {"id": 7} else rows[number]
    toml = f'{ITEMS}paginator = {{ type = "offset", size = 100, total = "total" }}'

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query["offset"])
        return 200, {}, {"data": rows[at : at + 100], "total": len(rows)}

    run, server = imported(toml, answer)
    assert [each["offset"] for each in queries(server)] == ["0", "90", "180"]
    assert (run.dead, keys(run)) == ([], {each["id"] for each in rows if each in ids(range(250))})


def test_a_record_that_comes_again_on_a_later_page_is_a_sign_of_a_list_that_moves() -> None:
    rows = list(range(250))
    rows[200] = 7
    run, _ = imported(f'{ITEMS}paginator = {{ type = "offset", size = 100, total = "total" }}', offsets(rows, 100))
    assert "a record came twice" in run.dead[0]


def numbers(rows: list[int], size: Any = None, **more: Any) -> Any:
    """size: what the API makes of the size that is asked for."""

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        most = int(query["per_page"]) if size is None else size(int(query["per_page"]))
        first = (int(query["page"]) - 1) * most
        return 200, {}, {"data": ids(rows[first : first + most]), "pages": -(-len(rows) // most), **more}

    return answer


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 190, 200, 534, 1000])
@pytest.mark.parametrize("end", ["", ', total_pages = "pages"', ", short_page_ends = true"])
def test_numbered_pages_overlap_by_their_size(count: int, end: str) -> None:
    rows = list(range(count))
    run, server = imported(f'{ITEMS}paginator = {{ type = "page_number"{end} }}', numbers(rows))
    assert (run.complete, keys(run)) == (True, set(rows))
    assert len(server.requests) <= 3 + count // 80
    reached = 0
    for each in queries(server)[: count // 100]:
        page, size = int(each["page"]), int(each["per_page"])
        assert not reached or (page - 1) * size < reached < page * size
        reached = page * size


@pytest.mark.parametrize(
    "size",
    [lambda asked: 30, lambda asked: 100, lambda asked: min(asked, 40), lambda asked: 25 * -(-asked // 25)],
    ids=["ignored", "ignored, and the same", "capped", "rounded"],
)
@pytest.mark.parametrize("count", [1, 29, 30, 100, 137, 300])
@pytest.mark.parametrize("end", ["", ', total_pages = "pages"'])
def test_an_api_with_sizes_of_its_own_is_read_to_the_end(size: Any, count: int, end: str) -> None:
    rows = list(range(count))
    run, _ = imported(f'{ITEMS}paginator = {{ type = "page_number"{end} }}', numbers(rows, size))
    assert (run.dead, keys(run)) == ([], set(rows))


def test_an_api_that_takes_whole_pages_only_is_read_to_the_end() -> None:
    rows = list(range(95))

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query["offset"]) // 10 * 10
        return 200, {}, {"data": ids(rows[at : at + 10]), "total": 95}

    run, server = imported(f'{ITEMS}paginator = {{ type = "offset", size = 10, total = "total" }}', answer)
    assert (run.complete, keys(run)) == (True, set(rows))
    assert len(server.requests) < 24  # each page twice, and what shows that they cannot overlap


def test_a_record_that_differs_in_each_answer_is_known_by_its_key() -> None:
    rows, count = list(range(70)), iter(range(10**6))

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at, size = int(query["offset"]), int(query["limit"])
        return 200, {}, {"data": [{"id": number, "views": next(count)} for number in rows[at : at + size]]}

    run, _ = imported(f'{ITEMS}paginator = {{ type = "offset", size = 20 }}', answer)
    assert (run.complete, keys(run)) == (True, set(rows))


@pytest.mark.parametrize("deleted", [1, 5, 10, 11, 60, 99])
@pytest.mark.parametrize("way", ["offset", "page_number"])
def test_what_is_deleted_before_the_place_that_was_reached_costs_no_other_record(way: str, deleted: int) -> None:
    rows = list(range(500))

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        found = (offsets(rows, 100) if way == "offset" else numbers(rows))(path, query, headers)
        if len(server_requests) == 1:
            del rows[:deleted]
        server_requests.append(1)
        return found

    server_requests = [1]
    run, _ = imported(f'{ITEMS}paginator = {{ type = "{way}" }}', answer)
    assert run.complete, run.dead
    assert set(rows) <= keys(run)


@pytest.mark.parametrize("lasting", [False, True])
def test_an_empty_page_before_the_last_is_no_page(lasting: bool) -> None:
    rows = list(range(500))
    hidden = [True]

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        status, answered, body = numbers(rows)(path, query, headers)
        if query["page"] == "3" and hidden:
            if not lasting:
                hidden.clear()
            body["data"] = []
        return status, answered, body

    sink = Sink()
    toml = f'{ITEMS}paginator = {{ type = "page_number", total_pages = "pages" }}\ntombstones = true'
    sink.rows |= {str(number): {} for number in rows}
    run, _ = imported(toml, answer, sink)
    assert not sink.gone
    assert run.complete is not lasting
    assert keys(run) == set(rows)


def test_keys_that_are_fewer_than_the_total_are_not_all() -> None:
    """The order changes with each answer, so that some come twice, and others never."""
    orders = [[*range(95), *range(100, 105), *range(95, 100), *range(105, 250)], list(range(250))]

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        return offsets(orders[query["offset"] == "0"], 100)(path, query, headers)

    for end in (', total = "total"', ', total = "total", overlap = false'):
        run, server = imported(f'{ITEMS}paginator = {{ type = "offset", size = 100{end} }}', answer)
        if keys(run) != set(range(250)):
            assert not run.complete
            assert "order of the list changes" in run.dead[0]
            assert len(server.requests) <= 4 * 4


def test_pages_that_do_not_overlap_count_on_the_total() -> None:
    rows = list(range(250))

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        found = offsets(rows, 100)(path, query, headers)
        if query["offset"] == "0" and rows[0] < moves[0]:
            del rows[:5]
        return found

    toml = f'{ITEMS}paginator = {{ type = "offset", total = "total", overlap = false }}'
    moves = [5]
    run, _ = imported(toml, answer)
    assert run.complete  # read again
    assert set(rows) <= keys(run)
    rows, moves = list(range(250)), [250]
    run, server = imported(toml, answer)
    assert "it had 235 records at first, and then 230" in run.dead[0]
    assert [each["offset"] for each in queries(server)] == ["0", "100"] * 4


def test_a_page_that_says_more_and_is_empty_is_not_the_end() -> None:
    for way in ("offset", "page_number"):
        toml = f'{ITEMS}paginator = {{ type = "{way}", more = "more" }}'
        run, server = imported(toml, lambda *_: (200, {}, {"data": [], "more": True}))
        assert "moved while it was read" in run.dead[0]
        assert len(server.requests) == 4


@given(st.integers(1, 10**6), st.integers(1, 500), st.integers(1, 50))
def test_a_window_holds_the_last_record_that_was_read_and_the_next(read: int, most: int, tail: int) -> None:
    found = window(read, most, tail)
    if found is None:
        assert all(read % size == 0 for size in range(max(1, most // 2), most + 1))
        return
    page, size = found
    assert page * size < read < (page + 1) * size
    assert size <= most


@given(st.integers(0, 10**5))
def test_a_tail_is_never_all(count: int) -> None:
    assert 0 <= tail_length(count) < max(count, 1)


@settings(max_examples=15)
@given(st.integers(0, 5000), st.integers(1, 3))
def test_what_is_known_of_a_list_has_a_bound_and_forgets_none_of_what_it_chose(count: int, pages: int) -> None:
    came = Came(list(range(count)), lambda: [str(each) for each in range(count)])
    known = ""
    for _ in range(pages):
        known, repeated = came.noted(known, 0)
    assert repeated == (pages > 1 and count > 0)
    assert len(Known(known)) <= MOST_KNOWN
    assert len(known) < 20_000


# ---- where a list ends


@pytest.mark.parametrize(
    ("expression", "found", "came"),
    [
        ("data", 3, 3),
        ("data[?a == `1`]", 1, 3),
        ("data[?a == `1`].b", 1, 3),
        ("data[?a == `9`] || `[]`", 0, 3),
        ("data | [?a == `1`]", 1, 3),
        ("data[?a == `1`] | [?b]", 1, 3),
        ("reverse(data[?a == `1`])", 1, 3),
        ("groups[].items[] | [?a == `1`]", 1, 3),
        ("data[*].b", 2, 2),
    ],
)
def test_a_filter_counts_what_came(expression: str, found: int, came: int) -> None:
    items = [{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3}]
    records, all_ = taken(expression, {"data": items, "groups": [{"items": items[:2]}, {"items": items[2:]}]})
    assert (len(records), len(all_)) == (found, came)


@pytest.mark.parametrize("way", ["offset", "page_number"])
def test_a_page_on_which_nothing_passes_a_filter_does_not_end_a_list(way: str) -> None:
    rows = [{"id": number, "kind": "draft" if 100 <= number < 300 else "order"} for number in range(400)]

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        size = int(query.get("limit", query.get("per_page", 0)))
        first = int(query["offset"]) if way == "offset" else (int(query["page"]) - 1) * size
        return 200, {}, {"data": rows[first : first + size]}

    toml = ITEMS.replace('"data"', "\"data[?kind == 'order']\"") + f'paginator = {{ type = "{way}" }}'
    run, _ = imported(toml, answer)
    assert (run.complete, keys(run)) == (True, {*range(100), *range(300, 400)})


def test_one_pinned_record_does_not_end_a_list_with_the_latest_first() -> None:
    topics = {number: f"2023-10-01T00:{number:02}:00Z" for number in range(60)}

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        order = [0, *sorted(topics.keys() - {0}, key=lambda number: topics[number], reverse=True)]
        first = int(query["page"]) * 10
        return 200, {}, {"data": [{"id": n, "at": topics[n]} for n in order[first : first + 10]]}

    toml = f'{ITEMS}paginator = {{ type = "page_number", first = 0, size_parameter = "" }}\n'
    toml += 'incremental = { field = "at" }'
    cursors: dict[str, str] = {}
    run, _ = imported(toml, answer, cursors=cursors)
    assert keys(run) == set(topics)
    topics |= {number: f"2023-10-02T00:{number - 60:02}:00Z" for number in range(60, 95)}
    run, server = imported(toml, answer, run.sink, cursors=cursors, full=False)
    assert keys(run) == set(range(95))
    assert len(server.requests) == 10  # four pages with new ones and one without, all but it twice, and the front again
    run, server = imported(toml, answer, run.sink, cursors=cursors, full=False)
    assert [each["page"] for each in queries(server)] == ["0"]


def test_an_empty_page_that_leads_to_itself_is_the_last() -> None:
    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query.get("after", 0))
        found = ids(range(at, min(45, at + 10)))
        url = f"{API}/items?after={at + len(found)}"
        return 200, {"link": f'<{url}>; rel="next"', "x-next": str(at + len(found))}, {"data": found, "next": url}

    for paginator in (
        '"link_header"',
        '"next_url", url = "next"',
        '"cursor_in_header", header = "X-Next", parameter = "after"',
    ):
        run, server = imported(f"{ITEMS}paginator = {{ type = {paginator} }}", answer)
        assert (run.dead, keys(run), len(server.requests)) == ([], set(range(45)), 6)


def test_a_page_with_records_that_leads_to_itself_is_a_dead_letter() -> None:
    link = {"link": f'<{API}/items?page=2>; rel="next"'}
    run, server = imported(f'{ITEMS}paginator = {{ type = "link_header" }}', lambda *_: (200, link, {"data": ids([1])}))
    assert "leads to itself" in run.dead[0]
    assert len(server.requests) == 2


KEYSET = ITEMS + 'paginator = { type = "cursor_in_body", cursor = "data[-1].at", parameter = "from" }\n'


def by_time(times: list[int], most: int = 10) -> Any:
    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        rows = [{"id": number, "at": at} for number, at in enumerate(times) if at >= int(query.get("from", 0))]
        return 200, {}, {"data": rows[:most]}

    return answer


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
def test_a_cursor_of_the_last_record_ends_where_it_repeats(count: int) -> None:
    run, _ = imported(KEYSET + "parameters = { limit = 10 }", by_time(list(range(count))))
    assert (run.dead, keys(run)) == ([], set(range(count)))


def test_a_full_page_of_one_cursor_is_not_the_end() -> None:
    times = [1, 2, *[3] * 12, 4]
    for more in ("", "parameters = { limit = 10 }"):
        run, _ = imported(KEYSET + more, by_time(times))
        assert "there may be more records with this cursor" in run.dead[0]


@pytest.mark.parametrize("length", [1_001, 65_536])
def test_long_page_tokens_are_sent_back(length: int) -> None:
    token = "x" * length
    body = {"data": ids([1]), "next": token}
    toml = f'{ITEMS}paginator = {{ type = "cursor_in_body", cursor = "next", parameter = "c" }}'
    run, server = imported(toml, lambda _, query, __: (200, {}, {"data": ids([2])} if "c" in query else body))
    assert (run.dead, keys(run)) == ([], {1, 2})
    assert queries(server)[1]["c"] == token
    body["next"] += "x" * 65_536
    run, _ = imported(toml, lambda _, query, __: (200, {}, body))
    assert "more than a cursor may have" in run.dead[0]


# ---- tokens that expire

TOKENS = {
    "cursor": 'paginator = { type = "cursor_in_body", cursor = "next", parameter = "token" }',
    "url": 'paginator = { type = "next_url", url = "url" }',
}


def expiring(status: int, times: int) -> Any:
    """Refuses a token so many times, when two pages have been read."""
    left = [times]

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query.get("token", 0))
        if at == 20 and left[0]:
            left[0] -= 1
            return status, {}, {"message": "the token has expired"}
        more = {"next": str(at + 10), "url": f"{API}/items?token={at + 10}"} if at < 40 else {}
        return 200, {}, {"data": ids(range(at, at + 10)), **more}

    return answer


@pytest.mark.parametrize("way", TOKENS)
@pytest.mark.parametrize("status", [400, 404, 410, 422])
@pytest.mark.parametrize("rules", ["", 'errors = [{ status = STATUS, action = "empty" }]\n'])
def test_an_expired_token_begins_its_list_again(way: str, status: int, rules: str) -> None:
    toml = f"{ITEMS}{TOKENS[way]}\ntombstones = true\n{rules.replace('STATUS', str(status))}"
    sink = Sink()
    sink.rows["30"] = {"id": 30}
    run, server = imported(toml, expiring(status, 3), sink)
    assert (run.dead, keys(run), sink.gone) == ([], set(range(50)), set())
    assert [each.get("token", "") for each in queries(server)].count("") == 4
    run, server = imported(f"{ITEMS}{TOKENS[way]}", expiring(status, 4))
    assert "HTTP" in run.dead[0]
    assert [each.get("token", "") for each in queries(server)].count("") == 4


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_first_page_that_is_refused_is_no_expired_token(status: int) -> None:
    run, server = imported(f"{ITEMS}{TOKENS['cursor']}", lambda *_: (status, {}, {}))
    assert (len(run.dead), len(server.requests)) == (1, 1)


def test_a_token_that_is_refused_to_slow_down_is_asked_with_again() -> None:
    rule = 'errors = [{ status = 400, action = "retry" }]\n'
    run, server = imported(f"{ITEMS}{TOKENS['cursor']}\n{rule}", expiring(400, 1))
    assert (run.dead, keys(run)) == ([], set(range(50)))
    assert [each.get("token", "") for each in queries(server)].count("") == 1


# ---- what is gone


def paged(rows: list[int], size: int) -> Any:
    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        if path != "/items":
            return (200 if int(path[7:]) in alive else 404), {}, {"id": int(path[7:])}
        at = int(query.get("token", 0))
        more = {"next": str(at + size)} if at + size < len(rows) else {}
        return 200, {}, {"data": ids(rows[at : at + size]), **more}

    alive = set(rows)
    answer.alive = alive  # type: ignore[attr-defined]
    return answer


def swept(*rows: int) -> Sink:
    sink = Sink()
    sink.rows |= {str(number): {"id": number} for number in rows}
    return sink


WHOLE = f"{ITEMS}{TOKENS['cursor']}\ntombstones = true\n"


def test_a_list_that_came_in_one_response_needs_no_second() -> None:
    sink = swept(1, 2, 3, 4)
    run, server = imported(WHOLE, paged([1, 2, 3], 10), sink)
    assert (run.dead, sink.gone, len(server.requests)) == ([], {"4"}, 1)


def test_a_list_of_which_nothing_is_missing_needs_no_second() -> None:
    run, server = imported(WHOLE, paged(list(range(30)), 10), swept(*range(30)))
    assert (run.dead, len(server.requests)) == ([], 3)


def test_what_is_missing_of_a_list_of_pages_is_looked_for_once_more() -> None:
    sink = swept(*range(40))
    rows = list(range(30))
    answer = paged(rows, 10)
    moved = [7]

    def once(path: str, query: dict[str, str], headers: Any) -> Any:
        """7 is on no page the first time."""
        status, answered, body = answer(path, query, headers)
        body["data"] = [each for each in body["data"] if each["id"] not in moved]
        if query.get("token") == "20":
            moved.clear()
        return status, answered, body

    run, server = imported(WHOLE, once, sink)
    assert (run.dead, sink.gone, len(server.requests)) == ([], {str(n) for n in range(30, 40)}, 6)


@pytest.mark.parametrize(("status", "gone"), [(404, True), (410, True), (200, False), (403, False), (301, False)])
def test_only_404_and_410_prove_that_a_record_is_gone(status: int, gone: bool) -> None:
    sink = swept(*range(40))
    answer = paged(list(range(30)), 10)

    def refusing(path: str, query: dict[str, str], headers: Any) -> Any:
        return (status, {}, {}) if path == "/items/35" else answer(path, query, headers)

    run, server = imported(WHOLE + 'item = "/items/{key}"\n', refusing, sink)
    assert sink.gone == {str(number) for number in range(30, 40) if number != 35 or gone}
    assert (len(run.dead), len(server.requests)) == (int(status == 403), 3 + 10)


def test_more_than_one_task_is_told_of_are_asked_for() -> None:
    sink = swept(*range(2_400))
    answer = paged(list(range(20)), 10)
    answer.alive.update(range(2_000, 2_400))
    run, _ = imported(WHOLE + 'item = "/items/{key}"\n', answer, sink)
    assert (run.dead, keys(run)) == ([], {*range(20), *range(2_000, 2_400)})


def test_an_item_is_named_by_each_part_of_its_key() -> None:
    sink = Sink()
    sink.rows |= {"a%2Fb/1": {}, "a/2": {}}
    asked = []

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        if path == "/items":
            at = int(query.get("token", 0))
            return 200, {}, {"data": [{"shop": "s", "no": at}], **({} if at else {"next": "1"})}
        asked.append(path)
        return 404, {}, {}

    toml = WHOLE + 'primary_key = ["shop", "no"]\nitem = "/shops/{key.shop}/items/{key.no}"\n'
    run, _ = imported(toml, answer, sink)
    assert (run.dead, sorted(asked)) == ([], ["/shops/a%2Fb/items/1", "/shops/a/items/2"])
    assert set(sink.rows) == {"s/0", "s/1"}


SHELVES = """
[endpoints.shelves]
path = "/shelves"
[endpoints.books]
parent = "shelves"
path = "/shelves/{parent.id}/books"
tombstones = true
"""


@pytest.mark.parametrize(
    ("key", "requests"), [("", 6), ('primary_key = ["shelf", "id"]\nfrom_parent = { shelf = "id" }\n', 3)]
)
def test_a_record_that_moves_from_one_parent_to_another_is_not_gone(key: str, requests: int) -> None:
    """Unless its key says which parent it belongs to: then it is another one."""
    books = {"1": ids([1, 2]), "2": ids([3])}
    reads: list[str] = []

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        if path == "/shelves":
            return 200, {}, ids([1, 2])
        shelf = path.split("/")[2]
        found = list(books[shelf])
        if shelf == "1" and not reads:  # the first time, 3 moves there when that was read
            books["1"].append(books["2"].pop())
        reads.append(shelf)
        return 200, {}, found

    sink = Sink()
    sink.rows |= {(f"{shelf}/{number}" if key else number): {} for shelf, number in ("11", "12", "23")}
    run, server = imported(SHELVES + key, answer, sink)
    assert (run.dead, len(server.requests)) == ([], requests)
    found = {each for each in sink.rows if "/" in each} if key else set(sink.rows)
    assert found == ({"1/1", "1/2"} if key else {"1", "2", "3"})


def test_a_second_reading_that_does_not_come_to_an_end_says_so_and_no_more() -> None:
    """All was read once, so nothing is missing; what is gone cannot be told."""
    sink = swept(*range(20))
    first = [True]

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query["offset"])
        if first and at < 20:
            if at + 10 >= 15:
                first.clear()
            return 200, {}, {"data": ids(range(at, min(at + 10, 15))), "total": 15}
        return 200, {}, {"data": [], "total": 15}

    toml = f'{ITEMS}paginator = {{ type = "offset", size = 10, total = "total" }}\ntombstones = true'
    run, server = imported(toml, answer, sink)
    assert (run.dead, run.skipped, sink.gone) == ([], [], set())
    assert len(server.requests) == 2 + 4
    assert len(run.notes) == 1
    assert run.notes[0].startswith("not compared: the list moved while it was read: ")


# ---- parents

TREE = """
[endpoints.groups]
path = "/groups"
[endpoints.issues]
parent = "groups"
path = "/groups/{parent.name}/issues"
incremental = { field = "at", parameter = "since" }
errors = [{ status = 404, action = "ACTION" }]
[endpoints.notes]
parent = "issues"
path = "/issues/{parent.id}/notes"
incremental = { field = "at", parameter = "since" }
"""


@pytest.mark.parametrize("action", ["skip", "empty"])
@pytest.mark.parametrize("below", [False, True])
def test_a_parent_that_is_read_for_the_first_time_is_read_from_the_beginning(action: str, below: bool) -> None:
    names, closed = ["a", "b"], {"b"}
    issues = {
        name: [{"id": n + 100 * k, "at": f"2023-10-{n + 1:02}"} for n in range(5)] for k, name in enumerate("abc")
    }

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        first, of, *_ = [*path.strip("/").split("/"), ""]
        if path == "/groups":
            return 200, {}, [{"id": ord(name), "name": name} for name in names]
        if of in closed:
            return 404, {}, {}
        rows = issues[of] if first == "groups" else [{"id": int(of) + 1000, "at": "2023-09-01"}]
        return 200, {}, [each for each in rows if each["at"] >= query.get("since", "")]

    toml = TREE.replace("ACTION", action)
    if not below:
        toml = toml[: toml.index("[endpoints.notes]")]
    cursors: dict[str, str] = {}
    parents: set[Any] = set()
    sink = Sink()

    def run() -> list[str]:
        done, server = imported(toml, answer, sink, cursors=cursors, parents=parents, full=False)
        assert not done.dead
        return server.requests

    run()
    closed.clear()
    names.append("c")
    requests = run()
    found = {str(row["id"]) for rows in issues.values() for row in rows}
    if below:
        found |= {str(int(key) + 1000) for key in found}
    assert {key for key in sink.rows if int(key) < 90 or int(key) >= 100} >= found
    assert [url for url in requests if url.startswith("/groups/a/")] == [
        "/groups/a/issues?since=2023-10-04T23%3A55%3A00Z"
    ]
    requests = run()
    assert all("since=" in url for url in requests if "/issues" in url)


# ---- by the time of change


def dated(numbers: Any, at: str) -> dict[int, str]:
    return dict.fromkeys(numbers, at)


def test_a_time_of_which_something_was_lost_is_not_taken_for_read() -> None:
    """Ten of one time are deleted after the first page: the second one begins behind five that were on neither."""
    rows = dated(range(20), "2023-10-01T00:00:00Z") | dated(range(20, 40), "2023-10-02T00:00:00Z")

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query["offset"])
        order = sorted((at, number) for number, at in rows.items() if at > query.get("since", ""))  # exclusive
        found = [{"id": number, "at": time} for time, number in order[at : at + 10]]
        for number in range(10) if not at else ():
            rows.pop(number, None)
        return 200, {}, {"data": found}

    toml = f'{ITEMS}paginator = {{ type = "offset", size = 10 }}\n'
    toml += 'incremental = { field = "at", parameter = "since", order = "ascending" }'
    run, _ = imported(toml, answer)
    assert run.complete, run.dead
    assert set(rows) <= keys(run)


def test_the_front_is_read_again_until_nothing_has_come_meanwhile() -> None:
    """What moves to the front while that is read again is on none of its pages."""
    rows = {number: f"2023-10-01T00:{number:02}:00Z" for number in range(40)}
    fronts: list[int] = []

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        page = int(query["page"])
        order = sorted(rows, key=lambda number: rows[number], reverse=True)
        found = [{"id": number, "at": rows[number]} for number in order[(page - 1) * 10 : page * 10]]
        if page == 1:
            fronts.append(page)
            if len(fronts) == 1:
                rows.update({number: f"2023-10-02T00:{number:02}:00Z" for number in range(12)})
            elif len(fronts) == 2:
                rows[0] = "2023-10-02T01:00:00Z"  # from the second page to the first
        return 200, {}, {"data": found}

    toml = f'{ITEMS}paginator = {{ type = "page_number", size_parameter = "", size = 10, short_page_ends = true, twice'
    toml += ' = false }\nincremental = { field = "at" }'
    run, _ = imported(toml, answer)
    assert run.complete
    assert keys(run) == set(rows)
    assert len(fronts) == 3


@pytest.mark.parametrize("end", ["", ', more = "more"'])
def test_pages_of_a_front_that_is_read_again_overlap(end: str) -> None:
    """However the list was seen to end: what was moved to its front is read there only, and moves again."""
    rows = {number: f"2023-10-01T00:{number:02}:00Z" for number in range(60)}
    fronts, unread = [1], list(range(12))

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        page, size = int(query["page"]), int(query["limit"])
        order = sorted(rows, key=lambda number: rows[number], reverse=True)
        found = [{"id": number, "at": rows[number]} for number in order[(page - 1) * size : page * size]]
        for number in unread[:3]:
            rows[number] = f"2023-10-02T00:{number:02}:00Z"
        del unread[:3]
        if page * size >= len(rows):
            fronts.append(page)
        elif page == 1 and len(fronts) > 1:
            rows.pop(11, None)  # from the first page of the front
        return 200, {}, {"data": found, "more": page * size < len(rows)}

    toml = f'{ITEMS}paginator = {{ type = "page_number", size_parameter = "limit", size = 10{end} }}\n'
    toml += 'incremental = { field = "at" }'
    run, _ = imported(toml, answer)
    assert 11 not in rows
    assert run.complete, run.dead
    assert {row["id"]: row["at"] for row in run.sink.rows.values() if row["id"] in rows} == rows


@pytest.mark.parametrize("paginator", ['"offset"', '"page_number", size_parameter = "limit"'])
def test_a_page_before_which_something_was_lost_ends_no_list_by_its_times(paginator: str) -> None:
    """Nine of the first page are deleted, and the second begins after what is new and was on neither."""
    rows = {number: f"2023-10-{number + 1:02}T00:00:00Z" for number in range(10)}

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        size = int(query["limit"])
        at = int(query["offset"]) if "offset" in query else (int(query["page"]) - 1) * size
        order = sorted(rows, reverse=True)
        found = [{"id": number, "at": rows[number]} for number in order[at : at + size]]
        for number in order[:9] if len(rows) == 27 else ():
            del rows[number]
        return 200, {}, {"data": found}

    toml = f'{ITEMS}paginator = {{ type = {paginator}, size = 10 }}\nincremental = {{ field = "at" }}'
    sink, cursors = Sink(), {}
    imported(toml, answer, sink, cursors=cursors)
    rows |= {number: f"2023-10-{number + 1:02}T00:00:00Z" for number in range(10, 27)}
    run, _ = imported(toml, answer, sink, cursors=cursors, full=False)
    assert len(rows) == 18
    assert run.complete, run.dead
    assert set(rows) <= keys(run)


def test_a_list_that_is_not_in_the_order_that_was_said_is_told() -> None:
    body = {"data": [{"id": 1, "at": "2023-10-02"}, {"id": 2, "at": "2023-10-01"}]}
    toml = f'{ITEMS}incremental = {{ field = "at", parameter = "since", order = "ascending" }}'
    run, server = imported(toml, lambda *_: (200, {}, body))
    assert 'does not come in ascending order of "at"' in run.dead[0]
    assert len(server.requests) == 3


def test_records_without_a_time_are_read_where_they_stand() -> None:
    rows = [{"id": n, "at": None if n % 7 == 0 else f"2023-10-{n // 4 + 1:02}T00:00:00Z"} for n in range(100)]

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        since, at = query.get("since", ""), int(query["offset"])
        found = [each for each in rows if each["at"] is None or each["at"] >= since]
        return 200, {}, {"data": found[at : at + 10]}

    toml = f'{ITEMS}paginator = {{ type = "offset", size = 10 }}\n'
    toml += 'incremental = { field = "at", parameter = "since", order = "ascending" }'
    run, _ = imported(toml, answer)
    assert (run.dead, keys(run)) == ([], set(range(100)))


def since_a_time(rows: dict[int, str], size: int | None, *, inclusive: bool = True) -> Any:
    """The first records of those that changed since a time, and nothing that says where the others are."""

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        since = query.get("since", "")
        order = sorted((at, number) for number, at in rows.items() if at > since or (inclusive and at == since))
        return 200, {}, {"data": [{"id": number, "at": at} for at, number in order[:size]]}

    return answer


BY_TIME = f'{ITEMS}incremental = {{ field = "at", parameter = "since", order = "ascending" }}\n'


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("most", [0, 1, 2, 9, 10, 11, 19, 95])
def test_the_time_alone_leads_through_a_list_in_ascending_order(most: int, inclusive: bool) -> None:
    """Three records of a time, and ten of them an answer."""
    rows = {number: f"2023-10-01T00:{number // 3:02}:00Z" for number in range(most)}
    cursors: dict[str, str] = {}
    run, server = imported(BY_TIME, since_a_time(rows, 10, inclusive=inclusive), cursors=cursors)
    assert (run.dead, keys(run)) == ([], set(rows))
    rows |= {number: f"2023-10-02T00:{number % 60:02}:00Z" for number in range(200, 240)}
    run, server = imported(BY_TIME, since_a_time(rows, 10, inclusive=inclusive), run.sink, cursors=cursors, full=False)
    assert (run.dead, keys(run)) == ([], set(rows))
    assert len(server.requests) <= 12


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_a_list_in_ascending_order_that_comes_in_one_answer_ends_with_the_second(count: int) -> None:
    for rows in (dated(range(count), "2023-10-01T00:00:00Z"), {n: f"2023-10-01T00:{n:02}:00Z" for n in range(count)}):
        run, server = imported(BY_TIME, since_a_time(rows, None))
        assert (run.dead, keys(run)) == ([], set(rows))
        assert len(server.requests) <= 2


@pytest.mark.parametrize("before", [0, 1, 25])
@pytest.mark.parametrize("more", ["", "parameters = { limit = 10 }\n"])
def test_more_records_of_one_time_than_an_answer_holds_are_told(before: int, more: str) -> None:
    rows = {number: f"2023-10-01T00:{number:02}:00Z" for number in range(before)}
    rows |= dated(range(100, 130), "2023-10-02T00:00:00Z")
    run, _ = imported(BY_TIME + more, since_a_time(rows, 10))
    if before > 1 or more:  # else the only answer is all that there is, for all that one can know
        assert 'records have the same "at"' in run.dead[0]


# ---- links that count


LINKS = ITEMS + 'paginator = { type = "link_header" }\nparameters = { limit = 10, q = "a b" }\n'


def linked(rows: list[int], parameter: str, *, signed: bool = False, always: bool = False) -> Any:
    """Links by the number of a page, by an offset, or by the last id."""

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        size = int(query["limit"])
        if signed and parameter in query and query["sign"] != f"{query[parameter]}.{size}":
            return 403, {}, {}
        at = int(query.get(parameter, 1 if parameter == "page" else 0))
        if parameter == "from":
            found = [row for row in rows if row > at][:size]
            following, more = (found or [at])[-1], bool(found) and found[-1] < rows[-1]
        else:
            start = (at - 1) * size if parameter == "page" else at
            found = rows[start : start + size]
            following, more = (at + 1 if parameter == "page" else at + len(found)), start + size < len(rows)
        url = f"{API}/items?limit={size}&q=a%20b&{parameter}={following}&sign={following}.{size}"
        return 200, {"link": f'<{url}>; rel="next"'} if more or always else {}, {"data": ids(found)}

    return answer


@pytest.mark.parametrize("parameter", ["page", "offset"])
def test_pages_overlap_where_links_count(parameter: str) -> None:
    rows = list(range(1, 96))
    inner = linked(rows, parameter)

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        found = inner(path, query, headers)
        if len(rows) > 90:
            del rows[0]
        return found

    run, server = imported(LINKS, answer)
    assert (run.dead, set(rows) - keys(run)) == ([], set())
    assert all(each["q"] == "a b" for each in queries(server))
    assert len(server.requests) < 20


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95, 900])
@pytest.mark.parametrize("parameter", ["page", "offset", "from"])
@pytest.mark.parametrize("signed", [False, True])
def test_links_that_do_not_bear_another_number_are_followed_as_they_are(
    count: int, parameter: str, signed: bool
) -> None:
    """Some are signed, and some hold an id, which counts as an offset does until one is missing."""
    rows = [number for number in range(1, count + 1) if number < 40 or number % 3 == 0]
    run, server = imported(LINKS, linked(rows, parameter, signed=signed))
    assert (run.dead, keys(run)) == ([], set(rows))
    assert len(server.requests) < 6 + 2 * len(rows) / 10


def test_tokens_that_begin_as_numbers_of_pages_do_are_followed_as_they_are() -> None:
    following = {"": 2, "2": 7, "7": 31, "31": None}

    def answer(path: str, query: dict[str, str], headers: Any) -> Any:
        token = query.get("page", "")
        if token not in following:
            return 404, {}, {}
        at, size = [*following].index(token) * 10, int(query["limit"])
        url = f"{API}/items?limit=10&page={following[token]}"
        link = {} if following[token] is None else {"link": f'<{url}>; rel="next"'}
        return 200, link, {"data": ids(range(at, at + size))}

    run, _ = imported(LINKS, answer)
    assert (run.dead, keys(run)) == ([], set(range(40)))


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
def test_an_offset_that_is_always_named_ends_with_nothing_new(count: int) -> None:
    rows = list(range(count))
    run, _ = imported(LINKS, linked(rows, "offset", always=True))
    assert (run.dead, keys(run)) == ([], set(rows))


@pytest.mark.parametrize("count", [0, 9, 10, 11, 20, 95])
def test_a_number_that_is_always_named_comes_to_an_end(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may be empty before the last one, so it is a dead letter, but at last it is one."""
    monkeypatch.setattr(reading, "MOST_IDLE", 40)
    rows = list(range(count))
    run, server = imported(LINKS, linked(rows, "page", always=True))
    assert "lead nowhere" in run.dead[0]
    assert keys(run) == set(rows)
    assert len(server.requests) < 80


def test_a_link_keeps_all_but_its_numbers() -> None:
    first = {"limit": 10}
    url = f"{API}/items?a=%2f+~&page%5Bnumber%5D=2&limit=10&z#f"
    counting = counting_urls.counting(first, url, 10)
    assert counting is not None
    assert counting.number(url) == 2
    assert counting.url(url, 7, 9) == f"{API}/items?a=%2f+~&page%5Bnumber%5D=7&limit=9&z#f"
    for other in ("?page=3&limit=10", "?page=2", "?cursor=10&limit=10", "?offset=12", "?offset=x&limit=10"):
        assert counting_urls.counting(first, f"{API}/items{other}", 10) is None, other


# ---- lists without end


def without_end(path: str, query: dict[str, str], headers: Any) -> Any:
    at = int(query.get("c", 0))
    return 200, {}, {"data": ids([at]), "next": at + 1}


def test_a_list_that_always_has_a_next_page_ends_at_its_bound() -> None:
    """Before the page beyond it is asked for. All that was read is there, and no tombstone is set."""
    paginator = 'paginator = { type = "cursor_in_body", cursor = "next", parameter = "c" }'
    toml = f"{ITEMS}{paginator}\nmax_pages = 7\n"
    run, server = imported(toml, without_end)
    assert keys(run) == set(range(7))
    assert len(server.requests) == 7
    (error,) = run.dead
    assert "this would be page 8 of the list, and [endpoints.items] has max_pages = 7: the list is endless" in error
    run, _ = imported(f"{toml}tombstones = true\n", without_end, run.sink)
    assert (len(keys(run)), len(run.dead)) == (7, 2)


def test_a_cursor_that_leads_round_in_a_circle_is_found_however_many_pages_it_takes() -> None:
    paginator = 'paginator = { type = "cursor_in_body", cursor = "next", parameter = "c" }'

    def circle(path: str, query: dict[str, str], headers: Any) -> Any:
        at = int(query.get("c", 0))
        return 200, {}, {"data": ids([at]), "next": at % 3 + 1}

    run, server = imported(f"{ITEMS}{paginator}", circle)
    assert len(server.requests) <= 6
    assert any("repeated" in error for error in run.dead)
