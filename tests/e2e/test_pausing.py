"""People pause imports, accounts, buckets and sources; the others go on, and what was paused does later."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import Installation, until
from support.movable_clock import movable
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANY = 200


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        serve(api, MANY)
        yield api


def shops(install: Callable[..., Installation], api: RestApi, **account: Any) -> Installation:
    """Two imports of one account: orders with their lines, and stores with their shelves."""
    imports = {"orders": ["orders", "lines"], "stores": ["stores", "shelves"]}
    here = shop(install, api, imports, **{"limits": ["100/second"], **account})
    for spec in here.config["imports"].values():
        spec["schedule"] = "1d"
    return here


def kinds(api: RestApi, since: float = 0.0) -> Counter[str]:
    """How many requests there were of each list below another."""
    return Counter(each.path.rpartition("/")[2] for each in list(api.requests) if each.at >= since)


def states(here: Installation) -> dict[str, str]:
    return {run["import"]: run["state"] for run in here.run("status", "--json").json["runs"]}


def test_a_paused_import_leaves_the_account_to_the_other(install: Callable[..., Installation], api: RestApi) -> None:
    here = shops(install, api)
    daemon = here.start("run")
    until(lambda: kinds(api)["lines"] > 5 and kinds(api)["shelves"] > 5)
    done = here.run("pause", "import", "orders", "--reason", "the shop takes stock")
    assert (done.code, done.stdout) == (0, "import orders is paused until `crawlerd resume import orders`\n")
    time.sleep(0.5)  # what was under way
    paused_at = kinds(api)["lines"]
    told = here.run("why", "orders").stdout  # though requests of the other one are under way
    assert "waits (paused)" in told
    assert "importing" not in told
    until(lambda: states(here)["stores"] == "completed")
    assert kinds(api)["lines"] == paused_at < MANY
    told = here.run("why", "orders").stdout
    assert "waits (paused): import orders is paused by " in told
    assert "the shop takes stock" in told
    assert "import orders: paused by" in here.run("status").stdout
    daemon.kill()  # it outlives the daemon
    daemon = here.start("run")
    daemon.says("pid ")
    time.sleep(1.0)
    assert kinds(api)["lines"] == paused_at
    assert here.run("resume", "import", "orders").code == 0
    until(lambda: states(here)["orders"] == "completed")
    assert kinds(api)["lines"] in range(MANY, MANY + 32)
    acts = here.run("audit", "--json").json
    assert [(each["act"], each["subject"]) for each in acts] == [(act, "import orders") for act in ("pause", "resume")]
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()


@pytest.mark.parametrize("what", ["account", "source", "bucket"])
def test_nothing_starts_of_what_is_paused(install: Callable[..., Installation], api: RestApi, what: str) -> None:
    here = shops(install, api)
    daemon = here.start("run")
    until(lambda: kinds(api)["lines"] > 5 and kinds(api)["shelves"] > 5)
    name = {"account": "acme", "source": "shop", "bucket": "acme/lines"}[what]
    assert here.run("pause", what, name, "--reason", "maintenance").code == 0
    time.sleep(0.5)  # what was under way
    before = kinds(api)
    if what == "bucket":
        until(lambda: states(here)["stores"] == "completed")
        assert kinds(api)["lines"] == before["lines"]
    else:
        time.sleep(1.0)
        assert kinds(api) == before
        assert "paused: " in here.run("accounts").stdout
    assert "is paused by" in here.run("why", "account", "acme").stdout
    daemon.send(signal.SIGTERM)
    daemon.finish()
    daemon = here.start("run")
    daemon.says("pid ")
    time.sleep(1.0)
    assert kinds(api)["lines"] == before["lines"]
    assert here.run("resume", what, name).code == 0
    until(lambda: set(states(here).values()) == {"completed"})


def test_a_pause_ends_at_its_time_by_itself(install: Callable[..., Installation], api: RestApi) -> None:
    here = shops(install, api)
    here.start("run")
    until(lambda: kinds(api)["lines"] > 5)
    assert here.run("pause", "import", "orders", "stores", "--reason", "lunch", "--for", "6s").code == 0
    assert here.run("why", "orders").stdout.count("it continues at ") == 1
    until(lambda: set(states(here).values()) == {"completed"})
    acts = here.run("audit", "--json").json
    assert Counter(each["act"] for each in acts) == {"pause": 2, "resume": 2}
    assert {each["act"]: each["by"] for each in acts}["resume"] == "crawlerd"


def test_a_pause_and_a_lowered_limit_end_by_the_clock_of_the_machine(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = shops(install, api)
    move = movable(here)
    here.start("run")
    until(lambda: kinds(api)["lines"] > 5)
    assert here.run("pause", "import", "orders", "--reason", "lunch", "--for", "1h").code == 0
    assert here.run("accounts", "limit", "acme", "1/minute", "--reason", "theirs", "--for", "1h").code == 0
    assert "it continues at " in here.run("why", "orders").stdout
    move(-600.0)
    assert "it continues at " in here.run("why", "orders").stdout
    move(3_601.0)  # as after a suspend, or when the machine's clock is set right
    until(lambda: set(states(here).values()) == {"completed"})
    ended = {each["act"] for each in here.run("audit", "--json").json if each["by"] == "crawlerd"}
    assert ended == {"end lowered limit", "resume"}


def test_a_paused_import_starts_no_run_and_does_when_it_is_resumed(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = shops(install, api)
    assert here.run("pause", "import", "orders", "--reason", "not yet").code == 0  # no daemon runs
    done = here.run("import", "orders")
    assert done.code == 1
    assert "import orders is paused by " in done.stderr
    here.start("run")
    until(lambda: states(here).get("stores") == "completed")
    assert kinds(api)["orders"] == 0
    assert here.run("resume", "import", "orders").code == 0
    until(lambda: states(here).get("orders") == "completed")
    assert here.run("pause", "account", "acme", "--reason", "maintenance").code == 0
    told = here.run("why", "orders").stdout  # its next run waits
    assert "has ended: completed" in told
    assert "account acme is paused by " in told


def test_an_import_in_the_foreground_ends_where_a_pause_holds_it_up(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = shops(install, api)
    assert here.run("pause", "import", "orders", "--reason", "stock").code == 0
    done = here.run("import", "--all", "--json")
    assert (done.code, done.json["imports"]["stores"][0]["state"]) == (1, "completed")
    assert "is paused by" in done.json["not_started"]["orders"]
    assert here.run("pause", "account", "acme", "--reason", "maintenance").code == 0
    done = here.run("import", "stores", "--json")
    (run,) = done.json["imports"]["stores"]
    assert (done.code, run["state"], run["paused_account"]) == (1, "paused", "acme")
    assert "maintenance" in run["paused"]
    here.start("run").says("pid ")
    done = here.run("import", "orders", "stores", "--no-wait", "--json")
    assert (done.code, list(done.json["runs"]), list(done.json["not_started"])) == (1, ["stores"], ["orders"])


def test_a_retried_dead_letter_of_a_paused_import_goes_on_when_it_is_resumed(
    install: Callable[..., Installation], api: RestApi
) -> None:
    answer, broken, ended = api.script, threading.Event(), threading.Event()
    assert answer is not None
    broken.set()

    def script(request: Request) -> Answer:
        if request.path == "/orders/7/lines" and broken.is_set():
            return Answer({}, 400)
        if request.path == "/orders" and not broken.is_set():
            ended.wait(60)  # the other run gets nowhere
        return answer(request) or Answer([])

    api.script = script
    here = shops(install, api, limits=["60/second"])
    here.start("run")
    until(lambda: here.states() and states(here).get("orders") == "completed with dead letters")
    broken.clear()
    first = here.run("runs", "orders", "--json").json["runs"][0]["id"]
    assert here.run("import", "orders", "--no-wait", "--full").code == 0  # another run of it
    assert here.run("pause", "import", "orders", "--reason", "stock").code == 0
    assert here.run("dead", "retry", "--all", "--yes").code == 0
    assert here.run("resume", "import", "orders").code == 0
    until(lambda: here.run("run", "show", str(first), "--json").json["run"]["state"] == "completed")
    assert here.run("runs", "orders", "--state", "running", "--json").json["runs"]  # the other one
    ended.set()


def test_what_cannot_be_paused_is_said(install: Callable[..., Installation], api: RestApi) -> None:
    here = shops(install, api)
    for running in (False, True):
        if running:
            here.start("run").says("pid ")
        for words, said in (
            (("import", "order", "--reason", "x"), "there is no import order; did you mean orders?"),
            (("account", "acme", "--reason", " "), "give a reason"),
            (("bucket", "acme/nothing", "--reason", "x"), "there is no bucket acme/nothing"),
            (("run", "1", "--reason", "x"), "run cannot be paused"),
            (("import", "orders", "--reason", "x", "--until", "2020-01-01"), "2020-01-01 is over"),
            (("import", "orders", "--reason", "x", "--until", "9999-12-31T23:59:59-12:00"), "more than ten years"),
        ):
            done = here.run("pause", *words)
            assert done.code
            assert said in done.stderr
        done = here.run("resume", "import", "orders")
        assert (done.code, "import orders is not paused" in done.stderr) == (1, True)
    assert here.run("audit", "--json").json == []


def test_a_state_directory_of_the_environment_that_holds_nothing_is_left_alone(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = shops(install, api)
    here.environment["CRAWLERD_STATE_DIR"] = "other"
    for words in (("pause", "import", "orders", "--reason", "x"), ("resume", "import", "orders")):
        done = here.run(*words)
        assert done.code
        assert "CRAWLERD_STATE_DIR" in done.stderr
    assert not (here.folder / "other").exists()


def test_a_source_is_known_by_the_names_that_sources_prints(install: Callable[..., Installation], api: RestApi) -> None:
    here = shops(install, api)
    for running in (False, True):
        if running:
            here.start("run").says("pid ")
        done = here.run("pause", "source", "rest", "--reason", "stock")
        assert done.stdout == "source shop is paused until `crawlerd resume source shop`\n"
        assert here.run("resume", "source", "rest").stdout == "source shop is resumed\n"
        refused = here.run("pause", "source", "stripe", "--reason", "stock")
        assert refused.code
        assert "there is no source stripe that an account uses; used sources: shop" in refused.stderr
        assert "did you mean shop?" in here.run("pause", "source", "shopp", "--reason", "stock").stderr


def test_a_paused_bucket_is_told_as_that_bucket(install: Callable[..., Installation], api: RestApi) -> None:
    here = shops(install, api)
    daemon = here.start("run")
    until(lambda: kinds(api)["lines"] > 2 and kinds(api)["shelves"] > 2)
    for bucket in ("lines", "shelves"):
        assert here.run("pause", "bucket", f"acme/{bucket}", "--reason", "theirs").code == 0
    until(lambda: "bucket acme/" in here.run("why", "account", "acme").stdout)
    told = here.run("why", "account", "acme").stdout
    assert "account acme waits" not in told
    daemon.kill()
    told = here.run("why", "account", "acme").stdout
    assert "bucket acme/" in told
    assert "account acme waits" not in told
