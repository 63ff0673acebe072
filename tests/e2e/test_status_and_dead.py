"""`crawlerd status` and `crawlerd dead`: what they say, beside a daemon, beside an import, and alone."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from support.installation import NO_LIMITS, QUICK, Installation, tasks_of, until
from support.relay import Answer, Relay

from crawlerd.core.task import NewTask
from crawlerd.demo.objects import STREAMS, count
from crawlerd.demo.server import Fault, Server
from crawlerd.frontier import open_frontier

if TYPE_CHECKING:
    from collections.abc import Callable


def test_status_of_nothing(install: Callable[..., Installation]) -> None:
    here = install(accounts=1)
    shown = here.run("status")
    assert shown.code == 0
    assert shown.stdout == f"crawlerd is not running; state in {here.state_dir}\nnothing has been imported yet\n"
    assert here.run("status", "--json").json == {
        "pid": None,
        "trouble": None,
        "ready": 0,
        "delayed": 0,
        "waiting": 0,
        "dead": 0,
        "runs": [],
        "accounts": [],
        "outages": [],
        "pauses": [],
        "lowered": [],
        "troubles": [],
        "accounts_by_reason": {},
    }
    assert here.run("dead", "list").stdout == "no dead letters\n"
    assert here.run("dead", "list", "--json").json == []
    assert not here.state_dir.exists()  # asking changes nothing


def test_status_while_it_works_and_after(api: Server, install: Callable[..., Installation]) -> None:
    """Charges wait for an hour after a failure, payment methods for the test, and the rest is done."""
    api.control(Fault(kind="500", account=1, endpoint="charges"))
    opened = threading.Event()

    def script(path: str) -> Answer | None:
        if path.endswith("/payment_methods"):
            opened.wait(30)
        return None

    customers = ["customers", *(name for name, stream in STREAMS.items() if stream.parent == "customers")]
    # Charges and payment methods, what compares the two lists after them, and the end of the run.
    done = tasks_of(40) - (1 + 40) - (2 + 1) - (2 + len(customers)) - 1
    with Relay(api.url, script) as relay:
        account = {**NO_LIMITS, "retry_base": "10h", "retry_cap": "10h"}
        here = install(url=relay.url, account=account, daemon={"threads_per_process": 64}, schedule="1h")
        daemon = here.start("run")
        until(lambda: here.states() and here.select("SELECT done, retried FROM run") == [(done, 1)])
        here.environment.pop("KEY_1")  # neither status nor dead needs a key
        status = here.run("status", "--json").json
        assert (status["pid"], status["ready"], status["delayed"], status["dead"]) == (daemon.pid, 40, 1, 0)
        (run,) = status["runs"]
        assert (run["import"], run["account"], run["state"], run["ended_at"]) == ("a1", "a1", "running", None)
        assert (run["ready"], run["delayed"], run["done"], run["retried"]) == (40, 1, done, 1)
        (account_now,) = status["accounts"]
        assert (account_now["name"], account_now["source"], account_now["ready"]) == ("a1", "stripe", 40)
        assert account_now["identity"].endswith(":test")
        text = here.run("status").stdout
        assert f"crawlerd is running (pid {daemon.pid})" in text
        assert "tasks: 40 ready, 1 delayed, 3 waiting, 0 dead" in text
        assert re.search(r"^1 +a1 +(importing|retry until)", text, re.MULTILINE)
        opened.set()
        until(lambda: here.run("status", "--json").json["ready"] == 0)
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
        status = here.run("status", "--json").json
        assert (status["pid"], status["ready"], status["delayed"]) == (None, 0, 1)
        assert status["runs"][0]["records"] == sum(count(each, 40) for each in STREAMS) - count("charges", 40)
        text = here.run("status").stdout
        assert "crawlerd is not running" in text
        assert re.search(r"^1 +a1 +interrupted ", text, re.MULTILINE)  # nothing works on it


def test_status_beside_an_import_and_of_a_paused_account(api: Server, install: Callable[..., Installation]) -> None:
    refused = threading.Event()

    def script(path: str) -> Answer | None:
        if path == "/v1/account":
            refused.wait(30)
            return Answer(401, b'{"error": {"message": "Expired API Key"}}')
        return None

    with Relay(api.url, script) as relay:
        here = install(url=relay.url)
        importing = here.start("import", "a1")
        status = until(lambda: (found := here.run("status", "--json").json)["runs"] and found)
        assert status["pid"] == importing.pid
        refused.set()
        assert importing.finish().code == 1
        status = here.run("status", "--json").json
        assert status["pid"] is None
        assert "Expired API Key" in status["accounts"][0]["paused"]
        assert "account a1: refused: Unauthorized: HTTP 401: Expired API Key" in here.run("status").stdout


def test_a_long_wait_is_told(api: Server, install: Callable[..., Installation]) -> None:
    def script(path: str) -> Answer | None:
        throttled = path.startswith("/v1/charges")
        return Answer(429, b"{}", headers={"Retry-After": "7200"}) if throttled else None

    with Relay(api.url, script) as relay:
        here = install(url=relay.url, account=NO_LIMITS, schedule="1h")
        daemon = here.start("run")
        daemon.says(
            r"WARNING account a1: Throttled: HTTP 429.*; the API said .*7200.*, cut to max_wait, 3600 s: "
            r"(one task is )?waiting for 3600 s"
        )
        until(lambda: "  account a1: throttled: the API has asked to wait, since" in here.run("status").stdout)
        assert daemon.stderr.count("waiting for") <= 2  # of the list, and of the one newest object
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0


def test_dead_letters_are_listed_shown_and_retried(api: Server, install: Callable[..., Installation]) -> None:
    for stream in ("charges", "refunds", "payouts"):
        api.control(Fault(kind="403", account=1, endpoint=stream))
    api.control(Fault(kind="403", account=2, endpoint="payouts"))
    here = install(url=api.url, accounts=2, account=QUICK)
    assert here.run("import", "--all").code == 3

    letters = here.run("dead", "list", "--json").json
    assert sorted((each["import"], each["stream"]) for each in letters) == [
        ("a1", "charges"),
        ("a1", "payouts"),
        ("a1", "refunds"),
        ("a2", "payouts"),
    ]
    ids = [each["id"] for each in letters]
    assert ids == sorted(ids)
    text = here.run("dead", "list").stdout
    assert text.split("\n")[1].split() == ["id", "import", "stream", "attempts", "letters", "at", "error"]
    assert text.count("Denied: HTTP 403: The provided key does not have the required permissions") == 4
    assert [each["import"] for each in here.run("dead", "list", "--import", "a2", "--json").json] == ["a2"]
    misspelled = here.run("dead", "list", "--import", "a-2")
    assert (misspelled.code, misspelled.stdout) == (1, "")
    assert "import a-2 has not run yet, or does not exist" in misspelled.stderr
    assert here.run("dead", "list", "--json", "--limit", "2").json == letters[:2]
    assert f"there may be more: --after {ids[1]}" in here.run("dead", "list", "--limit", "2").stdout
    assert here.run("dead", "list", "--json", "--after", str(ids[1])).json == letters[2:]

    shown = here.run("dead", "show", str(ids[0]))
    (tried,) = shown.json["history"]
    assert {**shown.json, "history": []} == letters[0]
    assert (tried["method"], tried["status"], tried["error"]) == ("GET", 403, letters[0]["error"])
    assert tried["url"].startswith(f"{api.url}/v1/{letters[0]['stream']}?limit=100")
    assert 0 < tried["seconds"] < 30
    assert tried["at"] == letters[0]["at"]
    assert shown.stdout.count("\n") > 5
    assert json.loads(letters[0]["payload"])["starting_after"] is None
    assert (letters[0]["attempts"], letters[0]["denied"], letters[0]["run"]) == (1, True, letters[0]["run"])
    missing = here.run("dead", "show", "999999")
    assert (missing.code, missing.stderr) == (1, "crawlerd: there is no dead letter 999999\n")

    assert here.run("dead", "retry").code == 2
    assert here.run("dead", "retry", str(ids[0]), "--all").code == 2
    first = here.run("dead", "retry", str(ids[0]), "999999")
    assert first.code == 0
    assert f"run `crawlerd import {letters[0]['import']}`" in first.stderr
    assert "1 dead letter is ready again" in first.stdout
    assert first.stderr.startswith("crawlerd: there is no dead letter 999999\n")
    again = here.run("dead", "retry", str(ids[0]))
    assert (again.code, again.stderr) == (1, f"crawlerd: there is no dead letter {ids[0]}\n")
    here.assert_conserved()
    assert here.run("status", "--json").json["ready"] == 1
    assert len(here.run("dead", "list", "--json").json) == 3
    assert "3 dead letters are ready again" in here.run("dead", "retry", "--all", "--yes").stdout
    assert here.run("import", "--all").code == 0
    here.assert_complete(2, 40)
    assert here.run("dead", "list").stdout == "no dead letters\n"


def test_status_stays_short_however_much_there_is(install: Callable[..., Installation]) -> None:
    """First what needs a look; all else in counts."""
    here = install(accounts=1)
    here.state_dir.mkdir(parents=True)
    with closing(open_frontier(here.state_dir, now=time.time())) as frontier:
        for number in range(300):
            account = frontier.account(f"a{number:03}", "stripe")
            if number % 100 == 50:
                frontier.refuse(account, "HTTP 401: the key has expired", time.time())
            for _ in range(2):
                frontier.start_run(f"a{number:03}", account, [], full=True, now=time.time())
        waiting = [NewTask("stripe.load", "events", 5, "{}")]
        slow = frontier.start_run("slow", 1, waiting, full=True, now=time.time()).run
        for _ in range(100):
            frontier.start_run("a000", 1, [], full=True, now=time.time())
    text = here.run("status").stdout
    assert text.count("\n") <= 60
    assert re.search(rf"\n{slow} +slow +interrupted", text)
    assert [line for line in text.splitlines() if len(line) > 80 and str(here.state_dir) not in line] == []
    assert "  accounts a050, a150, a250: refused: HTTP 401: the key has expired\n" in text
    assert "accounts: 3 refused, 1 workers, 296 idle" in text
    assert "and 280 more: crawlerd imports" in text
    assert len(here.run("status", "--json").json["accounts"]) == 300
