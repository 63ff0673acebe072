"""APIs that do not answer: stopped, hanging, failing. Nothing is lost, little is asked, and others go on as before."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from support.constants import Constant
from support.installation import QUICK, Installation, until
from support.relay import Answer, Relay
from support.rest_api import Answer as JsonAnswer
from support.rest_api import Request, RestApi
from support.shops import shop

from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOON = {Constant.OUTAGE_FIRST_PROBE: 0.2, Constant.OUTAGE_LONGEST_PROBE: 0.4, Constant.OUTAGE_STEP_SECONDS: 0.2}
COUNTED = {**SOON, Constant.OUTAGE_LONGEST_PROBE: 1.0}  # no two of these come while a test looks
DOWN = r"http://\S+ does not answer: "
BACK = r"http://\S+ answers again, after \d+ s"


class Failing:
    """A script for a relay: fails as it is told, and counts what it was asked meanwhile."""

    def __init__(self) -> None:
        self.how = ""
        self.asked = 0
        self._well = threading.Event()

    def __call__(self, path: str) -> Answer | None:
        if not self.how:
            return None
        self.asked += 1
        match self.how:
            case "hangs":
                self._well.wait(20)
                return None
            case "maintenance page":
                return Answer(200, b"<html>We will be back soon</html>", {"Content-Type": "text/html"})
            case status:
                return Answer(int(status))

    def recover(self) -> None:
        self.how = ""
        self._well.set()


@pytest.mark.parametrize("how", ["503", "500", "hangs", "maintenance page"])
def test_an_outage_costs_no_dead_letter_and_few_requests(how: str, install: Callable[..., Installation]) -> None:
    failing = Failing()
    with running(accounts=4, customers=40, rate=0, latency=0.01) as server, Relay(server.url, failing) as relay:
        here = install(
            url=relay.url,
            accounts=4,
            account={**QUICK, "attempts": 4, "request_timeout": "1s", "limits": ["40/second"]},
            daemon={"log_level": "warning"},
            constants=COUNTED,
        )
        importing = here.start("import", "--all", "--json")
        until(lambda: len(relay.seen) > 40)
        failing.how = how
        importing.says(DOWN)
        until(lambda: here.select("SELECT 1 FROM outage WHERE delay > 0.2"))  # the first probe has failed
        asked = failing.asked  # what was in flight before has arrived
        until(lambda: failing.asked >= asked + 3)  # probes
        assert failing.asked <= asked + 4
        assert relay.url in here.run("status").stdout
        failing.recover()
        done = importing.finish()
    assert done.code == 0, done.stderr
    assert sum(run["dead"] for runs in done.json["imports"].values() for run in runs) == 0
    here.assert_complete(4, 40)
    importing.says(BACK)
    told = [line for line in done.stderr.splitlines() if ", for account " not in line]  # one account may come first
    assert len(told) == 3, done.stderr
    assert "does not answer" not in here.run("status").stdout


def test_a_stopped_server_is_waited_for_over_a_kill_of_the_daemon(install: Callable[..., Installation]) -> None:
    with running(accounts=2, customers=60, rate=0, latency=0.01) as server:
        here = install(url=server.url, accounts=2, schedule="1h", constants=SOON)
        daemon = here.start("run")
        until(lambda: server.stats().accounts[2].requests >= 20)
        os.kill(server.pid, signal.SIGKILL)
        daemon.says(DOWN)
        until(lambda: here.select("SELECT 1 FROM outage WHERE account = 0"))
        daemon.kill()
        assert f"{server.url}: does not answer: " in " ".join(here.run("status").stdout.split())
        again = here.start("run")
        until(lambda: here.select("SELECT 1 FROM outage WHERE account = 0 AND delay > 0.2"))
    with running(accounts=2, customers=60, rate=0, port=urlsplit(server.url).port):
        again.says(BACK)
        until(lambda: here.states() == ["completed"] * 2)
        again.send(signal.SIGTERM)
        again.finish()
    here.assert_complete(2, 60)
    assert here.select("SELECT count(*) FROM dead") == [(0,)]


def test_an_api_that_is_not_there_yet_is_tried_until_it_is(install: Callable[..., Installation]) -> None:
    """Its guard is the probe: the account is not paused."""
    with running(accounts=1, customers=5, rate=0) as server:
        port = urlsplit(server.url).port
    here = install(url=server.url, account={**QUICK, "attempts": 2}, constants=SOON)
    importing = here.start("import", "a1", "--json")
    importing.says(DOWN)
    with running(accounts=1, customers=5, rate=0, port=port):
        done = importing.finish()
    assert done.code == 0
    assert "paused" not in done.stderr
    here.assert_complete(1, 5)


def test_a_run_that_was_given_up_says_what_to_do_with_its_dead_letters(install: Callable[..., Installation]) -> None:
    here = install(accounts=0, constants=SOON)
    (here.folder / "source.toml").write_text('name = "shop"\n[endpoints.items]\npath = "/items"\n')
    here.config["accounts"]["a"] = {
        "source": "rest", "description": "source.toml", "base_url": "http://127.0.0.1:9", **QUICK,
        "attempts": 2, "give_up_after": "1s",
    }  # fmt: skip
    here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": ["*"]}
    done = here.run("import", "a")
    assert done.code == 1
    assert "a: run 1 failed" in done.stdout
    advice = "some tasks are dead letters: see `crawlerd dead list`, then `crawlerd dead retry`"
    assert done.stdout.splitlines()[-1] == advice


@pytest.mark.parametrize("how", ["503", "500", "hangs", "maintenance page"])
def test_an_api_that_fails_from_the_start_is_tried_until_it_does_not(
    how: str, install: Callable[..., Installation]
) -> None:
    """A guard is the only request of its account: no other task can show whose fault it is."""
    failing = Failing()
    failing.how = how
    with running(accounts=1, customers=5, rate=0) as server, Relay(server.url, failing) as relay:
        account = {**QUICK, "attempts": 2, "request_timeout": "200ms"}
        here = install(url=relay.url, account=account, constants=SOON)
        importing = here.start("import", "a1", "--json")
        importing.says(DOWN)
        failing.recover()
        done = importing.finish()
    assert done.code == 0
    assert "paused" not in done.stderr
    assert "attempt" not in done.stderr.replace("lose no attempts", "")


def test_an_import_asks_again_before_it_gives_up_on_an_old_outage(install: Callable[..., Installation]) -> None:
    """The outage that is kept on disk is older than --wait at each further start."""
    with running(accounts=1, customers=5, rate=0) as server:
        port = urlsplit(server.url).port
    here = install(url=server.url, account=QUICK, constants=SOON)
    first = here.run("import", "a1", "--wait", "1s")
    assert first.code == 69
    assert f"no answer from {server.url}: cannot reach " in first.stdout
    again = here.run("import", "a1", "--wait", "1s")
    assert again.code == 69
    assert here.select("SELECT delay > 0.2 FROM outage WHERE account = 0") == [(1,)]
    with running(accounts=1, customers=5, rate=0, port=port):
        done = here.run("import", "a1", "--wait", "1s")
    assert done.code == 0, done.stderr
    here.assert_complete(1, 5)


@pytest.mark.parametrize("how", ["503", "hangs"])
def test_others_keep_their_rate(how: str, install: Callable[..., Installation]) -> None:
    """Three accounts of an API that fails, without a limit and with all the work there is, beside one of another."""
    failing = Failing()
    with (
        running(accounts=3, customers=200, rate=0) as bad,
        Relay(bad.url, failing) as relay,
        running(accounts=1, customers=400, rate=0) as good,
    ):
        here = install(
            accounts=4, url=relay.url, account={**QUICK, "request_timeout": "30s"}, schedule="1h", constants=SOON
        )
        here.config["accounts"]["a4"] |= {"base_url": good.url, "limits": ["50/second"]}
        here.environment["KEY_4"] = "sk_test_account_1"
        daemon = here.start("run")
        until(lambda: len(relay.seen) > 20 and good.stats().accounts[1].requests > 20)
        failing.how = how
        before = good.stats().accounts[1].requests
        until(lambda: good.stats().accounts[1].requests >= before + 200)  # four seconds' worth
        failing.recover()
        daemon.kill()


def test_a_task_that_always_fails_ends_while_the_rest_is_imported(install: Callable[..., Installation]) -> None:
    def script(path: str) -> Answer | None:
        return Answer(503) if path.startswith("/v1/refunds") else None

    with running(accounts=1, customers=40, rate=0) as server, Relay(server.url, script) as relay:
        here = install(url=relay.url, account={**QUICK, "attempts": 4}, constants=SOON)
        done = here.run("import", "a1", "--json")
    assert done.code == 3
    (run,) = done.json["imports"]["a1"]
    assert run["dead"] == 1
    assert DOWN not in done.stderr


def test_for_stops_an_import_that_goes_on_later(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=60, rate=0) as server:
        here = install(url=server.url, account={**QUICK, "limits": ["40/second"]})
        first = here.run("import", "a1", "--for", "1s", "--json")
        assert first.code == 3
        assert first.json["state"] == "stopped"
        assert first.json["imports"]["a1"][0]["state"] == "running"
        assert here.run("import", "a1").code == 0
    here.assert_complete(1, 60)


def test_a_time_that_cannot_be_read_is_named(install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9")
    for option in ("--for", "--wait"):
        done = here.run("import", "a1", option, "soon")
        assert done.code == 2
        assert f"crawlerd: {option}: " in done.stderr


NAME_SERVICE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (host != NULL && strcmp(host, "localhost") == 0) {
        for (int n = 0; n < 50 && access(getenv("NO_NAMES"), F_OK) == 0; n++)
            usleep(100000);
        if (access(getenv("NO_NAMES"), F_OK) == 0)
            return EAI_AGAIN;
        host = "127.0.0.1";
    }
    return real(host, port, hints, found);
}
"""


