"""Worker processes that are killed, stopped, or taken down by the very task they perform."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.constants import Constant
from support.installation import QUICK, Installation, is_alive, metrics_of, pages_of, total_of, until
from support.numbers_source import NUMBERS

from crawlerd.demo.server import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil
    from support.installation import Running

TWO = {"worker_processes": 2}
QUICK_RESTART = {Constant.WORKER_RESTART_SECONDS: 0.05}
QUICK_TO_SUSPECT = {Constant.WORKER_HANG_SECONDS: 2.0}


def requests_of(server: Server) -> int:
    return sum(account.requests for account in server.stats().accounts.values())


def wait_for(server: Server, more: int) -> None:
    target = requests_of(server) + more
    until(lambda: requests_of(server) >= target)


def is_up(worker: psutil.Process) -> bool:
    """Until then, what it says goes to a file in memory."""
    try:
        return "memfd:" not in os.readlink(f"/proc/{worker.pid}/fd/2")
    except OSError:
        return False


def pick(command: Running, dice: random.Random, count: int = 2) -> psutil.Process:
    """One of its workers, when all are up."""
    workers: list[psutil.Process] = until(
        lambda: len(found := command.workers()) == count and all(map(is_up, found)) and found
    )
    return dice.choice(workers)


def test_killed_workers_cost_only_their_leases(install: Callable[..., Installation]) -> None:
    dice = random.Random()
    with running(accounts=2, customers=300, rate=0, latency=0.03) as server:
        here = install(url=server.url, accounts=2, daemon=TWO, constants=QUICK_RESTART)
        importing = here.start("import", "--all", "--json")
        steps = [dice.randint(1, 80) for _ in range(5)]
        for step in steps:
            wait_for(server, step)
            pick(importing, dice).kill()
        done = importing.finish()
        if done.code == 3:  # by chance, one task was hit three times
            letters = here.run("dead", "list", "--json").json
            assert {each["attempts"] for each in letters} == {1}
            assert here.run("dead", "retry", "--all", "--yes").code == 0
            assert here.run("import", *sorted({each["import"] for each in letters})).code == 0
        here.assert_complete(2, 300)
        repeats = re.findall(
            r"^ERROR (?:and (\d+) more in .*)?worker \d+ died \(exit -9\); its ", done.stderr, re.MULTILINE
        )
        died = sum(int(count or 1) for count in repeats)
        assert len(steps) - 1 <= died <= len(steps)  # the last one, perhaps at the end
        served = sum(each.served for each in server.stats().accounts.values())
        assert served - 2 * (pages_of(300) + 1) <= len(steps) * 30  # the leases of a worker, and no more


def test_a_stopped_worker_is_replaced(install: Callable[..., Installation]) -> None:
    dice = random.Random()
    with running(accounts=2, customers=100, rate=0, latency=0.05) as server:
        here = install(
            url=server.url, accounts=2, daemon=TWO, constants={**QUICK_RESTART, **QUICK_TO_SUSPECT}, schedule="1h"
        )
        daemon = here.start("run")
        until(lambda: requests_of(server) >= 30)
        stopped = pick(daemon, dice)
        stopped.suspend()
        until(lambda: here.states() == ["completed"] * 2, 40)
        until(lambda: not is_alive(stopped), 40)
        until(lambda: re.search(rf"worker {stopped.pid} hung \(exit -9\); its \d+ leases", daemon.stderr), 10)
        until(lambda: metrics_of(daemon)["crawlerd_workers"] == 2, 10)
        found = metrics_of(daemon)
        assert found['crawlerd_worker_restarts_total{reason="hung"}'] == 1
        assert total_of(found, "crawlerd_worker_restarts_total") == 1
        crashes = found['crawlerd_attempts_total{outcome="crash",source="stripe"}']
        assert crashes == found['crawlerd_attempt_errors_total{error="crash",source="stripe"}'] > 0
        assert metrics_of(daemon)["crawlerd_workers"] == 2
        here.assert_complete(2, 100)


def run_numbers(here: Installation, odd: str) -> Any:
    here.add_source("numbers", NUMBERS + odd)
    return here.run("import", "numbers", "--json")


def test_a_task_that_kills_its_worker_is_set_aside_after_three(install: Callable[..., Installation]) -> None:
    """Beside it others run, which are not to blame and all arrive."""
    here = install(accounts=0, daemon=TWO, constants=QUICK_RESTART)
    done = run_numbers(
        here,
        f"""
