"""What a run cost, measured at the server, as `run show` tells it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from support.installation import NO_LIMITS, Installation, metrics_of, total_of, until
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANY = 60
WIDTH = 80


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


def test_a_run_says_what_it_cost_as_the_server_has_seen_it(install: Callable[..., Installation], api: RestApi) -> None:
    sent: dict[int, int] = {}
    failed: set[str] = set()

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(MANY)])
        status = 200
        if request.path.split("/")[2].endswith("7") and request.path not in failed:
            failed.add(request.path)
            status = 500
        if request.path == "/orders/13/lines":
            status = 404
        sent[status] = sent.get(status, 0) + 1
        return Answer([{"id": "l"}], status=status)

    api.script = script
    here = shop(install, api, {"orders": ["orders", "lines"]}, retry_base="10ms", **NO_LIMITS)
    assert here.run("import", "orders").code == 3
    found = here.run("run", "show", "1", "--json").json
    figures = found["figures"]
    answers = {each["status"]: each["requests"] for each in figures["answers"]}
    sent[200] += 1  # the list
    assert answers == sent
    assert sum(answers.values()) == len(api.requests)
    assert sum(each["received"] for each in figures["answers"]) > MANY * len('[{"id":"l"}]')
    kinds = {each["kind"].rpartition(".")[2]: each for each in figures["kinds"]}
    run = found["run"]
    assert sum(each["done"] for each in figures["kinds"]) == run["done"]
    assert sum(each["dead"] for each in figures["kinds"]) == run["dead"]
    assert all(each["open"] == 0 for each in figures["kinds"])
    assert any(each["p50"] and each["p95"] >= each["p50"] for each in kinds.values())
    assert len(figures["slowest"]) == 20
    assert found["end"] is None
    text = here.run("run", "show", "1").stdout
    assert f"requests: {len(api.requests)}, " in text
    slowest = [each["about"] for each in figures["slowest"]]
    assert all(f"  {about}\n" in text for about in slowest)
    lines = [line for line in text.splitlines() if "dead letter" not in line and not line.endswith(tuple(slowest))]
    assert all(len(line) <= WIDTH for line in lines)


def test_no_end_is_told_of_a_run_that_something_holds_up(install: Callable[..., Installation], api: RestApi) -> None:
    serve(api, 400)
    here = shop(install, api, {"orders": ["orders", "lines"]}, limits=["50/second"])
    here.config["imports"]["orders"]["schedule"] = "1d"
    daemon = here.start("run")
    until(lambda: len(api.requests) > 100)
    end = here.run("run", "show", "1", "--json").json["end"]
    assert end is not None
    found = metrics_of(daemon)
    assert 0 < found['crawlerd_import_eta_seconds{import="orders"}'] < 5 * end["seconds"]
    assert found['crawlerd_import_interval_seconds{import="orders"}'] == 86_400
    sent, permitted = total_of(found, "crawlerd_requests_total"), 'crawlerd_permitted_requests_total{source="shop"}'
    assert 100 < sent <= found[permitted]
    assert 0 < found['crawlerd_account_backlog_tasks{account="acme"}'] <= 401
    assert here.run("pause", "account", "acme", "--reason", "theirs").code == 0
    found = metrics_of(daemon)
    assert 'crawlerd_import_eta_seconds{import="orders"}' not in found
    assert found['crawlerd_paused{what="account"}'] == 1
    assert here.run("run", "show", "1", "--json").json["end"] is None
    assert metrics_of(daemon)[permitted] - found[permitted] <= 5  # what was on its way
    assert here.run("resume", "account", "acme").code == 0
    until(lambda: here.run("run", "show", "1", "--json").json["end"] is not None)


@pytest.fixture
def refusing(api: RestApi) -> set[str]:
    """Paths below which the API answers with 404; it has a few orders otherwise."""
    refused = {"/orders/3/", "/orders/5/"}

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(9)])
        return Answer([{"id": "l"}], status=404 if any(map(request.path.startswith, refused)) else 200)

    api.script = script
    return refused


def audit(here: Installation) -> list[tuple[str, str, int]]:
    return [(each["act"], each["subject"], each["count"]) for each in here.run("audit", "--json").json]


def test_the_dead_letters_of_a_run_are_retried_by_its_number_alone(
    install: Callable[..., Installation], api: RestApi, refusing: set[str]
) -> None:
    here = shop(install, api, {name: ["orders", "lines"] for name in ("orders", "others")}, **NO_LIMITS)
    for name in ("orders", "others"):
        assert here.run("import", name).code == 3
    refusing.clear()
    done = here.run("run", "retry", "1")
    assert (done.code, done.stdout) == (0, "2 dead letters of run 1 are ready again\n")
    assert "crawlerd import orders" in done.stderr
    assert here.run("import", "orders").code == 0
    states = {run["id"]: (run["state"], run["dead"]) for run in here.run("runs", "--json").json["runs"]}
    assert states == {1: ("completed", 0), 2: ("completed with dead letters", 2)}
    assert audit(here) == [("retry", "run 1", 2)]
    for number, why in (("1", "run 1 has no dead letters"), ("9", "there is no run 9")):
        refused = here.run("run", "retry", number)
        assert (refused.code, why in refused.stderr) == (1, True)
    here.assert_conserved()


def test_a_daemon_retries_the_dead_letters_of_a_run_and_performs_them(
    install: Callable[..., Installation], api: RestApi, refusing: set[str]
) -> None:
    here = shop(install, api, {"orders": ["orders", "lines"]}, **NO_LIMITS)
    here.config["imports"]["orders"]["schedule"] = "1d"
    daemon = here.start("run")
    until(lambda: here.states() == ["completed with dead letters"])
    refusing.clear()
    assert here.run("run", "retry", "1", "--json").json == {"retried": 2, "left": False}
    until(lambda: here.states() == ["completed"])
    text = here.run("run", "show", "1").stdout
    assert "dead letters are retried by" in text
    assert here.run("run", "retry", "1").code == 1
    under_way = here.run("run", "drop", "1", "--reason", "x")
    assert (under_way.code, "`keep_runs` determines when" in under_way.stderr) == (1, True)
    daemon.send(signal.SIGTERM)
    daemon.finish()
    here.assert_conserved()


def test_a_run_of_an_import_that_is_gone_is_forgotten_beside_a_daemon(
    install: Callable[..., Installation], api: RestApi, refusing: set[str]
) -> None:
    here = shop(install, api, {"orders": ["orders", "lines"], "others": ["orders"]}, **NO_LIMITS)
    assert here.run("import", "orders").code == 3
    del here.config["imports"]["orders"]
    here.config["imports"]["others"]["schedule"] = "1d"
    daemon = here.start("run")
    until(lambda: here.states() == ["completed with dead letters", "completed"])
    assert here.run("run", "drop", "1").code == 2  # a reason is asked for
    done = here.run("run", "drop", "1", "--reason", "the client has left")
    assert (done.code, done.stdout) == (0, "run 1 is forgotten; the audit has who did it and why\n")
    until(lambda: here.states() == ["completed"])
    assert here.run("dead", "list", "--json").json == []
    assert here.run("run", "drop", "1", "--reason", "again").code == 1
    assert ("drop", "run 1", 1) in audit(here)
    daemon.send(signal.SIGTERM)
    daemon.finish()
    here.assert_conserved()


def test_an_interrupted_run_is_forgotten_and_its_import_begins_again(
    install: Callable[..., Installation], api: RestApi
) -> None:
    serve(api, MANY)
    here = shop(install, api, {"orders": ["orders", "lines"]}, limits=["8/second"])
    here.config["imports"]["orders"]["schedule"] = "1d"
    daemon = here.start("run")
    until(lambda: len(api.requests) > 10)
    refused = here.run("run", "drop", "1", "--reason", "wrong account")
    assert (refused.code, "crawlerd run cancel 1" in refused.stderr) == (1, True)
    assert 0.1 < here.run("run", "show", "1", "--json").json["share"] < 1.5
    daemon.kill()
    assert here.run("run", "drop", "1", "--reason", "wrong account", "--json").json == {"run": 1}
    assert here.run("runs", "--json").json["runs"] == []
    for table in ("ready", "delayed", "seen", "queue", "run_stage", "run_event", "tally"):
        assert here.select(f"SELECT count(*) FROM {table}") == [(0,)], table
    here.config["accounts"]["acme"] |= NO_LIMITS
    assert here.run("import", "orders").code == 0
    here.assert_conserved()
