"""More buckets than are kept in memory: they take turns, nothing is forgotten, and limits hold all the same."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, QUICK, Installation, until

from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNTS, CUSTOMERS = 9, 40
CROWDED = {
    Constant.AWAKE_BUCKETS: 6,  # an account has some thirty
    Constant.WORKBENCH_TURN_SECONDS: 0.3,
    Constant.WORKBENCH_SLEEP_SECONDS: 0.2,
    Constant.DISPATCHER_TIDY_SOON: 0.05,
    Constant.DISPATCHER_WAKE_BUCKETS: 2,
}


@pytest.mark.parametrize("kill", [False, True])
def test_accounts_take_turns_in_memory_and_arrive_exactly(install: Callable[..., Installation], kill: bool) -> None:
    with running(accounts=ACCOUNTS, customers=CUSTOMERS, rate=0, jitter=0.01) as server:
        here = install(url=server.url, accounts=ACCOUNTS, account={**QUICK, **NO_LIMITS}, constants=CROWDED)
        if kill:
            first = here.start("import", "--all")
            until(lambda: sum(each.requests for each in server.stats().accounts.values()) > 100)
            first.send(signal.SIGKILL)
            first.finish()
        assert here.run("import", "--all", "--json").code == 0
    here.assert_complete(ACCOUNTS, CUSTOMERS)
    here.assert_conserved()


@pytest.mark.alone
def test_limits_hold_although_buckets_leave_memory_and_come_back(install: Callable[..., Installation]) -> None:
    rate = 25
    with running(accounts=ACCOUNTS, customers=CUSTOMERS, rate=rate, jitter=0.005) as server:
        limits = {**QUICK, "limits": [f"{rate}/second"], "bucket_limits": f"{rate}/second"}
        here = install(url=server.url, accounts=ACCOUNTS, account=limits, constants=CROWDED)
        assert here.run("import", "--all", "--json").code == 0
        stats = server.stats()
    here.assert_complete(ACCOUNTS, CUSTOMERS)
    assert [stats.accounts[number].throttled for number in range(1, ACCOUNTS + 1)] == [{}] * ACCOUNTS