import ctypes, os, signal, time

def odd(number):
    if number in (20, 21, 22):
        with open({str(here.folder / "tried")!r}, "a") as file:
            file.write(f"{{number}}\\n")
    match number:
        case 20:
            os._exit(0)
        case 21:
            os.kill(os.getpid(), signal.SIGKILL)
        case 22:
            ctypes.string_at(0)
    time.sleep(0.01)  # as an API would, so that others run beside it
""",
    )
    assert done.code == 3
    tried = Counter((here.folder / "tried").read_text().split())
    assert max(tried.values()) == 3  # fewer when it was still waiting its turn in a worker that another one killed
    bad = {"20", "21", "22"}
    assert here.imported("numbers", "numbers", "numbers").keys() == set(map(str, range(60))) - bad
    letters = here.run("dead", "list", "--json").json
    assert {str(json.loads(each["payload"])["number"]) for each in letters} == tried.keys() == bad
    for each in letters:
        assert each["error"].startswith("its worker process died 3 times while it ran")
    (run,) = done.json["imports"]["numbers"]
    assert (run["done"], run["dead"], run["ready"], run["delayed"]) == (57, 3, 0, 0)
    kind = f"3 dead letters of run 1, since tasks of {letters[0]['kind']} kill their worker processes: "
    assert kind in here.run("status", "--check").stdout
    here.assert_conserved()


def test_a_handler_that_raises_an_interrupt_ends_its_task_only(install: Callable[..., Installation]) -> None:
    """Nor does it cost the worker a thread, which would leave the task until its lease is over."""
    here = install(accounts=0)
    done = run_numbers(here, "def odd(number):\n    if number == 20:\n        raise KeyboardInterrupt\n")
    assert done.code == 3
    assert len(done.stderr.splitlines()) == 2, done.stderr  # that it begins, and the dead letter
    (letter,) = here.run("dead", "list", "--json").json
    assert letter["error"] == "Permanent: the handler raised KeyboardInterrupt"
    assert len(here.imported("numbers", "numbers", "numbers")) == 59


def test_workers_that_may_not_give_way_work_all_the_same(install: Callable[..., Installation]) -> None:
    """Our own unit, like others that are hardened, forbids them `setpriority`."""
    here = install(accounts=0, daemon=TWO)
    site = here.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import os\ndef nice(_): raise PermissionError\nos.nice = nice\n")
    here.environment["PYTHONPATH"] = str(site)
    done = run_numbers(here, "odd = print")
    assert done.code == 0
    assert len(here.imported("numbers", "numbers", "numbers")) == 60


def test_what_a_source_prints_is_no_part_of_the_report(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    starts = NUMBERS.replace("    return map", "    print('begun')\n    return map") + "\nprint('imported')\n"
    here.add_source("numbers", starts + "def odd(number):\n    print('performed')\n")
    done = here.run("import", "numbers", "--json")
    assert done.json["state"] == "completed"
    assert {"imported", "begun", "performed"} <= set(done.stderr.split())


def test_a_failure_of_the_store_ends_what_waits_for_it(install: Callable[..., Installation]) -> None:
    """Whatever it is: no source may raise this where a run begins."""
    here = install(accounts=0)
    here.add_source("numbers", NUMBERS.replace("return map(Number, range(60))", "raise KeyboardInterrupt"))
    importing = here.start("import", "numbers")
    assert importing.process.wait(20) == 1
    assert "the store has stopped" in importing.stderr


def test_a_fork_that_comes_back_from_a_handler_ends(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    done = run_numbers(
        here,
        f"""
import os

def odd(number):
    if number == 20 and (child := os.fork()):
        Path({str(here.folder / "ended")!r}).write_text(str(os.waitpid(child, 0)[1]))
""",
    )
    assert done.code == 0
    assert (here.folder / "ended").read_text() == "0"
    assert len(here.imported("numbers", "numbers", "numbers")) == 60


def test_what_ran_beside_it_is_tried_again_alone(install: Callable[..., Installation]) -> None:
    """So that the guilty one takes no innocent along a second time."""
    here = install(accounts=0, daemon={**TWO, "threads_per_process": 4}, constants=QUICK_RESTART)
    (here.folder / "tried").mkdir()
    done = run_numbers(
        here,
        f"""
