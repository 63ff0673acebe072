"""`crawlerd status` with its options, `crawlerd imports`, and the metric of accounts, in situations made for them."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from support.installation import NO_LIMITS, Installation, metrics_of, until
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


def checked(here: Installation) -> list[str]:
    """What is wrong."""
    done = here.run("status", "--check")
    assert done.code == (1 if done.stdout else 0), done
    return done.stdout.splitlines()


def narrow(here: Installation) -> str:
    text = here.run("status").stdout
    assert [line for line in text.splitlines()[1:] if len(line) > 80] == []
    return text


NO_DAEMON = "crawlerd: no daemon runs, so nothing starts by its schedule: start one with `crawlerd run`"


def test_all_is_well_and_then_the_daemon_is_gone(api: RestApi, install: Callable[..., Installation]) -> None:
    serve(api, 3)
    here = shop(install, api, {"orders": ["orders", "lines"], "stores": ["stores"]}, **NO_LIMITS)
    here.config["imports"]["orders"]["schedule"] = "1d"
    assert checked(here) == [NO_DAEMON]
    assert re.search(r"\norders +has not run yet\n", here.run("imports").stdout)
    told = here.run("why", "orders")
    assert told.stdout.startswith("import orders has not run yet; it is configured in crawlerd.toml.\n")
    assert "account acme has not been used yet; it is configured in crawlerd.toml, for orders, stores" in (
        here.run("why", "account", "acme").stdout
    )

    daemon = here.start("run")
    until(lambda: here.states() == ["completed"])
    assert checked(here) == []
    text = narrow(here)
    assert "stores" not in text  # it starts only on demand, so nothing is missing
    assert re.search(r"\norders +1 +completed +([A-Z][a-z]+ \d+ )?[0-9:]+ +6 +\d+ s +[A-Z][a-z]+ \d+ [0-9:]+\n", text)
    assert re.search(r"\nstores +has not run yet +on demand\n", here.run("imports").stdout)
    assert "It has no `schedule`: `crawlerd import stores` starts it." in here.run("why", "stores").stdout
    assert "accounts: 1 idle" in text
    found = metrics_of(daemon)
    assert found['crawlerd_accounts{state="idle"}'] == 1
    assert sum(count for name, count in found.items() if name.startswith("crawlerd_accounts{")) == 1
    daemon.send(signal.SIGKILL)
    daemon.finish()
    assert checked(here) == [NO_DAEMON]


def test_what_needs_a_look_is_named(api: RestApi, install: Callable[..., Installation]) -> None:
    """A key that is refused, a sink that cannot be opened, and an import that is not configured any more."""
    opened = threading.Event()

    def script(request: Request) -> Answer:
        if request.path.startswith("/stores"):
            opened.wait(60)
        return Answer([{"id": number} for number in range(3)])

    api.script = script
    here = shop(install, api, {"orders": ["orders"], "stores": ["stores", "shelves"]}, **NO_LIMITS)
    here.config["imports"]["stores"]["schedule"] = "1d"
    daemon = here.start("run")
    try:
        until(lambda: api.asked("/stores"))
        assert re.search(r"\n1 +stores +importing +([A-Z][a-z]+ \d+ )?[0-9:]+ +0 +1 ", narrow(here))
        assert here.run("runs", "--state", "interrupted", "--json").json["runs"] == []
        daemon.send(signal.SIGKILL)
        daemon.finish()
    finally:
        opened.set()
    assert checked(here)[0] == "crawlerd: 1 run interrupted: start the daemon, or `crawlerd import stores`"
    (run,) = here.run("runs", "--state", "interrupted", "--json").json["runs"]
    assert run["import"] == "stores"
    assert here.run("runs", "--state", "running", "--json").json["runs"] == []
    assert re.search(r"\n1 +stores +interrupted ", narrow(here))

    del here.config["imports"]["stores"]
    (here.folder / "taken").mkdir()
    here.config["sinks"]["broken"] = {"type": "sqlite", "path": "taken"}
    here.config["imports"]["new"] = {"account": "acme", "sink": "broken", "streams": ["orders"], "schedule": "1d"}
    here.config["imports"]["orders"]["schedule"] = "1d"
    api.script = lambda request: Answer({"error": "key revoked"}, 401)
    here.start("run")
    wanted = [
        r"import new: cannot start: .*taken",
        r"account acme: refused: .*HTTP 401",
        r"import stores: no longer configured, but a run has not ended",
    ]
    until(lambda: all(re.search(each, "\n".join(checked(here))) for each in wanted))
    assert here.run("pause", "account", "acme", "--reason", "they move").code == 0
    text = " ".join(narrow(here).split())
    assert "account acme: paused by root: they move" in text or "account acme: paused by" in text
    assert not any("paused by" in line and "besides" not in line for line in checked(here))  # a person has wanted that
    assert re.search(r"\nnew +.*cannot start\n", here.run("imports").stdout)
    assert re.search(r"\nstores +1 +running .*not configured\n", here.run("imports").stdout)


def test_watching_ends_with_ctrl_c(api: RestApi, install: Callable[..., Installation]) -> None:
    serve(api, 1)
    here = shop(install, api, {"stores": ["stores"]}, **NO_LIMITS)
    assert here.run("status", "--watch").code == 2  # no terminal
    assert here.run("import", "stores").code == 0
    here.under = ["sh", "-c", 'exec "$@" >&2', "sh"]
    watching = here.start_on_terminal("status", "--watch")
    until(lambda: watching.stderr.count("crawlerd is not running") >= 2)  # drawn twice
    watching.press(b"\x03")
    done = watching.finish()
    assert done.code == 0
    assert "Traceback" not in done.stderr


def test_a_run_shows_its_rate_against_the_limit(api: RestApi, install: Callable[..., Installation]) -> None:
    serve(api, 1_000)
    here = shop(install, api, {"orders": ["orders", "lines"]}, limits=["20/second"])
    here.config["imports"]["orders"]["schedule"] = "1d"
    here.start("run")

    def rate() -> float:
        found = re.search(r"\n1 +orders .* ([0-9.]+)/20[ \n]", here.run("status").stdout)
        return float(found[1]) if found else 0.0

    assert 5 <= until(lambda: (shown := rate()) >= 5 and shown) <= 21  # its first seconds count, too


def test_a_locked_sink_and_dead_letters_are_named(api: RestApi, install: Callable[..., Installation]) -> None:
    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": number} for number in range(500)])
        return Answer({}, 400) if request.path == "/orders/7/lines" else Answer([{"id": "l"}])

    api.script = script
    here = shop(install, api, {"orders": ["orders", "lines"]}, limits=["50/second"])
    here.config["imports"]["orders"]["schedule"] = "1d"
    daemon = here.start("run")
    until(lambda: here.sink_path.exists() and len(api.requests) > 20)
    with closing(apsw.Connection(str(here.sink_path))) as another:
        another.set_busy_timeout(10_000)
        another.execute("BEGIN EXCLUSIVE")
        until(lambda: any(re.match("run 1: sink: .*locked", line) for line in checked(here)), seconds=60)
        until(lambda: metrics_of(daemon)['crawlerd_accounts{state="sink"}'] == 1)
        found = metrics_of(daemon)
        assert found['crawlerd_sink_held_up{sink="sink"}'] == found["crawlerd_trouble"] == 1
        assert asked_reason(here) == "sink"
    until(lambda: here.states() == ["completed with dead letters"], seconds=60)
    assert any(line.startswith("import orders: 1 dead letter of run 1: `crawlerd dead list") for line in checked(here))
    after = metrics_of(daemon)
    assert after['crawlerd_sink_held_up{sink="sink"}'] == after["crawlerd_trouble"] == 0
    waited = 'crawlerd_task_stage_seconds_total{stage="sink"}'
    assert after[waited] > found[waited] + 1
    assert after['crawlerd_runs_total{result="completed_with_dead_letters",source="shop"}'] == 1
    assert after['crawlerd_attempt_errors_total{error="permanent",source="shop"}'] == 1
    assert after['crawlerd_tasks{state="dead"}'] == 1
    assert after['crawlerd_log_messages_total{level="error"}'] >= 1


def asked_reason(here: Installation) -> str:
    (line,) = here.run("accounts", "--json").json["accounts"]
    return str(line["waits"]["reason"])
