"""The receiving account: what a delivery sends, what it takes for an answer, and how batches are cut."""

from __future__ import annotations

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
from crawlerd.sources.http import Answered, Call, Delivery, Send, http

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://crm.example.com/api/contacts"


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


encode = msgspec.json.encode


def post(*data: Any, **changes: Any) -> Send:
    given = {
        "database": "/x", "batch": 1, "token": 1, "records": len(data), "method": "POST", "path": "/contacts",
        "field": "", "accepted": "", "attempts": 3, "retry_seconds": 5.0, "expires_at": time.time() + 60,
        "idempotency_key": "key-1", "what": "k1 (s_things of acme)", **changes,
    }  # fmt: skip
    return Send(data=tuple(msgspec.Raw(msgspec.json.encode(each)) for each in data), **given)


def perform(client: HttpClient, task: Send, key: str = "token-of-crm") -> None:
    queued = kinds.new_task(http, task)  # as it is when it is performed: with what the outbox has
    account = AccountSpec(name="crm", source="http", base_url="https://crm.example.com/api", secret=key)
    assert list(kinds.perform(http, client.open(http, account), queued.kind, queued.payload)) == []


@responses.activate
def test_a_batch_is_posted_under_its_key(client: HttpClient) -> None:
    headers = {"Authorization": "Bearer token-of-crm", "Idempotency-Key": "key-1", "Content-Type": "application/json"}
    responses.post(URL, json={}, match=[header_matcher(headers), json_params_matcher([{"id": 1}, {"id": 2}])])
    perform(client, post({"id": 1}, {"id": 2}))


@responses.activate
def test_the_list_may_lie_in_a_field(client: HttpClient) -> None:
    responses.post(URL, json={}, match=[json_params_matcher({"contacts": [{"id": 1}]})])
    perform(client, post({"id": 1}, field="contacts"))


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
    with pytest.raises(
        Transient, match="the receiver's response has no number of accepted records at accepted"
    ) as caught:
        perform(client, post(1, 2, accepted="accepted"))
    assert caught.value.about == "later"  # nothing is cut: the receiver may have applied it


@responses.activate
@pytest.mark.parametrize(
    ("status", "records", "expected", "about"),
    [
        (500, 2, Transient, "later"),
        (409, 2, Transient, "later"),
        (429, 2, Throttled, None),
        (401, 2, Unauthorized, None),
        (422, 2, Permanent, "data"),
        (422, 1, Permanent, "data"),
        (400, 2, Permanent, "data"),
        (413, 2, Permanent, "data"),
        (403, 2, Denied, "later"),
        (403, 1, Denied, "data"),
        (404, 2, Permanent, "later"),
        (302, 2, Permanent, "later"),
    ],
)
def test_refusals(
    client: HttpClient, status: int, records: int, expected: type[CrawlerdError], about: str | None
) -> None:
    responses.post(URL, status=status)
    with pytest.raises(CrawlerdError) as caught:
        perform(client, post(*range(records)))
    assert type(caught.value) is expected
    assert getattr(caught.value, "about", None) == about
    if about:
        others = " and 1 others" if records == 2 else ""
        assert str(caught.value).endswith(f", for k1 (s_things of acme){others}")


@responses.activate
@pytest.mark.parametrize("status", [401, 429, 503])
def test_what_waits_for_its_receiver_is_left_to_the_next_run(client: HttpClient, status: int) -> None:
    responses.post(URL, status=status)
    with pytest.raises(Permanent, match=f"not delivered in time, the next run goes on: HTTP {status}") as caught:
        perform(client, post(1, expires_at=time.time() - 1))
    assert caught.value.about == "later"


@responses.activate
@pytest.mark.parametrize(("status", "fails"), [(200, False), (404, False), (410, False), (422, True)])
def test_what_is_gone_already_is_gone(client: HttpClient, status: int, fails: bool) -> None:
    responses.delete(f"{URL}/7", status=status)
    gone = post(None, method="DELETE", path="/contacts/7", alone=True, accepted="accepted")
    if fails:
        with pytest.raises(Permanent):
            perform(client, gone)
    else:
        perform(client, gone)
        assert responses.calls[0].request.body is None


@responses.activate
def test_a_record_alone_is_the_body(client: HttpClient) -> None:
    responses.put(f"{URL}/7", match=[json_params_matcher({"id": 7})])
    perform(client, post({"id": 7}, method="PUT", path="/contacts/7", alone=True))
    with pytest.raises(Permanent, match="has no value for a field of the path") as caught:
        perform(client, post({"id": 7}, method="PUT", path="", alone=True))
    assert caught.value.about == "data"


def test_a_tasks_own_policy_takes_the_place_of_the_accounts() -> None:
    error, policy = Transient("HTTP 500", attempts=3, delay=5.0), RetryPolicy(attempts=8, base=100.0)
    retries = [decide(error, attempt=attempt, policy=policy, jitter=0.9) for attempt in range(3)]
    outcomes = [charge(each, attempt) for attempt, each in enumerate(retries) if isinstance(each, Retry)]
    assert outcomes[:2] == [Retry(5.0, "Transient: HTTP 500", 3)] * 2
    assert outcomes[2] == Bury("gave up after 3 attempts: Transient: HTTP 500")


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
        ({"fields": {"id": "{a"}}, "has a brace alone"),
        ({"batsh": 1}, "unknown field `batsh`"),
    ],
)
def test_what_is_wrong_with_a_delivery(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert({"account": "crm", "path": "/x", **changes}, Delivery)


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
