"""Declared sources, a task at a time: what each asks for, and what it makes of the answer."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from responses.matchers import header_matcher, query_param_matcher

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.errors import Permanent, Throttled, Transient, Unauthorized
from crawlerd.engine import kinds
from crawlerd.source import Cursor, Output, Record, RunPlan, Skip, Source, TaskArgs
from crawlerd.sources.rest import make
from crawlerd.sources.rest.description import Incremental
from crawlerd.sources.rest.expressions import Unfit, fill
from crawlerd.sources.rest.incremental import bound, mark, parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "https://api.example/v2"
NOW = 1_700_000_000.0


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


def declared(text: str) -> Source:
    return make(tomllib.loads(f'name = "api"\nbase_url = "{API}"\n{text}'))


def perform(client: HttpClient, source: Source, task: Any, key: str = "", **variables: str) -> list[Output]:
    """Runs one task as a worker does, from what lies in the frontier."""
    queued = kinds.new_task(source, task) if isinstance(task, TaskArgs) else task
    account = AccountSpec(name="a", source="api", secret=key, options={"variables": variables})
    return list(kinds.perform(source, client.open(source, account), queued.kind, queued.payload))


def start(source: Source, *streams: str, full: bool = True, **cursors: str) -> Any:
    (task,) = kinds.first(source, RunPlan(streams or source.streams, full, NOW, cursors)).children
    return task


def tasks(outputs: list[Output]) -> list[dict[str, Any]]:
    """Kind and the arguments that matter of each task among them."""
    return [{"kind": each.kind, "at": each.at, "parent": each.parent} for each in outputs if isinstance(each, TaskArgs)]  # type: ignore[attr-defined]


# ---- what is asked


@responses.activate
def test_a_request_has_all_that_is_declared(client: HttpClient) -> None:
    source = declared("""
