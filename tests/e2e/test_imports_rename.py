"""An import that is renamed goes on where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

SOURCE = 'name = "shop"\n[endpoints.orders]\npath = "/orders"\n'


@pytest.fixture
def api() -> Iterator[RestApi]:
    def script(_: Request) -> Answer:
        return Answer([{"id": 1}])

    with RestApi() as api:
        api.script = script
        yield api


def test_history_follows_the_name(install: Callable[..., Installation], api: RestApi) -> None:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(SOURCE)
    here.config["accounts"]["acme"] = {"source": "rest", "description": "source.toml", "base_url": api.url}
    imports = here.config["imports"]
    imports["old"] = {"account": "acme", "sink": "sink", "streams": ["orders"]}
    assert here.run("import", "old").code == 0
    assert "still configured" in here.run("imports", "rename", "old", "new").stderr
    imports["new"] = imports.pop("old")
    assert "no history" in here.run("imports", "rename", "other", "new").stderr
    done = here.run("imports", "rename", "old", "new")
    assert (done.code, done.stdout) == (0, "import old is now new, with its sync points and history\n")
    assert [run["import"] for run in here.run("status", "--json").json["runs"]] == ["new"]
    assert [each["act"] for each in here.run("audit", "--json").json] == ["rename"]
    imports["old"] = imports.pop("new")
    assert here.run("import", "old").code == 0
    refused = here.run("imports", "rename", "new", "old")
    assert refused.code == 1
    assert "history of its own" in refused.stderr


@pytest.mark.parametrize("command", [["config", "check"], ["import", "new"], ["run"]], ids=" ".join)
def test_a_renamed_import_is_recognized(command: list[str], install: Callable[..., Installation], api: RestApi) -> None:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(SOURCE + '[endpoints.stores]\npath = "/stores"\n')
    for name in ("acme", "zenith"):
        here.config["accounts"][name] = {"source": "rest", "description": "source.toml", "base_url": api.url}
    imports = here.config["imports"]
    imports["orders"] = {"account": "acme", "sink": "sink", "streams": ["orders"]}
    imports["all"] = {"account": "acme", "sink": "sink", "streams": ["*"]}
    imports["stays"] = {"account": "acme", "sink": "sink", "streams": ["stores"]}
    assert here.run("import", "--all").code == 0
    assert "renamed?" not in here.run("config", "check").stderr
    imports["elsewhere"] = {"account": "zenith", "sink": "sink", "streams": ["orders"]}  # not of the same account
    imports["everything"] = imports.pop("all")
    imports["new"] = imports.pop("orders")
    if command == ["run"]:
        daemon = here.start(*command)
        daemon.says("pid ")
        told = daemon.stderr
    else:
        told = here.run(*command).stderr
    assert told.count("renamed?") == 2
    assert "`crawlerd imports rename orders new`" in told
    assert "`crawlerd imports rename all everything`" in told


def test_what_reads_something_else_is_not_taken_for_a_renamed_import(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(SOURCE + '[endpoints.stores]\npath = "/stores"\n')
    here.config["accounts"]["acme"] = {"source": "rest", "description": "source.toml", "base_url": api.url}
    imports = here.config["imports"]
    imports["orders"] = {"account": "acme", "sink": "sink", "streams": ["orders"]}
    assert here.run("import", "--all").code == 0
    imports["stores"] = imports.pop("orders") | {"streams": ["stores"]}
    assert "renamed?" not in here.run("config", "check").stderr
    imports["orders2"] = imports.pop("stores") | {"streams": ["orders"]}
    assert "rename orders orders2" in here.run("config", "check").stderr
    assert here.run("import", "orders2").code == 0  # it has a history of its own by now
    assert "renamed?" not in here.run("config", "check").stderr


def test_a_renamed_import_with_a_run_under_way_must_end_first(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(SOURCE)
    here.config["accounts"]["acme"] = {"source": "rest", "description": "source.toml", "base_url": api.url}
    imports = here.config["imports"]
    imports["old"] = {"account": "acme", "sink": "sink", "streams": ["orders"]}
    api.script = lambda _: Answer({}, 401)
    assert here.run("import", "old").code == 1
    imports["new"] = imports.pop("old")
    assert "its last run has not ended: use the name old again until it has; then" in here.run("config", "check").stderr
