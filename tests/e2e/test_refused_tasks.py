"""One task that is always refused among others, and limits that concern all: imports as the server sees them."""

from __future__ import annotations

import json
import random
import re
import signal
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import QUICK, Installation, until
from support.rest_api import Answer, Request, RestApi
from support.shops import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINES = """
name = "shop"
[endpoints.orders]
path = "/orders"
[endpoints.lines]
parent = "orders"
path = "/orders/{parent.id}/lines"
"""
ONE_LIST = """
name = "shop"
[endpoints.items]
path = "/items"
"""


@pytest.fixture
def rest_api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


def installed(install: Callable[..., Installation], url: str, description: str = LINES, **account: Any) -> Installation:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(description)
    here.config["accounts"]["a"] = {
        "source": "rest", "description": "source.toml", "base_url": url, **QUICK, **account
    }  # fmt: skip
    here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": ["*"]}
    return here


def orders(count: int, refused: Callable[[Request, int], Answer | None]) -> Callable[[Request], Answer]:
    """Each order has a line. refused: the answer to a list of lines, by the order's number; None for a good one."""

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(count)])
        number = int(request.path.split("/")[2])
        return refused(request, number) or Answer([{"id": f"l{number}"}])

    return script


@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {"Retry-After": "1"}), (503, {"Retry-After": "1"}), (503, {"Retry-After": "0"}), (429, {})],
)
@pytest.mark.parametrize("limits", [["20/second"], []])
def test_what_is_always_refused_ends_as_a_dead_letter_and_holds_up_nobody(
    rest_api: RestApi, install: Callable[..., Installation], status: int, headers: dict[str, str], limits: list[str]
) -> None:
    # The first refusal of the second one may count as everybody's; and two of a few may be chance.
    bad = {3, 13}
    rest_api.script = orders(40, lambda request, number: Answer({}, status, headers) if number in bad else None)
    here = installed(install, rest_api.url, limits=limits, attempts=3)
    done = here.run("import", "--all", "--json")
    assert done.code == 3, done
    assert len(here.imported("a", "lines", "shop")) == 38
    dead = json.loads(here.run("dead", "list", "--json").stdout)
    assert len(dead) == 2
    told = [re.search(r"refused (\d) times while others passed: Throttled: HTTP", each["error"]) for each in dead]
    assert all(told), dead
    for number in bad:
        asked = rest_api.asked(f"/orders/{number}/lines")
        assert 3 <= len(asked) <= 5
        if headers.get("Retry-After") == "1":
            assert all(later.at - earlier.at >= 1.0 for earlier, later in pairwise(asked))


