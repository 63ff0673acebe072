"""A Connect platform: each connected account is read under limits of its own, and its rows are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.installation import NO_LIMITS, QUICK, Installation, until

from crawlerd.demo.objects import expected, id_of
from crawlerd.demo.server import Delete, Edit, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS = ("customers", "payment_methods", "charges", "invoice_lines")


def part(number: int) -> str:
    """The account's name in the sink, by its number at the local API."""
    return "a1/acct_" + id_of(number, "customers", 0).removeprefix("cus_")


def requests_of(server: Server) -> int:
    return sum(each.requests for each in server.stats().accounts.values())


def assert_holds(here: Installation, numbers: list[int], customers: int) -> None:
    for stream in STREAMS:
        assert here.imported("a1", stream) == dict(expected(1, stream, customers))
        for number in numbers:
            assert here.imported(part(number), stream) == dict(expected(number, stream, customers)), (number, stream)


@pytest.mark.alone
@pytest.mark.parametrize("where", ["accounts", "imports"])
def test_every_connected_account_arrives_under_its_own_limits(install: Callable[..., Installation], where: str) -> None:
    with running(accounts=2, customers=30, connected=5, rate=30, latency=0.01) as server:
        here = install(url=server.url, streams=STREAMS, account={**QUICK, "limits": ["30/second"]})
        here.config[where]["a1"]["connected_accounts"] = True
        done = here.run("import", "a1", "--json")
        assert done.code == 0
        assert_holds(here, [3, 4, 5, 6, 7], 30)
        stats = server.stats().accounts
        assert set(stats) == {1, 2, 3, 4, 5, 6, 7}  # and none of those connected to the other account
        assert stats[2].requests == 0
        assert not any(each.throttled for each in stats.values())
        starts, ends = zip(*((stats[number].first, stats[number].last) for number in range(3, 8)), strict=True)
        assert max(starts) < min(ends)  # side by side, at 30/s each
        here.assert_conserved()
        (account,) = here.run("status", "--json").json["accounts"]
        assert account["name"] == "a1"


def test_connected_accounts_are_followed_by_their_events(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=30, connected=3, rate=0) as server:
        here = install(url=server.url, streams=STREAMS)
        here.config["imports"]["a1"]["connected_accounts"] = True
        assert here.run("import", "a1").code == 0
        keys = list(here.imported(part(3), "charges"))
        server.control(Edit(account=3, stream="charges", ids=keys[:2]))
        server.control(Delete(account=3, stream="charges", ids=keys[4:5]))
        server.reset()
        assert here.run("import", "a1").code == 0
        stats = server.stats().accounts
        assert not stats[3].endpoints["customers"].served
        assert stats[3].endpoints["charges"].served + stats[3].refused == 3
        charges = here.imported(part(3), "charges")
        assert [charges[key]["metadata"].get("revision") for key in keys[:3]] == ["1", "1", None]
        gone = here.select("SELECT account, id FROM stripe_charges WHERE deleted_at IS NOT NULL", path=here.sink_path)
        assert gone == [(part(3), keys[4])]


def test_connected_accounts_go_on_after_kills(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=12, connected=40, rate=0, latency=0.005) as server:
        here = install(url=server.url, streams=STREAMS)
        here.config["imports"]["a1"]["connected_accounts"] = True
        for requests in (60, 150, 250, 400):
            command = here.start("import", "a1")
            while requests_of(server) < requests:
                assert command.running
            command.kill()
            here.assert_conserved()
        assert here.run("import", "a1").code == 0
        assert_holds(here, list(range(2, 42)), 12)
        here.assert_conserved()


def test_a_wrong_key_reaches_no_connected_account(install: Callable[..., Installation]) -> None:
    """Also where an interrupted run has tasks of theirs: they wait for the check of the account's key."""
    with running(accounts=2, customers=30, connected=4, rate=0, latency=0.01) as server:
        here = install(url=server.url, streams=STREAMS, account={**NO_LIMITS, "concurrency": 2})
        here.config["imports"]["a1"]["connected_accounts"] = True
        command = here.start("import", "a1")
        until(lambda: requests_of(server) > 60)
        command.kill()
        server.reset()
        here.environment["KEY_1"] = server.key(2)
        done = here.run("import", "a1", "--json")
        assert done.code == 1
        (run,) = done.json["imports"]["a1"]
        assert "its key belongs to" in run["paused"]
        stats: dict[int, Any] = server.stats().accounts
        assert [each.requests for each in stats.values() if each.requests] == [1]
        here.environment["KEY_1"] = server.key(1)
        assert here.run("import", "a1").code == 0
        assert_holds(here, [3, 4, 5, 6], 30)
