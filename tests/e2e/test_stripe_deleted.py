"""Customers and drafts that are deleted at a strict Stripe: what lay below them ends with them, in any sink, once."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from support.crm import GONE, TOKEN, Crm
from support.installation import NO_LIMITS, Installation, until
from support.strict_stripe import StrictStripe
from support.stripe_shop import MONTH, NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.strict_stripe import Asked

OF_CUSTOMERS = {  # the path below a customer, and what the ids begin with
    "payment_methods": ("payment_methods", "pm"),
    "customer_balance_transactions": ("balance_transactions", "cbtxn"),
    "customer_cash_balance_transactions": ("cash_balance_transactions", "ccsbtxn"),
    "customer_sources": ("sources", "card"),
    "customer_tax_ids": ("tax_ids", "txi"),
}
STREAMS = ("customers", *OF_CUSTOMERS, "invoices", "invoice_lines")
EVENTS = {"ccsbtxn": "customer_cash_balance_transaction.created", "card": "customer.source.created"}
EVENTS |= {"txi": "customer.tax_id.created", "pm": "payment_method.attached"}
MORE = 12  # below a parent, which shows 10

Gone = set[tuple[str, str]]  # stream and key


@pytest.fixture
def server() -> Iterator[StrictStripe]:
    with StrictStripe() as server:
        server.add("/v1/account", "acct_1")
        yield server


def installed(install: Callable[..., Installation], server: StrictStripe, crm: Crm | None = None) -> Installation:
    """Imports into a sink of each type that remembers; with the CRM, into that as well."""
    here = install(url=server.url, account=NO_LIMITS, streams=STREAMS)
    here.config["sinks"] |= {
        "lines": {"type": "jsonl", "path": "lines"},
        "queue": {"type": "persist-queue", "path": "q"},
    }
    if crm:
        here.environment["CRM_TOKEN"] = TOKEN
        here.config["accounts"]["crm"] = {
            "source": "http",
            "base_url": crm.url,
            "token": {"env": "CRM_TOKEN"},
            **NO_LIMITS,
        }
        here.config["sinks"]["crm"] = {
            "type": "http",
            "account": "crm",
            "path": "/things",
            "records": "things",
            "fields": {"id": "id", "revision": "object"},
            "accepted": "accepted",
            "tombstones": {"path": "/things/{key}"},
        }
    for sink in ("lines", "queue", *(["crm"] if crm else [])):
        here.config["imports"][sink] = {**here.config["imports"]["a1"], "sink": sink}
    return here


def run(here: Installation, server: StrictStripe, *options: str) -> None:
    done = here.run("import", "--all", *options)
    assert done.code == 0, (done.stdout, done.stderr)
    assert server.refused == []
    here.assert_conserved()


def living(here: Installation) -> dict[str, dict[str, Any]]:
    return {stream: found for stream in STREAMS if (found := rows(here, stream, "IS NULL"))}


def tombstoned(here: Installation) -> Gone:
    return {(stream, key) for stream in STREAMS for key in rows(here, stream, "IS NOT NULL AND data IS NOT NULL")}


def rows(here: Installation, stream: str, deleted: str) -> dict[str, Any]:
    table = f"stripe_{stream}"
    if not here.select("SELECT 1 FROM sqlite_schema WHERE name = ?", table, path=here.sink_path):
        return {}
    found = here.select(f'SELECT id, data FROM "{table}" WHERE deleted_at {deleted}', path=here.sink_path)
    return {key: json.loads(data) for key, data in found}


def versions(here: Installation) -> dict[str, dict[tuple[str, str], list[Any]]]:
    """What the sinks that hand records on were told of each, in order."""
    queue = apsw.Connection(str(here.folder / "q/data.db"), flags=apsw.SQLITE_OPEN_READONLY)
    told = [bytes(data) for (data,) in queue.execute("SELECT data FROM ack_queue_default ORDER BY _id")]
    queue.close()
    files = sorted((here.folder / "lines").glob("*.jsonl"), key=lambda path: int(path.stem.rpartition("-")[2]))
    of = {"queue": told, "lines": [line for path in files for line in path.read_bytes().splitlines()]}
    found: dict[str, dict[tuple[str, str], list[Any]]] = {}
    for sink, lines in of.items():
        found[sink] = {}
        for line in map(json.loads, lines):
            found[sink].setdefault((line["stream"], line["id"]), []).append(line["data"])
    return found


def assert_told_once(here: Installation, gone: Gone, crm: Crm | None = None) -> None:
    """Of what is gone, and of nothing else, each sink has one tombstone, and it comes last."""
    for told in versions(here).values():
        assert {key for key, each in told.items() if None in each} == gone
        assert all(told[key].count(None) == 1 and told[key][-1] is None for key in gone)
    if crm:
        until(lambda: sum(GONE in each for each in crm.history.values()) >= len(gone))
        assert {key for key, each in crm.history.items() if GONE in each} == {key for _, key in gone}
        assert all(crm.history[key].count(GONE) == 1 and crm.history[key][-1] == GONE for _, key in gone)


def add_customer(server: StrictStripe, key: str, count: int = 2, *, told: bool = False) -> Gone:
    """With what lies below it. told: by events."""
    server.add("/v1/customers", key, created=NOW - 2 * MONTH, event="customer.created" if told else "")
    found = {("customers", key)}
    for stream, (path, name) in OF_CUSTOMERS.items():
        for number in range(count):
            its = f"{name}_{number}_of_{key}"
            event, more = EVENTS.get(name, "") if told else "", {"object": "card"} if name == "card" else {}
            server.add(f"/v1/customers/{key}/{path}", its, customer=key, event=event, **more)
            found.add((stream, its))
    return found


def customer(server: StrictStripe, key: str) -> dict[str, Any]:
    return next(each for each in server.objects["/v1/customers"] if each["id"] == key)


def delete(server: StrictStripe, key: str) -> None:
    server.delete(customer(server, key), "customer.deleted")


def fill(server: StrictStripe) -> Gone:
    """What is to be gone after `change`."""
    gone = add_customer(server, "cus_1", MORE)
    add_customer(server, "cus_2")
    add_customer(server, "cus_10")  # its id begins with that of another one
    for key in ("in_1", "in_2"):
        server.add("/v1/invoices", key, created=NOW - 2 * MONTH)
        for number in range(MORE):
            server.add(f"/v1/invoices/{key}/lines", f"il_{number}_of_{key}")
    gone |= {("invoices", "in_1"), *(("invoice_lines", f"il_{number}_of_in_1") for number in range(MORE))}
    return gone - {("payment_methods", f"pm_{number}_of_cus_1") for number in (0, 1)}


def change(server: StrictStripe) -> None:
    moved = list(server.objects["/v1/customers/cus_1/payment_methods"][:2])
    for event, each in zip(("", "payment_method.attached"), moved, strict=True):  # the event of one was lost
        server.move(each, "/v1/customers/cus_2/payment_methods", event, customer="cus_2")
    add_customer(server, "cus_3", told=True)  # comes and goes between two runs
    before = customer(server, "cus_1")
    late = {"customer": "cus_1", "object": "card", "event": "customer.source.created"}
    server.add("/v1/customers/cus_1/sources", "card_late", **late)
    server.tell("customer.tax_id.updated", server.objects["/v1/customers/cus_1/tax_ids"][0])
    delete(server, "cus_1")
    events = server.objects["/v1/events"]
    events[-3:] = reversed(events[-3:])  # they come in any order
    server.tell("customer.updated", before)
    delete(server, "cus_3")
    server.delete(server.objects["/v1/invoices"][0], "invoice.deleted")


@pytest.mark.parametrize("answers", [False, True])
def test_what_lay_below_ends_as_a_full_run_would_end_it(
    install: Callable[..., Installation], server: StrictStripe, answers: bool
) -> None:
    server.answers_below_deleted = answers
    gone = fill(server)
    here = installed(install, server)
    run(here, server)
    before = living(here)
    server.forget()
    change(server)
    run(here, server)
    after = living(here)
    assert tombstoned(here) >= gone
    assert (
        not {(stream, key) for stream in before for key in before[stream].keys() - after.get(stream, {}).keys()} - gone
    )
    assert {"pm_0_of_cus_1", "pm_1_of_cus_1"} <= set(after["payment_methods"])
    # Of what cannot move, nothing is asked for; of the others, each once by each import.
    asked = Counter(each.path for each in server.asked)
    assert not [path for path in asked if "/cus_1/" in path or "/cus_3/" in path]
    assert {asked[path] for path in asked if "/payment_methods/" in path} == {3}
    assert_told_once(here, gone)
    server.forget()
    run(here, server)  # the last events are read once more
    run(here, server, "--full")
    assert living(here) == after
    assert_told_once(here, gone)


def test_an_answer_from_below_a_deleted_customer_brings_nothing_back(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    """Its event and that of the deletion are on different pages, and it is the last one, if it can be."""

    def answer_late(asked: Asked) -> None:
        if asked.path.endswith("/card_late"):
            with suppress(AssertionError):  # the customer must wait for this one
                until(lambda: server.requests_for("/v1/customers/cus_1"), 1)
            time.sleep(0.3)  # what came of that is in the sink

    server.answers_below_deleted = True
    add_customer(server, "cus_1")
    other = server.add("/v1/customers", "cus_2", created=NOW - 2 * MONTH)
    here = install(url=server.url, account=NO_LIMITS, streams=STREAMS)
    run(here, server)
    server.forget()
    server.before = answer_late
    server.add("/v1/customers/cus_1/sources", "card_late", customer="cus_1", object="card")
    late = server.objects["/v1/customers/cus_1/sources"][-1]
    delete(server, "cus_1")
    for _ in range(150):
        server.tell("customer.updated", other)
    server.tell("customer.source.created", late)  # when it is gone already
    run(here, server)
    assert server.requests_for("/v1/customers/cus_1/sources/card_late")
    assert {stream: set(found) for stream, found in living(here).items()} == {"customers": {"cus_2"}}


def test_killed_at_any_request_each_sink_is_told_once(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    with Crm() as crm:
        gone = fill(server)
        here = installed(install, server, crm)
        run(here, server)
        before = living(here)
        change(server)
        kills = 0
        for count in (8, 30, 48):
            server.forget()
            command = here.start("import", "--all")
            until(lambda count=count, command=command: not command.running or len(server.asked) >= count)
            kills += command.running
            command.kill()
            here.assert_conserved()
        assert kills >= 2
        run(here, server)
        after = living(here)
        lost = {(stream, key) for stream in before for key in before[stream].keys() - after.get(stream, {}).keys()}
        assert lost == gone
        assert_told_once(here, gone, crm)
        assert not crm.crossed
        server.forget()
        run(here, server, "--full")
        assert living(here) == after
        assert_told_once(here, gone, crm)


def test_what_an_earlier_version_has_written_is_read_once_in_full(
    install: Callable[..., Installation], server: StrictStripe
) -> None:
    add_customer(server, "cus_1")
    add_customer(server, "cus_2")
    here = install(url=server.url, account=NO_LIMITS, streams=["customers", "customer_tax_ids"])
    run(here, server)
    for stream in ("customers", "customer_tax_ids"):
        here.change_published(stream, lambda mark: mark.replace(',"parents":true', ""))
    with closing(apsw.Connection(str(here.sink_path))) as sink:
        sink.execute("DROP INDEX _crawlerd_below_stripe_customer_tax_ids")
        sink.execute("ALTER TABLE stripe_customer_tax_ids DROP COLUMN parent")
    done = here.run("import", "a1", "--json")
    assert done.code == 0
    (report,) = done.json["imports"]["a1"]
    assert "has not noted what its records lie below" in report["full_reason"]
    assert report["streams"]["customer_tax_ids"]["seen"] == 4
    assert report["streams"].get("customers", {"seen": 0})["seen"] == 0
    delete(server, "cus_1")
    run(here, server)
    assert rows(here, "customer_tax_ids", "IS NULL").keys() == {"txi_0_of_cus_2", "txi_1_of_cus_2"}


def test_a_run_without_deletions_asks_nothing_more(install: Callable[..., Installation], server: StrictStripe) -> None:
    add_customer(server, "cus_1")
    here = install(url=server.url, account=NO_LIMITS, streams=["customer_tax_ids"])
    run(here, server)
    server.forget()
    server.tell("customer.tax_id.updated", server.objects["/v1/customers/cus_1/tax_ids"][0])
    run(here, server)
    assert [each.path for each in server.asked] == [
        "/v1/account",
        "/v1/events",  # the newest
        "/v1/events",
        "/v1/customers/cus_1/tax_ids/txi_0_of_cus_1",
    ]
    delete(server, "cus_1")  # of which the import has no stream
    run(here, server)
    assert not rows(here, "customer_tax_ids", "IS NULL")
