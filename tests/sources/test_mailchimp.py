"""The Mailchimp source: what it asks for, and what it makes of the answers."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import responses
from responses.matchers import header_matcher, query_param_matcher
from support.sink_batches import one_by_one

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.errors import CrawlerdError, Denied, NotFound, Permanent, Throttled, Transient, Unauthorized
from crawlerd.engine import kinds
from crawlerd.source import (
    MISSING_KEYS,
    Cursor,
    Full,
    Gather,
    Identity,
    Output,
    Record,
    RunPlan,
    Sweep,
    TaskArgs,
)
from crawlerd.sources.mailchimp.members import Job, Lists, MailchimpImport, Members, Swept, Synced, Unread, mailchimp
from crawlerd.sources.mailchimp.missing import Compared, Comparing, Missing, MissingList, MissingMember

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "https://us21.api.mailchimp.com/3.0"
KEY = "0123456789abcdef0123456789abcdef-us21"
STARTED = "2026-01-01T00:00:00+00:00"
UNIX = 1767225600.0  # the same
JOB = Job(STARTED)


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


def perform(client: HttpClient, task: TaskArgs) -> list[Output]:
    """Runs one task as a worker does, from what lies in the frontier."""
    queued = kinds.new_task(mailchimp, task)
    account = AccountSpec(name="news", source="mailchimp", base_url=API, secret=KEY)
    outputs = kinds.perform(mailchimp, client.open(mailchimp, account), queued.kind, queued.payload)
    return [each for output in outputs for each in one_by_one(output)]


def member(key: str, changed: str = "2025-01-01T00:00:00+00:00", **fields: Any) -> dict[str, Any]:
    return {"id": key, "last_changed": changed, **fields}


def starts(options: MailchimpImport, **changes: Any) -> list[Any]:
    plan = {"streams": ["lists", "members"], "full": False, "started_at": UNIX, "options": options, **changes}
    return list(mailchimp.begins(RunPlan(**plan)))


# ---- accounts and imports


def test_ten_connections_and_no_rate_are_its_limits() -> None:
    assert (mailchimp.limits.concurrency, mailchimp.limits.account, mailchimp.limits.bucket) == (10, (), ())


@pytest.mark.parametrize(
    ("base_url", "key", "expected"),
    [
        (None, KEY, API),
        (None, "x-us1", "https://us1.api.mailchimp.com/3.0"),
        ("http://127.0.0.1:80", KEY, "http://127.0.0.1:80/3.0"),
        ("http://127.0.0.1:80/3.0", "a key without one", "http://127.0.0.1:80/3.0"),
    ],
)
def test_the_data_centre_comes_from_the_key(base_url: str | None, key: str, expected: str) -> None:
    assert mailchimp.address is not None
    assert mailchimp.base_url is not None
    assert mailchimp.address(base_url or mailchimp.base_url, key) == expected


@pytest.mark.parametrize("key", ["0123456789abcdef", "x-", "x-us21.evil.example/", "-us21", "x-US21"])
def test_a_key_without_a_data_centre_is_refused_unquoted(key: str) -> None:
    assert mailchimp.address is not None
    assert mailchimp.base_url is not None
    with pytest.raises(ValueError, match="the key does not end in a data center") as caught:
        mailchimp.address(mailchimp.base_url, key)
    assert key not in str(caught.value).replace('such as "-us21"', "")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ("*",)),
        ({"lists": ["*"]}, ("*",)),
        ({"lists": "a"}, ("a",)),
        ({"lists": " a, b;c  a"}, ("a", "b", "c")),
        ({"lists": ["b", "a", "b"]}, ("b", "a")),
        ({"lists": ["b", "*"]}, ("*",)),
    ],
)
def test_lists_are_named_or_all(given: dict[str, Any], wanted: tuple[str, ...]) -> None:
    assert msgspec.convert(given, MailchimpImport).wanted == wanted


@pytest.mark.parametrize("given", [{"lists": []}, {"lists": ""}, {"lists": 3}, {"sweep": "soon"}])
def test_what_is_wrong_with_an_import(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, MailchimpImport)


# ---- a run's start


def test_the_first_run_reads_all_and_sweeps() -> None:
    (gather,) = starts(MailchimpImport())
    assert isinstance(gather, Gather)
    assert gather.if_dead == "fail"
    (lists,) = gather.tasks
    assert lists == Lists(True, (), Job(STARTED, whole=True), {})
    assert gather.then == Comparing((("lists", ""), ("members", "")), UNIX)


def test_a_sweep_keeps_to_the_lists_that_are_read() -> None:
    (gather,) = starts(MailchimpImport(lists=("a", "b")), streams=["members"])
    assert [each.list for each in gather.tasks] == ["a", "b"]
    assert gather.then.prefixes == (("members", "a/"), ("members", "b/"))


def test_the_next_run_begins_a_minute_before_the_last_change_that_was_read() -> None:
    synced = {"since": "2025-12-31T12:00:00+00:00", "delivered": [[1767182370.0, "by an earlier version"]]}
    cursors = {"sweep": str(UNIX - 3600), "members:a": json.dumps(synced), "late:a": "{}"}
    a, b = starts(MailchimpImport(lists=("a", "b")), streams=["members"], cursors=cursors)
    assert (a.list, a.since, a.newest) == ("a", "2025-12-31T11:59:00+00:00", synced["since"])
    assert (b.list, b.since) == ("b", "")
    (why, swept) = starts(MailchimpImport(sweep="30m"), cursors=cursors)
    assert why == Full("the last run that read everything was more than 30m ago")
    assert isinstance(swept, Gather)


def test_a_sweep_makes_no_request(client: HttpClient) -> None:
    outputs = perform(client, Swept((("lists", ""), ("members", "a/")), UNIX))
    assert outputs == [Sweep("lists", ""), Sweep("members", "a/"), Cursor("sweep", str(UNIX))]


def test_what_was_not_found_is_asked_for_before_it_is_swept(client: HttpClient) -> None:
    prefixes = (("lists", ""), ("members", "a/"))
    (group,) = perform(client, Comparing(prefixes, UNIX))
    assert group == Gather([Compared(*each) for each in prefixes], then=Swept(prefixes, UNIX), if_dead="fail")
    assert perform(client, group.tasks[1]) == [Sweep("members", "a/", otherwise=Missing("members", "a/"))]
    assert perform(client, Missing("lists", "", ("a", "b"))) == [MissingList("a"), MissingList("b")]
    few = ("a/1", "a/2", "b/3")
    assert perform(client, Missing("members", "", few)) == [MissingList("a", ("1", "2")), MissingList("b", ("3",))]
    many = tuple(f"a/{number:04}" for number in range(MISSING_KEYS))
    *_, last = perform(client, Missing("members", "a/", many))
    assert last == Sweep("members", "a/", otherwise=Missing("members", "a/"), after="a/0999")


@responses.activate
def test_what_mailchimp_still_has_lives(client: HttpClient) -> None:
    responses.get(f"{API}/lists/a", json={"id": "a", "name": "A"})
    responses.get(f"{API}/lists/b", status=404, json={"status": 404})
    responses.get(f"{API}/lists/a/members/1", json={"id": "1", "status": "cleaned"})
    responses.get(f"{API}/lists/a/members/2", json={"id": "2", "status": "archived"})
    responses.get(f"{API}/lists/a/members/3", status=404, json={"status": 404})
    responses.get(f"{API}/lists/a/members/4", status=400, json={"status": 400})
    responses.get(f"{API}/lists/a/members/5", json={"id": "1"})
    assert perform(client, MissingList("a")) == [Record("lists", "a", {"id": "a", "name": "A"})]
    assert perform(client, MissingList("a", ("1", "2"))) == [MissingMember("a", "1"), MissingMember("a", "2")]
    assert perform(client, MissingList("b")) == perform(client, MissingList("b", ("1",))) == []
    assert perform(client, MissingMember("a", "1")) == [Record("members", "a/1", {"id": "1", "status": "cleaned"})]
    assert perform(client, MissingMember("a", "2")) == perform(client, MissingMember("a", "3")) == []
    with pytest.raises(Permanent):
        perform(client, MissingMember("a", "4"))
    (again,) = perform(client, MissingMember("a", "5"))  # another object proves nothing: the list is read once more
    assert isinstance(again, Members)
    assert (again.list, again.since, again.job.whole, again.job.second) == ("a", "", True, True)


# ---- whose key it is


@responses.activate
def test_the_guard_tells_the_account(client: HttpClient) -> None:
    basic = base64.b64encode(f"crawlerd:{KEY}".encode()).decode()
    match = [header_matcher({"Authorization": f"Basic {basic}"})]
    responses.get(f"{API}/", json={"account_id": "abc"}, match=match)
    assert mailchimp.guard is not None
    assert perform(client, mailchimp.guard) == [Identity("abc")]


@responses.activate
@pytest.mark.parametrize(("status", "body"), [(404, {}), (403, {"detail": "no"}), (200, {}), (200, [])])
def test_a_key_that_may_not_say_whose_it_is_goes_on(client: HttpClient, status: int, body: Any) -> None:
    responses.get(f"{API}/", status=status, json=body)
    assert mailchimp.guard is not None
    assert perform(client, mailchimp.guard) == []


# ---- lists


@responses.activate
def test_lists_lead_to_their_members(client: HttpClient) -> None:
    query = {
        "count": "1000", "offset": "0", "sort_field": "date_created", "sort_dir": "ASC",
        "exclude_fields": "lists._links,_links",
    }  # fmt: skip
    body = {"lists": [{"id": "a"}, {"id": "b"}], "total_items": 2}
    responses.get(f"{API}/lists", json=body, match=[query_param_matcher(query)])
    synced = {"b": Synced("2025-12-31T12:00:00+00:00")}
    assert perform(client, Lists(True, (), JOB, synced)) == [
        Record("lists", "a", {"id": "a"}),
        Record("lists", "b", {"id": "b"}),
        Members("a", JOB),
        Members(
            "b",
            JOB,
            since="2025-12-31T11:59:00+00:00",
            newest="2025-12-31T12:00:00+00:00",
        ),
    ]
    assert perform(client, Lists(True, ("b", "x"), None, {})) == [Record("lists", "b", {"id": "b"})]


# ---- members


@responses.activate
def test_a_page_ends_before_its_last_time_which_the_next_one_reads_again(client: HttpClient) -> None:
    query = {
        "count": "1000", "offset": "0", "sort_field": "last_changed", "sort_dir": "ASC",
        "exclude_fields": "members._links,_links",
    }  # fmt: skip
    first, second, third = (member(str(n), f"2025-01-01T00:00:0{n}+00:00") for n in (1, 2, 3))
    body = {"members": [first, second, third], "total_items": 9}
    responses.get(f"{API}/lists/a%2F1/members", json=body, match=[query_param_matcher(query)])
    *records, following = perform(client, Members("a/1", JOB))
    assert records == [Record("members", "a/1/1", first), Record("members", "a/1/2", second)]
    assert following == Members("a/1", JOB, since=second["last_changed"], newest=second["last_changed"])
    query["since_last_changed"] = second["last_changed"]
    body = {"members": [second, third], "total_items": 2}
    responses.get(f"{API}/lists/a%2F1/members", json=body, match=[query_param_matcher(query)])
    assert isinstance(following, Members)
    assert perform(client, following) == [
        Record("members", "a/1/3", third),
        Cursor("members:a/1", json.dumps({"since": third["last_changed"]}, separators=(",", ":"))),
    ]


@responses.activate
@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"members": {}},
        {"members": ["x"]},
        {"members": [{"id": 1, "last_changed": STARTED}]},
        {"members": [{"id": "", "last_changed": STARTED}]},
    ],
)
def test_a_wrong_body_is_transient(client: HttpClient, body: Any) -> None:
    responses.get(f"{API}/lists/a/members", json=body)
    with pytest.raises(Transient, match="wrong body"):
        perform(client, Members("a", JOB))


ODD_TIMES = ["", None, "yesterday", 5, "2025-13-01", [], "9999-99-99T00:00:00Z"]


@responses.activate
@pytest.mark.parametrize("odd", ODD_TIMES)
@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_a_member_without_a_time_of_change_costs_no_other(client: HttpClient, odd: Any, place: int) -> None:
    """Neither where it stands first, nor in the part of a page that the next one reads again, nor last."""
    members = [member(str(n), f"2025-01-01T00:00:0{n}+00:00") for n in range(5)]
    members.insert(place, {"id": "odd", "last_changed": odd})
    responses.get(f"{API}/lists/a/members", json={"members": members, "total_items": 9})
    *records, following = perform(client, Members("a", JOB))
    keys = [each.key for each in records if isinstance(each, Record)]
    assert set(keys) - {"a/odd"} == {f"a/{n}" for n in range(4)}
    assert keys.count("a/odd") == 1
    assert isinstance(following, Members)
    assert (following.since, following.newest) == ("2025-01-01T00:00:03+00:00",) * 2


@responses.activate
def test_a_list_without_any_time_of_change_is_read_by_its_offset(client: HttpClient) -> None:
    members = [{"id": str(n), "last_changed": ""} for n in range(30)]
    responses.get(f"{API}/lists/a/members", json={"members": members, "total_items": 90})
    *records, following = perform(client, Members("a", JOB))
    assert len(records) == 30
    assert isinstance(following, Members)
    assert (following.since, following.skip, len(following.tail)) == ("", 20, 10)


@responses.activate
def test_of_a_member_without_id_nobody_knows_whether_it_is_gone(client: HttpClient) -> None:
    members = [member("1"), {"last_changed": STARTED}, {"id": None, "last_changed": STARTED}]
    responses.get(f"{API}/lists/a/members", json={"members": members, "total_items": 3})
    for whole in (True, False):
        output = perform(client, Members("a", Job(STARTED, whole=whole)))
        assert [isinstance(each, Unread) for each in output].count(True) == whole
    (unread,) = (each for each in perform(client, Members("a", Job(STARTED, whole=True))) if isinstance(each, Unread))
    with pytest.raises(Permanent, match="without id"):
        perform(client, unread)


@responses.activate
def test_another_order_than_asked_for_is_permanent(client: HttpClient) -> None:
    page = [member("1", "2025-01-02T00:00:00+00:00"), member("2", "2025-01-01T00:00:00+00:00")]
    responses.get(f"{API}/lists/a/members", json={"members": page, "total_items": 2})
    with pytest.raises(Permanent, match="not in the requested order, by last_changed"):
        perform(client, Members("a", JOB))


# ---- what Mailchimp refuses


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "expected", "text"),
    [
        (429, "<html>", Throttled, "HTTP 429 without JSON"),
        (403, "<html>", Throttled, "HTTP 403 without JSON"),
        (403, "", Throttled, "HTTP 403 without JSON"),
        (429, '{"detail": "You have exceeded the limit of 10 simultaneous connections."}', Throttled, "10 simultan"),
        (403, '{"title": "Forbidden", "detail": "You may not"}', Denied, "You may not"),
        (401, '{"title": "API Key Invalid", "detail": "Your API key may be invalid"}', Unauthorized, "may be invalid"),
        (404, '{"status": 404, "detail": "The resource could not be found."}', NotFound, "could not be found"),
        (404, '{"message": "no Route matched with those values"}', Permanent, "no Route matched"),  # a proxy's
        (404, '{"status": "Not Found", "detail": "no upstream"}', Permanent, "no upstream"),
        (500, '{"detail": "An unexpected internal error"}', Transient, "internal error"),
    ],
)
def test_refusals(client: HttpClient, status: int, body: str, expected: type[CrawlerdError], text: str) -> None:
    responses.get(f"{API}/lists/a/members", status=status, body=body)
    with pytest.raises(CrawlerdError, match=text) as caught:
        perform(client, Members("a", JOB))
    assert type(caught.value) is expected
    if isinstance(caught.value, Throttled):
        assert caught.value.scope == "account"
        assert caught.value.concurrency is ("simultaneous" in body)
