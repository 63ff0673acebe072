"""People lower the limits of an account for a time, and the server sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import Installation, until
from support.rest_api import RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANY = 2_000


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        serve(api, MANY)
        yield api


@pytest.fixture
def here(install: Callable[..., Installation], api: RestApi) -> Installation:
    return shop(install, api, {"orders": ["orders", "lines"]}, limits=["100/second"])


def lower(here: Installation, *words: str) -> None:
    done = here.run("accounts", "limit", "acme", *words, "--reason", "their request")
    assert done.code == 0, done.stderr


def most(api: RestApi, seconds: float, since: float) -> int:
    """Requests within such a time, at the busiest moment."""
    times = sorted(each.at for each in list(api.requests) if each.at >= since)
    return max((sum(start <= at < start + seconds for at in times) for start in times), default=0)


def more(api: RestApi, count: int) -> float:
    """Waits for so many more requests. The time from which on they came."""
    before, since = len(api.requests), time.monotonic()
    until(lambda: len(api.requests) >= before + count)
    return since


@pytest.mark.alone
def test_a_lowered_limit_holds_at_once_over_a_kill_and_ends_by_itself(here: Installation, api: RestApi) -> None:
    here.config["imports"]["orders"]["schedule"] = "1d"
    daemon = here.start("run")
    more(api, 30)
    lower(here, "5/second", "--for", "5s")
    lowered = time.monotonic()
    time.sleep(0.3)  # what was on its way
    more(api, 6)
    daemon.kill()
    here.start("run")
    until(lambda: time.monotonic() > lowered + 4)
    assert 8 < len([each for each in api.requests if lowered + 0.3 < each.at]) <= 25
    assert most(api, 1.0, lowered + 0.3) <= 5
    until(lambda: most(api, 0.5, lowered + 5) > 20)  # as configured again
    acts = here.run("audit").stdout
    assert "lower limit" in acts
    assert "crawlerd" in acts.splitlines()[-1]  # which has ended it
    assert here.run("accounts", "show", "acme", "--json").json["lowered"] == []


@pytest.mark.alone
def test_the_lower_one_holds_of_two_and_a_bucket_by_itself(here: Installation, api: RestApi) -> None:
    here.config["imports"]["orders"]["schedule"] = "1d"
    here.config["accounts"]["acme"]["limits"] = ["10/second"]
    here.start("run")
    more(api, 5)
    for limits in (["1000/second"], ["10/second"], ["700/minute", "40000/hour"]):
        refused = here.run("accounts", "limit", "acme", *limits, "--reason", "theirs")
        assert refused.code == 1
        assert "would not lower anything; 10/second is configured" in refused.stderr
    lower(here, "1000/second", "3000/day")  # the day's does
    since = more(api, 15)
    assert most(api, 1.0, since) <= 10
    lower(here, "4/second", "--bucket", "lines")
    lower(here, "2/second", "50/minute")
    since = more(api, 1) + 0.3
    more(api, 6)
    assert most(api, 1.0, since) <= 2
    assert here.run("accounts", "limit", "acme", "--off").code == 0
    since = more(api, 1) + 0.3
    more(api, 10)
    assert 2 < most(api, 1.0, since) <= 4  # of the bucket
    assert here.run("accounts", "limit", "acme", "--off").code == 1
    assert here.run("accounts", "limit", "acme", "--bucket", "lines", "--off").code == 0
    since = more(api, 20)
    assert most(api, 1.0, since) > 4


def test_it_is_told_wherever_somebody_looks(here: Installation, api: RestApi) -> None:
    here.config["imports"]["orders"]["schedule"] = "1d"
    here.start("run")
    more(api, 5)
    lower(here, "1/second", "--for", "2h")
    for words in (("why", "orders"), ("why", "account", "acme"), ("accounts", "show", "acme"), ("status",)):
        told = here.run(*words).stdout
        assert "limit lowered by" in told, words
        assert "to 1/second: their request" in told, words
    assert "acme" in here.run("accounts", "--needs-a-look").stdout


def test_without_a_daemon_the_files_take_it(here: Installation, api: RestApi) -> None:
    serve(api, 30)
    assert here.run("import", "orders").code == 0
    lower(here, "5/second", "100/hour")
    shown: dict[str, Any] = here.run("accounts", "show", "acme", "--json").json
    assert shown["lowered"][0]["limits"] == ["5/second", "100/hour"]
    assert shown["lowered"][0]["until"] is None
    since = time.monotonic()
    assert here.run("import", "orders", "--full", "--for", "3s").code == 3
    assert 4 < len([each for each in api.requests if each.at >= since]) <= 20
    assert most(api, 1.0, since) <= 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "5/second", "--reason", "x"], "there is no account none"),
        (["acme", "5/secnd", "--reason", "x"], '"5/secnd" is not a limit'),
        (["acme", "auto", "--reason", "x"], "auto is not a lower limit"),
        (["acme", "5/second burst 10", "--reason", "x"], "cannot have a burst"),
        (["acme", "--reason", "x"], "give a limit"),
        (["acme", "5/second"], "--reason"),
        (["acme", "5/second", "--off"], "--off"),
        (["acme", "5/second", "--bucket", "none", "--reason", "x"], "there is no bucket acme/none"),
        (["acme", "5/second", "--reason", "x", "--for", "1h", "--until", "2099-01-01"], "not both"),
        (["acme", "5/second", "--reason", "x", "--until", "2001-01-01"], "is over"),
    ],
)
def test_what_makes_no_sense_is_refused(here: Installation, api: RestApi, words: list[str], message: str) -> None:
    serve(api, 1)
    assert here.run("import", "orders").code == 0
    done = here.run("accounts", "limit", *words)
    assert done.code in (1, 2)
    assert message in done.stderr
    assert here.run("accounts", "show", "acme", "--json").json["lowered"] == []
