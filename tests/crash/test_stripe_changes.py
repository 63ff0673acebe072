"""Stripe while it changes: objects come, change and go during the crawl and its kills, and the sink ends exact."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
from installation import QUICK, Installation, until

from crawlerd.demo.objects import STREAMS
from crawlerd.demo.server import Add, Delete, Edit, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGED = ("customers", "charges", "invoices", "subscriptions", "products", "payment_methods")
LISTED = [name for name, stream in STREAMS.items() if not stream.parent and name != "events"]


def walk(server: Server, path: str, **params: Any) -> list[dict[str, Any]]:
    """Every object of a list, as the API has it now."""
    found: list[dict[str, Any]] = []
    headers = {"Authorization": f"Bearer {server.key(1)}"}
    more = True
    while more:
        after = {"starting_after": found[-1]["id"]} if found else {}
        query = urlencode({"limit": 100, **params, **after})
        page = requests.get(f"{server.url}{path}?{query}", headers=headers, timeout=20).json()
        found += page["data"]
        more = page["has_more"]
    return found


def holdings(server: Server) -> dict[str, dict[str, Any]]:
    """All objects by stream and id, as the API has them now."""
    all_of = {
        name: walk(server, f"/v1/{name}", **({"status": "all"} if name == "subscriptions" else {})) for name in LISTED
    }
    all_of["payment_methods"] = [
        method for each in all_of["customers"] for method in walk(server, f"/v1/customers/{each['id']}/payment_methods")
    ]
    all_of["invoice_lines"] = [
        line for each in all_of["invoices"] for line in walk(server, f"/v1/invoices/{each['id']}/lines")
    ]
    return {stream: {each["id"]: each for each in objects} for stream, objects in all_of.items()}


def sunk(here: Installation, stream: str) -> dict[str, Any]:
    """What the sink says there is."""
    gone = here.select(f'SELECT id FROM "stripe_{stream}" WHERE deleted_at IS NOT NULL', path=here.sink_path)
    kept = here.imported("a1", stream)
    for (key,) in gone:
        del kept[key]
    return kept


def assert_same(here: Installation, server: Server) -> None:
    for stream, objects in holdings(server).items():
        if stream == "invoice_lines":  # no event tells of the lines of an invoice that was deleted
            assert objects.items() <= here.imported("a1", stream).items()
        elif objects:
            assert sunk(here, stream) == objects, stream


def change(server: Server, dice: random.Random) -> None:
    """A few objects of each stream come, change and go."""
    for stream in CHANGED:
        if stream != "payment_methods":
            server.control(Add(account=1, stream=stream, count=dice.randint(0, 3)))
        customers = walk(server, "/v1/customers")
        path = (
            f"/v1/customers/{dice.choice(customers)['id']}/{stream}" if stream == "payment_methods" else f"/v1/{stream}"
        )
        keys = [each["id"] for each in walk(server, path)]
        dice.shuffle(keys)
        server.control(Edit(account=1, stream=stream, ids=keys[:4]))
        server.control(Delete(account=1, stream=stream, ids=keys[3:6]))


def kill_amid_changes(here: Installation, server: Server, dice: random.Random, steps: list[int], *more: str) -> int:
    """Starts the import and kills it after so many requests, again and again, changing what the API has all the time."""
    kills = 0
    for step in steps:
        command = here.start("import", "a1", *more)
        target = server.stats().accounts[1].requests + step
        until(lambda target=target: server.stats().accounts[1].requests >= target or not command.running)
        change(server, dice)
        if command.running:
            command.kill()
            kills += 1
            here.assert_conserved()
    return kills


def test_what_changes_during_a_load_and_its_kills_is_followed_exactly(install: Callable[..., Installation]) -> None:
    seed = time.time_ns()
    dice = random.Random(seed)
    faults = "500=0.02,reset=0.02,truncated=0.02,html=0.02"
    with running(accounts=1, customers=250, rate=0, faults=faults, latency=0.01) as server:
        here = install(url=server.url, account={**QUICK, "attempts": 20, "concurrency": 8})
        assert kill_amid_changes(here, server, dice, [dice.randint(1, 60) for _ in range(4)]) >= 3, seed
        assert here.run("import", "a1").code == 0, seed
        for _ in range(2):
            change(server, dice)
            before = server.stats().accounts[1].endpoints["customers"].served
            kill_amid_changes(here, server, dice, [dice.randint(1, 20) for _ in range(2)])
            assert here.run("import", "a1").code == 0, seed
            # What has changed since, and no list: customers are 3 pages, and 250 below them.
            assert server.stats().accounts[1].endpoints["customers"].served < before + 300
        assert here.run("import", "a1").code == 0, seed
        assert_same(here, server)
        assert {state for state in here.states()} == {"completed"}


def test_objects_that_go_while_their_list_is_read_cost_no_others(install: Callable[..., Installation]) -> None:
    """The object that the next page's cursor names is deleted, again and again."""
    with running(accounts=1, customers=600, rate=0, latency=0.03) as server:
        here = install(url=server.url, streams=["charges"])
        command = here.start("import", "a1")
        deleted = 0
        while command.running and deleted < 12:
            until(lambda: not command.running or here.sink_path.exists() and sunk_count(here) > 100 * deleted)
            oldest = here.select(
                "SELECT id FROM stripe_charges ORDER BY data ->> 'created' LIMIT 1", path=here.sink_path
            )[0][0]
            server.control(Delete(account=1, stream="charges", ids=[oldest]))
            deleted += 1
        assert command.finish().code == 0
        assert server.stats().accounts[1].refused > 0  # the cursors were gone
        there = {each["id"]: each for each in walk(server, "/v1/charges")}
        assert there.items() <= here.imported("a1", "charges").items()
        assert here.run("import", "a1").code == 0
        assert sunk(here, "charges") == there


def sunk_count(here: Installation) -> int:
    tables = here.select("SELECT 1 FROM sqlite_schema WHERE name = 'stripe_charges'", path=here.sink_path)
    return here.select("SELECT count(*) FROM stripe_charges", path=here.sink_path)[0][0] if tables else 0
