"""`crawlerd run`: the service, from its address to its end."""

from __future__ import annotations

import signal
import socket
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import psutil
import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, Installation, Running, fetch, metrics_of, tasks_of, until
from support.relay import Answer, Relay

from crawlerd.demo.objects import STREAMS, count
from crawlerd.demo.server import Fault, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Gate:
    """A relay's script that lets requests wait. waiting: how many have come to it."""

    def __init__(self, prefix: str = "/v1/invoices") -> None:
        self.prefix = prefix
        self.waiting = 0
        self.opened = threading.Event()

    def __call__(self, path: str) -> Answer | None:
        if path.startswith(self.prefix):
            self.waiting += 1
            self.opened.wait(30)
        return None


@pytest.fixture
def gate(api: Server) -> Iterator[tuple[Gate, Relay]]:
    gate = Gate()
    with Relay(api.url, gate) as relay:
        yield gate, relay
        gate.opened.set()


def completed(here: Installation, runs: int) -> None:
    until(lambda: here.states().count("completed") == runs, 40)


def stop(daemon: Running) -> None:
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_it_serves_what_prometheus_and_operators_ask(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=2, daemon={"worker_processes": 2}, schedule="1h")
    daemon = here.start("run")
    port = int(daemon.says(rf"pid {daemon.pid}; http://127\.0\.0\.1:(\d+)/metrics; 2 imports")[1])
    assert port > 0
    completed(here, 2)
    niceness = psutil.Process(daemon.pid).nice()
    assert [worker.nice() > niceness for worker in daemon.workers()] == [True, True]  # all of them wait for it
    until(lambda: metrics_of(daemon)["crawlerd_leases"] == 0)
    found = metrics_of(daemon)
    assert found['crawlerd_tasks{state="ready"}'] == found['crawlerd_tasks{state="delayed"}'] == 0
    assert found['crawlerd_tasks{state="dead"}'] == 0
    assert found['crawlerd_attempts_total{outcome="complete"}'] == 2 * (tasks_of(40) + 1)
    assert found["crawlerd_records_total"] == 2 * sum(count(stream, 40) for stream in STREAMS)
    assert found["crawlerd_commits_total"] > 0
    assert found["crawlerd_accounts_paused"] == found["crawlerd_trouble"] == 0
    assert found["crawlerd_workers"] == 2
    assert found["crawlerd_worker_restarts_total"] == 0
    assert found["process_resident_memory_bytes"] > 1e7
    assert fetch(daemon, "/healthz") == (200, "ok\n")
    assert fetch(daemon, "/readyz?verbose") == (200, "ok\n")
    assert fetch(daemon, "/")[0] == 404
    assert fetch(daemon, "/dead/retry")[0] == 404
    stop(daemon)
    here.assert_complete(2, 40)
    assert not (here.state_dir / "crawlerd.sock").exists()


def test_a_schedule_starts_runs(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=2, streams=["charges"], schedule="1s")
    del here.config["imports"]["a2"]["schedule"]
    daemon = here.start("run")
    until(lambda: here.states().count("completed") >= 3, 40)
    stop(daemon)
    starts = [at for (at,) in here.select("SELECT started_at FROM run ORDER BY id")]
    assert all(1.0 <= later - earlier < 5.0 for earlier, later in pairwise(starts))
    assert here.select("SELECT DISTINCT import FROM run") == [("a1",)]
    assert "import a1: run 1 started" in daemon.stderr
    assert f"import a1: run 1 completed: {count('charges', 40)} records, 7 tasks, 0 dead" in daemon.stderr


def test_sigterm_drains(gate: tuple[Gate, Relay], install: Callable[..., Installation]) -> None:
    held, relay = gate
    here = install(url=relay.url, schedule="1h")
    daemon = here.start("run")
    until(lambda: held.waiting)
    daemon.send(signal.SIGTERM)
    daemon.says(r"draining: waiting up to 30 s for [1-9]\d* running tasks")
    assert daemon.running
    held.opened.set()
    done = daemon.finish()
    assert done.code == 0
    assert "stopped\n" in done.stderr
    here.assert_conserved()
    assert len(here.imported("a1", "invoices")) == count("invoices", 40)  # the request that was held
    assert len(relay.of("/v1/invoices")) == 1


def test_a_signal_to_the_whole_group_drains_as_well(
    gate: tuple[Gate, Relay], install: Callable[..., Installation]
) -> None:
    """As `timeout`, a shell's `kill -- -PID` and a unit without KillMode= send it."""
    held, relay = gate
    here = install(url=relay.url, schedule="1h")
    daemon = here.start("run")
    until(lambda: held.waiting)
    for worker in daemon.workers():
        worker.terminate()
    daemon.send(signal.SIGTERM)
    daemon.says(r"draining: waiting up to 30 s for [1-9]\d* running tasks")
    held.opened.set()
    done = daemon.finish()
    assert done.code == 0
    assert "ERROR" not in done.stderr
    assert len(here.imported("a1", "invoices")) == count("invoices", 40)
    assert len(relay.of("/v1/invoices")) == 1


def test_a_second_signal_ends_the_drain(gate: tuple[Gate, Relay], install: Callable[..., Installation]) -> None:
    held, relay = gate
    here = install(url=relay.url, schedule="1h")
    daemon = here.start("run")
    until(lambda: held.waiting)
    daemon.send(signal.SIGTERM)
    daemon.says("draining")
    daemon.send(signal.SIGINT)
    done = daemon.finish(10)
    assert done.code == 0
    assert "what was still running will be done again" in done.stderr
    assert not here.imported("a1", "invoices")
    held.opened.set()
    daemon = here.start("run")
    completed(here, 1)
    stop(daemon)
    here.assert_complete(1, 40)


