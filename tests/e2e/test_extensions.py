"""Packages that extend a source: found by entry points, exact under kills, and where an import asks for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from support.installation import NO_LIMITS, Installation, until
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDERS = 40
STREAMS = ("orders", "names", "looks")
SHOP = """
source = Source("shop", streams=["orders"], limits=["200/second"], key_optional=True)

@dataclass(frozen=True)
class Page(TaskArgs, kind="shop.page"):
    number: int

@source.starts
def starts(plan):
    yield Page(0)

@source.handles(Page, sequential=True)
def page(api, args):
    found = api.get(f"/orders/{args.number}")
    for each in found["orders"]:
        yield Record("orders", str(each["id"]), each)
    if found["more"]:
        yield Page(args.number + 1)
"""
WAREHOUSE = """
import os

def pack(order):
    with open(os.environ["PACKED"], "a") as file:
        file.write(f"{order['id']}\\n")
    return order["id"] * 2
"""
NAMES = """
from crawlerd.source import Record, subscribe
from shop_source import source

@subscribe(source, "orders", streams=["names"])
def names(record):
    if record.key == "7" and WRONG:
        raise ValueError("seven is odd")
    yield Record("names", record.key, {"name": f"order {record.key}"})
"""


@pytest.fixture
def orders() -> Iterator[RestApi]:
    """Ten orders a page; `api.count` of them."""
    with RestApi() as api:
        api.script = lambda request: page_of(request, ORDERS)
        yield api


def page_of(request: Request, count: int) -> Answer:
    first = 10 * int(request.path.rpartition("/")[2])
    return Answer(
        {"orders": [{"id": each} for each in range(first, min(count, first + 10))], "more": first + 10 < count}
    )


def shop(here: Installation, api: RestApi, *streams: str, code: str = SHOP) -> None:
    here.add_source("shop", code)
    here.config["accounts"]["shop"] = {"source": "shop", "base_url": api.url, **NO_LIMITS}
    here.config["imports"]["shop"] = {"account": "shop", "sink": "sink", "streams": list(streams)}


def test_the_example_calls_a_function_for_each_new_order(
    orders: RestApi, install: Callable[..., Installation], tmp_path: Path
) -> None:
    """At least once, since a kill may come after the call; not for orders that are known."""
    here = install(accounts=0)
    shop(here, orders, "orders", "new_order_calls")
    here.add_extension(
        "shop", "new_order_calls", (EXAMPLES / "new_order_calls" / "new_order_calls.py").read_text()
    )  # fmt: skip
    site = here.folder / "site"
    (site / "warehouse.py").write_text(WAREHOUSE)
    (site / "crawlerd_shop.py").write_text("from shop_source import source\n")
    packed = tmp_path / "packed"
    here.environment["PACKED"] = str(packed)

    importing = here.start("import", "shop")
    until(lambda: packed.exists() and packed.read_text().count("\n") >= 3)
    importing.send(signal.SIGKILL)
    importing.finish()
    assert here.run("import", "shop").code == 0
    calls = [int(each) for each in packed.read_text().split()]
    assert set(calls) == set(range(ORDERS))
    assert len(calls) < 2 * ORDERS  # those alone that were amid the kill
    made = here.imported("shop", "new_order_calls", "shop")
    assert {key: row["answer"] for key, row in made.items()} == {str(each): 2 * each for each in range(ORDERS)}

    packed.unlink()
    orders.script = lambda request: page_of(request, ORDERS + 3)
    assert here.run("import", "shop").code == 0
    assert sorted(packed.read_text().split()) == [str(each) for each in range(ORDERS, ORDERS + 3)]


def test_an_import_asks_for_what_an_extension_adds(orders: RestApi, install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    shop(here, orders, "*")
    here.add_extension("shop", "names", "WRONG = False\n" + NAMES)
    assert here.run("import", "shop").code == 0
    assert len(here.imported("shop", "orders", "shop")) == ORDERS
    assert not here.imported("shop", "names", "shop")

    here.config["imports"]["shop"]["streams"] = ["*", "names"]
    done = here.run("import", "shop", "--json")
    assert done.code == 0
    assert done.json["imports"]["shop"][0]["streams"]["names"]["new"] == ORDERS

    here.config["imports"]["shop"]["streams"] = ["names"]
    refused = here.run("import", "shop")
    assert refused.code == 78
    assert '"names" is made from the stream orders: name that as well' in refused.stderr


def test_an_extension_that_fails_loses_nothing(orders: RestApi, install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    shop(here, orders, "*", "names")
    here.add_extension("shop", "names", "WRONG = True\n" + NAMES)
    done = here.run("import", "shop")
    assert done.code == 1  # the first page of a chain
    (letter,) = here.run("dead", "list", "--json").json
    assert "ValueError: seven is odd" in letter["error"]
    here.add_extension("shop", "names", "WRONG = False\n" + NAMES)
    assert here.run("dead", "retry", "--all", "--yes").code == 0
    assert here.run("import", "shop").code == 0
    assert len(here.imported("shop", "orders", "shop")) == len(here.imported("shop", "names", "shop")) == ORDERS


def test_an_extension_that_cannot_be_imported_is_named(orders: RestApi, install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    shop(here, orders, "*")
    here.add_extension("shop", "names", NAMES.replace('"orders"', '"order"'))
    refused = here.run("import", "shop")
    assert refused.code == 78
    assert 'the extension of source "shop" (names) cannot be imported' in refused.stderr
    assert 'the source shop has no stream "order"; it has orders' in refused.stderr


def test_a_run_asks_to_its_end_for_what_it_began_with(orders: RestApi, install: Callable[..., Installation]) -> None:
    """An ad hoc run that a plain command goes on with."""
    here = install(accounts=0)
    shop(here, orders, "*")
    here.add_extension("shop", "names", "WRONG = False\n" + NAMES)
    held, over = threading.Event(), threading.Event()

    def one_page_and_no_more(request: Request) -> Answer:
        if not request.path.endswith("/0"):
            held.set()
            over.wait(30)
        return page_of(request, ORDERS)

    orders.script = one_page_and_no_more
    importing = here.start("import", "shop", "--set", "streams=orders,names")
    until(held.is_set)
    importing.kill()
    over.set()
    orders.script = lambda request: page_of(request, ORDERS)
    done = here.run("import", "shop", "--json")
    assert done.code == 0
    (run,) = done.json["imports"]["shop"]
    assert run["ad_hoc"]
    assert run["streams"]["names"]["seen"] == ORDERS
    assert len(here.imported("shop", "names", "shop")) == ORDERS


FOLLOWED = """
source = Source("shop", streams=["orders"], limits=["200/second"], key_optional=True)

