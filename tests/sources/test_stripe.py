"""The Stripe source: what it asks for, what it makes of the answers, and whole imports of the local API."""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from responses.matchers import header_matcher, query_param_matcher
from support.sink_batches import one_by_one

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.errors import CrawlerdError, Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.demo.objects import STREAMS, expected
from crawlerd.engine import kinds
from crawlerd.source import (
    MISSING_KEYS,
    Cursor,
    Gather,
    Identity,
    Orphans,
    Output,
    Record,
    Records,
    RunPlan,
    Sweep,
    TaskArgs,
)
from crawlerd.sources.stripe import stripe
from crawlerd.sources.stripe.again import AGAIN, MISSING, Again, LeftBelow
from crawlerd.sources.stripe.answers import CursorGone
from crawlerd.sources.stripe.below import PAGES_BELOW
from crawlerd.sources.stripe.catalogue import BELOW, LISTS, TYPES, deletions, event_types, expansions, mentioned_by, one
from crawlerd.sources.stripe.entries import SETTLES
from crawlerd.sources.stripe.events import Events
from crawlerd.sources.stripe.loading import OVERLAP, SKEW, Begin, CatchUp, Load, Mark
from crawlerd.sources.stripe.missing import SWEEPS, Compare, Compared, Missing, SecondLook
from crawlerd.sources.stripe.pages import PAGES, Page
from crawlerd.sources.stripe.paging import RESTARTS
from crawlerd.sources.stripe.plan import DAY
from crawlerd.sources.stripe.stripe_api import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.task import NewTask
    from crawlerd.demo.server import Server

API = "https://api.stripe.com"
NOW = 1_763_000_000.0
KEY = "sk_live_51abcdefghijklmnop"


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


def perform(client: HttpClient, task: TaskArgs | NewTask, *, key: str = KEY, url: str = "") -> list[Output]:
    """Runs one task as a worker does, from what lies in the frontier."""
    queued = kinds.new_task(stripe, task) if isinstance(task, TaskArgs) else task
    account = AccountSpec(name="acme", source="stripe", base_url=url, secret=key)
    outputs = kinds.perform(stripe, client.open(stripe, account), queued.kind, queued.payload)
    return [each for output in outputs for each in one_by_one(output)]


def listed(*ids: str, more: bool = False, **fields: Any) -> dict[str, Any]:
    return {"object": "list", "has_more": more, "data": [{"id": key, **fields} for key in ids]}


def plan(*streams: str, full: bool = False, cursors: dict[str, Mark] | None = None) -> RunPlan:
    marks = {stream: msgspec.json.encode(mark).decode() for stream, mark in (cursors or {}).items()}
    return RunPlan(streams=streams, full=full, started_at=NOW, cursors=marks)


def expanded(stream: str, *streams: str, prefix: str = "data.") -> dict[str, Any]:
    """What a request asks to be expanded, as a matcher takes it."""
    names = expansions(stream, streams, prefix)
    return {"expand[]": names if len(names) > 1 else names[0]} if names else {}


def starts(client: HttpClient, *streams: str) -> list[Page]:
    """The first pages of a first run."""
    responses.get(f"{API}/v1/events", json=listed("evt_1", created=1))
    (first,) = kinds.first(stripe, plan(*streams)).children
    (load,) = [output for output in perform(client, first) if isinstance(output, Gather)]
    responses.reset()
    return [page for group in perform(client, load.tasks[0]) for page in group.tasks]


# ---- the first tasks


@responses.activate
def test_every_stream_starts_a_list_of_its_own_name(client: HttpClient) -> None:
    assert {
        "customers", "charges", "invoices", "subscriptions", "products", "prices", "payment_intents", "refunds",
        "disputes", "balance_transactions", "payouts", "transfers", "coupons", "credit_notes", "events",
    } <= set(stripe.streams)  # fmt: skip
    for stream in LISTS:
        args, *also = starts(client, stream)
        assert [each.filters for each in also] == [each for each in [LISTS[stream].also] if each]
        task = kinds.new_task(stripe, args)
        single = LISTS[stream].single
        kind = f"stripe.{stream}.single" if single else f"stripe.{stream}"
        assert (task.kind, task.bucket, task.sequential) == (kind, stream, not single)
        assert args == PAGES[stream]((stream,))
    tasks = [kinds.new_task(stripe, args) for args in starts(client, *stripe.streams, *stripe.optional)]
    assert len({task.key() for task in tasks}) == len(tasks)
    assert len(tasks) == len(LISTS) + len([each for each in LISTS.values() if each.also])


@responses.activate
@pytest.mark.parametrize(
    ("streams", "kind", "wanted"),
    [
        (["customers"], "stripe.customers", ["customers"]),
        (["payment_methods"], "stripe.customers", ["payment_methods"]),
        (["payment_methods", "customers"], "stripe.customers", ["customers", "payment_methods"]),
        (["invoice_lines"], "stripe.invoices", ["invoice_lines"]),
        (["invoice_lines", "invoices"], "stripe.invoices", ["invoices", "invoice_lines"]),
        (["subscription_items"], "stripe.subscriptions", ["subscription_items"]),
    ],
)
def test_what_lies_below_a_list_starts_with_that_list(
    client: HttpClient, streams: list[str], kind: str, wanted: list[str]
) -> None:
    (task,) = starts(client, *streams)
    assert (task.kind, list(task.streams)) == (kind, wanted)


