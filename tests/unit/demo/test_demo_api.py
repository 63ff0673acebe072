"""The local Stripe-shaped API, as a real process: its objects, lists, keys, limits, faults, orders and statistics."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, IncompleteRead
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.demo.api import chance
from crawlerd.demo.objects import STREAMS, count, expected
from crawlerd.demo.server import Add, Delete, Edit, Fault, Server, running
from crawlerd.demo.traffic import Traffic
from crawlerd.sources.stripe.catalogue import LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator

CUSTOMERS = 140  # enough for several pages, and for an invoice with more than one page of lines
TOP_LEVEL = [name for name, stream in STREAMS.items() if stream.parent is None]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> Any:
        return self.data["error"]


def connect(server: Server) -> HTTPConnection:
    return HTTPConnection(urlsplit(server.url).netloc, timeout=10)


def get(server: Server, path: str, key: str | None = "sk_test_account_1", **params: Any) -> Answer:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return ask(server, f"{path}?{urlencode(params)}", headers)


def ask(server: Server, target: str, headers: dict[str, str], method: str = "GET") -> Answer:
    connection = connect(server)
    try:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def pages(server: Server, path: str, limit: int = 100, **params: Any) -> Iterator[list[dict[str, Any]]]:
    cursor: dict[str, Any] = {}
    while True:
        answer = get(server, path, limit=limit, **params, **cursor)
        assert answer.status == 200, answer.body
        page = answer.data
        assert page["object"] == "list"
        assert page["url"] == path
        yield page["data"]
        if not page["has_more"]:
            return
        assert len(page["data"]) == limit
        cursor = {"starting_after": page["data"][-1]["id"]}


def walk(server: Server, path: str, limit: int = 100, **params: Any) -> list[dict[str, Any]]:
    return [item for page in pages(server, path, limit, **params) for item in page]


def formula(stream: str, number: int = 1, customers: int = CUSTOMERS) -> list[dict[str, Any]]:
    return [data for _, data in expected(number, stream, customers)]


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with running(accounts=2, customers=CUSTOMERS, rate=0) as server:
        yield server


@pytest.fixture
def fresh() -> Iterator[Server]:
    with running(accounts=2, customers=20, rate=0, drip_seconds=0.4) as server:
        yield server


# objects and lists


@pytest.mark.parametrize("stream", TOP_LEVEL)
def test_a_list_is_the_formula_exactly(api: Server, stream: str) -> None:
    everything: dict[str, Any] = {"status": "all"} if stream == "subscriptions" else {}
    found = walk(api, f"/v1/{stream}", **everything)
    assert found == formula(stream)
    assert len(found) == count(stream, CUSTOMERS)


@pytest.mark.parametrize(
    ("parent", "child", "stream"),
    [("customers", "payment_methods", "payment_methods"), ("invoices", "lines", "invoice_lines")],
)
def test_children_of_all_parents_are_the_formula_exactly(api: Server, parent: str, child: str, stream: str) -> None:
    found = [item for owner in formula(parent) for item in walk(api, f"/v1/{parent}/{owner['id']}/{child}")]
    assert found == formula(stream)
    assert len(found) == count(stream, CUSTOMERS)


def test_an_invoice_embeds_its_first_lines_and_says_when_there_are_more(api: Server) -> None:
    invoices = walk(api, "/v1/invoices")
    partial = [invoice["lines"] for invoice in invoices if invoice["lines"]["has_more"]]
    assert 0 < len(partial) < len(invoices)
    assert max(lines["total_count"] for lines in partial) > 100
    for lines in (invoice["lines"] for invoice in invoices):
        assert lines["data"] == walk(api, lines["url"])[:10]
        assert lines["has_more"] == (lines["total_count"] > 10)


def test_customers_have_none_to_three_payment_methods_and_some_streams_are_empty(api: Server) -> None:
    owned = [len(walk(api, f"/v1/customers/{customer['id']}/payment_methods")) for customer in formula("customers")]
    assert set(owned) == {0, 1, 2, 3}
    for path in ("/v1/transfers", "/v1/quotes", "/v1/checkout/sessions"):
        assert walk(api, path) == []


def test_accounts_have_different_objects_and_identities(api: Server) -> None:
    mine, other = (get(api, "/v1/account", Server.key(number)).data for number in (1, 2))
    assert mine["object"] == "account"
    assert mine["id"].startswith("acct_")
    assert mine["id"] != other["id"]
    ids = [{key for key, _ in expected(number, "customers", CUSTOMERS)} for number in (1, 2)]
    assert not ids[0] & ids[1]
    assert {item["id"] for item in walk(api, "/v1/customers")} == ids[0]


def test_the_default_limit_is_ten_and_any_limit_gives_the_same_objects(api: Server) -> None:
    first = get(api, "/v1/customers").data
    assert len(first["data"]) == 10
    assert first["has_more"] is True
    assert walk(api, "/v1/customers", limit=7) == formula("customers")


@pytest.mark.parametrize(
    ("bound", "kept"),
    [
        ("gte", lambda created, at: created >= at),
        ("gt", lambda created, at: created > at),
        ("lte", lambda created, at: created <= at),
        ("lt", lambda created, at: created < at),
    ],
)
def test_created_bounds_hold_at_a_second_that_several_objects_share(api: Server, bound: str, kept: Any) -> None:
    everything = formula("charges")
    created = [charge["created"] for charge in everything]
    at = next(second for second in created[100:] if created.count(second) > 1)
    assert walk(api, "/v1/charges", **{f"created[{bound}]": at}) == [
        charge for charge in everything if kept(charge["created"], at)
    ]


def test_disjoint_windows_together_are_the_whole_list(api: Server) -> None:
    everything = formula("charges")
    edges = [*(everything[place]["created"] for place in (-1, 200, 120, 40)), everything[0]["created"] + 1]
    parts = [walk(api, "/v1/charges", **{"created[gte]": low, "created[lt]": high}) for low, high in pairwise(edges)]
    assert all(parts)
    assert [charge for part in reversed(parts) for charge in part] == everything


def test_objects_are_newest_first_and_not_in_the_future(api: Server) -> None:
    created = [charge["created"] for charge in walk(api, "/v1/charges")]
    assert created == sorted(created, reverse=True)
    assert created[0] < time.time()


def test_canceled_subscriptions_show_only_when_asked_for(api: Server) -> None:
    everything = formula("subscriptions")
    canceled = [subscription for subscription in everything if subscription["status"] == "canceled"]
    assert canceled
    assert walk(api, "/v1/subscriptions") == [item for item in everything if item not in canceled]
    assert walk(api, "/v1/subscriptions", status="canceled") == canceled


def test_prices_can_be_filtered_by_active(api: Server) -> None:
    everything = formula("prices")
    for active in (True, False):
        wanted = [price for price in everything if price["active"] is active]
        assert wanted
        assert walk(api, "/v1/prices", active=str(active).lower()) == wanted


def test_every_list_that_the_source_asks_for_is_offered(api: Server) -> None:
    for name, listing in LISTS.items():
        if listing.optional:
            continue
        if listing.single:
            assert get(api, listing.path).data["object"]
            continue
        page = get(api, listing.path, limit=1).data
        assert (page["url"], bool(page["data"])) == (listing.path, name in STREAMS and count(name, CUSTOMERS) > 0)


# what is refused


@pytest.mark.parametrize(
    ("path", "params", "status", "code", "param"),
    [
        ("/v1/customers", {"starting_after": "cus_nothing"}, 400, "resource_missing", "starting_after"),
        ("/v1/customers", {"starting_after": formula("charges")[0]["id"]}, 400, "resource_missing", "starting_after"),
        (
            "/v1/customers",
            {"starting_after": formula("customers", 2)[0]["id"]},
            400,
            "resource_missing",
            "starting_after",
        ),
        ("/v1/customers", {"limit": 101}, 400, "parameter_invalid_integer", "limit"),
        ("/v1/customers", {"limit": 0}, 400, "parameter_invalid_integer", "limit"),
        ("/v1/customers", {"limit": "many"}, 400, "parameter_invalid_integer", "limit"),
        ("/v1/customers", {"created[gte]": "May"}, 400, "parameter_invalid_integer", "created[gte]"),
        ("/v1/customers", {"offset": 5}, 400, "parameter_unknown", "offset"),
        ("/v1/customers/cus_nobody/payment_methods", {}, 404, "resource_missing", "id"),
        ("/v1/nonsense", {}, 404, None, None),
    ],
)
def test_a_wrong_request_gets_the_error_of_stripe(
    api: Server, path: str, params: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    answer = get(api, path, **params)
    assert answer.status == status
    assert answer.error["type"] == "invalid_request_error"
    assert (answer.error.get("code"), answer.error.get("param")) == (code, param)


def test_a_cursor_of_another_parent_is_unknown(api: Server) -> None:
    several = [invoice for invoice in formula("invoices") if invoice["lines"]["total_count"] > 1]
    answer = get(api, several[0]["lines"]["url"], starting_after=several[1]["lines"]["data"][0]["id"])
    assert (answer.status, answer.error["code"]) == (400, "resource_missing")


def test_writing_is_not_offered(api: Server) -> None:
    answer = ask(api, "/v1/customers", {"Authorization": "Bearer sk_test_account_1"}, "POST")
    assert answer.status == 404
    assert answer.error["type"] == "invalid_request_error"


def test_a_key_may_come_as_bearer_or_as_basic_user(api: Server) -> None:
    basic = b64encode(b"sk_test_account_2:").decode()
    found = ask(api, "/v1/account", {"Authorization": f"Basic {basic}"})
    assert found.data == get(api, "/v1/account", "sk_test_account_2").data


@pytest.mark.parametrize(
    "key", ["sk_test_account_3", "sk_test_account_0", "sk_test_account_01", "sk_live_account_1", "x"]
)
def test_an_unknown_key_is_refused_without_repeating_it(api: Server, key: str) -> None:
    before = api.stats()
    answer = get(api, "/v1/customers", key)
    after = api.stats()
    assert answer.status == 401
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["message"].startswith("Invalid API Key provided")
    assert key not in answer.error["message"]
    assert after.unauthorized == before.unauthorized + 1
    assert after.accounts == before.accounts


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic %%%"}, {"Authorization": "Digest a"}])
def test_a_request_without_a_key_is_refused(api: Server, headers: dict[str, str]) -> None:
    answer = ask(api, "/v1/customers", headers)
    assert (answer.status, answer.error["message"]) == (401, "You did not provide an API key.")


# limits


def test_the_rate_is_enforced_for_each_account_by_itself() -> None:
    with running(accounts=2, customers=3, rate=5, retry_after="2") as server:
        started = time.monotonic()
        answers = [get(server, "/v1/products") for _ in range(8)]
        took = time.monotonic() - started
        other = get(server, "/v1/products", Server.key(2))
        stats = server.stats()
    assert took < 1.0, "too slow a machine to judge the limit"
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
    assert answers[-1].headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    assert answers[-1].headers["Retry-After"] == "2"
    assert answers[-1].error["code"] == "rate_limit"
    assert other.status == 200
    seen = stats.accounts[1]
    assert (seen.requests, seen.served, seen.throttled) == (8, 5, {"global-rate": 3})
    assert (seen.most_accepted, seen.most_arrived) == (5, 8)
    assert (seen.endpoints["products"].most_accepted, seen.endpoints["products"].most_arrived) == (5, 8)
    assert stats.accounts[2].requests == 1


def test_the_rate_of_an_endpoint_leaves_the_others_free() -> None:
    with running(accounts=1, customers=3, rate=0, endpoint_rate=1, retry_after="date") as server:
        answers = [get(server, path) for path in ("/v1/products", "/v1/products", "/v1/prices")]
        now = time.time()
    assert [answer.status for answer in answers] == [200, 429, 200]
    assert answers[1].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert 0 < parsedate_to_datetime(answers[1].headers["Retry-After"]).timestamp() - now <= 2


def test_too_many_at_once_are_throttled() -> None:
    with (
        running(accounts=1, customers=3, rate=0, concurrency=2, latency=0.5) as server,
        ThreadPoolExecutor(3) as pool,
    ):
        answers = list(pool.map(lambda _: get(server, "/v1/products"), range(3)))
        stats = server.stats().accounts[1]
    refused = [answer for answer in answers if answer.status == 429]
    assert [answer.headers["Stripe-Rate-Limited-Reason"] for answer in refused] == ["global-concurrency"]
    assert "Retry-After" not in refused[0].headers
    assert (stats.most_concurrent, stats.served, stats.throttled) == (2, 2, {"global-concurrency": 1})


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0, 1.5]), max_size=60),
    rate=st.integers(1, 5),
)
def test_the_window_is_exact(gaps: list[float], rate: int) -> None:
    traffic = Traffic(rate, 0, 0)
    now = 0.0
    accepted: list[float] = []
    arrived: list[float] = []
    for gap in gaps:
        now += gap
        arrived.append(now)
        within = [stamp for stamp in accepted if stamp > now - 1.0]
        admitted = traffic.admit("products", now) is None
        assert admitted == (len(within) < rate)
        if admitted:
            accepted.append(now)

    def most(stamps: list[float]) -> int:
        return max((sum(end - 1.0 < stamp <= end for stamp in stamps) for end in stamps), default=0)

    stats = traffic.report()
    assert (stats.most_accepted, stats.most_arrived) == (most(accepted), most(arrived))
    assert (stats.first, stats.last) == ((arrived[0], arrived[-1]) if arrived else (None, None))


@pytest.mark.slow
def test_latency_and_jitter_delay_answers() -> None:
    with running(accounts=1, customers=3, rate=0, latency=0.05, jitter=0.3, seed=7) as server:
        for serial in (1, 2):
            started = time.monotonic()
            get(server, "/v1/products")
            assert time.monotonic() - started >= 0.05 + 0.3 * chance(7, 1, serial, "jitter")


# faults


def read(server: Server, path: str = "/v1/customers") -> Answer:
    return get(server, path, limit=100)


def test_errors_and_html_in_place_of_the_answer(fresh: Server) -> None:
    for kind in ("500", "403", "429", "html"):
        fresh.control(Fault(kind=kind))
    answers = [read(fresh) for _ in range(5)]
    assert [answer.status for answer in answers] == [500, 403, 429, 200, 200]
    assert answers[0].error["type"] == "api_error"
    assert "Stripe-Rate-Limited-Reason" not in answers[2].headers
    assert answers[3].headers["Content-Type"].startswith("text/html")
    assert answers[3].body.startswith(b"<html>")
    assert answers[4].data["data"] == formula("customers", customers=20)
    seen = fresh.stats().accounts[1]
    assert (seen.requests, seen.served, seen.throttled) == (5, 1, {})
    assert seen.faults == {"500": 1, "403": 1, "429": 1, "html": 1}


def test_broken_connections_are_seen_as_such_and_leave_the_server_well(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with running(accounts=1, customers=20, rate=0) as server:
        server.control(Fault(kind="reset", count=2))
        for _ in range(2):
            with pytest.raises(ConnectionResetError) as reset:
                read(server)
            assert reset.type is ConnectionResetError, "the connection was closed, not reset"
        server.control(Fault(kind="truncated"))
        with pytest.raises(IncompleteRead) as caught:
            read(server)
        assert caught.value.partial
        assert caught.value.expected
        assert read(server).data["data"] == formula("customers", customers=20)
        assert server.stats().accounts[1].faults == {"reset": 2, "truncated": 1}
    assert capfd.readouterr() == ("", "")


def test_a_dripped_body_comes_whole_but_slowly(fresh: Server) -> None:
    fresh.control(Fault(kind="drip"))
    started = time.monotonic()
    answer = read(fresh)
    assert time.monotonic() - started >= 0.35
    assert answer.data["data"] == formula("customers", customers=20)
    assert fresh.stats().accounts[1].faults == {"drip": 1}


def test_a_client_that_gives_up_on_a_drip_frees_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    with running(accounts=1, customers=20, rate=0, concurrency=1, drip_seconds=100) as server:
        server.control(Fault(kind="drip"))
        connection = connect(server)
        connection.request("GET", "/v1/customers", headers={"Authorization": "Bearer sk_test_account_1"})
        connection.getresponse().read(1)
        assert read(server).status == 429
        connection.close()
        deadline = time.monotonic() + 10
        while read(server).status == 429:
            assert time.monotonic() < deadline
    assert capfd.readouterr() == ("", "")


def test_an_ordered_fault_hits_only_what_it_names(fresh: Server) -> None:
    fresh.control(Fault(kind="500", count=2, account=2, endpoint="prices"))
    assert get(fresh, "/v1/prices").status == 200
    assert get(fresh, "/v1/products", Server.key(2)).status == 200
    assert [get(fresh, "/v1/prices", Server.key(2)).status for _ in range(3)] == [500, 500, 200]


@pytest.mark.slow
def test_a_share_of_faults_is_the_same_for_the_same_seed() -> None:
    def statuses(seed: int) -> list[int]:
        with running(accounts=1, customers=3, rate=0, faults="500=0.3,403=0.2", seed=seed) as server:
            found = [get(server, "/v1/products").status for _ in range(60)]
            stats = server.stats().accounts[1]
        assert stats.faults == {"500": found.count(500), "403": found.count(403)}
        assert stats.served == found.count(200)
        return found

    first = statuses(1)
    assert first == statuses(1)
    assert first != statuses(2)
    assert 20 < first.count(200) < 45


@pytest.mark.slow
def test_one_number_spreads_faults_over_five_kinds() -> None:
    with running(accounts=1, customers=3, rate=0, faults="1", drip_seconds=0.1) as server:
        for _ in range(40):
            try:
                get(server, "/v1/products")
            except (ConnectionResetError, IncompleteRead):
                continue
        seen = server.stats().accounts[1]
    assert seen.faults.keys() == {"500", "reset", "truncated", "html", "drip"}
    assert (sum(seen.faults.values()), seen.served) == (40, 0)


# orders and statistics


def test_added_objects_come_first_and_edited_and_deleted_ones_change(fresh: Server) -> None:
    before = walk(fresh, "/v1/customers")
    added = fresh.control(Add(account=1, stream="customers", count=2))
    assert abs(added[0]["created"] - time.time()) < 10
    assert walk(fresh, "/v1/customers") == [*reversed(added), *before]
    assert walk(fresh, "/v1/customers", **{"created[gte]": added[0]["created"]}) == [*reversed(added)]

    edited = fresh.control(Edit(account=1, stream="customers", ids=[before[3]["id"]]))
    assert edited == [{**before[3], "metadata": {**before[3]["metadata"], "revision": "1"}}]

    gone = before[5]["id"]
    assert fresh.control(Delete(account=1, stream="customers", ids=[gone])) == [before[5]]
    assert walk(fresh, "/v1/customers", limit=3) == [*reversed(added), *before[:3], *edited, before[4], *before[6:]]
    assert get(fresh, "/v1/customers", starting_after=gone).error["code"] == "resource_missing"
    assert get(fresh, f"/v1/customers/{gone}/payment_methods").status == 404

    assert len(walk(fresh, "/v1/charges")) == 40
    assert get(fresh, "/v1/customers", Server.key(2), limit=100).data["data"] == formula("customers", 2, 20)


def test_every_change_shows_at_once_though_pages_are_kept(fresh: Server) -> None:
    newest = get(fresh, "/v1/products").data["data"][0]
    for revision in ("1", "2"):
        fresh.control(Edit(account=1, stream="products", ids=[newest["id"]]))
        assert get(fresh, "/v1/products").data["data"][0]["metadata"]["revision"] == revision


@pytest.mark.parametrize(
    "order",
    [
        Add(account=9, stream="customers"),
        Add(account=1, stream="payment_methods"),
        Edit(account=1, stream="nonsense", ids=[]),
        Delete(account=1, stream="customers", ids=["cus_nobody"]),
    ],
)
def test_an_impossible_order_is_refused(api: Server, order: Add | Edit | Delete) -> None:
    with pytest.raises(ValueError, match="error"):
        api.control(order)


def test_statistics_say_what_was_served_and_can_be_cleared(fresh: Server) -> None:
    walk(fresh, "/v1/charges", limit=10)
    get(fresh, "/v1/account")
    get(fresh, "/v1/nonsense")
    seen = fresh.stats().accounts[1]
    assert (seen.requests, seen.served, seen.refused, seen.most_arrived) == (6, 5, 1, 6)
    assert {name: part.served for name, part in seen.endpoints.items()} == {"charges": 4, "account": 1, "unknown": 0}
    assert seen.first is not None
    assert seen.last is not None
    assert 0 < seen.first < seen.last
    fresh.reset()
    assert fresh.stats().accounts[1].requests == 0
    get(fresh, "/v1/account")
    assert fresh.stats().accounts[1].served == 1


def test_pages_beyond_the_cache_are_still_right() -> None:
    with running(accounts=1, customers=60, rate=0, cache_mb=0) as server:
        for _ in range(2):
            assert walk(server, "/v1/charges", limit=50) == formula("charges", customers=60)


# the process


def ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 10)[0])


def test_it_stops_on_sigterm_even_with_requests_under_way() -> None:
    command = [sys.executable, "-m", "crawlerd.demo.api", "--latency=60", "--rate=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        server = Server(url, process.pid)
        connection = connect(server)
        connection.request("GET", "/v1/products", headers={"Authorization": "Bearer sk_test_account_1"})
        deadline = time.monotonic() + 10
        while not server.stats().accounts[1].requests:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
        connection.close()


def test_it_ends_with_the_block_and_with_its_parent() -> None:
    with running(accounts=1, customers=1) as server:
        pidfd = os.pidfd_open(server.pid)
    assert ended(pidfd)
    os.close(pidfd)

    script = """
import sys
from crawlerd.demo.server import running
with running(accounts=1, customers=1) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        assert ended(pidfd)
        os.close(pidfd)


def test_wrong_options_are_said_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match="colour"), running(colour="blue"):
        pass
    with pytest.raises(RuntimeError, match="did not start"), running(faults="nonsense=0.5"):
        pass
    assert "unknown faults: nonsense" in capfd.readouterr().err
