"""SIGKILL at random instants: the next start goes on, and nothing is lost, doubled or rushed."""

from __future__ import annotations

import random
import signal
import time
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, QUICK, Installation, Running, pages_of, until
from support.relay import Relay

from crawlerd.demo.server import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable

TWO = {"worker_processes": 2}
FAULTS = "500=0.02,reset=0.02,truncated=0.02,html=0.02"


def requests_of(server: Server) -> int:
    return sum(account.requests for account in server.stats().accounts.values())


def kill_after(command: Running, server: Server, requests: int) -> bool:
    """Kills the command, and its workers with it, as soon as the server has had so many more requests; False when it
    ended before."""
    target = requests_of(server) + requests
    until(lambda: requests_of(server) >= target or not command.running)
    if not command.running:
        return False
    command.kill()
    return True


def test_an_import_killed_again_and_again_ends_exact(install: Callable[..., Installation]) -> None:
    dice = random.Random()
    with running(accounts=3, customers=160, rate=0, faults=FAULTS) as server:
        here = install(url=server.url, accounts=3, daemon=TWO, account={**QUICK, "attempts": 20})
        steps = [dice.randint(1, 50) for _ in range(6)]
        kills = 0
        for step in steps:
            command = here.start("import", "--all", "--json")
            if not kill_after(command, server, step):
                break
            kills += 1
            here.assert_conserved()
        assert kills >= 3, steps
        done = here.run("import", "--all", "--json")
        assert done.code == 0, steps
        here.assert_complete(3, 160)
        # What was done again is what was under way: at most a lease for each thread and account at each kill.
        assert sum(each.served for each in server.stats().accounts.values()) < 3 * (pages_of(160) + 1) + kills * 100


def test_many_imports_that_are_resumed_are_told_in_one_line(install: Callable[..., Installation]) -> None:
    with running(accounts=3, customers=160, rate=0) as server:
        here = install(url=server.url, accounts=3, account=NO_LIMITS, constants={Constant.IMPORT_RESUMED_SHOWN: 2})
        assert kill_after(here.start("import", "--all"), server, 60)
        done = here.run("import", "--all")
    assert done.code == 0
    assert done.stderr.splitlines()[:2] == ["importing 3 imports", "3 imports: resuming the interrupted run"]
    assert done.stderr.count("resuming") == 1
    here.assert_complete(3, 160)


def test_a_daemon_killed_again_and_again_ends_exact(install: Callable[..., Installation]) -> None:
    dice = random.Random()
    with running(accounts=3, customers=160, rate=0, faults=FAULTS) as server:
        here = install(url=server.url, accounts=3, daemon=TWO, account={**QUICK, "attempts": 20}, schedule="1h")
        steps = [dice.randint(1, 50) for _ in range(5)]
        kills = sum(kill_after(here.start("run"), server, step) for step in steps)
        assert kills == len(steps)
        here.assert_conserved()
        daemon = here.start("run")
        until(lambda: here.states() == ["completed"] * 3, 60)
        daemon.kill()  # a crash after the end brings nothing back
        here.assert_complete(3, 160)
        daemon = here.start("run")
        daemon.says("/metrics")
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
        here.assert_complete(3, 160)


def test_killed_while_its_workers_come_up_it_leaves_none(api: Server, install: Callable[..., Installation]) -> None:
    """They start before the frontier is opened; one that has just begun does not know yet whose death is its own."""
    here = install(url=api.url, daemon=TWO)
    for count in (1, 2, 1, 2):
        command = here.start("import", "--all")
        until(lambda running=command, wanted=count: len(running.workers()) >= wanted)
        command.kill()
    assert here.run("import", "--all").code == 0
    here.assert_complete(1, 40)


def most_in(seconds: float, relay: Relay) -> int:
    """The most requests that arrived in any window of so many seconds."""
    arrivals = sorted(each.arrived for each in relay.seen)
    return max(bisect_right(arrivals, at) - bisect_left(arrivals, at - seconds) for at in arrivals)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.alone
def test_restarts_do_not_exceed_the_limit(smooth: bool, api: Server, install: Callable[..., Installation]) -> None:
    """A kill just after a burst: the next process must not know less of the window than the API does."""
    with Relay(api.url) as relay:
        here = install(url=relay.url, account={**NO_LIMITS, "limits": ["24/2 seconds"], "smooth": smooth})

        def kill_at(requests: int) -> None:
            command = here.start("import", "--all")
            until(lambda: len(relay.seen) >= requests)
            command.kill()

        kill_at(24)
        kill_at(40)
        assert here.run("import", "--all").code == 0
    here.assert_complete(1, 40)
    assert most_in(2.0, relay) <= 24 + 2  # a process that waits for its turn on a busy machine is seen late


def test_a_days_quota_outlives_kills(api: Server, install: Callable[..., Installation]) -> None:
    """A kill may waste starts that were charged and did not happen, one for each lease; it never makes one more."""
    here = install(url=api.url, account={**NO_LIMITS, "limits": ["40/day"], "concurrency": 2})
    for step in (15, 10):
        assert kill_after(here.start("import", "--all"), api, step)
    command = here.start("import", "--all")

    def is_used_up() -> bool:
        before = requests_of(api)
        time.sleep(0.5)  # no event tells that nothing comes any more; `until` has the deadline
        return before >= 36 and requests_of(api) == before

    until(is_used_up)
    command.send(signal.SIGINT)
    assert command.finish().code == 130
    assert requests_of(api) <= 40
