"""The daemon lives wholly or ends: what would leave half of it running ends it, and what passes is waited for."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from support.constants import Constant
from support.installation import QUICK, Installation, _toml, fetch, metrics_of, total_of, until
from support.numbers_source import COUNT, HARMLESS, NUMBERS
from support.relay import Answer, Relay

from crawlerd.config.load import load
from crawlerd.engine.dispatcher import TICK_SECONDS
from crawlerd.engine.engine import Engine
from crawlerd.sources import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.demo.server import Server

NUMBERED = NUMBERS.replace(f"range({COUNT})", "range(3)") + HARMLESS  # three tasks without a request
OWN_NAMES = ("types", "queue", "email", "requests", "socket", "json", "msgspec", "crawlerd")
QUICK_RESTART = {Constant.WORKER_RESTART_SECONDS: 0.05, Constant.WORKER_RESTART_LONGEST: 0.2}


def numbers(here: Installation, **more: object) -> Installation:
    here.add_source("numbers", NUMBERED)
    here.config["imports"]["numbers"].update(more)
    return here


def test_python_files_beside_the_configuration_are_not_imported(install: Callable[..., Installation]) -> None:
    here = numbers(install(accounts=0))
    for name in OWN_NAMES:
        (here.folder / f"{name}.py").write_text("raise SystemExit('a file of the user was imported')\n")
    done = here.run("import", "numbers")
    assert (done.code, done.stderr) == (0, "importing numbers\n")


@pytest.fixture
def broken(install: Callable[..., Installation]) -> Installation:
    """Workers cannot start while the file `broken` is there."""
    constants = {
        **QUICK_RESTART,
        Constant.HEALTH_WORKERLESS_SECONDS: 1.0,
        Constant.IMPORT_TROUBLE_SECONDS: 0.5,
    }
    here = numbers(install(accounts=0, constants=constants, daemon={"worker_processes": 2}), schedule="1h")
    (here.folder / "broken").touch()
    (here.folder / "site" / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"if 'crawlerd.engine.worker' in sys.orig_argv and os.path.exists({str(here.folder / 'broken')!r}):\n"
        "    print('no memory\\x1b[1m left', file=sys.stderr, flush=True)\n"
        "    os._exit(7)\n"
    )
    return here


def test_workers_that_cannot_start_are_told_of_once_and_waited_for(broken: Installation) -> None:
    daemon = broken.start("run")
    reason = r"no worker process can start \(died( with exit code 7)?: no memory\[1m left\)"
    daemon.says(f"ERROR {reason}: no task runs until one can; trying again")
    assert "no memory" in until(lambda: (found := fetch(daemon, "/readyz"))[0] == 503 and found[1])
    assert metrics_of(daemon)["crawlerd_trouble"] == 1
    assert re.search(r"held up: (for \d+ s, )?no worker process can start", broken.run("status").stdout)
    why = until(lambda: (found := fetch(daemon, "/healthz"))[0] == 503 and found[1])
    assert re.match(r"for \d+ s, no worker process can start: ", why)
    until(lambda: total_of(metrics_of(daemon), "crawlerd_worker_restarts_total") > 10)
    assert daemon.stderr.count("no memory") == 1
    (broken.folder / "broken").unlink()
    daemon.says("worker processes start again")
    until(lambda: broken.states() == ["completed"])
    assert fetch(daemon, "/readyz")[0] == fetch(daemon, "/healthz")[0] == 200
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_an_import_that_gets_no_workers_ends_with_the_reason(broken: Installation) -> None:
    done = broken.run("import", "numbers")
    assert done.code == 1
    assert re.search(r"crawlerd: no worker process can start: died.*: no memory\[1m left; nothing is lost", done.stderr)
    (broken.folder / "broken").unlink()
    assert broken.run("import", "numbers").code == 0


def test_a_worker_that_runs_out_of_threads_says_so(install: Callable[..., Installation]) -> None:
    """TasksMax= of a unit, or a limit of processes, is reached where the worker starts its threads."""
    here = numbers(install(accounts=0, constants={Constant.IMPORT_TROUBLE_SECONDS: 0.5}))
    (here.folder / "site" / "sitecustomize.py").write_text(
        "import sys, threading\n"
        'def start(self): raise RuntimeError("can\'t start new thread")\n'
        "if 'crawlerd.engine.worker' in sys.orig_argv:\n    threading.Thread.start = start\n"
    )
    done = here.start("import", "numbers")
    assert done.process.wait(30) == 1
    assert re.search(r"died( with exit code 1)?: RuntimeError: can't start new thread", done.stderr)
    assert "Traceback" not in done.stderr


class Gate:
    """Lets requests wait."""

    def __init__(self) -> None:
        self.waiting = 0
        self.opened = threading.Event()

    def __call__(self, path: str) -> Answer | None:
        if path.startswith("/v1/c"):  # charges and customers, but no event
            self.waiting += 1
            self.opened.wait(60)
        return None


@pytest.fixture
def hanging(api: Server, install: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine all of whose worker threads wait for an answer, while other tasks could start."""
    gate = Gate()
    with Relay(api.url, gate) as relay:
        here = install(
            url=relay.url,
            accounts=4,
            account={**QUICK, "limits": ["50/second"]},
            streams=["charges", "customers"],
            daemon={"threads_per_process": 2},
        )
        path = here.folder / "crawlerd.toml"
        path.write_text(_toml(here.config))
        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        engine = Engine(load(path, registry=registry))
        engine.start()
        try:
            for name, result in engine.runs.start_imports([f"a{number}" for number in range(1, 5)]):
                assert not isinstance(result, Exception), name
            until(lambda: gate.waiting == engine.dispatcher.leased == 2)
            yield engine
        finally:
            gate.opened.set()
            engine.stop(0)