def test_limits_are_stripes_own() -> None:
    assert (stripe.limits.account, stripe.limits.bucket) == (("100/second",), ("25/second",))


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
    asked = {"limit": "100", **filters, **expanded(stream)}
    responses.get(f"{API}/v1/{stream}", json=listed(), match=[query_param_matcher(asked)])
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
        Record("customers", "cus/1?", {"id": "cus/1?"}),
        PAGES_BELOW["payment_methods"]("cus_2"),
        PAGES_BELOW["payment_methods"]("cus/1?"),
    ]
    assert perform(client, PAGES["customers"](("payment_methods",))) == both[2:]
    assert perform(client, PAGES["customers"](("customers",))) == both[:2]

    url = f"{API}/v1/customers/cus%2F1%3F/payment_methods"
    responses.get(url, json=listed("pm_2", more=True), match=[query_param_matcher({"limit": "100"})])
    assert perform(client, PAGES_BELOW["payment_methods"]("cus/1?")) == [
        Record("payment_methods", "pm_2", {"id": "pm_2"}),
        PAGES_BELOW["payment_methods"]("cus/1?", starting_after="pm_2"),
    ]
    after = query_param_matcher({"limit": "100", "starting_after": "pm_2"})
    responses.get(url, json=listed("pm_1"), match=[after])
    (record,) = perform(client, PAGES_BELOW["payment_methods"]("cus/1?", starting_after="pm_2"))
    assert record == Record("payment_methods", "pm_1", {"id": "pm_1"})


@responses.activate
def test_invoice_lines_are_asked_for_where_the_invoice_has_more(client: HttpClient) -> None:
    whole, cut = {"id": "in_2", "lines": listed("il_4")}, {"id": "in_1", "lines": listed("il_3", "il_2", more=True)}
    responses.get(f"{API}/v1/invoices", json={"data": [whole, cut], "has_more": False})
    lines = [Record("invoice_lines", key, {"id": key}) for key in ("il_4", "il_3", "il_2", "il_1")]
    rest = PAGES_BELOW["invoice_lines"]("in_1", starting_after="il_2")
    assert perform(client, PAGES["invoices"](("invoice_lines",))) == [*lines[:3], rest]
    assert perform(client, PAGES["invoices"](("invoices",))) == [
        Record("invoices", "in_2", whole),
        Record("invoices", "in_1", cut),
    ]
    after = query_param_matcher({"limit": "100", "starting_after": "il_2", "expand[]": "data.discounts"})
    responses.get(f"{API}/v1/invoices/in_1/lines", json=listed("il_1"), match=[after])
    assert perform(client, rest) == lines[3:]


@responses.activate
def test_what_an_object_does_not_carry_is_asked_for(client: HttpClient) -> None:
    responses.get(f"{API}/v1/invoices", json=listed("in_1"))
    assert perform(client, PAGES["invoices"](("invoice_lines",))) == [PAGES_BELOW["invoice_lines"]("in_1")]
    responses.get(f"{API}/v1/credit_notes", json=listed("cn_1", lines={"data": "?"}))
    with pytest.raises(Transient, match="wrong body"):
        perform(client, PAGES["credit_notes"](("credit_note_lines",)))


@pytest.mark.parametrize("task", [PAGES_BELOW["payment_methods"]("cus_1"), PAGES_BELOW["invoice_lines"]("in_1")])
def test_short_lists_come_after_the_long_ones(task: TaskArgs) -> None:
    parents = kinds.new_task(stripe, PAGES["customers"](("customers",)))
    child = kinds.new_task(stripe, task)
    assert child.priority > parents.priority
    assert child.sequential
    assert child.bucket == task.kind.removeprefix("stripe.")


# ---- what Stripe refuses


@responses.activate
@pytest.mark.parametrize("body", [{"error": {"code": "resource_missing", "message": "not yet"}}, "<html>"])
@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [(400, "true", Transient), (402, " True", Transient), (404, "true", Transient), (400, "false", Permanent)],
)
def test_what_stripe_says_may_be_tried_again_is(
    client: HttpClient, status: int, said: str, expected: type[Exception], body: Any
) -> None:
    headers = {"Stripe-Should-Retry": said}
    responses.get(f"{API}/v1/charges", status=status, headers=headers, body=json.dumps(body))
    with pytest.raises(expected, match=f"HTTP {status}"):
        perform(client, PAGES["charges"](("charges",)))


@responses.activate
@pytest.mark.parametrize(
    ("reason", "scope", "concurrency"),
    [
        ("global-rate", "account", False),
        ("global-concurrency", "account", True),
        ("endpoint-rate", "bucket", False),
        ("endpoint-concurrency", "bucket", True),
        ("resource-specific", "task", False),
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
        (400, {"code": "parameter_unknown", "param": "x", "message": "what?"}, Permanent, "what?"),
        (
            404,
            {"code": "resource_missing", "param": "id", "message": "No such customer"},
            Permanent,
            "No such customer",
        ),
        (401, {"message": "Invalid API Key provided: sk_test_****"}, Unauthorized, "Invalid API Key"),
        (403, {"message": "no permission"}, Denied, "no permission"),
        (409, {"message": "another request is under way"}, Transient, "another request is under way"),
        (409, None, Transient, "HTTP 409"),
        (500, {"message": "oops"}, Transient, "oops"),
    ],
)
def test_refusals(client: HttpClient, status: int, error: Any, expected: type[CrawlerdError], text: str) -> None:
    responses.get(f"{API}/v1/charges", status=status, json={"error": error})
    with pytest.raises(CrawlerdError, match=text) as caught:
        perform(client, PAGES["charges"](("charges",), starting_after="ch_1"))
    assert isinstance(caught.value, expected)


@responses.activate
def test_a_product_that_the_account_has_not_is_denied(client: HttpClient) -> None:
    error = {"message": "Your account is not set up to use Issuing.", "type": "invalid_request_error"}
    responses.get(f"{API}/v1/issuing/cards", status=400, json={"error": error})
    with pytest.raises(Denied, match="not set up to use Issuing"):
        perform(client, PAGES["issuing_cards"](("issuing_cards",)))


