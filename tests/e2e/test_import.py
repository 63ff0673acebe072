"""`crawlerd import`: what arrives in the sink, what the report says, and what the API saw."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from support.constants import Constant
from support.installation import LISTED, NO_LIMITS, QUICK, Installation, pages_of, tasks_of, until
from support.relay import Answer, Relay

from crawlerd.demo.objects import STREAMS, count
from crawlerd.demo.server import Add, Edit, Fault, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable


def test_several_accounts_arrive_exactly(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=3, daemon={"worker_processes": 2})
    done = here.run("import", "--all", "--json")
    assert done.code == 0
    assert done.json["state"] == "completed"
    assert set(done.json["imports"]) == {"a1", "a2", "a3"}
    for name, (run,) in done.json["imports"].items():
        assert run["import"] == run["account"] == name
        assert run["state"] == "completed"
        assert (run["done"], run["ready"], run["delayed"], run["dead"]) == (tasks_of(40), 0, 0, 0)
        assert (run["retried"], run["throttled"], run["paused"]) == (0, 0, None)
        reported = {stream: facts["records"] for stream, facts in run["streams"].items()}
        assert reported == {stream: count(stream, 40) for stream in STREAMS if count(stream, 40) or stream in LISTED}
        assert run["records"] == sum(reported.values())
        assert run["started_at"] < run["ended_at"] < time.time()
    here.assert_complete(3, 40)
    stats = api.stats()
    for number in (1, 2, 3):
        assert stats.accounts[number].requests == pages_of(40) + 1  # the guard
    assert stats.accounts[4].requests == 0


def test_faults_cost_attempts_and_no_records(install: Callable[..., Installation]) -> None:
    mix = "500=0.06,reset=0.06,truncated=0.06,html=0.06,drip=0.03,429=0.02"
    with running(accounts=3, customers=90, rate=0, jitter=0.02, faults=mix) as server:
        here = install(url=server.url, accounts=3, account={**QUICK, "request_timeout": "400ms", "attempts": 12})
        done = here.run("import", "--all", "--json")
        assert done.code == 0
        here.assert_complete(3, 90)
        stats = server.stats()
        for number in (1, 2, 3):
            (run,) = done.json["imports"][f"a{number}"]
            seen = stats.accounts[number]
            assert set(seen.faults) == {"500", "reset", "truncated", "html", "drip", "429"}
            # Faults that hit the guard are not of the run.
            assert run["retried"] + run["throttled"] <= sum(seen.faults.values())
            assert run["retried"] > 20


def test_a_429_costs_no_attempt_and_is_reported(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=10, rate=20, retry_after="1") as server:
        here = install(url=server.url, account={**NO_LIMITS, "attempts": 1})
        done = here.run("import", "--all", "--json")
        assert done.code == 0
        here.assert_complete(1, 10)
        (run,) = done.json["imports"]["a1"]
        assert run["retried"] == 0
        assert run["throttled"] == server.stats().accounts[1].throttled["global-rate"] > 0


def test_retry_after_holds_back_that_endpoint_alone(api: Server, install: Callable[..., Installation]) -> None:
    """The first request for charges is told to wait in seconds, that for refunds by a date."""
    told: set[str] = set()

    def script(path: str) -> Answer | None:
        if path not in ("/v1/charges", "/v1/refunds") or path in told:
            return None
        told.add(path)
        at = formatdate(math.ceil(time.time()) + 2, usegmt=True)
        return Answer(429, headers={"Retry-After": "2" if path == "/v1/charges" else at})

    with Relay(api.url, script) as relay:
        here = install(url=relay.url, account={**QUICK, "attempts": 1, "bucket_limits": ["20/second"]})
        done = here.run("import", "--all", "--json")
    assert done.code == 0
    here.assert_complete(1, 40)
    assert done.json["imports"]["a1"][0]["throttled"] == 2
    for path, least in ("/v1/charges", 2.0), ("/v1/refunds", 1.9):  # a date is compared with the second of the answer
        first, *rest = relay.of(path)
        assert first.status == 429
        assert least <= min(each.arrived for each in rest) - first.answered < 4.5
        meanwhile = [each for each in relay.seen if first.answered < each.arrived < first.answered + least]
        assert len(meanwhile) > 30


def test_retry_after_outlives_a_kill(api: Server, install: Callable[..., Installation]) -> None:
    throttled_at: list[float] = []

    def script(path: str) -> Answer | None:
        if path == "/v1/charges" and not throttled_at:
            throttled_at.append(time.monotonic())
            return Answer(429, headers={"Retry-After": "3"})
        return None

    with Relay(api.url, script) as relay:
        here = install(url=relay.url, streams=["charges"])
        importing = here.start("import", "a1")
        until(lambda: throttled_at and here.select("SELECT 1 FROM bucket WHERE blocked_until > 0"))
        importing.kill()
        assert here.run("import", "a1").code == 0
    first, *rest = relay.of("/v1/charges")
    assert min(each.arrived for each in rest) - first.answered >= 3.0


def test_what_the_key_may_not_read_is_denied_and_listed(api: Server, install: Callable[..., Installation]) -> None:
    api.control(Fault(kind="403", account=1, endpoint="disputes"))
    api.control(Fault(kind="500", count=3, account=1, endpoint="invoices"))
    here = install(url=api.url, accounts=2, account={**QUICK, "attempts": 3})
    done = here.run("import", "--all", "--json")
    assert done.code == 3
    assert done.json["state"] == "completed with dead letters"
    (run,), (other,) = done.json["imports"].values()
    assert (run["state"], run["dead"], run["retried"]) == ("completed with dead letters", 2, 2)
    assert other["state"] == "completed"
    assert run["streams"]["disputes"]["denied"]
    assert "required permissions" in run["streams"]["disputes"]["reason"]
    assert not run["streams"]["invoices"]["denied"]
    assert "gave up after 3 attempts" in run["streams"]["invoices"]["reason"]
    here.assert_conserved()
    # The dead letters are all that is missing: with them retried, the run ends complete.
    assert here.run("dead", "retry", "--all", "--yes").code == 0
    assert here.run("import", "a1").code == 0
    here.assert_complete(2, 40)


def test_a_run_that_got_nothing_has_failed(api: Server, install: Callable[..., Installation]) -> None:
    api.control(Fault(kind="500", count=2, account=1, endpoint="events"))
    here = install(url=api.url, streams=["charges"], account={**QUICK, "attempts": 2})
    done = here.run("import", "a1", "--json")
    assert done.code == 1
    assert done.json["state"] == "failed"


def test_only_what_is_named_is_imported(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=2, streams=["payment_methods"])
    done = here.run("import", "a2")
    assert done.code == 0
    assert f"payment_methods: {count('payment_methods', 40)} records" in done.stdout
    assert len(here.imported("a2", "payment_methods")) == count("payment_methods", 40)
    assert not here.imported("a2", "customers")
    assert not here.imported("a1", "payment_methods")
    assert api.stats().accounts[1].requests == 0
    asked = {name for name, seen in api.stats().accounts[2].endpoints.items() if seen.served}
    assert asked == {"account", "events", "customers", "payment_methods"}


def test_what_is_named_must_be_there(install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9", accounts=2)
    wrong = here.run("import", "a3")
    assert wrong.code == 2
    assert "there is no [imports.a3]" in wrong.stderr
    nothing = here.run("import")
    assert nothing.code == 2
    assert "--all (a1, a2)" in nothing.stderr
    both = here.run("import", "--all", "a1")
    assert both.code == 2
    assert "not both" in both.stderr
    assert not here.state_dir.exists()


def test_the_next_import_brings_what_has_changed(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=20, rate=0) as server:
        here = install(url=server.url, streams=["customers"])
        assert here.run("import", "a1").code == 0
        before = here.imported("a1", "customers")
        first, *_ = before
        (edited,) = server.control(Edit(account=1, stream="customers", ids=[first]))
        added = server.control(Add(account=1, stream="customers", count=2))
        assert here.run("import", "a1", "--full").code == 0
        after = before | {first: edited} | {each["id"]: each for each in added}
        assert here.imported("a1", "customers") == after
        runs = dict(here.select("SELECT id, run FROM stripe_customers", path=here.sink_path))
        assert runs == dict.fromkeys(after, 2)


class Hold:
    """A relay's script that lets a path wait. arrived: how many of its requests wait."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.arrived = 0
        self.released = threading.Event()

    def __call__(self, path: str) -> Answer | None:
        if path.startswith(self.prefix):
            self.arrived += 1
            self.released.wait(30)
        return None


