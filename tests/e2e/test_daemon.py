"""`crawlerd run`: the service, from its address to its end."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, Installation, Running, fetch, metrics_of, tasks_of, total_of, until
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
    port = int(daemon.says(rf"pid {daemon.pid}; http://127\.0\.0\.1:(\d+)/metrics; imports: 2")[1])
    assert port > 0
    completed(here, 2)
    niceness = psutil.Process(daemon.pid).nice()
    assert [worker.nice() > niceness for worker in daemon.workers()] == [True, True]  # all of them wait for it
    until(lambda: metrics_of(daemon)["crawlerd_leases"] == 0)
    found = metrics_of(daemon)
    assert found['crawlerd_tasks{state="ready"}'] == found['crawlerd_tasks{state="delayed"}'] == 0
    assert found['crawlerd_tasks{state="dead"}'] == 0
    assert found['crawlerd_attempts_total{outcome="complete",source="stripe"}'] == 2 * (tasks_of(40) + 1)
    records = 2 * sum(count(stream, 40) for stream in STREAMS)
    assert found['crawlerd_records_total{change="new",source="stripe"}'] == records
    assert found["crawlerd_commits_total"] > 0
    assert found["crawlerd_accounts_paused"] == found["crawlerd_trouble"] == 0
    assert found["crawlerd_workers"] == 2
    assert total_of(found, "crawlerd_worker_restarts_total") == 0
    assert found["process_resident_memory_bytes"] > 1e7
    assert fetch(daemon, "/healthz") == (200, "ok\n")
    assert fetch(daemon, "/readyz?verbose") == (200, "ok\n")
    assert "<title>" in fetch(daemon, "/")[1]
    assert fetch(daemon, "/nothing")[0] == 404
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
    assert "tasks that were still running will be done again" in done.stderr
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
    assert "tasks that were still running will be done again" in done.stderr
    here.assert_conserved()


HANGING = """
import os, threading, time
from crawlerd.engine.dispatcher import Dispatcher
from crawlerd.engine.safe_event import SafeEvent
from crawlerd.engine.store import Store

source = Source("hanging", base_url="http://127.0.0.1:9")

def may_hang(part, name, here=lambda: True):
    step = getattr(part, name)
    def hanging(*arguments):
        while here() and os.path.exists("hang"):
            time.sleep(0.05)
        return step(*arguments)
    setattr(part, name, hanging)

match os.environ["HANG"]:
    case "dispatcher":
        may_hang(Dispatcher, "_step")
    case "store":
        may_hang(Store, "_step")
    case "main loop":
        may_hang(SafeEvent, "wait", lambda: threading.current_thread() is threading.main_thread())
