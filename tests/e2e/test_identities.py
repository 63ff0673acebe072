"""Two accounts under one name, each in a state directory of its own: they are never mixed in one sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

    from crawlerd.demo.server import Server


def test_another_account_of_the_same_name_gets_nothing_into_the_sink(
    api: Server, install: Callable[..., Installation]
) -> None:
    first = install(url=api.url, streams=["products"])
    assert first.run("import", "a1").code == 0
    held = first.imported("a1", "products")
    second = install(url=api.url, streams=["products"])
    second.config["sinks"]["sink"]["path"] = str(first.sink_path)
    second.environment["KEY_1"] = api.key(2)
    api.reset()
    done = second.run("import", "a1", "--json")
    assert done.code == 1
    (run,) = done.json["imports"]["a1"]
    assert "but what sinks.sink holds under this name came from acct_" in run["paused"]
    assert api.stats().accounts[2].requests == 1  # whose key it is, and nothing else
    assert first.imported("a1", "products") == held
    # Nothing is noted of the wrong key: with the right one, all goes on.
    second.environment["KEY_1"] = api.key(1)
    assert second.run("import", "a1").code == 0
    assert first.imported("a1", "products") == held