def test_ctrl_c_finishes_what_runs_and_the_same_command_resumes(
    api: Server, install: Callable[..., Installation]
) -> None:
    hold = Hold("/v1/invoices")
    with Relay(api.url, hold) as relay:
        here = install(url=relay.url, account={**QUICK, "limits": ["50/second"]})
        importing = here.start_on_terminal("import", "--all", "--json")
        until(lambda: hold.arrived and len(relay.seen) > 10)
        importing.press(b"\x03")
        importing.says("stopping: waiting for running requests")
        hold.released.set()
        done = importing.finish()
        assert done.code == 130
        assert done.json["state"] == "interrupted"
        here.assert_conserved()
        assert here.imported("a1", "invoices")  # what was held has been finished and kept
        assert 0 < done.json["imports"]["a1"][0]["done"] < tasks_of(40)
        resumed = here.run("import", "--all", "--full")
        assert resumed.code == 0
        assert "a1: resuming the interrupted run; --full is for new runs" in resumed.stderr
    here.assert_complete(1, 40)
    assert api.stats().accounts[1].served == pages_of(40) + 2  # two guards; no page was asked for twice


def test_a_second_ctrl_c_cuts_off_what_runs(api: Server, install: Callable[..., Installation]) -> None:
    hold = Hold("/v1/invoices")
    with Relay(api.url, hold) as relay:
        here = install(url=relay.url)
        importing = here.start_on_terminal("import", "--all")
        until(lambda: hold.arrived)
        importing.press(b"\x03")
        importing.says("press Ctrl-C again")
        importing.press(b"\x03")
        assert importing.finish(10).code == 130
        hold.released.set()
        assert here.run("import", "--all").code == 0
    here.assert_complete(1, 40)