# ---- lists below all other objects


@responses.activate
@pytest.mark.parametrize("stream", [stream for stream, each in BELOW.items() if not LISTS[each.parent].details])
def test_every_list_below_is_read_to_its_end(client: HttpClient, stream: str) -> None:
    listing = BELOW[stream]
    path, owner = LISTS[listing.parent].path, {listing.parameter: "p_1"} if listing.parameter else {}
    asked = {"limit": "100", **dict(LISTS[listing.parent].filters), **expanded(listing.parent, stream)}
    parents = [{"id": "p_1", **({listing.embedded: listed("x_3", more=True)} if listing.embedded else {})}]
    if listing.unless_null:
        parents.append({"id": "p_2", listing.unless_null: None})
    if listing.carried:
        parents.append({"id": "p_2"})
    if listing.only_if[0]:
        parents[0] |= {listing.only_if[0]: json.loads(listing.only_if[1])}
        parents.append({"id": "p_2", listing.only_if[0]: None})
    before = "p_1/" if listing.keyed and not listing.single else ""
    body = {"data": parents, "has_more": False}
    responses.get(API + path, json=body, match=[query_param_matcher(asked)])
    *first, rest = perform(client, PAGES[listing.parent]((stream,)))
    assert isinstance(rest, PAGES_BELOW[stream])
    assert first == ([Record(stream, "x_3", {"id": "x_3"})] if listing.embedded else [])
    if listing.single:
        responses.get(API + listing.path.format(parent="p_1"), json={"object": "x", "customer": "p_1"})
        assert perform(client, rest) == [Record(stream, "p_1", {"object": "x", "customer": "p_1"})]
        return
    assert rest.starting_after == ("x_3" if listing.embedded else None)

    url = API + listing.path.format(parent="p_1")
    for after, found, more in (rest.starting_after, "x_2", True), ("x_2", "x_1", False):
        query = {**({"limit": "100"} if listing.paged else {}), **owner, **expanded(stream)}
        query |= {"starting_after": after} if after else {}
        responses.get(url, json=listed(found, more=more), match=[query_param_matcher(query)])
        record, *following = perform(client, rest)
        assert record == Record(stream, before + found, {"id": found})
        assert following == ([PAGES_BELOW[stream]("p_1", starting_after="x_2")] if more else [])
        rest = following[0] if more else rest


@responses.activate
def test_a_record_does_not_depend_on_what_else_was_asked_for(client: HttpClient) -> None:
    responses.get(f"{API}/v1/customers", json=listed("cus_1", sources=listed("card_1"), name="Zoë"))
    found = perform(client, PAGES["customers"](("customers", "customer_sources")))
    assert found == [
        Record("customers", "cus_1", {"id": "cus_1", "name": "Zoë"}),
        Record("customer_sources", "card_1", {"id": "card_1"}),
    ]


@responses.activate
def test_what_lay_below_a_deleted_parent_is_gone_with_it(client: HttpClient) -> None:
    error = {"code": "resource_missing", "param": "id", "message": "No such customer"}
    responses.get(f"{API}/v1/customers/cus_1/payment_methods", status=404, json={"error": error})
    assert perform(client, PAGES_BELOW["payment_methods"]("cus_1")) == []


# ---- cursors whose object was deleted

DELETED = {"error": {"code": "resource_missing", "param": "starting_after", "message": "No such charge"}}


@responses.activate
def test_a_deleted_cursor_is_replaced_by_its_second(client: HttpClient) -> None:
    responses.get(
        f"{API}/v1/charges",
        status=400,
        json=DELETED,
        match=[query_param_matcher({"limit": "100", "starting_after": "ch_9", "created[gte]": "5"})],
    )
    lost = PAGES["charges"](("charges",), gte=5, lte=70, starting_after="ch_9")
    (again,) = perform(client, lost)
    assert again == PAGES["charges"](("charges",), gte=5, lte=70, restarts=1)
    assert isinstance(again, Page)
    window = {"limit": "100", "created[gte]": "5", "created[lte]": "70"}
    page = {"data": [{"id": "ch_8", "created": 70}, {"id": "ch_7", "created": 60}], "has_more": True}
    responses.get(f"{API}/v1/charges", json=page, match=[query_param_matcher(window)])
    *_, following = perform(client, again)
    assert isinstance(following, Page)
    assert (following.starting_after, following.gte, following.lte, following.restarts) == ("ch_7", 5, 60, 0)


@responses.activate
@pytest.mark.parametrize("args", [PAGES["quotes"](("quotes",)), PAGES_BELOW["payment_methods"]("cus_1")])
def test_a_list_without_created_begins_again(client: HttpClient, args: Any) -> None:
    responses.get(re.compile(API), status=400, json=DELETED)
    (again,) = perform(client, replace(args, starting_after="qt_9"))
    assert again == replace(args, restarts=1)
    with pytest.raises(Permanent, match="deleted"):
        perform(client, replace(args, starting_after="qt_9", restarts=RESTARTS))


def test_the_errors_of_lost_cursors_stay_permanent() -> None:
    assert issubclass(CursorGone, Permanent)


# ---- events


def test_a_first_run_loads_and_the_next_one_follows() -> None:
    mark = Mark(event=int(NOW) - 500, noted=NOW - 100)
    streams = ("customers", "charges")

    def first(**options: Any) -> Any:
        (task,) = kinds.first(stripe, plan(*streams, **options)).children
        return msgspec.json.decode(task.payload, type=Begin)

    assert first() == Begin(NOW, load=streams)
    both = dict.fromkeys(streams, mark)
    growth = int(NOW) - 100
    assert first(cursors=both) == Begin(NOW, load=(), follow=streams, since=mark.event, growth=growth)
    assert first(cursors=both, full=True) == Begin(NOW, load=streams)
    assert first(cursors={"charges": mark}) == Begin(
        NOW, load=("customers",), follow=("charges",), since=mark.event, growth=growth
    )


