"""The Stripe source: what it asks for, what it makes of the answers, and whole imports of the local API."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
import responses
from responses.matchers import header_matcher, query_param_matcher

from crawlerd.clients.http import HttpClient
from crawlerd.core.account import AccountSpec
from crawlerd.core.errors import CrawlerdError, Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.demo.objects import STREAMS, expected
from crawlerd.source import Identity, Output, Record, RunPlan, TaskArgs
from crawlerd.sources.stripe import LISTS, PAGES, VERSION, InvoiceLines, PaymentMethods, stripe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.task import NewTask
    from crawlerd.demo.server import Server

API = "https://api.stripe.com"
KEY = "sk_live_51abcdefghijklmnop"


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


def perform(client: HttpClient, task: TaskArgs | NewTask, *, key: str = KEY, url: str = "") -> list[Output]:
    """Runs one task as a worker does, from what lies in the frontier."""
    queued = stripe.new_task(task) if isinstance(task, TaskArgs) else task
    account = AccountSpec(name="acme", source="stripe", base_url=url, secret=key)
    return list(stripe.perform(client.open(stripe, account), queued.kind, queued.payload))


def listed(*ids: str, more: bool = False, **fields: Any) -> dict[str, Any]:
    return {"object": "list", "has_more": more, "data": [{"id": key, **fields} for key in ids]}


def starts(*streams: str) -> list[NewTask]:
    return stripe.first_tasks(RunPlan(streams=streams, full=True, started_at=0.0))


# ---- the first tasks


def test_every_stream_starts_a_list_of_its_own_name() -> None:
    assert {
        "customers", "charges", "invoices", "subscriptions", "products", "prices", "payment_intents", "refunds",
        "disputes", "balance_transactions", "payouts", "transfers", "coupons", "credit_notes", "events",
    } <= set(stripe.streams)  # fmt: skip
    for stream in LISTS:
        (task,) = starts(stream)
        assert (task.kind, task.bucket, task.sequential) == (f"stripe.{stream}", stream, True)
        assert json.loads(task.payload) == {"streams": [stream], "starting_after": None}
    tasks = starts(*stripe.streams)
    assert len({task.key() for task in tasks}) == len(tasks) == len(LISTS)


@pytest.mark.parametrize(
    ("streams", "kind", "wanted"),
    [
        (["customers"], "stripe.customers", ["customers"]),
        (["payment_methods"], "stripe.customers", ["payment_methods"]),
        (["payment_methods", "customers"], "stripe.customers", ["customers", "payment_methods"]),
        (["invoice_lines"], "stripe.invoices", ["invoice_lines"]),
        (["invoice_lines", "invoices"], "stripe.invoices", ["invoices", "invoice_lines"]),
    ],
)
def test_what_lies_below_a_list_starts_with_that_list(streams: list[str], kind: str, wanted: list[str]) -> None:
    (task,) = starts(*streams)
    assert (task.kind, json.loads(task.payload)["streams"]) == (kind, wanted)


def test_limits_are_stripes_own() -> None:
    assert (stripe.limits, stripe.bucket_limits) == (("100/second",), ("25/second",))


# ---- whose key it is


@responses.activate
@pytest.mark.parametrize(
    ("key", "mode"),
    [("sk_live_1", "live"), ("rk_live_1", "live"), ("sk_test_1", "test"), ("rk_test_1", "test")],
)
def test_the_guard_tells_account_and_mode(client: HttpClient, key: str, mode: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Stripe-Version": VERSION}
    responses.get(f"{API}/v1/account", json={"id": "acct_1", "object": "account"}, match=[header_matcher(headers)])
    assert stripe.guard is not None
    assert perform(client, stripe.guard, key=key) == [Identity(f"acct_1:{mode}")]


@responses.activate
def test_the_guard_wants_an_account(client: HttpClient) -> None:
    responses.get(f"{API}/v1/account", json={"object": "list"})
    assert stripe.guard is not None
    with pytest.raises(Transient, match="wrong body"):
        perform(client, stripe.guard)


# ---- pages


@responses.activate
def test_pages_follow_each_other_to_the_end(client: HttpClient) -> None:
    first, last = {"limit": "100"}, {"limit": "100", "starting_after": "ch_2"}
    responses.get(f"{API}/v1/charges", json=listed("ch_3", "ch_2", more=True), match=[query_param_matcher(first)])
    responses.get(f"{API}/v1/charges", json=listed("ch_1"), match=[query_param_matcher(last)])
    *records, following = perform(client, PAGES["charges"](("charges",)))
    assert records == [Record("charges", "ch_3", {"id": "ch_3"}), Record("charges", "ch_2", {"id": "ch_2"})]
    assert following == PAGES["charges"](("charges",), starting_after="ch_2")
    assert isinstance(following, TaskArgs)
    assert perform(client, following) == [Record("charges", "ch_1", {"id": "ch_1"})]


@responses.activate
@pytest.mark.parametrize(
    ("stream", "filters"), [("subscriptions", {"status": "all"}), ("prices", {}), ("products", {})]
)
def test_lists_leave_nothing_out(client: HttpClient, stream: str, filters: dict[str, str]) -> None:
    """Canceled subscriptions come only with status=all; without `active`, prices and products come in both states."""
    responses.get(f"{API}/v1/{stream}", json=listed(), match=[query_param_matcher({"limit": "100", **filters})])
    assert perform(client, PAGES[stream]((stream,))) == []


@responses.activate
@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"data": []},
        {"has_more": False},
        {"data": {}, "has_more": False},
        {"data": [], "has_more": "false"},
        {"data": ["ch_1"], "has_more": False},
        {"data": [{"object": "charge"}], "has_more": False},
        {"data": [{"id": None}], "has_more": False},
        {"data": [{"id": ""}], "has_more": False},
    ],
)
def test_a_wrong_body_is_transient(client: HttpClient, body: Any) -> None:
    responses.get(f"{API}/v1/charges", json=body)
    with pytest.raises(Transient, match="wrong body"):
        perform(client, PAGES["charges"](("charges",)))


@responses.activate
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (listed(more=True), "/v1/charges says has_more on an empty page"),
        (listed("ch_3", "ch_2", more=True), "/v1/charges repeated the cursor ch_2"),
    ],
)
def test_a_list_that_would_not_end_is_permanent(client: HttpClient, body: Any, problem: str) -> None:
    responses.get(f"{API}/v1/charges", json=body)
    with pytest.raises(Permanent, match=f"^{problem}$"):
        perform(client, PAGES["charges"](("charges",), starting_after="ch_2"))


# ---- below customers and invoices


@responses.activate
def test_payment_methods_of_each_customer(client: HttpClient) -> None:
    responses.get(f"{API}/v1/customers", json=listed("cus_2", "cus/1?"))
    both = perform(client, PAGES["customers"](("customers", "payment_methods")))
    assert both == [
        Record("customers", "cus_2", {"id": "cus_2"}),
        PaymentMethods("cus_2"),
        Record("customers", "cus/1?", {"id": "cus/1?"}),
        PaymentMethods("cus/1?"),
    ]
    assert perform(client, PAGES["customers"](("payment_methods",))) == both[1::2]
    assert perform(client, PAGES["customers"](("customers",))) == both[::2]

    url = f"{API}/v1/customers/cus%2F1%3F/payment_methods"
    responses.get(url, json=listed("pm_2", more=True), match=[query_param_matcher({"limit": "100"})])
    assert perform(client, PaymentMethods("cus/1?")) == [
        Record("payment_methods", "pm_2", {"id": "pm_2"}),
        PaymentMethods("cus/1?", starting_after="pm_2"),
    ]
    after = query_param_matcher({"limit": "100", "starting_after": "pm_2"})
    responses.get(url, json=listed("pm_1"), match=[after])
    (record,) = perform(client, PaymentMethods("cus/1?", starting_after="pm_2"))
    assert record == Record("payment_methods", "pm_1", {"id": "pm_1"})


@responses.activate
def test_invoice_lines_are_asked_for_where_the_invoice_has_more(client: HttpClient) -> None:
    whole, cut = {"id": "in_2", "lines": listed("il_4")}, {"id": "in_1", "lines": listed("il_3", "il_2", more=True)}
    responses.get(f"{API}/v1/invoices", json={"data": [whole, cut], "has_more": False})
    lines = [Record("invoice_lines", key, {"id": key}) for key in ("il_4", "il_3", "il_2", "il_1")]
    rest = InvoiceLines("in_1", starting_after="il_2")
    assert perform(client, PAGES["invoices"](("invoice_lines",))) == [*lines[:3], rest]
    assert perform(client, PAGES["invoices"](("invoices",))) == [
        Record("invoices", "in_2", whole),
        Record("invoices", "in_1", cut),
    ]
    after = query_param_matcher({"limit": "100", "starting_after": "il_2"})
    responses.get(f"{API}/v1/invoices/in_1/lines", json=listed("il_1"), match=[after])
    assert perform(client, rest) == lines[3:]


@responses.activate
def test_an_invoice_without_its_lines_is_a_wrong_body(client: HttpClient) -> None:
    responses.get(f"{API}/v1/invoices", json=listed("in_1"))
    with pytest.raises(Transient, match="wrong body"):
        perform(client, PAGES["invoices"](("invoice_lines",)))


@pytest.mark.parametrize("task", [PaymentMethods("cus_1"), InvoiceLines("in_1")])
def test_short_lists_come_after_the_long_ones(task: TaskArgs) -> None:
    (parents,) = starts("customers")
    child = stripe.new_task(task)
    assert child.priority > parents.priority
    assert child.sequential
    assert child.bucket == task.kind.removeprefix("stripe.")


# ---- what Stripe refuses


@responses.activate
@pytest.mark.parametrize(
    ("reason", "scope", "concurrency"),
    [
        ("global-rate", "account", False),
        ("global-concurrency", "account", True),
        ("endpoint-rate", "bucket", False),
        ("endpoint-concurrency", "bucket", True),
        ("resource-specific", "bucket", False),
    ],
)
def test_the_limiters_reason(client: HttpClient, reason: str, scope: str, concurrency: bool) -> None:
    headers = {"Stripe-Rate-Limited-Reason": reason, "Retry-After": "2"}
    responses.get(f"{API}/v1/charges", status=429, headers=headers, json={"error": {"code": "rate_limit"}})
    with pytest.raises(Throttled, match=reason) as caught:
        perform(client, PAGES["charges"](("charges",)))
    assert (caught.value.scope, caught.value.concurrency, caught.value.retry_after) == (scope, concurrency, 2.0)


@responses.activate
@pytest.mark.parametrize(
    ("status", "error", "expected", "text"),
    [
        (429, {"code": "lock_timeout", "message": "busy"}, Transient, "lock_timeout"),
        (429, {"code": "rate_limit", "message": "slow down"}, Throttled, "slow down"),
        (429, None, Throttled, "HTTP 429"),
        (400, {"code": "resource_missing", "param": "starting_after"}, Permanent, "the cursor points to was deleted"),
        (400, {"code": "parameter_unknown", "param": "x", "message": "what?"}, Permanent, "what?"),
        (
            404,
            {"code": "resource_missing", "param": "id", "message": "No such customer"},
            Permanent,
            "No such customer",
        ),
        (401, {"message": "Invalid API Key provided: sk_test_****"}, Unauthorized, "Invalid API Key"),
        (403, {"message": "no permission"}, Denied, "no permission"),
        (500, {"message": "oops"}, Transient, "oops"),
    ],
)
def test_refusals(client: HttpClient, status: int, error: Any, expected: type[CrawlerdError], text: str) -> None:
    responses.get(f"{API}/v1/charges", status=status, json={"error": error})
    with pytest.raises(CrawlerdError, match=text) as caught:
        perform(client, PAGES["charges"](("charges",), starting_after="ch_1"))
    assert type(caught.value) is expected


# ---- whole imports of the local API


@pytest.mark.parametrize(
    "streams",
    [
        ["customers", "payment_methods", "invoices", "invoice_lines", "subscriptions", "prices"],
        ["payment_methods"],
        ["*"],
    ],
)
def test_imports_exactly_what_the_api_has(client: HttpClient, api: Server, streams: list[str]) -> None:
    wanted = stripe.streams if streams == ["*"] else streams
    todo = deque(starts(*wanted))
    seen = {task.key() for task in todo}
    found: dict[str, dict[str, Any]] = {}
    while todo:
        for output in perform(client, todo.popleft(), key=api.key(3), url=api.url):
            if isinstance(output, TaskArgs):
                todo.append(stripe.new_task(output))
                assert todo[-1].key() not in seen
                seen.add(todo[-1].key())
            else:
                assert isinstance(output, Record)
                assert output.key not in found.setdefault(output.stream, {})
                found[output.stream][output.key] = output.data
    of_api = {stream: dict(expected(3, stream, 40)) for stream in wanted if stream in STREAMS}
    assert found == {stream: objects for stream, objects in of_api.items() if objects}
    assert api.stats().accounts[3].requests == len(seen)
