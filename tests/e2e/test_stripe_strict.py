"""Stripe as strict as its SDK: everything arrives, and what changes does too, with or without an event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import stripe_sdk as sdk
from support.installation import NO_LIMITS, Installation, until
from support.strict_stripe import Ref, StrictStripe
from support.stripe_shop import MONTH, NOW, Shop
from support.stripe_shop import STREAMS as OF_SHOP

from crawlerd.sources.stripe.catalogue import BELOW, LISTS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def server() -> Iterator[StrictStripe]:
    with StrictStripe() as server:
        for stream, listing in LISTS.items():
            if listing.single:
                server.add(listing.path, f"{stream}_1")
        yield server


def installed(install: Callable[..., Installation], server: StrictStripe, *streams: str) -> Installation:
    return install(url=server.url, account=NO_LIMITS, streams=streams or STREAMS)


def run(here: Installation, server: StrictStripe, *options: str) -> dict[str, Any]:
    done = here.run("import", "a1", "--json", *options)
    assert server.refused == []
    assert done.code == 0, (done.stdout, done.stderr)
    (report,) = done.json["imports"]["a1"]
    found: dict[str, Any] = report
    return found


def living(here: Installation) -> dict[str, dict[str, Any]]:
    """By stream and key, what the sink says there is."""
    names = here.select(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'stripe_%'", path=here.sink_path
    )
    found = {}
    for (name,) in names:
        rows = here.select(f'SELECT id, data FROM "{name}" WHERE deleted_at IS NULL', path=here.sink_path)
        found[name.removeprefix("stripe_")] = {key: json.loads(data) for key, data in rows}
    return {stream: objects for stream, objects in found.items() if objects}


def fill(server: StrictStripe, below: int = 12) -> dict[str, set[str]]:
    """Two objects in each list, and below each some more than its parent shows. Returns the keys by stream."""
    keys: dict[str, set[str]] = {}
    for stream, listing in LISTS.items():
        if listing.single:
            keys[stream] = {f"{stream}_1" if "id" in server.objects[listing.path][0] else stream}
            continue
        filters = {name: value for name, value in listing.filters if value != "all" and "[" not in name}
        for key in (f"{stream}_1", f"{stream}_2"):
            item = server.add(listing.path, key, of=filters)
            item |= {below.only_if[0]: True for below in BELOW.values() if below.parent == stream and below.only_if[0]}
            item |= {below.unless_null: "x" for below in BELOW.values() if below.parent == stream and below.unless_null}
            item |= {below.embedded: None for below in BELOW.values() if below.parent == stream and below.carried}
        keys[stream] = {f"{stream}_1", f"{stream}_2"}
    for stream, listing in BELOW.items():
        keys[stream] = set()
        for parent in sorted(keys[listing.parent]):
            path = listing.path.format(parent=parent)
            if listing.single:
                server.add(path, stream, customer=parent)
                keys[stream].add(parent)
                continue
            for number in range(below if listing.embedded else 2):
                key = f"{stream}_{number}" if stream == "capabilities" else f"{stream}_{number}_of_{parent}"
                owner = {listing.owner: parent} if listing.owner else {}
                server.add(path, key, of={listing.parameter: parent} if listing.parameter else None, **owner)
                keys[stream].add(f"{parent}/{key}" if listing.keyed else key)
    keys["balance_transactions"] |= {key.partition("/")[2] for key in keys["payout_balance_transactions"]}
    return keys


def test_everything_arrives_and_no_request_is_refused(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    keys = fill(server)
    here = installed(install, server)
    report = run(here, server)
    assert report["complete"]
    found = living(here)
    assert {stream: set(objects) for stream, objects in found.items()} == keys
    limits = {limit for asked in server.asked for limit in asked.all("limit")}
    assert limits == {"100", "1"}  # pages of 100, and the newest event
    server.forget()
    run(here, server)
    assert living(here) == found
    server.forget()
    run(here, server, "--full")
    assert living(here) == found


# ---- what changes


def test_a_later_run_finds_what_a_full_one_would(install: Callable[..., Installation], server: StrictStripe) -> None:
    shop = Shop(server)
    here = installed(install, server, *OF_SHOP)
    run(here, server)
    before = living(here)
    shop.change()
    server.forget()
    run(here, server)
    after = living(here)
    changed = {stream for stream in {*before, *after} if before.get(stream) != after.get(stream)}
    assert {
        "application_fee_refunds", "files", "invoice_payments", "invoice_items", "quotes", "quote_line_items",
        "payment_intents", "setup_intents", "charges", "persons", "capabilities", "identity_verification_reports",
        "product_features", "active_entitlements", "customer_cash_balances", "payout_balance_transactions",
        "subscriptions", "customers", "balance", "billing_credit_balance_transactions", "reviews", "prices",
    } <= changed  # fmt: skip
    assert set(after["active_entitlements"]) == {"cus_2/ent_2"}
    assert set(after["persons"]) == {"person_1", "person_3"}
    server.forget()
    run(here, server, "--full")
    assert living(here) == after  # and closed reviews and inline prices are still there
    assert {"prv_1"} == set(after["reviews"])
    assert "price_2" in after["prices"]


def test_a_later_run_that_is_killed_finds_the_same(install: Callable[..., Installation], server: StrictStripe) -> None:
    shop = Shop(server)
    here = installed(install, server, *OF_SHOP)
    run(here, server)
    shop.change()
    server.forget()
    kills = 0
    for count in (3, 15, 40):
        command = here.start("import", "a1")
        until(lambda count=count, command=command: not command.running or len(server.asked) >= count)
        kills += command.running
        command.kill()
        here.assert_conserved()
    assert kills == 3
    run(here, server)
    after = living(here)
    here.assert_conserved()
    server.forget()
    run(here, server, "--full")
    assert living(here) == after
    assert set(after["active_entitlements"]) == {"cus_2/ent_2"}


def test_what_a_later_run_misses_is_said_in_the_catalogue(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    shop = Shop(server)
    below = {
        "payment_methods": server.add("/v1/customers/cus_1/payment_methods", "pm_1", customer="cus_1"),
        "customer_sources": server.add("/v1/customers/cus_1/sources", "card_1", customer="cus_1"),
        "customer_tax_ids": server.add("/v1/customers/cus_1/tax_ids", "txi_1", customer="cus_1"),
        "customer_balance_transactions": server.add("/v1/customers/cus_1/balance_transactions", "cbt_1"),
        "customer_cash_balance_transactions": server.add("/v1/customers/cus_1/cash_balance_transactions", "ccsbtxn_1"),
        "active_entitlements": server.add("/v1/entitlements/active_entitlements", "ent_9", of={"customer": "cus_1"}),
        "customer_cash_balances": server.add("/v1/customers/cus_1/cash_balance", "cash", customer="cus_1"),
    }
    server.edit(shop.intent, created=NOW - MONTH)
    here = installed(install, server, *OF_SHOP)
    run(here, server)
    server.delete(shop.customer, "customer.deleted")
    server.edit(shop.intent, metadata={"order": "3"})
    server.forget()
    run(here, server)
    after = living(here)
    server.forget()
    run(here, server, "--full")
    whole = living(here)
    missed = {stream for stream in {*after, *whole} if after.get(stream) != whole.get(stream)}
    assert missed == {"payment_intents"}
    assert not {*list(below)[:5]} & set(after)
    assert all({**LISTS, **BELOW}[stream].missed for stream in missed)
    assert "cus_1" not in after["customers"]
    assert "cus_1/ent_9" not in after["active_entitlements"]
    assert set(after["customer_cash_balances"]) == {"cus_2"}


def test_fields_that_only_expansion_gives_are_in_the_records(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    def discount(key: str) -> Ref:
        return Ref(sdk.sample(sdk.of_kind("discount"), key))

    server.add("/v1/customers", "cus_1", tax={"automatic_tax": "supported"})
    server.add("/v1/invoices", "in_1", discounts=[discount("di_1")])
    for number in range(12):  # two more than the invoice shows
        server.add("/v1/invoices/in_1/lines", f"il_{number:02}", discounts=[discount(f"di_2_{number}")])
    server.add("/v1/invoiceitems", "ii_1", discounts=[discount("di_3")])
    server.add("/v1/subscriptions", "sub_1", discounts=[discount("di_4")])
    server.add("/v1/subscription_items", "si_1", subscription="sub_1", discounts=[discount("di_5")])
    server.add("/v1/quotes", "qt_1", discounts=[discount("di_6")])
    server.add("/v1/quotes/qt_1/line_items", "li_1", discounts=[{"amount": 1}], taxes=[{"amount": 2}])
    server.add("/v1/checkout/sessions", "cs_1")
    server.add("/v1/checkout/sessions/cs_1/line_items", "li_2", discounts=[{"amount": 3}], taxes=[{"amount": 4}])
    server.add("/v1/prices", "price_1", tiers=[{"up_to": None}], currency_options={"eur": {"unit_amount": 5}})
    server.add("/v1/plans", "plan_1", tiers=[{"up_to": 6}])
    server.add("/v1/coupons", "co_1", applies_to={"products": ["prod_1"]}, currency_options={"eur": {"amount_off": 7}})
    here = installed(install, server)
    run(here, server)
    found = living(here)
    assert found["customers"]["cus_1"]["tax"] == {"automatic_tax": "supported"}
    for stream, key, name in [
        ("invoices", "in_1", "di_1"),
        *(("invoice_lines", f"il_{number:02}", f"di_2_{number}") for number in range(12)),
        ("invoice_items", "ii_1", "di_3"),
        ("subscriptions", "sub_1", "di_4"),
        ("subscription_items", "si_1", "di_5"),
        ("quotes", "qt_1", "di_6"),
    ]:
        (each,) = found[stream][key]["discounts"]
        assert (each["object"], each["id"]) == ("discount", name)
    assert found["quote_line_items"]["li_1"]["taxes"] == [{"amount": 2}]
    assert found["checkout_session_line_items"]["li_2"]["discounts"] == [{"amount": 3}]
    assert found["prices"]["price_1"]["tiers"] == [{"up_to": None}]
    assert found["prices"]["price_1"]["currency_options"] == {"eur": {"unit_amount": 5}}
    assert found["plans"]["plan_1"]["tiers"] == [{"up_to": 6}]
    assert found["coupons"]["co_1"]["applies_to"] == {"products": ["prod_1"]}
    # the record of an object does not depend on what else is imported
    alone = installed(install, server, "invoices", "quotes", "checkout_sessions")
    run(alone, server)
    assert living(alone) == {stream: found[stream] for stream in ("invoices", "quotes", "checkout_sessions")}


def test_few_changes_among_many_foreign_events_take_few_requests(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    product = server.add("/v1/products", "prod_1")
    customer = server.add("/v1/customers", "cus_1")
    here = installed(install, server, "products")
    run(here, server)
    for _ in range(1_000):
        server.tell("customer.updated", customer)
    server.forget()
    run(here, server)
    assert len(server.asked) == 3  # whose key it is, the newest event, and events of products
    server.edit(product, "product.updated", name="new")
    run(here, server)
    assert living(here)["products"]["prod_1"]["name"] == "new"


def test_another_version_of_the_api_can_be_configured(install: Callable[..., Installation]) -> None:
    with StrictStripe("2025-09-30.clover") as server:
        server.add("/v1/account", "acct_1")
        server.add("/v1/accounts", "acct_2", created=NOW - MONTH)
        server.add("/v1/charges", "ch_1")
        here = installed(install, server, "charges")
        here.config["accounts"]["a1"]["api_version"] = "2025-09-30.clover"
        here.config["imports"]["a1"]["connected_accounts"] = True
        run(here, server)
        assert set(here.imported("a1/acct_2", "charges")) == {"ch_1"}  # this server's accounts have all the same
        assert set(living(here)["charges"]) == {"ch_1"}
        server.version, here.config["accounts"]["a1"]["api_version"] = "2026-10-28.endive", "2026-10-28.endive"
        server.forget()
        report = run(here, server)
        assert "version 2025-09-30.clover of the API, and this is 2026-10-28.endive" in report["full_reason"]
        here.config["accounts"]["a1"]["api_version"] = "newest"
        refused = here.run("import", "a1")
        assert refused.code == 78
        assert 'api_version must be like "2026-10-28.endive", not "newest"' in refused.stderr


@pytest.mark.parametrize("status", [400, 403])  # an older version, and a key that may not read discounts
def test_records_come_without_what_is_not_expanded_and_the_report_says_so(
    install: Callable[..., Installation], server: StrictStripe, status: int
) -> None:
    server.unexpandable = {"discounts": status}
    invoice = server.add("/v1/invoices", "in_1")
    for number in range(12):
        server.add("/v1/invoices/in_1/lines", f"il_{number:02}")
    here = installed(install, server, "invoices", "invoice_lines", "customers")
    done = here.run("import", "a1", "--json")
    assert done.code == 0
    (report,) = done.json["imports"]["a1"]
    assert len(living(here)["invoice_lines"]) == 12
    for stream in ("invoices", "invoice_lines"):
        assert "cannot be expanded (data." in report["streams"][stream]["reason"]
    server.edit(invoice, "invoice.updated", number="7")
    assert here.run("import", "a1").code == 0
    assert living(here)["invoices"]["in_1"]["number"] == "7"


@pytest.mark.parametrize("status", [400, 403])
def test_objects_come_where_the_lists_that_they_carry_are_refused(
    install: Callable[..., Installation], server: StrictStripe, status: int
) -> None:
    server.unexpandable = dict.fromkeys(["tax", "tax_ids", "line_items", "sources"], status)
    customer = server.add("/v1/customers", "cus_1")
    server.add("/v1/customers/cus_1/tax_ids", "txi_1", customer="cus_1")
    server.add("/v1/payment_links", "plink_1")
    server.add("/v1/payment_links/plink_1/line_items", "li_1")
    here = installed(
        install, server, "customers", "customer_tax_ids", "customer_sources", "payment_links", "payment_link_line_items"
    )
    done = here.run("import", "a1", "--json")
    assert done.code == 0, done.stdout
    found = living(here)
    assert {stream: set(each) for stream, each in found.items()} == {
        "customers": {"cus_1"},
        "customer_tax_ids": {"txi_1"},
        "payment_links": {"plink_1"},
        "payment_link_line_items": {"li_1"},
    }
    server.edit(customer, "customer.updated", name="Other")
    assert here.run("import", "a1").code == 0
    assert living(here)["customers"]["cus_1"]["name"] == "Other"


def test_the_second_api_has_pages_and_short_accounts(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    for number in range(120):
        server.add("/v2/money_management/transactions", f"trxn_{number:03}")
    for status in ("open", "closed", "pending"):
        server.add("/v2/money_management/financial_accounts", f"fa_{status}", status=status)
    customer = {"customer": {"applied": True}}
    account = server.add("/v2/core/accounts", "acct_1", configuration=customer, closed=False)
    server.add("/v2/core/accounts", "acct_2", configuration=customer, closed=True)
    server.add("/v2/core/accounts/acct_1/persons", "person_1")
    streams = ("v2_transactions", "v2_financial_accounts", "v2_accounts", "v2_account_persons")
    here = installed(install, server, *streams)
    run(here, server)
    found = living(here)
    assert [len(found[stream]) for stream in streams] == [120, 3, 2, 1]
    assert all(each["configuration"] == customer for each in found["v2_accounts"].values())
    server.edit(account, closed=True)
    server.delete(server.objects["/v2/core/accounts/acct_1/persons"][0])
    run(here, server)
    found = living(here)
    assert [found["v2_accounts"][key]["closed"] for key in ("acct_1", "acct_2")] == [True, True]
    assert "v2_account_persons" not in found


@pytest.mark.parametrize("more", [1, 12])  # lines and items; a parent shows 10 of them
def test_what_its_parent_has_lost_is_gone(
    install: Callable[..., Installation], server: StrictStripe, more: int
) -> None:
    def add(path: str, name: str, **fields: Any) -> list[dict[str, Any]]:
        return [server.add(path, f"{name}_{number:02}", **fields) for number in range(more + 1)]

    subscription = server.add("/v1/subscriptions", "sub_1")
    items = add("/v1/subscription_items", "si", subscription="sub_1")
    draft, open_ = server.add("/v1/invoices", "in_1"), server.add("/v1/invoices", "in_2")
    add("/v1/invoices/in_1/lines", "il_1")
    lines = add("/v1/invoices/in_2/lines", "il_2")
    here = installed(install, server, "subscriptions", "subscription_items", "invoices", "invoice_lines")
    run(here, server)
    server.remove(items[-1], subscription, "customer.subscription.updated")
    server.remove(lines[-1], open_, "invoice.updated")
    server.delete(draft, "invoice.deleted")
    run(here, server)
    after = living(here)
    assert set(after["subscription_items"]) == {each["id"] for each in items[:-1]}
    assert not {key for key in after["invoice_lines"] if key.startswith("il_1_")}  # those of the draft
    gone = set() if more > 10 else {lines[-1]["id"]}  # of a longer list, the parent does not say so
    left = {key for key in after["invoice_lines"] if key.startswith("il_2_")}
    assert left == {each["id"] for each in lines} - gone