variables = ["org"]
auth = { type = "header", name = "X-Key", prefix = "Token " }
headers = { X-Version = "7" }
parameters = { expand = ["a", "b"], deep = true, lang = "en" }
[endpoints.items]
path = "/orgs/{variables.org}/items"
parameters = { lang = "de", size = 2, q = "{{{variables.org}}}" }
paginator = { type = "cursor_in_header", header = "X-Next", send_header = "X-At" }
""")
    wanted = {"expand": ["a", "b"], "deep": "true", "lang": "de", "size": "2", "q": "{a/b c}"}
    headers = {"X-Key": "Token k", "X-Version": "7"}
    responses.get(
        f"{API}/orgs/a%2Fb%20c/items",
        json=[],
        headers={"X-Next": "n"},
        match=[query_param_matcher(wanted), header_matcher(headers)],
    )
    (following,) = perform(client, source, start(source), "k", org="a/b c")
    responses.get(
        f"{API}/orgs/a%2Fb%20c/items",
        json=[],
        match=[query_param_matcher(wanted), header_matcher({**headers, "X-At": "n"})],
    )
    assert perform(client, source, following, "k", org="a/b c") == []


@responses.activate
@pytest.mark.parametrize(
    ("auth", "key", "header"),
    [
        ('{ type = "bearer" }', "k", "Bearer k"),
        ('{ type = "basic" }', "u:p", "Basic dTpw"),
        ('{ type = "basic", user = "u" }', "p", "Basic dTpw"),
    ],
)
def test_credentials_in_a_header(auth: str, key: str, header: str, client: HttpClient) -> None:
    source = declared(f'auth = {auth}\n[endpoints.items]\npath = "/items"')
    responses.get(f"{API}/items", json=[], match=[header_matcher({"Authorization": header})])
    assert perform(client, source, start(source), key) == []


@responses.activate
def test_a_key_in_the_query_never_reaches_a_task(client: HttpClient) -> None:
    source = declared(
        'auth = { type = "query", name = "key" }\npaginator = { type = "next_url", url = "next" }\n'
        '[endpoints.items]\npath = "/items"\nrecords = "items"\nparameters = { a = "1" }'
    )
    responses.get(
        f"{API}/items",
        json={"items": [], "next": f"{API}/items?a=1&key=s3cret&page=2"},
        match=[query_param_matcher({"a": "1", "key": "s3cret"})],
    )
    (following,) = perform(client, source, start(source), "s3cret")
    assert "s3cret" not in kinds.new_task(source, following).payload
    responses.get(
        f"{API}/items", json={"items": []}, match=[query_param_matcher({"a": "1", "page": "2", "key": "s3cret"})]
    )
    assert perform(client, source, following, "s3cret") == []


@pytest.mark.parametrize(
    "header",
    [
        '</v2/items?p=2>; rel="next"',
        "<?p=2>; REL=NEXT",
        '<https://api.example/v2/items?p=2>; title="a, b; c"; rel="foo Next"',
        '<?p=9>; rel="prev next-but-one", <?p=2>;rel=next;x',
        "<?p=9>; rel='prev', <?p=2>; rel='next'",
        '<?p=9>; title="; rel=next", <?p=2>; title="rel=prev; \\"<?p=8>; rel=next\\""; rel = "next"',
        '<?p=9>; rel="prev"; rel="next", <?p=2>; rel="next"; rel="prev"',
        '<?p=9>; rel*=next; data-rel=next, <?p=2>; rel="next',
    ],
)
@responses.activate
def test_the_next_page_is_found_however_the_link_is_written(client: HttpClient, header: str) -> None:
    responses.get(f"{API}/items", json=[{"id": 1}], headers={"Link": header})
    source = declared('paginator = { type = "link_header" }\n[endpoints.items]\npath = "/items"')
    assert [each["at"] for each in tasks(perform(client, source, start(source)))] == [f"{API}/items?p=2"]


@responses.activate
def test_a_next_url_may_be_relative_to_the_page(client: HttpClient) -> None:
    source = declared(
        'paginator = { type = "next_url", url = "next" }\n[endpoints.items]\npath = "/items"\nrecords = "items"'
    )
    for next_url, full in {
        "?page=2": f"{API}/items?page=2",
        "/v2/items?page=2": f"{API}/items?page=2",
        "others": f"{API}/others",
        f"{API}/x": f"{API}/x",
    }.items():
        responses.get(f"{API}/items", json={"items": [], "next": next_url})
        assert [each["at"] for each in tasks(perform(client, source, start(source)))] == [full]


SIGNED = "/v2/items?b=%2f%2F&a=x+y%20z&a=1&a&sig=a%2bb%3d&k=[1]"

IN_QUERY = "{ type = 'query', name = 'key' }"


@responses.activate
@pytest.mark.parametrize("paginator", ['{ type = "next_url", url = "next" }', '{ type = "link_header" }'])
@pytest.mark.parametrize(
    ("auth", "link", "kept"),
    [
        ("{ type = 'none' }", SIGNED, SIGNED),
        (IN_QUERY, SIGNED, SIGNED),
        (IN_QUERY, SIGNED.replace("?", "?k%65y=s3cret&"), SIGNED),
        (IN_QUERY, SIGNED.replace("&a&", "&a&key=s3cret&key=&"), SIGNED),
        (IN_QUERY, f"{SIGNED}&key=s3cret", SIGNED),
        (IN_QUERY, f"{SIGNED}&keys=1&Key=2", f"{SIGNED}&keys=1&Key=2"),
        (IN_QUERY, "/v2/items?key=s3cret", "/v2/items"),
    ],
)
def test_a_link_keeps_its_bytes_but_for_the_key(
    paginator: str, auth: str, link: str, kept: str, client: HttpClient
) -> None:
    source = declared(f'auth = {auth}\npaginator = {paginator}\n[endpoints.items]\npath = "/items"\nrecords = "items"')
    responses.get(f"{API}/items", json={"items": [], "next": link}, headers={"Link": f"<{link}>; rel=next"})
    (following,) = perform(client, source, start(source), "s3cret")
    assert json.loads(kinds.new_task(source, following).payload)["at"] == f"https://api.example{kept}"  # type: ignore[arg-type]


@responses.activate
def test_another_host_is_followed_only_where_it_is_said_to_be_our_own(client: HttpClient) -> None:
    inner = "http://10.0.0.7:8080/v2/items?page=2&a=%2f"
    for paginator in ('type = "next_url", url = "next"', 'type = "link_header"'):
        responses.get(f"{API}/items", json={"items": [], "next": inner}, headers={"Link": f"<{inner}>; rel=next"})
        for host, at in (("same", inner), ("own", f"{API}/items?page=2&a=%2f")):
            source = declared(
                f'paginator = {{ {paginator}, host = "{host}" }}\n[endpoints.items]\npath = "/items"\nrecords = "items"'
            )
            (following,) = perform(client, source, start(source))
            assert tasks([following])[0]["at"] == at
            if host == "same":
                with pytest.raises(Permanent, match="not a URL of"):
                    perform(client, source, following)


# ---- parents

TREE = """
[endpoints.users]
path = "/users"
[endpoints.posts]
parent = "users"
path = "/users/{parent.id}/posts"
from_parent = { author = "id", city = "address.city" }
primary_key = ["author", "id"]
[endpoints.comments]
parent = "posts"
path = "/comments"
parameters = { post = "{parent.id}", author = "{parent.author}" }
"""


@responses.activate
def test_children_get_their_parents_fields_over_two_floors(client: HttpClient) -> None:
    source = declared(TREE)
    responses.get(f"{API}/users", json=[{"id": 1, "address": {"city": "Rom"}}, {"id": 2}])
    outputs = perform(client, source, start(source, "posts", "comments"))
    assert tasks(outputs) == [
        {"kind": "api.posts", "at": None, "parent": {"id": 1, "address.city": "Rom"}},
        {"kind": "api.posts", "at": None, "parent": {"id": 2, "address.city": None}},
    ]
    assert len(outputs) == 2  # the users themselves are not wanted
    responses.get(f"{API}/users/1/posts", json=[{"id": "a/b"}])
    post, comments = perform(client, source, outputs[0])
    assert post == Record("posts", "1/a%2Fb", {"id": "a/b", "author": 1, "city": "Rom"}, "1")
    responses.get(f"{API}/comments", json=[{"id": 9}], match=[query_param_matcher({"post": "a/b", "author": "1"})])
    assert perform(client, source, comments) == [Record("comments", "9", {"id": 9})]


def test_only_sync_points_that_mean_something_are_looked_at() -> None:
    """What nobody looks at cannot be set, see `crawlerd.operations.sync_points`."""

    class Looked(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            names.add(name)
            return super().get(name, default)

    names: set[str] = set()
    toml = TREE.replace('path = "/users"', 'path = "/users"\nincremental = { field = "at", parameter = "since" }')
    source = declared(toml)
    kinds.first(source, RunPlan(source.streams, False, NOW, Looked(posts="x")))
    assert names == {"users:users,posts,comments"}


@responses.activate
def test_only_what_is_wanted_is_asked_for(client: HttpClient) -> None:
    source = declared(TREE)
    responses.get(f"{API}/users", json=[{"id": 1}])
    assert perform(client, source, start(source, "users")) == [Record("users", "1", {"id": 1})]


@responses.activate
@pytest.mark.parametrize("parent", [{"id": 1, "address": {"city": {"a": 1}}}, {"id": "x" * 2000}, {"id": "\ud800"}])
def test_a_parent_with_fields_that_do_not_fit_is_told(parent: dict[str, Any], client: HttpClient) -> None:
    source = declared(TREE.replace('path = "/users"', 'path = "/users"\nprimary_key = "key"'))
    responses.get(f"{API}/users", body=json.dumps([{"key": "k", **parent}]))
    (skip,) = perform(client, source, start(source, "posts"))
    assert isinstance(skip, Skip)
    assert (skip.stream, skip.key) == ("posts", "k")
    assert "cannot be requested below this record of its parent" in skip.reason


@pytest.mark.parametrize("value", ["..", "."])
def test_a_field_never_leads_out_of_the_path(value: str) -> None:
    with pytest.raises(Unfit):
        fill("/users/{parent.id}/posts", {"parent.id": value}, in_path=True)
    assert (
        fill("/users/{parent.id}.json", {"parent.id": "a/../b?x#y%"}, in_path=True)
        == "/users/a%2F..%2Fb%3Fx%23y%25.json"
    )


# ---- responses


@responses.activate
def test_an_answer_without_content_is_an_empty_page(client: HttpClient) -> None:
    source = declared('[endpoints.items]\npath = "/items"')
    responses.get(f"{API}/items", status=204)
    assert perform(client, source, start(source)) == []


@responses.activate
def test_records_of_one_page_that_are_equal_count_once(client: HttpClient) -> None:
    source = declared('[endpoints.items]\npath = "/items"')
    responses.get(f"{API}/items", json=[{"id": 1}, {"id": 1}])
    assert perform(client, source, start(source)) == [Record("items", "1", {"id": 1})]


@responses.activate
def test_an_offset_list_that_ends_before_its_total_is_not_taken_for_whole(client: HttpClient) -> None:
    source = declared(
        '[endpoints.items]\npath = "/items"\nrecords = "items"\npaginator = { type = "offset", total = "total" }'
    )
    responses.get(f"{API}/items", json={"items": [], "total": "3"})
    task = start(source)
    for _ in range(3):
        (task,) = perform(client, source, task)  # the list from its beginning
    with pytest.raises(Permanent, match="ends after 0 records, but its total is 3; this happened each of the 4 times"):
        perform(client, source, task)


@responses.activate
def test_more_pages_without_a_cursor_are_not_taken_for_the_end(client: HttpClient) -> None:
    source = declared(
        '[endpoints.items]\npath = "/items"\nrecords = "items"\n'
        'paginator = { type = "cursor_in_body", cursor = "next", parameter = "c", more = "more" }'
    )
    responses.get(f"{API}/items", json={"items": [], "more": True})
    with pytest.raises(Permanent, match="there is no cursor at"):
        perform(client, source, start(source))


@responses.activate
def test_a_function_that_does_not_fit_is_told(client: HttpClient) -> None:
    source = declared('[endpoints.items]\npath = "/items"\nrecords = "sort(items)"')
    responses.get(f"{API}/items", json={"items": {}})
    with pytest.raises(Permanent, match="does not fit the response"):
        perform(client, source, start(source))


RULES = """
[endpoints.items]
path = "/items"
errors = [
  { status = 403, header = "X-Left", equals = "0", action = "throttle", wait_header = "X-Reset", scope = "account" },
  { status = [400, 404], body = "code == 'busy'", action = "retry" },
  { status = 400, body = "starts_with(code, 'x')", action = "dead" },
  { status = 404, action = "skip" },
  { status = 200, body = "error", action = "pause" },
  { status = 200, header = "X-Key", equals = "expired", action = "pause" },
]
"""


@responses.activate
@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (403, {"X-Left": "0", "X-Reset": "1700000030", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"}, "", (Throttled, 30.0)),
        (403, {"X-Left": "0", "X-Reset": "7"}, "", (Throttled, 7.0)),
        (403, {"X-Left": "0", "X-Reset": "soon", "Retry-After": "4"}, "", (Throttled, 4.0)),
        (403, {"X-Left": "1"}, "", (Permanent, None)),
        (400, {}, '{"code": "busy"}', (Transient, None)),
        (400, {}, '{"code": "x1"}', (Permanent, None)),
        (400, {}, '{"code": 7}', (Permanent, None)),
        (404, {}, "<html>", None),
        (200, {}, '{"ok": false, "error": "invalid_auth"}', (Unauthorized, None)),
        (200, {"X-Key": "expired"}, "[]", (Unauthorized, None)),
    ],
)
def test_the_first_rule_that_fits_counts(
    status: int,
    headers: dict[str, str],
    body: str,
    expected: tuple[type[Exception], float | None] | None,
    client: HttpClient,
) -> None:
    source = declared(RULES)
    responses.get(f"{API}/items", status=status, headers=headers, body=body)
    if expected is None:
        (skip,) = perform(client, source, start(source))
        assert isinstance(skip, Skip)
        assert "404" in skip.reason
        return
    with pytest.raises(expected[0]) as caught:
        perform(client, source, start(source))
    assert getattr(caught.value, "retry_after", None) == expected[1]
    if expected[0] is Throttled:
        assert getattr(caught.value, "scope", None) == "account"


# ---- incremental


def test_each_choice_of_streams_has_a_cursor_of_its_own() -> None:
    source = declared(
        TREE.replace('path = "/users"', 'path = "/users"\nincremental = { field = "at", parameter = "since" }')
    )
    at = "2023-11-14T00:10:00.000000Z"

    def since(*streams: str, **cursors: str) -> Any:
        return json.loads(start(source, *streams, full=False, **cursors).payload)["since"]

    assert since("users", users=at) == {"users": "2023-11-14T00:05:00.000000Z"}
    assert since("users", "posts", users=at) == {}
    assert since("users", "posts", **{"users:users,posts": at}) == {"users": "2023-11-14T00:05:00.000000Z"}
    assert json.loads(start(source, "users", full=True, users=at).payload)["since"] == {}


@responses.activate
def test_a_full_run_sends_the_declared_start_and_keeps_the_latest(client: HttpClient) -> None:
    source = declared(
        '[endpoints.items]\npath = "/items"\n'
        'incremental = { field = "at", parameter = "since", format = "unix", start = "0", overlap = "10s" }'
    )
    found = [{"id": 1, "at": 1_600_000_000}, {"id": 2, "at": "2020-09-13T12:26:50Z"}, {"id": 3, "at": "soon"}]
    responses.get(f"{API}/items", json=found, match=[query_param_matcher({"since": "0"})])
    cursor = perform(client, source, start(source))[-1]
    assert cursor == Cursor("items", "2020-09-13T12:26:50.000000Z", greatest=True)
    responses.get(f"{API}/items", json=[], match=[query_param_matcher({"since": "1600000000"})])
    assert perform(client, source, start(source, full=False, items=cursor.value)) == []


@pytest.mark.parametrize(
    ("format", "value", "sent"),
    [
        ("iso", "2023-11-14T22:00:00.9+01:00", "2023-11-14T20:00:00Z"),
        ("iso", "2023-11-14", "2023-11-13T23:00:00Z"),
        ("iso", 1_699_999_200, "2023-11-14T21:00:00Z"),
        ("iso", 1_699_999_200_000, "2023-11-14T21:00:00Z"),
        ("date", "2023-11-14T00:30:00Z", "2023-11-13"),
        ("unix", "2023-11-14T22:00:00Z", 1_699_995_600),
        ("unix_ms", 1_699_999_200.5, 1_699_995_600_500),
        ("iso", "9999-12-31T00:00:00Z", "2023-11-14T21:13:20Z"),  # not later than the run's start
        ("iso", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("iso", None, None),
        ("iso", True, None),
        ("iso", 1e300, None),
        ("iso", "yesterday", None),
        ("number", 7, 0),
        ("number", 5000, 1400),
        ("number", "5000", 1400),
        ("number", "", None),
        ("number", "7.5", None),
        ("number", -1, None),
        ("number", 2**70, None),
    ],
)
def test_times_become_marks_and_parameters(format: str, value: Any, sent: Any) -> None:
    overlap: Any = 3600 if format == "number" else "1h"
    rule = Incremental(field="at", parameter="since", format=format, overlap=overlap)  # type: ignore[arg-type]
    found = mark(rule, value, latest=NOW)
    assert (parameter(rule, bound(rule, found)) if found else None) == sent


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2))
def test_marks_sort_as_times_do(times: list[Any]) -> None:
    rule = Incremental(field="at")
    one, other = (mark(rule, each.isoformat(), latest=253402300799.0) for each in times)
    assert one is not None
    assert other is not None
    assert (one < other) == (times[0] < times[1])