def test_a_gap_of_more_than_28_days_is_a_full_load_that_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """However long ago the newest event was: nothing may have happened since."""
    for days, load in (27.9, ()), (28.1, ("charges",)):
        mark = Mark(event=1_600_000_000, noted=NOW - days * DAY)
        (task,) = kinds.first(stripe, plan("charges", cursors={"charges": mark})).children
        assert msgspec.json.decode(task.payload, type=Begin).load == load
    (said,) = caplog.messages
    assert "a full load of charges: the last one ended clean 28 days ago" in said


def test_another_version_of_the_api_is_a_full_load_that_says_so(caplog: pytest.LogCaptureFixture) -> None:
    mark = Mark(event=int(NOW) - 500, noted=NOW - 100, version="2020-08-27")
    (task,) = kinds.first(stripe, plan("charges", cursors={"charges": mark})).children
    assert msgspec.json.decode(task.payload, type=Begin).load == ("charges",)
    assert f"read with version 2020-08-27 of the API, and this is {VERSION}" in caplog.text


def test_a_run_says_what_it_reads_in_full_and_why() -> None:
    mark, late = Mark(int(NOW) - 500, NOW - 100), Mark(int(NOW) - 500, NOW - 30 * DAY)

    def full(*streams: str, asked: bool = False, **marks: Mark) -> list[tuple[str, list[str]]]:
        return kinds.first(stripe, plan(*streams, full=asked, cursors=marks)).full

    assert (
        full("charges", "refunds") == full("charges", asked=True, charges=mark) == full("charges", charges=mark) == []
    )
    assert full("charges", "refunds", charges=mark) == [("there is no sync point of it yet", ["refunds"])]
    assert full("charges", "shipping_rates", charges=mark, shipping_rates=mark) == [
        ("Stripe does not report its changes", ["shipping_rates"])
    ]
    methods = {"customers": mark, "payment_methods": mark}
    assert full("customers", "payment_methods", **methods) == [
        ("an earlier version of crawlerd has not noted what its records lie below", ["payment_methods"])
    ]
    methods["payment_methods"] = Mark(int(NOW) - 500, NOW - 100, parents=True)
    assert full("customers", "payment_methods", **methods) == []
    ((why, streams),) = full("charges", "refunds", charges=late, refunds=mark)
    assert (why[:38], streams) == ("the last one ended clean 30 days ago, ", ["charges"])


@responses.activate
def test_the_newest_event_is_noted_before_anything_is_read(client: HttpClient) -> None:
    responses.get(f"{API}/v1/events", json=listed("evt_1", created=77), match=[query_param_matcher({"limit": "1"})])
    streams = ("charges", "shipping_rates")
    outputs = perform(client, Begin(NOW, load=streams))
    assert [output for output in outputs if isinstance(output, Cursor)] == [
        Cursor(stream, msgspec.json.encode(Mark(77, NOW, parents=True)).decode())
        for stream in ("charges", "shipping_rates")
    ]
    (group,) = [output for output in outputs if isinstance(output, Gather)]
    assert group == Gather([Load(streams)], CatchUp(NOW, streams, 77, "evt_1"))
    assert perform(client, Load(streams)) == [whole("charges"), whole("shipping_rates")]


def whole(stream: str, *streams: str) -> Gather:
    """A list that is read in full."""
    wanted = streams or (stream,)
    return Gather([PAGES[stream](wanted)], Compare(stream, wanted), if_dead="skip")


def test_what_a_list_does_not_have_any_more_ends_with_it(client: HttpClient) -> None:
    streams = ("customers", "payment_methods")
    assert perform(client, SWEEPS["customers"](streams)) == [Sweep("customers"), Sweep("payment_methods")]
    assert perform(client, SWEEPS["events"](("events",))) == []  # Stripe forgets them after 30 days


def test_what_a_list_does_not_have_is_asked_for_again_before_it_counts_as_gone(client: HttpClient) -> None:
    streams = ("customers", "payment_methods", "customer_tax_ids", "customer_balance_transactions")
    (group,) = perform(client, Compare("customers", streams))
    assert group == Gather(
        [Compared("customers", each, streams) for each in streams], SWEEPS["customers"](streams), if_dead="skip"
    )
    by_id, of_parent, below, other = (output for task in group.tasks for output in perform(client, task))
    assert by_id == Sweep("customers", otherwise=Missing("customers"))
    assert of_parent == Sweep("payment_methods", otherwise=Missing("payment_methods"))
    look = SecondLook("customers", ("customer_tax_ids", "customer_balance_transactions"))
    assert (below, other) == (Sweep(streams[2], otherwise=look), Sweep(streams[3], otherwise=look))
    assert kinds.new_task(stripe, look).unique  # one for both
    (page,) = perform(client, look)
    assert page == PAGES["customers"](look.streams, look=1)
    assert kinds.new_task(stripe, page).key() != kinds.new_task(stripe, PAGES["customers"](look.streams)).key()
    (events,) = perform(client, Compare("events", ("events",)))
    assert events == Gather([], SWEEPS["events"](("events",)), if_dead="skip")

    keys = tuple(f"cus_{number:04}" for number in range(MISSING_KEYS))
    outputs = perform(client, Missing("customers", keys))
    assert outputs[:-1] == [MISSING["customers"](("customers",), key) for key in keys]
    assert outputs[-1] == Sweep("customers", otherwise=Missing("customers"), after="cus_0999")
    assert perform(client, Missing("customers", keys[:1])) == [MISSING["customers"](("customers",), "cus_0000")]


