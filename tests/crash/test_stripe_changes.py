"""Stripe while it changes: objects come, change and go during the crawl and its kills, and the sink ends exact."""

from __future__ import annotations

import json
import random
import shutil
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
from support.installation import QUICK, Installation, Running, until

from crawlerd.demo.objects import STREAMS
from crawlerd.demo.server import Add, Delete, Edit, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGED = ("customers", "charges", "invoices", "subscriptions", "products", "payment_methods")
LISTED = [name for name, stream in STREAMS.items() if not stream.parent and name != "events"]


def ask(url: str) -> Any:
    """A good answer, None for a fault."""
    try:
        return requests.get(url, headers={"Authorization": f"Bearer {Server.key(1)}"}, timeout=20).json()
    except requests.RequestException:
        return None


def walk(server: Server, path: str, **params: Any) -> list[dict[str, Any]]:
    """Every object of a list, as the API has it now."""
    found: list[dict[str, Any]] = []
    more = True
    while more:
        after = {"starting_after": found[-1]["id"]} if found else {}
        url = f"{server.url}{path}?{urlencode({'limit': 100, **params, **after})}"
        page = until(lambda url=url: (answer := ask(url)) and "data" in answer and answer)
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
    rows = here.select(f'SELECT id, data FROM "stripe_{stream}" WHERE deleted_at IS NULL', path=here.sink_path)
    return {key: json.loads(data) for key, data in rows}


def assert_same(here: Installation, server: Server) -> None:
    for stream, objects in holdings(server).items():
        if objects:
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


def requests_of(server: Server) -> int:
    return server.stats().accounts[1].requests


def wait_for_requests(server: Server, count: int, command: Running) -> None:
    until(lambda: not command.running or requests_of(server) >= count, 60)


def wait_for_records(here: Installation, count: int, command: Running) -> None:
    until(lambda: not command.running or (here.sink_path.exists() and sunk_count(here) > count), 60)


def kill_amid_changes(here: Installation, server: Server, dice: random.Random, most: int, times: int) -> int:
    """Starts the import and kills it after up to so many requests, again and again, and changes what the API has."""
    kills = 0
    for _ in range(times):
        command, target = here.start("import", "a1"), requests_of(server) + dice.randint(1, most)
        wait_for_requests(server, target, command)
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
    with running(accounts=1, customers=120, rate=0, faults=faults, latency=0.005) as server:
        here = install(url=server.url, account={**QUICK, "attempts": 20, "limits": ["80/second"]})
        assert kill_amid_changes(here, server, dice, 60, 4) >= 3, seed
        done = here.run("import", "a1")
        assert done.code == 0, (seed, here.run("dead", "list").stdout)
        change(server, dice)
        before = server.stats().accounts[1].endpoints["payment_methods"].served
        kill_amid_changes(here, server, dice, 20, 2)
        assert here.run("import", "a1").code == 0, seed
        # What has changed since, and not what lies below 120 customers.
        assert server.stats().accounts[1].endpoints["payment_methods"].served < before + 100
        assert here.run("import", "a1").code == 0, seed
        assert_same(here, server)
        assert set(here.states()) == {"completed"}


def test_objects_that_go_while_their_list_is_read_cost_no_others(install: Callable[..., Installation]) -> None:
    """The object that the next page's cursor names is deleted, again and again."""
    with running(accounts=1, customers=600, rate=0, latency=0.03) as server:
        here = install(url=server.url, streams=["charges"])
        command = here.start("import", "a1")
        gone: set[str] = set()
        for count in range(0, 1200, 100):
            wait_for_records(here, count, command)
            # the last of the page that came last, of whichever window
            last = here.select("SELECT id FROM stripe_charges ORDER BY rowid DESC LIMIT 1", path=here.sink_path)[0][0]
            if last not in gone:
                gone.add(last)
                server.control(Delete(account=1, stream="charges", ids=[last]))
        assert command.finish().code == 0
        assert server.stats().accounts[1].refused > 0  # the cursors were gone
        there = {each["id"]: each for each in walk(server, "/v1/charges")}
        assert there.items() <= sunk(here, "charges").items()
        assert here.run("import", "a1").code == 0
        assert sunk(here, "charges") == there


def sunk_count(here: Installation) -> int:
    tables = here.select("SELECT 1 FROM sqlite_schema WHERE name = 'stripe_charges'", path=here.sink_path)
    return here.select("SELECT count(*) FROM stripe_charges", path=here.sink_path)[0][0] if tables else 0


def test_a_full_run_ends_what_is_gone_and_spares_what_could_not_be_read(install: Callable[..., Installation]) -> None:
    """Objects that went without an event, as when the state directory was lost; and a key that may not read refunds."""
    with running(accounts=1, customers=60, rate=0) as server:
        here = install(url=server.url)
        assert here.run("import", "a1").code == 0
        for stream in ("charges", "refunds", "payment_methods"):
            ids = [key for number, key in enumerate(here.imported("a1", stream)) if number % 2]
            server.control(Delete(account=1, stream=stream, ids=ids))
        shutil.rmtree(here.state_dir)
        here.environment["KEY_1"] = "rk_test_account_1-refunds-disputes"
        done = here.run("import", "a1", "--json")
        assert done.code == 3
        (run,) = done.json["imports"]["a1"]
        assert {name for name, facts in run["streams"].items() if facts["denied"]} == {"refunds", "disputes"}
        assert run["dead"] == 2
        assert "may not read refunds" in run["streams"]["refunds"]["reason"]
        now = holdings(server)
        for stream in ("charges", "payment_methods", "customers", "invoice_lines"):
            assert sunk(here, stream) == now[stream]
        assert len(sunk(here, "refunds")) == len(now["refunds"]) * 2  # nobody knows

        again = here.run("import", "a1", "--json")  # follows what could be read, and tries the others anew
        assert again.code == 3
        (run,) = again.json["imports"]["a1"]
        assert {name for name, facts in run["streams"].items() if facts["denied"]} == {"refunds", "disputes"}
        assert run["streams"].get("customers", {"seen": 0})["seen"] < 60
        here.environment["KEY_1"] = server.key(1)
        assert here.run("import", "a1").code == 0
        assert sunk(here, "refunds") == now["refunds"]
        here.assert_conserved()