def steps_in(engine: Engine, seconds: float) -> float:
    """Of the dispatcher, in a tick."""
    step, count = engine.dispatcher._step, 0

    def counted() -> None:
        nonlocal count
        count += 1
        step()

    engine.dispatcher._step = counted  # type: ignore[method-assign]
    since = time.monotonic()
    threading.Event().wait(seconds)
    return count * TICK_SECONDS / (time.monotonic() - since)


def test_the_dispatcher_rests_while_no_worker_has_room(hanging: Engine) -> None:
    until(lambda: hanging.dispatcher._bench.next_at() <= time.monotonic())  # something could start
    assert steps_in(hanging, 1.0) < 8


def test_the_dispatcher_rests_while_it_drains(hanging: Engine) -> None:
    hanging.dispatcher.drain()
    until(lambda: hanging.dispatcher._inbox.draining)
    assert steps_in(hanging, 1.0) < 8


def test_an_error_of_the_main_loop_ends_the_process_drained(api: Server, install: Callable[..., Installation]) -> None:
    """Whatever it is: nothing that would start runs, or hear signals, goes on after it."""
    here = install(url=api.url, constants={Constant.DAEMON_LOG_ENDS: None}, schedule="1h")
    daemon = here.start("run")
    assert daemon.process.wait(40) == 1
    assert "CRITICAL ending, because of TypeError: 'NoneType' object is not callable" in daemon.stderr
    assert daemon.stderr.count("INFO stopped\n") == 1
    here.assert_complete(1, 40)


def test_a_frontier_that_is_moved_away_ends_the_process(install: Callable[..., Installation]) -> None:
    here = numbers(install(accounts=0), schedule="1s")
    daemon = here.start("run")
    until(lambda: "completed" in here.states())
    (here.state_dir / "frontier.db").rename(here.folder / "frontier.db")
    done = daemon.finish(30)
    assert done.code == 78
    assert f"crawlerd: {here.state_dir}/frontier.db was deleted, moved or replaced while it was in use" in done.stderr


def test_a_lock_that_is_deleted_lets_no_second_one_in(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    daemon = here.start("run")
    daemon.says("/metrics")
    (here.state_dir / "lock").unlink()
    second = here.run("run")
    assert second.code == 75
    assert f"another crawlerd (pid {daemon.pid}) is using {here.state_dir}" in second.stderr
    daemon.says("lock was deleted or replaced while it was in use: made again")
    assert f"is running (pid {daemon.pid})" in here.run("status").stdout
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_a_hangup_is_ignored_and_stacks_are_printed(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    daemon = here.start("run")
    daemon.says("/metrics")
    (worker,) = until(daemon.workers)
    until(lambda: metrics_of(daemon)["crawlerd_workers"] == 1)
    until(lambda: int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text()) >= 500)
    for process in (psutil.Process(daemon.pid), worker):
        process.send_signal(signal.SIGHUP)
    daemon.says("the configuration was read again: nothing has changed")
    theirs = (
        (psutil.Process(daemon.pid), ("_serve", "_step", "_collect", "run_forever")),
        (worker, ("_flush_forever",)),
    )
    for process, functions in theirs:
        for function in functions:  # a thread may be elsewhere for a moment: asked again until it is there

            def shows(process: psutil.Process = process, function: str = function) -> bool:
                process.send_signal(signal.SIGUSR1)
                return re.search(rf'File ".*", line \d+ in {function}\n', daemon.stderr) is not None

            until(shows)
    assert fetch(daemon, "/healthz") == (200, "ok\n")
    assert daemon.workers() == [worker]
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_an_address_that_is_taken_is_tried_again(install: Callable[..., Installation]) -> None:
    here = numbers(install(accounts=0), schedule="1h")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        here.config["daemon"]["listen"] = f"127.0.0.1:{port}"
        daemon = here.start("run")
        daemon.says(f"ERROR cannot listen on 127.0.0.1:{port}: Address already in use; trying again")
        until(lambda: here.states() == ["completed"])  # which needs no address
    daemon.says(f"WARNING listening on http://127.0.0.1:{port}/metrics now")
    assert fetch(daemon, "/healthz") == (200, "ok\n")
    assert daemon.stderr.count("cannot listen") == 1
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_an_address_that_is_none_of_this_machine_is_waited_for(install: Callable[..., Installation]) -> None:
    """At a boot, it may come later."""
    here = install(accounts=0, daemon={"listen": "192.0.2.1:9", "allow_remote": True})
    daemon = here.start("run")
    daemon.says("cannot listen on 192.0.2.1:9: Cannot assign requested address; trying again")
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_a_log_of_an_idle_daemon_is_folded_in(install: Callable[..., Installation]) -> None:
    here = numbers(install(accounts=0, constants={Constant.STORE_IDLE_SECONDS: 0.3}), schedule="1h")
    daemon = here.start("run")
    until(lambda: here.states() == ["completed"])
    logs = [here.state_dir / "frontier.db-wal", Path(f"{here.sink_path}-wal")]
    until(lambda: [each.stat().st_size for each in logs] == [0, 0])
    assert daemon.running
    assert len(here.imported("numbers", "numbers", "numbers")) == 3
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