@responses.activate
@pytest.mark.parametrize(
    ("stream", "status", "body", "lives"),
    [
        ("charges", 200, {"id": "x_1", "amount": 1}, True),
        ("charges", 404, {"error": {"code": "resource_missing", "param": "id"}}, False),
        ("customers", 200, {"id": "x_1", "deleted": True}, False),
        ("payment_methods", 200, {"id": "x_1", "customer": None}, False),
        ("payment_methods", 200, {"id": "x_1", "customer": "cus_1"}, True),
        ("accounts", 403, {"error": {"code": "account_invalid"}}, False),
    ],
)
def test_what_is_missing_lives_when_stripe_has_it(
    client: HttpClient, stream: str, status: int, body: Any, lives: bool
) -> None:
    path = one(stream).format(id="x_1")
    responses.get(f"{API}{path}", status=status, json=body)
    outputs = perform(client, MISSING[stream]((stream,), "x_1"))
    assert outputs == ([Record(stream, "x_1", body)] if lives else [])


@responses.activate
@pytest.mark.parametrize(("status", "code"), [(403, "account_invalid"), (403, None), (400, None)])
def test_any_other_answer_proves_nothing(client: HttpClient, status: int, code: str | None) -> None:
    responses.get(f"{API}/v1/charges/ch_1", status=status, json={"error": {"code": code, "message": "no"}})
    with pytest.raises(Permanent):
        perform(client, MISSING["charges"](("charges",), "ch_1"))


@responses.activate
def test_what_happened_while_lists_were_read_is_caught_up_with(client: HttpClient) -> None:
    task = CatchUp(NOW, ("charges", "balance_transactions"), 77, "evt_1")
    responses.get(f"{API}/v1/events", json=listed("evt_1", created=77))
    assert perform(client, task) == []
    responses.replace(responses.GET, f"{API}/v1/events", json=listed("evt_2", created=88))
    mark = msgspec.json.encode(Mark(88, NOW, parents=True)).decode()
    assert perform(client, task) == [
        Cursor("charges", mark),
        Cursor("balance_transactions", mark),
        Events(("charges",), 77 - OVERLAP, 88, types=event_types(("charges",))[0]),
    ]


@responses.activate
def test_without_events_our_clock_is_the_watermark(client: HttpClient) -> None:
    responses.get(f"{API}/v1/events", json=listed())
    cursor, _ = perform(client, Begin(NOW, load=("charges",)))
    assert cursor == Cursor("charges", msgspec.json.encode(Mark(int(NOW) - SKEW, NOW, parents=True)).decode())


