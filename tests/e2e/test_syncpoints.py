"""Sync points: shown, set, moved back, cleared and copied; with and without a daemon."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import NO_LIMITS, Installation, until
from support.rest_api import Answer, Request, RestApi

from crawlerd.demo.server import running as stripe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHOP = """
name = "shop"
[endpoints.orders]
path = "/orders"
incremental = { field = "changed", parameter = "since" }
[endpoints.bills]
path = "/bills"
incremental = { field = "number", parameter = "after", format = "number" }
[endpoints.slow]
path = "/slow"
"""
SEEN = "2026-03-05T12:00:00.000000Z"


@pytest.fixture
def api() -> Iterator[RestApi]:
    def script(request: Request) -> Answer:
        if request.path == "/slow":
            return Answer({}, 503)
        if request.path == "/bills":
            return Answer([{"id": "b", "number": 17}])
        return Answer([{"id": 1, "changed": SEEN}])

    with RestApi() as api:
        api.script = script
        yield api


@pytest.fixture
def here(install: Callable[..., Installation], api: RestApi) -> Installation:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(SHOP)
    account = {"source": "rest", "description": "source.toml", "base_url": api.url, **NO_LIMITS}
    here.config["accounts"] |= {"acme": account, "other": account}
    for name, account_name, streams in (
        ("shop", "acme", ["orders", "bills"]),
        ("part", "acme", ["orders"]),
        ("far", "other", ["orders"]),
        ("slow", "acme", ["slow"]),
    ):
        here.config["imports"][name] = {"account": account_name, "sink": "sink", "streams": streams}
    assert here.run("import", "shop").code == 0
    api.requests.clear()
    return here


@pytest.fixture(params=["daemon", "files"])
def asked(request: pytest.FixtureRequest, here: Installation) -> Installation:
    """With a daemon that is asked, and without one."""
    if request.param == "daemon":
        here.start("run").says("pid")
        until(lambda: here.run("why", "shop").code == 0)
    return here


def points(here: Installation, name: str = "shop", *more: str) -> dict[str, Any]:
    return dict(here.run("syncpoint", "show", name, "--json", *more).json["sync_points"])


def since(api: RestApi) -> list[str | None]:
    """What the orders were asked for, since the last time."""
    found = [each.query.get("since") for each in api.requests if each.path == "/orders"]
    api.requests.clear()
    return found


def test_what_is_set_back_is_read_again_and_rolled_back_as_it_was(asked: Installation, api: RestApi) -> None:
    here = asked
    shown = here.run("syncpoint", "show", "shop", "--json")
    before = points(here)
    assert before == {"bills": f"{17:020d}", "orders": SEEN}
    text = here.run("syncpoint", "show", "shop").stdout
    assert "import shop in sink sink" in text
    assert "2026-03-05 12:00:00" in text
    assert here.run("syncpoint", "set", "shop", "--back", "2d", "--stream", "orders").code == 0
    assert points(here) == {**before, "orders": "2026-03-03T12:00:00.000000Z"}
    assert here.run("import", "shop").code == 0
    assert since(api) == ["2026-03-03T11:55:00Z"]  # less the overlap
    assert points(here) == before
    assert (
        here.run("syncpoint", "set", "shop", "--stream", "orders", "--value", "2026-01-01T00:00:00.000000Z").code == 0
    )
    cleared = here.run("syncpoint", "clear", "shop", "--stream", "bills", "--json").json
    assert cleared["after"] == {"bills": None}
    assert points(here) == {"bills": None, "orders": "2026-01-01T00:00:00.000000Z"}
    (here.folder / "before.json").write_text(shown.stdout)
    assert here.run("syncpoint", "set", "shop", "before.json", "--json").json["after"]
    assert points(here) == before
    again = here.run("syncpoint", "set", "shop", "before.json")
    assert (again.code, "would change no sync point" in again.stderr) == (1, True)
    acts = here.run("audit", "--json").json
    assert [each["act"] for each in acts] == ["syncpoint back", "syncpoint set", "syncpoint clear", "syncpoint set"]
    assert json.loads(acts[0]["detail"]) == {
        "before": {"orders": SEEN},
        "after": {"orders": "2026-03-03T12:00:00.000000Z"},
    }


def test_a_cleared_stream_is_read_in_full(asked: Installation, api: RestApi) -> None:
    here = asked
    done = here.run("syncpoint", "clear", "shop", "--stream", "orders")
    assert "without a sync point, and so read in full: orders" in done.stdout
    assert points(here)["orders"] is None
    assert here.run("import", "shop").code == 0
    assert since(api) == [None]


def test_another_import_goes_on_from_a_copy(asked: Installation, api: RestApi) -> None:
    here = asked
    done = here.run("syncpoint", "copy", "shop", "part")
    assert (done.code, "left out, since import part does not read these streams: bills" in done.stdout) == (0, True)
    assert here.run("import", "part").code == 0
    assert since(api) == ["2026-03-05T11:55:00Z"]
    refused = here.run("syncpoint", "copy", "shop", "far")
    assert (refused.code, "the sync points of one are not valid for the other" in refused.stderr) == (1, True)


@pytest.mark.parametrize("beside", [True, False])
def test_nothing_is_changed_while_a_run_is_under_way(here: Installation, beside: bool) -> None:
    before = points(here)
    here.config["imports"]["shop"]["streams"] += ["slow"]
    importing = here.start(*(("run",) if beside else ("import", "shop")))
    if beside:
        importing.says("pid")
        until(lambda: here.run("import", "shop", "--no-wait").code == 0)
    until(lambda: here.states() == ["completed", "running"])
    if not beside:
        importing.kill()  # what was interrupted goes on, and would publish
    for command in (("set", "shop", "--back", "1d", "--stream", "orders"), ("clear", "shop")):
        refused = here.run("syncpoint", *command)
        assert refused.code == 1
        assert "run 2 of import shop is under way, or was interrupted and goes on" in refused.stderr
    assert {name: points(here)[name] for name in before} == before
    assert here.run("audit", "--json").json == []
    assert here.run("run", "cancel", "2", "--reason", "a test").code == 0
    assert here.run("syncpoint", "clear", "shop").code == 0


NO_SENSE: list[tuple[list[str], str | None, int, str]] = [
    (["show", "shp"], None, 1, "there is no import shp in the configuration; did you mean shop?"),
    (["show", "shop", "--stream", "order"], None, 1, "does not read a stream order; did you mean orders?"),
    (["show", "slow"], None, 0, ""),
    (["set", "shop"], None, 2, "give one of: a FILE, --value with --stream, --back"),
    (["set", "shop", "--back", "2 days"], None, 2, "is not a duration"),
    (["set", "shop", "--back", "1d"], None, 1, "the sync point bills is not a time but a number"),
    (["set", "shop", "--value", "x"], None, 2, "--value is for one --stream"),
    (["set", "shop", "--stream", "orders", "--value", "soon"], None, 1, "orders is a time, and soon is text"),
    (["set", "shop", "--stream", "orders", "--value", "{"], None, 1, "not a JSON object"),
    (["set", "shop", "--stream", "orders", "--value", " "], None, 1, "orders must be text, an object"),
    (["set", "shop", "--stream", "orders", "--value", "2999-01-01T00:00:00Z"], None, 1, "which is in the future"),
    (["set", "shop", "nowhere.json"], None, 2, "nowhere.json: No such file or directory"),
    (["set", "shop", "file.json"], "orders: 1", 2, "is not the output of `crawlerd syncpoint show shop --json`"),
    (["set", "shop", "file.json"], '{"import": "shop", "sink": "sink"}', 2, "missing required field `sync_points`"),
    (["set", "shop", "file.json"], '{"import": "part", "sink": "sink", "sync_points": {}}', 2, "copy part shop"),
    (["set", "shop", "file.json"], '{"import": "shop", "sink": "s", "sync_points": {}}', 2, "of sink s"),
    (["set", "shop", "file.json"], '{"import": "shop", "sink": "sink", "sync_points": {}}', 1, "give one of"),
    (
        ["set", "shop", "file.json"],
        '{"import": "shop", "sink": "sink", "sync_points": {"order": "x"}}',
        1,
        "order is not a sync point of import shop, nor a stream of its source; did you mean orders?",
    ),
    (
        ["set", "shop", "file.json"],
        '{"import": "shop", "sink": "sink", "sync_points": {"orders": 5}}',
        1,
        "orders must be text, an object",
    ),
    (["clear", "part"], None, 1, "this would change no sync point of import part"),
    (["copy", "part", "shop"], None, 1, "import part has no sync points"),
    (["copy", "shop", "shop"], None, 1, "give two different imports"),
]


def test_what_makes_no_sense_is_explained_and_changes_nothing(here: Installation) -> None:
    before = here.select("SELECT * FROM cursor")
    for arguments, given, code, says in NO_SENSE:
        if given is not None:
            (here.folder / "file.json").write_text(given)
        done = here.run("syncpoint", *arguments)
        assert (done.code, says) == (code, says if says in done.stderr else done.stderr)
        assert here.select("SELECT * FROM cursor") == before
        assert here.select("SELECT * FROM audit") == []


def test_a_run_whose_dead_letters_are_retried_does_not_undo_a_change(here: Installation, api: RestApi) -> None:
    usual, bad = api.script, True
    api.script = lambda request: Answer({}, 400) if bad and request.path == "/bills" else usual(request)
    assert here.run("import", "shop").code == 3
    assert here.run("syncpoint", "set", "shop", "--back", "1d", "--stream", "orders").code == 0
    bad = False
    assert here.run("dead", "retry", "--all").code == 0
    assert here.run("import", "shop").code == 0
    assert points(here)["orders"] == "2026-03-04T12:00:00.000000Z"


def test_what_the_source_cannot_begin_from_is_refused(install: Callable[..., Installation]) -> None:
    """Stripe's sync points are JSON objects."""
    with stripe(accounts=1, customers=5, rate=0) as server:
        here = install(url=server.url, account=NO_LIMITS)
        (name,) = here.config["imports"]
        assert here.run("import", name).code == 0
        before = here.select("SELECT stream, value FROM cursor ORDER BY stream")
        shown = here.run("syncpoint", "show", name, "--json").json
        assert all(isinstance(value, dict) for value in shown["sync_points"].values())
        assert here.run("syncpoint", "set", name, "--back", "2d").code == 0
        moved = points(here, name)
        for stream, value in shown["sync_points"].items():
            assert moved[stream] == {
                **value,
                "event": value["event"] - 172_800,
                "noted": pytest.approx(value["noted"] - 172_800),
            }
        broken = json.loads(json.dumps(shown))
        broken["sync_points"]["customers"]["event"] = "soon"
        (here.folder / "broken.json").write_text(json.dumps(broken))
        refused = here.run("syncpoint", "set", name, "broken.json")
        assert (refused.code, "no run could begin with this, so nothing was changed" in refused.stderr) == (1, True)
        (here.folder / "before.json").write_text(json.dumps(shown, indent=2))
        assert here.run("syncpoint", "set", name, "before.json").code == 0
        assert here.select("SELECT stream, value FROM cursor ORDER BY stream") == before
        daemon = here.start("run")
        daemon.says("pid")
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
    assert here.run("frontier", "check").code == 0
