"""`crawlerd.run_import`: an import as a call from Python, from any thread."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from support.installation import Running
from support.rest_api import Answer, Request, RestApi
from support.shops import shop

import crawlerd
from crawlerd.core.errors import ConfigurationError, FrontierLocked
from crawlerd.frontier.lock import StateLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

NIGHTLY = Path(__file__).parents[2] / "examples/call_from_python/nightly.py"


@pytest.fixture
def api() -> Iterator[RestApi]:
    """Ten orders, each with one line."""

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(10)])
        return Answer([{"id": request.path.split("/")[2]}])

    with RestApi(script) as api:
        yield api


@pytest.fixture
def config(install: Callable[..., Installation], api: RestApi) -> Path:
    """One import, `shop`, of orders and their lines."""
    here = shop(install, api, {"shop": ["orders", "lines"]}, limits=[], attempts=1)
    here.write()
    return here.folder / "crawlerd.toml"


def test_it_runs_from_any_thread_and_leaves_the_process_as_it_was(config: Path, api: RestApi) -> None:
    def process() -> tuple[object, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        children = psutil.Process().children()
        return *handlers, gc.get_threshold(), gc.get_freeze_count(), children

    gc.unfreeze()  # what a test before this one has left
    before, threads = process(), set(threading.enumerate())
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(crawlerd.run_import, config, "shop").result()
    assert process() == before
    its = {"dispatcher", "log", "operations", "renewals", "store"}  # the API has threads as well
    assert not its & {each.name for each in threading.enumerate() if each not in threads}
    assert (report.state, report.complete) == ("completed", True)
    (run,) = report.imports["shop"]
    assert {name: (each.seen, each.new) for name, each in run.streams.items()} == {
        "orders": (10, 10),
        "lines": (10, 10),
    }
    assert len(api.requests) == 11

    (again,) = crawlerd.run_import(config, "shop").imports["shop"]
    assert {name: each.unchanged for name, each in again.streams.items()} == {"orders": 10, "lines": 10}


def test_what_the_api_refuses_is_in_the_report(config: Path, api: RestApi) -> None:
    answer = api.script
    api.script = lambda request: Answer({}, 404) if request.path == "/orders/3/lines" else answer(request)
    report = crawlerd.run_import(str(config), "shop")
    assert (report.state, report.complete) == ("completed with dead letters", False)
    assert report.imports["shop"][0].streams["lines"].dead == 1


def test_after_its_timeout_it_returns_and_the_next_call_resumes(config: Path) -> None:
    stopped = crawlerd.run_import(config, "shop", timeout=0)
    assert (stopped.state, stopped.complete) == ("stopped", False)
    report = crawlerd.run_import(config, "shop")
    assert report.complete
    assert [run.id for run in report.imports["shop"]] == [run.id for run in stopped.imports["shop"]]


def test_what_keeps_it_from_running_is_raised(config: Path) -> None:
    with pytest.raises(ValueError, match="name at least one import"):
        crawlerd.run_import(config)
    with pytest.raises(ConfigurationError, match=r"there is no \[imports.shpo\] in .*; .*shop"):
        crawlerd.run_import(config, "shpo")
    with pytest.raises(ConfigurationError, match="No such file"):
        crawlerd.run_import(config.with_name("other.toml"), "shop")
    lock = StateLock(config.with_name("var"))
    try:
        with pytest.raises(FrontierLocked):
            crawlerd.run_import(config, "shop")
    finally:
        lock.close()


def test_a_daemon_is_asked_and_followed(api: RestApi, install: Callable[..., Installation]) -> None:
    here = shop(install, api, {"shop": ["orders", "lines"], "other": ["orders"]}, limits=[])
    daemon = here.start("run")
    daemon.says("serving|started|crawlerd ")
    here_config = here.folder / "crawlerd.toml"
    report = crawlerd.run_import(here_config, "shop", "other")
    assert report.complete
    assert [(run.import_name, run.records) for runs in report.imports.values() for run in runs] == [
        ("shop", 20),
        ("other", 10),
    ]
    answer, go_on = api.script, threading.Event()

    def held(request: Request) -> Answer | None:
        go_on.wait(20)
        return answer(request)

    api.script = held
    stopped = crawlerd.run_import(here_config, "shop", timeout=0)
    assert stopped.state == "stopped"
    go_on.set()
    again = crawlerd.run_import(here_config, "shop")
    assert again.complete
    assert again.imports["shop"][0].id in (stopped.imports["shop"][0].id, stopped.imports["shop"][0].id + 1)
    with pytest.raises(ConfigurationError, match="shpo"):
        crawlerd.run_import(here_config, "shpo")
    assert daemon.running


def test_ctrl_c_ends_it_and_the_example_resumes(config: Path, api: RestApi) -> None:
    answer, asked, go_on = api.script, threading.Event(), threading.Event()

    def held(request: Request) -> Answer | None:
        if request.path == "/orders":
            asked.set()
            go_on.wait(20)
        return answer(request)

    api.script = held
    command = [sys.executable, "-X", "faulthandler", str(NIGHTLY), str(config), "shop"]
    folder = config.parent

    def start(serial: int) -> Running:
        return Running(command, folder, {"PATH": "/usr/bin"}, serial)

    first = start(100)
    assert asked.wait(20)
    first.send(signal.SIGINT)
    workers = first.workers()
    go_on.set()
    first.process.wait(20)
    assert first.stderr.endswith("KeyboardInterrupt\n")
    assert not any(each.is_running() for each in workers)
    second = start(101).finish()
    assert second.stderr == ""
    assert second.stdout.splitlines()[-1] == "20"  # of the one run, which both have worked on
    assert len([each for each in api.requests if each.path == "/orders"]) == 1