def test_ctrl_c_before_anything_has_run(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url)
    importing = here.start("import", "--all", "--json")
    until((here.state_dir / "lock").exists)
    importing.send(signal.SIGINT)
    done = importing.finish()
    assert done.code == 130
    assert done.json["state"] == "interrupted"
    assert here.run("import", "--all").code == 0
    here.assert_complete(1, 40)


@pytest.mark.alone
def test_a_terminal_shows_how_far_it_is(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, account={**NO_LIMITS, "limits": ["40/second"]})
    importing = here.start_on_terminal("import", "--all")
    done = importing.finish()
    assert done.code == 0
    assert re.search(r"import +state +done +open +records +per s +limit +throttled +dead +ETA", done.stderr)
    rows = re.findall(r"a1 +running +(\d+) +(\d+) +(\d+) +([\d.]+) +40 +0 +0 +(\d+:\d\d)?", done.stderr)
    assert len({finished for finished, *_ in rows}) > 3
    assert max(int(left) for _, left, *_ in rows) > 20
    assert 15 < max(float(rate) for _, _, _, rate, _ in rows) < 45
    assert any(eta for *_, eta in rows)
    assert re.search(rf"a1 +completed +{tasks_of(40)} +0 ", done.stderr)
    assert re.search(r"a1: run 1 completed after 0:0\d: ", done.stdout)


@pytest.mark.alone
def test_a_terminal_that_cannot_redraw_gets_the_lines(api: Server, install: Callable[..., Installation]) -> None:
    here = install(
        url=api.url,
        account={**NO_LIMITS, "limits": ["60/second"]},
        constants={Constant.LIVE_LINE_SECONDS: 0.4, Constant.LIVE_RATE_SECONDS: 0.4},
    )
    here.environment["TERM"] = "dumb"
    done = here.start_on_terminal("import", "--all").finish()
    assert done.code == 0
    assert len(re.findall(r"1 of 1 imports running: [1-9]\d* tasks done", done.stderr)) >= 2
    assert "requests/s  limit" not in done.stderr


@pytest.mark.alone
def test_elsewhere_a_line_now_and_then(api: Server, install: Callable[..., Installation]) -> None:
    here = install(
        url=api.url,
        accounts=2,
        account={**NO_LIMITS, "limits": ["60/second"]},
        constants={Constant.LIVE_LINE_SECONDS: 0.4, Constant.LIVE_RATE_SECONDS: 0.4},
    )
    done = here.run("import", "--all", "--json")
    assert done.code == 0
    line = (
        r"2 of 2 imports running: [1-9]\d* tasks done, \d+ open, [\d,]+ records, [\d.]+ requests/s, 0 throttled, 0 dead"
    )
    assert len(re.findall(line, done.stderr)) >= 2
    assert "\x1b" not in done.stderr
    assert done.json["state"] == "completed"


def test_ctrl_c_is_heard_while_imports_start(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    code = """
    import time
    source = Source("slow", base_url="http://127.0.0.1:9", streams=["things"])
    @source.starts
    def starts(plan):
        with Path("begun").open("a") as file:
            file.write("x")
        time.sleep(0.2)  # a source that looks around before it begins
        return []
    """
    here.add_source("slow", code.replace("\n    ", "\n"))
    here.config["imports"] |= {f"slow{number}": here.config["imports"]["slow"] for number in range(29)}
    begun = here.folder / "begun"
    importing = here.start("import", "--all")
    until(lambda: begun.exists() and begun.stat().st_size > 2)
    importing.send(signal.SIGINT)
    assert importing.finish().code == 130
    assert begun.stat().st_size < 20
    assert here.run("import", "--all").code == 0
    assert set(here.states()) == {"completed"}
