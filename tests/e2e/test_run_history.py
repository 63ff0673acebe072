"""The history of runs: listed, shown, cancelled, forgotten."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import NO_LIMITS, Installation, until
from support.rest_api import Request, RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANY = 300


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        serve(api, MANY)
        yield api


def orders(install: Callable[..., Installation], api: RestApi, *names: str, **account: Any) -> Installation:
    return shop(install, api, {name: ["orders", "lines"] for name in names}, **account)


def test_runs_are_listed_and_shown(install: Callable[..., Installation], api: RestApi) -> None:
    here = orders(install, api, "orders", "others", **NO_LIMITS)
    for name in ("orders", "orders", "others"):
        assert here.run("import", name).code == 0
    assert [run["import"] for run in here.run("runs", "--json").json["runs"]] == ["others", "orders", "orders"]
    first = here.run("runs", "orders", "--limit", "1", "--json").json
    assert ([run["id"] for run in first["runs"]], first["next"]) == ([2], 2)
    assert [run["id"] for run in here.run("runs", "orders", "--after", "2", "--json").json["runs"]] == [1]
    assert here.run("runs", "--state", "failed", "--json").json["runs"] == []
    assert "or does not exist" in here.run("runs", "nothing").stderr
    shown = here.run("run", "show", "2", "--json").json
    lines = {each["stream"]: (each["facts"]["seen"], each["before"]) for each in shown["streams"]}
    assert lines == {"orders": (MANY, MANY), "lines": (1, 1)}
    text = here.run("run", "show", "2").stdout
    assert "run 2 of import orders (account acme): completed" in text
    assert "complete" in text
    assert here.run("run", "show", "9").code == 1


def test_a_cancelled_run_leaves_nothing_and_lets_the_other_go_on(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = orders(install, api, "orders", "others", limits=["60/second"])
    for name in ("orders", "others"):
        here.config["imports"][name]["schedule"] = "1d"
    daemon = here.start("run")

    def lines() -> int:
        return sum(each.path.endswith("/lines") for each in list(api.requests))

    until(lambda: lines() > 40)
    assert here.run("run", "cancel", "1").code == 2  # a reason is asked for
    done = here.run("run", "cancel", "1", "--reason", "the wrong account")
    assert (done.code, done.stdout[:18]) == (0, "run 1 is cancelled")
    until(lambda: here.run("status", "--json").json["runs"][0]["state"] == "completed", 30)
    run = here.run("run", "show", "1", "--json").json["run"]
    assert (run["state"], run["ready"], run["delayed"]) == ("cancelled", 0, 0)
    assert "the wrong account" in run["ended_reason"]
    assert run["began"] == "schedule"
    again = here.run("run", "cancel", "1", "--reason", "again")
    assert (again.code, "run 1 has ended already: cancelled" in again.stderr) == (1, True)
    assert here.run("audit", "--json").json[-1]["act"] == "cancel"
    assert MANY < lines() < 1.7 * MANY
    daemon.send(signal.SIGTERM)
    daemon.finish()
    assert here.run("frontier", "check").code == 0
    here.assert_conserved()


def test_a_daemon_that_is_killed_as_it_cancels_leaves_nothing_of_the_run(
    install: Callable[..., Installation], api: RestApi
) -> None:
    serve(api, 20_000)
    here = orders(install, api, "orders", "others", limits=["50/second"])
    for name in ("orders", "others"):
        here.config["imports"][name]["schedule"] = "1d"
    daemon = here.start("run")
    until(lambda: here.states() and here.select("SELECT 1 FROM run WHERE id = 1 AND open > 19000"), 30)
    assert here.run("run", "cancel", "1", "--reason", "the wrong account").code == 0
    daemon.kill()
    here.assert_conserved()
    daemon = here.start("run")
    until(lambda: here.select("SELECT 1 FROM run WHERE id = 1 AND open = 0"), 30)
    assert here.select("SELECT count(*) FROM ready WHERE run = 1") == [(0,)]
    assert here.select("SELECT count(*) FROM queue WHERE run = 1") == [(0,)]
    assert here.run("run", "show", "1", "--json").json["run"]["state"] == "cancelled"
    assert here.run("run", "show", "2", "--json").json["run"]["state"] == "running"
    daemon.send(signal.SIGTERM)
    daemon.finish()
    assert here.run("frontier", "check").code == 0


def test_a_run_is_cancelled_without_a_daemon(install: Callable[..., Installation], api: RestApi) -> None:
    here = orders(install, api, "orders", limits=["60/second"])
    importing = here.start("import", "orders")
    until(lambda: len(api.requests) > 30)
    importing.kill()
    assert here.run("run", "cancel", "1", "--reason", "not needed").code == 0
    assert here.run("import", "orders", "--json").json["imports"]["orders"][0]["id"] == 2
    assert here.run("frontier", "check").code == 0


def test_old_runs_are_forgotten_and_sync_points_stay(install: Callable[..., Installation], api: RestApi) -> None:
    here = orders(install, api, "orders", "others", **NO_LIMITS)
    here.config["imports"]["orders"]["keep_runs"] = {"count": 2}
    for _ in range(5):
        assert here.run("import", "orders").code == 0
        assert here.run("import", "others").code == 0
    here.run("import", "orders")
    kept = [run["id"] for run in here.run("runs", "orders", "--json").json["runs"]]
    assert len(kept) <= 3
    assert kept[0] == 11
    assert len(here.run("runs", "others", "--json").json["runs"]) == 5
    assert here.run("frontier", "check").code == 0


def test_an_import_beside_a_daemon_is_run_by_that(install: Callable[..., Installation], api: RestApi) -> None:
    here = orders(install, api, "orders", "others", limits=["100/second"])
    daemon = here.start("run")
    daemon.says("pid ")
    done = here.run("import", "orders", "--json")
    report = done.json
    assert (done.code, report["state"]) == (0, "completed")
    assert report["imports"]["orders"][0]["streams"]["orders"]["seen"] == MANY
    assert "orders: run 1 started in the daemon" in done.stderr
    assert here.run("run", "show", "1", "--json").json["run"]["began"].startswith("by ")
    go_on, script = threading.Event(), api.script
    assert script is not None

    def held(request: Request) -> Any:
        if request.path.endswith("/lines"):
            go_on.wait(60)
        return script(request)

    api.script = held
    assert here.run("import", "others", "--no-wait").code == 0
    following = here.start("import", "others")
    following.says("run 2 is under way already")
    for words in (["--sample", "5"], ["--full", "--stream", "orders"]):
        refused = here.run("import", "others", *words, "--no-wait")
        assert (refused.code, "run 2 of import others is under way, and the options are" in refused.stderr) == (1, True)
    following.send(signal.SIGINT)
    stopped = following.finish()
    assert stopped.code == 130
    assert "the runs go on in the daemon" in stopped.stderr
    go_on.set()
    until(lambda: here.run("run", "show", "2", "--json").json["run"]["state"] == "completed")
    assert here.run("import", "nothing").code == 2
    assert here.run("pause", "import", "orders", "--reason", "holidays").code == 0
    refused = here.run("import", "orders")
    assert (refused.code, "import orders is paused by " in refused.stderr) == (1, True)
