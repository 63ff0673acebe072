"""`crawlerd why` names what is wrong, in situations that are made for it."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, QUICK, Installation, until
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
        ({"limits": ["5/hour"]}, None, "quota", "all of its quota of 5 per 1 hour is used; it goes on at"),
        (NO_LIMITS, Answer({}, 429, {"Retry-After": "600"}), "throttled", "the API has asked to wait; it goes on at"),
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
        assert re.search(rf"\n1 +nightly +running .* {wanted}( until 20[0-9: -]+)?\n", here.run("status").stdout)
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
    assert "Mend the key" in said


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


def test_of_an_import_in_the_foreground_it_does_not_guess(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: None)
    here = shop(install, api.url, limits=["5/hour"])
    importing = here.start("import", "nightly")
    until(lambda: api.requests)
    said = reason(here, "account initech", "workers")
    assert "an import in the foreground works on it, and only the daemon can say more" in said
    importing.send(signal.SIGINT)
    importing.finish()


def test_a_failed_task_waits_for_its_next_try(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: Answer({}, 500) if request.path == "/orders/3/lines" else None)
    here = shop(install, api.url, **NO_LIMITS, retry_base="60s", retry_cap="60s")
    here.start("run")
    told: dict[str, Any] = until(lambda: (found := asked(here, "run", "1")).get("run 1") == "retry" and found)
    assert "waiting for another try" in told["said"]
    assert "the next try of a task: Transient: HTTP 500" in told["said"]
    (number,) = here.select("SELECT seq FROM delayed")[0]
    assert "its next try, after 1 that failed: Transient: HTTP 500" in asked(here, "task", str(number))["said"]


def test_what_has_ended_is_said_to_have_ended(api: RestApi, install: Callable[..., Installation]) -> None:
    api.script = lines(lambda request: Answer({}, 404) if request.path == "/orders/3/lines" else None)
    here = shop(install, api.url, **QUICK)
    assert here.run("import", "nightly").code == 3
    assert "run 1 of import nightly has ended as completed with dead letters" in asked(here, "nightly")["said"]
    (letter,) = here.run("dead", "list", "--json").json
    assert "is a dead letter after 1 attempts" in asked(here, "task", str(letter["id"]))["said"]
    for words in (["nowhere"], ["run", "99"], ["task", "99999"], ["account", "nobody"]):
        missing = here.run("why", *words)
        assert missing.code == 1
        assert "there is no" in missing.stderr or "there is none" in missing.stderr
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
    assert hung.code == 1
    assert "the daemon does not answer: it hangs" in hung.stderr
    status = here.run("status")
    assert "held up: the daemon does not answer: it hangs" in status.stdout
    assert "nightly" in status.stdout
    daemon.send(signal.SIGCONT)
