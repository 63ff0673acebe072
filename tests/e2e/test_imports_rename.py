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
    assert (done.code, done.stdout) == (0, "import old is new now, with its sync points and history\n")
    assert [run["import"] for run in here.run("status", "--json").json["runs"]] == ["new"]
    assert [each["act"] for each in here.run("audit", "--json").json] == ["rename"]
    imports["old"] = imports.pop("new")
    assert here.run("import", "old").code == 0
    refused = here.run("imports", "rename", "new", "old")
    assert refused.code == 1
    assert "history of its own" in refused.stderr