@dataclass(frozen=True)
class Page(TaskArgs, kind="shop.page"):
    number: int

@source.starts
def starts(plan):
    yield Page(int(plan.cursors.get("orders", 0)))

@source.handles(Page, sequential=True)
def page(api, args):
    found = api.get(f"/orders/{args.number}")
    for each in found["orders"]:
        yield Record("orders", str(each["id"]), each)
    if found["more"]:
        yield Page(args.number + 1)
    else:
        yield Cursor("orders", str(args.number + 1))
"""


def test_an_ad_hoc_run_that_asks_for_an_extension_moves_no_sync_point(
    orders: RestApi, install: Callable[..., Installation]
) -> None:
    """It is told of all records all the same."""
    here = install(accounts=0)
    shop(here, orders, "*", code=FOLLOWED)
    here.add_extension("shop", "names", "WRONG = False\n" + NAMES)
    assert here.run("import", "shop").code == 0
    tables = ("cursor", "last_full", "origin", "setup")
    before = {table: here.select(f"SELECT * FROM {table}") for table in tables}
    assert before["cursor"]
    assert here.run("import", "shop", "--set", "streams=orders,names").code == 0
    assert len(here.imported("shop", "names", "shop")) == ORDERS
    assert {table: here.select(f"SELECT * FROM {table}") for table in tables} == before
    asked = len(orders.requests)
    assert here.run("import", "shop").code == 0
    assert [each.path for each in orders.requests[asked:]] == [f"/orders/{ORDERS // 10}"]


LARGE = """
from crawlerd.source import Record, TaskArgs, subscribe
from dataclasses import dataclass
from shop_source import source

@dataclass(frozen=True)
class Look(TaskArgs, kind="shop.look"):
    key: str

@subscribe(source, "orders", streams=["names", "looks"])
def names(record):
    yield Record("names", record.key, {"name": f"order {record.key}", "of": record.data["text"]})
    yield Look(record.key)

@source.handles(Look, cost=0)
def look(api, args):
    yield Record("looks", args.key, {"key": args.key})
"""


def test_a_page_that_comes_in_portions_is_told_once_whatever_is_killed(
    orders: RestApi, install: Callable[..., Installation]
) -> None:
    large = [{"id": number, "text": f"{number:06}" * 400} for number in range(2_000)]
    orders.script = lambda _: Answer({"orders": large, "more": False})
    here = install(accounts=0)
    shop(here, orders, "*", "names", "looks")
    here.add_extension("shop", "names", LARGE)

    def rows() -> int:
        found = 0
        for each in STREAMS:
            with contextlib.suppress(apsw.SQLError, apsw.CantOpenError):  # it is not there yet
                found += here.select(f"SELECT count(*) FROM shop_{each}", path=here.sink_path)[0][0]
        return found

    for least in (1, 500, 2_000, 3_000, 4_000):  # of 6,000: far enough from the end
        importing = here.start("import", "shop")
        until(lambda least=least, importing=importing: rows() >= least or not importing.running)
        assert importing.running
        importing.kill()
    done = here.run("import", "shop", "--json")
    assert done.code == 0, done.stderr
    (run,) = done.json["imports"]["shop"]
    assert {stream: each["new"] for stream, each in run["streams"].items()} == dict.fromkeys(STREAMS, len(large))
    here.assert_conserved()
