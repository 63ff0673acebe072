"""`status` and `why` name what is wrong; more of this in `test_why`, `test_status_report`, `test_schedules`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from support.installation import NO_LIMITS, QUICK, Installation, until
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop
from support.small_disks import fill, small_disk_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


def said(here: Installation, *words: str) -> str:
    """What a command prints, without its line breaks."""
    return " ".join(here.run(*words).stdout.split())


def test_a_full_disk_is_named(api: RestApi, install: Callable[..., Installation], tmp_path: Path) -> None:
    serve(api, 400)
    here = shop(install, api, {"nightly": ["orders", "lines"]}, limits=["40/second"])
    with small_disk_at(tmp_path / "disk") as disk:
        here.config["daemon"]["state_dir"] = str(disk / "var")
        daemon = here.start("run")
        daemon.says("pid ")
        assert here.run("import", "nightly", "--no-wait").code == 0
        until(lambda: len(api.requests) > 40)
        filler = fill(disk)
        daemon.says("No space left|is full")
        until(lambda: "full" in said(here, "status"))
        assert "(store)" in said(here, "why", "nightly")
        assert here.run("status", "--check").code == 1
        filler.unlink()
        daemon.says("recovered")
        daemon.kill()


def test_too_few_workers_are_named(api: RestApi, install: Callable[..., Installation]) -> None:
    """One account's requests take all threads; the other has no limit, and nothing else is in its way."""
    held = threading.Event()

    def script(request: Request) -> Answer | None:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(20)])
        held.wait(60)
        return Answer([{"id": request.path}])

    api.script = script
    here = shop(install, api, {"nightly": ["orders", "lines"], "other": ["orders", "lines"]}, **NO_LIMITS)
    here.config["accounts"]["acme2"] = dict(here.config["accounts"]["acme"])
    here.config["imports"]["other"]["account"] = "acme2"
    here.config["daemon"] |= {"worker_processes": 1, "threads_per_process": 2}
    here.start("run").says("pid ")
    assert here.run("import", "nightly", "--no-wait").code == 0
    until(lambda: sum(request.path != "/orders" for request in api.requests) >= 2)
    assert here.run("import", "other", "--no-wait").code == 0
    until(lambda: "(workers)" in said(here, "why", "other"))
    status = said(here, "status")
    assert "1 account waits for a worker: the worker processes' threads (2) are all busy" in " ".join(status.split())
    held.set()
    until(lambda: "waits for a worker" not in said(here, "status"))


def test_a_task_that_always_fails_is_named(api: RestApi, install: Callable[..., Installation]) -> None:
    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(20)])
        return Answer({"error": "broken"}, 500) if "/7/" in request.path else Answer([{"id": request.path}])

    api.script = script
    here = shop(install, api, {"nightly": ["orders", "lines"]}, **QUICK, attempts=3)
    here.start("run").says("pid ")
    assert here.run("import", "nightly", "--no-wait").code == 0
    until(lambda: here.states() == ["completed with dead letters"])
    assert "import nightly: 1 dead letter of run 1: `crawlerd dead list --import nightly`" in said(here, "status")
    assert "1 dead letter: `crawlerd dead list --import nightly`" in said(here, "why", "nightly")
    assert "HTTP 500" in said(here, "dead", "list", "--import", "nightly")
