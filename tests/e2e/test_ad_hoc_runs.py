"""`crawlerd import NAME --since TIME --set KEY=VALUE`: what it reads, and that nothing else comes to know of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import QUICK, Installation, until
from support.mailchimp_api import FIRST_CHANGE, Mailchimp
from support.mailchimp_installation import news
from support.rest_api import RestApi

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.demo.server import Server

DESCRIPTION = """
name = "shop"
paginator = { type = "link_header" }
[endpoints.orders]
path = "/link/orders"
incremental = { field = "updated_at", parameter = "since" }
[endpoints.lines]
parent = "orders"
path = "/link/orders/{parent.id}/lines"
primary_key = ["order", "id"]
from_parent = { order = "id" }
incremental = { field = "updated_at", parameter = "since" }
[endpoints.labels]
path = "/link/labels"
tombstones = true
"""


def time_of(second: int) -> str:
    return datetime.fromtimestamp(FIRST_CHANGE + second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def believed(here: Installation) -> dict[str, list[tuple[Any, ...]]]:
    """All that a run leaves to the next one."""
    tables = ("cursor", "last_full", "parent", "setup")
    return {table: sorted(here.select(f"SELECT * FROM {table}")) for table in tables}


def numbers(here: Installation) -> dict[str, set[int]]:
    """Of the members in the sink, by list."""
    found: dict[str, set[int]] = {}
    for key, member in here.imported("news", "members", "mailchimp").items():
        number = int(member["email_address"].partition("@")[0].removeprefix("member"))
        found.setdefault(key.partition("/")[0], set()).add(number)
    return found


def gone(here: Installation) -> list[tuple[Any, ...]]:
    return here.select("SELECT id FROM mailchimp_members WHERE deleted_at IS NOT NULL", path=here.sink_path)


def test_lists_and_a_time_as_the_command_says(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 1500, "b": 1500, "c": 40}) as api:
        here = news(install, api, lists=["a"], sweep="1h")
        assert here.run("import", "news").code == 0
        before = believed(here)
        api.change("a", deletions=3)
        done = here.run("import", "news", "--since", time_of(1400), "--set", "lists=b,c", "--json")
        assert done.code == 0, done.stderr
        (run,) = done.json["imports"]["news"]
        assert run["ad_hoc"] == f"since {time_of(1400)}, lists=b,c"
        assert (run["full"], run["full_reason"]) == (False, None)
        found = numbers(here)
        assert found["b"] == set(range(1400 - 59, 1500))  # and the minute before
        assert "c" not in found
        assert len(found["a"]) == 1500
        assert gone(here) == []
        assert believed(here) == before
        assert f"run 2 is an ad hoc run: since {time_of(1400)}, lists=b,c" in here.run("status").stdout

        asked = len(api.requests)
        done = here.run("import", "news", "--json")
        (run,) = done.json["imports"]["news"]
        assert (run["full"], run["full_reason"], run["ad_hoc"]) == (False, None, None)
        assert sum(path.endswith("/members") for path in api.requests[asked:]) == 1


def test_without_a_time_it_goes_on_from_the_sync_points_and_moves_none(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 700, "b": 30}) as api:
        here = news(install, api, lists=["a"])
        assert here.run("import", "news").code == 0
        before = believed(here)
        api.change("a", edits=2)
        done = here.run("import", "news", "--set", "lists=a;b", "--set", "streams=members", "--json")
        assert done.code == 0, done.stderr
        assert done.json["imports"]["news"][0]["streams"]["members"]["seen"] < 200  # of a, what has changed
        assert len(numbers(here)["b"]) == 30  # of b, all
        assert believed(here) == before
        assert here.run("import", "news", "--full", "--set", "lists=a").code == 0
        assert gone(here) == []
        assert believed(here) == before


def test_the_first_run_of_all_may_be_one(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 300}) as api:
        here = news(install, api, schedule="1h")
        assert here.run("import", "news", "--since", "2020-09-13").code == 0
        assert believed(here) == {"cursor": [], "last_full": [], "parent": [], "setup": []}
        daemon = here.start("run")  # its schedule does not know of that run
        until(lambda: here.states() == ["completed", "completed"])
        daemon.finish() if not daemon.running else daemon.kill()
        assert len(numbers(here)["a"]) == 300
        (reason,) = here.select("SELECT why FROM run WHERE ad_hoc IS NULL")
        assert reason == ("no earlier run of it has ended clean",)


def test_killed_and_resumed_by_a_plain_command_it_is_still_one(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 300, "b": 9_000}, latency=0.02) as api:
        here = news(install, api, lists=["a"])
        assert here.run("import", "news").code == 0
        before = believed(here)
        command = ("import", "news", "--since", time_of(-100), "--set", "lists=b")
        for _ in range(3):
            asked = len(api.requests)
            running = here.start(*command)
            until(lambda asked=asked: len(api.requests) >= asked + 3 or not running.running)  # noqa: B023 - it ends within the turn
            assert running.running
            running.kill()
        done = here.run("import", "news", "--json")
        assert done.code == 0
        assert done.json["imports"]["news"][0]["ad_hoc"] == f"since {time_of(-100)}, lists=b"
        assert numbers(here)["b"] == set(range(9_000))
        assert believed(here) == before
        here.assert_conserved()


def test_a_description_whose_lists_take_a_time(install: Callable[..., Installation]) -> None:
    with RestApi() as api:
        orders = [{"id": f"o{number}", "updated_at": time_of(number)} for number in range(30)]
        api.lists |= {"/orders": orders, "/labels": [{"id": "x"}]}
        api.lists["/orders/*/lines"] = lambda order: [
            {"id": f"l{second}", "updated_at": time_of(second)} for second in range(int(order[1:]), 30)
        ]
        here = install(accounts=0)
        (here.folder / "shop.toml").write_text(DESCRIPTION)
        here.config["accounts"]["acme"] = {"source": "rest", "description": "shop.toml", "base_url": api.url, **QUICK}
        here.config["imports"]["acme"] = {"account": "acme", "sink": "sink", "streams": ["*"]}
        refused = here.run("import", "acme", "--since", time_of(20))
        assert refused.code == 78
        assert "shop cannot ask for what has changed since a time in labels" in refused.stderr
        assert "--stream orders --stream lines" in refused.stderr
        assert not api.requests
        only = ("--set", "streams=orders,lines")
        assert here.run("import", "acme", "--since", time_of(20), *only).code == 0
        assert set(here.imported("acme", "orders", "shop")) == {f"o{number}" for number in range(20, 30)}
        assert set(here.imported("acme", "lines", "shop")) == {
            f"o{number}/l{second}" for number in range(20, 30) for second in range(number, 30)
        }
        assert {each.query["since"] for each in api.requests} == {time_of(20)}
        assert believed(here)["cursor"] == believed(here)["parent"] == []
        done = here.run("import", "acme", "--json")
        assert done.code == 0
        assert len(here.imported("acme", "orders", "shop")) == 30
        before = believed(here)
        assert before["cursor"]
        assert before["parent"]
        assert here.run("import", "acme", "--since", time_of(5), *only).code == 0
        assert believed(here) == before


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--since", "yesterday"], 2, '--since: "yesterday" is not a date or time; write 2026-01-31'),
        (["--since", "9000-01-01"], 2, '--since: "9000-01-01" is in the future'),
        (["--since", "0001-01-01T00:00:00+05:00"], 2, "is before 1970; use --full to read everything"),
        (["--since", "2020-01-01", "--full"], 2, "not both"),
        (["--set", "lists"], 2, '--set: "lists" is not a setting; write KEY=VALUE'),
        (["--set", "lists="], 2, "--set: lists has no value"),
        (["--set", "sink=other"], 2, "--set: sink cannot be set for one run"),
        (["--set", "schedule=1h"], 2, "--set: schedule cannot be set for one run; change it in the configuration"),
        (["--set", "deliver.path=/x"], 2, "--set: deliver.path cannot be set for one run"),
        (["--set", "lists=a", "--set", "lists=b"], 2, "--set: lists is set twice"),
        (["--set", "listz=a"], 78, "listz"),
        (["--set", "streams=customers"], 78, '"customers" is not a stream of mailchimp'),
        (["--set", "sweep=soon"], 78, '"soon" is not a duration'),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(
    install: Callable[..., Installation], options: list[str], code: int, words: str
) -> None:
    with Mailchimp({"a": 3}) as api:
        here = news(install, api)
        done = here.run("import", "news", *options)
        assert done.code == code
        assert words in " ".join(done.stderr.split())
        assert not api.requests


def test_a_source_that_cannot_ask_so_says_so(install: Callable[..., Installation], api: Server) -> None:
    here = install(accounts=1, url=api.url)
    done = here.run("import", "--all", "--since", "2020-01-01")
    assert done.code == 78
    assert "--since: the source stripe cannot ask for what has changed since a time" in done.stderr
    assert here.run("import", "--all").code == 0