def test_the_drain_has_an_end(gate: tuple[Gate, Relay], install: Callable[..., Installation]) -> None:
    held, relay = gate
    here = install(url=relay.url, schedule="1h", daemon={"drain_seconds": 0.5})
    daemon = here.start("run")
    until(lambda: held.waiting)
    daemon.send(signal.SIGINT)
    done = daemon.finish(10)
    assert done.code == 0
    assert "what was still running will be done again" in done.stderr
    here.assert_conserved()


@pytest.mark.parametrize("abstract", [False, True])
def test_it_reports_to_systemd(abstract: bool, api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=0)
    path = str(here.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{path}" if abstract else path)
        systemd.settimeout(20)
        here.environment |= {"NOTIFY_SOCKET": f"@{path}" if abstract else path, "WATCHDOG_USEC": "600000"}
        daemon = here.start("run")
        assert systemd.recv(4096) == b"READY=1"
        assert fetch(daemon, "/healthz")[0] == 200
        pings = [(systemd.recv(4096), time.monotonic()) for _ in range(4)]
        assert {ping for ping, _ in pings} == {b"WATCHDOG=1"}
        assert pings[-1][1] - pings[0][1] < 3 * 0.6
        daemon.send(signal.SIGTERM)
        last = systemd.recv(4096)
        while last == b"WATCHDOG=1":
            last = systemd.recv(4096)
        assert last == b"STOPPING=1"
        assert daemon.finish().code == 0


def test_a_part_that_stands_still_is_told_to_nobody_as_well(install: Callable[..., Installation]) -> None:
    """No sign of life for systemd, which then restarts the daemon."""
    here = install(accounts=0, constants={Constant.HEALTH_STALE_SECONDS: -1.0})
    path = str(here.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(20)
        here.environment |= {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000"}
        daemon = here.start("run")
        assert systemd.recv(4096) == b"READY=1"
        status, why = fetch(daemon, "/healthz")
        assert status == 503
        assert "the dispatcher has made no progress" in why
        assert fetch(daemon, "/readyz")[0] == 503
        daemon.send(signal.SIGTERM)
        assert systemd.recv(4096) == b"STOPPING=1"
        assert daemon.finish().code == 0


def test_dead_letters_are_retried_through_its_socket(api: Server, install: Callable[..., Installation]) -> None:
    api.control(Fault(kind="403", count=2, account=1, endpoint="charges"))
    here = install(url=api.url, schedule="1h")
    daemon = here.start("run")
    until(lambda: here.states() == ["completed with dead letters"])
    (letter,) = here.run("dead", "list", "--json").json
    again = here.run("dead", "retry", str(letter["id"]))
    assert (again.code, again.stdout) == (0, "1 dead letters are ready again\n")
    until(lambda: here.select("SELECT state, dead FROM run") == [("completed with dead letters", 1)])
    assert here.run("dead", "retry", "--all").stdout == "1 dead letters are ready again\n"
    completed(here, 1)
    assert here.run("dead", "retry", "--all").stdout == "0 dead letters are ready again\n"
    stop(daemon)
    here.assert_complete(1, 40)


def test_one_daemon_a_state_directory(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=1)
    daemon = here.start("run")
    daemon.says("/metrics")
    for arguments in ("run",), ("import", "--all", "--for", "1m"):
        second = here.run(*arguments)
        assert second.code == 75
        if "import" in arguments:
            assert "a daemon is running: stop it first" in second.stderr
            continue
        assert f"another crawlerd (pid {daemon.pid}) is using" in second.stderr
        assert second.stdout == ""
    assert fetch(daemon, "/healthz")[0] == 200
    daemon.kill()
    assert here.run("import", "--all").code == 0


def test_it_pauses_an_account_and_serves_the_others(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=2, schedule="1h", account=NO_LIMITS)
    here.environment["KEY_1"] = "sk_test_of_nobody"
    daemon = here.start("run")
    completed(here, 1)
    until(lambda: metrics_of(daemon)["crawlerd_accounts_paused"] == 1)
    assert fetch(daemon, "/readyz")[0] == 200
    assert "account a1 is paused: Unauthorized: HTTP 401" in daemon.stderr
    stop(daemon)
    here.environment["KEY_1"] = "sk_test_account_1"
    daemon = here.start("run")
    completed(here, 2)
    stop(daemon)
    here.assert_complete(2, 40)


def test_a_long_state_directory(api: Server, install: Callable[..., Installation]) -> None:
    """Longer than the address of a UNIX socket may be."""
    here = install(url=api.url, accounts=0)
    here.state_dir = here.folder / ("long" * 30)
    here.config["daemon"]["state_dir"] = str(here.state_dir)
    daemon = here.start("run")
    daemon.says("/metrics")
    assert here.run("dead", "retry", "1").stdout == "0 dead letters are ready again\n"
    stop(daemon)


def test_it_listens_on_ipv6(install: Callable[..., Installation]) -> None:
    here = install(accounts=0, daemon={"listen": "[::1]:0"})
    daemon = here.start("run")
    assert daemon.says(r"http://(\[::1\]):(\d+)/metrics")[1]
    assert fetch(daemon, "/healthz") == (200, "ok\n")
    stop(daemon)