@pytest.fixture
def no_names(tmp_path: Path, install: Callable[..., Installation]) -> Path:
    """While this file is there, the name service swallows questions for localhost."""
    source, library = tmp_path / "names.c", tmp_path / "names.so"
    source.write_text(NAME_SERVICE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return tmp_path / "no-names"


def test_a_name_service_that_swallows_questions_is_an_outage(
    no_names: Path, install: Callable[..., Installation]
) -> None:
    with running(accounts=2, customers=100, rate=0) as server:
        here = install(url=server.url, accounts=2, account={**QUICK, "limits": ["30/second"]}, constants=SOON)
        here.config["accounts"]["a1"]["base_url"] = f"http://localhost:{urlsplit(server.url).port}"
        here.environment |= {"LD_PRELOAD": str(no_names.with_name("names.so")), "NO_NAMES": str(no_names)}
        no_names.touch()
        importing = here.start("import", "--all", "--json")
        until(lambda: server.stats().accounts[2].requests > 10)
        before = server.stats().accounts[2].requests
        until(lambda: server.stats().accounts[2].requests >= before + 90)  # three seconds' worth
        no_names.unlink()
        done = importing.finish()
    assert done.code == 0, done.stdout
    here.assert_complete(2, 100)


@pytest.mark.parametrize("poison", [range(4), range(36, 40), range(1)], ids=["first", "last", "one"])
def test_tasks_that_always_fail_do_not_prolong_an_outage(poison: range, install: Callable[..., Installation]) -> None:
    """They are the most urgent, and the first that are asked when the API is there again."""
    back = False

    def script(request: Request) -> JsonAnswer | None:
        if request.path == "/orders":
            return JsonAnswer([{"id": number} for number in range(40)])
        if len(api.requests) > 8 and not back:  # while most tasks are still to come
            return JsonAnswer({}, 503)
        number = int(request.path.split("/")[2])
        return JsonAnswer({}, 500) if number in poison else JsonAnswer([{"id": f"l{number}"}])

    with RestApi(script) as api:
        here = shop(
            install, api, {"nightly": ["orders", "lines"]},
            limits=["20/second"], retry_base="50ms", retry_cap="300ms", attempts=6,
        )  # fmt: skip
        here.constants.update(SOON)
        importing = here.start("import", "nightly", "--json")
        importing.says(DOWN)
        until(lambda: here.select("SELECT 1 FROM outage WHERE delay > 0.2"))
        back = True
        done = importing.finish()
        assert done.code == 3
        (run,) = done.json["imports"]["nightly"]
        assert run["dead"] == len(poison), here.run("dead", "list", "--json").stdout
        paths = [request.path for request in api.requests]
    assert {f"/orders/{number}/lines" for number in range(40)} <= set(paths)
    assert here.select("SELECT count(*) FROM shop_lines", path=here.sink_path) == [(40 - len(poison),)]
