"""The receiving account: what a delivery sends, what it takes for an answer, and how batches are cut."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import responses
from responses.matchers import header_matcher, json_params_matcher

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.errors import CrawlerdError, Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.outcome import Bury, Retry, RetryPolicy, charge, decide
from crawlerd.engine import kinds
from crawlerd.source import ForAccount
from crawlerd.sources.http import MOST_BYTES, Answered, Call, Delivery, Post, deliveries, http, item

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://crm.example.com/api/contacts"


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


encode = msgspec.json.encode


def post(*data: Any, **changes: Any) -> Post:
    given = {"attempts": 3, "retry_seconds": 5.0, "expires_at": time.time() + 60, **changes}
    return Post("/contacts", "key-1", tuple(msgspec.Raw(msgspec.json.encode(each)) for each in data), **given)


def perform(client: HttpClient, task: Post, key: str = "token-of-crm") -> None:
    queued = kinds.new_task(http, task)
    account = AccountSpec(name="crm", source="http", base_url="https://crm.example.com/api", secret=key)
    assert list(kinds.perform(http, client.open(http, account), queued.kind, queued.payload)) == []


def cut(delivery: Delivery, *data: dict[str, Any]) -> list[Post]:
    items = [item(delivery, str(each.get("id")), "v1", encode(each)) for each in data]
    found = [each.args for each in deliveries(delivery, items, 0.0)]
    assert all(isinstance(each, Post) for each in found)
    return found  # type: ignore[return-value]  # as just seen


@responses.activate
def test_a_batch_is_posted_under_its_key(client: HttpClient) -> None:
    headers = {"Authorization": "Bearer token-of-crm", "Idempotency-Key": "key-1", "Content-Type": "application/json"}
    responses.post(URL, json={}, match=[header_matcher(headers), json_params_matcher([{"id": 1}, {"id": 2}])])
    perform(client, post({"id": 1}, {"id": 2}))


@responses.activate
def test_the_list_may_lie_in_a_field(client: HttpClient) -> None:
    responses.post(URL, json={}, match=[json_params_matcher({"contacts": [{"id": 1}]})])
    perform(client, post({"id": 1}, records="contacts"))


@responses.activate
def test_a_receiver_may_do_without_a_token(client: HttpClient) -> None:
    responses.post(URL, json={})
    perform(client, post({"id": 1}), key="")
    assert "Authorization" not in responses.calls[0].request.headers


@responses.activate
@pytest.mark.parametrize(("body", "accepted"), [({"accepted": 2}, "accepted"), ({"sum": {"ok": 2}}, "sum.ok")])
def test_the_accepted_count_is_compared(client: HttpClient, body: Any, accepted: str) -> None:
    responses.post(URL, json=body)
    perform(client, post(1, 2, accepted=accepted))
    with pytest.raises(Transient, match="the receiver accepted 2 of 3 records") as caught:
        perform(client, post(1, 2, 3, accepted=accepted))
    assert (caught.value.attempts, caught.value.delay) == (3, 5.0)


@responses.activate
@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '{"accepted": "1"}', '{"accepted": true}', "[" * 100_000])
def test_an_answer_without_a_count_is_none(client: HttpClient, body: str) -> None:
    responses.post(URL, body=body)
    with pytest.raises(Transient, match="the receiver accepted an unknown number of 1 records"):
        perform(client, post(1, accepted="accepted"))


@responses.activate
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (500, Transient),
        (409, Transient),
        (422, Permanent),
        (403, Denied),
        (429, Throttled),
        (401, Unauthorized),
        (302, Permanent),
    ],
)
def test_refusals(client: HttpClient, status: int, expected: type[CrawlerdError]) -> None:
    responses.post(URL, status=status)
    with pytest.raises(CrawlerdError) as caught:
        perform(client, post(1))
    assert type(caught.value) is expected


@responses.activate
@pytest.mark.parametrize("status", [401, 429])
def test_what_waits_for_its_receiver_expires(client: HttpClient, status: int) -> None:
    responses.post(URL, status=status)
    with pytest.raises(Permanent, match=f"still refused when it expired: HTTP {status}"):
        perform(client, post(1, expires_at=time.time() - 1))


def test_a_tasks_own_policy_takes_the_place_of_the_accounts() -> None:
    error, policy = Transient("HTTP 500", attempts=3, delay=5.0), RetryPolicy(attempts=8, base=100.0)
    retries = [decide(error, attempt=attempt, policy=policy, jitter=0.9) for attempt in range(3)]
    outcomes = [charge(each, attempt) for attempt, each in enumerate(retries) if isinstance(each, Retry)]
    assert outcomes[:2] == [Retry(5.0, "Transient: HTTP 500", 3)] * 2
    assert outcomes[2] == Bury("gave up after 3 attempts: Transient: HTTP 500")


def test_fields_are_mapped_by_dotted_paths() -> None:
    delivery = Delivery("crm", "/x", fields={"id": "id", "name": "merge_fields.FNAME", "none": "merge_fields.X.Y"})
    ((mapped,),) = [each.data for each in cut(delivery, {"id": "1", "merge_fields": {"FNAME": "Ann", "X": 3}})]
    assert msgspec.json.decode(mapped) == {"id": "1", "name": "Ann", "none": None}
    ((whole,),) = [each.data for each in cut(Delivery("crm", "/x"), {"id": "1", "a": {"b": 2}})]
    assert msgspec.json.decode(whole) == {"id": "1", "a": {"b": 2}}


def test_batches_have_a_most_of_records_and_of_bytes() -> None:
    records = [{"id": str(number)} for number in range(1001)]
    assert [len(each.data) for each in cut(Delivery("crm", "/x", batch=400), *records)] == [400, 400, 201]
    large = [{"id": str(number), "text": "x" * (MOST_BYTES // 3)} for number in range(5)]
    large.insert(2, {"id": "huge", "text": "x" * (2 * MOST_BYTES)})
    batches = cut(Delivery("crm", "/x"), *large)
    assert [[msgspec.json.decode(each)["id"] for each in batch.data] for batch in batches] == [
        ["0", "1"],
        ["huge"],
        ["2", "3"],
        ["4"],
    ]
    assert cut(Delivery("crm", "/x")) == []


def test_the_key_follows_from_what_is_delivered_and_where() -> None:
    def key(delivery: Delivery, *versions: tuple[str, str, dict[str, Any]]) -> str:
        ((task),) = deliveries(
            delivery,
            [item(delivery, name, version, msgspec.json.encode(data)) for name, version, data in versions],
            0.0,
        )
        assert isinstance(task.args, Post)
        return task.args.idempotency_key

    crm = Delivery("crm", "/x")
    one, other = ("id1", "v1", {"a": 1}), ("id2", "v1", {"a": 1})
    assert key(crm, one, other) == key(crm, one, other)
    keys = [
        key(crm, one),
        key(crm, other),
        key(crm, one, other),
        key(crm, ("id1", "v2", {"a": 1})),
        key(crm, ("id1", "v1", {"a": 2})),
        key(Delivery("crm", "/y"), one),
        key(Delivery("erp", "/x"), one),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"path": "contacts"}, 'path must begin with "/"'),
        ({"batch": 0}, "batch must be from 1 to 1000"),
        ({"batch": 1001}, "batch must be from 1 to 1000"),
        ({"attempts": 0}, "attempts must be from 1 to 1000"),
        ({"retry_delay": "5"}, '"5" is not a duration'),
        ({"expires": "never"}, '"never" is not a duration'),
        ({"fields": {"id": 1}}, "Expected `str`"),
        ({"batsh": 1}, "unknown field `batsh`"),
    ],
)
def test_what_is_wrong_with_a_delivery(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert({"account": "crm", "path": "/x", **changes}, Delivery)


def test_arguments_lie_in_the_frontier_as_json() -> None:
    task = kinds.new_task(http, post({"id": "ä", "big": 2**63}))
    assert (task.kind, task.bucket) == ("http.deliver", "deliver")
    assert json.loads(task.payload)["data"] == [{"id": "ä", "big": 2**63}]


def test_numbers_are_delivered_as_they_came() -> None:
    text = b'{"id":"1","n":955031734.1681486901,"m":1.10,"k":1e999,"w":' + b"7" * 5000 + b"}"
    for fields, sent in (({}, text), ({"n": "n", "k": "k"}, b'{"n":955031734.1681486901,"k":1e999}')):
        one = item(Delivery("crm", "/x", fields=fields), "1", "v1", text)
        assert bytes(one.data) == sent
        assert one.size == len(sent)


@responses.activate
def test_a_call_is_sent_and_answered_as_it_is_written(client: HttpClient) -> None:
    sent, answered = b'{"n":955031734.1681486901,"m":1.0}', '{"name": "Zo\u00eb \u20ac", "n": 12345678901234567890.5}'
    kind = "application/json; charset=utf-16"
    responses.post(URL, body=answered.encode("utf-16"), content_type=kind)
    task = Call("POST", "/contacts", msgspec.Raw(sent), "key-1", "acme", msgspec.Raw(b"{}"))
    account = AccountSpec(name="crm", source="http", base_url="https://crm.example.com/api", secret="x")
    (output,) = kinds.perform(http, client.open(http, account), "http.call", kinds.new_task(http, task).payload)
    assert isinstance(output, ForAccount)
    assert isinstance(output.args, Answered)
    assert bytes(output.args.body) == answered.replace(": ", ":").replace(", ", ",").encode()
    assert responses.calls[0].request.body == sent
