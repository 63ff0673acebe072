"""`crawlerd why` names what is wrong, in situations that are made for it."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, QUICK, Installation, metrics_of, until
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ITEMS = """
name = "shop"
[endpoints.orders]
path = "/orders"
[endpoints.lines]
parent = "orders"
path = "/orders/{parent.id}/lines"
"""


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


def shop(install: Callable[..., Installation], url: str, **account: Any) -> Installation:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(ITEMS)
    here.config["accounts"]["initech"] = {"source": "rest", "description": "source.toml", "base_url": url, **account}
    here.config["imports"]["nightly"] = {"account": "initech", "sink": "sink", "streams": ["*"], "schedule": "1d"}
    return here


TIME = r"([A-Z][a-z]+ \d+ )?[0-9:]+"  # with the date, if it is another day


def lines(answer: Callable[[Request], Answer | None]) -> Callable[[Request], Answer]:
    """Twenty orders; `answer` is that of the lists below them, None for a good one."""

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(20)])
        return answer(request) or Answer([{"id": "l"}])

    return script


def asked(here: Installation, *words: str) -> dict[str, Any]:
    """Who waits for what, and the sentences under `said`."""
    answer = here.run("why", *words, "--json")
    if answer.code:  # nothing has begun yet
        return {"said": answer.stderr}
    told = answer.json
    return {"said": " ".join(told["sentences"])} | {each["who"]: each["reason"] for each in told["waits"]}


def reason(here: Installation, who: str, wanted: str) -> str:
    """What is said when that is the reason of `who`."""
    told: dict[str, Any] = until(lambda: (found := asked(here, "nightly")).get(who) == wanted and found, seconds=40)
    return str(told["said"])


@pytest.mark.parametrize(
    ("account", "answer", "wanted", "words"),
    [
        ({"limits": ["5/hour"]}, None, "quota", "5 of 5 requests of the hour are used"),
        (NO_LIMITS, Answer({}, 429, {"Retry-After": "600"}), "throttled", "the API has asked to wait"),
        ({"limits": ["1/20 seconds"]}, None, "limit", "waits (limit): its "),
        ({**NO_LIMITS, "concurrency": 1}, "hang", "importing", "requests are under way"),
        ({**NO_LIMITS, "outage_probe": "1s"}, "away", "outage", "does not answer"),
    ],
)
def test_a_daemon_says_what_an_account_waits_for(
    api: RestApi,
    install: Callable[..., Installation],
    account: dict[str, Any],
    answer: Any,
    wanted: str,
    words: str,
) -> None:
    hanging = threading.Event()

    def answered(request: Request) -> Answer | None:
        if answer == "hang":
            hanging.wait(60)
        return answer if isinstance(answer, Answer) else None

    api.script = lines(answered)
    account.pop("outage_probe", None)
    here = shop(install, api.url, **account)
    try:
        daemon = here.start("run")
        if answer == "away":
            until(lambda: api.asked("/orders"))
            api.__exit__()
        said = reason(here, "account initech", wanted)
        assert words in said, said
        assert "run 1 of import nightly is under way: tasks" in said
        assert asked(here, "account", "initech")["account initech"] == wanted
        shown = re.compile(rf"\n1 +nightly +{wanted}( until {TIME})? +{TIME} ")
        until(lambda: shown.search(here.run("status").stdout))  # a probe may be under way
        until(lambda: metrics_of(daemon)[f'crawlerd_accounts{{state="{wanted}"}}'] == 1)
        found = metrics_of(daemon)
        assert found['crawlerd_imports{state="running"}'] == 1
        assert found['crawlerd_import_open_tasks{import="nightly"}'] > 0
        of_quota = {'crawlerd_quota_used_ratio{account="initech",window="5/hour"}': 1.0}
        quotas = {name: value for name, value in found.items() if "quota_used" in name}
        assert quotas == (of_quota if wanted == "quota" else {})
        assert found["crawlerd_breakers_open"] == (wanted == "outage")
        assert (found['crawlerd_attempt_errors_total{error="connection",source="shop"}'] > 0) == (wanted == "outage")
        for family in (
            'throttles_total{reason="bucket",source="shop"}',
            'attempt_errors_total{error="throttled",source="shop"}',
            'requests_total{source="shop",status="429"}',
        ):
            assert (found[f"crawlerd_{family}"] > 0) == (wanted == "throttled")
        daemon.send(signal.SIGKILL)
        daemon.finish()
        assert (
            "no crawlerd works on it: start the daemon, or `crawlerd import nightly`" in asked(here, "nightly")["said"]
        )
    finally:
        hanging.set()


def test_a_refused_key_is_named(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: Answer({"error": "key revoked"}, 401))
    here = shop(install, api.url, **NO_LIMITS)
    here.start("run")
    said = reason(here, "account initech", "refused")
    assert "HTTP 401" in said
    assert "Correct the key" in said


def test_of_an_import_in_the_foreground_it_says_what_is_on_disk(
    api: RestApi, install: Callable[..., Installation]
) -> None:
    """Such an import cannot be asked. The outage is that of the whole origin, since no other account is in use."""
    api.script = lines(lambda request: Answer({}, 503))  # of lists below orders, until there is no answer at all
    here = shop(install, api.url, **NO_LIMITS)
    importing = here.start("import", "nightly")
    until(lambda: api.asked("/orders"))
    api.__exit__()
    assert "does not answer" in reason(here, "account initech", "outage")
    importing.send(signal.SIGINT)
    importing.finish()
    assert asked(here, "account", "initech")["account initech"] == "outage"


@pytest.mark.parametrize(
    ("limit", "wanted", "words"),
    [
        ("5/hour", "quota", "5 of 5 requests of the hour are used"),  # it notes that, with all that it commits
        ("1/20 seconds", "workers", "an import in the foreground works on it, and only the daemon can say more"),
    ],
)
def test_of_an_import_in_the_foreground_it_does_not_guess(
    api: RestApi, install: Callable[..., Installation], limit: str, wanted: str, words: str
) -> None:
    api.script = lines(lambda request: None)
    here = shop(install, api.url, limits=[limit])
    importing = here.start("import", "nightly")
    until(lambda: api.requests)
    assert words in reason(here, "account initech", wanted)
    importing.send(signal.SIGINT)
    importing.finish()


def test_a_failed_task_waits_for_its_next_try(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: Answer({}, 500) if request.path == "/orders/3/lines" else None)
    here = shop(install, api.url, **NO_LIMITS, retry_base="1h", retry_cap="1h")  # the wait is a random share of it
    here.start("run")
    told: dict[str, Any] = until(lambda: (found := asked(here, "run", "1")).get("run 1") == "retry" and found)
    assert "waiting for a retry" in told["said"]
    assert "the next attempt of a task: HTTP 500" in told["said"]
    (number,) = here.select("SELECT seq FROM delayed")[0]
    assert "its next attempt, after 1 that failed: HTTP 500" in asked(here, "task", str(number))["said"]


def test_what_has_ended_is_said_to_have_ended(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: Answer({}, 404) if request.path == "/orders/3/lines" else None)
    here = shop(install, api.url, **QUICK)
    assert here.run("import", "nightly").code == 3
    assert "run 1 of import nightly has ended: completed with dead letters" in asked(here, "nightly")["said"]
    (letter,) = here.run("dead", "list", "--json").json
    assert "is a dead letter after 1 attempt:" in asked(here, "task", str(letter["id"]))["said"]
    for words in (["nowhere"], ["run", "99"], ["task", "99999"], ["account", "nobody"]):
        missing = here.run("why", *words)
        assert missing.code == 1
        assert "there is no" in missing.stderr or "does not exist" in missing.stderr
    assert here.run("why", "planet", "mars").code == 2


def test_a_sink_that_cannot_be_opened_is_named(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: None)
    here = shop(install, api.url, **QUICK)
    assert here.run("import", "nightly").code == 0
    here.config["imports"]["nightly"]["schedule"] = "1s"
    kept = here.sink_path.rename(here.sink_path.with_name("kept.db"))
    here.sink_path.mkdir()
    here.start("run")
    said = reason(here, "import nightly", "sink")
    assert "it could not start: sinks.sink:" in said
    assert kept.exists()


def test_without_a_daemon_what_the_files_know_is_said(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: Answer({"error": "key revoked"}, 401))
    here = shop(install, api.url, **NO_LIMITS)
    daemon = here.start("run")
    reason(here, "account initech", "refused")
    daemon.send(signal.SIGKILL)
    daemon.finish()
    told = asked(here, "nightly")
    assert told["import nightly"] == "workers"
    assert told["account initech"] == "refused"


def test_a_daemon_that_hangs_is_named(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: None)
    here = shop(install, api.url, limits=["5/hour"])
    daemon = here.start("run")
    reason(here, "account initech", "quota")
    here.constants[Constant.CONTROL_ANSWER_SECONDS] = 0.5
    daemon.send(signal.SIGSTOP)
    hung = here.run("why", "nightly")
    assert hung.code == 69
    assert "the daemon does not answer: it hangs" in hung.stderr
    status = here.run("status")
    assert "held up: the daemon does not answer: it hangs" in status.stdout
    assert "nightly" in status.stdout
    daemon.send(signal.SIGCONT)


def test_a_used_up_quota_is_named_after_the_daemon_has_died(api: RestApi, install: Callable[..., Installation]) -> None:
    """And whoever raises it and starts the daemon again need not wait for its end."""
    api.script = lines(lambda request: None)
    here = shop(install, api.url, limits=["5/hour"])
    daemon = here.start("run")
    reason(here, "account initech", "quota")
    until(lambda: here.select("SELECT count(*) FROM bucket WHERE reason = 'quota'") != [(0,)])
    daemon.send(signal.SIGKILL)
    daemon.finish()
    for words in (["account", "initech"], ["nightly"]):
        told = asked(here, *words)
        assert told["account initech"] == "quota", told
        assert "5 of 5 requests of the hour are used, since" in told["said"]
    (line,) = here.run("accounts", "--waits-for", "quota", "--prefix", "ini", "--json").json["accounts"]
    assert (line["name"], line["waits"]["reason"]) == ("initech", "quota")
    here.config["accounts"]["initech"]["limits"] = ["50/hour"]
    here.start("run")
    until(lambda: here.states() == ["completed"], seconds=30)


def test_a_refused_key_and_a_pause_are_both_named(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: Answer({"error": "key revoked"}, 401))
    here = shop(install, api.url, **NO_LIMITS)
    daemon = here.start("run")
    reason(here, "account initech", "refused")
    assert here.run("pause", "account", "initech", "--reason", "they move").code == 0
    both = r"HTTP 401.*; besides, account initech is paused by \w+: they move"
    until(lambda: re.search(both, asked(here, "account", "initech")["said"]))
    daemon.send(signal.SIGKILL)
    daemon.finish()
    told = asked(here, "account", "initech")
    assert told["account initech"] == "refused"
    assert re.search(both, told["said"])