"""


class Notified:
    """What systemd hears of a daemon. statuses: all sentences so far."""

    def __init__(self, here: Installation, *, abstract: bool = False, watchdog: float) -> None:
        path = str(here.folder / "notify")
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(f"\0{path}" if abstract else path)
        self.channel.settimeout(20)
        self.statuses: list[str] = []
        here.environment |= {
            "NOTIFY_SOCKET": f"@{path}" if abstract else path,
            "WATCHDOG_USEC": str(round(watchdog * 1e6)),
        }

    def hear(self, *but: str) -> dict[str, str]:
        """The next message that has none of these variables, as variables."""
        while True:
            lines = self.channel.recv(4096).decode().split("\n")
            found = dict(line.split("=", 1) for line in lines)
            if list(found) == ["STATUS"]:
                self.statuses.append(found["STATUS"])
            if found.keys().isdisjoint(but):
                return found


@pytest.fixture
def notified() -> Iterator[Callable[..., Notified]]:
    made: list[Notified] = []

    def make(here: Installation, **options: Any) -> Notified:
        made.append(Notified(here, **options))
        return made[-1]

    yield make
    for each in made:
        each.channel.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_it_reports_to_systemd(
    abstract: bool, api: Server, install: Callable[..., Installation], notified: Callable[..., Notified]
) -> None:
    here = install(url=api.url, accounts=0)
    systemd = notified(here, abstract=abstract, watchdog=0.6)
    daemon = here.start("run")
    assert systemd.hear() == {"READY": "1"}
    assert fetch(daemon, "/healthz")[0] == 200
    pings = [(systemd.hear("STATUS"), time.monotonic()) for _ in range(4)]
    assert [ping for ping, _ in pings] == [{"WATCHDOG": "1"}] * 4
    assert pings[-1][1] - pings[0][1] < 3 * 0.6
    before = time.monotonic_ns() // 1000
    daemon.send(signal.SIGHUP)
    begun, done = systemd.hear("WATCHDOG", "STATUS"), systemd.hear("WATCHDOG", "STATUS")
    assert begun.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(begun["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert done == {"READY": "1"}
    daemon.send(signal.SIGTERM)
    last = systemd.hear("WATCHDOG", "STATUS") if not systemd.statuses else systemd.hear("WATCHDOG")
    while "STOPPING" not in last:
        last = systemd.hear("WATCHDOG")
    assert last == {"STOPPING": "1", "STATUS": "draining", "EXTEND_TIMEOUT_USEC": "60000000"}
    assert daemon.finish().code == 0
    assert systemd.statuses[:1] == ["idle: no run is under way"]


def test_systemd_hears_how_it_is_doing(
    gate: tuple[Gate, Relay], install: Callable[..., Installation], notified: Callable[..., Notified]
) -> None:
    """The sentence of `crawlerd status`, when it is another one."""
    waiting, relay = gate
    here = install(url=relay.url, schedule="1h", constants={Constant.SIGNS_STATUS_SECONDS: 0.05})
    systemd = notified(here, watchdog=60)
    daemon = here.start("run")
    until(lambda: systemd.hear() and any(each.startswith("importing") for each in systemd.statuses))
    assert here.run("status").stdout.splitlines()[1].startswith("importing")
    waiting.opened.set()
    until(lambda: systemd.hear() and "idle: no run is under way; a1 starts next, at " in systemd.statuses[-1])
    assert all(first != second for first, second in pairwise(systemd.statuses))
    stop(daemon)


@pytest.mark.parametrize("loop", ["dispatcher", "store", "main loop"])
def test_a_core_loop_that_hangs_ends_the_signs_of_life(
    loop: str, install: Callable[..., Installation], notified: Callable[..., Notified]
) -> None:
    """Each of them, and no other part."""
    here = install(accounts=0, constants={Constant.HEALTH_STALE_SECONDS: 3.0, Constant.HEALTH_WAITING_SECONDS: 0.0})
    here.constants |= {Constant.DAEMON_BEAT_SECONDS: 0.1}
    here.add_source("hanging", HANGING)
    here.environment["HANG"] = loop
    systemd = notified(here, watchdog=0.3)
    daemon = here.start("run")
    assert systemd.hear() == {"READY": "1"}
    assert systemd.hear("STATUS") == {"WATCHDOG": "1"}
    (here.folder / "hang").touch()
    until(lambda: f"the {loop} has made no progress" in fetch(daemon, "/healthz")[1])
    systemd.channel.settimeout(0.01)
    with contextlib.suppress(TimeoutError):
        while True:
            systemd.hear()
    systemd.channel.settimeout(1.0)  # three times as long as systemd would wait
    with pytest.raises(TimeoutError):
        systemd.hear("STATUS")
    daemon.kill()


def test_dead_letters_are_retried_through_its_socket(api: Server, install: Callable[..., Installation]) -> None:
    api.control(Fault(kind="403", count=2, account=1, endpoint="charges"))
    here = install(url=api.url, schedule="1h")
    daemon = here.start("run")
    until(lambda: here.states() == ["completed with dead letters"])
    (letter,) = here.run("dead", "list", "--json").json
    again = here.run("dead", "retry", str(letter["id"]))
    assert (again.code, again.stdout) == (0, "1 dead letter is ready again\n")
    until(lambda: here.select("SELECT state, dead FROM run") == [("completed with dead letters", 1)])
    assert here.run("dead", "retry", "--all", "--yes").stdout == "1 dead letter is ready again\n"
    completed(here, 1)
    assert here.run("dead", "retry", "--all", "--yes").stdout == "0 dead letters are ready again\n"
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
    assert "account a1 is refused: Unauthorized: HTTP 401" in daemon.stderr
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
    assert "there is no operation 1" in here.run("operations", "cancel", "1").stderr
    stop(daemon)


def test_it_listens_on_ipv6(install: Callable[..., Installation]) -> None:
    here = install(accounts=0, daemon={"listen": "[::1]:0"})
    daemon = here.start("run")
    assert daemon.says(r"http://(\[::1\]):(\d+)/metrics")[1]
    assert fetch(daemon, "/healthz") == (200, "ok\n")
    stop(daemon)