@responses.activate
@pytest.mark.parametrize("status", [403, 404])
def test_where_events_cannot_be_read_every_run_is_full(
    client: HttpClient, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    responses.get(f"{API}/v1/events", status=status, json={"error": {"message": "not for you"}})
    assert perform(client, Begin(NOW, load=("charges",), follow=("refunds",))) == [
        whole("charges"),
        whole("refunds"),
    ]
    assert "not for you" in caplog.text


@responses.activate
def test_what_has_no_events_is_followed_by_its_newest_part_or_whole(client: HttpClient) -> None:
    responses.get(f"{API}/v1/events", json=listed("evt_1", created=1_000))
    streams = ("charges", "balance_transactions", "shipping_rates", "checkout_sessions", "payment_methods")
    outputs = perform(client, Begin(NOW, load=(), follow=streams, since=900, growth=10**6))
    *others, in_order = [output for output in outputs if not isinstance(output, Cursor)]
    assert others == [
        PAGES["checkout_sessions"](("checkout_sessions",), gte=10**6 - SETTLES),
        PAGES["balance_transactions"](("balance_transactions",), gte=10**6 - SETTLES),
        whole("shipping_rates"),
    ]
    followed = ("charges", "checkout_sessions", "payment_methods")
    assert isinstance(in_order, Gather)
    first, second = in_order.tasks
    assert isinstance(first, Events)
    assert isinstance(second, Events)
    assert {*first.types, *second.types} > {"charge.succeeded", "checkout.session.completed", "payment_method.updated"}
    for each in first, second:  # a request may name 20 types
        assert each == Events(followed, 900 - OVERLAP, 1_000, types=each.types)
        assert len(each.types) <= 20
    assert in_order.then == Events(followed, 900 - OVERLAP, 1_000, types=("customer.deleted",), ends=True)
    (alone,) = perform(client, Begin(NOW, load=(), follow=("customer_tax_ids",), since=900))[1:]
    types = event_types(("customer_tax_ids",))[0]
    assert alone == Events(("customer_tax_ids",), 900 - OVERLAP, 1_000, types=types, alone=True)


def deletion(kind: str, key: str, number: int) -> dict[str, Any]:
    item = {"object": kind, "id": key}
    return {"id": f"evt_{number}", "created": 5, "type": f"{kind}.deleted", "data": {"object": item}}


@responses.activate
def test_what_lies_below_a_deleted_object_ends_after_all_else(client: HttpClient) -> None:
    streams = ("customers", "payment_methods", "customer_sources")
    alone = Events(streams, 0, 10, alone=True)
    changed = {**deletion("customer", "cus_2", 2), "type": "customer.updated"}
    responses.get(f"{API}/v1/events", json={"data": [changed], "has_more": False})
    assert perform(client, alone) == [AGAIN["customers"](("customers",), "cus_2")]  # and nothing is asked once more

    events = [deletion("customer", "cus_1", 3), changed, deletion("plan", "plan_1", 1)]
    responses.replace(responses.GET, f"{API}/v1/events", json={"data": events, "has_more": False})
    in_order = Gather([Events(streams, 0, 10)], Events(streams, 0, 10, types=("customer.deleted",), ends=True))
    assert perform(client, alone) == [in_order]
    assert perform(client, in_order.tasks[0]) == [AGAIN["customers"](("customers",), "cus_2")]
    (last,) = perform(client, in_order.then)
    assert last == AGAIN["customers"](streams, "cus_1", ends=True)

    responses.replace(responses.GET, f"{API}/v1/events", json={"data": [changed], "has_more": True})
    assert perform(client, alone) == [in_order]  # the other pages may have one


KEYS = st.sampled_from("abc")
KINDS = st.sampled_from(["customer", "card", "payment_method", "invoice", "plan"])
CHANGES = st.tuples(KINDS, KEYS, KEYS, st.booleans())


@given(st.lists(CHANGES, max_size=12))
def test_each_event_has_one_turn_or_ends_with_a_parent_on_its_page(changes: list[tuple[str, str, str, bool]]) -> None:
    events = []
    for number, (kind, key, customer, deleted) in enumerate(changes):
        item = {"object": kind, "id": f"{kind}_{key}", "customer": f"customer_{customer}"}
        events.append({**deletion(kind, "", number), "data": {"object": item}, "type": kind + ".deleted" * deleted})
    streams = (*LISTS, *BELOW)
    gone = {f"customer_{key}" for kind, key, _, deleted in changes if kind == "customer" and deleted}
    client = HttpClient(connections=1)
    asked: dict[bool, set[str]] = {}
    with responses.RequestsMock() as api:
        api.get(f"{API}/v1/events", json={"data": events, "has_more": False})
        for ends in (False, True):
            outputs = perform(client, Events(streams, 0, 10, ends=ends))
            asked[ends] = {each.id for each in outputs if isinstance(each, Again)}
            assert all(each.ends == ends for each in outputs if isinstance(each, Again))
    client.close()
    last = {f"{kind}_{key}" for kind, key, _, deleted in changes if deleted and kind in ("customer", "invoice")}
    aside = {place for place, each in enumerate(changes) if each[0] == "card" and f"customer_{each[2]}" in gone}
    first = {
        f"{kind}_{key}"
        for place, (kind, key, _, deleted) in enumerate(changes)
        if place not in aside and not (deleted and kind in ("customer", "invoice"))
    }
    assert asked == {False: first, True: last}


@responses.activate
def test_what_can_move_is_asked_for_before_it_counts_as_gone_with_its_parent(client: HttpClient) -> None:
    streams = ("customer_balance_transactions", "payment_methods")
    task = AGAIN["customers"](streams, "cus_1", ends=True)
    responses.get(f"{API}/v1/customers/cus_1", json={"id": "cus_1", "object": "customer", "deleted": True})
    methods, transactions = sorted(perform(client, task), key=lambda each: getattr(each, "stream", ""), reverse=True)
    assert transactions == Orphans("customer_balance_transactions", "cus_1")
    assert methods == Orphans("payment_methods", "cus_1", otherwise=LeftBelow("payment_methods", "cus_1"))
    assert perform(client, replace(task, ends=False)) == []  # something below it may still be read
    keys = tuple(f"pm_{number:04}" for number in range(MISSING_KEYS))
    *asked, onward = perform(client, LeftBelow("payment_methods", "cus_1", keys))
    assert asked == [AGAIN["payment_methods"](("payment_methods",), key) for key in keys]
    assert onward == replace(methods, after=keys[-1])
    assert perform(client, LeftBelow("payment_methods", "cus_1", keys[1:])) == asked[1:]
    responses.replace(responses.GET, f"{API}/v1/customers/cus_1", json={"id": "cus_1", "object": "customer"})
    lists = perform(client, replace(task, streams=("customer_balance_transactions",)))
    assert lists == [PAGES_BELOW["customer_balance_transactions"]("cus_1", again=True)]  # it is there


@responses.activate
def test_records_say_what_they_lie_below(client: HttpClient) -> None:
    def parents(task: TaskArgs) -> set[tuple[str, str]]:
        queued = kinds.new_task(stripe, task)
        account = AccountSpec(name="acme", source="stripe", base_url="", secret=KEY)
        outputs = kinds.perform(stripe, client.open(stripe, account), queued.kind, queued.payload)
        return {(each.stream, each.parent) for each in outputs if isinstance(each, Records)}

    method = {"id": "pm_1", "object": "payment_method", "customer": "cus_2"}
    responses.get(f"{API}/v1/payment_methods/pm_1", json=method)
    responses.get(f"{API}/v1/customers/cus_1/payment_methods", json=listed("pm_1"))
    responses.get(f"{API}/v1/customers/cus_1/tax_ids/txi_1", json={"id": "txi_1", "object": "tax_id"})
    responses.get(f"{API}/v1/invoices", json={**listed("in_1", lines=listed("il_1")), "url": "/v1/invoices"})
    streams = ("payment_methods",)
    assert parents(AGAIN["payment_methods"](streams, "pm_1")) == {("payment_methods", "cus_2")}
    assert parents(MISSING["payment_methods"](streams, "pm_1")) == {("payment_methods", "cus_2")}
    assert parents(PAGES_BELOW["payment_methods"]("cus_1")) == {("payment_methods", "cus_1")}
    assert parents(AGAIN["customer_tax_ids"](("customer_tax_ids",), "txi_1", "cus_1")) == {
        ("customer_tax_ids", "cus_1")
    }
    both = ("invoices", "invoice_lines")
    assert parents(PAGES["invoices"](both)) == {("invoices", ""), ("invoice_lines", "in_1")}


@responses.activate
def test_types_that_stripe_does_not_know_are_not_asked_for(client: HttpClient) -> None:
    task = Events(("charges",), 0, 9, types=("charge.succeeded", "charge.renamed"))
    error = {"message": "unknown type", "param": "types[1]"}
    responses.get(f"{API}/v1/events", status=400, json={"error": error})
    assert perform(client, task) == [replace(task, named=False)]
    window = {"limit": "100", "created[gte]": "0", "created[lte]": "9"}
    responses.replace(responses.GET, f"{API}/v1/events", json=listed(), match=[query_param_matcher(window)])
    assert perform(client, replace(task, named=False)) == []


@responses.activate
def test_a_list_that_the_version_lacks_is_denied(client: HttpClient) -> None:
    error = {"message": "Unrecognized request URL (GET: /v1/invoice_payments)."}
    responses.get(f"{API}/v1/invoice_payments", status=404, json={"error": error})
    with pytest.raises(Denied, match="api_version"):
        perform(client, PAGES["invoice_payments"](("invoice_payments",)))


@responses.activate
def test_what_belongs_to_a_deleted_object_is_asked_for_in_vain(client: HttpClient) -> None:
    error = {"code": "resource_missing", "param": "invoice", "message": "No such invoice"}
    responses.get(f"{API}/v1/invoiceitems", status=400, json={"error": error})
    page = PAGES["invoice_items"](("invoice_items",), filters=(("invoice", "in_1"),))
    assert perform(client, page) == []
    with pytest.raises(Permanent):
        perform(client, PAGES["invoice_items"](("invoice_items",)))


@responses.activate
@pytest.mark.parametrize("url", ["/v2/core/other?page=p", "/v2/money_management/transactions?limit=1", 7, "?page=now"])
def test_a_next_page_of_something_else_is_not_followed(client: HttpClient, url: object) -> None:
    path = "/v2/money_management/transactions"
    following = url if url != "?page=now" else f"{path}?page=now"
    responses.get(f"{API}{path}", json={"data": [], "next_page_url": following})
    with pytest.raises(Permanent, match=path):
        perform(client, PAGES["v2_transactions"](("v2_transactions",), starting_after="now"))


@responses.activate
def test_an_empty_page_of_the_second_api_may_not_be_the_last(client: HttpClient) -> None:
    path = "/v2/money_management/transactions"
    responses.get(f"{API}{path}", json={"data": [], "next_page_url": f"{path}?limit=100&page=p%3D2"})
    (following,) = perform(client, PAGES["v2_transactions"](("v2_transactions",)))
    assert following == PAGES["v2_transactions"](("v2_transactions",), starting_after="p=2")


def event(key: int, second: int, kind: str = "charge", **item: Any) -> dict[str, Any]:
    return {"id": f"evt_{key}", "created": second, "data": {"object": {"id": f"ch_{key}", "object": kind, **item}}}


@responses.activate
def test_events_are_applied_oldest_first(client: HttpClient) -> None:
    """The API gives the newest first, and more than a page: so the span is narrowed until one page holds it."""
    history = [event(number, 1_000 + number // 3 * 7) for number in range(1, 700)]
    history += [event(number, 5_000) for number in range(700, 1_000)]  # one second with three pages

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        asked = request.params
        low, high = int(asked["created[gte]"]), int(asked["created[lte]"])
        found = [each for each in reversed(history) if low <= each["created"] <= high]
        if after := asked.get("starting_after"):
            found = found[[each["id"] for each in found].index(after) + 1 :]
        return 200, {}, json.dumps({"data": found[:100], "has_more": len(found) > 100})

    responses.add_callback(responses.GET, f"{API}/v1/events", answer)
    todo: list[TaskArgs] = [Events(("charges",), 0, 9_000)]
    order: list[str] = []
    requests = 0
    while todo:
        requests += 1
        for output in perform(client, todo.pop()):
            if isinstance(output, Events):
                todo.append(output)
            else:
                assert isinstance(output, AGAIN["charges"])
                order.append(output.id)
    assert set(order) == {each["data"]["object"]["id"] for each in history}
    second = {each["data"]["object"]["id"]: each["created"] for each in history}
    assert [second[key] for key in order] == sorted(second.values())
    assert requests < 80


@responses.activate
@pytest.mark.parametrize(
    ("item", "streams", "expected"),
    [
        ({"object": "customer", "id": "cus_1"}, ("customers", "payment_methods"), ("customers", ("customers",), None)),
        (
            {"object": "customer", "id": "cus_1"},
            ("customer_balance_transactions",),
            ("customers", ("customer_balance_transactions",), None),
        ),
        (
            {"object": "discount", "id": "di_1", "customer": "cus_1"},
            ("customers",),
            ("customers", ("customers",), None),
        ),
        (
            {"object": "invoice", "id": "in_1"},
            ("invoices", "invoice_lines"),
            ("invoices", ("invoices", "invoice_lines"), None),
        ),
        (
            {"object": "payment_method", "id": "pm_1", "customer": None},
            ("payment_methods",),
            ("payment_methods", ("payment_methods",), None),
        ),
        (
            {"object": "tax_id", "id": "txi_1", "customer": "cus_1"},
            ("customer_tax_ids",),
            ("customer_tax_ids", ("customer_tax_ids",), "cus_1"),
        ),
        ({"object": "tax_id", "id": "txi_1", "customer": None}, ("customer_tax_ids",), None),
        ({"object": "invoice"}, ("invoices",), None),  # invoice.upcoming
        ({"object": "balance"}, ("charges",), None),
        ({"object": "charge", "id": "ch_1"}, ("refunds",), None),
        ("nothing", ("charges",), None),
    ],
)
def test_an_events_object_is_read_again(
    client: HttpClient, item: Any, streams: tuple[str, ...], expected: tuple[str, tuple[str, ...], str | None] | None
) -> None:
    body = {"data": [{"id": "evt_1", "created": 5, "data": {"object": item}}], "has_more": False}
    responses.get(f"{API}/v1/events", json=body)
    wanted = []
    if expected:
        stream, outputs, parent = expected
        key = item["customer"] if item["object"] == "discount" else item["id"]
        wanted = [AGAIN[stream](outputs, key, parent)]
    assert perform(client, Events(streams, 0, 10)) == wanted


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "gone"),
    [
        (200, {"id": "pm_1", "customer": "cus_1"}, False),
        (200, {"id": "pm_1", "customer": None}, True),
        (200, {"id": "pm_1", "deleted": True}, True),
        (404, {"error": {"code": "resource_missing", "param": "id", "message": "No such thing"}}, True),
    ],
)
def test_what_is_gone_becomes_a_tombstone(client: HttpClient, status: int, body: Any, gone: bool) -> None:
    responses.get(f"{API}/v1/payment_methods/pm_1", status=status, json=body)
    task = AGAIN["payment_methods"](("payment_methods",), "pm_1")
    assert perform(client, task) == [Record("payment_methods", "pm_1", None if gone else body)]
    assert kinds.new_task(stripe, task).unique


@responses.activate
def test_a_changed_parent_brings_what_lies_below_it(client: HttpClient) -> None:
    invoice = {"id": "in_1", "lines": listed("il_2", more=True)}
    responses.get(f"{API}/v1/invoices/in_1", json=invoice)
    assert perform(client, AGAIN["invoices"](("invoices", "invoice_lines"), "in_1")) == [
        Record("invoices", "in_1", invoice),
        Record("invoice_lines", "il_2", {"id": "il_2"}),
        PAGES_BELOW["invoice_lines"]("in_1", starting_after="il_2", again=True),  # it may have been read before
    ]


@responses.activate
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_event_that_is_heeded_leads_to_a_request(client: HttpClient, kind: str) -> None:
    item = {"object": kind, "id": "x_1", **{field: "y_1" for _, field in mentioned_by(kind)}}
    if owner := next((each.owner for each in BELOW.values() if kind in each.objects), ""):
        item[owner] = "z_1"
    for number, name in enumerate(TYPES[kind]):
        event = {"id": f"evt_{number}", "created": 5, "type": name, "data": {"object": item}}
        responses.upsert(responses.GET, f"{API}/v1/events", json={"data": [event], "has_more": False})
        outputs = perform(client, Events((*LISTS, *BELOW), 0, 10, ends=name in deletions((*LISTS, *BELOW))))
        assert outputs, name
        for each in outputs:
            for task in each.tasks if isinstance(each, Gather) else [each]:
                assert isinstance(task, TaskArgs)
                assert kinds.new_task(stripe, task).unique


@pytest.mark.parametrize(
    ("previous", "event_type", "held"),
    [
        (None, "customer.subscription.updated", ()),
        ({"items": listed("si_1", "si_2")}, "customer.subscription.updated", ("si_2",)),
        ({"items": listed("si_1", "si_2")}, "customer.subscription.deleted", ("si_1", "si_2")),
        ({"items": {"data": "?"}}, "customer.subscription.updated", ()),
        ({"items": {"data": [None, {"id": 7}]}}, "customer.subscription.updated", ()),
        ({"status": "active"}, "customer.subscription.updated", ()),
        ("?", "customer.subscription.updated", ()),
    ],
)
@responses.activate
def test_what_an_event_says_to_have_lain_below_its_object_is_looked_for(
    client: HttpClient, previous: Any, event_type: str, held: tuple[str, ...]
) -> None:
    item = {"object": "subscription", "id": "sub_1", "items": listed("si_1")}
    body = {"id": "evt_1", "created": 5, "type": event_type, "data": {"object": item, "previous_attributes": previous}}
    responses.get(f"{API}/v1/events", json={"data": [body], "has_more": False})
    streams = ("subscriptions", "subscription_items")
    (again,) = perform(client, Events(streams, 0, 10))
    lost = tuple(("subscription_items", key) for key in held)
    assert again == AGAIN["subscriptions"](streams, "sub_1", held=lost)


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
    todo = deque(kinds.first(stripe, plan(*wanted)).children)
    seen = {task.key() for task in todo}
    found: dict[str, dict[str, Any]] = {}
    while todo:
        for output in perform(client, todo.popleft(), key=api.key(3), url=api.url):
            if isinstance(output, Record):
                assert output.key not in found.setdefault(output.stream, {})
                found[output.stream][output.key] = output.data
            for child in (*output.tasks, output.then) if isinstance(output, Gather) else (output,):
                if isinstance(child, TaskArgs):
                    todo.append(kinds.new_task(stripe, child))
                    assert todo[-1].key() not in seen
                    seen.add(todo[-1].key())
    of_api = {stream: dict(expected(3, stream, 40)) for stream in wanted if stream in STREAMS}
    items = found.pop("subscription_items", {})
    singles = (
        {stream: found.pop(stream) for stream in [*found] if stream in LISTS and LISTS[stream].single}
        if streams == ["*"]
        else {}
    )
    once = {"account", "balance", "balance_settings", "tax_settings"}
    assert set(singles) == (once if streams == ["*"] else set())
    assert all(len(objects) == 1 for objects in singles.values())
    assert found == {stream: objects for stream, objects in of_api.items() if objects}
    assert len(items) == (len(found["subscriptions"]) if streams == ["*"] else 0)