import os, threading, time

lock, entered, active = threading.Lock(), 0, 0

def odd(number):
    global entered, active
    with lock:
        entered, active = entered + 1, active + 1
        before, beside = entered, active - 1
    tried = Path({str(here.folder / "tried")!r}) / str(number)
    again = tried.exists()
    tried.touch()
    time.sleep(0.03)  # as an API would, so that others run beside it
    if number == 30 and not again:
        os._exit(1)
    with lock:
        active -= 1
        if again:
            tried.write_text("alone" if before == entered and not beside else "in company")
""",
    )
    assert done.code == 0
    assert here.imported("numbers", "numbers", "numbers").keys() == set(map(str, range(60)))
    again = [text for file in (here.folder / "tried").iterdir() if (text := file.read_text())]
    assert len(again) > 1
    assert set(again) == {"alone"}


def test_a_task_that_holds_the_interpreter_is_killed(install: Callable[..., Installation]) -> None:
    """A regular expression that backtracks for years lets no other thread of its process run."""
    here = install(accounts=0, daemon=TWO, constants={**QUICK_RESTART, **QUICK_TO_SUSPECT})
    done = run_numbers(
        here,
        f"""
import re
import time

def odd(number):
    tried = Path({str(here.folder / "tried")!r})
    if number == 30 and not tried.exists():
        tried.touch()
        re.match("(a+)+$", "a" * 60 + "b")
""",
    )
    assert done.code == 0
    assert here.imported("numbers", "numbers", "numbers").keys() == set(map(str, range(60)))
    assert "hung (exit -9); its " in done.stderr


def test_a_task_that_never_ends_loses_its_lease(install: Callable[..., Installation]) -> None:
    """Only that task is to blame: those that its worker also held are given out again as they were."""
    here = install(
        accounts=0, daemon={**TWO, "visibility_timeout": "1s", "threads_per_process": 4}, constants=QUICK_RESTART
    )
    here.add_source(
        "numbers",
        NUMBERS
        + """
import threading

def odd(number):
    if number == 30:
        threading.Event().wait()
""",
    )
    here.config["accounts"]["numbers"]["request_timeout"] = "900ms"
    here.config["imports"]["numbers"]["schedule"] = "1h"
    daemon = here.start("run")
    until(lambda: here.states() == ["completed with dead letters"], 40)
    found = metrics_of(daemon)
    assert found["crawlerd_leases_expired_total"] == found['crawlerd_worker_restarts_total{reason="expired"}'] == 3
    daemon.kill()
    assert here.imported("numbers", "numbers", "numbers").keys() == set(map(str, range(60))) - {"30"}
    (letter,) = here.run("dead", "list", "--json").json
    assert "for more than 1 s" in letter["error"]
    assert here.select("SELECT count(*) FROM ready") == [(0,)]


def test_a_worker_that_was_stopped_sends_nothing_that_is_too_late(install: Callable[..., Installation]) -> None:
    """While it stands still, it holds leases whose turns go by; the server counts what it sends when it goes on."""
    rate = 40
    with running(accounts=1, customers=150, rate=rate, latency=0.02) as server:
        here = install(url=server.url, account={**QUICK, "limits": [f"{rate}/second"]}, schedule="1h")
        daemon = here.start("run")
        worker = pick(daemon, random.Random(0), 1)
        for _ in range(3):
            wait_for(server, 20)
            worker.suspend()
            time.sleep(2)  # this is what is tested: a worker that stands still for two seconds
            worker.resume()
        until(lambda: here.states() == ["completed"], 90)
        metrics = metrics_of(daemon)
        daemon.kill()
        seen = server.stats().accounts[1]
    assert metrics['crawlerd_attempts_total{outcome="unsent",source="stripe"}'] > 0
    assert sum(seen.throttled.values()) == 0
    assert seen.most_arrived <= rate
    here.assert_complete(1, 150)


def test_a_worker_that_is_always_late_goes_on(install: Callable[..., Installation]) -> None:
    """As on a machine so loaded that nothing starts in time."""
    with running(accounts=1, customers=10, rate=0) as server:
        here = install(
            url=server.url,
            account={**QUICK, "limits": ["50/second"]},
            constants={Constant.WORKER_GRACE_SECONDS: 1e-9},
        )
        assert here.run("import", "a1").code == 0
    here.assert_complete(1, 10)
