"""Runs that a command changes, in the foreground and in a daemon: some streams, a sample, what has changed since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import Installation, until
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SINCE = """
name = "shop"
[endpoints.orders]
path = "/orders"
incremental = { field = "updated", parameter = "updated_since" }
[endpoints.stores]
path = "/stores"
"""
PAGED = """
name = "shop"
[endpoints.orders]
path = "/orders"
paginator = { type = "page_number", parameter = "page" }
[endpoints.lines]
parent = "orders"
path = "/orders/{parent.id}/lines"
"""


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        serve(api, 30)
        yield api


@pytest.fixture(params=["foreground", "daemon"])
def daemon(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "daemon")


def runs(here: Installation) -> list[dict[str, Any]]:
    """The oldest first."""
    found: list[dict[str, Any]] = here.run("status", "--json").json["runs"]
    return found[::-1]


def left(here: Installation) -> dict[str, list[tuple[Any, ...]]]:
    """All that a run leaves to the next one."""
    return {table: sorted(here.select(f"SELECT * FROM {table}")) for table in ("cursor", "last_full", "setup")}


def paged(api: RestApi, many: int) -> None:
    """Pages of 20 orders, each order with a line."""

    def script(request: Request) -> Answer:
        if request.path != "/orders":
            return Answer([{"id": f"line of {request.path}"}])
        first = 20 * (int(request.query.get("page", "1")) - 1)
        return Answer([{"id": number} for number in range(first, min(first + 20, many))])

    api.script = script


def test_a_full_run_of_one_stream_leaves_the_others(
    install: Callable[..., Installation], api: RestApi, daemon: bool
) -> None:
    here = shop(install, api, {"all": ["orders", "stores"]})
    here.config["imports"]["all"]["schedule"] = "1h"
    assert here.run("import", "all").code == 0
    serve(api, 28)  # two of each are gone
    if daemon:
        here.start("run").says("pid ")
    before, planned, age = len(api.requests), *told(here)
    done = here.run("import", "all", "--full", "--stream", "orders", "--json")
    assert done.code == 0, done.stderr
    assert {each.path for each in api.requests[before:]} == {"/orders"}
    assert list(done.json["imports"]["all"][0]["streams"]) == ["orders"]
    assert here.select("SELECT stream, seen FROM last_full ORDER BY 1") == [("orders", 28), ("stores", 30)]
    assert here.select("SELECT part, ad_hoc FROM run WHERE id = 2") == [("orders", None)]
    assert told(here) == (planned, age)
    assert "all of orders" in here.run("runs").stdout


def told(here: Installation) -> tuple[object, object]:
    """When the import starts next by its schedule, and of when its data are."""
    (scheduled,) = here.run("schedule", "all", "--json").json
    (line,) = here.run("imports", "--json").json["imports"]
    return scheduled["next"], line["fresh_at"]


def test_a_sample_takes_the_first_records_and_leaves_nothing(
    install: Callable[..., Installation], api: RestApi, daemon: bool
) -> None:
    paged(api, 400)
    here = shop(install, api, {"all": ["orders", "lines"]})
    (here.folder / "source.toml").write_text(PAGED)
    if daemon:
        here.start("run").says("pid ")
    done = here.run("import", "all", "--sample", "50", "--json")
    assert done.code == 0, done.stderr
    (run,) = done.json["imports"]["all"]
    assert run["ad_hoc"] == "the first 50 records of each stream"
    assert {stream: each["seen"] for stream, each in run["streams"].items()} == {"orders": 50, "lines": 50}
    assert len(api.requests) <= 10 + 50
    assert left(here) == {"cursor": [], "last_full": [], "setup": []}


def test_since_a_time_beside_a_daemon(install: Callable[..., Installation], api: RestApi) -> None:
    here = shop(install, api, {"all": ["orders", "stores"]})
    (here.folder / "source.toml").write_text(SINCE)

    def script(request: Request) -> Answer:
        return Answer([{"id": 1, "updated": "2026-01-01T00:00:00Z"}])

    api.script = script
    here.start("run").says("pid ")
    assert here.run("import", "all").code == 0
    before = left(here)
    refused = here.run("import", "all", "--since", "2026-02-03")
    assert refused.code
    assert "--stream orders" in refused.stderr
    done = here.run("import", "all", "--since", "2026-02-03", "--stream", "orders", "--json")
    assert done.code == 0, done.stderr
    (run,) = done.json["imports"]["all"]
    assert run["ad_hoc"] == "since 2026-02-03T00:00:00Z, streams orders"
    asked = api.requests[-1]
    assert asked.path == "/orders"
    at = datetime(2026, 2, 3, tzinfo=UTC)
    assert datetime.fromisoformat(asked.query["updated_since"]) <= at
    assert left(here) == before


def test_a_sample_goes_on_exactly_after_a_kill(install: Callable[..., Installation], api: RestApi) -> None:
    paged(api, 2_000)
    here = shop(install, api, {"all": ["orders", "lines"]}, limits=["20/second"])
    (here.folder / "source.toml").write_text(PAGED)
    daemon = here.start("run")
    daemon.says("pid ")
    assert here.run("import", "all", "--sample", "60", "--no-wait").code == 0
    until(lambda: here.select("SELECT coalesce(sum(seen), 0) > 65 FROM tally")[0][0])
    daemon.kill()
    here.start("run").says("pid ")
    until(lambda: here.states() == ["completed"])
    (run,) = runs(here)
    assert {stream: each["seen"] for stream, each in run["streams"].items()} == {"orders": 60, "lines": 60}
    assert run["ad_hoc"] == "the first 60 records of each stream"
    assert left(here) == {"cursor": [], "last_full": [], "setup": []}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stream", "orders"], "--stream needs --full, --since or --sample"),
        (["--full", "--stream", "order"], 'did you mean "orders"?'),
        (["--full", "--since", "2026-01-01"], "not both"),
        (["--since", "2999-01-01"], "is in the future"),
        (["--sample", "0"], "--sample"),
    ],
)
def test_what_cannot_be_is_refused(
    install: Callable[..., Installation], api: RestApi, daemon: bool, words: list[str], message: str
) -> None:
    here = shop(install, api, {"all": ["orders", "lines"]})
    if daemon:
        here.start("run").says("pid ")
    done = here.run("import", "all", *words)
    assert done.code
    assert message in done.stderr
    assert runs(here) == []


def test_a_plan_costs_nothing_and_says_what_it_is_based_on(
    install: Callable[..., Installation], api: RestApi, daemon: bool
) -> None:
    here = shop(install, api, {"all": ["orders", "lines"]}, limits=["50/second", "1000/day"])
    (plan,) = here.run("import", "all", "--plan", "--json").json
    assert (plan["requests"], plan["seconds"], plan["quotas"]) == (None, None, [])
    assert "so it is unknown what one takes" in plan["based_on"][0]
    assert here.run("import", "all").code == 0
    if daemon:
        here.start("run").says("pid ")
    before = len(api.requests)
    (plan,) = here.run("import", "all", "--full", "--plan", "--json").json
    assert (plan["requests"], plan["at_most"], plan["full"]) == (31, False, True)
    assert plan["seconds"] == pytest.approx(31 / 50, rel=0.05)
    assert plan["quotas"] == [{"limit": "1000 per 1 day", "share": 0.031, "used": 0.031}]
    told = here.run("import", "all", "--full", "--plan").stdout
    assert "all: a full run: about 31 requests, 0.6 s at the limit, 3.1% of 1000 per 1 day (3.1% is used)" in told
    assert "Run 1, its last full one" in told
    (sample,) = here.run("import", "all", "--sample", "5", "--plan", "--json").json
    assert (sample["requests"], sample["at_most"]) == (12, True)
    assert here.run("accounts", "limit", "acme", "1/second", "--reason", "theirs").code == 0
    (plan,) = here.run("import", "all", "--full", "--plan", "--json").json
    assert plan["seconds"] == pytest.approx(31, rel=0.05)
    assert any("limit lowered by" in each for each in plan["based_on"])
    (since,) = here.run("import", "all", "--plan", "--json").json
    assert (since["requests"], since["at_most"]) == (31, True)
    assert len(api.requests) == before
    assert len(runs(here)) == 1


def test_a_plan_counts_what_is_used_of_a_quota(install: Callable[..., Installation], api: RestApi) -> None:
    here = shop(install, api, {"all": ["orders", "lines"]}, limits=["40/hour"])
    assert here.run("import", "all").code == 0
    (plan,) = here.run("import", "all", "--full", "--plan", "--json").json
    (quota,) = plan["quotas"]
    assert quota["used"] == pytest.approx(quota["share"] * 1.0, abs=0.03)
    assert plan["seconds"] == pytest.approx(3600, rel=0.05)  # nine fit now, the others when the first ones are over
    config = here.config["accounts"]["acme"]
    config["limits"] = [f"{plan['requests']}/hour"]
    # A quota of another size inherits what was charged to it when the daemon asks for it first.
    daemon = here.start("run")
    daemon.says("pid ")
    assert here.run("import", "all", "--no-wait").code == 0
    until(lambda: "quota" in here.run("why", "all").stdout)
    told = here.run("import", "all", "--full", "--plan").stdout
    assert "(100% is used)" in told
    assert "the first request can start at" in told


def test_a_daemon_is_asked_for_a_run_though_the_file_is_wrong(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = shop(install, api, {"all": ["orders", "lines"]})
    here.start("run").says("pid ")
    here.config["imports"]["all"]["schdule"] = "1d"
    done = here.run("import", "all", "--no-wait")
    assert done.code == 0, done.stderr
    assert "the configuration file is wrong, so the one that the daemon has loaded is used" in done.stderr
    assert "schdule" in done.stderr
    followed = here.run("import", "all", "--full")
    assert (followed.code, "schdule" in followed.stderr) == (0, True)
    assert {each["state"] for each in runs(here)} == {"completed"}
    unknown = here.run("import", "none", "--no-wait")
    assert (unknown.code, "none" in unknown.stderr) == (1, True)
    for words in (["--all"], ["all", "--plan"], ["all", "--set", "streams=[]"]):
        assert here.run("import", *words).code == 78