def test_where_nothing_passes_no_attempt_is_lost(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    answered = iter(range(1000))
    rest_api.script = orders(
        8, lambda request, number: Answer({}, 429, {"Retry-After": "1"}) if next(answered) < 6 else None
    )
    here = installed(install, rest_api.url, limits=["50/second"], attempts=1)
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    assert len(here.imported("a", "lines", "shop")) == 8
    (run,) = done.json["imports"]["a"]
    assert run["throttled"] == 6


def test_random_refusals_bury_nothing_and_do_not_stop_the_account(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    randomness = random.Random(5)
    rest_api.script = orders(
        400, lambda request, number: Answer({}, 429, {"Retry-After": "1"}) if randomness.random() < 0.02 else None
    )
    here = installed(install, rest_api.url, limits=["100/second"])
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    assert len(here.imported("a", "lines", "shop")) == 400
    asked = sorted(each.at for each in rest_api.requests if each.path.endswith("/lines"))
    pauses = [later - earlier for earlier, later in pairwise(asked) if later - earlier >= 0.9]
    (run,) = done.json["imports"]["a"]
    assert run["throttled"] >= 3
    assert len(pauses) <= 2  # but for the last refused ones, when nothing else is left


def test_a_refused_task_ends_though_the_daemon_is_killed_in_between(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    rest_api.script = orders(10, lambda request, number: Answer({}, 429, {"Retry-After": "1"}) if number == 3 else None)
    here = installed(install, rest_api.url, limits=["50/second"], attempts=4)
    importing = here.start("import", "--all")
    until(lambda: rest_api.asked("/orders/3/lines"))
    until(lambda: here.select("SELECT 1 FROM delayed WHERE refused = 1"))
    importing.send(signal.SIGKILL)
    importing.finish()
    before = rest_api.asked("/orders/3/lines")[-1].at
    done = here.run("import", "--all")
    assert done.code == 3, done
    asked = [each.at for each in rest_api.asked("/orders/3/lines")]
    assert len(asked) == 4
    assert asked[asked.index(before) + 1] - before >= 1.0
    assert "refused 4 times while others passed" in here.run("dead", "list", "--json").stdout


@pytest.mark.parametrize(
    ("rule", "headers", "body", "least"),
    [
        ('wait_header = "X-Reset"', {"X-Reset": "2"}, {}, 2.0),
        ('wait_header = "X-Reset"', {"X-Reset": "{seconds}"}, {}, 1.0),
        ('wait_header = "X-Reset"', {"X-Reset": "{milliseconds}"}, {}, 1.0),
        ('wait_header = "X-Reset"', {"X-Reset": "{iso}"}, {}, 1.0),
        ('wait_body = "error.wait"', {}, {"error": {"wait": 2}}, 2.0),
        ('wait_body = "error.wait"', {}, {"error": {"wait": "2s"}}, 2.0),
        ('wait = "1s"', {"Retry-After": "0"}, {}, 1.0),
        ('wait = "2s"', {"Retry-After": "1"}, {}, 2.0),
        ('wait = "1s"', {"Retry-After": "2"}, {}, 2.0),
    ],
)
def test_how_long_to_wait_is_read_where_the_rule_says(
    rest_api: RestApi,
    install: Callable[..., Installation],
    rule: str,
    headers: dict[str, str],
    body: dict[str, Any],
    least: float,
) -> None:
    def script(request: Request) -> Answer:
        if len(rest_api.asked("/items")) > 1:
            return Answer([{"id": 1}])
        over = datetime.now(UTC) + timedelta(seconds=2)
        stamp = over.timestamp()
        told = {"seconds": str(round(stamp)), "milliseconds": str(round(stamp * 1000)), "iso": over.isoformat()}
        return Answer(body, 403, {name: value.format(**told) for name, value in headers.items()})

    rest_api.script = script
    description = ONE_LIST + f'errors = [{{ status = 403, action = "throttle", {rule} }}]\n'
    done = installed(install, rest_api.url, description).run("import", "--all")
    assert done.code == 0, done
    first, second = (each.at for each in rest_api.asked("/items"))
    assert least <= second - first < 10


def test_an_absurd_wait_is_cut_and_told(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    rest_api.script = lambda request: (
        Answer([{"id": 1}])
        if len(rest_api.asked("/items")) > 1
        else Answer({}, 429, {"Retry-After": "Thu, 01 Jan 2099 00:00:00 GMT"})
    )
    here = installed(install, rest_api.url, ONE_LIST, max_wait="1s")
    done = here.run("import", "--all")
    assert done.code == 0, done
    first, second = (each.at for each in rest_api.asked("/items"))
    assert 1.0 <= second - first < 10


@pytest.mark.parametrize(
    "words",
    [
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "You have triggered an abuse detection mechanism. Please wait a few minutes before you try again.",
    ],
)
@pytest.mark.parametrize("headers", [{"X-RateLimit-Remaining": "4321"}, {"X-RateLimit-Remaining": "0"}])
def test_githubs_secondary_limits_are_waited_for_a_minute_and_then_longer(
    rest_api: RestApi, install: Callable[..., Installation], words: str, headers: dict[str, str]
) -> None:
    """With the description that ships, but for a minute that lasts two seconds."""
    shipped = (Path(__file__).parents[2] / "config/sources/github.toml").read_text()
    assert shipped.count('wait = "60s"') == 1
    rest_api.script = lambda request: Answer({"message": words}, 403, headers)
    here = installed(
        install,
        rest_api.url,
        shipped.replace('wait = "60s"', 'wait = "2s"'),
        variables={"org": "acme"},
        api_key={"env": "KEY"},
    )
    here.config["imports"]["a"]["streams"] = ["repositories"]
    here.environment["KEY"] = "github_pat_000000"
    importing = here.start("import", "--all")
    until(lambda: len(rest_api.requests) >= 3)
    importing.send(signal.SIGTERM)
    importing.finish()
    first, second, third = [each.at for each in rest_api.requests][:3]
    assert second - first >= 2.0
    assert third - second >= 4.0


def test_what_is_refused_again_and_again_lets_others_go_first(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    """One request at a time, and each refusal blocks the account: the refused tasks are the first in line each time."""
    wait = Answer({}, 429, {"Retry-After": "1"})
    rest_api.script = orders(7, lambda request, number: wait if number < 4 else None)
    here = installed(install, rest_api.url, concurrency=1, attempts=3)
    here.start("import", "--all", "--json")
    until(lambda: all(rest_api.asked(f"/orders/{number}/lines") for number in range(4, 7)), seconds=40)


def test_an_account_without_limits_asks_once_after_each_wait(install: Callable[..., Installation]) -> None:
    """However many threads there are; and all of them go on when it is answered."""
    open_ = threading.Event()

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(200)])
        return Answer([{"id": "l"}]) if open_.is_set() else Answer({}, 429, {"Retry-After": "1"})

    with RestApi(script) as api:
        here = shop(install, api, {"all": ["orders", "lines"]}, limits=[], attempts=3)
        here.config["daemon"] |= {"worker_processes": 1, "threads_per_process": 16}
        here.start("run").says("pid ")
        assert here.run("import", "all", "--no-wait").code == 0

        def waits() -> list[float]:
            times = [each.at for each in list(api.requests) if each.path != "/orders"]
            return [later - earlier for earlier, later in pairwise(times)]

        until(lambda: sum(wait > 0.7 for wait in waits()) >= 6, seconds=60)
        found = waits()
        first = next(number for number, wait in enumerate(found) if wait > 0.7)
        assert first < 20
        assert min(found[first:]) > 0.7, found
        open_.set()
        until(lambda: here.run("runs", "all", "--json").json["runs"][0]["state"] == "completed")
        times = [each.at for each in api.requests if each.path != "/orders"][-200:]
        assert times[-1] - times[1] < 10
